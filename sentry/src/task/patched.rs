//! What the task loop does about patched call sites ([`crate::mm::patch`]): counts calls that
//! could have been answered in the guest, publishes their answers, and shows a thread that
//! was stopped in a thunk where it stands in its own program.

use std::sync::Arc;

use super::run::CallState;
use super::{ON_HOST_THREAD, TRAPPED, Task};
use crate::mm::patch::{self, Kind, Place};
use crate::wait::SysResult;

/// CF, PF, AF, ZF, SF, OF.
const ARITHMETIC: u64 = 0x8d5;
const ZERO_AND_PARITY: u64 = 0x44;

impl Task {
    /// Serves a call whose site may be patched.
    pub(crate) fn serve_patchable(self: &Arc<Task>, call: CallState) -> SysResult<i64> {
        let mm = self.mm();
        mm.trapped_at(call.ip, call.nr);
        // A map written by another changes the ids a user namespace shows.
        let kind = patch::kind_of(call.nr);
        let shown = kind == Some(Kind::User) && !self.creds().user_ns.is_initial();
        if kind.is_none() || shown {
            return self.kernel.dispatcher.dispatch(self, call.nr, &call.args);
        }
        let epoch = mm.answers().epoch();
        let result = self.kernel.dispatcher.dispatch(self, call.nr, &call.args);
        if let Ok(answer) = &result {
            mm.publish(call.nr, *answer, epoch);
        }
        result
    }

    /// Whether sites of this call may be patched: nobody wants to see them all, and it needs
    /// not the host thread, nor the registers (but for `rt_sigreturn`, whose sites are worth
    /// it even though they are fetched).
    pub(crate) fn may_patch(&self, nr: u64) -> bool {
        let is = |n: &u32| u64::from(*n) == nr;
        let seen = self.kernel.tracer.is_some() || self.call_is_watched(nr);
        let plain = !TRAPPED.iter().any(is) || nr == u64::from(abi::nr::rt_sigreturn);
        !seen && plain && !ON_HOST_THREAD.iter().any(is)
    }

    /// Moves a thread that was stopped in a thunk to where it stands in its program. Called
    /// where the register file is there.
    pub(crate) fn leave_thunk(&self) {
        if !self.mm.read().has_patches() {
            return;
        }
        let Ok(ctx) = self.context() else { return };
        let Some(mut regs) = ctx.regs() else { return };
        let mm = self.mm();
        let Some(place) = mm.unthunk(regs.gp.rip) else {
            return;
        };
        let gp = &mut regs.gp;
        match place {
            Place::Done(ip) | Place::Ready(ip) => gp.rip = ip,
            Place::Call(ip, nr) => (gp.rip, gp.rax) = (ip, nr),
            Place::Zeroed(ip) => {
                (gp.rip, gp.rax) = (ip, 0);
                gp.eflags = gp.eflags & !ARITHMETIC | ZERO_AND_PARITY;
            }
            Place::Load(load, ip) => {
                // Done here, so that a thread that is stepped gets on.
                let mut word = [0; 8];
                match mm.copy_in(gp.rsp.wrapping_add(8), &mut word) {
                    Ok(()) => (gp.rip, gp.r9) = (ip, u64::from_le_bytes(word)),
                    Err(_) => gp.rip = load,
                }
            }
        }
        if let Err(e) = ctx.set_regs(&regs) {
            tracing::debug!(tid = self.tid(), "leaving a thunk: {e}");
        }
    }

    /// Something that calls answer with has changed.
    pub(crate) fn answers_changed(&self, kind: Kind) {
        let mm = self.mm();
        mm.answers().changed(&**mm.space(), kind);
    }
}
