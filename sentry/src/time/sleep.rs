//! Sleeping (`clock_nanosleep(2)`, `nanosleep(2)`).

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;
use abi::time::Timespec;
use zerocopy::IntoBytes;

use super::clock_id::ClockId;
use super::timers::Timer;
use crate::task::Task;
use crate::wait::{OnSignal, Operation, Stop, SysResult};

/// A parked sleep.
#[derive(Debug)]
struct Sleep {
    clock: ClockId,
    until: Duration,
    /// Where to leave the rest when a handler ends a relative sleep; 0 for nowhere.
    rest_at: u64,
    absolute: bool,
    timer: Timer,
}

/// Sleeps until `clock` shows `until`; a relative sleep that a handler ends leaves what is
/// left of it at `rest_at`.
pub fn sleep(
    t: &Arc<Task>,
    clock: ClockId,
    until: Duration,
    absolute: bool,
    rest_at: u64,
) -> SysResult<i64> {
    let timer = t
        .kernel
        .timers
        .arm(clock.look_at(&t.kernel, until), t.waker());
    Box::new(Sleep {
        clock,
        until,
        rest_at,
        absolute,
        timer,
    })
    .step(t)
}

impl Operation for Sleep {
    fn step(mut self: Box<Self>, t: &Arc<Task>) -> SysResult<i64> {
        if self.clock.now(&t.kernel) >= self.until {
            return Ok(0);
        }
        if self.timer.deadline() <= t.kernel.clock.monotonic() {
            let at = self.clock.look_at(&t.kernel, self.until);
            self.timer = t.kernel.timers.arm(at, t.waker());
        }
        Err(Stop::Wait(self))
    }

    fn on_signal(&mut self, t: &Arc<Task>) -> OnSignal {
        if self.absolute {
            return OnSignal::Finish(-i64::from(Errno::EINTR.raw()));
        }
        let left = self.until.saturating_sub(self.clock.now(&t.kernel));
        let errno = if left.is_zero() {
            return OnSignal::Finish(0);
        } else if self.rest_at != 0
            && t.mm()
                .copy_out(self.rest_at, Timespec::from(left).as_bytes())
                .is_err()
        {
            Errno::EFAULT
        } else {
            Errno::EINTR
        };
        OnSignal::Finish(-i64::from(errno.raw()))
    }

    fn name(&self) -> &'static str {
        "hrtimer_nanosleep"
    }
}
