//! Mount namespaces: a tree of mounts and the changes to it (`mount_namespaces(7)`).

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use abi::Errno;

use super::attr::FileType;
use super::inode::FileSystem;
use super::mount::{Mount, MountFlags, Path, SuperBlock};
use crate::Result;
use crate::sync::{Mutex, RwLock};

/// Most mounts of a namespace (`/proc/sys/fs/mount-max`).
const MOUNT_MAX: usize = 100_000;

/// Namespaces made later are numbered from here on, as Linux does.
const NUMBERS: u64 = 0xf100_0000;

/// A tree of mounts. Lock rank: `tree` is above the mounts' own lists and serialises changes.
pub struct MountNamespace {
    weak: Weak<MountNamespace>,
    root: RwLock<Arc<Mount>>,
    tree: Mutex<()>,
    next_id: Arc<AtomicU64>,
    /// `None` for the first one.
    number: Option<u64>,
}

impl fmt::Debug for MountNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MountNamespace({:?})", self.root.read())
    }
}

impl MountNamespace {
    /// A namespace whose root is `fs`.
    pub fn new(fs: Arc<dyn FileSystem>, flags: MountFlags) -> Result<Arc<MountNamespace>> {
        let sb = SuperBlock::new(fs)?;
        let next_id = Arc::new(AtomicU64::new(2));
        let name = sb.fs.name().as_bytes().to_vec();
        let top = sb.root.clone();
        Ok(MountNamespace::of(
            Mount::new(1, sb, top, &name, flags),
            next_id,
            None,
        ))
    }

    fn of(root: Arc<Mount>, next_id: Arc<AtomicU64>, number: Option<u64>) -> Arc<MountNamespace> {
        Arc::new_cyclic(|weak: &Weak<MountNamespace>| {
            root.set_namespace(weak);
            MountNamespace {
                weak: weak.clone(),
                root: RwLock::new(root),
                tree: Mutex::new(()),
                next_id,
                number,
            }
        })
    }

    fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Its number under `/proc/PID/ns`; `None` for the first one of a container.
    pub fn number(&self) -> Option<u64> {
        self.number
    }

    /// The root directory.
    pub fn root(&self) -> Path {
        let mut path = Path::root_of(&self.root.read());
        path.cross_mounts();
        path
    }

    /// Mounts a new file system instance at `at`: `ENOTDIR` when one of the two is a
    /// directory and the other is not, `ENOENT` for a dead place, `ENOSPC` for too many.
    pub fn mount(
        &self,
        at: &Path,
        fs: Arc<dyn FileSystem>,
        source: &[u8],
        flags: MountFlags,
    ) -> Result<Arc<Mount>> {
        let sb = SuperBlock::new(fs)?;
        let root = sb.root.clone();
        let mount = Mount::new(self.new_id(), sb, root, source, flags);
        self.attach(at, &mount)?;
        Ok(mount)
    }

    /// A bind mount of `from` at `at`, with everything mounted below it when `recursive`.
    pub fn bind(&self, at: &Path, from: &Path, recursive: bool) -> Result<Arc<Mount>> {
        let mount = self.copy(&from.mount, from, recursive);
        self.attach(at, &mount)?;
        Ok(mount)
    }

    /// A copy of `mount` showing `from`, with the mounts below it.
    fn copy(&self, mount: &Arc<Mount>, from: &Path, recursive: bool) -> Arc<Mount> {
        let made = self.copy_one(mount, from);
        let mut work = vec![(mount.clone(), made.clone())];
        while let Some((old, new)) = work.pop() {
            for child in old.children() {
                let Some(point) = child.point() else {
                    continue;
                };
                if !recursive || !new.root.is_ancestor_of(&point.dentry) {
                    continue;
                }
                let copy = self.copy_one(&child, &Path::root_of(&child));
                new.attach(&copy, &point.dentry);
                work.push((child, copy));
            }
        }
        made
    }

    fn copy_one(&self, mount: &Arc<Mount>, from: &Path) -> Arc<Mount> {
        let (sb, root) = (mount.sb.clone(), from.dentry.clone());
        let copy = Mount::new(self.new_id(), sb, root, &mount.source, mount.flags());
        copy.set_namespace(&self.weak);
        copy
    }

    fn attach(&self, at: &Path, mount: &Arc<Mount>) -> Result<()> {
        let is_dir = |p: &Path| Ok::<_, Errno>(p.inode()?.kind() == FileType::Directory);
        if is_dir(at)? != is_dir(&Path::root_of(mount))? {
            return Err(Errno::ENOTDIR);
        }
        let _tree = self.tree.lock();
        if at.dentry.is_dead() {
            return Err(Errno::ENOENT);
        }
        if self.list().len() >= MOUNT_MAX {
            return Err(Errno::ENOSPC);
        }
        let mut at = at.clone();
        at.cross_mounts();
        mount.set_namespace(&self.weak);
        at.mount.attach(mount, &at.dentry);
        Ok(())
    }

    /// Unmounts the mount whose root `at` is: `EINVAL` when it is none or the namespace's
    /// root, `EBUSY` when it is in use and `lazy` is not given.
    pub fn umount(&self, at: &Path, lazy: bool) -> Result<()> {
        let _tree = self.tree.lock();
        let mount = &at.mount;
        if !Arc::ptr_eq(&at.dentry, &mount.root) || mount.point().is_none() {
            return Err(Errno::EINVAL);
        }
        let below = mount.children();
        // One reference is the parent's, one the caller's.
        let used = !below.is_empty() || Arc::strong_count(mount) > 2;
        if used && !lazy {
            return Err(Errno::EBUSY);
        }
        mount.detach();
        mount.set_namespace(&Weak::new());
        let mut work = below;
        while let Some(child) = work.pop() {
            work.extend(child.children());
            child.detach();
            child.set_namespace(&Weak::new());
        }
        Ok(())
    }

    /// Moves the mount whose root `from` is to `to`; `EINVAL`, `ELOOP` when `to` lies in it.
    pub fn move_mount(&self, from: &Path, to: &Path) -> Result<()> {
        let mount = from.mount.clone();
        if !Arc::ptr_eq(&from.dentry, &mount.root) || mount.point().is_none() {
            return Err(Errno::EINVAL);
        }
        let mut up = Some(to.clone());
        while let Some(p) = up {
            if Arc::ptr_eq(&p.mount, &mount) {
                return Err(Errno::ELOOP);
            }
            up = p.mount.point();
        }
        {
            let _tree = self.tree.lock();
            mount.detach();
        }
        self.attach(to, &mount)
    }

    /// `pivot_root(2)`: the mount of `new_root` becomes the root, the old root hangs at
    /// `put_old`. Places were checked by the caller.
    pub fn pivot(&self, new_root: &Path, put_old: &Path) -> Result<()> {
        let _tree = self.tree.lock();
        let new = new_root.mount.clone();
        let mut root = self.root.write();
        let old = root.clone();
        if Arc::ptr_eq(&new, &old) || new.point().is_none() {
            return Err(Errno::EINVAL);
        }
        new.detach();
        put_old.mount.attach(&old, &put_old.dentry);
        *root = new;
        Ok(())
    }

    /// Every mount, parents before children.
    pub fn list(&self) -> Vec<Arc<Mount>> {
        let mut all = Vec::new();
        let mut work = vec![self.root.read().clone()];
        while let Some(mount) = work.pop() {
            work.extend(mount.children().into_iter().rev());
            all.push(mount);
        }
        all
    }

    /// A copy of the whole tree (`CLONE_NEWNS`).
    pub fn duplicate(&self) -> Arc<MountNamespace> {
        let _tree = self.tree.lock();
        let old = self.root.read().clone();
        let root = self.copy(&old, &Path::root_of(&old), true);
        let number = NUMBERS.saturating_add(self.new_id());
        let made = MountNamespace::of(root, self.next_id.clone(), Some(number));
        for mount in made.list() {
            mount.set_namespace(&made.weak);
        }
        made
    }

    /// The place in this namespace that corresponds to `path` of the one it is a copy of:
    /// same mount point text. Used for root and current directory after `CLONE_NEWNS`.
    pub fn translate(&self, path: &Path) -> Option<Path> {
        let source = path.mount.full_point();
        let found = self.list().into_iter().rev().find(|m| {
            Arc::ptr_eq(&m.sb, &path.mount.sb)
                && Arc::ptr_eq(&m.root, &path.mount.root)
                && m.full_point() == source
        })?;
        Some(Path {
            mount: found,
            dentry: path.dentry.clone(),
        })
    }
}

impl Mount {
    /// Text of its mount point from the top of the tree.
    pub fn full_point(self: &Arc<Mount>) -> Vec<u8> {
        Path::root_of(self).full_text()
    }
}

impl Drop for MountNamespace {
    fn drop(&mut self) {
        let mut work = vec![self.root.get_mut().clone()];
        while let Some(mount) = work.pop() {
            for child in mount.children() {
                child.detach();
                work.push(child);
            }
        }
    }
}
