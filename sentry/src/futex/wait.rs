//! Waiting on a futex (`FUTEX_WAIT`, `FUTEX_WAIT_BITSET`).

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;

use super::table::{Key, Scope, Waiter};
use crate::task::Task;
use crate::time::timers::Timer;
use crate::wait::{OnSignal, Operation, Stop, SysResult};

/// A parked wait.
#[derive(Debug)]
struct Wait {
    waiter: Arc<Waiter>,
    deadline: Option<Duration>,
    timer: Option<Timer>,
    kernel: Arc<crate::Kernel>,
}

impl Drop for Wait {
    fn drop(&mut self) {
        if !self.waiter.is_woken() {
            self.kernel.futexes.leave(&self.waiter);
        }
    }
}

/// Waits while the word at `addr` is `value`, until `deadline` (monotonic). `EAGAIN` when it
/// is not, `ETIMEDOUT`.
pub fn wait(
    t: &Arc<Task>,
    addr: u64,
    scope: Scope,
    value: u32,
    bitset: u32,
    deadline: Option<Duration>,
) -> SysResult<i64> {
    let key = Key::of(t, addr, scope)?;
    let mm = t.mm();
    // Makes the page present before the bucket is locked.
    if mm.load_u32(addr)? != value {
        return Err(Errno::EAGAIN.into());
    }
    let waiter = Waiter::new(t, key, bitset, false);
    {
        let mut bucket = t.kernel.futexes.lock(&key);
        if mm.load_u32(addr)? != value {
            return Err(Errno::EAGAIN.into());
        }
        bucket.push(waiter.clone());
    }
    let op = Box::new(Wait {
        waiter,
        deadline,
        timer: deadline.map(|d| t.kernel.timers.arm(d, t.waker())),
        kernel: t.kernel.clone(),
    });
    op.step(t)
}

impl Operation for Wait {
    fn step(self: Box<Self>, t: &Arc<Task>) -> SysResult<i64> {
        if self.waiter.is_woken() {
            return Ok(0);
        }
        if self
            .deadline
            .is_some_and(|d| d <= t.kernel.clock.monotonic())
        {
            t.kernel.futexes.leave(&self.waiter);
            return if self.waiter.is_woken() {
                Ok(0)
            } else {
                Err(Errno::ETIMEDOUT.into())
            };
        }
        Err(Stop::Wait(self))
    }

    fn on_signal(&mut self, t: &Arc<Task>) -> OnSignal {
        t.kernel.futexes.leave(&self.waiter);
        if self.waiter.is_woken() {
            OnSignal::Finish(0)
        } else if self.timer.is_some() {
            OnSignal::Eintr
        } else {
            OnSignal::Restart
        }
    }

    fn name(&self) -> &'static str {
        "futex"
    }
}
