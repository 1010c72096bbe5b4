//! Dentries: names and what they stand for, cached.
//!
//! A dentry holds its parent; a parent knows its children weakly. What keeps an unused
//! dentry alive is the [`DentryCache`] of its super block, a bounded table swept like a
//! clock. A dentry that was unlinked or replaced is *dead*: it leaves parent and cache and
//! lives on only in the paths that hold it.
//!
//! Lock ranks: a directory's own lock ([`Dentry::lock_dir`]) is above everything here and
//! may be held over an inode operation; `children`, `place`, `inode` and the cache table
//! are leaves, and no dentry is dropped under one of them.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use super::inode::Inode;
use crate::fs::inotify;
use crate::sync::{Mutex, MutexGuard, RwLock};

/// Dentries a super block keeps without users.
const CACHE_MAX: usize = 1 << 16;
/// Slots looked at for one victim.
const SWEEP: usize = 32;
/// Not in the cache table.
const NO_SLOT: usize = usize::MAX;

/// Where a dentry hangs.
#[derive(Default)]
struct Place {
    parent: Option<Arc<Dentry>>,
    name: Box<[u8]>,
}

/// A name in a directory. Positive (with an inode) or negative.
pub struct Dentry {
    inode: RwLock<Option<Arc<dyn Inode>>>,
    place: RwLock<Place>,
    children: Mutex<HashMap<Box<[u8]>, Weak<Dentry>>>,
    cache: Weak<DentryCache>,
    slot: AtomicUsize,
    used: AtomicBool,
    dead: AtomicBool,
    mounts: AtomicUsize,
    dir: Mutex<()>,
}

impl fmt::Debug for Dentry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dentry({})", String::from_utf8_lossy(&self.name()))
    }
}

impl Dentry {
    fn make(place: Place, inode: Option<Arc<dyn Inode>>, cache: Weak<DentryCache>) -> Arc<Dentry> {
        Arc::new(Dentry {
            inode: RwLock::new(inode),
            place: RwLock::new(place),
            children: Mutex::default(),
            cache,
            slot: AtomicUsize::new(NO_SLOT),
            used: AtomicBool::new(true),
            dead: AtomicBool::new(false),
            mounts: AtomicUsize::new(0),
            dir: Mutex::new(()),
        })
    }

    /// A root dentry outside any cache.
    pub fn root(inode: Arc<dyn Inode>) -> Arc<Dentry> {
        Dentry::make(Place::default(), Some(inode), Weak::new())
    }

    /// A root dentry whose descendants are kept by `cache`.
    pub fn root_cached(inode: Arc<dyn Inode>, cache: &Arc<DentryCache>) -> Arc<Dentry> {
        Dentry::make(Place::default(), Some(inode), Arc::downgrade(cache))
    }

    /// A dentry that no directory knows: an unnamed file (`O_TMPFILE`), born dead.
    pub fn unnamed(self: &Arc<Dentry>, name: &[u8], inode: Arc<dyn Inode>) -> Arc<Dentry> {
        let place = Place {
            parent: Some(self.clone()),
            name: name.into(),
        };
        let made = Dentry::make(place, Some(inode), self.cache.clone());
        made.dead.store(true, Ordering::Release);
        made
    }

    /// What it stands for; `None` when negative.
    pub fn inode(&self) -> Option<Arc<dyn Inode>> {
        self.inode.read().clone()
    }

    /// Its name; empty for a root.
    pub fn name(&self) -> Box<[u8]> {
        self.place.read().name.clone()
    }

    /// The directory it is in; `None` for a root.
    pub fn parent(&self) -> Option<Arc<Dentry>> {
        self.place.read().parent.clone()
    }

    /// Parent and name at one moment.
    pub fn place(&self) -> Option<(Arc<Dentry>, Box<[u8]>)> {
        let place = self.place.read();
        place.parent.clone().map(|p| (p, place.name.clone()))
    }

    /// Whether it was unlinked or replaced.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Whether `self` is `other` or lies above it.
    pub fn is_ancestor_of(self: &Arc<Dentry>, other: &Arc<Dentry>) -> bool {
        let mut at = Some(other.clone());
        while let Some(d) = at {
            if Arc::ptr_eq(self, &d) {
                return true;
            }
            at = d.parent();
        }
        false
    }

    /// Serialises changes of this directory.
    pub fn lock_dir(&self) -> MutexGuard<'_, ()> {
        self.dir.lock()
    }

    /// How many mounts stand on it.
    pub fn mounts(&self) -> &AtomicUsize {
        &self.mounts
    }

    /// The cached child of that name.
    pub fn cached(&self, name: &[u8]) -> Option<Arc<Dentry>> {
        let found = self.children.lock().get(name).and_then(Weak::upgrade)?;
        found.used.store(true, Ordering::Relaxed);
        Some(found)
    }

    /// Puts a new child into the cache, positive or negative. One already there of the same
    /// sign wins the race and is returned; a negative one is made positive.
    pub fn insert(self: &Arc<Dentry>, name: &[u8], inode: Option<Arc<dyn Inode>>) -> Arc<Dentry> {
        let mut children = self.children.lock();
        if let Some(there) = children.get(name).and_then(Weak::upgrade) {
            drop(children);
            if let Some(inode) = inode {
                let mut slot = there.inode.write();
                if slot.is_none() {
                    *slot = Some(inode);
                }
            }
            return there;
        }
        let place = Place {
            parent: Some(self.clone()),
            name: name.into(),
        };
        let made = Dentry::make(place, inode, self.cache.clone());
        children.insert(name.into(), Arc::downgrade(&made));
        drop(children);
        if let Some(cache) = self.cache.upgrade() {
            cache.add(&made);
        }
        made
    }

    /// Takes it out of parent and cache: it was unlinked, replaced or found stale.
    pub fn kill(self: &Arc<Dentry>) {
        self.dead.store(true, Ordering::Release);
        if let Some((parent, name)) = self.place() {
            parent.forget(&name, self);
        }
        if let Some(cache) = self.cache.upgrade() {
            cache.remove(self);
        }
        self.prune();
    }

    /// Drops the name from the table of children if it still means `child`.
    fn forget(&self, name: &[u8], child: &Dentry) {
        let mut children = self.children.lock();
        let same = children
            .get(name)
            .is_some_and(|w| std::ptr::eq(w.as_ptr(), child));
        if same {
            children.remove(name);
        }
    }

    /// Moves it to `name` in `parent` (`rename`, `linkat` of an unnamed file); whoever had
    /// that name was killed before.
    pub fn move_to(self: &Arc<Dentry>, parent: &Arc<Dentry>, name: &[u8]) {
        if let Some((old, old_name)) = self.place() {
            old.forget(&old_name, self);
        }
        let new = Place {
            parent: Some(parent.clone()),
            name: name.into(),
        };
        let old = std::mem::replace(&mut *self.place.write(), new);
        drop(old);
        self.dead.store(false, Ordering::Release);
        parent
            .children
            .lock()
            .insert(name.into(), Arc::downgrade(self));
        if let Some(cache) = self.cache.upgrade() {
            cache.add(self);
        }
    }

    /// Forgets every cached child nobody uses (the directory changed behind our back).
    pub fn prune(&self) {
        let list: Vec<_> = self
            .children
            .lock()
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        for child in list {
            if child.mounts.load(Ordering::Acquire) == 0
                && let Some(cache) = self.cache.upgrade()
            {
                cache.remove(&child);
            }
        }
    }

    /// Leaves the parent, which is returned so that a chain is taken apart without recursion.
    fn unhook(&mut self) -> Option<Arc<Dentry>> {
        let place = std::mem::take(self.place.get_mut());
        if let Some(parent) = &place.parent {
            parent.forget(&place.name, self);
        }
        place.parent
    }
}

impl Drop for Dentry {
    fn drop(&mut self) {
        if *self.dead.get_mut()
            && let Some(inode) = self.inode.get_mut().take()
        {
            inotify::gone(&inode);
        }
        let mut next = self.unhook();
        while let Some(parent) = next {
            next = Arc::into_inner(parent).and_then(|mut d| d.unhook());
        }
    }
}

#[derive(Default)]
struct Slots {
    table: Vec<Option<Arc<Dentry>>>,
    free: Vec<usize>,
    hand: usize,
}

/// Keeps dentries that nobody uses, up to a bound.
#[derive(Default)]
pub struct DentryCache {
    slots: Mutex<Slots>,
}

impl fmt::Debug for DentryCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slots = self.slots.lock();
        write!(f, "DentryCache({})", slots.table.len() - slots.free.len())
    }
}

impl DentryCache {
    /// Keeps `dentry`, letting go of one not used lately when it is full.
    fn add(&self, dentry: &Arc<Dentry>) {
        let mut slots = self.slots.lock();
        if dentry.slot.load(Ordering::Relaxed) != NO_SLOT {
            return;
        }
        let at = match slots.free.pop() {
            Some(at) => at,
            None if slots.table.len() < CACHE_MAX => {
                slots.table.push(None);
                slots.table.len() - 1
            }
            None => slots.sweep(),
        };
        dentry.slot.store(at, Ordering::Relaxed);
        let victim = slots
            .table
            .get_mut(at)
            .and_then(|s| s.replace(dentry.clone()));
        if let Some(v) = &victim {
            v.slot.store(NO_SLOT, Ordering::Relaxed);
        }
        drop(slots);
        drop(victim);
    }

    /// Lets go of `dentry`.
    fn remove(&self, dentry: &Arc<Dentry>) {
        let mut slots = self.slots.lock();
        let at = dentry.slot.swap(NO_SLOT, Ordering::Relaxed);
        let gone = slots.table.get_mut(at).and_then(Option::take);
        if gone.is_some() {
            slots.free.push(at);
        }
        drop(slots);
        drop(gone);
    }
}

impl Slots {
    /// The slot to reuse: the first one not used since the hand last passed.
    fn sweep(&mut self) -> usize {
        for _ in 0..SWEEP {
            self.hand = (self.hand + 1) % self.table.len().max(1);
            let used = self
                .table
                .get(self.hand)
                .and_then(Option::as_ref)
                .is_some_and(|d| d.used.swap(false, Ordering::Relaxed));
            if !used {
                break;
            }
        }
        self.hand
    }
}
