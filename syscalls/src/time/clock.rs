//! `clock_gettime(2)`, `clock_getres(2)`, `clock_settime(2)`, `gettimeofday(2)`, `time(2)`,
//! `adjtimex(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::time::{Timespec, Timeval};
use sentry::time::clock_id::ClockId;
use sentry::{SysResult, Task};

use crate::arg::{In, Out, UserAddr, UserPtr};

/// `clock_gettime(2)`.
pub fn clock_gettime(t: &Arc<Task>, clock: i32, at: UserPtr<Timespec, Out>) -> SysResult<()> {
    let id = ClockId::from_raw(t, clock)?;
    let now = t.shown_time(&id, id.now(&t.kernel));
    Ok(at.write(t, &now.into())?)
}

/// `clock_getres(2)`: 1 ns, a tick for the coarse clocks.
pub fn clock_getres(t: &Arc<Task>, clock: i32, at: UserPtr<Timespec, Out>) -> SysResult<()> {
    ClockId::from_raw(t, clock)?;
    let nsec = if clock == 5 || clock == 6 {
        4_000_000
    } else {
        1
    };
    Ok(at.write_opt(t, &Timespec { sec: 0, nsec })?)
}

/// `clock_settime(2)`: the host's clocks are not the guest's to set.
pub fn clock_settime(t: &Arc<Task>, clock: i32, at: UserPtr<Timespec, In>) -> SysResult<()> {
    if clock != 0 {
        return Err(Errno::EINVAL.into());
    }
    at.read(t)?.to_duration()?;
    Err(Errno::EPERM.into())
}

/// `gettimeofday(2)`: the time zone is UTC.
pub fn gettimeofday(
    t: &Arc<Task>,
    tv: UserPtr<Timeval, Out>,
    tz: UserPtr<[i32; 2], Out>,
) -> SysResult<()> {
    tv.write_opt(t, &t.kernel.clock.realtime().into())?;
    Ok(tz.write_opt(t, &[0, 0])?)
}

/// `settimeofday(2)`: as `clock_settime`.
pub fn settimeofday(t: &Arc<Task>, tv: UserPtr<Timeval, In>, _tz: UserAddr) -> SysResult<()> {
    if let Some(tv) = tv.non_null() {
        tv.read(t)?.to_duration()?;
    }
    Err(Errno::EPERM.into())
}

/// `time(2)`.
pub fn time(t: &Arc<Task>, at: UserPtr<i64, Out>) -> SysResult<i64> {
    let now = i64::try_from(t.kernel.clock.realtime().as_secs()).unwrap_or(i64::MAX);
    at.write_opt(t, &now)?;
    Ok(now)
}

/// `struct timex` of `adjtimex(2)`, by its 8-byte words.
type Timex = [i64; 26];

/// Modes of the old `adjtime(3)`, from `include/linux/timex.h`.
const ADJ_ADJTIME: i64 = 0x8000;
const ADJ_OFFSET_SINGLESHOT: i64 = 0x0001;
const ADJ_OFFSET_READONLY: i64 = 0x2000;

/// `adjtimex(2)`: the clock may be asked about, not set: `EPERM`, with every capability too.
pub fn adjtimex(t: &Arc<Task>, buf: UserPtr<Timex, Out>) -> SysResult<i64> {
    let at = buf.addr();
    let mut tx = UserPtr::<Timex, In>::at(at).read(t)?;
    let modes = tx[0] & 0xffff_ffff;
    let adjtime = modes & ADJ_ADJTIME != 0;
    if adjtime && modes & ADJ_OFFSET_SINGLESHOT == 0 {
        return Err(Errno::EINVAL.into());
    }
    if modes != 0 && !(adjtime && modes & ADJ_OFFSET_READONLY != 0) {
        return Err(Errno::EPERM.into());
    }
    let now = Timeval::from(t.kernel.clock.realtime());
    tx = [0; 26];
    // maxerror, esterror (us), status STA_UNSYNC, constant, precision, tolerance, time, tick.
    (tx[3], tx[4], tx[5], tx[6]) = (16_000_000, 16_000_000, 64, 2);
    (tx[7], tx[8]) = (1, 32_768_000);
    (tx[9], tx[10], tx[11]) = (now.sec, now.usec, 10_000);
    buf.write(t, &tx)?;
    // TIME_ERROR: not synchronised.
    Ok(5)
}

/// `clock_adjtime(2)`.
pub fn clock_adjtime(t: &Arc<Task>, clock: i32, buf: UserPtr<Timex, Out>) -> SysResult<i64> {
    if clock != 0 {
        ClockId::from_raw(t, clock)?;
        return Err(Errno::EOPNOTSUPP.into());
    }
    adjtimex(t, buf)
}
