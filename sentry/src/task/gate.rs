//! What stands between a call and its handler: seccomp filters and a tracer; the program
//! itself ([`super::user_dispatch`]) comes before both.
//!
//! The task loop tests [`Task::hooks`] once a call; everything here is behind that branch.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::signal::{SigInfo, Signal};
use platform::Resume;

use super::Task;
use super::run::{CallState, Deferred, Next};
use crate::seccomp::Mode;
use crate::seccomp::filter::{ARCH, Action, Verdict};
use crate::signal::{WaitStatus, send};

bitflags::bitflags! {
    /// What a task's calls have to pass.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Hooks: u8 {
        /// Seccomp filters or strict mode.
        const SECCOMP = 1;
        /// A tracer.
        const TRACED = 2;
        /// Calls go to the program's own handler (`PR_SET_SYSCALL_USER_DISPATCH`).
        const DISPATCHED = 4;
    }
}

/// `SYS_SECCOMP`: the cause of a SIGSYS.
const SYS_SECCOMP: i32 = 1;
/// Highest errno a filter can give.
const MAX_ERRNO: i64 = 4095;

impl Task {
    /// Whether any of these is set.
    pub(crate) fn hooked(&self, hooks: Hooks) -> bool {
        self.hooks.load(Ordering::Relaxed) & hooks.bits() != 0
    }

    /// Serves a call that has to pass what watches the task.
    pub(super) fn pass_gate(self: &Arc<Task>, call: CallState) {
        if self.pass_next.swap(false, Ordering::SeqCst) {
            return self.serve(call);
        }
        if self.hooked(Hooks::DISPATCHED) && self.dispatched(&call) {
            return;
        }
        if self.hooked(Hooks::TRACED) {
            return self.traced_call(call);
        }
        self.serve_filtered(call);
    }

    /// Comes back to the gate with the registers at hand.
    pub(crate) fn gate_with_regs(self: &Arc<Task>, call: CallState) {
        let deferred = Deferred {
            gated: Some(call),
            ..Deferred::default()
        };
        self.fetch(call.nr.cast_signed(), deferred);
    }

    /// Serves a call the tracer has seen on behalf of a filter.
    pub(crate) fn serve_refiltered(self: &Arc<Task>, call: CallState) {
        match self.judge(&call) {
            Some(verdict) if verdict.action != Action::Trace => self.obey(call, &verdict),
            _ => self.with_regs(call),
        }
    }

    /// Serves a call that has to pass filters first.
    pub(crate) fn serve_filtered(self: &Arc<Task>, call: CallState) {
        match self.judge(&call) {
            None => self.with_regs(call),
            Some(verdict) => self.obey(call, &verdict),
        }
    }

    /// Does what a filter decided.
    fn obey(self: &Arc<Task>, call: CallState, verdict: &Verdict) {
        let enosys = Next::Return(-i64::from(Errno::ENOSYS.raw()));
        match verdict.action {
            Action::Allow => self.with_regs(call),
            Action::Log => {
                tracing::info!(tid = self.tid(), nr = call.nr, "seccomp: call logged");
                self.with_regs(call);
            }
            Action::Errno => {
                let errno = i64::from(verdict.data).min(MAX_ERRNO);
                self.proceed(Next::Return(-errno));
            }
            Action::Trap => {
                send::force(self, sigsys(&call, verdict.data));
                // The handler finds the number where it was.
                self.proceed(Next::Return(call.nr.cast_signed()));
            }
            Action::UserNotif => {
                let listener = verdict.filter.as_ref().and_then(|f| f.listener.as_ref());
                let result = match listener {
                    Some(l) => l.ask(self, call),
                    None => Err(Errno::ENOSYS.into()),
                };
                self.settle(result);
            }
            Action::Trace => {
                if !self.filtered_stop(call, verdict.data) {
                    self.proceed(enosys);
                }
            }
            Action::KillThread | Action::KillProcess => self.kill_by_filter(&call, verdict),
        }
    }

    /// Ends the thread, or the process if it is the last one or all are to go.
    fn kill_by_filter(self: &Arc<Task>, call: &CallState, verdict: &Verdict) {
        let strict = matches!(self.seccomp(), Mode::Strict);
        let signal = if strict {
            Signal::SIGKILL
        } else {
            Signal::SIGSYS
        };
        tracing::info!(tid = self.tid(), nr = call.nr, "seccomp: killed");
        let alone = self.thread_group().thread_count() == 1;
        if strict || verdict.action == Action::KillThread && !alone {
            self.die_alone(WaitStatus::killed(signal, false));
            return;
        }
        send::force_fatal(self, sigsys(call, verdict.data));
        self.proceed(Next::Return(call.nr.cast_signed()));
    }

    /// A call cannot go to the host from where the registers are at hand: the guest makes it
    /// anew, and then it is let through at once.
    pub(super) fn passable(&self, how: Resume) -> Resume {
        if how != Resume::Passthrough || self.hooks.load(Ordering::Relaxed) == 0 {
            return how;
        }
        let Ok(ctx) = self.context() else { return how };
        let Some(mut regs) = ctx.regs() else {
            return how;
        };
        regs.gp.rip = regs.gp.rip.wrapping_sub(2);
        regs.gp.rax = self.call.lock().nr;
        if ctx.set_regs(&regs).is_ok() {
            self.pass_next.store(true, Ordering::SeqCst);
        }
        Resume::Regs
    }
}

/// What a SIGSYS tells of a call.
pub(super) fn sigsys(call: &CallState, data: u16) -> SigInfo {
    let mut info = SigInfo::new(Signal::SIGSYS, SYS_SECCOMP);
    info.errno = i32::from(data);
    info.put(0, &call.ip.to_ne_bytes());
    info.put(8, &((call.nr & 0xffff_ffff) as u32).to_ne_bytes());
    info.put(12, &ARCH.to_ne_bytes());
    info
}
