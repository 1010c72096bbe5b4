//! Waiting on a futex (`FUTEX_WAIT`, `FUTEX_WAIT_BITSET`).

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;

use super::parked::Parked;
use super::table::{Key, Scope, Waiter};
use crate::task::Task;
use crate::wait::{OnSignal, SysResult};

/// Waits while the word at `addr` is `value`, until `deadline` (monotonic). `EAGAIN` when it
/// is not, `ETIMEDOUT`.
pub fn wait(
    t: &Arc<Task>,
    addr: u64,
    scope: Scope,
    value: u32,
    bitset: u32,
    deadline: Option<Duration>,
) -> SysResult<i64> {
    let key = Key::of(t, addr, scope)?;
    let mm = t.mm();
    // Makes the page present before the bucket is locked.
    if mm.load_u32(addr)? != value {
        return Err(Errno::EAGAIN.into());
    }
    let waiter = Waiter::new(t, key, bitset, false);
    {
        let mut bucket = t.kernel.futexes.lock(&key);
        if mm.load_u32(addr)? != value {
            return Err(Errno::EAGAIN.into());
        }
        bucket.push(waiter.clone());
    }
    let interrupted = |timed| match timed {
        true => OnSignal::Eintr,
        false => OnSignal::Restart,
    };
    Parked::park(t, waiter, deadline, interrupted, "futex")
}
