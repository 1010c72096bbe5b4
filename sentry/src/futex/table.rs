//! The table of waiters.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};

use abi::Errno;

use crate::Result;
use crate::sync::{Mutex, MutexGuard};
use crate::task::Task;

/// Number of buckets.
const BUCKETS: usize = 256;

/// Whether a futex is private to an address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `FUTEX_PRIVATE_FLAG`.
    Private,
    /// May be shared with other address spaces.
    Shared,
}

/// What identifies a futex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// Address space and address.
    Private(usize, u64),
    /// Memory object and offset.
    Shared(u64, u64),
}

impl Key {
    /// The key of the word at `addr`: `EINVAL` unless it is aligned, `EFAULT`.
    pub fn of(t: &Task, addr: u64, scope: Scope) -> Result<Key> {
        if !addr.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        if addr >= abi::TASK_SIZE {
            return Err(Errno::EFAULT);
        }
        let mm = t.mm();
        Ok(match scope {
            Scope::Private => Key::Private(Arc::as_ptr(&mm).addr(), addr),
            Scope::Shared => {
                let (object, offset) = mm.shared_key(addr)?;
                Key::Shared(object, offset)
            }
        })
    }

    fn bucket(&self) -> usize {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        (hasher.finish() as usize) % BUCKETS
    }
}

/// The waiter is in the table.
const WAITING: u8 = 0;
/// It was woken.
const WOKEN: u8 = 1;
/// It was given the PI lock.
const OWNER: u8 = 2;

/// A task waiting on a futex.
#[derive(Debug)]
pub struct Waiter {
    /// Who.
    pub task: Weak<Task>,
    /// `FUTEX_WAIT_BITSET`'s bits; all for a plain wait.
    pub bitset: u32,
    /// Waits for a PI lock, not for a wake-up.
    pi: bool,
    /// Waits to be moved to this PI lock.
    target: Option<Key>,
    /// The key it waits on; changed by a requeue with both buckets locked.
    key: Mutex<Key>,
    state: AtomicU8,
}

impl Waiter {
    /// A waiter for `key`.
    pub fn new(t: &Task, key: Key, bitset: u32, pi: bool) -> Arc<Waiter> {
        Arc::new(Waiter {
            task: t.weak(),
            bitset,
            pi,
            target: None,
            key: Mutex::new(key),
            state: AtomicU8::new(WAITING),
        })
    }
    /// A waiter for `key` that is to be moved to the PI lock `target`.
    pub fn to_be_moved(t: &Task, key: Key, target: Key) -> Arc<Waiter> {
        Arc::new(Waiter {
            task: t.weak(),
            bitset: u32::MAX,
            pi: false,
            target: Some(target),
            key: Mutex::new(key),
            state: AtomicU8::new(WAITING),
        })
    }
    /// Whether it waits for a PI lock.
    pub fn is_pi(&self) -> bool {
        self.pi || self.target == Some(self.key())
    }
    /// The PI lock it waits to be moved to.
    pub fn target(&self) -> Option<Key> {
        self.target
    }
    /// Whether an ordinary wake-up or requeue is an error.
    pub fn is_special(&self) -> bool {
        self.pi || self.target.is_some()
    }
    /// Whether it was woken.
    pub fn is_woken(&self) -> bool {
        self.state.load(Ordering::SeqCst) != WAITING
    }
    /// Whether it was given the PI lock.
    pub fn is_owner(&self) -> bool {
        self.state.load(Ordering::SeqCst) == OWNER
    }
    /// Marks it woken; its task is woken by the caller after the bucket is unlocked.
    pub fn set_woken(&self, owner: bool) {
        let state = if owner { OWNER } else { WOKEN };
        self.state.store(state, Ordering::SeqCst);
    }
    /// Wakes its task.
    pub fn wake_task(&self) {
        if let Some(t) = self.task.upgrade() {
            t.wake();
        }
    }
    /// The key it waits on now.
    pub fn key(&self) -> Key {
        *self.key.lock()
    }
    /// Moves it; both buckets are locked.
    pub fn set_key(&self, key: Key) {
        *self.key.lock() = key;
    }
}

/// Waiters of one bucket, in order of arrival.
#[derive(Debug, Default)]
pub struct Bucket {
    waiters: Vec<Arc<Waiter>>,
}

impl Bucket {
    /// Appends a waiter.
    pub fn push(&mut self, w: Arc<Waiter>) {
        self.waiters.push(w);
    }
    /// Removes a waiter.
    pub fn remove(&mut self, w: &Arc<Waiter>) {
        self.waiters.retain(|x| !Arc::ptr_eq(x, w));
    }
    /// Takes out up to `n` waiters of `key` for which `accept` holds.
    pub fn take(
        &mut self,
        key: &Key,
        n: usize,
        accept: impl Fn(&Waiter) -> bool,
    ) -> Vec<Arc<Waiter>> {
        let mut taken = Vec::new();
        self.waiters.retain(|w| {
            let take = taken.len() < n && w.key() == *key && accept(w);
            if take {
                taken.push(w.clone());
            }
            !take
        });
        taken
    }
    /// The waiters of `key`.
    pub fn of<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = &'a Arc<Waiter>> {
        self.waiters.iter().filter(move |w| w.key() == *key)
    }
}

/// All waiters of a kernel.
#[derive(Debug)]
pub struct FutexTable {
    buckets: Vec<Mutex<Bucket>>,
}

impl Default for FutexTable {
    fn default() -> FutexTable {
        FutexTable {
            buckets: (0..BUCKETS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl FutexTable {
    /// Locks the bucket of `key`.
    pub fn lock(&self, key: &Key) -> MutexGuard<'_, Bucket> {
        self.buckets[key.bucket()].lock()
    }

    /// Locks the buckets of two keys in order; `None` for the second when it is the same.
    pub fn lock_two(
        &self,
        a: &Key,
        b: &Key,
    ) -> (MutexGuard<'_, Bucket>, Option<MutexGuard<'_, Bucket>>) {
        let (i, j) = (a.bucket(), b.bucket());
        if i == j {
            (self.buckets[i].lock(), None)
        } else if i < j {
            let first = self.buckets[i].lock();
            let second = self.buckets[j].lock();
            (first, Some(second))
        } else {
            let second = self.buckets[j].lock();
            let first = self.buckets[i].lock();
            (first, Some(second))
        }
    }

    /// Takes a waiter out, wherever a requeue has moved it. Afterwards its state is final.
    pub fn leave(&self, w: &Arc<Waiter>) {
        loop {
            let key = w.key();
            let mut bucket = self.lock(&key);
            if w.key() == key {
                bucket.remove(w);
                return;
            }
        }
    }
}

/// `FUTEX_WAKE`, `FUTEX_WAKE_BITSET`: wakes up to `n` waiters that share a bit with
/// `bitset`; how many. `EINVAL` for waiters on a PI lock.
pub fn wake(t: &Task, addr: u64, scope: Scope, n: usize, bitset: u32) -> Result<usize> {
    let key = Key::of(t, addr, scope)?;
    wake_key(t, &key, n, bitset)
}

/// The same by key.
pub fn wake_key(t: &Task, key: &Key, n: usize, bitset: u32) -> Result<usize> {
    let taken = {
        let mut bucket = t.kernel.futexes.lock(key);
        if bucket.of(key).any(|w| w.is_special()) {
            return Err(Errno::EINVAL);
        }
        let taken = bucket.take(key, n, |w| w.bitset & bitset != 0);
        taken.iter().for_each(|w| w.set_woken(false));
        taken
    };
    taken.iter().for_each(|w| w.wake_task());
    Ok(taken.len())
}
