//! Files of the caller: its standard input, output and error, given as host descriptors.
//!
//! The description is shared with the caller, so its flags are left alone and its position
//! is the host's: reads and writes are plain `read(2)` and `write(2)`. What could block
//! (pipes, sockets, terminals) is asked with `poll(2)` first and moved in pieces the host
//! takes without waiting.

use std::any::Any;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::fs::PollEvents;
use platform::host::{self, FdKind};

use super::file::{File, FileOps, IoCx, OpenFlags, Whence};
use super::host_watch::WatchedFd;
use super::pipe::PIPE_BUF;
use super::vfs::{Attr, FileType};
use crate::io::{IoDst, IoSrc};
use crate::wait::{Pollee, Wake};
use crate::{Kernel, Result, SysResult};

const READABLE: PollEvents = PollEvents::IN.union(PollEvents::RDNORM);
const WRITABLE: PollEvents = PollEvents::OUT.union(PollEvents::WRNORM);
/// `FIONREAD`.
const FIONREAD: u32 = 0x541b;

/// A host descriptor as a file of the guest.
pub struct HostFile {
    fd: OwnedFd,
    kind: FdKind,
    ino: u64,
    ready: Arc<Ready>,
    /// What tells of input and of room for output; `None` for files that never wait.
    watch_in: Option<WatchedFd>,
    watch_out: Option<WatchedFd>,
}

struct Ready(Pollee);

impl Wake for Ready {
    fn wake(&self, events: PollEvents) -> bool {
        self.0.notify(events);
        true
    }
}

impl HostFile {
    /// Takes over a descriptor of the caller as an open description with the access mode
    /// the host reports; `EBADF` for one that is not open.
    pub fn import(kernel: &Arc<Kernel>, fd: OwnedFd) -> Result<Arc<File>> {
        let info = host::describe(fd.as_fd()).map_err(Errno::from)?;
        let flags = OpenFlags::from_bits_retain(info.flags)
            & (OpenFlags::WRONLY | OpenFlags::RDWR | OpenFlags::APPEND);
        let ready = Arc::new(Ready(Pollee::new()));
        let waits = matches!(
            info.kind,
            FdKind::Pipe | FdKind::Socket | FdKind::CharDevice
        );
        let (mut watch_in, mut watch_out) = (None, None);
        if waits {
            let wake: Weak<dyn Wake> = Arc::downgrade(&(ready.clone() as Arc<dyn Wake>));
            // An epoll set is readable when what it watches is ready; a descriptor that no
            // epoll set takes never waits.
            if let Ok(set) = host::readiness_set(fd.as_fd(), true, false) {
                watch_in = Some(WatchedFd::new(kernel, set, wake.clone()));
            }
            if let Ok(set) = host::readiness_set(fd.as_fd(), false, true) {
                watch_out = Some(WatchedFd::new(kernel, set, wake));
            }
        }
        let file = HostFile {
            fd,
            kind: info.kind,
            ino: kernel.next_anon_ino(),
            ready,
            watch_in,
            watch_out,
        };
        Ok(File::anonymous(Arc::new(file), flags))
    }

    /// The host descriptor.
    pub fn host_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Input, room for output, hang-up; arms the watch of what is missing.
    fn readiness(&self) -> (bool, bool, bool) {
        let (Some(win), Some(wout)) = (&self.watch_in, &self.watch_out) else {
            return (true, true, false);
        };
        let (input, output, hup) = host::poll_now(self.fd.as_fd());
        let input_missing = !input && !hup && !win.arm();
        let output_missing = !output && !hup && !wout.arm();
        // What cannot be watched counts as ready, or it would be waited for in vain.
        (input || input_missing, output || output_missing, hup)
    }

    /// Devices that never wait (`/dev/null`) have a position, if only to show.
    fn is_seekable(&self) -> bool {
        let never_waits = self.kind == FdKind::CharDevice && self.watch_in.is_none();
        never_waits || matches!(self.kind, FdKind::Regular | FdKind::BlockDevice)
    }

    /// Whether a positional call is meant: a sequential one holds the offset lock.
    fn positional(&self, cx: &IoCx<'_>, pos: u64) -> Option<u64> {
        (self.is_seekable() && cx.file.offset.try_lock().is_some()).then_some(pos)
    }
}

impl FileOps for HostFile {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn signals_io(&self) -> bool {
        self.watch_in.is_some() || self.watch_out.is_some()
    }

    fn read(&self, cx: &IoCx<'_>, dst: &mut dyn IoDst, pos: u64) -> Result<usize> {
        let mut len = dst.remaining();
        if self.watch_in.is_some() {
            let (input, _, hup) = self.readiness();
            if !input && !hup {
                return Err(Errno::EAGAIN);
            }
            // A scattered read is several host reads: the later ones must not wait.
            let there = host::input_bytes(self.fd.as_fd()).map_or(1, |n| n.max(1));
            len = len.min(usize::try_from(there).unwrap_or(1));
        }
        dst.put_host(self.fd.as_fd(), self.positional(cx, pos), len)
    }

    fn write(&self, cx: &IoCx<'_>, src: &mut dyn IoSrc, pos: u64) -> Result<usize> {
        if self.watch_out.is_none() {
            let len = src.remaining();
            return src.take_host(self.fd.as_fd(), self.positional(cx, pos), len);
        }
        let mut done = 0;
        while src.remaining() > 0 {
            let (_, output, hup) = self.readiness();
            if !output && !hup {
                break;
            }
            let len = src.remaining().min(PIPE_BUF);
            match src.take_host(self.fd.as_fd(), None, len) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        if done == 0 && src.remaining() > 0 {
            return Err(Errno::EAGAIN);
        }
        Ok(done)
    }

    fn seekable(&self) -> bool {
        self.is_seekable()
    }

    fn seek(&self, _cx: &IoCx<'_>, _cur: u64, offset: i64, whence: Whence) -> Result<u64> {
        if !self.is_seekable() {
            return Err(Errno::ESPIPE);
        }
        let whence = match whence {
            Whence::Set => 0,
            Whence::Cur => 1,
            Whence::End => 2,
            Whence::Data => 3,
            Whence::Hole => 4,
        };
        host::seek(self.fd.as_fd(), offset, whence).map_err(Errno::from)
    }

    fn poll(&self, _cx: &IoCx<'_>) -> PollEvents {
        let (input, output, hup) = self.readiness();
        let mut ready = PollEvents::empty();
        if input {
            ready |= READABLE;
        }
        if output {
            ready |= WRITABLE;
        }
        if hup {
            ready |= PollEvents::HUP;
        }
        ready
    }

    fn pollee(&self) -> Option<&Pollee> {
        self.watch_in.as_ref().map(|_| &self.ready.0)
    }

    fn ioctl(&self, cx: &IoCx<'_>, request: u32, arg: u64) -> SysResult<i64> {
        if request != FIONREAD {
            return Err(Errno::ENOTTY.into());
        }
        let n = host::input_bytes(self.fd.as_fd()).map_err(Errno::from)?;
        let t = cx.task.ok_or(Errno::ENOTTY)?;
        t.mm()
            .copy_out(arg, &n.to_ne_bytes())
            .map_err(Errno::from)?;
        Ok(0)
    }

    fn truncate(&self, _cx: &IoCx<'_>, len: u64) -> Result<()> {
        host::truncate(self.fd.as_fd(), len).map_err(Errno::from)
    }

    fn sync(&self, _cx: &IoCx<'_>, _data_only: bool) -> Result<()> {
        if self.is_seekable() {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }

    fn attr(&self) -> Result<Attr> {
        let info = host::describe(self.fd.as_fd()).map_err(Errno::from)?;
        let kind = match self.kind {
            FdKind::Pipe => FileType::Fifo,
            FdKind::Socket => FileType::Socket,
            FdKind::CharDevice => FileType::CharDevice,
            FdKind::BlockDevice => FileType::BlockDevice,
            FdKind::Directory => FileType::Directory,
            FdKind::Regular | FdKind::Other => FileType::Regular,
        };
        Ok(Attr {
            dev: 13,
            ino: self.ino,
            kind,
            size: info.size,
            rdev: info.rdev,
            blocks: info.size.div_ceil(512),
            ..Attr::anonymous()
        })
    }

    fn description(&self) -> String {
        match self.kind {
            FdKind::Pipe => format!("pipe:[{}]", self.ino),
            FdKind::Socket => format!("socket:[{}]", self.ino),
            FdKind::CharDevice => "/dev/null".to_owned(),
            _ => format!("host:[{}]", self.ino),
        }
    }
}
