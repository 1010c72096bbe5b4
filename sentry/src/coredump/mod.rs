//! Core dumps (`core(5)`): a process that a signal ends leaves its memory in a file.
//!
//! The thread that takes the signal stops the others where their registers can be read
//! ([`Task::hold_for_dump`]), writes the file ([`elf`] makes its head, [`name`] its name),
//! and ends the process.

pub mod elf;
pub mod name;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::PAGE_SIZE;
use abi::fs::PollEvents;
use abi::signal::SigInfo;
use platform::Registers;

use crate::Result;
use crate::fs::file::{File, OpenFlags};
use crate::fs::vfs::walk::WalkCx;
use crate::fs::vfs::{change, open};
use crate::io::KernelSrc;
use crate::mm::dump::Segment;
use crate::ptrace::access::peek;
use crate::signal::{Taken, WaitStatus, send};
use crate::task::Task;
use crate::task::limits::Resource;
use crate::wait::{OnSignal, Operation, Registration, Share, Stop, SysResult};

/// Bytes moved at a time.
const CHUNK: usize = 16 * PAGE_SIZE as usize;
/// A limit below this makes no file.
const SMALLEST: u64 = PAGE_SIZE;
/// Permission bits of a core file.
const MODE: u32 = 0o600;

/// A thread that waits for the others to stop, and then dumps.
struct Dumping {
    taken: Taken,
    _wait: Registration,
}

impl Operation for Dumping {
    fn step(self: Box<Self>, t: &Arc<Task>) -> SysResult<i64> {
        let others = t.thread_group().tasks();
        let runs = |o: &Arc<Task>| {
            !Arc::ptr_eq(o, t) && !o.held_for_dump.load(Ordering::SeqCst) && !o.in_trace_stop()
        };
        if others.iter().any(runs) {
            return Err(Stop::Wait(self));
        }
        let dumped = t.dump(&self.taken.info).is_ok();
        let status = WaitStatus::killed(self.taken.signal, dumped);
        send::begin_exit(t.thread_group(), status);
        t.exit_doomed();
        Err(Stop::Gone)
    }
    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        OnSignal::Hold
    }
    fn uninterruptible(&self) -> bool {
        true
    }
    fn name(&self) -> &'static str {
        "do_coredump"
    }
}

impl Task {
    /// Whether a signal that dumps would leave a file.
    pub(crate) fn would_dump(&self) -> bool {
        self.limit(Resource::Core) >= SMALLEST && self.thread_group().dumpable()
    }

    /// Begins the dump for a signal, the registers at hand: the other threads stop first.
    pub(crate) fn begin_dump(self: &Arc<Task>, taken: Taken) -> Box<dyn Operation> {
        let group = self.thread_group();
        for t in group.tasks() {
            if !Arc::ptr_eq(&t, self) {
                t.kick();
            }
        }
        let queue = &group.thread_gone;
        Box::new(Dumping {
            taken,
            _wait: queue.register(PollEvents::IN, self.waker(), Share::All),
        })
    }

    /// This thread stands still with its registers at hand while another dumps.
    pub(crate) fn hold_for_dump(&self) {
        self.held_for_dump.store(true, Ordering::SeqCst);
        self.thread_group().thread_gone.notify(PollEvents::IN);
    }

    fn dump(self: &Arc<Task>, info: &SigInfo) -> Result<()> {
        let signal = u8::try_from(info.signo).unwrap_or(0);
        let name = name::of(self, signal).ok_or(abi::Errno::ENOENT)?;
        let cx = WalkCx::of(self);
        let start = cx.cwd.clone();
        // A file that is in the way goes; what cannot go is found by the open.
        let _: Result<()> = change::unlink(&cx, &start, &name);
        let how = open::OpenHow {
            flags: OpenFlags::CREAT | OpenFlags::EXCL | OpenFlags::WRONLY | OpenFlags::NOFOLLOW,
            perm: MODE,
            ..Default::default()
        };
        let file = open(&cx, &start, &name, &how)?;
        let filter = self.thread_group().coredump_filter.load(Ordering::Relaxed);
        let segments = self.mm().segments(filter);
        let head = elf::head(&self.dumped_threads(), info, &segments);
        let mut out = CoreFile {
            file,
            limit: self.limit(Resource::Core),
            end: 0,
        };
        // From here on a file that ends early is a core file too.
        let _: Result<()> = self.write_dump(&mut out, &head, &segments);
        Ok(())
    }

    /// The threads with their registers, this one first.
    fn dumped_threads(self: &Arc<Task>) -> Vec<(Arc<Task>, Registers)> {
        let others = self.thread_group().tasks();
        let others = others.into_iter().filter(|t| !Arc::ptr_eq(t, self));
        std::iter::once(self.clone())
            .chain(others)
            .filter_map(|t| {
                let mut regs = t.context().ok()?.regs()?;
                regs.gp.orig_rax = u64::MAX;
                Some((t, regs))
            })
            .collect()
    }

    fn write_dump(&self, out: &mut CoreFile, head: &elf::Head, segments: &[Segment]) -> Result<()> {
        out.put(0, &head.bytes)?;
        let mut buf = vec![0u8; CHUNK];
        for (s, offset) in segments.iter().zip(&head.offsets) {
            let mut at = 0;
            while at < s.dumped {
                let n = usize::try_from((s.dumped - at).min(CHUNK as u64)).unwrap_or(CHUNK);
                let part = buf.get_mut(..n).unwrap_or_default();
                if self.fill(s, s.map.start + at, part) {
                    out.put(offset.saturating_add(at), part)?;
                }
                at += n as u64;
            }
            out.reach(offset.saturating_add(s.dumped));
        }
        out.finish()
    }

    /// Reads a part of a segment; false when it is all zero.
    fn fill(&self, s: &Segment, addr: u64, part: &mut [u8]) -> bool {
        let mm = self.mm();
        part.fill(0);
        let pages = part.len() as u64;
        if s.sparse && mm.present(addr, pages).is_ok_and(|p| !p.contains(&1)) {
            return false;
        }
        for (i, page) in part.chunks_mut(PAGE_SIZE as usize).enumerate() {
            let at = addr + i as u64 * PAGE_SIZE;
            if peek(&self.kernel, &mm, at, page).is_err() {
                page.fill(0);
            }
        }
        part.iter().any(|b| *b != 0)
    }
}

/// The file being written.
struct CoreFile {
    file: Arc<File>,
    limit: u64,
    end: u64,
}

impl CoreFile {
    /// Writes at a place, as far as the limit lets.
    fn put(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        let room = usize::try_from(self.limit.saturating_sub(at)).unwrap_or(usize::MAX);
        let bytes = bytes.get(..bytes.len().min(room)).unwrap_or_default();
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|r| !r.is_empty()) {
            let pos = at.saturating_add(done as u64);
            let n = self
                .file
                .ops
                .write(&self.file.cx(None), &mut KernelSrc::new(rest), pos)?;
            if n == 0 {
                return Err(abi::Errno::EIO);
            }
            done += n;
        }
        self.end = self.end.max(at.saturating_add(done as u64));
        if room <= done {
            return Err(abi::Errno::EFBIG);
        }
        Ok(())
    }

    fn reach(&mut self, end: u64) {
        self.end = self.end.max(end.min(self.limit));
    }

    /// Makes what was left out at the end a hole.
    fn finish(&self) -> Result<()> {
        self.file.ops.truncate(&self.file.cx(None), self.end)
    }
}
