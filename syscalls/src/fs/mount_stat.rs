//! `statmount(2)`, `listmount(2)`: mounts of the caller's namespace by their unique numbers.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::Cap;
use sentry::fs::dev;
use sentry::fs::vfs::mount::UNIQUE_ID_OFFSET;
use sentry::fs::vfs::{Mount, MountNamespace, Path, SuperFlags};
use sentry::{Result, SysResult, Task};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use super::at;
use super::mount::{MS_PRIVATE, MS_SHARED, MS_SLAVE, MS_UNBINDABLE};
use super::mount_attr::bits_of;
use crate::arg::{In, Out, UserBuf, UserPtr};

/// First size of `struct mnt_id_req`.
const REQUEST_MIN: usize = 24;
/// `struct mnt_id_req`: size and namespace descriptor, mount, parameter, namespace.
type Request = [u64; 4];
/// `LSMT_ROOT`.
const ROOT: u64 = u64::MAX;

const SB_BASIC: u64 = 1;
const MNT_BASIC: u64 = 2;
const PROPAGATE_FROM: u64 = 4;
const MNT_ROOT: u64 = 8;
const MNT_POINT: u64 = 0x10;
const FS_TYPE: u64 = 0x20;
const MNT_OPTS: u64 = 0x80;
const SB_SOURCE: u64 = 0x200;
const SUPPORTED_MASK: u64 = 0x1000;
/// What is told here.
const SUPPORTED: u64 = SB_BASIC
    | MNT_BASIC
    | PROPAGATE_FROM
    | MNT_ROOT
    | MNT_POINT
    | FS_TYPE
    | MNT_OPTS
    | SB_SOURCE
    | SUPPORTED_MASK;
/// What is told as text.
const TEXTS: u64 = MNT_ROOT | MNT_POINT | FS_TYPE | MNT_OPTS | SB_SOURCE;

/// `struct statmount` before its texts.
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
#[repr(C)]
struct StatMount {
    size: u32,
    mnt_opts: u32,
    mask: u64,
    sb_dev_major: u32,
    sb_dev_minor: u32,
    sb_magic: u64,
    sb_flags: u32,
    fs_type: u32,
    mnt_id: u64,
    mnt_parent_id: u64,
    mnt_id_old: u32,
    mnt_parent_id_old: u32,
    mnt_attr: u64,
    mnt_propagation: u64,
    mnt_peer_group: u64,
    mnt_master: u64,
    propagate_from: u64,
    mnt_root: u32,
    mnt_point: u32,
    mnt_ns_id: u64,
    fs_subtype: u32,
    sb_source: u32,
    options: [u32; 4],
    supported_mask: u64,
    id_maps: [u32; 4],
    spare: [u64; 43],
}

/// Reads a request: `E2BIG`, `EINVAL`, `EFAULT`; `ENOENT` for another namespace.
fn request(t: &Arc<Task>, at: u64) -> Result<Request> {
    let size = UserPtr::<u32, In>::at(at).read(t)? as usize;
    let words: Request = UserBuf(at).read_extensible(t, size, REQUEST_MIN)?;
    if words[0] >> 32 != 0 || words[1] <= UNIQUE_ID_OFFSET {
        return Err(Errno::EINVAL);
    }
    Ok(words)
}

/// The namespace asked about: the caller's own.
fn namespace(t: &Arc<Task>, request: &Request) -> Result<Arc<MountNamespace>> {
    if request[3] != 0 {
        return Err(Errno::ENOENT);
    }
    t.fs().mounts().ok_or(Errno::ENOENT)
}

fn by_id(ns: &MountNamespace, id: u64) -> Result<Arc<Mount>> {
    let mut mounts = ns.list().into_iter();
    mounts.find(|m| m.unique_id() == id).ok_or(Errno::ENOENT)
}

/// `EPERM` for a place outside the caller's root, without privilege.
fn may_see(t: &Arc<Task>, ns: &MountNamespace, at: &Path) -> Result<()> {
    if at.is_below(&t.fs().root()) || t.creds().ns_capable(ns.owner(), Cap::SysAdmin) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// The texts behind the structure.
#[derive(Default)]
struct Texts(Vec<u8>);

impl Texts {
    fn add(&mut self, text: &[u8]) -> u32 {
        let at = u32::try_from(self.0.len()).unwrap_or(0);
        self.0.extend_from_slice(text);
        self.0.push(0);
        at
    }
}

/// `statmount(2)`.
pub fn statmount(
    t: &Arc<Task>,
    req: UserBuf,
    out: UserBuf,
    size: usize,
    flags: u32,
) -> SysResult<()> {
    at::check(flags, 0)?;
    let request = request(t, req.0)?;
    let (ns, wanted) = (namespace(t, &request)?, request[2]);
    let mount = by_id(&ns, request[1])?;
    may_see(t, &ns, &Path::root_of(&mount))?;
    let mut stat = StatMount::new_zeroed();
    basic(&mut stat, &ns, &mount, wanted, &t.fs().root())?;
    let texts = described(&mut stat, &mount, wanted, &t.fs().root());
    let fixed = size_of::<StatMount>();
    if wanted & TEXTS != 0 && fixed + texts.0.len() >= size {
        return Err(Errno::EOVERFLOW.into());
    }
    stat.size = u32::try_from(fixed + texts.0.len()).map_err(|_| Errno::EOVERFLOW)?;
    let head = stat.as_bytes();
    out.write(t, head.get(..size.min(fixed)).unwrap_or(head))?;
    UserBuf(out.0.wrapping_add(fixed as u64)).write(t, &texts.0)?;
    Ok(())
}

/// The numbers asked for.
fn basic(
    stat: &mut StatMount,
    ns: &MountNamespace,
    mount: &Arc<Mount>,
    wanted: u64,
    root: &Path,
) -> Result<()> {
    stat.mask = wanted & SUPPORTED & !MNT_OPTS;
    if wanted & SUPPORTED_MASK != 0 {
        stat.supported_mask = SUPPORTED;
    }
    if wanted & SB_BASIC != 0 {
        (stat.sb_dev_major, stat.sb_dev_minor) =
            (dev::major(mount.fs.dev()), dev::minor(mount.fs.dev()));
        stat.sb_magic = mount.fs.statfs()?.kind;
        stat.sb_flags = (mount.sb.flags() - SuperFlags::MANDLOCK).bits();
    }
    let masters = ns.masters(mount, root);
    if wanted & MNT_BASIC != 0 {
        let parent = mount.point().map_or_else(|| mount.clone(), |p| p.mount);
        (stat.mnt_id, stat.mnt_parent_id) = (mount.unique_id(), parent.unique_id());
        let old = |m: &Mount| u32::try_from(m.id).unwrap_or(u32::MAX);
        (stat.mnt_id_old, stat.mnt_parent_id_old) = (old(mount), old(&parent));
        stat.mnt_attr = u64::from(bits_of(mount.flags()));
        let link = mount.link();
        let spread = [
            (link.shared.is_some(), MS_SHARED),
            (masters.is_some(), MS_SLAVE),
            (link.unbindable, MS_UNBINDABLE),
        ];
        let set = spread.iter().filter(|(is, _)| *is);
        let bits = set.fold(0, |all, (_, bit)| all | bit);
        stat.mnt_propagation = if bits == 0 { MS_PRIVATE } else { bits };
        stat.mnt_peer_group = link.shared.unwrap_or(0);
        stat.mnt_master = masters.map_or(0, |(master, _)| master);
    }
    if wanted & PROPAGATE_FROM != 0 {
        stat.propagate_from = masters.and_then(|(_, from)| from).unwrap_or(0);
    }
    Ok(())
}

/// The texts asked for.
fn described(stat: &mut StatMount, mount: &Arc<Mount>, wanted: u64, root: &Path) -> Texts {
    let mut texts = Texts::default();
    if wanted & FS_TYPE != 0 {
        stat.fs_type = texts.add(mount.fs.name().as_bytes());
    }
    if wanted & MNT_ROOT != 0 {
        stat.mnt_root = texts.add(&mount.root_in_fs());
    }
    if wanted & MNT_POINT != 0 {
        stat.mnt_point = texts.add(&Path::root_of(mount).text(root));
    }
    if wanted & MNT_OPTS != 0 {
        let options = mount.fs.options();
        if !options.is_empty() {
            stat.mnt_opts = texts.add(options.as_bytes());
            stat.mask |= MNT_OPTS;
        }
    }
    if wanted & SB_SOURCE != 0 {
        stat.sb_source = texts.add(&mount.source);
    }
    texts
}

/// `LISTMOUNT_REVERSE`.
const REVERSE: u32 = 1;
/// Most numbers of one call.
const LIST_MAX: usize = 1_000_000;

/// `listmount(2)`.
pub fn listmount(
    t: &Arc<Task>,
    req: UserBuf,
    ids: UserPtr<u64, Out>,
    count: usize,
    flags: u32,
) -> SysResult<usize> {
    at::check(flags, REVERSE)?;
    if count > LIST_MAX {
        return Err(Errno::EOVERFLOW.into());
    }
    let request = request(t, req.0)?;
    let last = request[2];
    if last != 0 && last <= UNIQUE_ID_OFFSET {
        return Err(Errno::EINVAL.into());
    }
    let ns = namespace(t, &request)?;
    let top = if request[1] == ROOT {
        t.fs().root()
    } else {
        Path::root_of(&by_id(&ns, request[1])?)
    };
    may_see(t, &ns, &top)?;
    let reverse = flags & REVERSE != 0;
    let beyond = |id: u64| last == 0 || if reverse { id < last } else { id > last };
    let below = ns.list().into_iter().filter(|m| {
        let id = m.unique_id();
        id != request[1] && beyond(id) && Path::root_of(m).is_below(&top)
    });
    let mut found: Vec<u64> = below.map(|m| m.unique_id()).collect();
    found.sort_unstable();
    if reverse {
        found.reverse();
    }
    found.truncate(count);
    ids.write_array(t, &found)?;
    Ok(found.len())
}
