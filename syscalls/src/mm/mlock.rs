//! `mlock(2)`, `mlock2(2)`, `munlock(2)`, `mlockall(2)`, `munlockall(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::{SysResult, Task};

use super::limits;
use crate::arg::UserAddr;
use crate::flag_arg;

flag_arg! {
    /// `MCL_*`.
    LockAll: u32 {
        MCL_CURRENT = 1,
        MCL_FUTURE = 2,
        MCL_ONFAULT = 4,
    }
}
flag_arg! {
    /// `MLOCK_*`.
    LockFlags: u32 {
        MLOCK_ONFAULT = 1,
    }
}

/// `mlock(2)`.
pub fn mlock(t: &Arc<Task>, addr: UserAddr, len: u64) -> SysResult<()> {
    Ok(t.mm().lock_range(addr.0, len, false, &limits::of(t))?)
}

/// `mlock2(2)`.
pub fn mlock2(t: &Arc<Task>, addr: UserAddr, len: u64, flags: LockFlags) -> SysResult<()> {
    if !LockFlags::all().contains(flags) {
        return Err(Errno::EINVAL.into());
    }
    let on_fault = flags.contains(LockFlags::MLOCK_ONFAULT);
    Ok(t.mm().lock_range(addr.0, len, on_fault, &limits::of(t))?)
}

/// `munlock(2)`.
pub fn munlock(t: &Arc<Task>, addr: UserAddr, len: u64) -> SysResult<()> {
    Ok(t.mm().unlock_range(addr.0, len)?)
}

/// `mlockall(2)`.
pub fn mlockall(t: &Arc<Task>, flags: LockAll) -> SysResult<()> {
    let what = flags & (LockAll::MCL_CURRENT | LockAll::MCL_FUTURE);
    if !LockAll::all().contains(flags) || what.is_empty() {
        return Err(Errno::EINVAL.into());
    }
    Ok(t.mm().lock_all(
        flags.contains(LockAll::MCL_CURRENT),
        flags.contains(LockAll::MCL_FUTURE),
        flags.contains(LockAll::MCL_ONFAULT),
        &limits::of(t),
    )?)
}

/// `munlockall(2)`.
pub fn munlockall(t: &Arc<Task>) -> SysResult<()> {
    t.mm().unlock_all();
    Ok(())
}
