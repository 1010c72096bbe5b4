//! `membarrier(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::{Stop, SysResult, Task};

/// `membarrier(2)`: the host does it, for the host threads that are the guest's. It reads
/// no memory and touches nothing but their state.
pub fn membarrier(t: &Arc<Task>, _cmd: i32, flags: u32, _cpu: i32) -> SysResult<i64> {
    // A CPU is named by the host's number.
    if flags != 0 && !t.cpus_are_real() {
        return Err(Errno::EINVAL.into());
    }
    Err(Stop::Passthrough)
}
