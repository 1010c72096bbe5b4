//! `link(2)`, `symlink(2)`, `readlink(2)`, `unlink(2)`, `rename(2)` and their `*at` forms.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::Cap;
use sentry::fs::vfs::{RenameFlags, WalkCx, WalkFlags, change, lookup, rename};
use sentry::{SysResult, Task};

use super::at::{self, AT_EMPTY_PATH, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW};
use crate::arg::{DirFd, UserBuf, UserCStr};

/// `link(2)`.
pub fn link(t: &Arc<Task>, old: UserCStr, new: UserCStr) -> SysResult<()> {
    linkat(t, DirFd::CWD, old, DirFd::CWD, new, 0)
}

/// `linkat(2)`.
pub fn linkat(
    t: &Arc<Task>,
    old_fd: DirFd,
    old: UserCStr,
    new_fd: DirFd,
    new: UserCStr,
    flags: u32,
) -> SysResult<()> {
    at::check(flags, AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)?;
    let old = at::read_path(t, old, flags)?;
    let new = at::read_path(t, new, 0)?;
    let cx = WalkCx::of(t);
    if old.is_empty() && !cx.creds.capable(Cap::DacReadSearch) {
        return Err(Errno::ENOENT.into());
    }
    let mut walk = WalkFlags::default();
    walk.set(WalkFlags::FOLLOW, flags & AT_SYMLINK_FOLLOW != 0);
    walk.set(WalkFlags::EMPTY_PATH, flags & AT_EMPTY_PATH != 0);
    let start = at::start(t, old_fd, &old)?;
    let target = lookup(&cx, &start, &old, walk)?;
    let start = at::start(t, new_fd, &new)?;
    Ok(change::link(&cx, &target, &start, &new)?)
}

/// `symlink(2)`.
pub fn symlink(t: &Arc<Task>, target: UserCStr, name: UserCStr) -> SysResult<()> {
    symlinkat(t, target, DirFd::CWD, name)
}

/// `symlinkat(2)`.
pub fn symlinkat(t: &Arc<Task>, target: UserCStr, dirfd: DirFd, name: UserCStr) -> SysResult<()> {
    let target = at::read_path(t, target, 0)?;
    let name = at::read_path(t, name, 0)?;
    let start = at::start(t, dirfd, &name)?;
    at::with(t, |cx| change::symlink(cx, &target, &start, &name))?;
    Ok(())
}

/// `readlink(2)`.
pub fn readlink(t: &Arc<Task>, path: UserCStr, buf: UserBuf, size: i32) -> SysResult<usize> {
    readlinkat(t, DirFd::CWD, path, buf, size)
}

/// `readlinkat(2)`: an empty path means the descriptor, which must be of a link.
pub fn readlinkat(
    t: &Arc<Task>,
    dirfd: DirFd,
    path: UserCStr,
    buf: UserBuf,
    size: i32,
) -> SysResult<usize> {
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    if size == 0 {
        return Err(Errno::EINVAL.into());
    }
    let flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
    let empty = path.read_path(t)?.is_empty();
    let path = at::find(t, dirfd, path, flags)?;
    let text = match at::with(t, |cx| change::readlink(cx, &path)) {
        Err(Errno::EINVAL) if empty => return Err(Errno::ENOENT.into()),
        r => r?,
    };
    let text = text.get(..size).unwrap_or(&text);
    buf.write(t, text)?;
    Ok(text.len())
}

/// `unlink(2)`.
pub fn unlink(t: &Arc<Task>, path: UserCStr) -> SysResult<()> {
    unlinkat(t, DirFd::CWD, path, 0)
}

/// `rmdir(2)`.
pub fn rmdir(t: &Arc<Task>, path: UserCStr) -> SysResult<()> {
    unlinkat(t, DirFd::CWD, path, AT_REMOVEDIR)
}

/// `unlinkat(2)`.
pub fn unlinkat(t: &Arc<Task>, dirfd: DirFd, path: UserCStr, flags: u32) -> SysResult<()> {
    at::check(flags, AT_REMOVEDIR)?;
    let name = at::read_path(t, path, 0)?;
    let start = at::start(t, dirfd, &name)?;
    at::with(t, |cx| match flags {
        0 => change::unlink(cx, &start, &name),
        _ => change::rmdir(cx, &start, &name),
    })?;
    Ok(())
}

/// `rename(2)`.
pub fn rename(t: &Arc<Task>, old: UserCStr, new: UserCStr) -> SysResult<()> {
    renameat2(t, DirFd::CWD, old, DirFd::CWD, new, 0)
}

/// `renameat(2)`.
pub fn renameat(
    t: &Arc<Task>,
    old_fd: DirFd,
    old: UserCStr,
    new_fd: DirFd,
    new: UserCStr,
) -> SysResult<()> {
    renameat2(t, old_fd, old, new_fd, new, 0)
}

/// `renameat2(2)`.
pub fn renameat2(
    t: &Arc<Task>,
    old_fd: DirFd,
    old: UserCStr,
    new_fd: DirFd,
    new: UserCStr,
    flags: u32,
) -> SysResult<()> {
    let flags = RenameFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let exclusive = RenameFlags::NOREPLACE | RenameFlags::WHITEOUT;
    if flags.contains(RenameFlags::EXCHANGE) && flags.intersects(exclusive) {
        return Err(Errno::EINVAL.into());
    }
    let old = at::read_path(t, old, 0)?;
    let new = at::read_path(t, new, 0)?;
    let old_start = at::start(t, old_fd, &old)?;
    let new_start = at::start(t, new_fd, &new)?;
    at::with(t, |cx| {
        rename::rename(cx, (&old_start, &old), (&new_start, &new), flags)
    })?;
    Ok(())
}
