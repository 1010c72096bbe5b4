//! `msync(2)`.

use std::sync::Arc;

use abi::{Errno, PAGE_SIZE};
use sentry::{SysResult, Task};

use crate::arg::UserAddr;
use crate::flag_arg;

flag_arg! {
    /// `MS_*`.
    SyncFlags: u32 {
        MS_ASYNC = 1,
        MS_INVALIDATE = 2,
        MS_SYNC = 4,
    }
}

/// `msync(2)`.
pub fn msync(t: &Arc<Task>, addr: UserAddr, len: u64, flags: SyncFlags) -> SysResult<()> {
    let both = SyncFlags::MS_ASYNC | SyncFlags::MS_SYNC;
    let known = SyncFlags::all().contains(flags);
    if !known || flags.contains(both) || !addr.0.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL.into());
    }
    let len = len
        .checked_next_multiple_of(PAGE_SIZE)
        .ok_or(Errno::ENOMEM)?;
    if len == 0 {
        return Ok(());
    }
    let sync = flags.contains(SyncFlags::MS_SYNC);
    let invalidate = flags.contains(SyncFlags::MS_INVALIDATE);
    Ok(t.mm().sync_range(addr.0, len, sync, invalidate)?)
}
