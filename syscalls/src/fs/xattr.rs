//! Extended attributes (`xattr(7)`): `getxattr(2)`, `setxattr(2)`, `listxattr(2)`,
//! `removexattr(2)`, each by path, by link, by descriptor and from a directory.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::Cap;
use sentry::filecap::{self, FileCaps};
use sentry::fs::inotify::{self, Mask};
use sentry::fs::vfs::acl::{self, AclKind};
use sentry::fs::vfs::{Access, FileType, Path, perm};
use sentry::{Result, SysResult, Task};
use zerocopy::FromBytes;

use super::at::{self, AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW};
use crate::arg::{DirFd, Fd, UserBuf, UserCStr};
use crate::io;

/// Longest value (`XATTR_SIZE_MAX`).
const SIZE_MAX: usize = 65536;
/// Longest list of names (`XATTR_LIST_MAX`).
const LIST_MAX: usize = 65536;

/// A name: `ERANGE` when empty or longer than 255 bytes.
fn read_name(t: &Arc<Task>, name: UserCStr) -> Result<Vec<u8>> {
    match name.read(t, abi::NAME_MAX) {
        Ok(name) if name.is_empty() => Err(Errno::ERANGE),
        Err(Errno::ENAMETOOLONG) => Err(Errno::ERANGE),
        r => r,
    }
}

/// Whether the task may do so with attributes of that name space.
fn permitted(t: &Arc<Task>, path: &Path, name: &[u8], write: bool) -> Result<()> {
    if write && path.mount.read_only() {
        return Err(Errno::EROFS);
    }
    let creds = t.creds();
    let inode = path.inode()?;
    if name.starts_with(b"security.") || name.starts_with(b"system.") {
        let cap = if name == filecap::NAME {
            Cap::Setfcap
        } else {
            Cap::SysAdmin
        };
        let allowed = !write || !name.starts_with(b"security.") || creds.capable(cap);
        return if allowed { Ok(()) } else { Err(Errno::EPERM) };
    }
    let denied = if write { Errno::EPERM } else { Errno::ENODATA };
    if name.starts_with(b"trusted.") {
        let all = creds.capable(Cap::SysAdmin);
        return if all { Ok(()) } else { Err(denied) };
    }
    if name.starts_with(b"user.") {
        match inode.kind() {
            FileType::Regular => {}
            FileType::Directory => {
                let attr = inode.attr()?;
                if write && attr.perm & 0o1000 != 0 && !perm::owns(&creds, &attr) {
                    return Err(Errno::EPERM);
                }
            }
            _ => return Err(denied),
        }
    }
    let want = if write { Access::W } else { Access::R };
    perm::check(&creds, &*inode, want)
}

fn get(t: &Arc<Task>, path: &Path, name: &[u8], buf: UserBuf, size: usize) -> Result<usize> {
    permitted(t, path, name, false)?;
    let inode = path.inode()?;
    let value = match AclKind::of_name(name) {
        Some(kind) => acl::get(&t.creds(), &*inode, kind)?,
        None => inode.get_xattr(name)?,
    };
    if size == 0 {
        return Ok(value.len());
    }
    if value.len() > size {
        return Err(Errno::ERANGE);
    }
    buf.write(t, &value)?;
    Ok(value.len())
}

/// What `setxattr` was given, copied in.
struct New {
    name: Vec<u8>,
    value: Vec<u8>,
    flags: u32,
}

impl New {
    fn read(t: &Arc<Task>, name: UserCStr, buf: UserBuf, size: usize, flags: u32) -> Result<New> {
        if flags & !3 != 0 {
            return Err(Errno::EINVAL);
        }
        let name = read_name(t, name)?;
        if size > SIZE_MAX {
            return Err(Errno::E2BIG);
        }
        Ok(New {
            name,
            value: buf.read(t, size)?,
            flags,
        })
    }

    fn set(&self, t: &Arc<Task>, path: &Path) -> Result<()> {
        if self.name == filecap::NAME && !FileCaps::may_be_set(&self.value) {
            return Err(Errno::EINVAL);
        }
        permitted(t, path, &self.name, true)?;
        if let Some(kind) = AclKind::of_name(&self.name) {
            return acl::set(&t.creds(), path, kind, &self.value);
        }
        let inode = path.inode()?;
        inode.set_xattr(&self.name, &self.value, self.flags)?;
        inotify::event(path, Mask::ATTRIB);
        Ok(())
    }
}

fn list(t: &Arc<Task>, path: &Path, buf: UserBuf, size: usize) -> Result<usize> {
    let trusted = t.creds().capable(Cap::SysAdmin);
    let mut text = Vec::new();
    for name in path.inode()?.list_xattr()? {
        if trusted || !name.starts_with(b"trusted.") {
            text.extend_from_slice(&name);
            text.push(0);
        }
    }
    if size == 0 {
        return Ok(text.len());
    }
    if text.len() > size.min(LIST_MAX) {
        return Err(Errno::ERANGE);
    }
    if !text.is_empty() {
        buf.write(t, &text)?;
    }
    Ok(text.len())
}

fn remove(t: &Arc<Task>, path: &Path, name: &[u8]) -> Result<()> {
    permitted(t, path, name, true)?;
    if let Some(kind) = AclKind::of_name(name) {
        return acl::set(&t.creds(), path, kind, b"");
    }
    path.inode()?.remove_xattr(name)?;
    inotify::event(path, Mask::ATTRIB);
    Ok(())
}

fn link(t: &Arc<Task>, path: UserCStr) -> Result<Path> {
    at::find(t, DirFd::CWD, path, AT_SYMLINK_NOFOLLOW)
}

fn open(t: &Arc<Task>, fd: Fd) -> Result<Path> {
    io::file(t, fd)?;
    at::of_fd(t, fd.0)
}

/// `getxattr(2)`.
pub fn getxattr(
    t: &Arc<Task>,
    path: UserCStr,
    name: UserCStr,
    buf: UserBuf,
    size: usize,
) -> SysResult<usize> {
    let name = read_name(t, name)?;
    Ok(get(t, &at::follow(t, path)?, &name, buf, size)?)
}

/// `lgetxattr(2)`.
pub fn lgetxattr(
    t: &Arc<Task>,
    path: UserCStr,
    name: UserCStr,
    buf: UserBuf,
    size: usize,
) -> SysResult<usize> {
    let name = read_name(t, name)?;
    Ok(get(t, &link(t, path)?, &name, buf, size)?)
}

/// `fgetxattr(2)`.
pub fn fgetxattr(
    t: &Arc<Task>,
    fd: Fd,
    name: UserCStr,
    buf: UserBuf,
    size: usize,
) -> SysResult<usize> {
    let name = read_name(t, name)?;
    Ok(get(t, &open(t, fd)?, &name, buf, size)?)
}

/// `setxattr(2)`.
pub fn setxattr(
    t: &Arc<Task>,
    path: UserCStr,
    name: UserCStr,
    buf: UserBuf,
    size: usize,
    flags: u32,
) -> SysResult<()> {
    let new = New::read(t, name, buf, size, flags)?;
    Ok(new.set(t, &at::follow(t, path)?)?)
}

/// `lsetxattr(2)`.
pub fn lsetxattr(
    t: &Arc<Task>,
    path: UserCStr,
    name: UserCStr,
    buf: UserBuf,
    size: usize,
    flags: u32,
) -> SysResult<()> {
    let new = New::read(t, name, buf, size, flags)?;
    Ok(new.set(t, &link(t, path)?)?)
}

/// `fsetxattr(2)`.
pub fn fsetxattr(
    t: &Arc<Task>,
    fd: Fd,
    name: UserCStr,
    buf: UserBuf,
    size: usize,
    flags: u32,
) -> SysResult<()> {
    let new = New::read(t, name, buf, size, flags)?;
    Ok(new.set(t, &open(t, fd)?)?)
}

/// `listxattr(2)`.
pub fn listxattr(t: &Arc<Task>, path: UserCStr, buf: UserBuf, size: usize) -> SysResult<usize> {
    Ok(list(t, &at::follow(t, path)?, buf, size)?)
}

/// `llistxattr(2)`.
pub fn llistxattr(t: &Arc<Task>, path: UserCStr, buf: UserBuf, size: usize) -> SysResult<usize> {
    Ok(list(t, &link(t, path)?, buf, size)?)
}

/// `flistxattr(2)`.
pub fn flistxattr(t: &Arc<Task>, fd: Fd, buf: UserBuf, size: usize) -> SysResult<usize> {
    Ok(list(t, &open(t, fd)?, buf, size)?)
}

/// `removexattr(2)`.
pub fn removexattr(t: &Arc<Task>, path: UserCStr, name: UserCStr) -> SysResult<()> {
    let name = read_name(t, name)?;
    Ok(remove(t, &at::follow(t, path)?, &name)?)
}

/// `lremovexattr(2)`.
pub fn lremovexattr(t: &Arc<Task>, path: UserCStr, name: UserCStr) -> SysResult<()> {
    let name = read_name(t, name)?;
    Ok(remove(t, &link(t, path)?, &name)?)
}

/// `fremovexattr(2)`.
pub fn fremovexattr(t: &Arc<Task>, fd: Fd, name: UserCStr) -> SysResult<()> {
    let name = read_name(t, name)?;
    Ok(remove(t, &open(t, fd)?, &name)?)
}

/// `struct xattr_args`.
#[derive(Clone, Copy, Debug, FromBytes)]
#[repr(C)]
struct XattrArgs {
    value: u64,
    size: u32,
    flags: u32,
}

impl XattrArgs {
    fn read(t: &Arc<Task>, args: UserBuf, size: usize) -> Result<XattrArgs> {
        args.read_extensible(t, size, size_of::<XattrArgs>())
    }

    fn size(&self) -> usize {
        usize::try_from(self.size).unwrap_or(usize::MAX)
    }
}

/// The file that a call with a directory and flags means.
fn find(t: &Arc<Task>, dirfd: DirFd, path: UserCStr, flags: u32) -> Result<Path> {
    at::check(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    at::find(t, dirfd, path, flags)
}

/// `setxattrat(2)`.
pub fn setxattrat(
    t: &Arc<Task>,
    dirfd: DirFd,
    path: UserCStr,
    at_flags: u32,
    name: UserCStr,
    args: UserBuf,
    size: usize,
) -> SysResult<()> {
    let args = XattrArgs::read(t, args, size)?;
    at::check(at_flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let new = New::read(t, name, UserBuf(args.value), args.size(), args.flags)?;
    Ok(new.set(t, &find(t, dirfd, path, at_flags)?)?)
}

/// `getxattrat(2)`.
pub fn getxattrat(
    t: &Arc<Task>,
    dirfd: DirFd,
    path: UserCStr,
    at_flags: u32,
    name: UserCStr,
    args: UserBuf,
    size: usize,
) -> SysResult<usize> {
    let args = XattrArgs::read(t, args, size)?;
    if args.flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    at::check(at_flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let name = read_name(t, name)?;
    let path = find(t, dirfd, path, at_flags)?;
    Ok(get(t, &path, &name, UserBuf(args.value), args.size())?)
}

/// `listxattrat(2)`.
pub fn listxattrat(
    t: &Arc<Task>,
    dirfd: DirFd,
    path: UserCStr,
    at_flags: u32,
    list_to: UserBuf,
    size: usize,
) -> SysResult<usize> {
    Ok(list(t, &find(t, dirfd, path, at_flags)?, list_to, size)?)
}

/// `removexattrat(2)`.
pub fn removexattrat(
    t: &Arc<Task>,
    dirfd: DirFd,
    path: UserCStr,
    at_flags: u32,
    name: UserCStr,
) -> SysResult<()> {
    at::check(at_flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let name = read_name(t, name)?;
    Ok(remove(t, &find(t, dirfd, path, at_flags)?, &name)?)
}
