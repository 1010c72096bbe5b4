//! The futex2 calls: `futex_waitv(2)`, `futex_wake(2)`, `futex_wait(2)`, `futex_requeue(2)`.

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;
use abi::time::Timespec;
use sentry::futex::{Scope, requeue, wait, waitv, wake};
use sentry::time::clock_id::ClockId;
use sentry::{Result, SysResult, Task};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::arg::{In, UserAddr, UserPtr};

/// `struct futex_waitv`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct WaitV {
    value: u64,
    addr: u64,
    flags: u32,
    reserved: u32,
}

/// `FUTEX2_SIZE_U32`, the only size there is.
const SIZE_U32: u32 = 2;
/// `FUTEX2_PRIVATE`.
const PRIVATE: u32 = 128;

/// What the flags of a futex say; `EINVAL` for a size or a flag that is not there.
fn scope(flags: u32) -> Result<Scope> {
    match flags {
        SIZE_U32 => Ok(Scope::Shared),
        f if f == SIZE_U32 | PRIVATE => Ok(Scope::Private),
        _ => Err(Errno::EINVAL),
    }
}

/// A value of the size of the futex; `EINVAL`.
fn word(value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| Errno::EINVAL)
}

fn entry(raw: &WaitV) -> Result<waitv::Entry> {
    if raw.reserved != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(waitv::Entry {
        scope: scope(raw.flags)?,
        addr: raw.addr,
        value: word(raw.value)?,
    })
}

/// A timeout as a deadline on the monotonic clock: `EINVAL` for another clock than the two.
fn deadline(t: &Arc<Task>, timeout: UserPtr<Timespec, In>, clock: i32) -> Result<Option<Duration>> {
    let at = match timeout.non_null() {
        None => return Ok(None),
        Some(_) if clock != 0 && clock != 1 => return Err(Errno::EINVAL),
        Some(p) => p.read(t)?.to_duration()?,
    };
    let now = t.kernel.clock.monotonic();
    Ok(Some(match clock {
        0 => now.saturating_add(at.saturating_sub(t.kernel.clock.realtime())),
        _ => t.host_time(&ClockId::Monotonic, at),
    }))
}

/// `futex_wake(2)`.
pub fn futex_wake(
    t: &Arc<Task>,
    addr: UserAddr,
    mask: u64,
    count: i32,
    flags: u32,
) -> SysResult<i64> {
    let scope = scope(flags)?;
    let mask = word(mask)?;
    if mask == 0 {
        return Err(Errno::EINVAL.into());
    }
    // A negative count wakes one, as Linux's loop does.
    let count = usize::try_from(count).unwrap_or(1);
    let woken = wake(t, addr.0, scope, count, mask)?;
    Ok(i64::try_from(woken).unwrap_or(i64::MAX))
}

/// `futex_wait(2)`.
pub fn futex_wait(
    t: &Arc<Task>,
    addr: UserAddr,
    value: u64,
    mask: u64,
    flags: u32,
    timeout: UserPtr<Timespec, In>,
    clock: i32,
) -> SysResult<i64> {
    let scope = scope(flags)?;
    let (value, mask) = (word(value)?, word(mask)?);
    let at = deadline(t, timeout, clock)?;
    if mask == 0 {
        return Err(Errno::EINVAL.into());
    }
    wait::wait(t, addr.0, scope, value, mask, at)
}

/// `futex_requeue(2)`.
pub fn futex_requeue(
    t: &Arc<Task>,
    waiters: UserPtr<WaitV, In>,
    flags: u32,
    wake_count: i32,
    move_count: i32,
) -> SysResult<i64> {
    if flags != 0 || waiters.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let raw = waiters.read_array(t, 2)?;
    let entries: Vec<_> = raw.iter().map(entry).collect::<Result<_>>()?;
    let [from, to] = entries.as_slice() else {
        return Err(Errno::EINVAL.into());
    };
    let count = |n: i32| usize::try_from(n).map_err(|_| Errno::EINVAL);
    let (wake_n, move_n) = (count(wake_count)?, count(move_count)?);
    let pair = ((from.addr, from.scope), (to.addr, to.scope));
    let done = requeue::requeue(t, pair.0, pair.1, wake_n, move_n, Some(from.value))?;
    Ok(i64::try_from(done).unwrap_or(i64::MAX))
}

/// `futex_waitv(2)`.
pub fn futex_waitv(
    t: &Arc<Task>,
    waiters: UserPtr<WaitV, In>,
    count: u32,
    flags: u32,
    timeout: UserPtr<Timespec, In>,
    clock: i32,
) -> SysResult<i64> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if flags != 0 || count == 0 || count > waitv::MAX || waiters.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let deadline = deadline(t, timeout, clock)?;
    let raw = waiters.read_array(t, count)?;
    let entries: Vec<_> = raw.iter().map(entry).collect::<Result<_>>()?;
    waitv::wait(t, &entries, deadline)
}
