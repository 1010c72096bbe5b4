//! The register file of a guest thread (x86-64).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// General registers, in the order of `struct user_regs_struct` (`<sys/user.h>`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
#[expect(missing_docs, reason = "registers are named as the CPU names them")]
pub struct GpRegs {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub orig_rax: u64,
    pub rip: u64,
    pub cs: u64,
    pub eflags: u64,
    pub rsp: u64,
    pub ss: u64,
    pub fs_base: u64,
    pub gs_base: u64,
    pub ds: u64,
    pub es: u64,
    pub fs: u64,
    pub gs: u64,
}

/// Extended state (x87, SSE, AVX …) in the non-compacted XSAVE format, as Linux puts it in
/// a signal frame: 512 legacy bytes with the software-reserved words at 464, the XSAVE
/// header, the components, and the 4-byte trailing magic. Empty means the initial state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XState(pub Vec<u8>);

/// The whole register file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// General registers, flags, segment bases.
    pub gp: GpRegs,
    /// Extended state.
    pub xstate: XState,
}
