//! Mounts and paths.
//!
//! A [`Mount`] shows a super block from one of its directories on; bind mounts of a file
//! system share its dentries. Mounts form a tree below the root of a
//! [`super::MountNamespace`]; a child is held by its parent and knows it weakly. How events
//! spread between mounts is kept by [`super::peers`].
//!
//! Lock ranks: the tree lock of [`super::mount_tree`] is above every field here; the fields'
//! own locks are leaves.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use super::dentry::{Dentry, DentryCache};
use super::inode::{FileSystem, Inode};
use super::namespace::MountNamespace;
use super::peers::Link;
use crate::Result;
use crate::sync::{Mutex, MutexGuard, RwLock};
use crate::userns::UserNs;

bitflags::bitflags! {
    /// Flags of a mount, in the bits of `mount(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MountFlags: u32 {
        /// Read only.
        const RDONLY = 1;
        /// Set-id bits are ignored.
        const NOSUID = 2;
        /// Devices cannot be opened.
        const NODEV = 4;
        /// Programs cannot be executed.
        const NOEXEC = 8;
        /// Symbolic links are not followed.
        const NOSYMFOLLOW = 256;
        /// Access times are not kept.
        const NOATIME = 1024;
        /// Access times of directories are not kept.
        const NODIRATIME = 2048;
        /// Access times are kept when older than the modification or a day.
        const RELATIME = 1 << 21;
    }
}

bitflags::bitflags! {
    /// What somebody with less privilege may not undo (`mount_namespaces(7)`, "Restrictions
    /// on mount namespaces").
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MountLocks: u32 {
        /// It may not be taken away from what it covers.
        const PLACE = 1;
        /// Read only stays.
        const RDONLY = 2;
        /// `nosuid` stays.
        const NOSUID = 4;
        /// `nodev` stays.
        const NODEV = 8;
        /// `noexec` stays.
        const NOEXEC = 16;
        /// The choice of access times stays.
        const ATIME = 32;
    }

    /// Flags of a file system instance, in the bits of `mount(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SuperFlags: u32 {
        /// Read only, through every mount.
        const RDONLY = 1;
        /// Writes go to the device at once.
        const SYNCHRONOUS = 16;
        /// Mandatory locking, which no longer exists; shown.
        const MANDLOCK = 64;
        /// Changes of directories go to the device at once.
        const DIRSYNC = 128;
        /// Times reach the device late.
        const LAZYTIME = 1 << 25;
    }
}

impl SuperFlags {
    /// What `MS_REMOUNT` changes.
    pub const REMOUNT: SuperFlags = SuperFlags::RDONLY
        .union(SuperFlags::SYNCHRONOUS)
        .union(SuperFlags::MANDLOCK)
        .union(SuperFlags::LAZYTIME);
}

impl MountFlags {
    /// The choice of access times.
    pub const ATIME: MountFlags = MountFlags::NOATIME
        .union(MountFlags::NODIRATIME)
        .union(MountFlags::RELATIME);
}

/// A file system instance with its cached dentries.
pub struct SuperBlock {
    /// The instance.
    pub fs: Arc<dyn FileSystem>,
    /// Its root directory.
    pub root: Arc<Dentry>,
    /// Whether cached dentries are asked about at each use.
    pub revalidate: bool,
    /// Whether anybody ever watched a file of it (`inotify(7)`).
    pub watched: AtomicBool,
    /// The user namespace of who made it.
    pub user_ns: UserNs,
    flags: AtomicU32,
    /// Files open for writing, through all its mounts.
    writers: AtomicUsize,
    _cache: Arc<DentryCache>,
    rename: Mutex<()>,
    cookies: AtomicU32,
}

impl SuperBlock {
    /// A super block for `fs` of the first user namespace.
    pub fn new(fs: Arc<dyn FileSystem>) -> Result<Arc<SuperBlock>> {
        SuperBlock::of(fs, UserNs::INITIAL, SuperFlags::empty())
    }

    /// A super block for `fs`, made by somebody in `user_ns`.
    pub fn of(
        fs: Arc<dyn FileSystem>,
        user_ns: UserNs,
        flags: SuperFlags,
    ) -> Result<Arc<SuperBlock>> {
        let cache = Arc::new(DentryCache::default());
        let root = Dentry::root_cached(fs.root()?, &cache);
        Ok(Arc::new(SuperBlock {
            revalidate: fs.revalidate_dentries(),
            fs,
            root,
            watched: AtomicBool::new(false),
            user_ns,
            flags: AtomicU32::new(flags.bits()),
            writers: AtomicUsize::new(0),
            _cache: cache,
            rename: Mutex::new(()),
            cookies: AtomicU32::new(0),
        }))
    }

    /// A number that ties the two events of a rename together.
    pub fn next_cookie(&self) -> u32 {
        self.cookies.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// Its flags.
    pub fn flags(&self) -> SuperFlags {
        SuperFlags::from_bits_retain(self.flags.load(Ordering::Acquire))
    }

    /// Changes the flags in `mask`; `EBUSY` for read only while files are open for writing.
    pub fn change_flags(&self, flags: SuperFlags, mask: SuperFlags) -> Result<()> {
        let (old, flags) = (self.flags(), flags & mask);
        let new = (old - mask) | flags;
        let turns = new.contains(SuperFlags::RDONLY) && !old.contains(SuperFlags::RDONLY);
        self.flags.store(new.bits(), Ordering::SeqCst);
        if turns && self.writers.load(Ordering::SeqCst) != 0 {
            self.flags.store(old.bits(), Ordering::SeqCst);
            return Err(abi::Errno::EBUSY);
        }
        Ok(())
    }

    /// Held over renames between directories, so that ancestry stands still.
    pub fn lock_rename(&self) -> MutexGuard<'_, ()> {
        self.rename.lock()
    }
}

/// Unique numbers of mounts are above the other ones, as Linux does.
pub const UNIQUE_ID_OFFSET: u64 = 1 << 31;

/// A dentry's place among a mount's children.
fn key(dentry: &Arc<Dentry>) -> usize {
    Arc::as_ptr(dentry) as usize
}

/// Where a mount hangs.
#[derive(Clone)]
struct Attached {
    parent: Weak<Mount>,
    point: Arc<Dentry>,
}

/// A file system attached to the tree.
pub struct Mount {
    /// Its number, unique among the namespaces of a container; 0 for mounts no namespace has.
    pub id: u64,
    /// What is mounted.
    pub fs: Arc<dyn FileSystem>,
    /// Its super block.
    pub sb: Arc<SuperBlock>,
    /// Its root in this mount.
    pub root: Arc<Dentry>,
    /// What `mount(2)` was given as source, for `/proc/mounts`.
    pub source: Vec<u8>,
    flags: AtomicU32,
    locks: AtomicU32,
    writers: AtomicUsize,
    expiring: AtomicBool,
    pub(super) link: Mutex<Link>,
    attached: RwLock<Option<Attached>>,
    /// What stands on it, by the address of the dentry, which the child holds.
    children: RwLock<BTreeMap<usize, Arc<Mount>>>,
    namespace: RwLock<Weak<MountNamespace>>,
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mount({} {})", self.id, self.fs.name())
    }
}

impl Drop for Mount {
    /// Takes the tree below apart without recursion.
    fn drop(&mut self) {
        let mut work: Vec<_> = std::mem::take(self.children.get_mut())
            .into_values()
            .collect();
        while let Some(child) = work.pop() {
            let attached = child.attached.write().take();
            if let Some(attached) = attached {
                attached.point.mounts().fetch_sub(1, Ordering::AcqRel);
            }
            if let Some(mut alone) = Arc::into_inner(child) {
                work.extend(std::mem::take(alone.children.get_mut()).into_values());
            }
        }
    }
}

impl Mount {
    /// A mount of `sb` from `root` on, attached nowhere.
    pub fn new(
        id: u64,
        sb: Arc<SuperBlock>,
        root: Arc<Dentry>,
        source: &[u8],
        flags: MountFlags,
    ) -> Arc<Mount> {
        Arc::new(Mount {
            id,
            fs: sb.fs.clone(),
            sb,
            root,
            source: source.to_vec(),
            flags: AtomicU32::new(flags.bits()),
            locks: AtomicU32::new(0),
            writers: AtomicUsize::new(0),
            expiring: AtomicBool::new(false),
            link: Mutex::default(),
            attached: RwLock::new(None),
            children: RwLock::default(),
            namespace: RwLock::default(),
        })
    }

    /// Its number that is never used again (`STATX_MNT_ID_UNIQUE`).
    pub fn unique_id(&self) -> u64 {
        UNIQUE_ID_OFFSET.saturating_add(self.id)
    }

    /// The flags.
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_retain(self.flags.load(Ordering::Acquire))
    }

    /// Replaces the flags.
    pub fn set_flags(&self, flags: MountFlags) {
        self.flags.store(flags.bits(), Ordering::SeqCst);
    }

    /// Replaces the flags; `EBUSY` for read only while files are open for writing.
    pub fn change_flags(&self, flags: MountFlags) -> Result<()> {
        let old = self.flags();
        let turns = flags.contains(MountFlags::RDONLY) && !old.contains(MountFlags::RDONLY);
        self.set_flags(flags);
        if turns && self.writers.load(Ordering::SeqCst) != 0 {
            self.set_flags(old);
            return Err(abi::Errno::EBUSY);
        }
        Ok(())
    }

    /// What may not be undone.
    pub fn locks(&self) -> MountLocks {
        MountLocks::from_bits_retain(self.locks.load(Ordering::Acquire))
    }

    /// Replaces what may not be undone.
    pub(super) fn set_locks(&self, locks: MountLocks) {
        self.locks.store(locks.bits(), Ordering::Release);
    }

    /// Whether it may not be taken away from what it covers.
    pub fn is_locked(&self) -> bool {
        self.locks().contains(MountLocks::PLACE)
    }

    /// Whether nothing may be written through it.
    pub fn read_only(&self) -> bool {
        self.flags().contains(MountFlags::RDONLY) || self.sb.flags().contains(SuperFlags::RDONLY)
    }

    /// Whether devices cannot be opened through it.
    pub fn no_devices(&self) -> bool {
        self.flags().contains(MountFlags::NODEV) || !self.sb.user_ns.is_initial()
    }

    /// Marks it for `MNT_EXPIRE`; whether it was marked and not used since.
    pub fn mark_expiring(&self) -> bool {
        self.expiring.swap(true, Ordering::AcqRel)
    }

    /// It is used: a mark is gone.
    pub fn used(&self) {
        if self.expiring.load(Ordering::Relaxed) {
            self.expiring.store(false, Ordering::Release);
        }
    }

    /// The namespace it is attached in.
    pub fn namespace(&self) -> Option<Arc<MountNamespace>> {
        self.namespace.read().upgrade()
    }

    /// Moves it to the namespace, or to none, and keeps the namespaces' counts.
    pub(super) fn set_namespace(&self, ns: &Weak<MountNamespace>) {
        let old = std::mem::replace(&mut *self.namespace.write(), ns.clone());
        if let Some(old) = old.upgrade() {
            old.counted(false);
        }
        if let Some(new) = ns.upgrade() {
            new.counted(true);
        }
    }

    /// Where it is mounted; `None` at the top of a tree.
    pub fn point(&self) -> Option<Path> {
        let attached = self.attached.read().clone()?;
        Some(Path {
            mount: attached.parent.upgrade()?,
            dentry: attached.point,
        })
    }

    /// Whether it is mounted on `dentry`.
    pub fn stands_on(&self, dentry: &Arc<Dentry>) -> bool {
        let attached = self.attached.read();
        attached
            .as_ref()
            .is_some_and(|a| Arc::ptr_eq(&a.point, dentry))
    }

    /// Whether it hangs in a tree.
    pub fn has_parent(&self) -> bool {
        self.attached.read().is_some()
    }

    /// It and every mount below it, parents before children.
    pub fn subtree(self: &Arc<Mount>) -> Vec<Arc<Mount>> {
        let mut all = Vec::new();
        let mut work = vec![self.clone()];
        while let Some(mount) = work.pop() {
            work.extend(mount.children().into_iter().rev());
            all.push(mount);
        }
        all
    }

    /// The mount standing at `dentry` of this mount.
    pub fn child_at(&self, dentry: &Arc<Dentry>) -> Option<Arc<Mount>> {
        if dentry.mounts().load(Ordering::Acquire) == 0 {
            return None;
        }
        self.children.read().get(&key(dentry)).cloned()
    }

    /// The mounts standing on this one, by number.
    pub fn children(&self) -> Vec<Arc<Mount>> {
        let mut list: Vec<_> = self.children.read().values().cloned().collect();
        list.sort_by_key(|m| m.id);
        list
    }

    /// Mounts standing on this one, counted.
    pub fn child_count(&self) -> usize {
        self.children.read().len()
    }

    /// Attaches `child` at `dentry` of this mount, where nothing stands. The tree lock is
    /// held.
    pub(super) fn attach(self: &Arc<Mount>, child: &Arc<Mount>, dentry: &Arc<Dentry>) {
        *child.attached.write() = Some(Attached {
            parent: Arc::downgrade(self),
            point: dentry.clone(),
        });
        self.children.write().insert(key(dentry), child.clone());
        dentry.mounts().fetch_add(1, Ordering::AcqRel);
    }

    /// Detaches it from its parent. The tree lock is held.
    pub(super) fn detach(self: &Arc<Mount>) {
        let Some(attached) = self.attached.write().take() else {
            return;
        };
        attached.point.mounts().fetch_sub(1, Ordering::AcqRel);
        if let Some(parent) = attached.parent.upgrade() {
            let gone = parent.children.write().remove(&key(&attached.point));
            drop(gone);
        }
    }
}

/// Keeps a mount writable while a file is open for writing.
pub struct Writer(Arc<Mount>);

impl Writer {
    /// Counts a file as open for writing through `mount`; `EROFS` when that is read only.
    pub fn new(mount: &Arc<Mount>) -> Result<Writer> {
        mount.writers.fetch_add(1, Ordering::SeqCst);
        mount.sb.writers.fetch_add(1, Ordering::SeqCst);
        let writer = Writer(mount.clone());
        if mount.read_only() {
            return Err(abi::Errno::EROFS);
        }
        Ok(writer)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.writers.fetch_sub(1, Ordering::SeqCst);
        self.0.sb.writers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A place in the tree: a dentry as seen through a mount.
#[derive(Clone)]
pub struct Path {
    /// Through which mount.
    pub mount: Arc<Mount>,
    /// Which name.
    pub dentry: Arc<Dentry>,
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.full_text();
        write!(f, "Path({})", String::from_utf8_lossy(&text))
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Path) -> bool {
        Arc::ptr_eq(&self.mount, &other.mount) && Arc::ptr_eq(&self.dentry, &other.dentry)
    }
}
impl Eq for Path {}

impl Path {
    /// The root of a mount.
    pub fn root_of(mount: &Arc<Mount>) -> Path {
        Path {
            mount: mount.clone(),
            dentry: mount.root.clone(),
        }
    }

    /// Whether it is the root of its mount.
    pub fn is_mount_root(&self) -> bool {
        Arc::ptr_eq(&self.dentry, &self.mount.root)
    }

    /// Whether `top` is met on the way up: the same place or one above it.
    pub fn is_below(&self, top: &Path) -> bool {
        let mut at = self.clone();
        while !Arc::ptr_eq(&at.mount, &top.mount) {
            let Some(point) = at.mount.point() else {
                return false;
            };
            at = point;
        }
        top.dentry.is_ancestor_of(&at.dentry)
    }

    /// What stands there; `ENOENT` for a negative dentry.
    pub fn inode(&self) -> Result<Arc<dyn Inode>> {
        self.dentry.inode().ok_or(abi::Errno::ENOENT)
    }

    /// Goes down through whatever is mounted here; whether anything was.
    pub fn cross_mounts(&mut self) -> bool {
        let mut crossed = false;
        while let Some(child) = self.mount.child_at(&self.dentry) {
            *self = Path::root_of(&child);
            crossed = true;
        }
        crossed
    }
}
