//! POSIX timers (`timer_create(2)`).

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use abi::Errno;
use abi::fs::PollEvents;
use abi::signal::{SigInfo, Signal};

use super::clock_id::ClockId;
use super::ns::to_host;
use super::process_timers::{next_after, overruns};
use super::timers::Timer;
use crate::Result;
use crate::signal::{info, send};
use crate::sync::Mutex;
use crate::task::{Task, ThreadGroup};
use crate::wait::{Wake, Waker};

/// Whom an expiry notifies.
#[derive(Clone, Debug)]
pub enum Notify {
    /// Nobody (`SIGEV_NONE`).
    None,
    /// The process (`SIGEV_SIGNAL`).
    Process(Signal, u64),
    /// A thread (`SIGEV_THREAD_ID`).
    Thread(Signal, u64, Weak<Task>),
}

#[derive(Debug, Default)]
struct State {
    expires: Option<Duration>,
    interval: Duration,
    armed: Option<Timer>,
    /// A signal is queued and not yet taken: expiries since then are overruns.
    queued: bool,
    overrun: u64,
    last_overrun: i32,
}

/// A POSIX timer.
pub struct PosixTimer {
    weak: Weak<PosixTimer>,
    id: i32,
    group: Weak<ThreadGroup>,
    clock: ClockId,
    notify: Notify,
    state: Mutex<State>,
}

impl fmt::Debug for PosixTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PosixTimer({})", self.id)
    }
}

impl Wake for PosixTimer {
    fn wake(&self, _events: PollEvents) -> bool {
        self.due();
        true
    }
}

impl PosixTimer {
    /// An absolute time that `t` gives, as [`PosixTimer::set`] takes it: never 0 where it is
    /// not.
    pub fn host_time(&self, t: &Task, time: Duration) -> Duration {
        to_host(t, &self.clock, time)
    }
}

/// Makes a timer; `EAGAIN` when there are too many.
pub fn create(group: &Arc<ThreadGroup>, clock: ClockId, notify: Notify) -> Result<i32> {
    let mut all = group.timers.posix.lock();
    if all.len() >= 4096 {
        return Err(Errno::EAGAIN);
    }
    let mut next = group.timers.next_id.lock();
    while all.contains_key(&next) {
        *next = next.checked_add(1).unwrap_or(0);
    }
    let id = *next;
    *next = next.checked_add(1).unwrap_or(0);
    let notify = match notify {
        // The default: SIGALRM with the timer's id.
        Notify::Process(s, u64::MAX) => Notify::Process(s, u64::from(id.cast_unsigned())),
        other => other,
    };
    let timer = Arc::new_cyclic(|weak| PosixTimer {
        weak: weak.clone(),
        id,
        group: group.weak(),
        clock,
        notify,
        state: Mutex::default(),
    });
    all.insert(id, timer);
    Ok(id)
}

/// Deletes a timer; `EINVAL`.
pub fn delete(group: &ThreadGroup, id: i32) -> Result<()> {
    let timer = group.timers.posix.lock().remove(&id).ok_or(Errno::EINVAL)?;
    timer.disarm();
    timer.discard(group);
    Ok(())
}

/// A signal was taken from a queue: if it is a timer's, its overruns count from now.
/// It is told how many there were.
pub(crate) fn taken(group: &ThreadGroup, info: &mut SigInfo) {
    if info.code == info::SI_TIMER
        && let Ok(timer) = group.timers.posix(info::word(info, 0))
    {
        let mut s = timer.state.lock();
        s.queued = false;
        s.last_overrun = i32::try_from(s.overrun).unwrap_or(i32::MAX);
        s.overrun = 0;
        info.put(4, &s.last_overrun.to_ne_bytes());
    }
}

impl PosixTimer {
    /// A signal of its that was not taken yet is forgotten.
    fn discard(&self, group: &ThreadGroup) {
        let keep = |i: &SigInfo| i.code != info::SI_TIMER || info::word(i, 0) != self.id;
        let mut sig = group.signals.lock();
        sig.pending.retain(keep);
        for t in group.tasks() {
            t.sig.lock().pending.retain(keep);
        }
    }

    pub(super) fn disarm(&self) {
        let mut s = self.state.lock();
        s.expires = None;
        s.armed = None;
    }

    /// What is left and the interval (`timer_gettime(2)`).
    pub fn get(&self) -> (Duration, Duration) {
        let Some(group) = self.group.upgrade() else {
            return Default::default();
        };
        let now = self.clock.now(&group.kernel);
        let s = self.state.lock();
        let left = s.expires.map_or(Duration::ZERO, |at| {
            at.saturating_sub(now).max(Duration::from_nanos(1))
        });
        (left, s.interval)
    }

    /// Sets it; 0 disarms. Returns what was left and the interval (`timer_settime(2)`).
    pub fn set(&self, value: Duration, interval: Duration, absolute: bool) -> (Duration, Duration) {
        let old = self.get();
        let Some(group) = self.group.upgrade() else {
            return old;
        };
        self.discard(&group);
        let now = self.clock.now(&group.kernel);
        let at = match (value.is_zero(), absolute) {
            (true, _) => None,
            (false, true) => Some(value),
            (false, false) => Some(now.saturating_add(value)),
        };
        let armed = at.map(|at| self.arm(&group, at));
        let replaced = {
            let mut s = self.state.lock();
            s.expires = at;
            s.interval = interval;
            s.overrun = 0;
            s.last_overrun = 0;
            s.queued = false;
            std::mem::replace(&mut s.armed, armed)
        };
        drop(replaced);
        old
    }

    /// `timer_getoverrun(2)`.
    pub fn overrun(&self) -> i32 {
        self.state.lock().last_overrun
    }

    fn arm(&self, group: &ThreadGroup, at: Duration) -> Timer {
        let look = self.clock.look_at(&group.kernel, at);
        let waker = match self.weak.upgrade() {
            Some(me) => Waker::Other(me),
            None => Waker::Task(Weak::new()),
        };
        group.kernel.timers.arm(look, waker)
    }

    fn due(&self) {
        let Some(group) = self.group.upgrade() else {
            return;
        };
        let now = self.clock.now(&group.kernel);
        let mut send = false;
        let again = {
            let mut s = self.state.lock();
            let Some(at) = s.expires else { return };
            if now >= at {
                let missed = overruns(at, s.interval, now);
                s.expires = (!s.interval.is_zero()).then(|| next_after(at, s.interval, now));
                if s.queued {
                    s.overrun = s.overrun.saturating_add(missed).saturating_add(1);
                } else {
                    s.queued = !matches!(self.notify, Notify::None);
                    s.overrun = missed;
                    send = s.queued;
                }
            }
            s.expires
        };
        if send {
            self.send(&group);
        }
        if let Some(at) = again {
            let timer = self.arm(&group, at);
            let mut s = self.state.lock();
            if s.expires == Some(at) {
                s.armed = Some(timer);
            }
        }
    }

    fn send(&self, group: &Arc<ThreadGroup>) {
        let sent = match &self.notify {
            Notify::None => Ok(()),
            Notify::Process(s, value) => {
                let i = info::timer(*s, self.id, 0, *value);
                send::to_group(group, i, send::Origin::Kernel)
            }
            Notify::Thread(s, value, task) => match task.upgrade() {
                Some(t) => send::to_task(
                    &t,
                    info::timer(*s, self.id, 0, *value),
                    send::Origin::Kernel,
                ),
                None => Err(Errno::ESRCH),
            },
        };
        if sent.is_err() {
            self.state.lock().queued = false;
        }
    }
}
