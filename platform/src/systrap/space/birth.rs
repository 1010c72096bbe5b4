//! Host threads for guest threads: made by the mapper, ahead where there is time, or kept of
//! guest threads that have ended.
//!
//! Neighbours: `space` (the stub), `context` (what runs on them), `context::rest` (how they
//! are kept), `stub` (the code of a birth).

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::{Stub, exhausted};
use crate::systrap::context::{Parts, Thread};
use crate::systrap::frame::Area;
use crate::systrap::layout::{self as l, Op};
use crate::systrap::mapper::{Failure, Mapper};
use crate::systrap::raw;
use crate::{Cookie, PlatformError, Registers, WorkerId};

/// How long a stub may take to show a new thread's listener.
const BIRTH_LIMIT: Duration = Duration::from_secs(10);
/// Flags of a guest thread's clone: VM, FS, FILES, SIGHAND, THREAD, SYSVSEM.
const THREAD_FLAGS: u64 = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000;
/// Host threads kept in a stub for guest threads to come.
const MAX_SPARE: usize = 32;

/// A host thread for a guest thread, and its place.
pub struct Born {
    /// Number of its area in the stub.
    pub area_index: u32,
    /// Its area.
    pub area: Area,
    /// Its listener.
    pub listener: Arc<OwnedFd>,
    /// Its thread id and the notification it is held in, where it has rung already.
    pub rung: Option<(i32, u64)>,
    /// Where in its area the frame is that it starts from.
    pub at: u64,
    /// CPU time it has used for others.
    pub cpu_base: Duration,
}

impl Stub {
    /// Whether a host thread whose guest thread has ended is to be kept.
    pub fn has_room(&self) -> bool {
        !self.is_killed() && !self.is_sole() && self.spare.lock().len() < MAX_SPARE
    }

    /// Keeps a host thread whose guest thread has ended; `false` when it cannot be used.
    pub fn keep(&self, born: Born) -> bool {
        let mut spare = self.spare.lock();
        let kept = !self.is_killed();
        if kept {
            spare.push(born);
        }
        kept
    }

    /// Clones a thread and fetches its listener.
    fn birth(&self) -> Result<Born, PlatformError> {
        let what = exhausted("making a guest thread");
        let mut mapper = self.mapper();
        if self.is_killed() {
            return Err(PlatformError::Gone);
        }
        let (area_index, area, map) = self.take_area(&mut mapper)?;
        let window = self.core.control.window();
        window.clear(area.offset, usize::try_from(area.len).unwrap_or(0));
        let ready = mapper.first_chunk() + l::READY;
        window.set32(ready, 0);
        let stack = area.addr + l::AREA_BIRTH;
        if let Err(failure) = self.clone_thread(&mut mapper, stack, map) {
            mapper.free_areas.push(area_index);
            return Err(match failure {
                Failure::Gone => PlatformError::Gone,
                Failure::Call { errno, .. } => what(errno),
            });
        }
        // Whatever happens, the stub's copy has that number; it must be free again.
        let listener = self.listener(&mut mapper, ready);
        mapper.stale_listener = true;
        let listener = listener.map_err(|errno| {
            // The thread may be there nevertheless: what the stub says can be forged.
            self.kill();
            what(errno)
        })?;
        Ok(Born {
            area_index,
            area,
            listener: Arc::new(listener),
            rung: None,
            at: l::AREA_BIRTH,
            cpu_base: Duration::ZERO,
        })
    }

    /// Makes a guest thread ahead, in a stub that has run no guest code.
    pub fn prepare(&self) -> Result<(), PlatformError> {
        let what = exhausted("making a guest thread ahead");
        let mut born = self.birth()?;
        let shown = raw::poll(born.listener.as_fd(), libc::POLLIN, BIRTH_LIMIT).map_err(&what)?;
        if shown & libc::POLLIN == 0 {
            self.kill();
            return Err(PlatformError::Gone);
        }
        raw::notif_sync(born.listener.as_fd()).map_err(&what)?;
        let notif = raw::notif_recv(born.listener.as_fd()).map_err(&what)?;
        let tid = notif.pid.cast_signed();
        // The mapper's binding to one CPU was inherited.
        let _ = raw::set_affinity(tid, &self.core.cpus);
        born.rung = Some((tid, notif.id));
        self.spare.lock().push(born);
        Ok(())
    }

    /// Clones a thread that sleeps until it is seized, and returns its id.
    pub fn birth_traced(&self) -> Result<i32, PlatformError> {
        let mut mapper = self.mapper();
        if self.is_killed() {
            return Err(PlatformError::Gone);
        }
        // It has no use for a stack before it is given registers.
        let stack = self.core.layout.base + l::CHUNK0 + l::CHUNK;
        let args = [THREAD_FLAGS, stack, 0, 0, 0, l::CHILD_TRACED];
        let clone = Op::new(libc::SYS_clone, args);
        let tid = self.batch(&mut mapper, &[clone], 0);
        let tid = tid.map_err(|failure| match failure {
            Failure::Gone => PlatformError::Gone,
            Failure::Call { errno, .. } => exhausted("making a guest thread")(errno),
        })?;
        self.shared.store(true, Ordering::Relaxed);
        // The mapper's binding to one CPU was inherited.
        let _ = raw::set_affinity(tid, &self.core.cpus);
        Ok(tid)
    }

    pub(super) fn new_thread(
        self: &Arc<Self>,
        regs: &Registers,
        cookie: Cookie,
        worker: WorkerId,
    ) -> Result<Arc<Thread>, PlatformError> {
        let what = exhausted("making a guest thread");
        let spare = self.spare.lock().pop();
        let born = match spare {
            Some(born) => born,
            None => self.birth()?,
        };
        let window = self.core.control.window();
        born.area.write(window, born.at, regs, &self.core.xstate);
        let parts = Parts {
            stub: self.clone(),
            cookie,
            born,
            worker,
        };
        let core = self.core.clone();
        let thread = self
            .core
            .threads
            .write()
            .insert_with(|key| Thread::new(core, key, parts));
        let mut threads = self.threads.lock();
        if !threads.is_empty() {
            self.shared.store(true, Ordering::Relaxed);
        }
        threads.push(thread.key());
        if threads.len() > 1 {
            // The page for posted calls is that of a single thread. The new one has not run.
            let word = self.page + l::WORDS + 8 * l::POST_WORD;
            self.core.control.window().set64(word, 0);
        }
        drop(threads);
        if let Err(errno) = thread.enlist() {
            self.kill();
            return Err(what(errno));
        }
        if self.reaped.load(Ordering::Acquire) {
            thread.stub_ended(libc::SIGKILL as u8);
        }
        Ok(thread)
    }

    /// Has the mapper map a new chunk, if one is needed, and clone a thread on `stack`.
    fn clone_thread(
        &self,
        mapper: &mut Mapper,
        stack: u64,
        map: Option<Op>,
    ) -> Result<(), Failure> {
        let args = [THREAD_FLAGS, stack, 0, 0, 0, l::CHILD_THREAD];
        let clone = Op::new(libc::SYS_clone, args);
        let new_chunk = map.is_some();
        let ops: SmallVec<[Op; 2]> = map.into_iter().chain([clone]).collect();
        let result = self.batch(mapper, &ops, 0).map(drop);
        if new_chunk && matches!(result, Err(Failure::Call { index: 0, .. })) {
            // The chunk was not mapped.
            mapper.chunks.pop();
        }
        result
    }

    /// Finds an area for a new thread; an operation when its chunk must be mapped first.
    fn take_area(&self, mapper: &mut Mapper) -> Result<(u32, Area, Option<Op>), PlatformError> {
        let layout = &self.core.layout;
        mapper.free_areas.append(&mut self.freed.lock());
        let index = match mapper.free_areas.pop() {
            Some(index) => index,
            None if mapper.next_area < layout.max_threads() => {
                mapper.next_area += 1;
                mapper.next_area - 1
            }
            None => return Err(exhausted("making a guest thread")(libc::EAGAIN)),
        };
        let (chunk, at) = layout.place(index);
        let addr = layout.chunk_addr(chunk);
        let mut map = None;
        if mapper.chunks.len() <= chunk {
            let new = match self.core.control.take() {
                Ok(new) => new,
                Err(error) => {
                    mapper.free_areas.push(index);
                    return Err(error);
                }
            };
            let prot = (libc::PROT_READ | libc::PROT_WRITE) as u64;
            let flags = (libc::MAP_SHARED | libc::MAP_FIXED) as u64;
            let args = [addr, l::CHUNK, prot, flags, l::FD_CONTROL, new.offset()];
            map = Some(Op::new(libc::SYS_mmap, args));
            mapper.chunks.push(new);
        }
        let offset = mapper.chunks.get(chunk).map_or(0, |chunk| chunk.offset());
        Ok((
            index,
            Area {
                offset: offset + at,
                addr: addr + at,
                len: layout.area,
            },
            map,
        ))
    }

    /// Waits for a new thread's listener and fetches it. The word the thread sets can be
    /// changed by guest code: it only says when to try.
    fn listener(&self, mapper: &mut Mapper, ready: u64) -> Result<OwnedFd, i32> {
        let window = self.core.control.window();
        let until = Instant::now() + BIRTH_LIMIT;
        let mut pause = Duration::from_millis(1);
        loop {
            if window.get32(ready) == 0 {
                window.futex_wait(ready, 0, pause);
            }
            let fetched = if self.core.by_socket.load(Ordering::Relaxed) {
                mapper.fetch_listener()
            } else {
                raw::pidfd_getfd(self.pidfd.as_fd(), l::FD_FREE)
            };
            match fetched {
                Err(libc::EBADF) => {}
                result => return result,
            }
            // Not there yet, or it never will be.
            let said = window.get32(ready).cast_signed();
            if said < 0 || self.is_killed() || Instant::now() >= until {
                return Err(if said < 0 {
                    said.saturating_neg()
                } else {
                    libc::ESRCH
                });
            }
            pause = (pause * 2).min(Duration::from_millis(20));
            window.set32(ready, 0);
        }
    }
}
