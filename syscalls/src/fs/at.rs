//! Where the `*at` calls start: directory descriptors, `AT_*` flags, copied paths.

use std::sync::Arc;

use abi::Errno;
use sentry::fs::vfs::{Path, WalkCx, WalkFlags, anon, lookup};
use sentry::{Result, Task};

use crate::arg::{DirFd, UserCStr};

/// Do not follow a final symbolic link.
pub const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
/// `unlinkat`: remove a directory; `faccessat2`: `AT_EACCESS`.
pub const AT_REMOVEDIR: u32 = 0x200;
/// `linkat`: follow a final symbolic link.
pub const AT_SYMLINK_FOLLOW: u32 = 0x400;
/// Accepted and without meaning here: nothing is mounted automatically.
pub const AT_NO_AUTOMOUNT: u32 = 0x800;
/// An empty path means the descriptor itself.
pub const AT_EMPTY_PATH: u32 = 0x1000;

/// Runs `f` with the task's walk context.
pub fn with<R>(t: &Arc<Task>, f: impl FnOnce(&WalkCx<'_>) -> Result<R>) -> Result<R> {
    f(&WalkCx::of(t))
}

/// Where a walk of `name` starts; `EBADF` for a bad descriptor that would be used.
pub fn start(t: &Arc<Task>, dirfd: DirFd, name: &[u8]) -> Result<Path> {
    if dirfd == DirFd::CWD || name.first() == Some(&b'/') {
        return Ok(t.fs().cwd());
    }
    anon::of_file(&t.files().get(dirfd.0)?)
}

/// Reads a path that may be empty under `AT_EMPTY_PATH` (then `NULL` is empty too).
pub fn read_path(t: &Arc<Task>, path: UserCStr, flags: u32) -> Result<Vec<u8>> {
    let may_be_empty = flags & AT_EMPTY_PATH != 0;
    if may_be_empty && path.is_null() {
        return Ok(Vec::new());
    }
    let name = path.read_path(t)?;
    if name.is_empty() && !may_be_empty {
        return Err(Errno::ENOENT);
    }
    Ok(name)
}

/// The walk flags of `AT_*` flags where following is the default.
pub fn walk_flags(flags: u32) -> WalkFlags {
    let mut walk = WalkFlags::default();
    walk.set(WalkFlags::FOLLOW, flags & AT_SYMLINK_NOFOLLOW == 0);
    walk.set(WalkFlags::EMPTY_PATH, flags & AT_EMPTY_PATH != 0);
    walk
}

/// Finds a path; the flags' validity is the caller's business.
pub fn find(t: &Arc<Task>, dirfd: DirFd, path: UserCStr, flags: u32) -> Result<Path> {
    let name = read_path(t, path, flags)?;
    let start = start(t, dirfd, &name)?;
    lookup(&WalkCx::of(t), &start, &name, walk_flags(flags))
}

/// Finds a path from the current directory, following links.
pub fn follow(t: &Arc<Task>, path: UserCStr) -> Result<Path> {
    find(t, DirFd::CWD, path, 0)
}

/// The place of an open descriptor, `O_PATH` ones included.
pub fn of_fd(t: &Arc<Task>, fd: i32) -> Result<Path> {
    anon::of_file(&t.files().get(fd)?)
}

/// `EINVAL` for flags outside `known`.
pub fn check(flags: u32, known: u32) -> Result<()> {
    if flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(())
}
