//! `mq_open(2)`, `mq_unlink(2)`, `mq_timedsend(2)`, `mq_timedreceive(2)`, `mq_notify(2)`,
//! `mq_getsetattr(2)`.

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;
use abi::signal::Signal;
use abi::time::Timespec;
use sentry::fs::{File, OpenFlags};
use sentry::ipc::mqueue::{self, MQueue, MqAttr, MqReceive, MqSend, Notify};
use sentry::retry::retry;
use sentry::task::limits::Resource;
use sentry::{Result, SysResult, Task};

use crate::arg::{Fd, In, Out, UserBuf, UserCStr, UserPtr};

/// Reads a name as the C library gives it, without its slash.
fn name(t: &Arc<Task>, name: UserCStr) -> Result<Vec<u8>> {
    let name = name.read(t, abi::PATH_MAX - 1)?;
    if name.is_empty() {
        return Err(Errno::ENOENT);
    }
    if name.contains(&b'/') || name == b"." || name == b".." {
        return Err(Errno::EACCES);
    }
    if name.len() > abi::NAME_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    Ok(name)
}

/// `mq_open(2)`.
pub fn mq_open(
    t: &Arc<Task>,
    path: UserCStr,
    flags: u32,
    mode: u32,
    attr: UserPtr<MqAttr, In>,
) -> SysResult<Fd> {
    let flags = OpenFlags::from_bits_truncate(flags);
    let attr = match attr.non_null() {
        Some(p) if flags.contains(OpenFlags::CREAT) => Some(p.read(t)?),
        _ => None,
    };
    let name = name(t, path)?;
    let file = t.ipc().mqueue.open(t, &name, flags, mode, attr)?;
    let cloexec = flags.contains(OpenFlags::CLOEXEC);
    let limit = t.limit(Resource::Nofile);
    Ok(Fd(t.files().install(file, 0, cloexec, limit)?))
}

/// `mq_unlink(2)`.
pub fn mq_unlink(t: &Arc<Task>, path: UserCStr) -> SysResult<()> {
    let name = name(t, path)?;
    Ok(t.ipc().mqueue.unlink(t, &name)?)
}

/// The queue of `fd`; `EBADF` when it is none, or not open that way.
fn queue(t: &Arc<Task>, fd: Fd, write: bool) -> Result<(Arc<File>, Arc<MQueue>)> {
    let file = t.files().get(fd.0)?;
    let queue = mqueue::of_file(&file)?;
    let flags = file.flags();
    let may = if write {
        flags.writable()
    } else {
        flags.readable()
    };
    if may {
        Ok((file, queue))
    } else {
        Err(Errno::EBADF)
    }
}

/// When to give up: at once for `O_NONBLOCK`, else at an absolute wall clock time.
fn deadline(t: &Arc<Task>, file: &File, at: Option<Duration>) -> Option<Duration> {
    let now = t.kernel.clock.monotonic();
    if file.flags().contains(OpenFlags::NONBLOCK) {
        return Some(now);
    }
    let left = at?.saturating_sub(t.kernel.clock.realtime());
    Some(now.saturating_add(left))
}

fn read_time(t: &Arc<Task>, timeout: UserPtr<Timespec, In>) -> Result<Option<Duration>> {
    match timeout.non_null() {
        Some(p) => Ok(Some(p.read(t)?.to_duration()?)),
        None => Ok(None),
    }
}

/// `mq_timedsend(2)`.
pub fn mq_timedsend(
    t: &Arc<Task>,
    fd: Fd,
    buf: UserBuf,
    len: usize,
    priority: u32,
    timeout: UserPtr<Timespec, In>,
) -> SysResult<i64> {
    let at = read_time(t, timeout)?;
    if !mqueue::valid_priority(priority) {
        return Err(Errno::EINVAL.into());
    }
    let (file, queue) = queue(t, fd, true)?;
    if len > queue.msgsize() {
        return Err(Errno::EMSGSIZE.into());
    }
    let data = buf.read(t, len)?;
    let deadline = deadline(t, &file, at);
    let send = MqSend {
        file,
        queue,
        data,
        priority,
    };
    retry(t, send, deadline)
}

/// `mq_timedreceive(2)`.
pub fn mq_timedreceive(
    t: &Arc<Task>,
    fd: Fd,
    buf: UserBuf,
    len: usize,
    priority: UserPtr<u32, Out>,
    timeout: UserPtr<Timespec, In>,
) -> SysResult<i64> {
    let at = read_time(t, timeout)?;
    let (file, queue) = queue(t, fd, false)?;
    if len < queue.msgsize() {
        return Err(Errno::EMSGSIZE.into());
    }
    let deadline = deadline(t, &file, at);
    let receive = MqReceive {
        file,
        queue,
        buf: buf.0,
        priority: priority.addr(),
    };
    retry(t, receive, deadline)
}

/// `mq_notify(2)`: by a signal, or by nothing; `NULL` removes.
pub fn mq_notify(t: &Arc<Task>, fd: Fd, event: UserPtr<[u64; 8], In>) -> SysResult<()> {
    const SIGEV_SIGNAL: u64 = 0;
    const SIGEV_NONE: u64 = 1;
    let notify = match event.non_null() {
        None => None,
        Some(p) => {
            let [value, words, ..] = p.read(t)?;
            let (signo, how) = (words & 0xffff_ffff, words >> 32);
            let signal = match how {
                SIGEV_NONE => None,
                // Number 0 passes for a signal and is none.
                SIGEV_SIGNAL if signo == 0 => None,
                SIGEV_SIGNAL => Some((Signal::new(signo).ok_or(Errno::EINVAL)?, value)),
                _ => return Err(Errno::EINVAL.into()),
            };
            Some(Notify {
                task: t.clone(),
                signal,
            })
        }
    };
    let file = t.files().get(fd.0)?;
    Ok(mqueue::of_file(&file)?.set_notify(t, notify)?)
}

/// `mq_getsetattr(2)`: only `O_NONBLOCK` can be set.
pub fn mq_getsetattr(
    t: &Arc<Task>,
    fd: Fd,
    new: UserPtr<MqAttr, In>,
    old: UserPtr<MqAttr, Out>,
) -> SysResult<()> {
    let nonblock = i64::from(OpenFlags::NONBLOCK.bits());
    let new = match new.non_null() {
        Some(p) => Some(p.read(t)?),
        None => None,
    };
    if new.is_some_and(|n| n.flags & !nonblock != 0) {
        return Err(Errno::EINVAL.into());
    }
    let file = t.files().get(fd.0)?;
    let mut now = mqueue::of_file(&file)?.attr();
    if file.flags().contains(OpenFlags::NONBLOCK) {
        now.flags = nonblock;
    }
    if let Some(new) = new {
        let value = if new.flags != 0 {
            OpenFlags::NONBLOCK
        } else {
            OpenFlags::empty()
        };
        file.set_status(OpenFlags::NONBLOCK, value);
    }
    Ok(old.write_opt(t, &now)?)
}
