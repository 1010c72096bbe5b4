//! Pipes and FIFOs (`pipe(7)`).
//!
//! A [`Pipe`] is a ring of page buffers ([`ring`]): a write copies straight into a page, a
//! read straight out of it. [`PipeEnd`] is what a description holds: the read end, the
//! write end, or both (a FIFO opened `O_RDWR`). [`fifo`] opens named pipes; [`splice`]
//! moves pages in and out for `splice(2)` and `tee(2)`.

mod fifo;
mod ring;
mod splice;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use abi::Errno;
use abi::fs::PollEvents;

pub use fifo::open_fifo;
use ring::Ring;

use super::file::{File, FileOps, IoCx, OpenFlags};
use super::vfs::{Attr, Changed, FileType, SetAttr};
use crate::creds::{Cap, Creds};
use crate::io::{IoDst, IoSrc};
use crate::sync::Mutex;
use crate::task::Task;
use crate::wait::Pollee;
use crate::{Kernel, Result, SysResult};

/// Bytes of a pipe buffer; writes up to this size are atomic (`PIPE_BUF`).
pub const PIPE_BUF: usize = 4096;
/// Default number of page buffers.
const DEFAULT_SLOTS: usize = 16;
/// `/proc/sys/fs/pipe-max-size`: largest capacity without `CAP_SYS_RESOURCE`.
pub const PIPE_MAX_SIZE: usize = 1 << 20;
/// Largest capacity at all; Linux limits it by memory only.
const PIPE_HARD_MAX: usize = 64 << 20;
/// `FIONREAD`.
const FIONREAD: u32 = 0x541b;

const READABLE: PollEvents = PollEvents::IN.union(PollEvents::RDNORM);
const WRITABLE: PollEvents = PollEvents::OUT.union(PollEvents::WRNORM);

struct State {
    ring: Ring,
    readers: usize,
    writers: usize,
}

/// A pipe. Lock rank: object lock; user memory is copied under it.
pub struct Pipe {
    state: Mutex<State>,
    /// How often the read end and the write end were opened, for FIFO opens and `POLLHUP`.
    reader_opens: AtomicU64,
    writer_opens: AtomicU64,
    pollee: Pollee,
    ino: u64,
    changed: Mutex<Changed>,
}

impl Pipe {
    /// An empty pipe with no ends; `ino` is its number in `/proc/PID/fd`.
    fn new(ino: u64) -> Pipe {
        Pipe {
            state: Mutex::new(State {
                ring: Ring::new(DEFAULT_SLOTS),
                readers: 0,
                writers: 0,
            }),
            reader_opens: AtomicU64::new(0),
            writer_opens: AtomicU64::new(0),
            pollee: Pollee::new(),
            ino,
            changed: Mutex::default(),
        }
    }

    fn read(&self, dst: &mut dyn IoDst) -> Result<usize> {
        if dst.remaining() == 0 {
            return Ok(0);
        }
        let mut s = self.state.lock();
        if s.ring.is_empty() {
            return if s.writers == 0 {
                Ok(0)
            } else {
                Err(Errno::EAGAIN)
            };
        }
        let was_full = s.ring.is_full();
        let got = s.ring.read(dst);
        let freed = was_full && !s.ring.is_full();
        drop(s);
        if freed {
            self.pollee.notify(WRITABLE);
        }
        got
    }

    fn write(&self, src: &mut dyn IoSrc, packets: bool) -> Result<usize> {
        if src.remaining() == 0 {
            return Ok(0);
        }
        let mut s = self.state.lock();
        if s.readers == 0 {
            return Err(Errno::EPIPE);
        }
        let put = s.ring.write(src, packets);
        drop(s);
        match put {
            Ok(0) => Err(Errno::EAGAIN),
            Ok(n) => {
                self.pollee.notify(READABLE);
                Ok(n)
            }
            Err(e) => Err(e),
        }
    }
}

/// One end of a pipe, or both, as an open description.
pub struct PipeEnd {
    /// The pipe.
    pub pipe: Arc<Pipe>,
    reads: bool,
    writes: bool,
    /// Whether it is a FIFO: the description has a path.
    named: bool,
    /// `writer_opens` when this end was opened: no hang-up is seen before a first writer.
    writers_seen: u64,
}

impl PipeEnd {
    fn open(pipe: &Arc<Pipe>, reads: bool, writes: bool, named: bool) -> PipeEnd {
        let mut s = pipe.state.lock();
        // Opening the first end of a kind is what a waiting open of the other kind waits for.
        if reads {
            s.readers += 1;
            pipe.reader_opens.fetch_add(1, Ordering::SeqCst);
        }
        let writers_seen = pipe.writer_opens.load(Ordering::SeqCst);
        if writes {
            s.writers += 1;
            pipe.writer_opens.fetch_add(1, Ordering::SeqCst);
        }
        drop(s);
        PipeEnd {
            pipe: pipe.clone(),
            reads,
            writes,
            named,
            writers_seen,
        }
    }

    /// Capacity in bytes (`F_GETPIPE_SZ`).
    pub fn capacity(&self) -> usize {
        self.pipe.state.lock().ring.slots() * PIPE_BUF
    }

    /// `F_SETPIPE_SZ`: rounds up to a power of two of pages; the new capacity. `EPERM` above
    /// the system limit without `CAP_SYS_RESOURCE`, `EBUSY` when more is in use.
    pub fn set_capacity(&self, bytes: u64, creds: &Creds) -> Result<usize> {
        let bytes = usize::try_from(bytes).map_err(|_| Errno::EINVAL)?;
        if bytes > 1 << 31 {
            return Err(Errno::EINVAL);
        }
        let size = bytes.max(PIPE_BUF).next_power_of_two();
        let mut s = self.pipe.state.lock();
        let grows = size > s.ring.slots() * PIPE_BUF;
        if grows && size > PIPE_MAX_SIZE && !creds.capable(Cap::SysResource) {
            return Err(Errno::EPERM);
        }
        if size > PIPE_HARD_MAX {
            return Err(Errno::ENOMEM);
        }
        s.ring.resize(size / PIPE_BUF)?;
        drop(s);
        self.pipe.pollee.notify(WRITABLE);
        Ok(size)
    }

    /// Whether it can be read from.
    pub fn is_reader(&self) -> bool {
        self.reads
    }

    /// Whether it can be written to.
    pub fn is_writer(&self) -> bool {
        self.writes
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        let mut s = self.pipe.state.lock();
        s.readers -= usize::from(self.reads);
        s.writers -= usize::from(self.writes);
        let (readers, writers) = (s.readers, s.writers);
        if readers == 0 && writers == 0 {
            // A FIFO that nobody has open keeps no data.
            s.ring.clear();
        }
        drop(s);
        if readers == 0 || writers == 0 {
            self.pipe
                .pollee
                .notify(READABLE | WRITABLE | PollEvents::HUP | PollEvents::ERR);
        }
    }
}

impl FileOps for PipeEnd {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn signals_io(&self) -> bool {
        true
    }

    fn reopen(&self, flags: OpenFlags) -> Result<Arc<dyn FileOps>> {
        let end = PipeEnd::open(&self.pipe, flags.readable(), flags.writable(), self.named);
        let events = PollEvents::PRI | READABLE | WRITABLE;
        self.pipe.pollee.notify(events);
        Ok(Arc::new(end))
    }
    fn read(&self, _cx: &IoCx<'_>, dst: &mut dyn IoDst, _pos: u64) -> Result<usize> {
        self.pipe.read(dst)
    }

    fn write(&self, cx: &IoCx<'_>, src: &mut dyn IoSrc, _pos: u64) -> Result<usize> {
        let packets = cx.file.flags().contains(OpenFlags::DIRECT);
        self.pipe.write(src, packets)
    }

    fn poll(&self, _cx: &IoCx<'_>) -> PollEvents {
        let s = self.pipe.state.lock();
        let mut ready = PollEvents::empty();
        if self.reads {
            if !s.ring.is_empty() {
                ready |= READABLE;
            }
            let seen = self.pipe.writer_opens.load(Ordering::SeqCst) != self.writers_seen;
            if s.writers == 0 && (seen || !self.named) {
                ready |= PollEvents::HUP;
            }
        }
        if self.writes {
            if !s.ring.is_full() {
                ready |= WRITABLE;
            }
            if s.readers == 0 {
                ready |= PollEvents::ERR;
            }
        }
        ready
    }

    fn pollee(&self) -> Option<&Pollee> {
        Some(&self.pipe.pollee)
    }

    fn ioctl(&self, cx: &IoCx<'_>, request: u32, arg: u64) -> SysResult<i64> {
        match request {
            FIONREAD => {
                let n = i32::try_from(self.pipe.state.lock().ring.bytes()).unwrap_or(i32::MAX);
                let t = cx.task.ok_or(Errno::ENOTTY)?;
                t.mm()
                    .copy_out(arg, &n.to_ne_bytes())
                    .map_err(Errno::from)?;
                Ok(0)
            }
            _ => Err(Errno::ENOTTY.into()),
        }
    }

    fn fcntl(&self, cx: &IoCx<'_>, cmd: u32, arg: u64) -> SysResult<i64> {
        const F_SETPIPE_SZ: u32 = 1031;
        const F_GETPIPE_SZ: u32 = 1032;
        let bytes = match (cmd, cx.task) {
            (F_GETPIPE_SZ, _) => self.capacity(),
            (F_SETPIPE_SZ, Some(t)) => self.set_capacity(arg, &t.creds())?,
            _ => return Err(Errno::EINVAL.into()),
        };
        Ok(i64::try_from(bytes).unwrap_or(i64::MAX))
    }

    fn attr(&self) -> Result<Attr> {
        let attr = Attr {
            dev: 13,
            ino: self.pipe.ino,
            kind: FileType::Fifo,
            ..Attr::anonymous()
        };
        Ok(self.pipe.changed.lock().on(attr))
    }

    fn set_attr(&self, set: &SetAttr) -> Result<()> {
        self.pipe.changed.lock().note(set)
    }

    fn description(&self) -> String {
        format!("pipe:[{}]", self.pipe.ino)
    }
}

/// The two ends of a new pipe: read end, write end (`pipe2(2)`).
pub fn new_pair(kernel: &Kernel, flags: OpenFlags) -> (Arc<File>, Arc<File>) {
    let pipe = Arc::new(Pipe::new(kernel.next_anon_ino()));
    let status = flags & (OpenFlags::NONBLOCK | OpenFlags::DIRECT);
    let reader = PipeEnd::open(&pipe, true, false, false);
    let writer = PipeEnd::open(&pipe, false, true, false);
    (
        File::anonymous(Arc::new(reader), status),
        File::anonymous(Arc::new(writer), status | OpenFlags::WRONLY),
    )
}

/// Installs both ends of a new pipe in the table of `t`; `EMFILE`.
pub fn pipe2(t: &Arc<Task>, flags: OpenFlags) -> Result<(i32, i32)> {
    let (r, w) = new_pair(&t.kernel, flags);
    let cloexec = flags.contains(OpenFlags::CLOEXEC);
    let limit = t.limit(crate::task::limits::Resource::Nofile);
    let files = t.files();
    let rfd = files.install(r, 0, cloexec, limit)?;
    match files.install(w, 0, cloexec, limit) {
        Ok(wfd) => Ok((rfd, wfd)),
        Err(e) => {
            drop(files.remove(rfd));
            Err(e)
        }
    }
}
