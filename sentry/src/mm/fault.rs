//! Faults of guest threads, and growing stacks.

use std::sync::atomic::Ordering;

use abi::PAGE_SIZE;
use platform::{Access, FaultKind};

use super::cow::NotPresent;
use super::map::locked_now;
use super::state::{Batch, GUARD_GAP, Mm, State};
use super::vma::{MapProt, Vma, VmaFlags, page_down};

/// By how much a stack grows at least, so that deep recursion does not fault at each page.
const STACK_STEP: u64 = 32 * PAGE_SIZE;

/// What a fault leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultOutcome {
    /// The access will work now; resume.
    Resolved,
    /// `SIGSEGV`, `SEGV_MAPERR`: nothing is mapped there.
    NotMapped,
    /// `SIGSEGV`, `SEGV_ACCERR`: the mapping does not allow it.
    NotAllowed,
    /// `SIGBUS`, `BUS_ADRERR`: the object has nothing there.
    Bus,
    /// There is no memory: the process is to be killed.
    NoMemory,
}

impl Mm {
    /// Acts on a guest's fault at `addr`.
    pub fn fault(&self, addr: u64, access: Access, kind: FaultKind) -> FaultOutcome {
        if addr < self.range.0 || addr >= self.range.1 {
            return FaultOutcome::NotMapped;
        }
        let outcome = self.touch(addr, access, true);
        // The host says the page cannot be supplied although it is mapped: the file is
        // shorter than the kernel believes, or the host has no memory.
        match (kind, outcome) {
            (FaultKind::Bus, FaultOutcome::Resolved) if self.on_host(addr) => FaultOutcome::Bus,
            (FaultKind::Bus, FaultOutcome::Resolved) => FaultOutcome::NoMemory,
            _ => outcome,
        }
    }

    /// Whether `addr` stands on a host file, whose end only the host knows for sure.
    fn on_host(&self, addr: u64) -> bool {
        let state = self.state.read();
        let private = state.pmas.find(addr).is_some();
        !private && state.vmas.find(addr).is_some_and(|v| v.file().is_some())
    }

    /// Makes the page at `addr` accessible. Without `checked`, a mapping's protection is
    /// not looked at (`ptrace(2)`, `/proc/PID/mem`).
    pub(super) fn touch(&self, addr: u64, access: Access, checked: bool) -> FaultOutcome {
        let page = page_down(addr);
        let mut batch = Batch::default();
        let mut guard = self.state.write();
        let state = &mut *guard;
        if state.vmas.find(page).is_none() && !self.grow_stack(state, page) {
            return FaultOutcome::NotMapped;
        }
        let Some(vma) = state.vmas.find(page).cloned() else {
            return FaultOutcome::NotMapped;
        };
        if checked && !allows(&vma, access) {
            return FaultOutcome::NotAllowed;
        }
        let write = access == Access::Write && (!vma.shared() || vma.prot.contains(MapProt::WRITE));
        let made = self.make_present(state, &vma, page, write, &mut batch);
        if made.is_ok() && !batch.ops.is_empty() && !self.commit(state, &mut batch) {
            // All host mappings are gone now; there is room for this one.
            self.derive_around(state, &vma, page, &mut batch);
            if !self.commit(state, &mut batch) {
                return FaultOutcome::Bus;
            }
        }
        drop(guard);
        match made {
            Ok(()) => FaultOutcome::Resolved,
            Err(NotPresent::Bus) => FaultOutcome::Bus,
            Err(NotPresent::NoMemory) => FaultOutcome::NoMemory,
        }
    }

    /// Maps just the run of `vma` that holds `page`.
    fn derive_around(&self, state: &State, vma: &Vma, page: u64, batch: &mut Batch) {
        let (lo, hi) = match state.pmas.find(page) {
            Some(p) if !vma.shared() => (p.start.max(vma.start), p.end.min(vma.end)),
            _ => (page, page + PAGE_SIZE),
        };
        self.derive(state, lo, hi, batch);
    }

    /// Extends the stack above `page` down to it, if there is one that may grow so far.
    fn grow_stack(&self, state: &mut State, page: u64) -> bool {
        let Some(stack) = state.vmas.next(page).cloned() else {
            return false;
        };
        if !stack.flags.contains(VmaFlags::GROWSDOWN) {
            return false;
        }
        let limit = self.stack_limit.load(Ordering::Relaxed);
        let lowest = page_down(stack.end.saturating_sub(limit)).max(self.range.0);
        let floor = match state.vmas.prev(page) {
            Some(v) if v.prot.is_empty() || v.flags.contains(VmaFlags::GROWSDOWN) => v.end,
            Some(v) => v.end.saturating_add(GUARD_GAP),
            None => self.range.0,
        };
        let lowest = lowest.max(floor);
        if page < lowest {
            return false;
        }
        let start = page
            .min(stack.start.saturating_sub(STACK_STEP))
            .max(lowest)
            .min(page);
        let start = if locked_now(stack.flags) { page } else { start };
        let end = stack.start;
        let grown = Vma {
            start,
            end,
            offset: 0,
            ..stack.clone()
        };
        if !stack.anon() {
            return false;
        }
        state.vmas.insert(grown);
        state.peak = state.peak.max(state.vmas.total());
        // One stretch of memory for the whole stack, so that its growth needs one mapping.
        let hull = (stack.end.saturating_sub(limit.min(8 << 20)).max(floor), end);
        let _ = self.give_memory(state, start, end, hull);
        true
    }
}

/// Whether `vma` allows the access; everything accessible is readable on this CPU.
pub(super) fn allows(vma: &Vma, access: Access) -> bool {
    match access {
        Access::Read => !vma.prot.is_empty(),
        Access::Write => vma.prot.contains(MapProt::WRITE),
        Access::Exec => vma.prot.contains(MapProt::EXEC),
    }
}
