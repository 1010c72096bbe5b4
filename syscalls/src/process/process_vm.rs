//! `process_vm_readv(2)`, `process_vm_writev(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::io::{IoDst, IoSrc, IoVec, UserIo};
use sentry::{Result, SysResult, Task};
use smallvec::SmallVec;

use crate::arg::{In, UserIoVec, UserPtr};

/// Bytes moved at a time.
const PIECE: usize = 64 << 10;

/// The other process' buffers, whose addresses mean nothing here. `EINVAL`, `EFAULT`.
fn remote(t: &Arc<Task>, vec: UserIoVec, count: u64) -> Result<SmallVec<[IoVec; 2]>> {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    if count > abi::UIO_MAXIOV {
        return Err(Errno::EINVAL);
    }
    let raw = UserPtr::<[u64; 2], In>::at(vec.0).read_array(t, count)?;
    raw.into_iter()
        .map(|[addr, len]| {
            let len = i64::try_from(len).map_err(|_| Errno::EINVAL)?;
            let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
            Ok(IoVec { addr, len })
        })
        .collect()
}

/// The task whose memory is meant: `ESRCH`, `EPERM`.
fn subject(t: &Arc<Task>, pid: i32) -> Result<Arc<Task>> {
    let task = t.pid_ns().task(pid).ok_or(Errno::ESRCH)?;
    t.may_inspect(&task)?;
    // One that has exited has no memory.
    task.context()?;
    Ok(task)
}

/// Moves bytes until one side is used up; a fault after the first bytes ends it quietly.
fn copy(src: &mut dyn IoSrc, dst: &mut dyn IoDst) -> Result<i64> {
    let mut buf = vec![0u8; PIECE.min(src.remaining()).min(dst.remaining())];
    let mut total = 0usize;
    loop {
        let want = buf.len().min(src.remaining()).min(dst.remaining());
        let piece = buf.get_mut(..want).ok_or(Errno::EFAULT)?;
        let moved = src.take(piece).and_then(|n| {
            let got = piece.get(..n).ok_or(Errno::EFAULT)?;
            dst.put(got)
        });
        match moved {
            Ok(0) => break,
            Ok(n) => total += n,
            Err(e) if total == 0 => return Err(e),
            Err(_) => break,
        }
    }
    Ok(i64::try_from(total).unwrap_or(i64::MAX))
}

/// Both sides; `None` when there is nothing to do.
fn sides(
    t: &Arc<Task>,
    pid: i32,
    (local, local_count): (UserIoVec, u64),
    (other, other_count): (UserIoVec, u64),
    flags: u64,
) -> Result<Option<(UserIo, UserIo)>> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let local = local.read(t, local_count)?;
    if IoSrc::remaining(&local) == 0 {
        return Ok(None);
    }
    let vec = remote(t, other, other_count)?;
    if vec.iter().all(|v| v.len == 0) {
        return Ok(None);
    }
    let task = subject(t, pid)?;
    Ok(Some((local, UserIo::vector(task.mm(), vec))))
}

/// `process_vm_readv(2)`.
pub fn process_vm_readv(
    t: &Arc<Task>,
    pid: i32,
    local: UserIoVec,
    local_count: u64,
    other: UserIoVec,
    other_count: u64,
    flags: u64,
) -> SysResult<i64> {
    match sides(t, pid, (local, local_count), (other, other_count), flags)? {
        Some((mut to, mut from)) => Ok(copy(&mut from, &mut to)?),
        None => Ok(0),
    }
}

/// `process_vm_writev(2)`.
pub fn process_vm_writev(
    t: &Arc<Task>,
    pid: i32,
    local: UserIoVec,
    local_count: u64,
    other: UserIoVec,
    other_count: u64,
    flags: u64,
) -> SysResult<i64> {
    match sides(t, pid, (local, local_count), (other, other_count), flags)? {
        Some((mut from, mut to)) => Ok(copy(&mut from, &mut to)?),
        None => Ok(0),
    }
}
