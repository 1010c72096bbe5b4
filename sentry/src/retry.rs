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
    /// The call waited and now ends, its places in the queues given up. One that was woken
    /// alone wakes the next here if there is something left.
    fn settled(&mut self, _t: &Arc<Task>) {}
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
    waits: Registrations,
    _timer: Option<Timer>,
}

impl<A: Attempt> Retry<A> {
    /// Leaves the queues, so that what is passed on cannot come back to this very task.
    fn settle(&mut self, t: &Arc<Task>) {
        self.waits.clear();
        self.what.settled(t);
    }
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
        waits,
        _timer: timer,
    });
    op.step(t)
}

impl<A: Attempt> Operation for Retry<A> {
    fn step(mut self: Box<Self>, t: &Arc<Task>) -> SysResult<i64> {
        match self.what.attempt(t) {
            Err(Stop::Errno(Errno::EAGAIN)) => {}
            done => {
                self.settle(t);
                return done;
            }
        }
        match self.deadline {
            Some(d) if d <= t.kernel.clock.monotonic() => self.what.timed_out(t),
            _ => Err(Stop::Wait(self)),
        }
    }

    fn on_signal(&mut self, t: &Arc<Task>) -> OnSignal {
        let answer = self.what.on_signal(t);
        if answer != OnSignal::Hold {
            self.settle(t);
        }
        answer
    }

    fn name(&self) -> &'static str {
        self.what.name()
    }
}
