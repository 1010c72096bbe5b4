//! The limits a task's memory calls heed.

use std::sync::Arc;

use sentry::Task;
use sentry::creds::Cap;
use sentry::mm::MmLimits;
use sentry::task::limits::Resource;

/// Limits and privileges of `t` that bear on its address space.
pub fn of(t: &Arc<Task>) -> MmLimits {
    MmLimits {
        address_space: t.limit(Resource::As),
        data: t.limit(Resource::Data),
        stack: t.limit(Resource::Stack),
        memlock: t.limit(Resource::Memlock),
        may_lock: t.creds().capable(Cap::IpcLock),
    }
}
