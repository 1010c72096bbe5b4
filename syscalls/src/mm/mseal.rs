//! `mseal(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::{SysResult, Task};

use crate::arg::UserAddr;

/// `mseal(2)`: there are no flags.
pub fn mseal(t: &Arc<Task>, addr: UserAddr, len: u64, flags: u64) -> SysResult<()> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    Ok(t.mm().seal(addr.0, len)?)
}
