//! `sendfile(2)` and `copy_file_range(2)`: from a file with positions to another file.

use std::sync::Arc;

use abi::Errno;
use abi::fs::PollEvents;
use abi::signal::{SigInfo, Signal};
use sentry::fs::dev::mem::Mem;
use sentry::fs::inotify::Mask;
use sentry::fs::vfs::FileType;
use sentry::fs::{File, OpenFlags};
use sentry::io::{KernelDst, KernelSrc};
use sentry::retry::{Attempt, Registrations, retry, watch_one};
use sentry::wait::Waker;
use sentry::{OnSignal, Result, SysResult, Task};

use super::transfer::tell;
use super::{readable, writable};
use crate::arg::{Fd, In, InOut, Out, UserPtr};

/// Bytes moved at a time.
const CHUNK: usize = 1 << 16;

/// Reads up to `len` bytes at `pos`.
fn read_chunk(t: &Arc<Task>, file: &Arc<File>, pos: u64, len: usize) -> Result<Vec<u8>> {
    let mut buf = vec![0; len.min(CHUNK)];
    let n = {
        let mut dst = KernelDst::new(&mut buf);
        file.ops.read(&file.cx(Some(t)), &mut dst, pos)?
    };
    buf.truncate(n);
    Ok(buf)
}

/// Writes bytes at the position of `file`, or its end under `O_APPEND`.
fn write_chunk(t: &Arc<Task>, file: &Arc<File>, bytes: &[u8]) -> Result<usize> {
    let mut src = KernelSrc::new(bytes);
    let cx = file.cx(Some(t));
    if !file.ops.seekable() {
        return file.ops.write(&cx, &mut src, 0);
    }
    let mut offset = file.offset.lock();
    let n = file.ops.write(&cx, &mut src, *offset)?;
    *offset = offset.saturating_add(n as u64);
    Ok(n)
}

struct SendFile {
    from: Arc<File>,
    to: Arc<File>,
    /// Position in `from`.
    pos: u64,
    /// Where the position is written back; `None`: it is the file's own.
    report: Option<u64>,
    left: usize,
    done: usize,
}

impl SendFile {
    fn waits(&self) -> bool {
        !self.to.flags().contains(OpenFlags::NONBLOCK) && self.to.ops.pollee().is_some()
    }

    /// Moves until all is moved, an error, or the target is full.
    fn pump(&mut self, t: &Arc<Task>) -> Result<()> {
        while self.left > 0 {
            let chunk = read_chunk(t, &self.from, self.pos, self.left)?;
            if chunk.is_empty() {
                return Ok(());
            }
            let n = write_chunk(t, &self.to, &chunk)?;
            tell(&self.from, Mask::ACCESS);
            tell(&self.to, Mask::MODIFY);
            if n == 0 {
                return Ok(());
            }
            self.pos = self.pos.saturating_add(n as u64);
            self.left = self.left.saturating_sub(n);
            self.done += n;
        }
        Ok(())
    }

    /// Writes the position back; the value of the call.
    fn end(&self, t: &Arc<Task>) -> SysResult<i64> {
        match self.report {
            Some(addr) => UserPtr::<u64, Out>::at(addr).write(t, &self.pos)?,
            None => *self.from.offset.lock() = self.pos,
        }
        Ok(self.done as i64)
    }
}

impl Attempt for SendFile {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        match self.pump(t) {
            Ok(()) => self.end(t),
            Err(Errno::EAGAIN) if self.waits() => Err(Errno::EAGAIN.into()),
            Err(e) => {
                if e == Errno::EPIPE {
                    t.post_signal(SigInfo::new(Signal::SIGPIPE, 0));
                }
                if self.done > 0 {
                    return self.end(t);
                }
                Err(e.into())
            }
        }
    }

    fn watch(&self, waker: Waker) -> Registrations {
        match self.to.ops.pollee() {
            Some(pollee) => watch_one(pollee, PollEvents::OUT | PollEvents::WRNORM, waker),
            None => Registrations::new(),
        }
    }

    fn on_signal(&mut self, t: &Arc<Task>) -> OnSignal {
        if self.done == 0 {
            return OnSignal::Restart;
        }
        match self.end(t) {
            Ok(n) => OnSignal::Finish(n),
            Err(_) => OnSignal::Finish(-i64::from(Errno::EFAULT.raw())),
        }
    }

    fn name(&self) -> &'static str {
        "sendfile"
    }
}

/// `sendfile(2)`: the source must have positions.
pub fn sendfile(
    t: &Arc<Task>,
    to: Fd,
    from: Fd,
    offset: UserPtr<i64, InOut>,
    count: usize,
) -> SysResult<i64> {
    let report = (!offset.is_null()).then_some(offset.addr());
    let pos = match offset.non_null() {
        Some(ptr) => Some(ptr.read(t)?),
        None => None,
    };
    let from = readable(t, from)?;
    if pos.is_some() && !from.ops.seekable() {
        return Err(Errno::ESPIPE.into());
    }
    let pos = match pos {
        Some(pos) => u64::try_from(pos).map_err(|_| Errno::EINVAL)?,
        None => *from.offset.lock(),
    };
    if i64::try_from(count).is_err() {
        return Err(Errno::EINVAL.into());
    }
    let to = writable(t, to)?;
    if from
        .inode()
        .is_some_and(|i| i.kind() == FileType::Directory)
    {
        return Err(Errno::EINVAL.into());
    }
    // What has no data at all is no source.
    let null = from.downcast::<Mem>() == Some(&Mem::Null);
    if null || !from.ops.seekable() || to.flags().contains(OpenFlags::APPEND) {
        return Err(Errno::EINVAL.into());
    }
    let mut send = SendFile {
        from,
        to,
        pos,
        report,
        left: count.min(abi::MAX_RW_COUNT),
        done: 0,
    };
    if send.waits() {
        return retry(t, send, None);
    }
    send.attempt(t)
}

/// Both files of `copy_file_range` must be regular: `EISDIR`, `EINVAL`.
fn regular(files: [&File; 2]) -> Result<()> {
    let kinds = files.map(|f| f.inode().map(|i| i.kind()));
    if kinds.contains(&Some(FileType::Directory)) {
        return Err(Errno::EISDIR);
    }
    if kinds.iter().any(|k| *k != Some(FileType::Regular)) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// The position given by a pointer, or the file's own.
fn position(t: &Arc<Task>, file: &File, ptr: u64) -> Result<u64> {
    if ptr == 0 {
        return Ok(*file.offset.lock());
    }
    let pos = UserPtr::<i64, In>::at(ptr).read(t)?;
    u64::try_from(pos).map_err(|_| Errno::EINVAL)
}

fn set_position(t: &Arc<Task>, file: &File, ptr: u64, pos: u64) -> Result<()> {
    if ptr == 0 {
        *file.offset.lock() = pos;
        return Ok(());
    }
    UserPtr::<u64, Out>::at(ptr).write(t, &pos)
}

/// `copy_file_range(2)`.
pub fn copy_file_range(
    t: &Arc<Task>,
    from: Fd,
    from_pos: UserPtr<i64, InOut>,
    to: Fd,
    to_pos: UserPtr<i64, InOut>,
    len: usize,
    flags: u32,
) -> SysResult<i64> {
    let (source, target) = (super::file(t, from)?, super::file(t, to)?);
    let mut from_at = position(t, &source, from_pos.addr())?;
    let mut to_at = position(t, &target, to_pos.addr())?;
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    regular([&source, &target])?;
    super::check_readable(&source)?;
    super::check_writable(&target)?;
    if target.flags().contains(OpenFlags::APPEND) {
        return Err(Errno::EBADF.into());
    }
    let len = len.min(abi::MAX_RW_COUNT);
    let end = |at: u64| at.checked_add(len as u64).filter(|e| *e <= i64::MAX as u64);
    let (from_end, to_end) = match (end(from_at), end(to_at)) {
        (Some(a), Some(b)) => (a, b),
        _ => return Err(Errno::EOVERFLOW.into()),
    };
    let size = source.inode().map_or(Ok(0), |i| i.attr().map(|a| a.size))?;
    let (from_end, to_end) = (from_end.min(size.max(from_at)), to_end);
    let len = len.min(usize::try_from(from_end - from_at).unwrap_or(usize::MAX));
    let to_end = to_end.min(to_at.saturating_add(len as u64));
    let same = match (source.inode(), target.inode()) {
        (Some(a), Some(b)) => a.dev() == b.dev() && a.attr()?.ino == b.attr()?.ino,
        _ => false,
    };
    if same && from_at < to_end && to_at < from_end {
        return Err(Errno::EINVAL.into());
    }
    let mut done = 0;
    while done < len {
        match copy_chunk(t, (&source, from_at), (&target, to_at), len - done) {
            Ok(0) => break,
            Ok(n) => {
                done += n;
                from_at += n as u64;
                to_at += n as u64;
            }
            Err(e) if done == 0 => return Err(e.into()),
            Err(_) => break,
        }
    }
    set_position(t, &source, from_pos.addr(), from_at)?;
    set_position(t, &target, to_pos.addr(), to_at)?;
    Ok(done as i64)
}

fn copy_chunk(
    t: &Arc<Task>,
    (source, from): (&Arc<File>, u64),
    (target, to): (&Arc<File>, u64),
    len: usize,
) -> Result<usize> {
    let chunk = read_chunk(t, source, from, len)?;
    let mut src = KernelSrc::new(&chunk);
    let n = target.ops.write(&target.cx(Some(t)), &mut src, to)?;
    tell(source, Mask::ACCESS);
    tell(target, Mask::MODIFY);
    Ok(n)
}
