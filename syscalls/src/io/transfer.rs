//! Reads and writes that may wait: one attempt for both, whatever the object.
//!
//! An object answers `EAGAIN` when it cannot go on; the attempt is then parked on its queue.
//! A blocking write to a stream goes on until everything is written; a signal ends it with
//! what was done.

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;
use abi::fs::PollEvents;
use abi::signal::{SigInfo, Signal};
use sentry::fs::eventfd::EventFd;
use sentry::fs::inotify::{self, Mask};
use sentry::fs::vfs::change::killed_perm;
use sentry::fs::vfs::{FileType, SetAttr};
use sentry::fs::{File, IoCx, OpenFlags};
use sentry::io::{IoDst, IoSrc, KernelSrc, UserIo};
use sentry::retry::{Attempt, Registrations, retry};
use sentry::task::limits::{INFINITY, Resource};
use sentry::wait::{Share, Waker};
use sentry::{OnSignal, Result, Stop, SysResult, Task};

/// Tells watchers of the file.
pub fn tell(file: &File, mask: Mask) {
    if let Some(path) = &file.path {
        inotify::event(path, mask);
    }
}

/// What may be read from now.
const READABLE: PollEvents = PollEvents::IN.union(PollEvents::RDNORM);
/// What may be written to now.
const WRITABLE: PollEvents = PollEvents::OUT.union(PollEvents::WRNORM);

/// How one transfer is done, besides its buffer.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// At this position; `None` at the file's own, which moves.
    pub pos: Option<u64>,
    /// Fail with `EAGAIN` rather than wait.
    pub nowait: bool,
    /// At the end, whatever the position.
    pub append: bool,
    /// At the position even of an `O_APPEND` description.
    pub noappend: bool,
    /// The data must be on the disk before the call returns.
    pub sync: bool,
}

fn nonblock(file: &File, how: &How) -> bool {
    how.nowait || file.flags().contains(OpenFlags::NONBLOCK)
}

/// Ends with what was done unless nothing was.
fn ended(e: Errno, done: usize) -> SysResult<i64> {
    if done > 0 {
        return Ok(done as i64);
    }
    Err(e.into())
}

/// The end of a range must be a position too; `EINVAL`.
fn check_range(pos: u64, len: usize) -> Result<()> {
    let end = pos.checked_add(len as u64);
    end.and_then(|e| i64::try_from(e).ok())
        .map_or(Err(Errno::EINVAL), |_| Ok(()))
}

struct Read {
    file: Arc<File>,
    io: UserIo,
    how: How,
    waited: bool,
}

impl Read {
    fn once(&mut self, t: &Arc<Task>) -> Result<usize> {
        let cx = IoCx {
            file: &self.file,
            task: Some(t),
            nonblock: nonblock(&self.file, &self.how),
        };
        let ops = &self.file.ops;
        if !ops.seekable() {
            return ops.read(&cx, &mut self.io, 0);
        }
        if let Some(pos) = self.how.pos {
            check_range(pos, IoDst::remaining(&self.io))?;
            return ops.read(&cx, &mut self.io, pos);
        }
        let mut offset = self.file.offset.lock();
        check_range(*offset, IoDst::remaining(&self.io))?;
        let n = ops.read(&cx, &mut self.io, *offset)?;
        *offset = offset.saturating_add(n as u64);
        Ok(n)
    }

    /// Somebody else may go on with what this one leaves.
    fn pass_on(&self, t: &Arc<Task>) {
        if !self.waited {
            return;
        }
        if let Some(pollee) = self.file.ops.pollee()
            && pollee.has_waiters()
            && self
                .file
                .ops
                .poll(&self.file.cx(Some(t)))
                .intersects(READABLE)
        {
            // All of them: this reader's own place in the queue may come first.
            pollee.notify_all();
        }
    }
}

impl Attempt for Read {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        let empty = IoDst::remaining(&self.io) == 0;
        match self.once(t) {
            Err(Errno::EAGAIN) if empty => Ok(0),
            Err(Errno::EAGAIN) => {
                self.waited = true;
                Err(Errno::EAGAIN.into())
            }
            Err(e) => Err(e.into()),
            Ok(n) => {
                t.account.read(n);
                self.pass_on(t);
                if n > 0 {
                    tell(&self.file, Mask::ACCESS);
                }
                Ok(n as i64)
            }
        }
    }

    fn watch(&self, waker: Waker) -> Registrations {
        let mut list = Registrations::new();
        if let Some(pollee) = self.file.ops.pollee() {
            list.push(pollee.register(READABLE, waker, Share::All));
        }
        list
    }

    fn on_signal(&mut self, t: &Arc<Task>) -> OnSignal {
        self.pass_on(t);
        class(&self.file, false)
    }

    fn name(&self) -> &'static str {
        "read"
    }
}

/// When the wait of a description with a timeout of its own ends.
fn deadline(t: &Arc<Task>, file: &File, write: bool) -> Option<Duration> {
    let span = file.ops.io_timeout(write)?;
    Some(t.kernel.clock.monotonic().saturating_add(span))
}

/// A wait with a timeout is not restarted: the rest of the time is not known.
fn class(file: &File, write: bool) -> OnSignal {
    match file.ops.io_timeout(write) {
        Some(_) => OnSignal::Eintr,
        None => OnSignal::Restart,
    }
}

/// Reads into `io`, waiting if the description blocks.
pub fn read(t: &Arc<Task>, file: Arc<File>, io: UserIo, how: How) -> SysResult<i64> {
    let waits = !nonblock(&file, &how) && file.ops.pollee().is_some();
    let mut read = Read {
        file,
        io,
        how,
        waited: false,
    };
    if waits {
        let deadline = deadline(t, &read.file, false);
        return retry(t, read, deadline);
    }
    read.attempt(t)
}

struct Write {
    file: Arc<File>,
    io: UserIo,
    how: How,
    done: usize,
    /// The number for an eventfd, which is read once.
    event: Option<[u8; 8]>,
}

impl Write {
    /// Adds to an eventfd.
    fn once_event(&mut self, t: &Arc<Task>) -> Result<usize> {
        let bytes = match self.event {
            Some(bytes) => bytes,
            None => {
                let mut bytes = [0; 8];
                if self.io.take(&mut bytes)? < bytes.len() {
                    return Err(Errno::EFAULT);
                }
                bytes
            }
        };
        self.event = Some(bytes);
        let cx = self.file.cx(Some(t));
        self.file.ops.write(&cx, &mut KernelSrc::new(&bytes), 0)
    }

    fn appends(&self) -> bool {
        let append = self.file.flags().contains(OpenFlags::APPEND) && !self.how.noappend;
        append || self.how.append
    }

    fn once(&mut self, t: &Arc<Task>) -> Result<usize> {
        if IoSrc::remaining(&self.io) == 8 && self.file.downcast::<EventFd>().is_some() {
            return self.once_event(t);
        }
        let cx = IoCx {
            file: &self.file,
            task: Some(t),
            nonblock: nonblock(&self.file, &self.how),
        };
        let ops = &self.file.ops;
        if !ops.seekable() {
            return ops.write(&cx, &mut self.io, 0);
        }
        if let Some(pos) = self.how.pos {
            check_range(pos, IoSrc::remaining(&self.io))?;
            if self.appends() {
                limit_size(t, &self.file, &mut self.io, None)?;
                return ops.append(&cx, &mut self.io).map(|(n, _)| n);
            }
            limit_size(t, &self.file, &mut self.io, Some(pos))?;
            return ops.write(&cx, &mut self.io, pos);
        }
        let mut offset = self.file.offset.lock();
        if self.appends() {
            limit_size(t, &self.file, &mut self.io, None)?;
            let (n, end) = ops.append(&cx, &mut self.io)?;
            *offset = end;
            return Ok(n);
        }
        check_range(*offset, IoSrc::remaining(&self.io))?;
        limit_size(t, &self.file, &mut self.io, Some(*offset))?;
        let n = ops.write(&cx, &mut self.io, *offset)?;
        *offset = offset.saturating_add(n as u64);
        Ok(n)
    }

    /// Whether it waits for room.
    fn waits(&self) -> bool {
        self.file.ops.pollee().is_some() && !nonblock(&self.file, &self.how)
    }

    /// Whether a blocking write goes on with the rest.
    fn goes_on(&self) -> bool {
        !self.file.ops.seekable() && self.waits() && self.file.downcast::<EventFd>().is_none()
    }
}

impl Attempt for Write {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        loop {
            let empty = IoSrc::remaining(&self.io) == 0;
            let before = self.io.clone();
            match self.once(t) {
                Err(Errno::EAGAIN) if empty => return Ok(self.done as i64),
                Err(Errno::EAGAIN) if self.waits() => {
                    // What an object took and could not use is given again.
                    self.io = before;
                    return Err(Errno::EAGAIN.into());
                }
                Err(Errno::EPIPE) => {
                    t.post_signal(SigInfo::new(Signal::SIGPIPE, 0));
                    return ended(Errno::EPIPE, self.done);
                }
                Err(e) => return ended(e, self.done),
                Ok(n) => {
                    t.account.write(n);
                    self.done += n;
                    if n > 0 {
                        tell(&self.file, Mask::MODIFY);
                    }
                    if n == 0 || IoSrc::remaining(&self.io) == 0 || !self.goes_on() {
                        return Ok(self.done as i64);
                    }
                }
            }
        }
    }

    fn watch(&self, waker: Waker) -> Registrations {
        let mut list = Registrations::new();
        if let Some(pollee) = self.file.ops.pollee() {
            list.push(pollee.register(WRITABLE, waker, Share::All));
        }
        list
    }

    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        if self.done > 0 {
            OnSignal::Finish(self.done as i64)
        } else {
            class(&self.file, true)
        }
    }

    fn timed_out(&mut self, _t: &Arc<Task>) -> SysResult<i64> {
        ended(Errno::EAGAIN, self.done)
    }

    fn name(&self) -> &'static str {
        "write"
    }
}

/// Writes from `io`, waiting if the description blocks.
pub fn write(t: &Arc<Task>, file: Arc<File>, io: UserIo, how: How) -> SysResult<i64> {
    drop_privileges(t, &file)?;
    let waits = !nonblock(&file, &how) && file.ops.pollee().is_some();
    let synced = how.sync || file.flags().contains(OpenFlags::DSYNC);
    let mut write = Write {
        file: file.clone(),
        io,
        how,
        done: 0,
        event: None,
    };
    if waits {
        let deadline = deadline(t, &write.file, true);
        return retry(t, write, deadline);
    }
    let n = match write.attempt(t) {
        Err(Stop::Errno(e)) => return Err(e.into()),
        r => r?,
    };
    if synced && n > 0 && file.ops.seekable() {
        file.ops.sync(&file.cx(Some(t)), true)?;
    }
    Ok(n)
}

/// A write by somebody without `CAP_FSETID` takes the set-id bits off.
fn drop_privileges(t: &Arc<Task>, file: &File) -> Result<()> {
    if !file.ops.seekable() || t.creds().capable(sentry::creds::Cap::Fsetid) {
        return Ok(());
    }
    let Some(inode) = file.inode() else {
        return Ok(());
    };
    let attr = inode.attr()?;
    if let Some(perm) = killed_perm(&t.creds(), &attr) {
        inode.set_attr(&SetAttr {
            perm: Some(perm),
            ..SetAttr::default()
        })?;
    }
    Ok(())
}

/// Applies `RLIMIT_FSIZE` to a write at `pos` (`None`: at the end): `EFBIG` and `SIGXFSZ`
/// when nothing fits.
fn limit_size(t: &Arc<Task>, file: &File, io: &mut UserIo, pos: Option<u64>) -> Result<()> {
    let limit = t.limit(Resource::Fsize);
    if limit == INFINITY || IoSrc::remaining(io) == 0 {
        return Ok(());
    }
    // A file of the caller has its position on the host: it is written at its end, mostly.
    let (attr, pos) = match file.inode() {
        Some(inode) => (inode.attr()?, pos),
        None => (file.ops.attr()?, None),
    };
    if attr.kind != FileType::Regular || !file.ops.seekable() {
        return Ok(());
    }
    let pos = pos.unwrap_or(attr.size);
    let room = limit.saturating_sub(pos);
    if room == 0 {
        t.post_signal(SigInfo::new(Signal::SIGXFSZ, 0));
        return Err(Errno::EFBIG);
    }
    io.limit(usize::try_from(room).unwrap_or(usize::MAX));
    Ok(())
}

/// `RLIMIT_FSIZE` for a change of size; `EFBIG` and `SIGXFSZ`.
pub fn check_size(t: &Arc<Task>, size: u64) -> Result<()> {
    if size > t.limit(Resource::Fsize) {
        t.post_signal(SigInfo::new(Signal::SIGXFSZ, 0));
        return Err(Errno::EFBIG);
    }
    Ok(())
}
