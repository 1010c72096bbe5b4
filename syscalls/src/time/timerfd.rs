//! `timerfd_create(2)`, `timerfd_settime(2)`, `timerfd_gettime(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::fs::{File, OpenFlags};
use sentry::task::limits::Resource;
use sentry::time::clock_id::ClockId;
use sentry::time::timerfd::TimerFd;
use sentry::{SysResult, Task};

use super::ITimerSpec;
use crate::arg::{Fd, In, Out, UserPtr};

const ABSTIME: u32 = 1;
const CANCEL_ON_SET: u32 = 2;

/// `timerfd_create(2)`.
pub fn timerfd_create(t: &Arc<Task>, clock: i32, flags: u32) -> SysResult<Fd> {
    let known = OpenFlags::CLOEXEC | OpenFlags::NONBLOCK;
    if flags & !known.bits() != 0 || ![0, 1, 7, 8, 9].contains(&clock) {
        return Err(Errno::EINVAL.into());
    }
    let alarm = clock == 8 || clock == 9;
    if alarm && !t.creds().capable(sentry::creds::Cap::WakeAlarm) {
        return Err(Errno::EPERM.into());
    }
    let flags = OpenFlags::from_bits_truncate(flags);
    let ops = TimerFd::new(&t.kernel, ClockId::from_raw(t, clock)?, clock);
    let file = File::anonymous(ops, OpenFlags::RDWR | (flags & OpenFlags::NONBLOCK));
    let limit = t.limit(Resource::Nofile);
    let cloexec = flags.contains(OpenFlags::CLOEXEC);
    Ok(Fd(t.files().install(file, 0, cloexec, limit)?))
}

/// `timerfd_settime(2)`.
pub fn timerfd_settime(
    t: &Arc<Task>,
    fd: Fd,
    flags: u32,
    new: UserPtr<ITimerSpec, In>,
    old: UserPtr<ITimerSpec, Out>,
) -> SysResult<()> {
    let (value, interval) = new.read(t)?.decode()?;
    if flags & !(ABSTIME | CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = crate::io::file(t, fd)?;
    let timer = file.downcast::<TimerFd>().ok_or(Errno::EINVAL)?;
    let absolute = flags & ABSTIME != 0;
    let value = if absolute {
        timer.host_time(t, value)
    } else {
        value
    };
    let before = timer.set(value, interval, absolute);
    Ok(old.write_opt(t, &ITimerSpec::new(before))?)
}

/// `timerfd_gettime(2)`.
pub fn timerfd_gettime(t: &Arc<Task>, fd: Fd, value: UserPtr<ITimerSpec, Out>) -> SysResult<()> {
    let file = crate::io::file(t, fd)?;
    let timer = file.downcast::<TimerFd>().ok_or(Errno::EINVAL)?;
    Ok(value.write(t, &ITimerSpec::new(timer.get()))?)
}
