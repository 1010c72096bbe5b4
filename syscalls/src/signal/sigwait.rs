//! `rt_sigtimedwait(2)`, `rt_sigsuspend(2)`, `pause(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::signal::SigSet;
use abi::time::Timespec;
use sentry::signal::suspend::Suspend;
use sentry::signal::timedwait::TimedWait;
use sentry::{SysResult, Task};

use crate::arg::{In, UserAddr, UserPtr};

/// `rt_sigtimedwait(2)`.
pub fn rt_sigtimedwait(
    t: &Arc<Task>,
    set: UserPtr<SigSet, In>,
    info: UserAddr,
    timeout: UserPtr<Timespec, In>,
    size: usize,
) -> SysResult<i64> {
    if size != size_of::<SigSet>() {
        return Err(Errno::EINVAL.into());
    }
    let set = set.read(t)?;
    let timeout = timeout
        .non_null()
        .map(|p| p.read(t)?.to_duration())
        .transpose()?;
    TimedWait::begin(t, set, info.0, timeout)
}

/// `rt_sigsuspend(2)`.
pub fn rt_sigsuspend(t: &Arc<Task>, mask: UserPtr<SigSet, In>, size: usize) -> SysResult<i64> {
    if size != size_of::<SigSet>() {
        return Err(Errno::EINVAL.into());
    }
    let mask = mask.read(t)?;
    t.swap_sigmask_until_return(mask);
    Suspend::begin("rt_sigsuspend")
}

/// `pause(2)`.
pub fn pause(_t: &Arc<Task>) -> SysResult<i64> {
    Suspend::begin("pause")
}
