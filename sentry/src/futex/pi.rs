//! Priority-inheriting futexes: the word holds the owner's tid. The host schedules, so no
//! priority is lent; ownership, the waiters bit and hand-over are as in `futex(2)`.

use std::sync::Arc;

use abi::Errno;

use super::table::{FutexTable, Waiter};
use super::Key;
use crate::Result;
use crate::mm::Mm;
use crate::wait::Waker;

/// Somebody waits in the kernel.
pub const FUTEX_WAITERS: u32 = 0x8000_0000;
/// The owner died holding it.
pub const FUTEX_OWNER_DIED: u32 = 0x4000_0000;
/// The owner's tid.
pub const FUTEX_TID_MASK: u32 = 0x3fff_ffff;

/// Result of trying to lock.
#[derive(Debug)]
pub enum Locked {
    /// It is ours.
    Yes,
    /// Queued behind the owner.
    Queued(Arc<Waiter>),
}

impl FutexTable {
    /// `FUTEX_LOCK_PI` / `FUTEX_TRYLOCK_PI`: takes the lock for `tid`, or queues (`waker`)
    /// or fails with `EAGAIN` (no waker). `EDEADLK` when it is ours already, `ESRCH` when
    /// `alive` says that the owner is no thread.
    pub fn lock_pi(
        &self,
        mm: &Mm,
        addr: u64,
        key: Key,
        tid: i32,
        waker: Option<Waker>,
        alive: impl Fn(i32) -> bool,
    ) -> Result<Locked> {
        let me = tid.cast_unsigned() & FUTEX_TID_MASK;
        let mut word = mm.load_u32(addr)?;
        loop {
            let owner = word & FUTEX_TID_MASK;
            if owner == me {
                return Err(Errno::EDEADLK);
            }
            let died = word & FUTEX_OWNER_DIED;
            let new = if owner == 0 {
                me | died | (word & FUTEX_WAITERS)
            } else if waker.is_none() {
                return Err(Errno::EAGAIN);
            } else if !alive(owner.cast_signed()) {
                return Err(Errno::ESRCH);
            } else {
                word | FUTEX_WAITERS
            };
            let seen = mm.compare_exchange_u32(addr, word, new)?;
            if seen != word {
                word = seen;
                continue;
            }
            if owner == 0 {
                return Ok(Locked::Yes);
            }
            break;
        }
        let Some(waker) = waker else { return Err(Errno::EAGAIN) };
        let waiter = self.enqueue(key, waker, tid);
        // The owner may have let go between our swap and the queue: then nobody hands over.
        let word = self.with_bucket(key, || mm.load_u32(addr))?;
        if word & FUTEX_TID_MASK == 0 && self.cancel(&waiter) {
            let seen = mm.compare_exchange_u32(addr, word, me | (word & !FUTEX_TID_MASK))?;
            if seen == word {
                return Ok(Locked::Yes);
            }
            return Err(Errno::EAGAIN);
        }
        Ok(Locked::Queued(waiter))
    }

    /// `FUTEX_UNLOCK_PI`: hands the lock to the first waiter; `EPERM` unless `tid` owns it.
    pub fn unlock_pi(&self, mm: &Mm, addr: u64, key: Key, tid: i32) -> Result<()> {
        let me = tid.cast_unsigned() & FUTEX_TID_MASK;
        if mm.load_u32(addr)? & FUTEX_TID_MASK != me {
            return Err(Errno::EPERM);
        }
        self.hand_over(key, |next, more| {
            let mut word = mm.load_u32(addr)?;
            loop {
                let mut new = next.cast_unsigned() & FUTEX_TID_MASK;
                if more {
                    new |= FUTEX_WAITERS;
                }
                let seen = mm.compare_exchange_u32(addr, word, new)?;
                if seen == word {
                    return Ok(());
                }
                if seen & FUTEX_TID_MASK != me {
                    return Err(Errno::EPERM);
                }
                word = seen;
            }
        })
    }
}
