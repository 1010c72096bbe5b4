//! `chdir(2)`, `fchdir(2)`, `getcwd(2)`, `chroot(2)`, `umask(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::Cap;
use sentry::fs::vfs::{Access, FileType, Path, WalkCx, WalkFlags, lookup, perm};
use sentry::{Result, SysResult, Task};

use super::at;
use crate::arg::{Fd, UserBuf, UserCStr};

/// A directory one may enter: `ENOTDIR`, `EACCES`.
fn directory(t: &Arc<Task>, path: UserCStr) -> Result<Path> {
    let name = at::read_path(t, path, 0)?;
    let cx = WalkCx::of(t);
    let flags = WalkFlags::FOLLOW | WalkFlags::DIRECTORY;
    let dir = lookup(&cx, &cx.cwd, &name, flags)?;
    perm::check(&cx.creds, &*dir.inode()?, Access::X)?;
    Ok(dir)
}

/// `chdir(2)`.
pub fn chdir(t: &Arc<Task>, path: UserCStr) -> SysResult<()> {
    let dir = directory(t, path)?;
    t.fs().set_cwd(dir);
    Ok(())
}

/// `fchdir(2)`; an `O_PATH` descriptor will do.
pub fn fchdir(t: &Arc<Task>, fd: Fd) -> SysResult<()> {
    let file = t.files().get(fd.0)?;
    let dir = file.path.clone().ok_or(Errno::ENOTDIR)?;
    let inode = dir.inode()?;
    if inode.kind() != FileType::Directory {
        return Err(Errno::ENOTDIR.into());
    }
    perm::check(&t.creds(), &*inode, Access::X)?;
    t.fs().set_cwd(dir);
    Ok(())
}

/// `getcwd(2)`: the length with the NUL.
pub fn getcwd(t: &Arc<Task>, buf: UserBuf, size: usize) -> SysResult<usize> {
    let fs = t.fs();
    let mut text = fs.cwd().cwd_text(&fs.root())?;
    text.push(0);
    if text.len() > abi::PATH_MAX {
        return Err(Errno::ENAMETOOLONG.into());
    }
    if text.len() > size {
        return Err(Errno::ERANGE.into());
    }
    buf.write(t, &text)?;
    Ok(text.len())
}

/// `chroot(2)`.
pub fn chroot(t: &Arc<Task>, path: UserCStr) -> SysResult<()> {
    let dir = directory(t, path)?;
    if !t.creds().own_capable(Cap::SysChroot) {
        return Err(Errno::EPERM.into());
    }
    t.fs().set_root(dir);
    Ok(())
}

/// `umask(2)`.
pub fn umask(t: &Arc<Task>, mask: u32) -> SysResult<u32> {
    Ok(t.fs().set_umask(mask))
}
