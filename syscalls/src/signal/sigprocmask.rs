//! `rt_sigprocmask(2)`, `rt_sigpending(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::signal::SigSet;
use sentry::{SysResult, Task};

use crate::arg::{In, Out, UserBuf, UserPtr};

/// `rt_sigprocmask(2)`.
pub fn rt_sigprocmask(
    t: &Arc<Task>,
    how: u32,
    new: UserPtr<SigSet, In>,
    old: UserPtr<SigSet, Out>,
    size: usize,
) -> SysResult<()> {
    if size != size_of::<SigSet>() {
        return Err(Errno::EINVAL.into());
    }
    let before = t.sigmask();
    if let Some(new) = new.non_null() {
        let set = new.read(t)?.difference(SigSet::UNBLOCKABLE);
        let mask = match how {
            0 => before.union(set),
            1 => before.difference(set),
            2 => set,
            _ => return Err(Errno::EINVAL.into()),
        };
        t.set_sigmask(mask);
    }
    old.write_opt(t, &before)?;
    Ok(())
}

/// `rt_sigpending(2)`.
pub fn rt_sigpending(t: &Arc<Task>, set: UserBuf, size: usize) -> SysResult<()> {
    if size > size_of::<SigSet>() {
        return Err(Errno::EINVAL.into());
    }
    let (own, shared) = t.pending_signals();
    let pending = own.union(shared).intersection(t.sigmask());
    let bytes = pending.0.to_ne_bytes();
    if size > 0 {
        set.write(t, bytes.get(..size).unwrap_or(&bytes))?;
    }
    Ok(())
}
