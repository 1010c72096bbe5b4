//! `splice(2)`, `tee(2)`, `vmsplice(2)`: data between pipes and other files.

use std::sync::Arc;

use abi::Errno;
use abi::fs::PollEvents;
use abi::signal::{SigInfo, Signal};
use sentry::fs::inotify::Mask;
use sentry::fs::pipe::PipeEnd;
use sentry::fs::{File, IoCx, OpenFlags};
use sentry::io::{KernelDst, KernelSrc};
use sentry::retry::{Attempt, Registrations, retry};
use sentry::wait::{Share, Waker};
use sentry::{Result, SysResult, Task};

use super::transfer::{self, How, tell};
use super::{file, readable, writable};
use crate::arg::{Fd, In, InOut, Out, UserIoVec, UserPtr};

const SPLICE_F_NONBLOCK: u32 = 2;
/// `MOVE`, `NONBLOCK`, `MORE`, `GIFT`.
const KNOWN: u32 = 0xf;

/// One end of a transfer.
struct End {
    file: Arc<File>,
    /// Position, and where it is written back (`None`: it is the file's own).
    pos: u64,
    report: Option<u64>,
}

impl End {
    /// `ESPIPE` for a position in a pipe, `EINVAL` in other things without one.
    fn new(t: &Arc<Task>, file: Arc<File>, offset: &UserPtr<i64, InOut>) -> Result<End> {
        let report = (!offset.is_null()).then_some(offset.addr());
        if report.is_some() && file.downcast::<PipeEnd>().is_some() {
            return Err(Errno::ESPIPE);
        }
        if report.is_some() && !file.ops.seekable() {
            return Err(Errno::EINVAL);
        }
        let pos = match report {
            Some(addr) => {
                let pos = UserPtr::<i64, In>::at(addr).read(t)?;
                u64::try_from(pos).map_err(|_| Errno::EINVAL)?
            }
            None => *file.offset.lock(),
        };
        Ok(End { file, pos, report })
    }

    fn pipe(&self) -> Option<&PipeEnd> {
        self.file.downcast::<PipeEnd>()
    }

    fn cx<'a>(&'a self, t: &'a Arc<Task>) -> IoCx<'a> {
        IoCx {
            file: &self.file,
            task: Some(t),
            nonblock: true,
        }
    }

    fn read(&self, t: &Arc<Task>, buf: &mut [u8], done: u64) -> Result<usize> {
        let pos = self.pos.saturating_add(done);
        let mut dst = KernelDst::new(buf);
        let n = self.file.ops.read(&self.cx(t), &mut dst, pos)?;
        tell(&self.file, Mask::ACCESS);
        Ok(n)
    }

    fn write(&self, t: &Arc<Task>, bytes: &[u8], done: u64) -> Result<usize> {
        let pos = self.pos.saturating_add(done);
        let mut src = KernelSrc::new(bytes);
        let n = self.file.ops.write(&self.cx(t), &mut src, pos)?;
        tell(&self.file, Mask::MODIFY);
        Ok(n)
    }

    fn report(&self, t: &Arc<Task>, done: u64) -> Result<()> {
        if !self.file.ops.seekable() {
            return Ok(());
        }
        let pos = self.pos.saturating_add(done);
        match self.report {
            Some(addr) => UserPtr::<u64, Out>::at(addr).write(t, &pos),
            None => {
                *self.file.offset.lock() = pos;
                Ok(())
            }
        }
    }
}

struct Splice {
    from: End,
    to: End,
    len: usize,
    tee: bool,
    /// `SPLICE_F_NONBLOCK`: do not wait for a pipe.
    nowait: bool,
}

impl Splice {
    /// Whether the end that cannot go on now may be waited for: a pipe unless told not to,
    /// another file unless it does not block.
    fn waits(&self, t: &Arc<Task>) -> bool {
        let nonblock = |end: &End| end.file.flags().contains(OpenFlags::NONBLOCK);
        let ready = |end: &End, event| end.file.ops.poll(&end.cx(t)).contains(event);
        match (self.from.pipe(), self.to.pipe()) {
            (Some(_), None) if ready(&self.from, PollEvents::IN) => !nonblock(&self.to),
            (Some(_), None) => !self.nowait,
            (None, Some(_)) if ready(&self.to, PollEvents::OUT) => !nonblock(&self.from),
            (None, Some(_)) => !self.nowait && !nonblock(&self.to),
            _ => !self.nowait && !nonblock(&self.from) && !nonblock(&self.to),
        }
    }

    fn moved(&self, t: &Arc<Task>) -> Result<usize> {
        match (self.from.pipe(), self.to.pipe()) {
            (Some(from), Some(to)) if self.tee => from.tee(to, self.len),
            (Some(from), _) => {
                let mut done = 0u64;
                from.splice_out(self.len, &mut |bytes| {
                    let n = self.to.write(t, bytes, done)?;
                    done += n as u64;
                    Ok(n)
                })
            }
            (None, Some(to)) => {
                let mut done = 0u64;
                to.splice_in(self.len, &mut |page| {
                    let n = self.from.read(t, page, done)?;
                    done += n as u64;
                    Ok(n)
                })
            }
            (None, None) => Err(Errno::EINVAL),
        }
    }
}

impl Attempt for Splice {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        let n = match self.moved(t) {
            Err(Errno::EPIPE) => {
                t.post_signal(SigInfo::new(Signal::SIGPIPE, 0));
                return Err(Errno::EPIPE.into());
            }
            // A result, so that it is not waited for.
            Err(Errno::EAGAIN) if !self.waits(t) => return Ok(-i64::from(Errno::EAGAIN.raw())),
            r => r?,
        };
        self.from.report(t, n as u64)?;
        self.to.report(t, n as u64)?;
        Ok(n as i64)
    }

    fn watch(&self, waker: Waker) -> Registrations {
        let mut list = Registrations::new();
        if let Some(p) = self.from.file.ops.pollee() {
            let events = PollEvents::IN | PollEvents::RDNORM;
            list.push(p.register(events, waker.clone(), Share::All));
        }
        if let Some(p) = self.to.file.ops.pollee() {
            let events = PollEvents::OUT | PollEvents::WRNORM;
            list.push(p.register(events, waker, Share::All));
        }
        list
    }

    fn name(&self) -> &'static str {
        "splice"
    }
}

/// `splice(2)`.
pub fn splice(
    t: &Arc<Task>,
    from: Fd,
    from_off: UserPtr<i64, InOut>,
    to: Fd,
    to_off: UserPtr<i64, InOut>,
    len: usize,
    flags: u32,
) -> SysResult<i64> {
    if len == 0 {
        return Ok(0);
    }
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (source, target) = (file(t, from)?, file(t, to)?);
    super::check_readable(&source)?;
    super::check_writable(&target)?;
    let from = End::new(t, source, &from_off)?;
    let to = End::new(t, target, &to_off)?;
    match (from.pipe(), to.pipe()) {
        (None, None) => return Err(Errno::EINVAL.into()),
        (Some(a), Some(b)) if Arc::ptr_eq(&a.pipe, &b.pipe) => return Err(Errno::EINVAL.into()),
        _ => {}
    }
    if to.pipe().is_none() && to.file.flags().contains(OpenFlags::APPEND) {
        return Err(Errno::EINVAL.into());
    }
    let splice = Splice {
        from,
        to,
        len: len.min(abi::MAX_RW_COUNT),
        tee: false,
        nowait: flags & SPLICE_F_NONBLOCK != 0,
    };
    retry(t, splice, None)
}

/// `tee(2)`.
pub fn tee(t: &Arc<Task>, from: Fd, to: Fd, len: usize, flags: u32) -> SysResult<i64> {
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL.into());
    }
    if len == 0 {
        return Ok(0);
    }
    let none = UserPtr::at(0);
    let from = End::new(t, readable(t, from)?, &none)?;
    let to = End::new(t, writable(t, to)?, &none)?;
    if from.pipe().is_none() || to.pipe().is_none() {
        return Err(Errno::EINVAL.into());
    }
    let tee = Splice {
        from,
        to,
        len: len.min(abi::MAX_RW_COUNT),
        tee: true,
        nowait: flags & SPLICE_F_NONBLOCK != 0,
    };
    retry(t, tee, None)
}

/// `vmsplice(2)`: pages are copied, as if by `readv` and `writev`.
pub fn vmsplice(t: &Arc<Task>, fd: Fd, vec: UserIoVec, count: u64, flags: u32) -> SysResult<i64> {
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = file(t, fd)?;
    let writes = super::check_writable(&file).is_ok();
    let io = vec.read(t, count)?;
    if sentry::io::IoSrc::remaining(&io) == 0 {
        return Ok(0);
    }
    if file.downcast::<PipeEnd>().is_none() {
        return Err(Errno::EBADF.into());
    }
    let how = How {
        nowait: flags & SPLICE_F_NONBLOCK != 0,
        ..How::default()
    };
    if writes {
        return transfer::write(t, file, io, how);
    }
    transfer::read(t, file, io, how)
}
