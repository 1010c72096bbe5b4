//! `rseq(2)`.

use std::sync::Arc;

use abi::Errno;
use platform::RseqArea;
use sentry::{Stop, SysResult, Task};

use crate::arg::UserAddr;

/// `RSEQ_FLAG_UNREGISTER`.
const UNREGISTER: i32 = 1;

/// `rseq(2)`: checked here, done by the host for the host thread that is the guest's.
pub fn rseq(t: &Arc<Task>, addr: UserAddr, len: u32, flags: i32, sig: u32) -> SysResult<i64> {
    // Numbers that the guest is not told of would lead it out of its tables.
    if !t.kernel.platform.passes_rseq() || !t.cpus_are_real() {
        return Err(Errno::ENOSYS.into());
    }
    let addr = addr.0;
    let area = RseqArea { addr, len, sig };
    match flags {
        0 => t.register_rseq(area)?,
        UNREGISTER => t.unregister_rseq(area)?,
        _ => return Err(Errno::EINVAL.into()),
    }
    Err(Stop::Passthrough)
}
