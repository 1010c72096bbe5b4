//! `membarrier(2)`, `rseq(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::{SysResult, Task};

const QUERY: i32 = 0;

/// `membarrier(2)`: no command is offered, which a query says.
pub fn membarrier(_t: &Arc<Task>, cmd: i32, flags: u32, _cpu: i32) -> SysResult<i64> {
    if cmd == QUERY && flags == 0 {
        return Ok(0);
    }
    Err(Errno::EINVAL.into())
}
