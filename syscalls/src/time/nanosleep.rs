//! `nanosleep(2)`, `clock_nanosleep(2)`.

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;
use abi::time::Timespec;
use sentry::time::timers::Timer;
use sentry::{OnSignal, Operation, Stop, SysResult, Task};

use super::clock::ClockId;
use crate::arg::{In, Out, UserPtr};

const TIMER_ABSTIME: i32 = 1;
/// How often a sleep on a CPU clock looks at it.
const CPU_STEP: Duration = Duration::from_millis(1);

/// `nanosleep(2)`.
pub fn nanosleep(
    t: &Arc<Task>,
    request: UserPtr<Timespec, In>,
    remain: UserPtr<Timespec, Out>,
) -> SysResult<i64> {
    let time = request.read(t)?.to_duration()?;
    sleep(
        t,
        ClockId::Monotonic,
        time,
        Some(remain.addr()).filter(|&a| a != 0),
    )
}

/// `clock_nanosleep(2)`.
pub fn clock_nanosleep(
    t: &Arc<Task>,
    id: i32,
    flags: i32,
    request: UserPtr<Timespec, In>,
    remain: UserPtr<Timespec, Out>,
) -> SysResult<i64> {
    let clock = ClockId::parse(id)?;
    if matches!(id, 4..=6) {
        return Err(Errno::EOPNOTSUPP.into());
    }
    if matches!(clock, ClockId::ThreadCpu(0)) {
        return Err(Errno::EINVAL.into());
    }
    let time = request.read(t)?.to_duration()?;
    if flags & TIMER_ABSTIME == 0 {
        return sleep(t, clock, time, Some(remain.addr()).filter(|&a| a != 0));
    }
    let now = clock.now(t)?;
    park(t, clock, now, time, None)
}

/// Sleeps for `time` on `clock`.
fn sleep(t: &Arc<Task>, clock: ClockId, time: Duration, remain: Option<u64>) -> SysResult<i64> {
    let now = clock.now(t)?;
    park(t, clock, now, now.saturating_add(time), Some(remain))
}

/// Parks until `clock` shows `until`. `remain`: `Some` for a relative sleep, with where the
/// rest is written if a signal ends it.
fn park(
    t: &Arc<Task>,
    clock: ClockId,
    now: Duration,
    until: Duration,
    remain: Option<Option<u64>>,
) -> SysResult<i64> {
    if until <= now {
        return Ok(0);
    }
    let mut op = Sleeping {
        clock,
        until,
        relative: remain.is_some(),
        remain: remain.flatten(),
        timer: None,
    };
    op.arm(t, now);
    Err(Stop::Wait(Box::new(op)))
}

struct Sleeping {
    clock: ClockId,
    until: Duration,
    relative: bool,
    remain: Option<u64>,
    timer: Option<Timer>,
}

impl Sleeping {
    fn arm(&mut self, t: &Arc<Task>, now: Duration) {
        let mut left = self.until.saturating_sub(now);
        if self.clock.is_cpu() {
            left = left.min(CPU_STEP);
        }
        let deadline = t.kernel.clock.monotonic().saturating_add(left);
        self.timer = Some(t.kernel.timers.arm(deadline, t.waker()));
    }
}

impl Operation for Sleeping {
    fn step(mut self: Box<Self>, t: &Arc<Task>) -> SysResult<i64> {
        let now = self.clock.now(t)?;
        if now >= self.until {
            return Ok(0);
        }
        if self
            .timer
            .as_ref()
            .is_none_or(|d| d.deadline() <= t.kernel.clock.monotonic())
        {
            self.arm(t, now);
        }
        Err(Stop::Wait(self))
    }

    fn on_signal(&mut self, t: &Arc<Task>) -> OnSignal {
        if !self.relative {
            return OnSignal::Eintr;
        }
        if let Some(addr) = self.remain {
            let left = self
                .until
                .saturating_sub(self.clock.now(t).unwrap_or(self.until));
            let out = UserPtr::<Timespec, Out>::at(addr);
            if out.write(t, &Timespec::from(left)).is_err() {
                return OnSignal::Finish(-i64::from(Errno::EFAULT.raw()));
            }
        }
        OnSignal::Eintr
    }

    fn name(&self) -> &'static str {
        "nanosleep"
    }
}
