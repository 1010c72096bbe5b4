//! Taking a pending signal without a handler (`rt_sigtimedwait(2)`).

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;
use abi::signal::{SigInfo, SigSet};

use crate::task::Task;
use crate::time::timers::Timer;
use crate::wait::{OnSignal, Operation, Stop, SysResult};

/// A parked `rt_sigtimedwait`.
#[derive(Debug)]
pub struct TimedWait {
    set: SigSet,
    info_at: u64,
    deadline: Option<Duration>,
    _timer: Option<Timer>,
}

impl Task {
    /// Takes one pending signal of `set`, the thread's own before the process'.
    pub fn take_signal(&self, set: SigSet) -> Option<SigInfo> {
        let mut sig = self.thread_group().signals.lock();
        let mut mine = self.sig.lock();
        if let Some(s) = mine.pending.next(set) {
            return Some(mine.pending.take(s));
        }
        let s = sig.pending.next(set)?;
        Some(sig.pending.take(s))
    }
}

impl TimedWait {
    /// Takes a signal of `set` now or waits until `timeout` has passed (`None`: for ever);
    /// its information goes to `info_at` unless that is 0. `EAGAIN` when the time is over.
    pub fn begin(
        t: &Arc<Task>,
        set: SigSet,
        info_at: u64,
        timeout: Option<Duration>,
    ) -> SysResult<i64> {
        let set = set.difference(SigSet::UNBLOCKABLE);
        t.sig.lock().waiting = set;
        let deadline = timeout.map(|d| t.kernel.clock.monotonic().saturating_add(d));
        let op = Box::new(TimedWait {
            set,
            info_at,
            deadline,
            _timer: deadline.map(|d| t.kernel.timers.arm(d, t.waker())),
        });
        op.step(t)
    }
}

impl Operation for TimedWait {
    fn step(self: Box<Self>, t: &Arc<Task>) -> SysResult<i64> {
        if let Some(mut info) = t.take_signal(self.set) {
            t.sig.lock().waiting = SigSet::EMPTY;
            crate::time::posix_timer::taken(t.thread_group(), &mut info);
            if self.info_at != 0 {
                use zerocopy::IntoBytes;
                t.mm()
                    .copy_out(self.info_at, info.as_bytes())
                    .map_err(|f| f.errno)?;
            }
            return Ok(i64::from(info.signo));
        }
        if self
            .deadline
            .is_some_and(|d| d <= t.kernel.clock.monotonic())
        {
            t.sig.lock().waiting = SigSet::EMPTY;
            return Err(Errno::EAGAIN.into());
        }
        Err(Stop::Wait(self))
    }

    fn on_signal(&mut self, t: &Arc<Task>) -> OnSignal {
        t.sig.lock().waiting = SigSet::EMPTY;
        OnSignal::Finish(-i64::from(Errno::EINTR.raw()))
    }

    fn name(&self) -> &'static str {
        "rt_sigtimedwait"
    }
}
