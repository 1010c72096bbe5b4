//! `getpid(2)` and relatives.

use std::sync::Arc;

use sentry::{SysResult, Task};

/// `gettid(2)`.
pub fn gettid(t: &Arc<Task>) -> SysResult<i32> {
    Ok(t.tid())
}
