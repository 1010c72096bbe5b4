//! `mount(2)`, `umount2(2)`, `pivot_root(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::Cap;
use sentry::fs::vfs::fs_type::FsType;
use sentry::fs::vfs::{
    Mount, MountFlags, MountLocks, MountNamespace, Path, Propagation, SuperFlags, WalkFlags, lookup,
};
use sentry::landlock;
use sentry::{Result, SysResult, Task};

use super::at;
use crate::arg::UserCStr;

const MS_REMOUNT: u64 = 32;
const MS_BIND: u64 = 4096;
const MS_MOVE: u64 = 8192;
const MS_REC: u64 = 16384;
const MS_SILENT: u64 = 32768;
/// `MS_UNBINDABLE`.
pub const MS_UNBINDABLE: u64 = 1 << 17;
/// `MS_PRIVATE`.
pub const MS_PRIVATE: u64 = 1 << 18;
/// `MS_SLAVE`.
pub const MS_SLAVE: u64 = 1 << 19;
/// `MS_SHARED`.
pub const MS_SHARED: u64 = 1 << 20;
const MS_NOUSER: u64 = 1 << 31;
const MS_STRICTATIME: u64 = 1 << 24;
/// All ways to spread events.
pub const PROPAGATION: u64 = MS_UNBINDABLE | MS_PRIVATE | MS_SLAVE | MS_SHARED;
/// The old magic in the high half is dropped.
const MS_MGC_VAL: u64 = 0xc0ed_0000;
const MS_MGC_MSK: u64 = 0xffff_0000;

/// Longest option text: one page.
const DATA_MAX: usize = 4095;

/// The caller's mount namespace, if he may change it; `EPERM`.
pub fn may_mount(t: &Arc<Task>) -> Result<Arc<MountNamespace>> {
    let ns = t.fs().mounts().ok_or(Errno::EPERM)?;
    if !t.creds().ns_capable(ns.owner(), Cap::SysAdmin) {
        return Err(Errno::EPERM);
    }
    Ok(ns)
}

fn optional(t: &Arc<Task>, s: UserCStr, max: usize) -> Result<Vec<u8>> {
    if s.is_null() {
        return Ok(Vec::new());
    }
    match s.read(t, max) {
        Err(Errno::ENAMETOOLONG) => Err(Errno::EINVAL),
        r => r,
    }
}

/// The mount flags of a mount call; access times are relative unless said otherwise, those
/// of a remount as they were.
fn mount_flags(at: &Path, flags: u64) -> MountFlags {
    let mut mount = MountFlags::from_bits_truncate((flags & 0xffff_ffff) as u32);
    let atime = u64::from(MountFlags::ATIME.bits()) | MS_STRICTATIME;
    if flags & MS_REMOUNT != 0 && flags & atime == 0 {
        return mount | (at.mount.flags() & MountFlags::ATIME);
    }
    if flags & MS_STRICTATIME != 0 {
        mount -= MountFlags::RELATIME | MountFlags::NOATIME;
    } else if mount.contains(MountFlags::NOATIME) {
        mount -= MountFlags::RELATIME;
    } else {
        mount |= MountFlags::RELATIME;
    }
    mount
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
    let ns = may_mount(t)?;
    landlock::check_mount(&t.creds())?;
    let mount = mount_flags(&at, flags);
    let sb = SuperFlags::from_bits_truncate((flags & 0xffff_ffff) as u32);
    if flags & MS_REMOUNT != 0 {
        let request = (flags & MS_BIND == 0).then_some((sb, data.as_slice()));
        return Ok(remount(t, &ns, &at, mount, request)?);
    }
    if flags & MS_BIND != 0 {
        let from = source_place(t, &source)?;
        ns.bind(&at, &from, flags & MS_REC != 0)?;
        return Ok(());
    }
    if flags & PROPAGATION != 0 {
        let to = if at.is_mount_root() {
            propagation(flags & !(MS_REC | MS_SILENT))
        } else {
            Err(Errno::EINVAL)
        };
        return Ok(ns.set_propagation(&at, to?, flags & MS_REC != 0)?);
    }
    if flags & MS_MOVE != 0 {
        let from = source_place(t, &source)?;
        return Ok(ns.move_mount(&from, &at, false)?);
    }
    if kind.is_empty() {
        return Err(Errno::EINVAL.into());
    }
    let kind = t.kernel.fs_types.find(&kind)?;
    Ok(new(t, &ns, &at, &kind, (&source, &data), (sb, mount))?)
}

/// What a bind or move is of; `EINVAL` for no path.
fn source_place(t: &Arc<Task>, source: &[u8]) -> Result<Path> {
    if source.is_empty() {
        return Err(Errno::EINVAL);
    }
    at::with(t, |cx| lookup(cx, &cx.cwd, source, WalkFlags::FOLLOW))
}

/// A new instance of a file system.
fn new(
    t: &Arc<Task>,
    ns: &Arc<MountNamespace>,
    at: &Path,
    kind: &FsType,
    (source, options): (&[u8], &[u8]),
    (sb, mount): (SuperFlags, MountFlags),
) -> Result<()> {
    let made = kind.instance(t, (source, options), sb)?;
    let locks = kind.too_revealing(ns, &made, mount)?;
    let source = if source.is_empty() { b"none" } else { source };
    ns.mount_super(at, made, source, (mount, locks))?;
    Ok(())
}

/// Whether a mount may get these flags as far as they are locked; `EPERM`.
pub fn may_change(at: &Mount, to: MountFlags) -> Result<()> {
    let (locks, had) = (at.locks(), at.flags());
    let pairs = [
        (MountLocks::RDONLY, MountFlags::RDONLY),
        (MountLocks::NODEV, MountFlags::NODEV),
        (MountLocks::NOSUID, MountFlags::NOSUID),
        (MountLocks::NOEXEC, MountFlags::NOEXEC),
    ];
    let lost =
        |(lock, flag): &(MountLocks, MountFlags)| locks.contains(*lock) && !to.contains(*flag);
    let atime = (had & MountFlags::ATIME) != (to & MountFlags::ATIME);
    if pairs.iter().any(lost) || (locks.contains(MountLocks::ATIME) && atime) {
        return Err(Errno::EPERM);
    }
    Ok(())
}

/// Changes the flags of a mount and, with a request, of its file system and the options.
fn remount(
    t: &Arc<Task>,
    ns: &MountNamespace,
    at: &Path,
    flags: MountFlags,
    request: Option<(SuperFlags, &[u8])>,
) -> Result<()> {
    if !ns.has(&at.mount) || !at.is_mount_root() {
        return Err(Errno::EINVAL);
    }
    may_change(&at.mount, flags)?;
    let Some((sb, options)) = request else {
        return at.mount.change_flags(flags);
    };
    at.mount
        .sb
        .reconfigure(t, options, (sb, SuperFlags::REMOUNT))?;
    at.mount.set_flags(flags);
    Ok(())
}

/// The one way to spread events among the bits; `EINVAL`.
pub fn propagation(bits: u64) -> Result<Propagation> {
    match bits {
        MS_PRIVATE => Ok(Propagation::Private),
        MS_SHARED => Ok(Propagation::Shared),
        MS_SLAVE => Ok(Propagation::Slave),
        MS_UNBINDABLE => Ok(Propagation::Unbindable),
        _ => Err(Errno::EINVAL),
    }
}

const MNT_FORCE: u32 = 1;
const MNT_DETACH: u32 = 2;
const MNT_EXPIRE: u32 = 4;
const UMOUNT_NOFOLLOW: u32 = 8;

/// `umount2(2)`.
pub fn umount2(t: &Arc<Task>, target: UserCStr, flags: u32) -> SysResult<()> {
    at::check(flags, MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW)?;
    let name = target.read_path(t)?;
    let mut walk = WalkFlags::UNMOUNT;
    walk.set(WalkFlags::FOLLOW, flags & UMOUNT_NOFOLLOW == 0);
    let at = at::with(t, |cx| lookup(cx, &cx.cwd, &name, walk))?;
    let ns = may_mount(t)?;
    landlock::check_mount(&t.creds())?;
    ns.may_umount(&at)?;
    if flags & MNT_FORCE != 0 && !t.creds().capable(Cap::SysAdmin) {
        return Err(Errno::EPERM.into());
    }
    let is_root = Arc::ptr_eq(&at.mount, &t.fs().root().mount);
    if flags & MNT_EXPIRE != 0 {
        if is_root || flags & (MNT_FORCE | MNT_DETACH) != 0 {
            return Err(Errno::EINVAL.into());
        }
        ns.expire(&at)?;
    }
    // The root stays: its file system becomes read only instead.
    if is_root && flags & MNT_DETACH == 0 {
        if !t.creds().ns_capable(&at.mount.sb.user_ns, Cap::SysAdmin) {
            return Err(Errno::EPERM.into());
        }
        let read_only = SuperFlags::RDONLY;
        return Ok(at.mount.sb.change_flags(read_only, read_only)?);
    }
    Ok(ns.umount(&at, flags & MNT_DETACH != 0)?)
}

/// `pivot_root(2)`.
pub fn pivot_root(t: &Arc<Task>, new_root: UserCStr, put_old: UserCStr) -> SysResult<()> {
    let ns = may_mount(t)?;
    landlock::check_mount(&t.creds())?;
    let find = |path: UserCStr| {
        let name = path.read_path(t)?;
        let walk = WalkFlags::FOLLOW | WalkFlags::DIRECTORY;
        at::with(t, |cx| lookup(cx, &cx.cwd, &name, walk))
    };
    let new = find(new_root)?;
    let put = find(put_old)?;
    let old = t.fs().root();
    ns.pivot(&old, &new, &put)?;
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
