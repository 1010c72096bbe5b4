//! Faults and exceptions of guest code, and the signals they become (`sigaction(2)`).

use std::sync::Arc;

use abi::signal::Signal;
use platform::{Access, FaultKind};

use super::Task;
use crate::mm::fault::FaultOutcome;
use crate::signal::{info, send};

/// Trap number of a page fault.
const PAGE_FAULT: u64 = 14;

impl Task {
    /// Lets the address space resolve a fault, or raises the signal it becomes.
    pub(crate) fn on_fault(self: &Arc<Task>, addr: u64, access: Access, kind: FaultKind) {
        let Some((signal, code)) = self.resolve(addr, access, kind) else {
            return;
        };
        self.leave_thunk();
        // Kernel addresses are mapped, but not for the guest.
        // So is what was read before it is jumped to, mostly.
        let jump = access == Access::Exec && code == info::SEGV_ACCERR;
        let present = u64::from(addr >= 1 << 47 || jump);
        let error = match access {
            Access::Read => 4,
            Access::Write => 6,
            Access::Exec => 0x14,
        };
        *self.last_trap.lock() = [PAGE_FAULT, error | present, addr];
        send::force(self, info::fault(signal, code, addr));
    }

    fn resolve(&self, addr: u64, access: Access, kind: FaultKind) -> Option<(Signal, i32)> {
        match self.mm().fault(addr, access, kind) {
            FaultOutcome::Resolved => {
                self.account.fault();
                None
            }
            FaultOutcome::NotMapped => Some((Signal::SIGSEGV, info::SEGV_MAPERR)),
            FaultOutcome::NotAllowed => Some((Signal::SIGSEGV, info::SEGV_ACCERR)),
            FaultOutcome::Bus => Some((Signal::SIGBUS, info::BUS_ADRERR)),
            FaultOutcome::NoMemory => {
                self.thread_group().kill();
                None
            }
        }
    }

    /// Raises the signal of a CPU exception; `host` is what the host said it is.
    pub(crate) fn on_exception(
        self: &Arc<Task>,
        vector: u8,
        error: u64,
        addr: u64,
        host: (u8, i32),
    ) {
        self.leave_thunk();
        let ip = self.context().ok().and_then(|c| c.regs()).map(|r| r.gp.rip);
        let ip = ip.unwrap_or(addr);
        {
            let mut last = self.last_trap.lock();
            *last = [u64::from(vector), error, last[2]];
        }
        let told = Signal::new(u64::from(host.0)).map(|s| (s, host.1, addr));
        let (signal, code, addr) = told.unwrap_or(match vector {
            0 => (Signal::SIGFPE, info::FPE_INTDIV, ip),
            1 => (Signal::SIGTRAP, info::TRAP_BRKPT, ip),
            3 => (Signal::SIGTRAP, info::SI_KERNEL, 0),
            6 => (Signal::SIGILL, info::ILL_ILLOPN, ip),
            16 | 19 => (Signal::SIGFPE, 0, ip),
            17 => (Signal::SIGBUS, 1, 0),
            _ => (Signal::SIGSEGV, info::SI_KERNEL, 0),
        });
        send::force(self, info::fault(signal, code, addr));
    }
}
