//! Descriptors: `close(2)`, `close_range(2)`, `dup(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::fs::{File, OpenFlags, dnotify, locks};
use sentry::task::limits::Resource;
use sentry::{Result, SysResult, Task};

use crate::arg::Fd;

/// What closing a descriptor does besides dropping it.
fn closed(t: &Arc<Task>, file: &Arc<File>) -> Result<()> {
    let table = t.files().owner_id();
    locks::release_posix(file, table);
    dnotify::closed(file, table);
    file.ops.flush(&file.cx(Some(t)))
}

/// `close(2)`.
pub fn close(t: &Arc<Task>, fd: Fd) -> SysResult<()> {
    let file = t.files().remove(fd.0)?;
    Ok(closed(t, &file)?)
}

const CLOSE_RANGE_UNSHARE: u32 = 2;
const CLOSE_RANGE_CLOEXEC: u32 = 4;

/// `close_range(2)`.
pub fn close_range(t: &Arc<Task>, first: u32, last: u32, flags: u32) -> SysResult<()> {
    if flags & !(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) != 0 || first > last {
        return Err(Errno::EINVAL.into());
    }
    if flags & CLOSE_RANGE_UNSHARE != 0 {
        t.set_files(t.files().duplicate());
    }
    if flags & CLOSE_RANGE_CLOEXEC != 0 {
        t.files().set_cloexec_range(first, last);
        return Ok(());
    }
    for file in t.files().remove_range(first, last) {
        // As on Linux, nobody hears of these errors.
        let _ = closed(t, &file);
    }
    Ok(())
}

/// `dup(2)`.
pub fn dup(t: &Arc<Task>, fd: Fd) -> SysResult<Fd> {
    let file = t.files().get(fd.0)?;
    let limit = t.limit(Resource::Nofile);
    Ok(Fd(t.files().install(file, 0, false, limit)?))
}

fn put_at(t: &Arc<Task>, old: Fd, new: Fd, cloexec: bool) -> Result<Fd> {
    let files = t.files();
    let limit = t.limit(Resource::Nofile);
    if u64::try_from(new.0).map_or(true, |n| n >= limit) {
        return Err(Errno::EBADF);
    }
    let file = files.get(old.0)?;
    if let Some(gone) = files.install_at(file, new.0, cloexec, limit)? {
        // As on Linux, nobody hears of this error.
        let _ = closed(t, &gone);
    }
    Ok(new)
}

/// `dup2(2)`.
pub fn dup2(t: &Arc<Task>, old: Fd, new: Fd) -> SysResult<Fd> {
    if old == new {
        t.files().get(old.0)?;
        return Ok(new);
    }
    Ok(put_at(t, old, new, false)?)
}

/// `dup3(2)`.
pub fn dup3(t: &Arc<Task>, old: Fd, new: Fd, flags: u32) -> SysResult<Fd> {
    let flags = OpenFlags::from_bits_retain(flags);
    if !OpenFlags::CLOEXEC.contains(flags) || old == new {
        return Err(Errno::EINVAL.into());
    }
    Ok(put_at(t, old, new, !flags.is_empty())?)
}
