//! A guest address space: a stub process.
//!
//! All changes go through the stub's mapper, one batch at a time. A fork is a host fork by
//! the mapper, whose child is the Sentry's child too. A stub is reaped when its pidfd says
//! that it has ended; its guest threads are reported gone then at the latest.
//! Neighbours: `birth` (their host threads), `mapper` (batches), `owed` (changes that a thread
//! helps with), `context` (guest threads).

mod birth;

pub use birth::Born;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

use super::context::{Handle, Settled, Thread};
use super::core::{Core, Key, Source};
use super::coverage::Piece;
use super::layout::{self as l, Op};
use super::mapper::{Failure, Mapper, channels};
use super::raw;
use crate::{
    AddressSpace, Commit, Context, Cookie, MapOp, PlatformError, Prot, Registers, WorkerId,
};

/// With more pieces than this a change could make the host refuse for the number of mappings
/// (65,530), and its result has to be known.
pub const MAX_PIECES: usize = 60_000;
/// Flags of a stub's clone: PARENT, SIGCHLD.
const STUB_FLAGS: u64 = 0x8000 | 17;

/// Mapping work that is being gathered.
struct Batch {
    ops: Vec<Op>,
    /// Files the operations need; the stub gets them as [`l::FD_FREE`] and following.
    files: SmallVec<[Arc<OwnedFd>; 2]>,
}

impl Batch {
    /// The number the stub will have a file by.
    fn fd_of(&self, file: &Arc<OwnedFd>) -> Option<u64> {
        let at = self.files.iter().position(|f| Arc::ptr_eq(f, file))?;
        Some(l::FD_FREE + at as u64)
    }
}

/// A stub process.
pub struct Stub {
    core: Arc<Core>,
    key: Key,
    pid: i32,
    /// Offset of its first chunk in the control file; while it has guest threads.
    page: u64,
    pidfd: OwnedFd,
    killed: AtomicBool,
    /// Has had more than one guest thread: its CPU time is not that of the one left.
    shared: AtomicBool,
    /// It was moved into control groups of the host, where spare stubs are not.
    moved: AtomicBool,
    reaped: AtomicBool,
    mapper: Mutex<Mapper>,
    threads: Mutex<Vec<Key>>,
    /// Host threads for the next guest threads: made ahead, or kept of those that have ended.
    spare: Mutex<Vec<Born>>,
    /// Something is to be made before a held thread goes on, see [`super::owed`].
    pub(super) owes: AtomicBool,
    /// Areas of threads that ended, not yet given back to the mapper's pool.
    freed: Mutex<Vec<u32>>,
}

fn exhausted(what: &'static str) -> impl Fn(i32) -> PlatformError {
    move |errno| PlatformError::Exhausted { what, errno }
}

impl Stub {
    /// Enters a stub process whose mapper has answered its first batch.
    pub fn enter(core: &Arc<Core>, pid: i32, mapper: Mapper) -> Result<Arc<Self>, PlatformError> {
        let pidfd = raw::pidfd_open(pid)
            .inspect_err(|_| raw::kill_and_wait(pid))
            .map_err(exhausted("opening a stub's pidfd"))?;
        let stub = core.stubs.write().insert_with(|key| {
            Arc::new(Self {
                core: core.clone(),
                key,
                pid,
                page: mapper.first_chunk(),
                pidfd,
                killed: AtomicBool::new(false),
                shared: AtomicBool::new(false),
                moved: AtomicBool::new(false),
                reaped: AtomicBool::new(false),
                mapper: Mutex::new(mapper),
                threads: Mutex::default(),
                spare: Mutex::default(),
                owes: AtomicBool::new(false),
                freed: Mutex::default(),
            })
        });
        let at = usize::try_from(pid).unwrap_or(0) % core.workers.len().max(1);
        let worker = core.keeper.as_ref();
        let worker = worker.map_or_else(|| core.worker(WorkerId(at)), Ok)?;
        worker
            .add(stub.pidfd.as_fd(), Source::Stub(stub.key))
            .map_err(exhausted("watching a stub"))
            .inspect_err(|_| stub.kill())?;
        Ok(stub)
    }

    /// Whether the host lets us copy its descriptors.
    pub fn can_fetch(&self) -> bool {
        raw::pidfd_getfd(self.pidfd.as_fd(), l::FD_CONTROL).is_ok()
    }

    /// Offset of its first chunk in the control file, which is its own as long as it has
    /// guest threads.
    pub fn page(&self) -> u64 {
        self.page
    }

    /// Whether it has one guest thread.
    pub fn is_sole(&self) -> bool {
        self.threads.lock().len() == 1
    }

    /// Its only guest thread.
    pub fn sole(&self) -> Option<Arc<Thread>> {
        let key = match self.threads.lock()[..] {
            [key] => key,
            _ => return None,
        };
        self.core.threads.read().get(key)
    }

    /// Addresses.
    pub fn layout(&self) -> &l::Layout {
        &self.core.layout
    }

    /// The mapper, with no batch under way.
    pub fn mapper(&self) -> MutexGuard<'_, Mapper> {
        let mut mapper = self.mapper.lock();
        if mapper.finish_relay().is_err() {
            self.kill();
        }
        mapper
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether we killed it.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// Kills the process with all its guest threads.
    pub fn kill(&self) {
        if !self.killed.swap(true, Ordering::AcqRel) {
            // One that has ended already needs no signal.
            let _ = raw::pidfd_kill(self.pidfd.as_fd(), libc::SIGKILL);
        }
    }

    /// Reaps it if it has ended, and reports its guest threads gone. Whether it has ended.
    pub fn reap(&self) -> bool {
        let signo = match raw::reap(self.pidfd.as_fd()) {
            Ok(Some(signo)) => signo,
            Ok(None) => return false,
            // Somebody else reaped it.
            Err(_) => libc::SIGKILL as u8,
        };
        self.killed.store(true, Ordering::Release);
        self.reaped.store(true, Ordering::Release);
        for worker in self.core.workers.iter().chain(&self.core.keeper) {
            worker.remove(self.pidfd.as_fd());
        }
        self.core.stubs.write().remove(self.key);
        self.spare.lock().clear();
        let keys = std::mem::take(&mut *self.threads.lock());
        for key in keys {
            let thread = self.core.threads.read().get(key);
            if let Some(thread) = thread {
                thread.stub_ended(signo);
            }
        }
        // Nothing maps its chunks any more.
        let mut mapper = self.mapper.lock();
        mapper.chunks.clear();
        mapper.entrusted = None;
        true
    }

    /// Reaps a killed stub, waiting for its end at most `limit`.
    pub fn reap_within(&self, limit: Duration) {
        if !self.reaped.load(Ordering::Acquire) {
            let _ = raw::poll(self.pidfd.as_fd(), libc::POLLIN, limit);
            self.reap();
        }
    }

    /// Takes a thread off the list of those to be told of the stub's end.
    pub fn forget(&self, key: Key) {
        self.threads.lock().retain(|k| *k != key);
    }

    /// Gives back the area of a thread that has ended.
    pub fn free_area(&self, index: u32) {
        self.freed.lock().push(index);
    }

    /// CPU time of the whole process, and how many guest threads it has.
    pub fn use_of_cpu(&self) -> (Duration, u32) {
        let threads = u32::try_from(self.threads.lock().len()).unwrap_or(u32::MAX);
        (raw::process_cpu_time(self.pid).unwrap_or_default(), threads)
    }

    /// CPU time of one of its threads, which it may have `noted` itself; of the whole process
    /// where that is all there is.
    pub fn cpu_time(&self, tid: i32, noted: Option<Duration>) -> Duration {
        let whole = raw::process_cpu_time(self.pid).unwrap_or_default();
        if let Some(noted) = noted.filter(|_| self.shared.load(Ordering::Relaxed)) {
            return noted.min(whole);
        }
        if tid == 0 || self.is_killed() || !self.shared.load(Ordering::Relaxed) {
            return whole;
        }
        // The clock id of another thread of the same process; only the mapper can read it.
        let clock = u64::from((!tid << 3 | 6).cast_unsigned());
        let mut mapper = self.mapper();
        let stub = self.core.layout.base + l::CHUNK0;
        let args = [clock, stub + l::CPU_TIME, 0, 0, 0, 0];
        let op = Op::new(libc::SYS_clock_gettime, args);
        if self.batch(&mut mapper, &[op], 0).is_err() {
            return whole;
        }
        let at = mapper.first_chunk() + l::CPU_TIME;
        let window = self.core.control.window();
        let word = |at: u64| window.get64(at).cast_signed();
        raw::duration(word(at), word(at + 8)).min(whole)
    }

    fn gone(&self, failure: Failure) -> PlatformError {
        match failure {
            Failure::Gone => PlatformError::Gone,
            Failure::Call { errno, .. } => PlatformError::MapRefused(errno),
        }
    }

    /// Has the mapper run a batch; see [`Mapper::run`].
    pub fn batch(&self, mapper: &mut Mapper, ops: &[Op], child: u64) -> Result<i32, Failure> {
        let result = mapper.run(ops, child);
        if mapper.owed.broken {
            // What should be gone may be there.
            self.kill();
        }
        result
    }

    /// Runs a batch of mapping work.
    fn run(&self, mapper: &mut Mapper, ops: &[Op]) -> Result<(), PlatformError> {
        if ops.is_empty() {
            return Ok(());
        }
        if self.is_killed() {
            return Err(PlatformError::Gone);
        }
        let made = self.batch(mapper, ops, 0);
        made.map(drop).map_err(|failure| self.gone(failure))
    }

    /// Sees to it that a change entrusted to a thread is made before others are.
    fn settle(&self, mapper: &mut Mapper) -> Result<(), PlatformError> {
        let Some(thread) = mapper.entrusted.take() else {
            return Ok(());
        };
        match thread.settle() {
            Settled::Done => Ok(()),
            Settled::Redo(op) => self.run(mapper, &[op]),
            Settled::Lost => {
                self.kill();
                Err(PlatformError::Gone)
            }
        }
    }

    /// See [`crate::Context::entrust`].
    pub fn entrust(&self, thread: &Arc<Thread>, op: &MapOp) -> bool {
        let page_up = |len: u64| len.checked_next_multiple_of(l::PAGE);
        if thread.posted_on().is_some() {
            return false;
        }
        let mut mapper = self.mapper();
        self.make_owed(&mut mapper);
        if mapper.coverage.count() > MAX_PIECES || self.settle(&mut mapper).is_err() {
            return false;
        }
        let fits = match *op {
            MapOp::Unmap { addr, len } => self.range(addr, len).is_ok_and(|end| {
                let call = Op::new(libc::SYS_munmap, [addr, len, 0, 0, 0, 0]);
                let fits = thread.take_over(&call, |a| a[0] == addr && page_up(a[1]) == Some(len));
                if fits {
                    mapper.coverage.remove(addr, end);
                }
                fits
            }),
            MapOp::Protect { addr, len, prot } => self.range(addr, len).is_ok_and(|end| {
                let prot = host_prot(prot);
                let call = Op::new(libc::SYS_mprotect, [addr, len, prot, 0, 0, 0]);
                let fits = mapper.coverage.within(addr, end) == [(addr, end)]
                    && thread.take_over(&call, |a| {
                        a[0] == addr && page_up(a[1]) == Some(len) && a[2] == prot
                    });
                if fits {
                    mapper.coverage.protect(addr, end, prot);
                }
                fits
            }),
            MapOp::MapMemory { .. } | MapOp::MapFile { .. } => false,
        };
        if fits {
            mapper.entrusted = Some(thread.clone());
        }
        fits
    }

    /// See [`crate::AddressSpace::commit`].
    pub fn commit(&self, ops: &[MapOp]) -> Result<(), PlatformError> {
        let mut mapper = self.mapper();
        let settled = self.settle(&mut mapper);
        let result = settled.and_then(|()| self.apply(&mut mapper, ops));
        if result.is_err() {
            self.note_failure(&mut mapper, ops);
        }
        // Operations with nothing to do have no batch.
        self.make_owed(&mut mapper);
        result
    }

    /// What was to be unmapped may still be there, and must not be skipped later.
    fn note_failure(&self, mapper: &mut Mapper, ops: &[MapOp]) {
        for op in ops {
            if let MapOp::Unmap { addr, len } = op
                && let Ok(end) = self.range(*addr, *len)
            {
                let unknown = Piece {
                    memory: None,
                    prot: 0,
                };
                mapper.coverage.add(*addr, end, unknown);
            }
        }
    }

    /// Translates operations that need no file and notes them as made; at once where they
    /// are too many for a batch.
    pub fn gather(&self, mapper: &mut Mapper, ops: &[MapOp]) -> Result<Vec<Op>, PlatformError> {
        let mut batch = Batch {
            ops: Vec::with_capacity(ops.len()),
            files: SmallVec::new(),
        };
        for op in ops {
            if let Err(error) = self.translate(mapper, op, &mut batch) {
                self.note_failure(mapper, ops);
                return Err(error);
            }
        }
        Ok(batch.ops)
    }

    fn apply(&self, mapper: &mut Mapper, ops: &[MapOp]) -> Result<(), PlatformError> {
        let mut batch = Batch {
            ops: Vec::with_capacity(ops.len().min(l::MAX_OPS)),
            files: SmallVec::new(),
        };
        for op in ops {
            let full = match op {
                MapOp::MapFile { file, .. } => {
                    batch.files.len() >= l::MAX_FILES && batch.fd_of(file).is_none()
                }
                _ => false,
            };
            // Room for what one operation can need, and for taking and closing files.
            if full || batch.ops.len() + l::MAX_FILES + 4 >= l::MAX_OPS {
                self.flush(mapper, &mut batch)?;
            }
            self.translate(mapper, op, &mut batch)?;
        }
        self.flush(mapper, &mut batch)
    }

    /// Runs what has been gathered; files given for it are closed in any case.
    fn flush(&self, mapper: &mut Mapper, batch: &mut Batch) -> Result<(), PlatformError> {
        let files = std::mem::take(&mut batch.files);
        let mut ops = std::mem::take(&mut batch.ops);
        if ops.is_empty() {
            return Ok(());
        }
        if self.is_killed() {
            return Err(PlatformError::Gone);
        }
        let close = |n: usize| Op::lenient(libc::SYS_close, [l::FD_FREE + n as u64, 0, 0, 0, 0, 0]);
        let closes: SmallVec<[Op; 2]> = (0..files.len()).map(close).collect();
        if !files.is_empty() {
            let given: SmallVec<[&OwnedFd; 2]> = files.iter().map(|file| &**file).collect();
            let take = mapper.give(&given).map_err(PlatformError::MapRefused)?;
            ops.insert(0, take);
            ops.extend_from_slice(&closes);
        }
        match self.batch(mapper, &ops, 0) {
            Ok(_) => Ok(()),
            Err(Failure::Gone) => Err(PlatformError::Gone),
            Err(Failure::Call { errno, index }) => {
                let failed = ops.get(index).map_or(0, |op| op.words[0]);
                if failed == libc::SYS_recvmsg.cast_unsigned() {
                    // The files are still on the socket and would be taken for the next ones.
                    self.kill();
                    return Err(PlatformError::Gone);
                }
                self.run(mapper, &closes)?;
                Err(PlatformError::MapRefused(errno))
            }
        }
    }

    /// Checks a range and returns its end.
    fn range(&self, addr: u64, len: u64) -> Result<u64, PlatformError> {
        let bad = PlatformError::MapRefused(libc::EINVAL);
        let Some(end) = addr.checked_add(len) else {
            return Err(bad);
        };
        if !addr.is_multiple_of(l::PAGE)
            || !len.is_multiple_of(l::PAGE)
            || len == 0
            || end > self.core.layout.base
        {
            return Err(bad);
        }
        Ok(end)
    }

    fn translate(
        &self,
        mapper: &mut Mapper,
        op: &MapOp,
        batch: &mut Batch,
    ) -> Result<(), PlatformError> {
        const SHARED_FIXED: u64 = (libc::MAP_SHARED | libc::MAP_FIXED) as u64;
        let map = |addr, len, prot, fd, offset| {
            Op::new(
                libc::SYS_mmap,
                [addr, len, host_prot(prot), SHARED_FIXED, fd, offset],
            )
        };
        match op {
            MapOp::MapMemory {
                addr,
                len,
                offset,
                prot,
            } => {
                let end = self.range(*addr, *len)?;
                let op = map(*addr, *len, *prot, l::FD_MEMORY, *offset);
                if !batch.ops.last_mut().is_some_and(|last| extend(last, &op)) {
                    batch.ops.push(op);
                }
                let memory = Some(offset.wrapping_sub(*addr));
                let prot = host_prot(*prot);
                mapper.coverage.add(*addr, end, Piece { memory, prot });
            }
            MapOp::MapFile {
                addr,
                len,
                file,
                offset,
                prot,
            } => {
                let end = self.range(*addr, *len)?;
                let fd = batch.fd_of(file).unwrap_or_else(|| {
                    batch.files.push(file.clone());
                    l::FD_FREE + batch.files.len() as u64 - 1
                });
                batch.ops.push(map(*addr, *len, *prot, fd, *offset));
                let (memory, prot) = (None, host_prot(*prot));
                mapper.coverage.add(*addr, end, Piece { memory, prot });
            }
            MapOp::Unmap { addr, len } => {
                let end = self.range(*addr, *len)?;
                if mapper.coverage.within(*addr, end).is_empty() {
                    return Ok(());
                }
                let op = Op::new(libc::SYS_munmap, [*addr, *len, 0, 0, 0, 0]);
                batch.ops.push(op);
                mapper.coverage.remove(*addr, end);
            }
            MapOp::Protect { addr, len, prot } => {
                let end = self.range(*addr, *len)?;
                for (from, to) in mapper.coverage.within(*addr, end) {
                    if batch.ops.len() + l::MAX_FILES + 4 >= l::MAX_OPS {
                        self.flush(mapper, batch)?;
                    }
                    let args = [from, to - from, host_prot(*prot), 0, 0, 0];
                    batch.ops.push(Op::new(libc::SYS_mprotect, args));
                }
                mapper.coverage.protect(*addr, end, host_prot(*prot));
            }
        }
        Ok(())
    }

    /// See [`crate::AddressSpace::replace_vdso`].
    pub fn replace_vdso(&self, offset: u64) -> Result<(), PlatformError> {
        const SHARED_FIXED: u64 = (libc::MAP_SHARED | libc::MAP_FIXED) as u64;
        const CODE: u64 = (libc::PROT_READ | libc::PROT_EXEC) as u64;
        let Some((addr, len)) = self.core.vdso else {
            return Ok(());
        };
        let mut mapper = self.mapper();
        self.settle(&mut mapper)?;
        let args = [addr, len, CODE, SHARED_FIXED, l::FD_MEMORY, offset];
        self.run(&mut mapper, &[Op::new(libc::SYS_mmap, args)])
    }

    /// A new stub with the same mappings.
    pub fn fork(self: &Arc<Self>) -> Result<Arc<Self>, PlatformError> {
        let what = exhausted("forking a stub");
        let core = &self.core;
        let chunk = core.control.take()?;
        Mapper::write_batch(core, chunk.offset(), 1, &[], 0);
        let (ours, its) = channels().map_err(&what)?;
        let mut mapper = self.mapper();
        if self.is_killed() {
            return Err(PlatformError::Gone);
        }
        self.settle(&mut mapper)?;
        let receive = mapper.give(&[&its.reply, &its.socket]).map_err(&what)?;
        drop(its);
        let close = |fd| Op::lenient(libc::SYS_close, [fd, 0, 0, 0, 0, 0]);
        let clone = Op::new(libc::SYS_clone, [STUB_FLAGS, 0, 0, 0, 0, l::CHILD_STUB]);
        let ops = [receive, clone, close(l::FD_FREE), close(l::FD_FREE + 1)];
        let pid = match self.batch(&mut mapper, &ops, chunk.offset()) {
            Ok(pid) => pid,
            Err(Failure::Gone) => return Err(PlatformError::Gone),
            Err(Failure::Call { index: 0, .. }) => {
                self.kill();
                return Err(PlatformError::Gone);
            }
            Err(Failure::Call { errno, .. }) => {
                self.run(&mut mapper, &[close(l::FD_FREE), close(l::FD_FREE + 1)])?;
                return Err(what(errno));
            }
        };
        let mut child = Mapper::new(core.clone(), chunk, ours, pid, mapper.cpu());
        child.coverage = mapper.coverage.clone();
        drop(mapper);
        let first = child.wait();
        let stub = Self::enter(core, pid, child)?;
        let moved = self.moved.load(Ordering::Relaxed);
        stub.moved.store(moved, Ordering::Relaxed);
        if first.is_err() {
            stub.kill();
            return Err(what(libc::EAGAIN));
        }
        Ok(stub)
    }

    /// Has the keeper look for work.
    pub fn wake_keeper(&self) {
        if let Some(keeper) = &self.core.keeper {
            keeper.kick();
        }
    }
}

/// Lengthens a mapping of a batch by one that continues it in the stub and in the file.
fn extend(last: &mut Op, op: &Op) -> bool {
    let [nr, addr, len, prot, flags, fd, offset, _] = last.words;
    let next = [
        nr,
        addr.wrapping_add(len),
        op.words[2],
        prot,
        flags,
        fd,
        offset.wrapping_add(len),
        0,
    ];
    let both = nr == libc::SYS_mmap.cast_unsigned() && op.words == next;
    if both {
        last.words[2] = len.wrapping_add(op.words[2]);
    }
    both
}

fn host_prot(prot: Prot) -> u64 {
    let bit = |on: bool, bit: i32| if on { bit } else { 0 };
    let bits = bit(prot.read, libc::PROT_READ)
        | bit(prot.write, libc::PROT_WRITE)
        | bit(prot.exec, libc::PROT_EXEC);
    u64::from(bits.cast_unsigned())
}

/// The kernel's handle to a [`Stub`]; dropping it ends the stub.
pub struct Space(pub Arc<Stub>);

impl AddressSpace for Space {
    fn commit(&self, ops: &[MapOp]) -> Result<(), PlatformError> {
        self.0.commit(ops)
    }

    fn commit_later(&self, ops: &[MapOp]) -> Result<Commit, PlatformError> {
        self.0.commit_later(ops)
    }

    fn fork(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        Ok(Arc::new(Self(self.0.fork()?)))
    }

    fn spare(&self) -> Option<Arc<dyn AddressSpace>> {
        if self.0.moved.load(Ordering::Relaxed) {
            return None;
        }
        let pool = self.0.core.pool.get()?.upgrade()?;
        Some(Arc::new(Self(pool.spare()?)))
    }

    fn enter_groups(&self, groups: &[OwnedFd]) -> Result<(), PlatformError> {
        let pid = self.0.pid.to_string();
        for group in groups {
            crate::host::write_at(group.as_fd(), None, pid.as_bytes()).map_err(|e| {
                let errno = e.raw_os_error().unwrap_or(libc::EIO);
                exhausted("entering a control group")(errno)
            })?;
        }
        self.0.moved.store(!groups.is_empty(), Ordering::Relaxed);
        Ok(())
    }

    fn new_context(
        &self,
        regs: &Registers,
        cookie: Cookie,
        worker: WorkerId,
    ) -> Result<Arc<dyn Context>, PlatformError> {
        Ok(Arc::new(Handle(self.0.new_thread(regs, cookie, worker)?)))
    }

    fn kill(&self) {
        self.0.kill();
    }

    fn keep_end(&self) -> bool {
        if self.0.reaped.load(Ordering::Acquire) {
            self.0.core.ended.store(true, Ordering::Release);
            self.0.wake_keeper();
        }
        self.0.core.keeper.is_some()
    }

    fn ended(&self) -> bool {
        // The pidfd is readable once the last thread has ended.
        self.0.reaped.load(Ordering::Acquire) || crate::host::poll_now(self.0.pidfd.as_fd()).0
    }

    fn vdso(&self) -> Option<(u64, u64)> {
        self.0.core.vdso
    }

    fn replace_vdso(&self, offset: u64) -> Result<(), PlatformError> {
        self.0.replace_vdso(offset)
    }

    fn words(&self) -> Option<u64> {
        Some(self.0.core.layout.base + l::CHUNK0 + l::WORDS)
    }

    fn post_word(&self) -> Option<u64> {
        self.words()?.checked_add(8 * l::POST_WORD)
    }

    fn set_word(&self, index: usize, value: u64) {
        let mapper = self.0.mapper.lock();
        // A reaped stub has given its chunks back.
        if index < crate::WORDS && !mapper.chunks.is_empty() {
            let at = mapper.first_chunk() + l::WORDS + 8 * index as u64;
            self.0.core.control.window().set64(at, value);
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.0.kill();
    }
}
