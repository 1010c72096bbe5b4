//! `chmod(2)`, `chown(2)` and relatives.

use std::sync::Arc;

use abi::Errno;
use sentry::fs::vfs::{SetAttr, setattr};
use sentry::{Result, SysResult, Task};

use super::at::{self, AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW};
use crate::arg::{DirFd, Fd, UserCStr};
use crate::io;

/// `chmod(2)`.
pub fn chmod(t: &Arc<Task>, path: UserCStr, mode: u32) -> SysResult<()> {
    fchmodat2(t, DirFd::CWD, path, mode, 0)
}

/// `fchmod(2)`.
pub fn fchmod(t: &Arc<Task>, fd: Fd, mode: u32) -> SysResult<()> {
    let file = io::file(t, fd)?;
    if file.path.is_none() {
        let set = SetAttr {
            perm: Some(mode & 0o7777),
            ..SetAttr::default()
        };
        return Ok(file.ops.set_attr(&set)?);
    }
    let path = at::of_fd(t, fd.0)?;
    Ok(at::with(t, |cx| setattr::chmod(cx, &path, mode))?)
}

/// `fchmodat(2)`: the system call has no flags.
pub fn fchmodat(t: &Arc<Task>, dirfd: DirFd, path: UserCStr, mode: u32) -> SysResult<()> {
    fchmodat2(t, dirfd, path, mode, 0)
}

/// `fchmodat2(2)`.
pub fn fchmodat2(
    t: &Arc<Task>,
    dirfd: DirFd,
    path: UserCStr,
    mode: u32,
    flags: u32,
) -> SysResult<()> {
    at::check(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let path = at::find(t, dirfd, path, flags)?;
    Ok(at::with(t, |cx| setattr::chmod(cx, &path, mode))?)
}

/// The kernel's ids for those given; `-1` leaves one as it is, `EINVAL` for one that is not
/// mapped in the caller's user namespace.
fn ids(t: &Arc<Task>, uid: u32, gid: u32) -> Result<(Option<u32>, Option<u32>)> {
    let creds = t.creds();
    let given = |raw: u32| (raw != u32::MAX).then_some(raw);
    let uid = given(uid).map(|id| creds.user_ns.uid_to_kernel(id).ok_or(Errno::EINVAL));
    let gid = given(gid).map(|id| creds.user_ns.gid_to_kernel(id).ok_or(Errno::EINVAL));
    Ok((uid.transpose()?, gid.transpose()?))
}

fn change_owner(
    t: &Arc<Task>,
    dirfd: DirFd,
    path: UserCStr,
    (uid, gid): (u32, u32),
    flags: u32,
) -> Result<()> {
    at::check(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let path = at::find(t, dirfd, path, flags)?;
    let (uid, gid) = ids(t, uid, gid)?;
    at::with(t, |cx| setattr::chown(cx, &path, uid, gid))
}

/// `chown(2)`.
pub fn chown(t: &Arc<Task>, path: UserCStr, uid: u32, gid: u32) -> SysResult<()> {
    Ok(change_owner(t, DirFd::CWD, path, (uid, gid), 0)?)
}

/// `lchown(2)`.
pub fn lchown(t: &Arc<Task>, path: UserCStr, uid: u32, gid: u32) -> SysResult<()> {
    let flags = AT_SYMLINK_NOFOLLOW;
    Ok(change_owner(t, DirFd::CWD, path, (uid, gid), flags)?)
}

/// `fchown(2)`.
pub fn fchown(t: &Arc<Task>, fd: Fd, uid: u32, gid: u32) -> SysResult<()> {
    let file = io::file(t, fd)?;
    let (uid, gid) = ids(t, uid, gid)?;
    if file.path.is_none() {
        let set = SetAttr {
            uid,
            gid,
            ..SetAttr::default()
        };
        return Ok(file.ops.set_attr(&set)?);
    }
    let path = at::of_fd(t, fd.0)?;
    Ok(at::with(t, |cx| setattr::chown(cx, &path, uid, gid))?)
}

/// `fchownat(2)`.
pub fn fchownat(
    t: &Arc<Task>,
    dirfd: DirFd,
    path: UserCStr,
    uid: u32,
    gid: u32,
    flags: u32,
) -> SysResult<()> {
    Ok(change_owner(t, dirfd, path, (uid, gid), flags)?)
}
