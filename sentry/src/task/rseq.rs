//! Restartable sequences (`rseq(2)`): a thread's registration.
//!
//! The host does the work for the host thread that is the guest's: it writes the CPU's
//! number into the area and moves the thread to its abort handler when it preempts it or
//! delivers it a signal, which is how every signal of ours reaches a running guest. The
//! kernel keeps account of what is registered, for checks, for children and for the memory
//! of the area ([`crate::mm::Mm::keep_area`]).

use std::sync::Arc;

use abi::Errno;
use platform::{Context, RseqArea};

use super::Task;
use crate::Result;
use crate::mm::Mm;

/// Length of the area at first (`ORIG_RSEQ_SIZE`), and its alignment.
const SIZE: u32 = 32;

impl Task {
    /// Notes that the thread registers `area`, which the host is to do next. `EINVAL`,
    /// `EPERM`, `EBUSY`, `EFAULT` as in rseq(2).
    pub fn register_rseq(&self, area: RseqArea) -> Result<()> {
        let mut mine = self.rseq.lock();
        if let Some(old) = *mine {
            return Err(match old {
                o if (o.addr, o.len) != (area.addr, area.len) => Errno::EINVAL,
                o if o.sig != area.sig => Errno::EPERM,
                _ => Errno::EBUSY,
            });
        }
        if area.len < SIZE || !area.addr.is_multiple_of(u64::from(SIZE)) {
            return Err(Errno::EINVAL);
        }
        let end = area.addr.checked_add(u64::from(area.len));
        end.filter(|e| *e <= abi::TASK_SIZE).ok_or(Errno::EFAULT)?;
        self.mm().keep_area(self.cookie(), area.addr)?;
        *mine = Some(area);
        Ok(())
    }

    /// Notes that the thread is about to have `area` unregistered. The memory stays as it
    /// is: the host still writes there.
    pub fn unregister_rseq(&self, area: RseqArea) -> Result<()> {
        let mut mine = self.rseq.lock();
        let old = mine.ok_or(Errno::EINVAL)?;
        if (old.addr, old.len) != (area.addr, area.len) {
            return Err(Errno::EINVAL);
        }
        if old.sig != area.sig {
            return Err(Errno::EPERM);
        }
        *mine = None;
        Ok(())
    }

    /// What the thread has registered.
    pub fn rseq(&self) -> Option<RseqArea> {
        *self.rseq.lock()
    }

    /// A child with a copy of the memory has this thread's registration too, made by its
    /// own host thread before it runs. Whether it could be: without the memory it could not
    /// run on Linux either.
    pub(super) fn pass_rseq(&self, child: &Task, mm: &Mm, ctx: &dyn Context) -> bool {
        let Some(area) = self.rseq() else { return true };
        *child.rseq.lock() = Some(area);
        mm.keep_area(child.cookie(), area.addr).is_ok() && ctx.inherit_rseq(&area)
    }

    /// A new program has none.
    pub(super) fn forget_rseq(&self, cookie: u64) {
        *self.rseq.lock() = None;
        self.mm().drop_area(cookie);
    }

    /// The thread exits. Whoever waits for that may give up the area's memory, which the host
    /// writes as long as the thread returns to its code: one that is not in `exit(2)` already
    /// has to end first.
    pub(super) fn end_rseq(self: &Arc<Task>) {
        let area = self.rseq.lock().take();
        self.mm().drop_area(self.cookie());
        if area.is_none() || self.thread_group().is_exiting() {
            return;
        }
        if !self.context().is_ok_and(|c| c.leaves()) {
            self.drop_context(true);
        }
    }
}
