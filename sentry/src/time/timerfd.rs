//! Timers as files (`timerfd_create(2)`).

use std::any::Any;
use std::sync::{Arc, Weak};
use std::time::Duration;

use abi::Errno;
use abi::fs::PollEvents;

use super::clock_id::ClockId;
use super::ns::to_host;
use super::process_timers::{next_after, overruns};
use super::timers::Timer;
use crate::Result;
use crate::fs::file::{FileOps, IoCx, Whence};
use crate::io::IoDst;
use crate::kernel::Kernel;
use crate::sync::Mutex;
use crate::task::Task;
use crate::wait::{Pollee, Wake, Waker};

#[derive(Debug, Default)]
struct State {
    expires: Option<Duration>,
    interval: Duration,
    ticks: u64,
    armed: Option<Timer>,
}

/// A timerfd.
pub struct TimerFd {
    weak: Weak<TimerFd>,
    kernel: Arc<Kernel>,
    clock: ClockId,
    clock_nr: i32,
    state: Mutex<State>,
    pollee: Pollee,
}

impl TimerFd {
    /// On a clock that does not count CPU time.
    pub fn new(kernel: &Arc<Kernel>, clock: ClockId, clock_nr: i32) -> Arc<TimerFd> {
        Arc::new_cyclic(|weak| TimerFd {
            weak: weak.clone(),
            kernel: kernel.clone(),
            clock,
            clock_nr,
            state: Mutex::default(),
            pollee: Pollee::new(),
        })
    }

    fn arm(&self, at: Duration) -> Option<Timer> {
        let me = self.weak.upgrade()?;
        let look = self.clock.look_at(&self.kernel, at);
        Some(self.kernel.timers.arm(look, Waker::Other(me)))
    }

    /// What is left and the interval (`timerfd_gettime(2)`).
    pub fn get(&self) -> (Duration, Duration) {
        self.collect();
        let now = self.clock.now(&self.kernel);
        let s = self.state.lock();
        let left = s.expires.map_or(Duration::ZERO, |at| {
            at.saturating_sub(now).max(Duration::from_nanos(1))
        });
        (left, s.interval)
    }

    /// An absolute time that `t` gives, as [`TimerFd::set`] takes it: never 0 where it is not.
    pub fn host_time(&self, t: &Task, time: Duration) -> Duration {
        to_host(t, &self.clock, time)
    }

    /// Sets it; 0 disarms. Returns what was left and the interval (`timerfd_settime(2)`).
    pub fn set(&self, value: Duration, interval: Duration, absolute: bool) -> (Duration, Duration) {
        let old = self.get();
        let now = self.clock.now(&self.kernel);
        let at = match (value.is_zero(), absolute) {
            (true, _) => None,
            (false, true) => Some(value),
            (false, false) => Some(now.saturating_add(value)),
        };
        let armed = at.and_then(|at| self.arm(at));
        let new = State {
            expires: at,
            interval,
            ticks: 0,
            armed,
        };
        let replaced = std::mem::replace(&mut *self.state.lock(), new);
        drop(replaced);
        old
    }

    /// Counts expiries up to now; whether there are any to read.
    fn collect(&self) -> bool {
        let now = self.clock.now(&self.kernel);
        let mut s = self.state.lock();
        if let Some(at) = s.expires
            && now >= at
        {
            let n = overruns(at, s.interval, now).saturating_add(1);
            s.ticks = s.ticks.saturating_add(n);
            s.expires = (!s.interval.is_zero()).then(|| next_after(at, s.interval, now));
        }
        s.ticks > 0
    }
}

impl Wake for TimerFd {
    fn wake(&self, _events: PollEvents) -> bool {
        let ready = self.collect();
        let next = self.state.lock().expires;
        if let Some(at) = next {
            let armed = self.arm(at);
            let mut s = self.state.lock();
            if s.expires == Some(at) {
                s.armed = armed;
            }
        }
        if ready {
            self.pollee.notify(PollEvents::IN);
        }
        true
    }
}

impl FileOps for TimerFd {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn read(&self, _cx: &IoCx<'_>, dst: &mut dyn IoDst, _pos: u64) -> Result<usize> {
        if dst.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        self.collect();
        let ticks = std::mem::take(&mut self.state.lock().ticks);
        if ticks == 0 {
            return Err(Errno::EAGAIN);
        }
        dst.put(&ticks.to_ne_bytes())
    }
    fn poll(&self, _cx: &IoCx<'_>) -> PollEvents {
        if self.collect() {
            PollEvents::IN | PollEvents::RDNORM
        } else {
            PollEvents::empty()
        }
    }
    fn seek(&self, _cx: &IoCx<'_>, cur: u64, _offset: i64, _whence: Whence) -> Result<u64> {
        // Accepted and without effect, as in Linux.
        Ok(cur)
    }
    fn pollee(&self) -> Option<&Pollee> {
        Some(&self.pollee)
    }
    fn description(&self) -> String {
        "anon_inode:[timerfd]".to_owned()
    }
    fn fdinfo(&self, _pids: &crate::task::PidNamespace) -> String {
        let (left, interval) = self.get();
        format!(
            "clockid: {}\nticks: {}\nsettime flags: 00\nit_value: ({}, {})\nit_interval: ({}, {})\n",
            self.clock_nr,
            self.state.lock().ticks,
            left.as_secs(),
            left.subsec_nanos(),
            interval.as_secs(),
            interval.subsec_nanos(),
        )
    }
}
