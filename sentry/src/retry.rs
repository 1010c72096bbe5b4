//! The common shape of a waiting call: try, wait on a queue, try again.
//!
//! An [`Attempt`] holds what a call needs to be tried once more; [`retry`] tries it, and
//! parks it as an operation when it answers `EAGAIN`. Calls with several different waits
//! return another operation from an attempt, which becomes the next stage.

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;
use abi::fs::PollEvents;
use smallvec::SmallVec;

use crate::task::Task;
use crate::time::timers::Timer;
use crate::wait::{OnSignal, Operation, Pollee, Registration, Share, Stop, SysResult, Waker};

/// Places in wait queues held by one operation.
pub type Registrations = SmallVec<[Registration; 2]>;

/// One try of a waiting call. Everything it needs was copied in before.
pub trait Attempt: Send + 'static {
    /// Tries; `EAGAIN` means "not yet".
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64>;
    /// Registers `waker` with whatever may make the next attempt succeed.
    fn watch(&self, waker: Waker) -> Registrations;
    /// What a signal handler does to it.
    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        OnSignal::Restart
    }
    /// The deadline has passed.
    fn timed_out(&mut self, _t: &Arc<Task>) -> SysResult<i64> {
        Err(Errno::EAGAIN.into())
    }
    /// Name of the call.
    fn name(&self) -> &'static str;
}

/// A registration with one queue, as [`Attempt::watch`] returns it.
pub fn watch_one(pollee: &Pollee, events: PollEvents, waker: Waker) -> Registrations {
    let mut list = Registrations::new();
    list.push(pollee.register(events, waker, Share::All));
    list
}

struct Retry<A> {
    what: A,
    deadline: Option<Duration>,
    _waits: Registrations,
    _timer: Option<Timer>,
}

/// Tries `what` now and, on `EAGAIN`, waits until it succeeds, fails, or `deadline`
/// (monotonic) passes.
pub fn retry<A: Attempt>(t: &Arc<Task>, mut what: A, deadline: Option<Duration>) -> SysResult<i64> {
    match what.attempt(t) {
        Err(Stop::Errno(Errno::EAGAIN)) => {}
        done => return done,
    }
    if deadline.is_some_and(|d| d <= t.kernel.clock.monotonic()) {
        return what.timed_out(t);
    }
    let waits = what.watch(t.waker());
    let timer = deadline.map(|d| t.kernel.timers.arm(d, t.waker()));
    let op = Box::new(Retry {
        what,
        deadline,
        _waits: waits,
        _timer: timer,
    });
    op.step(t)
}

impl<A: Attempt> Operation for Retry<A> {
    fn step(mut self: Box<Self>, t: &Arc<Task>) -> SysResult<i64> {
        match self.what.attempt(t) {
            Err(Stop::Errno(Errno::EAGAIN)) => {}
            done => return done,
        }
        match self.deadline {
            Some(d) if d <= t.kernel.clock.monotonic() => self.what.timed_out(t),
            _ => Err(Stop::Wait(self)),
        }
    }

    fn on_signal(&mut self, t: &Arc<Task>) -> OnSignal {
        self.what.on_signal(t)
    }

    fn name(&self) -> &'static str {
        self.what.name()
    }
}
