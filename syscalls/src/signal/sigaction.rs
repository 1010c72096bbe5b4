//! `rt_sigaction(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::signal::{SigAction, SigSet, Signal};
use sentry::signal::action::SA_KNOWN;
use sentry::{SysResult, Task};

use crate::arg::{In, Out, UserPtr};

/// `rt_sigaction(2)`.
pub fn rt_sigaction(
    t: &Arc<Task>,
    signal: u32,
    new: UserPtr<SigAction, In>,
    old: UserPtr<SigAction, Out>,
    size: usize,
) -> SysResult<()> {
    if size != size_of::<SigSet>() {
        return Err(Errno::EINVAL.into());
    }
    let new = new.non_null().map(|p| p.read(t)).transpose()?;
    let signal = Signal::new(u64::from(signal)).ok_or(Errno::EINVAL)?;
    if new.is_some() && SigSet::UNBLOCKABLE.contains(signal) {
        return Err(Errno::EINVAL.into());
    }

    let before = match new {
        None => t.thread_group().sighand().get(signal),
        Some(mut action) => {
            action.flags &= SA_KNOWN;
            action.mask = action.mask.difference(SigSet::UNBLOCKABLE);
            t.thread_group().set_action(signal, action)
        }
    };

    old.write_opt(t, &before)?;
    Ok(())
}
