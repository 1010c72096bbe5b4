//! A thread parked on one futex, whatever it was queued for.

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;

use super::table::Waiter;
use crate::task::Task;
use crate::time::timers::Timer;
use crate::wait::{OnSignal, Operation, Stop, SysResult};

/// A waiter that is in its queue, as a parked call.
#[derive(Debug)]
pub(super) struct Parked {
    waiter: Arc<Waiter>,
    deadline: Option<Duration>,
    _timer: Option<Timer>,
    kernel: Arc<crate::Kernel>,
    /// What a signal does to a waiter nobody has woken.
    interrupted: fn(timed: bool) -> OnSignal,
    name: &'static str,
}

impl Parked {
    /// Parks `waiter`, already queued, until it is woken or `deadline` (monotonic) comes:
    /// 0, `ETIMEDOUT`.
    pub(super) fn park(
        t: &Arc<Task>,
        waiter: Arc<Waiter>,
        deadline: Option<Duration>,
        interrupted: fn(timed: bool) -> OnSignal,
        name: &'static str,
    ) -> SysResult<i64> {
        Box::new(Parked {
            waiter,
            deadline,
            _timer: deadline.map(|d| t.kernel.timers.arm(d, t.waker())),
            kernel: t.kernel.clone(),
            interrupted,
            name,
        })
        .step(t)
    }

    /// Leaves the queue; whether a waker was faster.
    fn leave(&self) -> bool {
        if !self.waiter.is_woken() {
            self.kernel.futexes.leave(&self.waiter);
        }
        self.waiter.is_woken()
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Operation for Parked {
    fn step(self: Box<Self>, t: &Arc<Task>) -> SysResult<i64> {
        if self.waiter.is_woken() {
            return Ok(0);
        }
        let now = t.kernel.clock.monotonic();
        if self.deadline.is_none_or(|d| d > now) {
            return Err(Stop::Wait(self));
        }
        if self.leave() {
            return Ok(0);
        }
        Err(Errno::ETIMEDOUT.into())
    }

    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        if self.leave() {
            return OnSignal::Finish(0);
        }
        (self.interrupted)(self.deadline.is_some())
    }

    fn name(&self) -> &'static str {
        self.name
    }
}
