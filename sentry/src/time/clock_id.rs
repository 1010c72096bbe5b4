//! Clocks by number (`clock_gettime(2)`).

use std::sync::{Arc, Weak};
use std::time::Duration;

use abi::Errno;

use crate::Result;
use crate::kernel::Kernel;
use crate::task::{Task, ThreadGroup};

/// What a clock counts.
#[derive(Clone, Debug)]
pub enum ClockId {
    /// Wall clock.
    Realtime,
    /// Since some start.
    Monotonic,
    /// The same with suspend.
    Boottime,
    /// Since some start, not slewed.
    MonotonicRaw,
    /// Wall clock at the last tick.
    RealtimeCoarse,
    /// Since some start, at the last tick.
    MonotonicCoarse,
    /// CPU time of a process.
    Process(Weak<ThreadGroup>),
    /// CPU time of a thread.
    Thread(Weak<Task>),
}

impl ClockId {
    /// From a `clockid_t`; `EINVAL` for an unknown one or a CPU clock of nobody.
    pub fn from_raw(t: &Arc<Task>, id: i32) -> Result<ClockId> {
        Ok(match id {
            // REALTIME, REALTIME_ALARM, TAI (the offset is 0 by default).
            0 | 8 | 11 => ClockId::Realtime,
            1 => ClockId::Monotonic,
            4 => ClockId::MonotonicRaw,
            5 => ClockId::RealtimeCoarse,
            6 => ClockId::MonotonicCoarse,
            7 | 9 => ClockId::Boottime,
            2 => ClockId::Process(t.thread_group().weak()),
            3 => ClockId::Thread(t.weak()),
            n if n < 0 => ClockId::cpu(t, n)?,
            _ => return Err(Errno::EINVAL),
        })
    }

    /// A CPU clock encoded as `~pid << 3 | thread << 2 | kind`.
    fn cpu(t: &Arc<Task>, id: i32) -> Result<ClockId> {
        let (pid, thread, kind) = (!(id >> 3), id & 4 != 0, id & 3);
        if kind == 3 {
            return Err(Errno::EINVAL);
        }
        if thread {
            let task = match pid {
                0 => t.clone(),
                tid => t.pid_ns().task(tid).ok_or(Errno::EINVAL)?,
            };
            if !Arc::ptr_eq(task.thread_group(), t.thread_group()) {
                return Err(Errno::EINVAL);
            }
            return Ok(ClockId::Thread(task.weak()));
        }
        let group = match pid {
            0 => t.thread_group().clone(),
            pid => t.pid_ns().group(pid).ok_or(Errno::EINVAL)?,
        };
        Ok(ClockId::Process(group.weak()))
    }

    /// The time now.
    pub fn now(&self, kernel: &Kernel) -> Duration {
        match self {
            ClockId::Realtime => kernel.clock.realtime(),
            ClockId::Monotonic => kernel.clock.monotonic(),
            ClockId::Boottime => kernel.clock.boottime(),
            ClockId::MonotonicRaw => kernel.clock.monotonic_raw(),
            ClockId::RealtimeCoarse => kernel.clock.realtime_coarse(),
            ClockId::MonotonicCoarse => kernel.clock.monotonic_coarse(),
            ClockId::Process(g) => g
                .upgrade()
                .map_or(Duration::ZERO, |g| g.cpu_times().total()),
            ClockId::Thread(t) => t
                .upgrade()
                .map_or(Duration::ZERO, |t| t.cpu_times().total()),
        }
    }

    /// Whether it counts CPU time.
    pub fn is_cpu(&self) -> bool {
        matches!(self, ClockId::Process(_) | ClockId::Thread(_))
    }

    /// When to look, on the monotonic clock, whether this clock has reached `at`. CPU
    /// clocks run at most as fast as there are CPUs, so looking is repeated.
    pub fn look_at(&self, kernel: &Kernel, at: Duration) -> Duration {
        let left = at.saturating_sub(self.now(kernel));
        let left = match self {
            ClockId::Process(g) => {
                let threads = g.upgrade().map_or(1, |g| g.thread_count().max(1));
                let cpus = usize::try_from(kernel.host.cpus).unwrap_or(1).max(1);
                let n = u32::try_from(threads.min(cpus)).unwrap_or(1);
                (left / n).max(CPU_GRAIN)
            }
            ClockId::Thread(_) => left.max(CPU_GRAIN),
            _ => left,
        };
        kernel.clock.monotonic().saturating_add(left)
    }
}

/// CPU timers are looked at no more often than this.
const CPU_GRAIN: Duration = Duration::from_millis(2);
