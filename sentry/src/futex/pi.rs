//! PI futexes (`FUTEX_LOCK_PI`, `FUTEX_UNLOCK_PI`): the kernel hands the lock to the next
//! waiter. Priorities are the host's business and are not inherited.

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;

use super::parked::Parked;
use super::table::{Bucket, Key, Scope, Waiter};
use crate::Result;
use crate::task::Task;
use crate::wait::{OnSignal, SysResult};

/// `FUTEX_TID_MASK`.
const TID_MASK: u32 = 0x3fff_ffff;
/// `FUTEX_OWNER_DIED`.
const OWNER_DIED: u32 = 0x4000_0000;
/// `FUTEX_WAITERS`.
const WAITERS: u32 = 0x8000_0000;

fn tid_of(t: &Task) -> u32 {
    u32::try_from(t.tid()).unwrap_or(0)
}

/// What trying the lock with its bucket locked came to.
pub(super) enum Try {
    Taken,
    Held,
}

/// Takes the lock for `t` if it is free.
pub(super) fn try_take(t: &Task, addr: u64, others_wait: bool, mark: bool) -> Result<Try> {
    let mm = t.mm();
    let me = tid_of(t);
    loop {
        let word = mm.load_u32(addr)?;
        let owner = word & TID_MASK;
        if owner == me {
            return Err(Errno::EDEADLK);
        }
        let new = if owner == 0 {
            me | (word & OWNER_DIED) | if others_wait { WAITERS } else { 0 }
        } else {
            let number = i32::try_from(owner).unwrap_or(0);
            if t.pid_ns().task(number).is_none() {
                return Err(Errno::ESRCH);
            }
            if !mark {
                return Ok(Try::Held);
            }
            word | WAITERS
        };
        if new == word || mm.compare_exchange_u32(addr, word, new)? == word {
            return Ok(if owner == 0 { Try::Taken } else { Try::Held });
        }
    }
}

/// `FUTEX_LOCK_PI`: takes the lock or waits for it until `deadline` (monotonic).
pub fn lock(t: &Arc<Task>, addr: u64, scope: Scope, deadline: Option<Duration>) -> SysResult<i64> {
    let key = Key::of(t, addr, scope)?;
    t.mm().load_u32(addr)?;
    let waiter = Waiter::new(t, key, u32::MAX, true);
    {
        let mut bucket = t.kernel.futexes.lock(&key);
        let waits = check_kind(&bucket, &key)?;
        match try_take(t, addr, waits, true)? {
            Try::Taken => return Ok(0),
            Try::Held => bucket.push(waiter.clone()),
        }
    }
    let interrupted = |_timed| OnSignal::RestartAlways;
    Parked::park(t, waiter, deadline, interrupted, "futex_lock_pi")
}

/// Whether others wait for the lock; `EINVAL` when they wait for an ordinary wake-up.
pub(super) fn check_kind(bucket: &Bucket, key: &Key) -> Result<bool> {
    if bucket.of(key).any(|w| !w.is_pi()) {
        return Err(Errno::EINVAL);
    }
    Ok(bucket.of(key).next().is_some())
}

/// `FUTEX_TRYLOCK_PI`: `EAGAIN` when it is held.
pub fn try_lock(t: &Arc<Task>, addr: u64, scope: Scope) -> Result<()> {
    let key = Key::of(t, addr, scope)?;
    t.mm().load_u32(addr)?;
    let bucket = t.kernel.futexes.lock(&key);
    let waits = check_kind(&bucket, &key)?;
    match try_take(t, addr, waits, false)? {
        Try::Taken => Ok(()),
        Try::Held => Err(Errno::EAGAIN),
    }
}

/// `FUTEX_UNLOCK_PI`: gives the lock to the first waiter or frees it; `EPERM` unless the
/// caller holds it.
pub fn unlock(t: &Arc<Task>, addr: u64, scope: Scope) -> Result<()> {
    let key = Key::of(t, addr, scope)?;
    let mm = t.mm();
    mm.load_u32(addr)?;
    let next = {
        let mut bucket = t.kernel.futexes.lock(&key);
        check_kind(&bucket, &key)?;
        let word = mm.load_u32(addr)?;
        if word & TID_MASK != tid_of(t) {
            return Err(Errno::EPERM);
        }
        let heir = loop {
            let first = bucket.take(&key, 1, |_| true).pop();
            match first {
                Some(w) if w.task.upgrade().is_none() => {}
                other => break other,
            }
        };
        let owner = heir.as_ref().and_then(|w| w.task.upgrade());
        let more = bucket.of(&key).next().is_some();
        let new = owner.map_or(0, |o| tid_of(&o) | if more { WAITERS } else { 0 });
        if let Err(e) = store(t, addr, new) {
            if let Some(w) = heir {
                bucket.push(w);
            }
            return Err(e);
        }
        if let Some(w) = &heir {
            w.set_woken(true);
        }
        heir
    };
    if let Some(w) = next {
        w.wake_task();
    }
    Ok(())
}

fn store(t: &Task, addr: u64, new: u32) -> Result<()> {
    let mm = t.mm();
    let mut old = mm.load_u32(addr)?;
    loop {
        let seen = mm.compare_exchange_u32(addr, old, new)?;
        if seen == old {
            return Ok(());
        }
        old = seen;
    }
}
