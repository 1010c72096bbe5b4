//! `getpid(2)` and relatives.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sentry::{SysResult, Task};

use crate::arg::UserAddr;

/// `gettid(2)`.
pub fn gettid(t: &Arc<Task>) -> SysResult<i32> {
    Ok(t.tid())
}

/// `getpid(2)`.
pub fn getpid(t: &Arc<Task>) -> SysResult<i32> {
    Ok(t.pid())
}

/// `getppid(2)`.
pub fn getppid(t: &Arc<Task>) -> SysResult<i32> {
    Ok(t.thread_group().ppid())
}

/// `set_tid_address(2)`.
pub fn set_tid_address(t: &Arc<Task>, addr: UserAddr) -> SysResult<i32> {
    t.clear_child_tid.store(addr.0, Ordering::SeqCst);
    Ok(t.tid())
}

/// `personality(2)`: all ones only asks.
pub fn personality(t: &Arc<Task>, persona: u32) -> SysResult<u32> {
    let old = t.personality.load(Ordering::Relaxed);
    if persona != u32::MAX {
        t.personality.store(persona, Ordering::Relaxed);
    }
    Ok(old)
}
