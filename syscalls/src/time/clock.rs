//! `clock_gettime(2)`, `clock_getres(2)`, `clock_settime(2)`, `gettimeofday(2)`, `time(2)`.

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;
use abi::time::{Timespec, Timeval};
use sentry::{Result, SysResult, Task};

use crate::arg::{In, Out, UserAddr, UserPtr};

/// A clock by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockId {
    /// `CLOCK_REALTIME` and its coarse and TAI kin.
    Realtime,
    /// `CLOCK_MONOTONIC` and its raw and coarse kin.
    Monotonic,
    /// `CLOCK_BOOTTIME`.
    Boottime,
    /// CPU time of a process; 0 is the caller's.
    ProcessCpu(i32),
    /// CPU time of a thread; 0 is the caller.
    ThreadCpu(i32),
}

impl ClockId {
    /// From the number; `EINVAL`. Negative numbers encode a process or thread
    /// (`clock_getcpuclockid(3)`).
    pub fn parse(id: i32) -> Result<ClockId> {
        Ok(match id {
            0 | 5 | 8 | 11 => ClockId::Realtime,
            1 | 4 | 6 => ClockId::Monotonic,
            2 => ClockId::ProcessCpu(0),
            3 => ClockId::ThreadCpu(0),
            7 | 9 => ClockId::Boottime,
            n if n < 0 && n & 3 != 3 => {
                let pid = !(n >> 3);
                if n & 4 == 0 {
                    ClockId::ProcessCpu(pid)
                } else {
                    ClockId::ThreadCpu(pid)
                }
            }
            _ => return Err(Errno::EINVAL),
        })
    }

    /// Reads it for `t`; `EINVAL` for a thread that is not there.
    pub fn now(self, t: &Arc<Task>) -> Result<Duration> {
        let clock = &t.kernel.clock;
        Ok(match self {
            ClockId::Realtime => clock.realtime(),
            ClockId::Monotonic => clock.monotonic(),
            ClockId::Boottime => clock.boottime(),
            ClockId::ProcessCpu(0) => t.thread_group().cpu_times().total(),
            ClockId::ThreadCpu(0) => t.cpu_times().total(),
            ClockId::ProcessCpu(pid) => {
                let group = t.pid_ns().group(pid).ok_or(Errno::EINVAL)?;
                group.cpu_times().total()
            }
            ClockId::ThreadCpu(tid) => {
                let task = t.pid_ns().task(tid).filter(|o| o.pid() == t.pid());
                task.ok_or(Errno::EINVAL)?.cpu_times().total()
            }
        })
    }

    /// Whether its time stands still while nothing runs.
    pub fn is_cpu(self) -> bool {
        matches!(self, ClockId::ProcessCpu(_) | ClockId::ThreadCpu(_))
    }
}

/// `clock_gettime(2)`.
pub fn clock_gettime(t: &Arc<Task>, id: i32, to: UserPtr<Timespec, Out>) -> SysResult<()> {
    let now = ClockId::parse(id)?.now(t)?;
    Ok(to.write(t, &Timespec::from(now))?)
}

/// `clock_getres(2)`.
pub fn clock_getres(t: &Arc<Task>, id: i32, to: UserPtr<Timespec, Out>) -> SysResult<()> {
    ClockId::parse(id)?.now(t)?;
    // The coarse clocks advance with the tick (250 Hz).
    let nsec = if matches!(id, 5 | 6) { 4_000_000 } else { 1 };
    Ok(to.write_opt(t, &Timespec { sec: 0, nsec })?)
}

/// `clock_settime(2)`: the sandbox may not set the host's clocks.
pub fn clock_settime(t: &Arc<Task>, id: i32, from: UserPtr<Timespec, In>) -> SysResult<()> {
    let clock = ClockId::parse(id)?;
    from.read(t)?.to_duration()?;
    Err(if clock == ClockId::Realtime && id == 0 {
        Errno::EPERM
    } else {
        Errno::EINVAL
    }
    .into())
}

/// `gettimeofday(2)`.
pub fn gettimeofday(
    t: &Arc<Task>,
    tv: UserPtr<Timeval, Out>,
    tz: UserPtr<[i32; 2], Out>,
) -> SysResult<()> {
    tv.write_opt(t, &Timeval::from(t.kernel.clock.realtime()))?;
    Ok(tz.write_opt(t, &[0, 0])?)
}

/// `time(2)`.
pub fn time(t: &Arc<Task>, to: UserPtr<i64, Out>) -> SysResult<i64> {
    let now = Timespec::from(t.kernel.clock.realtime()).sec;
    to.write_opt(t, &now)?;
    Ok(now)
}

/// `settimeofday(2)`: refused like [`clock_settime`].
pub fn settimeofday(_t: &Arc<Task>, _tv: UserAddr, _tz: UserAddr) -> SysResult<()> {
    Err(Errno::EPERM.into())
}
