//! `futex(2)`, `set_robust_list(2)`, `get_robust_list(2)`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use abi::Errno;
use abi::time::Timespec;
use sentry::futex::{Scope, op, pi, requeue, requeue_pi, wait, wake};
use sentry::time::clock_id::ClockId;
use sentry::{Result, SysResult, Task};

use crate::arg::{In, Out, UserAddr, UserPtr};

const PRIVATE: u32 = 128;
const CLOCK_REALTIME: u32 = 256;

const WAIT: u32 = 0;
const WAKE: u32 = 1;
const REQUEUE: u32 = 3;
const CMP_REQUEUE: u32 = 4;
const WAKE_OP: u32 = 5;
const LOCK_PI: u32 = 6;
const UNLOCK_PI: u32 = 7;
const TRYLOCK_PI: u32 = 8;
const WAIT_BITSET: u32 = 9;
const WAKE_BITSET: u32 = 10;
const WAIT_REQUEUE_PI: u32 = 11;
const CMP_REQUEUE_PI: u32 = 12;
const LOCK_PI2: u32 = 13;

/// `futex(2)`.
pub fn futex(
    t: &Arc<Task>,
    addr: UserAddr,
    op_flags: u32,
    value: u32,
    timeout: UserAddr,
    second: UserAddr,
    value3: u32,
) -> SysResult<i64> {
    let cmd = op_flags & !(PRIVATE | CLOCK_REALTIME);
    let realtime = op_flags & CLOCK_REALTIME != 0;
    let scope = if op_flags & PRIVATE != 0 {
        Scope::Private
    } else {
        Scope::Shared
    };
    if realtime && ![WAIT_BITSET, WAIT_REQUEUE_PI, LOCK_PI2].contains(&cmd) {
        return Err(Errno::ENOSYS.into());
    }
    // Counts are ints; a negative one wakes all, as Linux's loop does.
    let many = |n: u32| usize::try_from(n.cast_signed().max(1)).unwrap_or(1);
    let second_count = u32::try_from(timeout.0 & 0xffff_ffff).unwrap_or(0);
    let counted =
        |r: Result<usize>| -> SysResult<i64> { Ok(i64::try_from(r?).unwrap_or(i64::MAX)) };
    match cmd {
        WAIT => {
            let at = deadline(t, timeout, When::Relative)?;
            wait::wait(t, addr.0, scope, value, u32::MAX, at)
        }
        WAIT_BITSET => {
            let at = deadline(t, timeout, When::Absolute { realtime })?;
            if value3 == 0 {
                return Err(Errno::EINVAL.into());
            }
            wait::wait(t, addr.0, scope, value, value3, at)
        }
        WAKE => counted(wake(t, addr.0, scope, many(value), u32::MAX)),
        WAKE_BITSET if value3 == 0 => Err(Errno::EINVAL.into()),
        WAKE_BITSET => counted(wake(t, addr.0, scope, many(value), value3)),
        REQUEUE | CMP_REQUEUE => {
            let wake_n = usize::try_from(value.cast_signed()).map_err(|_| Errno::EINVAL)?;
            let move_n = usize::try_from(second_count.cast_signed()).map_err(|_| Errno::EINVAL)?;
            let expected = (cmd == CMP_REQUEUE).then_some(value3);
            let (from, to) = ((addr.0, scope), (second.0, scope));
            counted(requeue::requeue(t, from, to, wake_n, move_n, expected))
        }
        WAKE_OP => {
            let counts = (many(value), many(second_count));
            counted(op::wake_op(t, (addr.0, second.0), scope, counts, value3))
        }
        LOCK_PI => {
            // FUTEX_LOCK_PI has always counted on the wall clock.
            let at = deadline(t, timeout, When::Absolute { realtime: true })?;
            pi::lock(t, addr.0, scope, at)
        }
        LOCK_PI2 => {
            let at = deadline(t, timeout, When::Absolute { realtime })?;
            pi::lock(t, addr.0, scope, at)
        }
        WAIT_REQUEUE_PI => {
            let at = deadline(t, timeout, When::Absolute { realtime })?;
            requeue_pi::wait(t, (addr.0, second.0), scope, value, at)
        }
        CMP_REQUEUE_PI => {
            let wake_n = usize::try_from(value.cast_signed()).map_err(|_| Errno::EINVAL)?;
            let move_n = usize::try_from(second_count.cast_signed()).map_err(|_| Errno::EINVAL)?;
            if wake_n != 1 {
                return Err(Errno::EINVAL.into());
            }
            let pair = (addr.0, second.0);
            counted(requeue_pi::requeue(t, pair, scope, move_n, value3))
        }
        TRYLOCK_PI => Ok(pi::try_lock(t, addr.0, scope).map(|()| 0)?),
        UNLOCK_PI => Ok(pi::unlock(t, addr.0, scope).map(|()| 0)?),
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// How a timeout counts.
#[derive(Clone, Copy)]
enum When {
    Relative,
    Absolute { realtime: bool },
}

/// A timeout as a deadline on the monotonic clock; `None` for `NULL`.
fn deadline(t: &Arc<Task>, timeout: UserAddr, when: When) -> Result<Option<Duration>> {
    let Some(p) = UserPtr::<Timespec, In>::at(timeout.0).non_null() else {
        return Ok(None);
    };
    let d = p.read(t)?.to_duration()?;
    let now = t.kernel.clock.monotonic();
    Ok(Some(match when {
        When::Relative => now.saturating_add(d),
        When::Absolute { realtime: false } => t.host_time(&ClockId::Monotonic, d),
        When::Absolute { realtime: true } => {
            now.saturating_add(d.saturating_sub(t.kernel.clock.realtime()))
        }
    }))
}

/// Size of `struct robust_list_head`.
const HEAD: usize = 24;

/// `set_robust_list(2)`.
pub fn set_robust_list(t: &Arc<Task>, head: UserAddr, len: usize) -> SysResult<()> {
    if len != HEAD {
        return Err(Errno::EINVAL.into());
    }
    t.robust_list.store(head.0, Ordering::SeqCst);
    Ok(())
}

/// `get_robust_list(2)`.
pub fn get_robust_list(
    t: &Arc<Task>,
    pid: i32,
    head: UserPtr<u64, Out>,
    len: UserPtr<u64, Out>,
) -> SysResult<()> {
    let task = match pid {
        0 => t.clone(),
        _ => t.pid_ns().task(pid).ok_or(Errno::ESRCH)?,
    };
    let (me, them) = (t.creds(), task.creds());
    if me.uid != them.uid && !me.capable(sentry::creds::Cap::SysPtrace) {
        return Err(Errno::EPERM.into());
    }
    len.write(t, &(HEAD as u64))?;
    Ok(head.write(t, &task.robust_list.load(Ordering::SeqCst))?)
}
