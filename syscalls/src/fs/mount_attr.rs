//! `mount_setattr(2)` and `open_tree_attr(2)`: flags and propagation of mounts, many at once.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::Cap;
use sentry::fs::vfs::{Mount, MountFlags, MountNamespace, Path, Propagation};
use sentry::task::namespace::{Namespace, NsFile};
use sentry::{Result, SysResult, Task};

use super::at::{self, AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_SYMLINK_NOFOLLOW};
use super::mount::{PROPAGATION, may_change, may_mount, propagation};
use super::mount_api::{AT_RECURSIVE, OPEN_TREE_CLOEXEC, install, tree};
use crate::arg::{DirFd, Fd, UserBuf, UserCStr};

/// `MOUNT_ATTR__ATIME`.
const ATTR_ATIME: u32 = 0x70;
/// `MOUNT_ATTR_IDMAP`.
const ATTR_IDMAP: u64 = 0x10_0000;
/// Bits that are one flag each.
const ATTRS: [(u32, MountFlags); 6] = [
    (1, MountFlags::RDONLY),
    (2, MountFlags::NOSUID),
    (4, MountFlags::NODEV),
    (8, MountFlags::NOEXEC),
    (0x80, MountFlags::NODIRATIME),
    (0x20_0000, MountFlags::NOSYMFOLLOW),
];
/// All bits but that of id maps.
const ATTR_KNOWN: u32 = 0x20_00ff;

/// Flags named by bits, those of access times left out.
fn plain(attr: u32) -> MountFlags {
    let set = ATTRS.iter().filter(|(bit, _)| attr & bit != 0);
    set.fold(MountFlags::empty(), |all, (_, flag)| all | *flag)
}

/// The choice of access times; `EINVAL` where none is meant.
fn atime(attr: u32) -> Result<MountFlags> {
    match attr & ATTR_ATIME {
        0 => Ok(MountFlags::RELATIME),
        0x10 => Ok(MountFlags::NOATIME),
        0x20 => Ok(MountFlags::empty()),
        _ => Err(Errno::EINVAL),
    }
}

/// Flags of a new mount (`fsmount(2)`); `EINVAL`.
pub fn new_flags(attr: u32) -> Result<MountFlags> {
    at::check(attr, ATTR_KNOWN)?;
    Ok(plain(attr) | atime(attr)?)
}

/// The bits of a mount's flags (`statmount(2)`).
pub fn bits_of(flags: MountFlags) -> u32 {
    let set = ATTRS.iter().filter(|(_, flag)| flags.contains(*flag));
    let bits = set.fold(0, |all, (bit, _)| all | bit);
    if flags.contains(MountFlags::NOATIME) {
        bits | 0x10
    } else if flags.contains(MountFlags::RELATIME) {
        bits
    } else {
        bits | 0x20
    }
}

/// `struct mount_attr`: set, clear, propagation, user namespace.
type RawAttr = [u64; 4];
const RAW_SIZE: usize = size_of::<RawAttr>();

/// What is to change.
struct Change {
    set: MountFlags,
    clear: MountFlags,
    propagation: Option<Propagation>,
    idmap: bool,
    recursive: bool,
}

impl Change {
    /// Reads a `struct mount_attr`; `None` when nothing is to change. `EINVAL`, `E2BIG`.
    fn read(t: &Arc<Task>, attr: UserBuf, size: usize, recursive: bool) -> Result<Option<Change>> {
        // A wrong size is said first, a bad address last.
        if (RAW_SIZE..=abi::PAGE_SIZE as usize).contains(&size) {
            may_mount(t)?;
        }
        let raw: RawAttr = attr.read_extensible(t, size, RAW_SIZE)?;
        if raw[..3] == [0; 3] {
            return Ok(None);
        }
        Change::check(t, raw, recursive).map(Some)
    }

    fn check(t: &Arc<Task>, raw: RawAttr, recursive: bool) -> Result<Change> {
        let [set, clear, spread, user_ns] = raw;
        if spread & !PROPAGATION != 0 || spread.count_ones() > 1 {
            return Err(Errno::EINVAL);
        }
        if (set | clear) & !(u64::from(ATTR_KNOWN) | ATTR_IDMAP) != 0 {
            return Err(Errno::EINVAL);
        }
        let bits = |attr: u64| (attr & u64::from(ATTR_KNOWN)) as u32;
        let mut change = Change {
            set: plain(bits(set)),
            clear: plain(bits(clear)),
            propagation: None,
            idmap: set & ATTR_IDMAP != 0,
            recursive,
        };
        if spread != 0 {
            change.propagation = Some(propagation(spread)?);
        }
        match bits(clear) & ATTR_ATIME {
            0 if bits(set) & ATTR_ATIME != 0 => return Err(Errno::EINVAL),
            0 => {}
            ATTR_ATIME => {
                change.clear |= MountFlags::RELATIME | MountFlags::NOATIME;
                change.set |= atime(bits(set))?;
            }
            _ => return Err(Errno::EINVAL),
        }
        if clear & ATTR_IDMAP != 0 {
            return Err(Errno::EINVAL);
        }
        if change.idmap {
            check_map(t, user_ns)?;
        }
        Ok(change)
    }

    fn flags_of(&self, mount: &Mount) -> MountFlags {
        (mount.flags() - self.clear) | self.set
    }

    /// Changes the mount whose root `at` is, or with those below it all or none: `EINVAL`,
    /// `EPERM` for locked flags, `EBUSY` for read only while files are open for writing.
    fn apply(&self, ns: &MountNamespace, at: &Path) -> Result<()> {
        let home = at.mount.namespace().ok_or(Errno::EINVAL)?;
        let loose = home.is_anonymous() && !at.mount.has_parent();
        if !at.is_mount_root() || !(loose || ns.has(&at.mount)) {
            return Err(Errno::EINVAL);
        }
        let mounts = if self.recursive {
            at.mount.subtree()
        } else {
            vec![at.mount.clone()]
        };
        for mount in &mounts {
            may_change(mount, self.flags_of(mount))?;
        }
        // No file system here knows id maps.
        if self.idmap {
            return Err(Errno::EINVAL);
        }
        let mut undo = Vec::new();
        for mount in &mounts {
            let old = mount.flags();
            if let Err(e) = mount.change_flags(self.flags_of(mount)) {
                for (mount, flags) in undo {
                    Mount::set_flags(mount, flags);
                }
                return Err(e);
            }
            undo.push((mount, old));
        }
        if let Some(to) = self.propagation {
            home.set_propagation(at, to, self.recursive)?;
        }
        Ok(())
    }
}

/// Whether a descriptor is a user namespace whose map could be used.
fn check_map(t: &Arc<Task>, fd: u64) -> Result<()> {
    let fd = i32::try_from(fd).map_err(|_| Errno::EINVAL)?;
    let file = t.files().get(fd)?;
    let Some(Namespace::User(user)) = NsFile::namespace_of(&file) else {
        return Err(Errno::EINVAL);
    };
    if user.is_initial() || !t.creds().ns_capable(&user, Cap::SysAdmin) {
        return Err(Errno::EPERM);
    }
    Ok(())
}

/// `mount_setattr(2)`.
pub fn mount_setattr(
    t: &Arc<Task>,
    dirfd: DirFd,
    path: UserCStr,
    flags: u32,
    attr: UserBuf,
    size: usize,
) -> SysResult<()> {
    at::check(
        flags,
        AT_EMPTY_PATH | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
    )?;
    let Some(change) = Change::read(t, attr, size, flags & AT_RECURSIVE != 0)? else {
        return Ok(());
    };
    let ns = may_mount(t)?;
    let at = at::find(t, dirfd, path, flags)?;
    Ok(change.apply(&ns, &at)?)
}

/// `open_tree_attr(2)`.
pub fn open_tree_attr(
    t: &Arc<Task>,
    dirfd: DirFd,
    path: UserCStr,
    flags: u32,
    attr: UserBuf,
    size: usize,
) -> SysResult<Fd> {
    if attr.0 == 0 && size != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = tree(t, dirfd, path, flags)?;
    if attr.0 != 0
        && let Some(change) = Change::read(t, attr, size, flags & AT_RECURSIVE != 0)?
    {
        let place = file.path.as_ref().ok_or(Errno::EINVAL)?;
        change.apply(&*may_mount(t)?, place)?;
    }
    install(t, file, flags & OPEN_TREE_CLOEXEC != 0)
}
