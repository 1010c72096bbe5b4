//! What the task loop does about patched call sites ([`crate::mm::patch`]): counts calls that
//! could have been answered in the guest, publishes their answers, and shows a thread that
//! was stopped in a thunk where it stands in its own program.

use std::sync::Arc;

use super::Task;
use super::run::CallState;
use crate::mm::patch::{self, Kind};
use crate::wait::SysResult;

impl Task {
    /// Serves a call that a patched site could have answered.
    pub(crate) fn serve_patchable(self: &Arc<Task>, call: CallState) -> SysResult<i64> {
        let mm = self.mm();
        mm.trapped_at(call.ip, call.nr);
        let epoch = mm.answers().epoch();
        let result = self.kernel.dispatcher.dispatch(self, call.nr, &call.args);
        if let Ok(answer) = &result {
            mm.publish(call.nr, *answer, epoch);
        }
        result
    }

    /// Whether calls may be answered in the guest: nobody wants to see them all.
    pub(crate) fn may_patch(&self, nr: u64) -> bool {
        self.kernel.tracer.is_none() && patch::kind_of(nr).is_some() && !self.call_is_watched(nr)
    }

    /// Moves a thread that was stopped in a thunk to where it stands in its program. Called
    /// where the register file is there.
    pub(crate) fn leave_thunk(&self) {
        if !self.mm.read().has_patches() {
            return;
        }
        let Ok(ctx) = self.context() else { return };
        let Some(mut regs) = ctx.regs() else { return };
        let Some((ip, rax)) = self.mm.read().unthunk(regs.gp.rip) else {
            return;
        };
        regs.gp.rip = ip;
        regs.gp.rax = rax.unwrap_or(regs.gp.rax);
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
