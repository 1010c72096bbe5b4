//! Mounts and paths.
//!
//! A [`Mount`] shows a super block from one of its directories on; bind mounts of a file
//! system share its dentries. Mounts form a tree below the root of a
//! [`super::MountNamespace`]; a child is held by its parent and knows it weakly.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use super::dentry::{Dentry, DentryCache};
use super::inode::{FileSystem, Inode};
use super::namespace::MountNamespace;
use crate::Result;
use crate::sync::{Mutex, MutexGuard, RwLock};

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
        /// Access times are not kept.
        const NOATIME = 1024;
        /// Access times of directories are not kept.
        const NODIRATIME = 2048;
        /// Access times are kept when older than the modification or a day.
        const RELATIME = 1 << 21;
    }
}

/// How mount events spread (`mount_namespaces(7)`); stored and shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in mount_namespaces(7)")]
pub enum Propagation {
    #[default]
    Private,
    Shared,
    Slave,
    Unbindable,
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
    _cache: Arc<DentryCache>,
    rename: Mutex<()>,
    cookies: AtomicU32,
}

impl SuperBlock {
    /// A super block for `fs`.
    pub fn new(fs: Arc<dyn FileSystem>) -> Result<Arc<SuperBlock>> {
        let cache = Arc::new(DentryCache::default());
        let root = Dentry::root_cached(fs.root()?, &cache);
        Ok(Arc::new(SuperBlock {
            revalidate: fs.revalidate_dentries(),
            fs,
            root,
            watched: AtomicBool::new(false),
            _cache: cache,
            rename: Mutex::new(()),
            cookies: AtomicU32::new(0),
        }))
    }

    /// A number that ties the two events of a rename together.
    pub fn next_cookie(&self) -> u32 {
        self.cookies.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// Held over renames between directories, so that ancestry stands still.
    pub fn lock_rename(&self) -> MutexGuard<'_, ()> {
        self.rename.lock()
    }
}

/// Where a mount hangs.
#[derive(Clone)]
struct Attached {
    parent: Weak<Mount>,
    point: Arc<Dentry>,
}

/// A file system attached to the tree.
pub struct Mount {
    /// Its number, unique in the kernel; 0 for mounts no namespace has.
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
    propagation: Mutex<Propagation>,
    attached: RwLock<Option<Attached>>,
    children: RwLock<Vec<Arc<Mount>>>,
    namespace: RwLock<Weak<MountNamespace>>,
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mount({} {})", self.id, self.fs.name())
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
            propagation: Mutex::default(),
            attached: RwLock::new(None),
            children: RwLock::default(),
            namespace: RwLock::default(),
        })
    }

    /// The flags.
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Replaces the flags (remount).
    pub fn set_flags(&self, flags: MountFlags) {
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }

    /// Whether nothing may be written through it.
    pub fn read_only(&self) -> bool {
        self.flags().contains(MountFlags::RDONLY)
    }

    /// How events spread.
    pub fn propagation(&self) -> Propagation {
        *self.propagation.lock()
    }

    /// Changes how events spread.
    pub fn set_propagation(&self, to: Propagation) {
        *self.propagation.lock() = to;
    }

    /// The namespace it is attached in.
    pub fn namespace(&self) -> Option<Arc<MountNamespace>> {
        self.namespace.read().upgrade()
    }

    pub(super) fn set_namespace(&self, ns: &Weak<MountNamespace>) {
        *self.namespace.write() = ns.clone();
    }

    /// Where it is mounted; `None` at the top of a tree.
    pub fn point(&self) -> Option<Path> {
        let attached = self.attached.read().clone()?;
        Some(Path {
            mount: attached.parent.upgrade()?,
            dentry: attached.point,
        })
    }

    /// The topmost mount standing at `dentry` of this mount.
    pub fn child_at(&self, dentry: &Arc<Dentry>) -> Option<Arc<Mount>> {
        if dentry.mounts().load(Ordering::Acquire) == 0 {
            return None;
        }
        let children = self.children.read();
        let found = children.iter().rev().find(|m| {
            let attached = m.attached.read();
            attached
                .as_ref()
                .is_some_and(|a| Arc::ptr_eq(&a.point, dentry))
        });
        found.cloned()
    }

    /// The mounts standing on this one, in order of mounting.
    pub fn children(&self) -> Vec<Arc<Mount>> {
        self.children.read().clone()
    }

    /// Attaches `child` at `dentry` of this mount. The namespace's tree lock is held.
    pub(super) fn attach(self: &Arc<Mount>, child: &Arc<Mount>, dentry: &Arc<Dentry>) {
        *child.attached.write() = Some(Attached {
            parent: Arc::downgrade(self),
            point: dentry.clone(),
        });
        self.children.write().push(child.clone());
        dentry.mounts().fetch_add(1, Ordering::AcqRel);
    }

    /// Detaches it from its parent. The namespace's tree lock is held.
    pub(super) fn detach(self: &Arc<Mount>) {
        let Some(attached) = self.attached.write().take() else {
            return;
        };
        attached.point.mounts().fetch_sub(1, Ordering::AcqRel);
        if let Some(parent) = attached.parent.upgrade() {
            parent.children.write().retain(|m| !Arc::ptr_eq(m, self));
        }
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
