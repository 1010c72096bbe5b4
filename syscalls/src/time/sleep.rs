//! `nanosleep(2)`, `clock_nanosleep(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::time::Timespec;
use sentry::time::clock_id::ClockId;
use sentry::time::sleep::sleep;
use sentry::{SysResult, Task};

use crate::arg::{In, UserAddr, UserPtr};

const TIMER_ABSTIME: u32 = 1;

/// `nanosleep(2)`.
pub fn nanosleep(t: &Arc<Task>, time: UserPtr<Timespec, In>, rest: UserAddr) -> SysResult<i64> {
    let span = time.read(t)?.to_duration()?;
    let until = t.kernel.clock.monotonic().saturating_add(span);
    sleep(t, ClockId::Monotonic, until, false, rest.0)
}

/// `clock_nanosleep(2)`.
pub fn clock_nanosleep(
    t: &Arc<Task>,
    clock: i32,
    flags: u32,
    time: UserPtr<Timespec, In>,
    rest: UserAddr,
) -> SysResult<i64> {
    // Clocks of devices cannot be slept on, nor the own thread's by whatever number.
    if clock < 0 && clock & 7 == 3 {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let whose = !(clock >> 3);
    if clock < 0 && clock & 4 != 0 && (whose == 0 || whose == t.tid()) {
        return Err(Errno::EINVAL.into());
    }
    let id = ClockId::from_raw(t, clock)?;
    // The coarse and raw clocks cannot be slept on, nor the own thread's.
    if [3, 4, 5, 6].contains(&clock) {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let time = time.read(t)?.to_duration()?;
    let absolute = flags & TIMER_ABSTIME != 0;
    if absolute {
        let until = t.host_time(&id, time);
        return sleep(t, id, until, true, 0);
    }
    // A change of the wall clock does not move a relative sleep.
    let id = if id.is_cpu() { id } else { ClockId::Monotonic };
    let until = id.now(&t.kernel).saturating_add(time);
    sleep(t, id, until, false, rest.0)
}
