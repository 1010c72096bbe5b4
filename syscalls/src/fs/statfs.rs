//! `statfs(2)`, `fstatfs(2)`, `ustat(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::fs::Statfs;
use sentry::fs::vfs::{MountFlags, Path, SuperFlags};
use sentry::{Result, SysResult, Task};

use super::at;
use crate::arg::{Fd, Out, UserCStr, UserPtr};

/// `ST_VALID`: the flags mean something.
const ST_VALID: u64 = 0x20;

fn of_path(path: &Path) -> Result<Statfs> {
    let fs = path.mount.fs.statfs()?;
    let mount = path.mount.flags();
    let mut flags = ST_VALID;
    for (bit, flag) in [
        (1, MountFlags::RDONLY),
        (2, MountFlags::NOSUID),
        (4, MountFlags::NODEV),
        (8, MountFlags::NOEXEC),
        (0x2000, MountFlags::NOSYMFOLLOW),
        (0x400, MountFlags::NOATIME),
        (0x800, MountFlags::NODIRATIME),
        (0x1000, MountFlags::RELATIME),
    ] {
        if mount.contains(flag) {
            flags |= bit;
        }
    }
    let sb = path.mount.sb.flags();
    if path.mount.read_only() {
        flags |= 1;
    }
    flags |= u64::from((sb & (SuperFlags::SYNCHRONOUS | SuperFlags::MANDLOCK)).bits());
    let dev = path.mount.fs.dev();
    Ok(Statfs {
        kind: fs.kind,
        bsize: fs.bsize,
        blocks: fs.blocks,
        bfree: fs.bfree,
        bavail: fs.bavail,
        files: fs.files,
        ffree: fs.ffree,
        fsid: [(dev & 0xffff_ffff) as u32, (dev >> 32) as u32],
        namelen: fs.namelen,
        frsize: fs.bsize,
        flags,
        spare: [0; 4],
    })
}

/// `statfs(2)`.
pub fn statfs(t: &Arc<Task>, path: UserCStr, out: UserPtr<Statfs, Out>) -> SysResult<()> {
    let stat = of_path(&at::follow(t, path)?)?;
    Ok(out.write(t, &stat)?)
}

/// `fstatfs(2)`.
pub fn fstatfs(t: &Arc<Task>, fd: Fd, out: UserPtr<Statfs, Out>) -> SysResult<()> {
    let stat = of_path(&at::of_fd(t, fd.0)?)?;
    Ok(out.write(t, &stat)?)
}

/// `struct ustat`: free blocks, free inodes, two names that are always empty.
type Ustat = [u64; 4];

/// `ustat(2)`: `EINVAL` when no mounted file system has that device number.
pub fn ustat(t: &Arc<Task>, dev: u32, out: UserPtr<Ustat, Out>) -> SysResult<()> {
    let ns = t.fs().root().mount.namespace().ok_or(Errno::EINVAL)?;
    let mounts = ns.list();
    let found = mounts.iter().find(|m| m.fs.dev() == u64::from(dev));
    let stat = found.ok_or(Errno::EINVAL)?.fs.statfs()?;
    let free = stat.bfree & 0xffff_ffff;
    Ok(out.write(t, &[free, stat.ffree, 0, 0])?)
}
