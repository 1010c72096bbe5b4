//! `mremap(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::mm::remap::Remap;
use sentry::{SysResult, Task};

use super::limits;
use crate::arg::UserAddr;
use crate::flag_arg;

flag_arg! {
    /// `MREMAP_*`.
    RemapFlags: u64 {
        MREMAP_MAYMOVE = 1,
        MREMAP_FIXED = 2,
        MREMAP_DONTUNMAP = 4,
    }
}

/// `mremap(2)`.
pub fn mremap(
    t: &Arc<Task>,
    addr: UserAddr,
    old_len: u64,
    new_len: u64,
    flags: RemapFlags,
    to: UserAddr,
) -> SysResult<u64> {
    if !RemapFlags::all().contains(flags) {
        return Err(Errno::EINVAL.into());
    }
    let how = Remap {
        may_move: flags.contains(RemapFlags::MREMAP_MAYMOVE),
        fixed: flags.contains(RemapFlags::MREMAP_FIXED).then_some(to.0),
        dont_unmap: flags.contains(RemapFlags::MREMAP_DONTUNMAP),
    };
    let limits = limits::of(t);
    Ok(t.mm().remap(addr.0, old_len, new_len, how, &limits)?)
}
