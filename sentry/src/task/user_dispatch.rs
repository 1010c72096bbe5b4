//! System calls that a program handles itself (`PR_SET_SYSCALL_USER_DISPATCH`, `prctl(2)`):
//! each call from outside a range of code raises `SIGSYS`, if a byte of the program says so.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::signal::Signal;

use super::Task;
use super::gate::{Hooks, sigsys};
use super::run::{CallState, Next};
use crate::Result;
use crate::signal::info::kernel;
use crate::signal::send;

/// `SYS_USER_DISPATCH`: the cause of a SIGSYS.
const SYS_USER_DISPATCH: i32 = 2;
/// `SYSCALL_DISPATCH_FILTER_ALLOW` and `_BLOCK`, as the selector says them.
const ALLOW: u8 = 0;
const BLOCK: u8 = 1;

/// What a thread has asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserDispatch {
    /// Calls from `offset..offset + len` are let through.
    pub offset: u64,
    /// Bytes of that range.
    pub len: u64,
    /// Where the byte stands that says what happens; 0 for none: all are caught.
    pub selector: u64,
}

impl Task {
    /// `PR_SYS_DISPATCH_ON`, or with `None` `PR_SYS_DISPATCH_OFF`. `EINVAL` for a range that
    /// is empty or wraps, `EFAULT` for a selector no program can have.
    pub fn set_user_dispatch(&self, wanted: Option<UserDispatch>) -> Result<()> {
        let Some(new) = wanted else {
            self.hooks
                .fetch_and(!Hooks::DISPATCHED.bits(), Ordering::SeqCst);
            *self.user_dispatch.lock() = UserDispatch::default();
            return Ok(());
        };
        if new.offset != 0 && new.offset.wrapping_add(new.len) <= new.offset {
            return Err(Errno::EINVAL);
        }
        if new.selector >= self.mm().range().1 {
            return Err(Errno::EFAULT);
        }
        *self.user_dispatch.lock() = new;
        self.hooks
            .fetch_or(Hooks::DISPATCHED.bits(), Ordering::SeqCst);
        self.mm().disable_patching();
        Ok(())
    }

    /// Whether the call is the program's own affair; then everything is done.
    pub(super) fn dispatched(self: &Arc<Task>, call: &CallState) -> bool {
        let on = *self.user_dispatch.lock();
        if call.ip.wrapping_sub(on.offset) < on.len {
            return false;
        }
        let mut state = [BLOCK];
        if on.selector != 0 && self.mm().copy_in(on.selector, &mut state).is_err() {
            self.end_dispatch(Signal::SIGSEGV, call);
            return true;
        }
        match state {
            [ALLOW] => return false,
            [BLOCK] => {
                let mut info = sigsys(call, 0);
                info.code = SYS_USER_DISPATCH;
                send::force(self, info);
                // The handler finds the number where it was.
                self.proceed(Next::Return(call.nr.cast_signed()));
            }
            _ => self.end_dispatch(Signal::SIGSYS, call),
        }
        true
    }

    /// The selector says nothing that has a meaning.
    fn end_dispatch(self: &Arc<Task>, signal: Signal, call: &CallState) {
        send::force_fatal(self, kernel(signal));
        self.proceed(Next::Return(call.nr.cast_signed()));
    }
}
