//! `read(2)`, `write(2)` and their relatives.

use std::sync::Arc;

use abi::Errno;
use sentry::fs::File;
use sentry::io::{IoDst, IoSrc};
use sentry::{Result, SysResult, Task};

use super::transfer::{self, How};
use super::{check_readable, check_writable, file, readable, writable};
use crate::arg::{Fd, UserBuf, UserIoVec};

/// `read(2)`.
pub fn read(t: &Arc<Task>, fd: Fd, buf: UserBuf, len: usize) -> SysResult<i64> {
    let file = readable(t, fd)?;
    transfer::read(t, file, buf.io(t, len)?, How::default())
}

/// `write(2)`.
pub fn write(t: &Arc<Task>, fd: Fd, buf: UserBuf, len: usize) -> SysResult<i64> {
    let file = writable(t, fd)?;
    transfer::write(t, file, buf.io(t, len)?, How::default())
}

/// A description with positions and a position in it: `EINVAL`, `EBADF`, `ESPIPE`.
fn positioned(t: &Arc<Task>, fd: Fd, pos: i64) -> Result<(Arc<File>, How)> {
    let pos = u64::try_from(pos).map_err(|_| Errno::EINVAL)?;
    let file = file(t, fd)?;
    if !file.ops.seekable() {
        return Err(Errno::ESPIPE);
    }
    let how = How {
        pos: Some(pos),
        ..How::default()
    };
    Ok((file, how))
}

/// `pread64(2)`.
pub fn pread64(t: &Arc<Task>, fd: Fd, buf: UserBuf, len: usize, pos: i64) -> SysResult<i64> {
    let (file, how) = positioned(t, fd, pos)?;
    check_readable(&file)?;
    transfer::read(t, file, buf.io(t, len)?, how)
}

/// `pwrite64(2)`.
pub fn pwrite64(t: &Arc<Task>, fd: Fd, buf: UserBuf, len: usize, pos: i64) -> SysResult<i64> {
    let (file, how) = positioned(t, fd, pos)?;
    check_writable(&file)?;
    transfer::write(t, file, buf.io(t, len)?, how)
}

/// `readv(2)`.
pub fn readv(t: &Arc<Task>, fd: Fd, vec: UserIoVec, count: u64) -> SysResult<i64> {
    let file = readable(t, fd)?;
    transfer::read(t, file, vec.read(t, count)?, How::default())
}

/// `writev(2)`.
pub fn writev(t: &Arc<Task>, fd: Fd, vec: UserIoVec, count: u64) -> SysResult<i64> {
    let file = writable(t, fd)?;
    transfer::write(t, file, vec.read(t, count)?, How::default())
}

/// `preadv(2)`.
pub fn preadv(t: &Arc<Task>, fd: Fd, vec: UserIoVec, count: u64, pos: i64) -> SysResult<i64> {
    let (file, how) = positioned(t, fd, pos)?;
    check_readable(&file)?;
    transfer::read(t, file, vec.read(t, count)?, how)
}

/// `pwritev(2)`.
pub fn pwritev(t: &Arc<Task>, fd: Fd, vec: UserIoVec, count: u64, pos: i64) -> SysResult<i64> {
    let (file, how) = positioned(t, fd, pos)?;
    check_writable(&file)?;
    transfer::write(t, file, vec.read(t, count)?, how)
}

const RWF_HIPRI: u32 = 1;
const RWF_DSYNC: u32 = 2;
const RWF_SYNC: u32 = 4;
const RWF_NOWAIT: u32 = 8;
const RWF_APPEND: u32 = 0x10;
const RWF_NOAPPEND: u32 = 0x20;

/// `RWF_*` flags: `EOPNOTSUPP` for those not known.
pub(super) fn with_flags(mut how: How, flags: u32) -> Result<How> {
    let known = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND | RWF_NOAPPEND;
    if flags & !known != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if flags & RWF_APPEND != 0 && flags & RWF_NOAPPEND != 0 {
        return Err(Errno::EINVAL);
    }
    how.nowait = flags & RWF_NOWAIT != 0;
    how.append = flags & RWF_APPEND != 0;
    how.noappend = flags & RWF_NOAPPEND != 0;
    how.sync = flags & (RWF_DSYNC | RWF_SYNC) != 0;
    Ok(how)
}

/// A description for `preadv2`/`pwritev2`, whose position -1 means the file's own.
fn maybe_positioned(t: &Arc<Task>, fd: Fd, pos: i64) -> Result<(Arc<File>, How)> {
    if pos == -1 {
        return Ok((file(t, fd)?, How::default()));
    }
    positioned(t, fd, pos)
}

/// `preadv2(2)`.
pub fn preadv2(
    t: &Arc<Task>,
    fd: Fd,
    vec: UserIoVec,
    count: u64,
    pos: i64,
    _high: u64,
    flags: u32,
) -> SysResult<i64> {
    let (file, how) = maybe_positioned(t, fd, pos)?;
    check_readable(&file)?;
    let io = vec.read(t, count)?;
    if IoDst::remaining(&io) == 0 {
        return Ok(0);
    }
    transfer::read(t, file, io, with_flags(how, flags)?)
}

/// `pwritev2(2)`.
pub fn pwritev2(
    t: &Arc<Task>,
    fd: Fd,
    vec: UserIoVec,
    count: u64,
    pos: i64,
    _high: u64,
    flags: u32,
) -> SysResult<i64> {
    let (file, how) = maybe_positioned(t, fd, pos)?;
    check_writable(&file)?;
    let io = vec.read(t, count)?;
    if IoSrc::remaining(&io) == 0 {
        return Ok(0);
    }
    transfer::write(t, file, io, with_flags(how, flags)?)
}
