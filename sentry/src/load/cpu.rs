//! What the auxiliary vector tells of the CPU (`getauxval(3)`).

use std::arch::x86_64::{__cpuid, __cpuid_count};

/// `AT_HWCAP`: the feature bits of CPUID leaf 1 in `edx`.
pub fn hwcap() -> u64 {
    u64::from(__cpuid(1).edx)
}

/// `AT_HWCAP2`: bit 1 says that FS and GS bases may be written by instruction.
pub fn hwcap2() -> u64 {
    let max = __cpuid(0).eax;
    let fsgsbase = max >= 7 && __cpuid_count(7, 0).ebx & 1 != 0;
    if fsgsbase { 2 } else { 0 }
}

/// `AT_MINSIGSTKSZ`: a signal frame with all extended state this CPU has enabled.
pub fn min_signal_stack() -> u64 {
    let max = __cpuid(0).eax;
    let xsave = if max >= 0xd {
        __cpuid_count(0xd, 0).ebx
    } else {
        0
    };
    // Frame without extended state, alignment and the red zone.
    u64::from(xsave.max(512)) + FRAME
}

/// The part of a signal frame that does not depend on the CPU, with padding.
const FRAME: u64 = 936;
