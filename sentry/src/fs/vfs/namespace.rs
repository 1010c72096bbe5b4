//! Mount namespaces: a tree of mounts and who may change what in it
//! (`mount_namespaces(7)`, `mount(2)`, `move_mount(2)`).
//!
//! An *anonymous* namespace holds a tree that stands nowhere yet (`fsmount(2)`,
//! `open_tree(2)`); it goes with the last description of it. What a change does to other
//! places is the matter of [`super::mount_tree`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use abi::Errno;

use super::attr::FileType;
use super::dentry::Dentry;
use super::inode::FileSystem;
use super::mount::{Mount, MountFlags, MountLocks, Path, SuperBlock};
use super::mount_tree::{self, Kin, MountTrees};
use super::peers::Propagation;
use crate::Result;
use crate::sync::RwLock;
use crate::task::namespace::{Namespace, NsFile};
use crate::userns::UserNs;

/// Namespaces made later are numbered from here on, as Linux does.
const NUMBERS: u64 = 0xf100_0000;

/// A tree of mounts.
pub struct MountNamespace {
    weak: Weak<MountNamespace>,
    root: RwLock<Arc<Mount>>,
    trees: Arc<MountTrees>,
    mounts: AtomicUsize,
    owner: UserNs,
    anonymous: bool,
    /// `None` for the first one.
    number: Option<u64>,
}

impl fmt::Debug for MountNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MountNamespace({:?})", self.root.read())
    }
}

/// Which mount stands for which after a namespace was copied.
pub type Copied = BTreeMap<u64, Arc<Mount>>;

impl MountNamespace {
    /// A namespace whose root is `fs`.
    pub fn new(fs: Arc<dyn FileSystem>, flags: MountFlags) -> Result<Arc<MountNamespace>> {
        let sb = SuperBlock::new(fs)?;
        let trees = Arc::new(MountTrees::default());
        let name = sb.fs.name().as_bytes().to_vec();
        let top = sb.root.clone();
        let root = Mount::new(trees.new_id(), sb, top, &name, flags);
        Ok(MountNamespace::of(
            root,
            trees,
            UserNs::INITIAL,
            (false, None),
        ))
    }

    fn of(
        root: Arc<Mount>,
        trees: Arc<MountTrees>,
        owner: UserNs,
        (anonymous, number): (bool, Option<u64>),
    ) -> Arc<MountNamespace> {
        let tree = root.subtree();
        let made = Arc::new_cyclic(|weak: &Weak<MountNamespace>| MountNamespace {
            weak: weak.clone(),
            root: RwLock::new(root),
            trees,
            mounts: AtomicUsize::new(0),
            owner,
            anonymous,
            number,
        });
        tree.iter().for_each(|m| m.set_namespace(&made.weak));
        made.trees.register(&made.weak);
        made
    }

    /// Its number under `/proc/PID/ns`; `None` for the first one of a container.
    pub fn number(&self) -> Option<u64> {
        self.number
    }

    /// The user namespace it belongs to.
    pub fn owner(&self) -> &UserNs {
        &self.owner
    }

    /// Whether its tree stands nowhere.
    pub fn is_anonymous(&self) -> bool {
        self.anonymous
    }

    /// What the namespaces of the container share.
    pub fn trees(&self) -> &MountTrees {
        &self.trees
    }

    /// How many mounts it has.
    pub fn mount_count(&self) -> usize {
        self.mounts.load(Ordering::Relaxed)
    }

    /// A mount came or left.
    pub(super) fn counted(&self, came: bool) {
        for count in [&self.mounts, &self.trees.total] {
            if came {
                count.fetch_add(1, Ordering::Relaxed);
            } else {
                count.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Whether `mount` is one of its mounts.
    pub fn has(&self, mount: &Mount) -> bool {
        mount.namespace().is_some_and(|ns| std::ptr::eq(&*ns, self))
    }

    /// The root directory.
    pub fn root(&self) -> Path {
        let mut path = self.bare_root();
        path.cross_mounts();
        path
    }

    /// The root of its first mount, whatever stands on it.
    pub fn bare_root(&self) -> Path {
        Path::root_of(&self.root.read())
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
        self.mount_super(
            at,
            SuperBlock::new(fs)?,
            source,
            (flags, MountLocks::empty()),
        )
    }

    /// The same of a super block; `EBUSY` when it is what stands there already.
    pub fn mount_super(
        &self,
        at: &Path,
        sb: Arc<SuperBlock>,
        source: &[u8],
        (flags, locks): (MountFlags, MountLocks),
    ) -> Result<Arc<Mount>> {
        let root = sb.root.clone();
        let mount = Mount::new(self.trees.new_id(), sb, root, source, flags);
        mount.set_locks(locks);
        self.hang(at, mount)
    }

    /// Mounts a part of a file system that the kernel made for itself.
    pub fn mount_made(&self, at: &Path, from: &Path) -> Result<Arc<Mount>> {
        let (of, root) = (&from.mount, from.dentry.clone());
        let id = self.trees.new_id();
        let mount = Mount::new(id, of.sb.clone(), root, &of.source, of.flags());
        self.hang(at, mount)
    }

    fn hang(&self, at: &Path, mount: Arc<Mount>) -> Result<Arc<Mount>> {
        let _tree = self.trees.lock.lock();
        let at = self.place(at)?;
        if Arc::ptr_eq(&at.mount.sb, &mount.sb) && at.is_mount_root() {
            return Err(Errno::EBUSY);
        }
        same_kind(&at, &Path::root_of(&mount), Errno::ENOTDIR)?;
        self.trees.attach_tree(&mount, &at)?;
        Ok(mount)
    }

    /// The topmost place at `at`, to mount something on: `ENOENT` where it is gone, `EINVAL`
    /// where it is not of this namespace. The tree lock is held.
    fn place(&self, at: &Path) -> Result<Path> {
        let mut at = at.clone();
        at.cross_mounts();
        let home = at.mount.namespace();
        if at.dentry.is_dead() || home.is_none() {
            return Err(Errno::ENOENT);
        }
        if !self.has(&at.mount) {
            return Err(Errno::EINVAL);
        }
        Ok(at)
    }

    /// A bind mount of `from` at `at`, with everything mounted below it when `recursive`.
    /// `EINVAL` for what is unbindable, of another namespace, or would show what a locked
    /// mount covers.
    pub fn bind(&self, at: &Path, from: &Path, recursive: bool) -> Result<Arc<Mount>> {
        let _tree = self.trees.lock.lock();
        let at = self.place(at)?;
        let known = match from.mount.namespace() {
            Some(ns) => self.may_copy(&ns),
            None => self.may_hold(from),
        };
        if !known {
            return Err(Errno::EINVAL);
        }
        let copy = self.copy_for_bind(from, recursive)?;
        let attached = same_kind(&at, &Path::root_of(&copy), Errno::ENOTDIR)
            .and_then(|()| self.trees.attach_tree(&copy, &at));
        if let Err(e) = attached {
            self.trees.forget(&copy);
            return Err(e);
        }
        Ok(copy)
    }

    /// Whether `from` is the file of a namespace, and not of a mount namespace as old as this
    /// one: those would keep each other.
    fn may_hold(&self, from: &Path) -> bool {
        match NsFile::namespace_at(from) {
            Some(Namespace::Mnt(ns)) => ns.number > self.number,
            Some(_) => true,
            None => false,
        }
    }

    /// Whether mounts of `ns` may be copied from here: its own, and trees that stand nowhere.
    fn may_copy(&self, ns: &MountNamespace) -> bool {
        std::ptr::eq(ns, self) || (ns.anonymous && self.is_kin(ns))
    }

    /// Whether `ns` is of the same container.
    fn is_kin(&self, ns: &MountNamespace) -> bool {
        Arc::ptr_eq(&ns.trees, &self.trees)
    }

    fn copy_for_bind(&self, from: &Path, recursive: bool) -> Result<Arc<Mount>> {
        if from.mount.link().unbindable {
            return Err(Errno::EINVAL);
        }
        let copy = if recursive {
            let how = (false, Kin::Peer);
            self.trees
                .copy_tree(&from.mount, &from.dentry, how, &mut |_, _| {})?
        } else {
            if hides(&from.mount, &from.dentry) {
                return Err(Errno::EINVAL);
            }
            self.trees.copy_one(&from.mount, &from.dentry, Kin::Peer)
        };
        mount_tree::unlock_place(&copy);
        Ok(copy)
    }

    /// A copy of `from` that stands nowhere (`open_tree(2)`); errors as of [`Self::bind`].
    pub fn detached_copy(&self, from: &Path, recursive: bool) -> Result<Arc<MountNamespace>> {
        let _tree = self.trees.lock.lock();
        let home = from.mount.namespace().ok_or(Errno::EINVAL)?;
        if !self.may_copy(&home) {
            return Err(Errno::EINVAL);
        }
        let mounts = if recursive {
            from.mount.subtree().len()
        } else {
            1
        };
        self.trees.room_for_copy(mounts)?;
        let copy = self.copy_for_bind(from, recursive)?;
        Ok(self.anonymous(copy))
    }

    /// A mount of `sb` that stands nowhere (`fsmount(2)`); `ENOSPC`.
    pub fn detached(
        &self,
        sb: Arc<SuperBlock>,
        source: &[u8],
        (flags, locks): (MountFlags, MountLocks),
    ) -> Result<Arc<MountNamespace>> {
        self.trees.room_for_copy(1)?;
        let root = sb.root.clone();
        let mount = Mount::new(self.trees.new_id(), sb, root, source, flags);
        mount.set_locks(locks);
        Ok(self.anonymous(mount))
    }

    fn anonymous(&self, root: Arc<Mount>) -> Arc<MountNamespace> {
        MountNamespace::of(root, self.trees.clone(), self.owner.clone(), (true, None))
    }

    /// Unmounts the mount whose root `at` is: `EINVAL` when it is none, locked, the
    /// namespace's root or in another one, `EBUSY` when it is in use and `lazy` is not given.
    pub fn umount(&self, at: &Path, lazy: bool) -> Result<()> {
        self.may_umount(at)?;
        let tree = self.trees.lock.lock();
        let mount = &at.mount;
        if !self.has(mount) || !mount.has_parent() {
            return Err(Errno::EINVAL);
        }
        // One reference is the parent's, one the caller's.
        let used = || mount.child_count() != 0 || Arc::strong_count(mount) > 2;
        if !lazy && (used() || self.trees.spread_is_busy(mount)) {
            return Err(Errno::EBUSY);
        }
        let gone = self.trees.umount_tree(mount);
        drop(tree);
        drop(gone);
        Ok(())
    }

    /// Whether the mount whose root `at` is may be unmounted; `EINVAL`.
    pub fn may_umount(&self, at: &Path) -> Result<()> {
        if !at.is_mount_root() || !self.has(&at.mount) || at.mount.is_locked() {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// First half of `MNT_EXPIRE`: `EBUSY` for a mount in use, `EAGAIN` for one that was not
    /// marked.
    pub fn expire(&self, at: &Path) -> Result<()> {
        if at.mount.child_count() != 0 || Arc::strong_count(&at.mount) > 2 {
            return Err(Errno::EBUSY);
        }
        if !at.mount.mark_expiring() {
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }

    /// Moves the mount whose root `from` is to `to`: `EINVAL` where the rules of shared
    /// subtrees or of locked mounts forbid it, `ELOOP` when `to` lies in it. A tree that
    /// stands nowhere moves in whole. With `beneath` it goes below what stands at `to`.
    pub fn move_mount(&self, from: &Path, to: &Path, beneath: bool) -> Result<()> {
        let _tree = self.trees.lock.lock();
        let mut to = self.place(to)?;
        let mount = from.mount.clone();
        let parent = mount.point();
        let home = mount.namespace().ok_or(Errno::EINVAL)?;
        let movable = match &parent {
            Some(_) => self.has(&mount),
            None => home.anonymous && self.is_kin(&home),
        };
        if !movable || mount.is_locked() || !from.is_mount_root() {
            return Err(Errno::EINVAL);
        }
        if beneath {
            to = self.beneath(&mount, &to)?;
        }
        same_kind(&to, from, Errno::EINVAL)?;
        if parent.is_some_and(|p| p.mount.link().shared.is_some()) {
            return Err(Errno::EINVAL);
        }
        let unbindable = |m: &Arc<Mount>| m.link().unbindable;
        if to.mount.link().shared.is_some() && mount.subtree().iter().any(unbindable) {
            return Err(Errno::EINVAL);
        }
        let holds = |m: &Arc<Mount>| m.holds_namespace() && !self.may_hold(&Path::root_of(m));
        if to.is_below(&Path::root_of(&mount)) || mount.subtree().iter().any(holds) {
            return Err(Errno::ELOOP);
        }
        self.trees.attach_tree(&mount, &to)?;
        if home.anonymous {
            home.emptied(&mount);
        }
        Ok(())
    }

    /// The place below the mount whose root `top` is (`MOVE_MOUNT_BENEATH`); `EINVAL` where
    /// it is none, locked, the caller's root, or one that would be covered.
    fn beneath(&self, mount: &Arc<Mount>, top: &Path) -> Result<Path> {
        let point = top.mount.point().ok_or(Errno::EINVAL)?;
        let inside = Path::root_of(mount).is_below(&Path::root_of(&top.mount));
        let covers = self.trees.would_cover(&point, &top.mount)
            || (self.has(mount) && self.trees.would_cover(&point, mount));
        if !top.is_mount_root() || top.mount.is_locked() || inside || covers {
            return Err(Errno::EINVAL);
        }
        Ok(point)
    }

    /// Lets go of a tree that moved elsewhere: a mount that stands nowhere takes its place.
    fn emptied(&self, moved: &Mount) {
        let root = moved.root.clone();
        let rest = Mount::new(0, moved.sb.clone(), root, &[], MountFlags::empty());
        let old = std::mem::replace(&mut *self.root.write(), rest);
        drop(old);
    }

    /// `pivot_root(2)`: the mount of `new` takes the place of that of `root`, which then
    /// hangs at `put`; `EINVAL`, `ENOENT`, `EBUSY` in the order of Linux.
    pub fn pivot(&self, root: &Path, new: &Path, put: &Path) -> Result<()> {
        let _tree = self.trees.lock.lock();
        let mut put = put.clone();
        put.cross_mounts();
        if put.dentry.is_dead() {
            return Err(Errno::ENOENT);
        }
        let shared = |m: &Mount| m.link().shared.is_some();
        let parent_shared = |m: &Mount| m.point().is_some_and(|p| shared(&p.mount));
        let (old_root, new_root) = (&root.mount, &new.mount);
        if shared(&put.mount) || parent_shared(new_root) || parent_shared(old_root) {
            return Err(Errno::EINVAL);
        }
        if !self.has(old_root) || !self.has(new_root) || new_root.is_locked() {
            return Err(Errno::EINVAL);
        }
        if new.dentry.is_dead() {
            return Err(Errno::ENOENT);
        }
        if Arc::ptr_eq(new_root, old_root) || Arc::ptr_eq(&put.mount, old_root) {
            return Err(Errno::EBUSY);
        }
        let roots = root.is_mount_root() && new.is_mount_root() && new_root.has_parent();
        if !roots || !put.is_below(new) || !new.is_below(root) {
            return Err(Errno::EINVAL);
        }
        let place = old_root.point();
        if old_root.is_locked() {
            new_root.set_locks(new_root.locks() | MountLocks::PLACE);
            mount_tree::unlock_place(old_root);
        }
        new_root.detach();
        old_root.detach();
        put.mount.attach(old_root, &put.dentry);
        match place {
            Some(place) => place.mount.attach(new_root, &place.dentry),
            None => *self.root.write() = new_root.clone(),
        }
        Ok(())
    }

    /// Puts the mount `to` into the peer group of `from` (`MOVE_MOUNT_SET_GROUP`): both are
    /// of one file system, `to` shows a part of what `from` shows and is private; `EINVAL`.
    pub fn set_group(&self, from: &Path, to: &Path) -> Result<()> {
        let _tree = self.trees.lock.lock();
        let (source, mount) = (&from.mount, &to.mount);
        let groups = &self.trees.groups;
        let near = |m: &Mount| m.namespace().is_some_and(|ns| self.is_kin(&ns));
        let mounted = near(source) && near(mount);
        let roots = from.is_mount_root() && to.is_mount_root();
        let alone = |m: &Mount| m.link().shared.is_none() && groups.master_of(m).is_none();
        let fits = Arc::ptr_eq(&source.sb, &mount.sb)
            && source.root.is_ancestor_of(&mount.root)
            && !hides(source, &mount.root);
        if !mounted || !roots || !fits || !alone(mount) || alone(source) {
            return Err(Errno::EINVAL);
        }
        groups.join(mount, source);
        Ok(())
    }

    /// Changes how events of the mount whose root `at` is spread, and with `recursive` of
    /// those below it; `EINVAL`.
    pub fn set_propagation(&self, at: &Path, to: Propagation, recursive: bool) -> Result<()> {
        let _tree = self.trees.lock.lock();
        if !at.is_mount_root() || !self.has(&at.mount) {
            return Err(Errno::EINVAL);
        }
        let mounts = if recursive {
            at.mount.subtree()
        } else {
            vec![at.mount.clone()]
        };
        mounts.iter().for_each(|m| self.trees.groups.change(m, to));
        Ok(())
    }

    /// The group `mount` is a slave of, and the nearest of its masters that has a member
    /// below `root` in this namespace (`propagate_from` of `mountinfo`).
    pub fn masters(&self, mount: &Mount, root: &Path) -> Option<(u64, Option<u64>)> {
        let groups = &self.trees.groups;
        let master = groups.master_of(mount)?;
        let mut at = Some(master);
        while let Some(group) = at {
            if self.has_peer_below(group, root) {
                break;
            }
            at = groups.master_of_group(group);
        }
        Some((master, at))
    }

    /// Whether a group has a member of this namespace below `root`.
    fn has_peer_below(&self, group: u64, root: &Path) -> bool {
        let fits = |m: Arc<Mount>| self.has(&m) && Path::root_of(&m).is_below(root);
        let mut after = 0;
        loop {
            let page = self.trees.groups.members_after(group, after, 32);
            let Some((last, _)) = page.last() else {
                return false;
            };
            after = *last;
            if page.iter().filter_map(|(_, m)| m.upgrade()).any(fits) {
                return true;
            }
        }
    }

    /// Whether one of its mounts stands on `dentry`.
    pub fn is_mount_point(&self, dentry: &Arc<Dentry>) -> bool {
        self.list().iter().any(|m| m.stands_on(dentry))
    }

    /// Unmounts what stands on `dentry` in any namespace of the container.
    pub fn unmount_everywhere(&self, dentry: &Arc<Dentry>) {
        let spaces = self.trees.spaces();
        let mut gone = Vec::new();
        let tree = self.trees.lock.lock();
        for mount in spaces.iter().flat_map(|ns| ns.list()) {
            if mount.stands_on(dentry) {
                gone.extend(self.trees.umount_tree(&mount));
            }
        }
        drop(tree);
        drop((gone, spaces));
    }

    /// Every mount, parents before children.
    pub fn list(&self) -> Vec<Arc<Mount>> {
        let root = self.root.read().clone();
        root.subtree()
    }

    /// A copy of the whole tree for somebody in `owner` (`CLONE_NEWNS`). One of another user
    /// namespace has its mounts as slaves, and locked. `ENOSPC` for too many mounts.
    pub fn duplicate(&self, owner: &UserNs) -> Result<(Arc<MountNamespace>, Copied)> {
        let _tree = self.trees.lock.lock();
        self.trees.room_for_copy(self.mount_count())?;
        let old = self.root.read().clone();
        let less = *owner != self.owner;
        let kin = if less { Kin::Slave } else { Kin::Peer };
        let mut copied = Copied::new();
        let root = self
            .trees
            .copy_tree(&old, &old.root, (true, kin), &mut |old, new| {
                copied.insert(old.id, new.clone());
            })?;
        if less {
            mount_tree::lock_tree(&root);
        }
        let number = NUMBERS.saturating_add(self.trees.new_id());
        let trees = self.trees.clone();
        let made = MountNamespace::of(root, trees, owner.clone(), (false, Some(number)));
        Ok((made, copied))
    }

    /// What a new mount of a file system that shows the kernel (`proc`, `sysfs`) has to keep
    /// of one that is here and shows it whole, in a namespace of less privilege; `EPERM`
    /// where there is none (`user_namespaces(7)`).
    pub fn visible(&self, kind: &str, flags: MountFlags, read_only: bool) -> Result<MountLocks> {
        if self.owner.is_initial() {
            return Ok(MountLocks::empty());
        }
        let found = self.list().into_iter().find(|m| {
            let (had, locks) = (m.flags(), m.locks());
            let ro = locks.contains(MountLocks::RDONLY) || m.sb.flags().bits() & 1 != 0;
            let atime = locks.contains(MountLocks::ATIME)
                && (had & MountFlags::ATIME) != (flags & MountFlags::ATIME);
            let whole = m.fs.name() == kind && Arc::ptr_eq(&m.root, &m.sb.root);
            let hidden = |c: &Arc<Mount>| c.is_locked() && covers_something(c);
            whole && (read_only || !ro) && !atime && !m.children().iter().any(hidden)
        });
        let found = found.ok_or(Errno::EPERM)?;
        Ok(found.locks() & (MountLocks::RDONLY | MountLocks::ATIME))
    }
}

/// Whether a mount hides more than an empty directory made for it.
fn covers_something(mount: &Mount) -> bool {
    let Some(point) = mount.point() else {
        return false;
    };
    let empty = |p: &Path| Some(p.inode().ok()?.attr().ok()?.nlink == 2);
    let made_for_mounts = point.mount.fs.missing_is_error() || point.mount.fs.name() == "sysfs";
    !(made_for_mounts && empty(&point) == Some(true))
}

/// Whether a locked mount covers a part of what `mount` shows from `root` on.
fn hides(mount: &Mount, root: &Arc<Dentry>) -> bool {
    mount.children().into_iter().any(|child| {
        let inside = child
            .point()
            .is_some_and(|p| root.is_ancestor_of(&p.dentry));
        child.is_locked() && inside
    })
}

/// `errno` when one of the two is a directory and the other is not.
fn same_kind(a: &Path, b: &Path, errno: Errno) -> Result<()> {
    let is_dir = |p: &Path| Ok::<_, Errno>(p.inode()?.kind() == FileType::Directory);
    if is_dir(a)? == is_dir(b)? {
        Ok(())
    } else {
        Err(errno)
    }
}

impl Mount {
    /// Whether it is of a mount namespace's file.
    pub(super) fn holds_namespace(self: &Arc<Mount>) -> bool {
        let file = || NsFile::namespace_at(&Path::root_of(self));
        self.fs.name() == "nsfs" && matches!(file(), Some(Namespace::Mnt(_)))
    }

    /// Text of its mount point from the top of the tree.
    pub fn full_point(self: &Arc<Mount>) -> Vec<u8> {
        Path::root_of(self).full_text()
    }
}

impl Drop for MountNamespace {
    /// Everything is unmounted; a tree that stood nowhere stays in one piece for who uses it.
    fn drop(&mut self) {
        let mounts = self.root.get_mut().subtree();
        for mount in &mounts {
            self.trees.groups.part(mount, false);
            if !self.anonymous && !mount.is_locked() {
                mount.detach();
            }
        }
        self.trees
            .total
            .fetch_sub(*self.mounts.get_mut(), Ordering::Relaxed);
    }
}
