//! Timers of a process: interval timers (`setitimer(2)`) and POSIX timers.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use abi::Errno;
use abi::fs::PollEvents;
use abi::signal::Signal;

use super::clock_id::ClockId;
use super::posix_timer::PosixTimer;
use super::timers::Timer;
use crate::Result;
use crate::signal::info;
use crate::sync::Mutex;
use crate::task::ThreadGroup;
use crate::task::limits::{INFINITY, Resource};
use crate::wait::{Wake, Waker};

/// Which interval timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in setitimer(2)")]
pub enum Which {
    Real,
    Virtual,
    Prof,
}

/// An interval timer: next expiry on its clock, interval, and the reactor's timer.
#[derive(Debug, Default)]
struct Interval {
    expires: Option<Duration>,
    interval: Duration,
    armed: Option<Timer>,
}

/// All timers of a process. Lock rank: leaf; expiry posts signals after it is released.
#[derive(Debug, Default)]
pub struct ProcessTimers {
    intervals: [Mutex<Interval>; 3],
    /// Looks at `RLIMIT_CPU`.
    cpu_limit: Mutex<Option<Timer>>,
    pub(super) posix: Mutex<BTreeMap<i32, Arc<PosixTimer>>>,
    pub(super) next_id: Mutex<i32>,
}

impl ProcessTimers {
    /// The process is gone: nothing expires any more.
    pub(crate) fn clear(&self) {
        for i in &self.intervals {
            *i.lock() = Interval::default();
        }
        *self.cpu_limit.lock() = None;
        self.clear_posix();
    }

    /// `execve` deletes POSIX timers.
    pub(crate) fn clear_posix(&self) {
        let old = std::mem::take(&mut *self.posix.lock());
        old.values().for_each(|t| t.disarm());
    }

    /// A POSIX timer by id; `EINVAL`.
    pub fn posix(&self, id: i32) -> Result<Arc<PosixTimer>> {
        self.posix.lock().get(&id).cloned().ok_or(Errno::EINVAL)
    }
}

/// Wakes an interval timer.
struct Expiry {
    group: Weak<ThreadGroup>,
    which: Which,
}

impl Wake for Expiry {
    fn wake(&self, _events: PollEvents) -> bool {
        if let Some(group) = self.group.upgrade() {
            group.interval_due(self.which);
        }
        true
    }
}

impl ThreadGroup {
    fn interval_clock(&self, which: Which) -> ClockId {
        match which {
            Which::Real => ClockId::Monotonic,
            Which::Virtual | Which::Prof => ClockId::Process(self.weak()),
        }
    }

    fn arm_interval(&self, which: Which, at: Duration) -> Timer {
        let waker = Waker::Other(Arc::new(Expiry {
            group: self.weak(),
            which,
        }));
        let look = self.interval_clock(which).look_at(&self.kernel, at);
        self.kernel.timers.arm(look, waker)
    }

    /// What is left and the interval (`getitimer(2)`).
    pub fn interval_timer(&self, which: Which) -> (Duration, Duration) {
        let now = self.interval_clock(which).now(&self.kernel);
        let i = self.timers.intervals[which as usize].lock();
        let left = i.expires.map_or(Duration::ZERO, |at| {
            // A timer that is set never shows 0.
            at.saturating_sub(now).max(Duration::from_micros(1))
        });
        (left, i.interval)
    }

    /// Sets a timer; 0 disarms. Returns what was left and the interval (`setitimer(2)`).
    pub fn set_interval_timer(
        &self,
        which: Which,
        value: Duration,
        interval: Duration,
    ) -> (Duration, Duration) {
        let old = self.interval_timer(which);
        let now = self.interval_clock(which).now(&self.kernel);
        let at = (!value.is_zero()).then(|| now.saturating_add(value));
        let armed = at.map(|at| self.arm_interval(which, at));
        let new = Interval {
            expires: at,
            interval,
            armed,
        };
        let replaced = std::mem::replace(&mut *self.timers.intervals[which as usize].lock(), new);
        drop(replaced);
        old
    }

    fn interval_due(&self, which: Which) {
        let now = self.interval_clock(which).now(&self.kernel);
        let mut again = None;
        let expired = {
            let mut i = self.timers.intervals[which as usize].lock();
            let Some(at) = i.expires else { return };
            let expired = now >= at;
            if expired {
                i.expires = (!i.interval.is_zero()).then(|| next_after(at, i.interval, now));
            }
            if let Some(at) = i.expires {
                again = Some(at);
            }
            expired
        };
        if expired {
            let signal = match which {
                Which::Real => Signal::SIGALRM,
                Which::Virtual => Signal::SIGVTALRM,
                Which::Prof => Signal::SIGPROF,
            };
            self.post_signal(info::kernel(signal));
        }
        if let Some(at) = again {
            let timer = self.arm_interval(which, at);
            let mut i = self.timers.intervals[which as usize].lock();
            if i.expires == Some(at) {
                i.armed = Some(timer);
            }
        }
    }
}

/// Looks at a process' `RLIMIT_CPU`.
struct CpuLimit(Weak<ThreadGroup>);

impl Wake for CpuLimit {
    fn wake(&self, _events: PollEvents) -> bool {
        if let Some(group) = self.0.upgrade() {
            group.check_cpu_limit();
        }
        true
    }
}

impl ThreadGroup {
    /// `RLIMIT_CPU`: SIGXCPU at the soft limit and each second after, SIGKILL at the hard
    /// one. Called when the limit is set, and then when it may have been reached.
    pub(crate) fn check_cpu_limit(&self) {
        let limit = self.limit(Resource::Cpu);
        if limit.soft == INFINITY || self.is_exiting() {
            *self.timers.cpu_limit.lock() = None;
            return;
        }
        let used = self.cpu_times().total();
        let secs = |s: u64| Duration::from_secs(s.max(1));
        if limit.hard != INFINITY && used >= secs(limit.hard) {
            self.kill();
            return;
        }
        let mut next = secs(limit.soft);
        if used >= next {
            self.post_signal(info::kernel(Signal::SIGXCPU));
            next = Duration::from_secs(used.as_secs().saturating_add(1));
        }
        let clock = ClockId::Process(self.weak());
        let look = clock.look_at(&self.kernel, next);
        let waker = Waker::Other(Arc::new(CpuLimit(self.weak())));
        let timer = self.kernel.timers.arm(look, waker);
        let old = self.timers.cpu_limit.lock().replace(timer);
        drop(old);
    }
}

/// The first of `at + n * interval` (n ≥ 1) after `now`.
pub(crate) fn next_after(at: Duration, interval: Duration, now: Duration) -> Duration {
    at.saturating_add(times(
        interval,
        overruns(at, interval, now).saturating_add(1),
    ))
}

/// How many whole intervals lie between `at` and `now`.
pub(crate) fn overruns(at: Duration, interval: Duration, now: Duration) -> u64 {
    if interval.is_zero() {
        return 0;
    }
    let late = now.saturating_sub(at).as_nanos();
    u64::try_from(late / interval.as_nanos()).unwrap_or(u64::MAX)
}

fn times(d: Duration, n: u64) -> Duration {
    let ns = d.as_nanos().saturating_mul(u128::from(n));
    u64::try_from(ns).map_or(Duration::MAX, Duration::from_nanos)
}
