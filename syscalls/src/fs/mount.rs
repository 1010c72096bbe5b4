//! `mount(2)`, `umount2(2)`, `pivot_root(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::Cap;
use sentry::fs::vfs::fs_type::MountRequest;
use sentry::fs::vfs::{MountFlags, MountNamespace, Path, Propagation, WalkCx};
use sentry::{Result, SysResult, Task};

use super::at::{self, AT_SYMLINK_NOFOLLOW};
use crate::arg::{DirFd, UserCStr};

const MS_REMOUNT: u64 = 32;
const MS_BIND: u64 = 4096;
const MS_MOVE: u64 = 8192;
const MS_REC: u64 = 16384;
const MS_UNBINDABLE: u64 = 1 << 17;
const MS_PRIVATE: u64 = 1 << 18;
const MS_SLAVE: u64 = 1 << 19;
const MS_SHARED: u64 = 1 << 20;
const MS_NOUSER: u64 = 1 << 31;
const MS_STRICTATIME: u64 = 1 << 24;
const PROPAGATION: u64 = MS_UNBINDABLE | MS_PRIVATE | MS_SLAVE | MS_SHARED;
/// The old magic in the high half is dropped.
const MS_MGC_VAL: u64 = 0xc0ed_0000;
const MS_MGC_MSK: u64 = 0xffff_0000;

/// Longest option text: one page.
const DATA_MAX: usize = 4095;

fn optional(t: &Arc<Task>, s: UserCStr, max: usize) -> Result<Vec<u8>> {
    if s.is_null() {
        return Ok(Vec::new());
    }
    match s.read(t, max) {
        Err(Errno::ENAMETOOLONG) => Err(Errno::EINVAL),
        r => r,
    }
}

/// The mount flags of a mount call; access times are relative unless said otherwise.
fn mount_flags(flags: u64) -> MountFlags {
    let mut mount = MountFlags::from_bits_truncate((flags & 0xffff_ffff) as u32);
    if flags & MS_STRICTATIME != 0 {
        mount -= MountFlags::RELATIME | MountFlags::NOATIME;
    } else if !mount.contains(MountFlags::NOATIME) {
        mount |= MountFlags::RELATIME;
    }
    mount
}

fn namespace(path: &Path) -> Result<Arc<MountNamespace>> {
    path.mount.namespace().ok_or(Errno::EINVAL)
}

/// `mount(2)`.
pub fn mount(
    t: &Arc<Task>,
    source: UserCStr,
    target: UserCStr,
    kind: UserCStr,
    flags: u64,
    data: UserCStr,
) -> SysResult<()> {
    let kind = optional(t, kind, DATA_MAX)?;
    let source = optional(t, source, abi::PATH_MAX - 1)?;
    let data = optional(t, data, DATA_MAX)?;
    let flags = if flags & MS_MGC_MSK == MS_MGC_VAL {
        flags & !MS_MGC_MSK
    } else {
        flags
    };
    let at = at::follow(t, target)?;
    if flags & MS_NOUSER != 0 {
        return Err(Errno::EINVAL.into());
    }
    if !t.creds().capable(Cap::SysAdmin) {
        return Err(Errno::EPERM.into());
    }
    if flags & (MS_REMOUNT | MS_BIND) == MS_REMOUNT | MS_BIND || flags & MS_REMOUNT != 0 {
        return Ok(remount(&at, flags)?);
    }
    if flags & MS_BIND != 0 {
        return Ok(bind(t, &at, &source, flags)?);
    }
    if flags & PROPAGATION != 0 {
        return Ok(propagation(&at, flags)?);
    }
    if flags & MS_MOVE != 0 {
        let from = at::with(t, |cx| {
            sentry::fs::vfs::lookup(cx, &cx.cwd, &source, at::walk_flags(0))
        })?;
        return Ok(namespace(&at)?.move_mount(&from, &at)?);
    }
    Ok(new(t, &at, &kind, (&source, &data), flags)?)
}

/// A new instance of a file system.
fn new(
    t: &Arc<Task>,
    at: &Path,
    kind: &[u8],
    (source, options): (&[u8], &[u8]),
    flags: u64,
) -> Result<()> {
    if kind.is_empty() {
        return Err(Errno::EINVAL);
    }
    let cx = WalkCx::of(t);
    let request = MountRequest {
        kernel: &t.kernel,
        cx: &cx,
        source,
        options,
    };
    let fs = t.kernel.fs_types.make(kind, &request)?;
    let source = if source.is_empty() { b"none" } else { source };
    namespace(at)?.mount(at, fs, source, mount_flags(flags))?;
    Ok(())
}

/// Changes the flags of a mount.
fn remount(at: &Path, flags: u64) -> Result<()> {
    if !Arc::ptr_eq(&at.dentry, &at.mount.root) {
        return Err(Errno::EINVAL);
    }
    at.mount.set_flags(mount_flags(flags));
    Ok(())
}

fn bind(t: &Arc<Task>, at: &Path, source: &[u8], flags: u64) -> Result<()> {
    if source.is_empty() {
        return Err(Errno::EINVAL);
    }
    let from = at::with(t, |cx| {
        sentry::fs::vfs::lookup(cx, &cx.cwd, source, at::walk_flags(0))
    })?;
    if from.mount.propagation() == Propagation::Unbindable {
        return Err(Errno::EINVAL);
    }
    namespace(at)?.bind(at, &from, flags & MS_REC != 0)?;
    Ok(())
}

fn propagation(at: &Path, flags: u64) -> Result<()> {
    if flags & !(PROPAGATION | MS_REC | 0x8000) != 0 {
        return Err(Errno::EINVAL);
    }
    let to = match flags & PROPAGATION {
        MS_PRIVATE => Propagation::Private,
        MS_SHARED => Propagation::Shared,
        MS_SLAVE => Propagation::Slave,
        MS_UNBINDABLE => Propagation::Unbindable,
        _ => return Err(Errno::EINVAL),
    };
    if !Arc::ptr_eq(&at.dentry, &at.mount.root) {
        return Err(Errno::EINVAL);
    }
    let mut work = vec![at.mount.clone()];
    while let Some(mount) = work.pop() {
        mount.set_propagation(to);
        if flags & MS_REC != 0 {
            work.extend(mount.children());
        }
    }
    Ok(())
}

const MNT_FORCE: u32 = 1;
const MNT_DETACH: u32 = 2;
const MNT_EXPIRE: u32 = 4;
const UMOUNT_NOFOLLOW: u32 = 8;

/// `umount2(2)`.
pub fn umount2(t: &Arc<Task>, target: UserCStr, flags: u32) -> SysResult<()> {
    at::check(flags, MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW)?;
    let nofollow = flags & UMOUNT_NOFOLLOW != 0;
    let walk = if nofollow { AT_SYMLINK_NOFOLLOW } else { 0 };
    let at = at::find(t, DirFd::CWD, target, walk)?;
    if !t.creds().capable(Cap::SysAdmin) {
        return Err(Errno::EPERM.into());
    }
    if flags & MNT_EXPIRE != 0 && flags & (MNT_FORCE | MNT_DETACH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    // The first of two expiring calls only marks; nothing here is ever marked.
    if flags & MNT_EXPIRE != 0 {
        return Err(Errno::EAGAIN.into());
    }
    Ok(namespace(&at)?.umount(&at, flags & MNT_DETACH != 0)?)
}

/// `pivot_root(2)`.
pub fn pivot_root(t: &Arc<Task>, new_root: UserCStr, put_old: UserCStr) -> SysResult<()> {
    if !t.creds().capable(Cap::SysAdmin) {
        return Err(Errno::EPERM.into());
    }
    let new = at::follow(t, new_root)?;
    let put = at::follow(t, put_old)?;
    let fs = t.fs();
    let old = fs.root();
    if Arc::ptr_eq(&new.mount, &old.mount) || Arc::ptr_eq(&put.mount, &old.mount) {
        return Err(Errno::EBUSY.into());
    }
    let below = put.full_text().starts_with(&new.full_text());
    if !Arc::ptr_eq(&new.dentry, &new.mount.root) || !below {
        return Err(Errno::EINVAL.into());
    }
    namespace(&new)?.pivot(&new, &put)?;
    for other in t.kernel.all_tasks() {
        let fs = other.fs();
        if fs.root() == old {
            fs.set_root(new.clone());
        }
        if fs.cwd() == old {
            fs.set_cwd(new.clone());
        }
    }
    Ok(())
}
