//! `mkdir(2)`, `mknod(2)` and their `*at` forms.

use std::sync::Arc;

use abi::Errno;
use sentry::fs::vfs::{FileType, change};
use sentry::{SysResult, Task};

use super::at;
use crate::arg::{DirFd, UserCStr};

/// `mkdir(2)`.
pub fn mkdir(t: &Arc<Task>, path: UserCStr, mode: u32) -> SysResult<()> {
    mkdirat(t, DirFd::CWD, path, mode)
}

/// `mkdirat(2)`.
pub fn mkdirat(t: &Arc<Task>, dirfd: DirFd, path: UserCStr, mode: u32) -> SysResult<()> {
    let name = at::read_path(t, path, 0)?;
    let start = at::start(t, dirfd, &name)?;
    at::with(t, |cx| change::mkdir(cx, &start, &name, mode))?;
    Ok(())
}

/// `mknod(2)`.
pub fn mknod(t: &Arc<Task>, path: UserCStr, mode: u32, dev: u64) -> SysResult<()> {
    mknodat(t, DirFd::CWD, path, mode, dev)
}

/// `mknodat(2)`.
pub fn mknodat(t: &Arc<Task>, dirfd: DirFd, path: UserCStr, mode: u32, dev: u64) -> SysResult<()> {
    let kind = match mode & 0o170000 {
        0 => FileType::Regular,
        0o040000 => return Err(Errno::EPERM.into()),
        _ => match FileType::from_mode(mode) {
            None | Some(FileType::Symlink | FileType::Directory) => {
                return Err(Errno::EINVAL.into());
            }
            Some(kind) => kind,
        },
    };
    let name = at::read_path(t, path, 0)?;
    let start = at::start(t, dirfd, &name)?;
    // The call takes an `unsigned int`.
    let rdev = dev & 0xffff_ffff;
    at::with(t, |cx| {
        change::mknod(cx, &start, &name, kind, mode & 0o7777, rdev)
    })?;
    Ok(())
}
