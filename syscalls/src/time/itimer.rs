//! `getitimer(2)`, `setitimer(2)`, `alarm(2)`.

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;
use sentry::time::process_timers::Which;
use sentry::{Result, SysResult, Task};

use super::ITimerVal;
use crate::arg::{In, Out, UserPtr};

fn which(nr: u32) -> Result<Which> {
    match nr {
        0 => Ok(Which::Real),
        1 => Ok(Which::Virtual),
        2 => Ok(Which::Prof),
        _ => Err(Errno::EINVAL),
    }
}

/// `getitimer(2)`.
pub fn getitimer(t: &Arc<Task>, nr: u32, value: UserPtr<ITimerVal, Out>) -> SysResult<()> {
    let now = t.thread_group().interval_timer(which(nr)?);
    Ok(value.write(t, &ITimerVal::new(now))?)
}

/// `setitimer(2)`: `NULL` disarms.
pub fn setitimer(
    t: &Arc<Task>,
    nr: u32,
    new: UserPtr<ITimerVal, In>,
    old: UserPtr<ITimerVal, Out>,
) -> SysResult<()> {
    let new = match new.non_null() {
        Some(p) => p.read(t)?,
        None => ITimerVal::default(),
    };
    let (value, interval) = new.decode()?;
    let before = t
        .thread_group()
        .set_interval_timer(which(nr)?, value, interval);
    Ok(old.write_opt(t, &ITimerVal::new(before))?)
}

/// `alarm(2)`: seconds that were left, rounded up to at least 1.
pub fn alarm(t: &Arc<Task>, seconds: u32) -> SysResult<u32> {
    let value = Duration::from_secs(u64::from(seconds));
    let (left, _) = t
        .thread_group()
        .set_interval_timer(Which::Real, value, Duration::ZERO);
    let secs = u32::try_from(left.as_secs()).unwrap_or(u32::MAX);
    // Rounded to the nearest second, but never to 0 while something is left.
    let round = left.subsec_nanos() >= 500_000_000 || secs == 0 && !left.is_zero();
    Ok(secs.saturating_add(u32::from(round)))
}
