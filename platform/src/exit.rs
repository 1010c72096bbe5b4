//! What a guest thread did: the events a platform reports.

use crate::Cookie;

/// Kind of memory access that faulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Exec,
}

/// Which host condition a fault was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// Nothing mapped there, or a protection violation: the kernel decides by its VMAs.
    Page,
    /// The mapping exists but the host could not supply the page (past the end of a file).
    Bus,
}

/// Why a guest thread stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The guest executed a system call instruction (x86-64 convention).
    Syscall {
        /// Number as in `rax`.
        nr: u64,
        /// `rdi, rsi, rdx, r10, r8, r9`.
        args: [u64; 6],
        /// Address after the instruction.
        ip: u64,
    },
    /// The guest executed a system call by another ABI (`int $0x80`, x32).
    ForeignSyscall {
        /// Number as the host reported it.
        nr: u64,
    },
    /// A memory access failed. Registers are available.
    Fault {
        /// Exact faulting address.
        addr: u64,
        /// What was tried.
        access: Access,
        /// What the host said.
        kind: FaultKind,
    },
    /// Another CPU exception. Registers are available.
    Exception {
        /// x86 vector (0 divide, 1 debug, 3 breakpoint, 4 overflow, 5 bound, 6 invalid
        /// opcode, 13 general protection, 16 x87, 17 alignment, 19 SIMD).
        vector: u8,
        /// Error code pushed by the CPU.
        error: u64,
        /// Address the host reported with it (`si_addr`).
        addr: u64,
        /// Signal number the host raised for it; 0 where there is none.
        signo: u8,
        /// The host's `si_code` for it; 0 where there is none.
        code: i32,
    },
    /// [`crate::Context::interrupt`] took effect. Registers are available. May be spurious.
    Interrupted,
    /// The guest thread is gone: killed, or its address space died. `signo` is the signal
    /// the host says ended it, where it is known.
    Gone {
        /// Host signal, 0 if unknown.
        signo: u8,
    },
}

/// What `Platform::next` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A guest thread stopped.
    Guest {
        /// Which.
        cookie: Cookie,
        /// Why.
        exit: Exit,
    },
    /// A watched host descriptor is ready.
    Ready(u64),
    /// Somebody called `kick`.
    Kick,
    /// The time given passed.
    Timeout,
}
