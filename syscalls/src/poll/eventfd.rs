//! `eventfd(2)`, `eventfd2(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::fs::OpenFlags;
use sentry::fs::eventfd::EventFd;
use sentry::task::limits::Resource;
use sentry::{SysResult, Task};

use crate::arg::Fd;

crate::flag_arg! {
    /// Flags of `eventfd2(2)`.
    EventFdFlags: u32 {
        EFD_SEMAPHORE = 1,
        EFD_NONBLOCK = 0o4000,
        EFD_CLOEXEC = 0o2000000,
    }
}

/// `eventfd(2)` of old: no flags.
pub fn eventfd(t: &Arc<Task>, count: u32) -> SysResult<Fd> {
    eventfd2(t, count, EventFdFlags::empty())
}

/// `eventfd2(2)`.
pub fn eventfd2(t: &Arc<Task>, count: u32, flags: EventFdFlags) -> SysResult<Fd> {
    if !EventFdFlags::all().contains(flags) {
        return Err(Errno::EINVAL.into());
    }
    let nonblock = flags.contains(EventFdFlags::EFD_NONBLOCK);
    let status = if nonblock {
        OpenFlags::NONBLOCK
    } else {
        OpenFlags::empty()
    };
    let semaphore = flags.contains(EventFdFlags::EFD_SEMAPHORE);
    let file = EventFd::open(u64::from(count), semaphore, status);
    let cloexec = flags.contains(EventFdFlags::EFD_CLOEXEC);
    let limit = t.limit(Resource::Nofile);
    Ok(Fd(t.files().install(file, 0, cloexec, limit)?))
}
