//! `brk(2)`.

use std::sync::Arc;

use sentry::{SysResult, Task};

use super::limits;
use crate::arg::UserAddr;

/// `brk(2)`: the end of the heap afterwards, moved or not.
pub fn brk(t: &Arc<Task>, to: UserAddr) -> SysResult<u64> {
    Ok(t.mm().brk(to.0, &limits::of(t)))
}
