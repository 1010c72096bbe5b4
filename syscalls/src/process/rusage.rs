//! `getrusage(2)`, `times(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::time::Timeval;
use sentry::task::times::{CpuTimes, ticks};
use sentry::{SysResult, Task};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::arg::{Out, UserPtr};

/// `struct rusage`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RUsage {
    utime: Timeval,
    stime: Timeval,
    maxrss: i64,
    rest: [i64; 13],
}

/// Places of counters after the resident set.
const MINOR_FAULTS: usize = 3;
const VOLUNTARY: usize = 11;

impl RUsage {
    /// With these CPU times and this resident set in bytes; what is not counted is 0.
    pub fn of(times: CpuTimes, max_rss: u64) -> RUsage {
        let mut rest = [0; 13];
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        rest[MINOR_FAULTS] = number(times.counts.faults);
        rest[VOLUNTARY] = number(times.counts.waits);
        RUsage {
            maxrss: i64::try_from(max_rss / 1024).unwrap_or(i64::MAX),
            utime: times.user.into(),
            stime: times.system.into(),
            rest,
        }
    }
}

/// `getrusage(2)`.
pub fn getrusage(t: &Arc<Task>, who: i32, usage: UserPtr<RUsage, Out>) -> SysResult<()> {
    let group = t.thread_group();
    let (own, children) = group.max_rss();
    let used = match who {
        0 => RUsage::of(group.cpu_times(), own),
        -1 => RUsage::of(group.children_times(), children),
        1 => RUsage::of(t.cpu_times(), own),
        _ => return Err(Errno::EINVAL.into()),
    };
    usage.write(t, &used)?;
    Ok(())
}

/// `struct tms`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Tms {
    utime: i64,
    stime: i64,
    cutime: i64,
    cstime: i64,
}

/// `times(2)`: the ticks since some start.
pub fn times(t: &Arc<Task>, buf: UserPtr<Tms, Out>) -> SysResult<i64> {
    let group = t.thread_group();
    let (own, children) = (group.cpu_times().ticks(), group.children_times().ticks());
    let tms = Tms {
        utime: own.0,
        stime: own.1,
        cutime: children.0,
        cstime: children.1,
    };
    buf.write_opt(t, &tms)?;
    Ok(ticks(t.kernel.clock.monotonic()))
}
