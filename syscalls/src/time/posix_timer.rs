//! `timer_create(2)` and relatives.

use std::sync::Arc;

use abi::Errno;
use abi::signal::Signal;
use sentry::time::clock_id::ClockId;
use sentry::time::posix_timer::{self, Notify};
use sentry::{Result, SysResult, Task};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::ITimerSpec;
use crate::arg::{In, Out, UserPtr};

/// `struct sigevent`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SigEvent {
    value: u64,
    signo: i32,
    notify: i32,
    tid: i32,
    rest: [i32; 11],
}

const SIGEV_SIGNAL: i32 = 0;
const SIGEV_NONE: i32 = 1;
const SIGEV_THREAD: i32 = 2;
const SIGEV_THREAD_ID: i32 = 4;

fn notify(t: &Arc<Task>, event: Option<SigEvent>) -> Result<Notify> {
    let Some(e) = event else {
        return Ok(Notify::Process(Signal::SIGALRM, u64::MAX));
    };
    if e.notify == SIGEV_NONE {
        return Ok(Notify::None);
    }
    let nr = u64::try_from(e.signo).map_err(|_| Errno::EINVAL)?;
    let signal = Signal::new(nr).ok_or(Errno::EINVAL)?;
    match e.notify {
        SIGEV_SIGNAL | SIGEV_THREAD => Ok(Notify::Process(signal, e.value)),
        SIGEV_THREAD_ID => {
            let task = t.pid_ns().task(e.tid).ok_or(Errno::EINVAL)?;
            if !Arc::ptr_eq(task.thread_group(), t.thread_group()) {
                return Err(Errno::EINVAL);
            }
            Ok(Notify::Thread(signal, e.value, task.weak()))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// `timer_create(2)`.
pub fn timer_create(
    t: &Arc<Task>,
    clock: i32,
    event: UserPtr<SigEvent, In>,
    id: UserPtr<i32, Out>,
) -> SysResult<()> {
    let event = event.non_null().map(|p| p.read(t)).transpose()?;
    // Clocks of devices have no timers.
    if clock < 0 && clock & 7 == 3 {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let source = ClockId::from_raw(t, clock)?;
    if [4, 5, 6].contains(&clock) {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let notify = notify(t, event)?;
    let nr = posix_timer::create(t.thread_group(), source, notify)?;
    if let Err(e) = id.write(t, &nr) {
        posix_timer::delete(t.thread_group(), nr)?;
        return Err(e.into());
    }
    Ok(())
}

/// `timer_settime(2)`.
pub fn timer_settime(
    t: &Arc<Task>,
    id: i32,
    flags: u32,
    new: UserPtr<ITimerSpec, In>,
    old: UserPtr<ITimerSpec, Out>,
) -> SysResult<()> {
    if new.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let (value, interval) = new.read(t)?.decode()?;
    let timer = t.thread_group().timers.posix(id)?;
    let absolute = flags & 1 != 0;
    let value = if absolute {
        timer.host_time(t, value)
    } else {
        value
    };
    let before = timer.set(value, interval, absolute);
    Ok(old.write_opt(t, &ITimerSpec::new(before))?)
}

/// `timer_gettime(2)`.
pub fn timer_gettime(t: &Arc<Task>, id: i32, value: UserPtr<ITimerSpec, Out>) -> SysResult<()> {
    let timer = t.thread_group().timers.posix(id)?;
    Ok(value.write(t, &ITimerSpec::new(timer.get()))?)
}

/// `timer_getoverrun(2)`.
pub fn timer_getoverrun(t: &Arc<Task>, id: i32) -> SysResult<i32> {
    Ok(t.thread_group().timers.posix(id)?.overrun())
}

/// `timer_delete(2)`.
pub fn timer_delete(t: &Arc<Task>, id: i32) -> SysResult<()> {
    Ok(posix_timer::delete(t.thread_group(), id)?)
}
