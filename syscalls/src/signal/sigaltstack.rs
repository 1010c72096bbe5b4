//! `sigaltstack(2)`, `rt_sigreturn(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::signal::{Signal, StackT};
use sentry::signal::{SS_AUTODISARM, frame, info, send};
use sentry::{Stop, SysResult, Task};

use crate::arg::{In, Out, UserPtr};

/// `sigaltstack(2)`.
pub fn sigaltstack(
    t: &Arc<Task>,
    new: UserPtr<StackT, In>,
    old: UserPtr<StackT, Out>,
) -> SysResult<()> {
    let new = new.non_null().map(|p| p.read(t)).transpose()?;
    // Where the stack pointer is unknown, it is taken as off the alternate stack.
    let sp = t
        .context()?
        .regs()
        .ok_or(Errno::EINVAL)
        .map_or(0, |r| r.gp.rsp);
    let before = t.altstack();
    if let Some(stack) = new {
        frame::set_stack(t, stack, sp)?;
    }
    let flags = frame::stack_flags(&before, sp) | (before.flags & SS_AUTODISARM);
    old.write_opt(t, &StackT::new(before.sp, flags, before.size))?;
    Ok(())
}

/// `rt_sigreturn(2)`.
pub fn rt_sigreturn(t: &Arc<Task>) -> SysResult<i64> {
    if frame::pop(t).is_err() {
        send::force(t, info::kernel(Signal::SIGSEGV));
    }
    Err(Stop::Regs)
}
