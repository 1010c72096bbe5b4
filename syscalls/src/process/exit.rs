//! `exit(2)`, `exit_group(2)`.

use std::sync::Arc;

use sentry::{SysResult, Task};

/// `exit(2)` of the kernel: ends the calling thread.
pub fn exit(t: &Arc<Task>, code: i32) -> SysResult<()> {
    t.exit_thread(code)
}

/// `exit_group(2)`.
pub fn exit_group(t: &Arc<Task>, code: i32) -> SysResult<()> {
    t.exit_process(code)
}
