//! The two things the `p` variants add: a timeout in `timespec` and a signal mask that
//! holds while the call waits.

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;
use abi::signal::SigSet;
use abi::time::Timespec;
use sentry::{Result, Task};

use crate::arg::{In, UserPtr};

/// Copies in a signal mask; `None` for `NULL`. `EINVAL` for a wrong size.
pub(super) fn read(
    t: &Arc<Task>,
    mask: UserPtr<SigSet, In>,
    size: usize,
) -> Result<Option<SigSet>> {
    let Some(mask) = mask.non_null() else {
        return Ok(None);
    };
    if size != size_of::<SigSet>() {
        return Err(Errno::EINVAL);
    }
    mask.read(t).map(Some)
}

/// Copies in a relative timeout and makes it a deadline; `None` for `NULL`.
pub(super) fn deadline<D: crate::arg::Dir>(
    t: &Arc<Task>,
    timeout: UserPtr<Timespec, D>,
) -> Result<Option<Duration>> {
    let Some(timeout) = timeout.non_null() else {
        return Ok(None);
    };
    let span = timeout.read(t)?.to_duration()?;
    Ok(Some(after(t, span)))
}

/// The deadline `span` from now.
pub(super) fn after(t: &Arc<Task>, span: Duration) -> Duration {
    t.kernel.clock.monotonic().saturating_add(span)
}

/// The deadline of a timeout in milliseconds; negative waits for ever.
pub(super) fn after_ms(t: &Arc<Task>, ms: i32) -> Option<Duration> {
    let ms = u64::try_from(ms).ok()?;
    Some(after(t, Duration::from_millis(ms)))
}

/// What is left until `deadline`.
pub(super) fn left(t: &Arc<Task>, deadline: Duration) -> Duration {
    deadline.saturating_sub(t.kernel.clock.monotonic())
}

/// Makes the mask the task's own until the call returns (a handler it lets through runs
/// with it); nothing for `NULL`.
pub(super) fn apply(t: &Arc<Task>, mask: UserPtr<SigSet, In>, size: usize) -> Result<()> {
    if let Some(mask) = read(t, mask, size)? {
        t.swap_sigmask_until_return(mask);
    }
    Ok(())
}
