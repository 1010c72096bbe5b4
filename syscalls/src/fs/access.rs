//! `access(2)`, `faccessat(2)`, `faccessat2(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::{CapSet, Creds};
use sentry::fs::vfs::{Access, FileType, MountFlags, WalkCx, lookup, perm};
use sentry::{Result, SysResult, Task};

use super::at::{self, AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW};
use crate::arg::{DirFd, UserCStr};

/// Check with the effective instead of the real ids.
const AT_EACCESS: u32 = 0x200;

/// `access(2)`.
pub fn access(t: &Arc<Task>, path: UserCStr, mode: u32) -> SysResult<()> {
    Ok(check(t, DirFd::CWD, path, mode, 0)?)
}

/// `faccessat(2)`: the system call has no flags.
pub fn faccessat(t: &Arc<Task>, dirfd: DirFd, path: UserCStr, mode: u32) -> SysResult<()> {
    Ok(check(t, dirfd, path, mode, 0)?)
}

/// `faccessat2(2)`.
pub fn faccessat2(
    t: &Arc<Task>,
    dirfd: DirFd,
    path: UserCStr,
    mode: u32,
    flags: u32,
) -> SysResult<()> {
    Ok(check(t, dirfd, path, mode, flags)?)
}

/// The credentials `access` checks with: the real ids, and root's capabilities only for
/// a real root.
fn real(creds: &Creds) -> Creds {
    let mut real = creds.clone();
    real.fsuid = creds.uid;
    real.fsgid = creds.gid;
    // SECURE_NO_SETUID_FIXUP leaves capabilities alone.
    if creds.securebits & 4 == 0 {
        real.effective = if creds.user_ns.uid_to_kernel(0) == Some(creds.uid) {
            creds.permitted
        } else {
            CapSet::default()
        };
    }
    real
}

fn check(t: &Arc<Task>, dirfd: DirFd, path: UserCStr, mode: u32, flags: u32) -> Result<()> {
    if mode & !7 != 0 {
        return Err(Errno::EINVAL);
    }
    at::check(flags, AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let name = at::read_path(t, path, flags)?;
    let start = at::start(t, dirfd, &name)?;
    let mut cx = WalkCx::of(t);
    if flags & AT_EACCESS == 0 {
        cx.creds = Arc::new(real(&cx.creds));
    }
    let path = lookup(&cx, &start, &name, at::walk_flags(flags))?;
    let inode = path.inode()?;
    let want = Access::from_bits_truncate(mode);
    if want.contains(Access::X)
        && inode.kind() == FileType::Regular
        && path.mount.flags().contains(MountFlags::NOEXEC)
    {
        return Err(Errno::EACCES);
    }
    perm::check(&cx.creds, &*inode, want)?;
    let stored = matches!(
        inode.kind(),
        FileType::Regular | FileType::Directory | FileType::Symlink
    );
    if want.contains(Access::W) && stored && path.mount.read_only() {
        return Err(Errno::EROFS);
    }
    Ok(())
}
