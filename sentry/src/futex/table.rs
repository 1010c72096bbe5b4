//! The buckets and the operations on them.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use abi::Errno;
use abi::fs::PollEvents;
use smallvec::SmallVec;

use super::{Key, WakeOp};
use crate::Result;
use crate::mm::Mm;
use crate::sync::{Mutex, MutexGuard};
use crate::wait::Waker;

/// Number of buckets, a power of two.
const BUCKETS: usize = 256;

/// One who waits on a futex word.
pub struct Waiter {
    /// Where it waits now; a requeue changes it.
    key: Mutex<Key>,
    bitset: u32,
    waker: Waker,
    woken: AtomicBool,
    /// The thread, for priority-inheriting futexes.
    pub(super) tid: i32,
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Waiter({:?})", *self.key.lock())
    }
}

impl Waiter {
    /// Whether somebody has woken it (and so taken it out of its queue).
    pub fn woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }

    fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        self.waker.wake(PollEvents::IN);
    }
}

type Bucket = Vec<(Key, Arc<Waiter>)>;
type Woken = SmallVec<[Arc<Waiter>; 8]>;

/// All futexes of a kernel.
pub struct FutexTable {
    buckets: Box<[Mutex<Bucket>]>,
}

impl Default for FutexTable {
    fn default() -> FutexTable {
        FutexTable { buckets: (0..BUCKETS).map(|_| Mutex::default()).collect() }
    }
}

impl fmt::Debug for FutexTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FutexTable")
    }
}

fn index(key: Key) -> usize {
    let mut h = DefaultHasher::new();
    key.hash(&mut h);
    usize::try_from(h.finish() & (BUCKETS as u64 - 1)).unwrap_or(0)
}

/// Takes up to `n` waiters of `key` whose bitset meets `bitset`, in order of arrival.
fn take(bucket: &mut Bucket, key: Key, bitset: u32, n: u32, out: &mut Woken) -> u32 {
    let mut taken = 0;
    bucket.retain(|(k, w)| {
        let hit = taken < n && *k == key && w.bitset & bitset != 0;
        if hit {
            taken += 1;
            out.push(w.clone());
        }
        !hit
    });
    taken
}

fn wake_all(woken: &Woken) {
    for w in woken {
        w.wake();
    }
}

impl FutexTable {
    fn lock(&self, key: Key) -> MutexGuard<'_, Bucket> {
        self.buckets[index(key)].lock()
    }

    /// Locks the buckets of two keys in order; the second is `None` when they share one.
    fn lock_two(
        &self,
        a: Key,
        b: Key,
    ) -> (MutexGuard<'_, Bucket>, Option<MutexGuard<'_, Bucket>>) {
        let (i, j) = (index(a), index(b));
        if i == j {
            return (self.buckets[i].lock(), None);
        }
        if i < j {
            let first = self.buckets[i].lock();
            (first, Some(self.buckets[j].lock()))
        } else {
            let second = self.buckets[j].lock();
            (self.buckets[i].lock(), Some(second))
        }
    }

    /// Queues a waiter if the word at `addr` holds `expected`; `EAGAIN` if not, `EFAULT`.
    pub fn wait(
        &self,
        mm: &Mm,
        addr: u64,
        key: Key,
        expected: u32,
        bitset: u32,
        waker: Waker,
        tid: i32,
    ) -> Result<Arc<Waiter>> {
        let mut bucket = self.lock(key);
        if mm.load_u32(addr)? != expected {
            return Err(Errno::EAGAIN);
        }
        let waiter =
            Arc::new(Waiter { key: Mutex::new(key), bitset, waker, woken: AtomicBool::new(false), tid });
        bucket.push((key, waiter.clone()));
        Ok(waiter)
    }

    /// Queues a waiter whatever the word says (the caller has checked under its own rules).
    pub(super) fn enqueue(&self, key: Key, waker: Waker, tid: i32) -> Arc<Waiter> {
        let mut bucket = self.lock(key);
        let waiter = Arc::new(Waiter {
            key: Mutex::new(key),
            bitset: u32::MAX,
            waker,
            woken: AtomicBool::new(false),
            tid,
        });
        bucket.push((key, waiter.clone()));
        waiter
    }

    /// Leaves the queue; `false` when somebody has woken it meanwhile.
    pub fn cancel(&self, waiter: &Arc<Waiter>) -> bool {
        loop {
            let key = *waiter.key.lock();
            let mut bucket = self.lock(key);
            if *waiter.key.lock() != key {
                // Requeued between the two locks.
                continue;
            }
            let before = bucket.len();
            bucket.retain(|(_, w)| !Arc::ptr_eq(w, waiter));
            return bucket.len() < before;
        }
    }

    /// Wakes up to `n` waiters whose bitset meets `bitset`; how many.
    pub fn wake(&self, key: Key, bitset: u32, n: u32) -> u32 {
        let mut woken = Woken::new();
        let count = take(&mut self.lock(key), key, bitset, n, &mut woken);
        wake_all(&woken);
        count
    }

    /// Wakes up to `wake` waiters of `from` and moves up to `requeue` more to `to`.
    /// With `expected` the word at `addr` must hold it, else `EAGAIN`.
    /// How many were woken and how many moved.
    pub fn requeue(
        &self,
        mm: &Mm,
        addr: u64,
        expected: Option<u32>,
        (from, to): (Key, Key),
        (wake, requeue): (u32, u32),
    ) -> Result<(u32, u32)> {
        let mut woken = Woken::new();
        let mut moved = Woken::new();
        {
            let (mut first, second) = self.lock_two(from, to);
            if let Some(expected) = expected
                && mm.load_u32(addr)? != expected
            {
                return Err(Errno::EAGAIN);
            }
            take(&mut first, from, u32::MAX, wake, &mut woken);
            if from == to {
                let rest = first.iter().filter(|(k, _)| *k == from).count();
                let moved = u32::try_from(rest).unwrap_or(u32::MAX).min(requeue);
                drop(first);
                wake_all(&woken);
                return Ok((u32::try_from(woken.len()).unwrap_or(0), moved));
            }
            take(&mut first, from, u32::MAX, requeue, &mut moved);
            let mut target = second;
            let bucket = target.as_deref_mut().unwrap_or(&mut first);
            for w in &moved {
                *w.key.lock() = to;
                bucket.push((to, w.clone()));
            }
        }
        wake_all(&woken);
        let count = |w: &Woken| u32::try_from(w.len()).unwrap_or(0);
        Ok((count(&woken), count(&moved)))
    }

    /// `FUTEX_WAKE_OP`: changes the word at `addr2`, wakes up to `n1` of `key1`, and up to
    /// `n2` of `key2` if the old value compares.
    pub fn wake_op(
        &self,
        mm: &Mm,
        addr2: u64,
        (key1, key2): (Key, Key),
        (n1, n2): (u32, u32),
        op: WakeOp,
    ) -> Result<u32> {
        let mut woken = Woken::new();
        {
            let (mut first, mut second) = self.lock_two(key1, key2);
            let old = op.apply(mm, addr2)?;
            let compares = op.compare(old)?;
            take(&mut first, key1, u32::MAX, n1, &mut woken);
            if compares {
                let bucket = second.as_deref_mut().unwrap_or(&mut first);
                take(bucket, key2, u32::MAX, n2, &mut woken);
            }
        }
        wake_all(&woken);
        Ok(u32::try_from(woken.len()).unwrap_or(0))
    }

    /// Hands a priority-inheriting lock on: calls `hand` with the first waiter's thread (0
    /// for none) and whether more wait, under the bucket lock; wakes that waiter if `hand`
    /// succeeds.
    pub(super) fn hand_over(
        &self,
        key: Key,
        hand: impl FnOnce(i32, bool) -> Result<()>,
    ) -> Result<()> {
        let mut woken = Woken::new();
        let done = {
            let mut bucket = self.lock(key);
            let waiting = bucket.iter().filter(|(k, _)| *k == key).count();
            let tid = bucket.iter().find(|(k, _)| *k == key).map_or(0, |(_, w)| w.tid);
            let done = hand(tid, waiting > 1);
            if done.is_ok() && tid != 0 {
                take(&mut bucket, key, u32::MAX, 1, &mut woken);
            }
            done
        };
        wake_all(&woken);
        done
    }

    /// Runs `f` with the bucket of `key` locked: for decisions that must not race a waker.
    pub(super) fn with_bucket<R>(&self, key: Key, f: impl FnOnce() -> R) -> R {
        let _bucket = self.lock(key);
        f()
    }
}
