//! `stat(2)` and relatives, `statx(2)`.

use std::sync::Arc;

use abi::fs::{Stat, Statx, StatxTime};
use sentry::fs::File;
use sentry::fs::vfs::{Attr, FileTime, Path, lookup};
use sentry::{Result, SysResult, Task};

use super::at::{self, AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_SYMLINK_NOFOLLOW};
use crate::arg::{DirFd, Fd, Out, UserCStr, UserPtr};

/// Attributes of an open description.
pub fn of_file(file: &File) -> Result<Attr> {
    match file.inode() {
        Some(inode) => inode.attr(),
        None => file.ops.attr(),
    }
}

/// With owner and group as the caller's user namespace shows them.
fn shown(t: &Arc<Task>, mut attr: Attr) -> Attr {
    let creds = t.creds();
    attr.uid = creds.user_ns.shown_uid(attr.uid);
    attr.gid = creds.user_ns.shown_gid(attr.gid);
    attr
}

/// `stat(2)`.
pub fn stat(t: &Arc<Task>, path: UserCStr, out: UserPtr<Stat, Out>) -> SysResult<()> {
    let attr = at::follow(t, path)?.inode()?.attr()?;
    Ok(out.write(t, &shown(t, attr).to_stat())?)
}

/// `lstat(2)`.
pub fn lstat(t: &Arc<Task>, path: UserCStr, out: UserPtr<Stat, Out>) -> SysResult<()> {
    let path = at::find(t, DirFd::CWD, path, AT_SYMLINK_NOFOLLOW)?;
    Ok(out.write(t, &shown(t, path.inode()?.attr()?).to_stat())?)
}

/// `fstat(2)`.
pub fn fstat(t: &Arc<Task>, fd: Fd, out: UserPtr<Stat, Out>) -> SysResult<()> {
    let attr = of_file(&*t.files().get(fd.0)?)?;
    Ok(out.write(t, &shown(t, attr).to_stat())?)
}

/// `newfstatat(2)`.
pub fn newfstatat(
    t: &Arc<Task>,
    dirfd: DirFd,
    path: UserCStr,
    out: UserPtr<Stat, Out>,
    flags: u32,
) -> SysResult<()> {
    let known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
    at::check(flags, known)?;
    let name = at::read_path(t, path, flags)?;
    let attr = if name.is_empty() && dirfd != DirFd::CWD {
        of_file(&*t.files().get(dirfd.0)?)?
    } else {
        let start = at::start(t, dirfd, &name)?;
        let flags = at::walk_flags(flags);
        at::with(t, |cx| lookup(cx, &start, &name, flags)?.inode()?.attr())?
    };
    Ok(out.write(t, &shown(t, attr).to_stat())?)
}

/// `AT_STATX_SYNC_TYPE`.
const AT_STATX_SYNC_TYPE: u32 = 0x6000;
/// `STATX_BASIC_STATS`.
const BASIC: u32 = 0x7ff;
/// `STATX_BTIME`.
const BTIME: u32 = 0x800;
/// `STATX_MNT_ID`.
const MNT_ID: u32 = 0x1000;
/// `STATX_MNT_ID_UNIQUE`.
const MNT_ID_UNIQUE: u32 = 0x4000;
/// `STATX_ATTR_MOUNT_ROOT`.
const ATTR_MOUNT_ROOT: u64 = 0x2000;
/// `STATX__RESERVED`.
const RESERVED: u32 = 0x8000_0000;

/// `statx(2)`.
pub fn statx(
    t: &Arc<Task>,
    dirfd: DirFd,
    path: UserCStr,
    flags: u32,
    mask: u32,
    out: UserPtr<Statx, Out>,
) -> SysResult<()> {
    let known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
    if mask & RESERVED != 0 {
        return Err(abi::Errno::EINVAL.into());
    }
    at::check(flags, known)?;
    if flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE {
        return Err(abi::Errno::EINVAL.into());
    }
    let path = at::find(t, dirfd, path, flags)?;
    let attr = path.inode()?.attr()?;
    Ok(out.write(t, &to_statx(&shown(t, attr), &path, mask))?)
}

fn to_statx(attr: &Attr, path: &Path, wanted: u32) -> Statx {
    let time = |t: FileTime| StatxTime {
        sec: t.sec,
        nsec: t.nsec,
        pad: 0,
    };
    let major = |dev| sentry::fs::dev::major(dev);
    let minor = |dev| sentry::fs::dev::minor(dev);
    let at_root = Arc::ptr_eq(&path.dentry, &path.mount.root);
    let btime = if attr.btime.is_some() { BTIME } else { 0 };
    let (id, mnt_id) = if wanted & MNT_ID_UNIQUE != 0 {
        (MNT_ID_UNIQUE, path.mount.unique_id())
    } else {
        (MNT_ID, path.mount.id)
    };
    Statx {
        mask: BASIC | id | btime,
        blksize: attr.blksize,
        attributes: if at_root { ATTR_MOUNT_ROOT } else { 0 },
        nlink: u32::try_from(attr.nlink).unwrap_or(u32::MAX),
        uid: attr.uid,
        gid: attr.gid,
        mode: (attr.mode() & 0xffff) as u16,
        ino: attr.ino,
        size: attr.size,
        blocks: attr.blocks,
        attributes_mask: ATTR_MOUNT_ROOT,
        atime: time(attr.atime),
        btime: attr.btime.map_or(StatxTime::default(), time),
        ctime: time(attr.ctime),
        mtime: time(attr.mtime),
        rdev_major: major(attr.rdev),
        rdev_minor: minor(attr.rdev),
        dev_major: major(attr.dev),
        dev_minor: minor(attr.dev),
        mnt_id,
        ..Statx::default()
    }
}
