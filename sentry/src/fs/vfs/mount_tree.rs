//! Changes to trees of mounts, with what they cause in other places (`mount_namespaces(7)`).
//!
//! [`MountTrees`] is what the mount namespaces of a container share: the lock under which
//! trees change, the numbers of mounts and the peer groups. Attaching and unmounting spread
//! along the groups from here; who may do what is decided by [`super::namespace`].
//!
//! Lock rank: `lock` is the tree lock, above the peer groups and the mounts' own lists.
//! Mounts that are gone are handed back, to be dropped when it is released.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use abi::Errno;

use super::dentry::Dentry;
use super::mount::{Mount, MountFlags, MountLocks, Path};
use super::namespace::MountNamespace;
use super::peers::PeerGroups;
use crate::Result;
use crate::sync::Mutex;

/// Most mounts of a namespace (`/proc/sys/fs/mount-max`).
const MOUNT_MAX: usize = 100_000;
/// Most mounts of all namespaces of a container together.
pub(super) const TOTAL_MAX: usize = 400_000;

/// What the mount namespaces of a container share.
pub struct MountTrees {
    /// Held over every change of a tree.
    pub(super) lock: Mutex<()>,
    /// How events spread.
    pub groups: PeerGroups,
    next_id: AtomicU64,
    /// Every namespace.
    spaces: Mutex<Vec<Weak<MountNamespace>>>,
    pub(super) total: AtomicUsize,
}

/// What a copy of a mount is to the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kin {
    /// A peer if it is shared, a slave beside it if it is a slave.
    Peer,
    /// A slave if it is shared, else as a peer.
    Slave,
    /// A slave that starts a group of its own.
    SharedSlave,
}

/// A mount that an event spreads to.
struct Target {
    mount: Weak<Mount>,
    /// Which copy it gets a copy of: that of an earlier target, or the source.
    from: Option<usize>,
    kin: Kin,
}

impl Default for MountTrees {
    fn default() -> MountTrees {
        MountTrees {
            lock: Mutex::new(()),
            groups: PeerGroups::default(),
            next_id: AtomicU64::new(1),
            spaces: Mutex::default(),
            total: AtomicUsize::new(0),
        }
    }
}

/// What a locked tree keeps of a mount's flags.
fn locks_of(flags: MountFlags) -> MountLocks {
    let mut locks = MountLocks::PLACE | MountLocks::ATIME;
    locks.set(MountLocks::RDONLY, flags.contains(MountFlags::RDONLY));
    locks.set(MountLocks::NOSUID, flags.contains(MountFlags::NOSUID));
    locks.set(MountLocks::NODEV, flags.contains(MountFlags::NODEV));
    locks.set(MountLocks::NOEXEC, flags.contains(MountFlags::NOEXEC));
    locks
}

/// Ties a tree together for a namespace of less privilege.
pub(super) fn lock_tree(top: &Arc<Mount>) {
    for mount in top.subtree() {
        mount.set_locks(mount.locks() | locks_of(mount.flags()));
    }
}

/// Lets `mount` be taken away.
pub(super) fn unlock_place(mount: &Mount) {
    mount.set_locks(mount.locks() - MountLocks::PLACE);
}

impl MountTrees {
    pub(super) fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes note of a new namespace.
    pub(super) fn register(&self, ns: &Weak<MountNamespace>) {
        let mut spaces = self.spaces.lock();
        spaces.retain(|ns| ns.strong_count() > 0);
        spaces.push(ns.clone());
    }

    /// The namespaces there are.
    pub(super) fn spaces(&self) -> Vec<Arc<MountNamespace>> {
        self.spaces
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .collect()
    }

    /// Whether there are no mounts but those of `ns`.
    #[cfg(test)]
    pub(super) fn is_all_in(&self, ns: &MountNamespace) -> bool {
        self.total.load(Ordering::Relaxed) == ns.mount_count()
    }

    /// A copy of `mount` from `root` on, attached nowhere.
    pub(super) fn copy_one(&self, mount: &Mount, root: &Arc<Dentry>, kin: Kin) -> Arc<Mount> {
        let (sb, root) = (mount.sb.clone(), root.clone());
        let copy = Mount::new(self.new_id(), sb, root, &mount.source, mount.flags());
        copy.set_locks(mount.locks());
        match kin {
            Kin::Peer => self.groups.join(&copy, mount),
            Kin::Slave => self.groups.follow(&copy, mount),
            Kin::SharedSlave => {
                self.groups.follow(&copy, mount);
                self.groups.share(&copy);
            }
        }
        copy
    }

    /// A copy of a tree from `root` in its top mount on. Without `unbindable` such mounts
    /// are left out; `EPERM` where one is locked. Each mount is told with its copy.
    pub(super) fn copy_tree(
        &self,
        top: &Arc<Mount>,
        root: &Arc<Dentry>,
        (unbindable, kin): (bool, Kin),
        made: &mut dyn FnMut(&Arc<Mount>, &Arc<Mount>),
    ) -> Result<Arc<Mount>> {
        let copied = self.copy_one(top, root, kin);
        made(top, &copied);
        let mut work = vec![(top.clone(), copied.clone())];
        while let Some((old, new)) = work.pop() {
            let mut below = Vec::new();
            for child in old.children() {
                let Some(point) = child.point() else {
                    continue;
                };
                if !new.root.is_ancestor_of(&point.dentry) {
                    continue;
                }
                // A namespace never holds one that is older than it.
                if unbindable && child.holds_namespace() {
                    continue;
                }
                if !unbindable && child.link().unbindable {
                    if child.is_locked() {
                        self.forget(&copied);
                        return Err(Errno::EPERM);
                    }
                    continue;
                }
                let copy = self.copy_one(&child, &child.root, kin);
                made(&child, &copy);
                new.attach(&copy, &point.dentry);
                below.push((child, copy));
            }
            work.extend(below.into_iter().rev());
        }
        Ok(copied)
    }

    /// Takes a tree that stands nowhere out of the groups.
    pub(super) fn forget(&self, top: &Arc<Mount>) {
        for mount in top.subtree() {
            self.groups.part(&mount, false);
        }
    }

    /// Where an event at a place of a member of `group` spreads to, `origin` left out.
    fn targets(&self, group: u64, at: &Path) -> Vec<Target> {
        let takes = |m: &Weak<Mount>| {
            m.upgrade().is_some_and(|m| {
                !Arc::ptr_eq(&m, &at.mount)
                    && m.namespace().is_some_and(|ns| !ns.is_anonymous())
                    && m.root.is_ancestor_of(&at.dentry)
            })
        };
        let mut out = Vec::new();
        let peers = self.groups.members(group).into_iter().filter(takes);
        out.extend(peers.map(|mount| Target {
            mount,
            from: None,
            kin: Kin::Peer,
        }));
        let mut work = vec![(group, None)];
        while let Some((group, from)) = work.pop() {
            let (slaves, groups) = self.groups.slaves(group);
            out.extend(slaves.into_iter().filter(takes).map(|mount| Target {
                mount,
                from,
                kin: Kin::Slave,
            }));
            for slave in groups {
                let mut first = None;
                for mount in self.groups.members(slave).into_iter().filter(takes) {
                    out.push(match first {
                        None => Target {
                            mount,
                            from,
                            kin: Kin::SharedSlave,
                        },
                        Some(_) => Target {
                            mount,
                            from: first,
                            kin: Kin::Peer,
                        },
                    });
                    first = first.or(Some(out.len() - 1));
                }
                work.push((slave, first.or(from)));
            }
        }
        out
    }

    /// Whether mounting at `at` would spread to the very root of `mount`.
    pub(super) fn would_cover(&self, at: &Path, mount: &Arc<Mount>) -> bool {
        let Some(group) = at.mount.link().shared else {
            return false;
        };
        let targets = || self.targets(group, at).into_iter();
        Arc::ptr_eq(&mount.root, &at.dentry)
            && targets().any(|t| std::ptr::eq(t.mount.as_ptr(), Arc::as_ptr(mount)))
    }

    /// Attaches the tree of `source` at `at`, below what stands there, and copies of it wherever that spreads to;
    /// `ENOSPC` for too many mounts. The tree lock is held.
    pub(super) fn attach_tree(&self, source: &Arc<Mount>, at: &Path) -> Result<()> {
        let ns = at.mount.namespace().ok_or(Errno::EINVAL)?;
        let tree = source.subtree();
        let shared = at.mount.link().shared;
        let targets = shared.map_or_else(Vec::new, |group| self.targets(group, at));
        let stays = source.namespace().is_some_and(|old| Arc::ptr_eq(&old, &ns));
        self.room(
            &ns,
            if stays { 0 } else { tree.len() },
            tree.len(),
            &targets,
        )?;
        if shared.is_some() {
            tree.iter().for_each(|mount| self.groups.share(mount));
        }
        let mut copies: Vec<Arc<Mount>> = Vec::new();
        for target in &targets {
            let from = target.from.and_then(|i| copies.get(i)).unwrap_or(source);
            let how = (true, target.kin);
            copies.push(self.copy_tree(from, &from.root, how, &mut |_, _| {})?);
        }
        source.detach();
        tuck(&at.mount, &at.dentry, source);
        let weak = Arc::downgrade(&ns);
        tree.iter().for_each(|mount| mount.set_namespace(&weak));
        for (target, copy) in targets.iter().zip(&copies) {
            let place = target.mount.upgrade();
            let Some((place, home)) = place.and_then(|m| Some((m.clone(), m.namespace()?))) else {
                self.forget(copy);
                continue;
            };
            if home.owner() != ns.owner() {
                lock_tree(copy);
            }
            unlock_place(copy);
            tuck(&place, &at.dentry, copy);
            let home = Arc::downgrade(&home);
            copy.subtree().iter().for_each(|m| m.set_namespace(&home));
        }
        Ok(())
    }

    /// Whether there is room for `own` mounts in `ns` and `each` at every target.
    fn room(
        &self,
        ns: &Arc<MountNamespace>,
        own: usize,
        each: usize,
        targets: &[Target],
    ) -> Result<()> {
        let mut wanted = BTreeMap::from([(Arc::as_ptr(ns), own)]);
        let mut homes = vec![ns.clone()];
        for home in targets
            .iter()
            .filter_map(|t| t.mount.upgrade()?.namespace())
        {
            *wanted.entry(Arc::as_ptr(&home)).or_default() += each;
            homes.push(home);
        }
        let all: usize = wanted.values().sum();
        let full = homes.iter().any(|home| {
            let more = wanted.get(&Arc::as_ptr(home)).copied().unwrap_or(0);
            home.mount_count().saturating_add(more) > MOUNT_MAX
        });
        if full || self.total.load(Ordering::Relaxed).saturating_add(all) > TOTAL_MAX {
            return Err(Errno::ENOSPC);
        }
        Ok(())
    }

    /// Whether a copy of a tree has room in a new namespace; `ENOSPC`.
    pub(super) fn room_for_copy(&self, mounts: usize) -> Result<()> {
        if self.total.load(Ordering::Relaxed).saturating_add(mounts) > TOTAL_MAX {
            return Err(Errno::ENOSPC);
        }
        Ok(())
    }

    /// Whether unmounting `mount` would meet a use of a place it spreads to. The tree lock
    /// is held.
    pub(super) fn spread_is_busy(&self, mount: &Arc<Mount>) -> bool {
        let Some(point) = mount.point() else {
            return false;
        };
        let Some(group) = point.mount.link().shared else {
            return false;
        };
        self.targets(group, &point).iter().any(|target| {
            let child = target
                .mount
                .upgrade()
                .and_then(|m| m.child_at(&point.dentry));
            child.is_some_and(|child| {
                let covered = child.child_at(&child.root).is_some();
                // One reference is the parent's, one this function's.
                (covered || child.child_count() == 0) && Arc::strong_count(&child) > 2
            })
        })
    }

    /// Unmounts the tree of `top`, and what it spreads to. A locked mount stays connected to
    /// its parent. All that is gone is returned. The tree lock is held.
    pub(super) fn umount_tree(&self, top: &Arc<Mount>) -> Vec<Arc<Mount>> {
        let mut gone = top.subtree();
        let mut ids: BTreeSet<u64> = gone.iter().map(|m| m.id).collect();
        let follow = self.also_unmounted(&gone, &ids);
        ids.extend(follow.keys());
        let mut covers = Vec::new();
        for mount in follow.values() {
            let cover = mount.child_at(&mount.root);
            let place = surviving_place(mount, &ids);
            if let (Some(cover), Some(place)) = (cover, place)
                && !ids.contains(&cover.id)
            {
                covers.push((cover, place));
            }
        }
        gone.extend(follow.into_values());
        for mount in &gone {
            let stays =
                mount.is_locked() && mount.point().is_some_and(|p| ids.contains(&p.mount.id));
            if !stays {
                mount.detach();
            }
            self.groups.part(mount, false);
            mount.set_namespace(&Weak::new());
        }
        for (cover, mut place) in covers {
            cover.detach();
            place.cross_mounts();
            place.mount.attach(&cover, &place.dentry);
        }
        gone
    }

    /// The mounts that unmounting `tree` takes along elsewhere: those at the same places,
    /// unless others stand on them or they are locked to a parent that stays.
    fn also_unmounted(
        &self,
        tree: &[Arc<Mount>],
        ids: &BTreeSet<u64>,
    ) -> BTreeMap<u64, Arc<Mount>> {
        let mut found: BTreeMap<u64, Arc<Mount>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for point in tree.iter().filter_map(|mount| mount.point()) {
            let Some(group) = point.mount.link().shared else {
                continue;
            };
            // From every peer the same places are reached.
            if !seen.insert((group, Arc::as_ptr(&point.dentry))) {
                continue;
            }
            for target in self.targets(group, &point) {
                let child = target
                    .mount
                    .upgrade()
                    .and_then(|m| m.child_at(&point.dentry));
                if let Some(child) = child.filter(|c| !ids.contains(&c.id)) {
                    found.insert(child.id, child);
                }
            }
        }
        let goes = |found: &BTreeMap<u64, Arc<Mount>>, id: u64| {
            ids.contains(&id) || found.contains_key(&id)
        };
        let mut stay: Vec<u64> = Vec::new();
        for (id, mount) in &found {
            let held = mount.children().iter().any(|child| {
                let covers = child.point().is_some_and(|p| p.is_mount_root());
                !covers && !goes(&found, child.id)
            });
            let parent = mount.point().is_some_and(|p| goes(&found, p.mount.id));
            if held || (mount.is_locked() && !parent) {
                stay.push(*id);
            }
        }
        while let Some(id) = stay.pop() {
            let Some(mount) = found.remove(&id) else {
                continue;
            };
            let locked = mount.children().into_iter().filter(|c| c.is_locked());
            stay.extend(locked.map(|c| c.id));
            if let Some(point) = mount.point().filter(|p| !p.is_mount_root()) {
                stay.push(point.mount.id);
            }
        }
        found
    }
}

/// The nearest place above an unmounted one that is not unmounted itself.
fn surviving_place(mount: &Arc<Mount>, gone: &BTreeSet<u64>) -> Option<Path> {
    let mut at = mount.point()?;
    while gone.contains(&at.mount.id) {
        at = at.mount.point()?;
    }
    Some(at)
}

/// Attaches `mount` at `dentry` of `place`, below whatever already stands there.
fn tuck(place: &Arc<Mount>, dentry: &Arc<Dentry>, mount: &Arc<Mount>) {
    let covering = place.child_at(dentry);
    if let Some(covering) = &covering {
        covering.detach();
    }
    place.attach(mount, dentry);
    if let Some(covering) = &covering {
        let mut top = Path::root_of(mount);
        top.cross_mounts();
        top.mount.attach(covering, &top.dentry);
    }
}
