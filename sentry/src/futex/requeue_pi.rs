//! Waiting on an ordinary futex to be moved to a PI lock (`FUTEX_WAIT_REQUEUE_PI`,
//! `FUTEX_CMP_REQUEUE_PI`): condition variables whose mutex inherits priority.

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;

use super::pi::{self, Try};
use super::table::{Key, Scope, Waiter};
use crate::Result;
use crate::task::Task;
use crate::time::timers::Timer;
use crate::wait::{OnSignal, Operation, Stop, SysResult};

/// A parked wait.
#[derive(Debug)]
struct Wait {
    waiter: Arc<Waiter>,
    deadline: Option<Duration>,
    _timer: Option<Timer>,
    kernel: Arc<crate::Kernel>,
}

impl Drop for Wait {
    fn drop(&mut self) {
        if !self.waiter.is_woken() {
            self.kernel.futexes.leave(&self.waiter);
        }
    }
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
        } else if self.waiter.is_pi() {
            // Already moved: the word waited on is of no meaning any more.
            OnSignal::Finish(-i64::from(Errno::EAGAIN.raw()))
        } else {
            OnSignal::RestartAlways
        }
    }

    fn name(&self) -> &'static str {
        "futex_wait_requeue_pi"
    }
}

/// Waits while the word at `from` is `value` until it is moved to the PI lock at `to` and
/// given that, or until `deadline` (monotonic): `EAGAIN`, `ETIMEDOUT`, `EINVAL`.
pub fn wait(
    t: &Arc<Task>,
    (from, to): (u64, u64),
    scope: Scope,
    value: u32,
    deadline: Option<Duration>,
) -> SysResult<i64> {
    if from == to {
        return Err(Errno::EINVAL.into());
    }
    let target = Key::of(t, to, scope)?;
    let key = Key::of(t, from, scope)?;
    let mm = t.mm();
    mm.load_u32(from)?;
    let waiter = Waiter::to_be_moved(t, key, target);
    {
        let mut bucket = t.kernel.futexes.lock(&key);
        if mm.load_u32(from)? != value {
            return Err(Errno::EAGAIN.into());
        }
        if key == target {
            return Err(Errno::EINVAL.into());
        }
        bucket.push(waiter.clone());
    }
    Box::new(Wait {
        waiter,
        deadline,
        _timer: deadline.map(|d| t.kernel.timers.arm(d, t.waker())),
        kernel: t.kernel.clone(),
    })
    .step(t)
}

/// `FUTEX_CMP_REQUEUE_PI`: gives the PI lock at `to` to the first waiter of `from` if it is
/// free and moves up to `requeue` others there; how many waiters that were.
pub fn requeue(
    t: &Arc<Task>,
    (from, to): (u64, u64),
    scope: Scope,
    requeue: usize,
    expected: u32,
) -> Result<usize> {
    if from == to {
        return Err(Errno::EINVAL);
    }
    let (a, b) = (Key::of(t, from, scope)?, Key::of(t, to, scope)?);
    if a == b {
        return Err(Errno::EINVAL);
    }
    let mm = t.mm();
    mm.load_u32(from)?;
    mm.load_u32(to)?;
    let mut owner = None;
    let moved = {
        let (mut first, mut second) = t.kernel.futexes.lock_two(&a, &b);
        if mm.load_u32(from)? != expected {
            return Err(Errno::EAGAIN);
        }
        // Everybody there must have said that this is where he wants to go.
        if first.of(&a).any(|w| w.target() != Some(b)) {
            return Err(Errno::EINVAL);
        }
        let others = second.as_ref().unwrap_or(&first);
        let waits = pi::check_kind(others, &b)?;
        let top = first.of(&a).next().cloned();
        let Some(task) = top.as_ref().and_then(|w| w.task.upgrade()) else {
            return Ok(0);
        };
        let more = waits || (requeue > 0 && first.of(&a).nth(1).is_some());
        if let Try::Taken = pi::try_take(&task, to, more, true)? {
            owner = first.take(&a, 1, |_| true).pop();
            if let Some(w) = &owner {
                w.set_woken(true);
            }
        }
        // The first is moved instead of woken where the lock is held.
        let room = requeue.saturating_add(usize::from(owner.is_none()));
        let moved = first.take(&a, room, |_| true);
        for w in &moved {
            w.set_key(b);
            match &mut second {
                Some(s) => s.push(w.clone()),
                None => first.push(w.clone()),
            }
        }
        moved.len()
    };
    let woken = usize::from(owner.is_some());
    if let Some(w) = owner {
        w.wake_task();
    }
    Ok(moved.saturating_add(woken))
}
