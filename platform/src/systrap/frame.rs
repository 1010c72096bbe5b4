//! The host's signal frame as a register file.
//!
//! A frame lies in a thread's area, which guest code can write: it is copied once and
//! checked, and written back whole. Layout: `struct rt_sigframe` of x86-64, that is a
//! `ucontext`, a `siginfo`, and the extended state the ucontext points to.

use super::layout::{AREA_BIRTH, AREA_BIRTH_FP, AREA_FS, AREA_GS, AREA_STACK};
use super::raw::{Window, XLayout};
use crate::regs::{GpRegs, Registers, XState};

/// Bytes of a `ucontext` as the kernel writes it.
const UCONTEXT: usize = 304;
/// Bytes of ucontext and siginfo.
const FRAME: u64 = 304 + 128;
/// `uc_flags`: extended state is there, SS is valid and strictly restored.
const UC_FLAGS: u64 = 7;
/// CS and SS of 64-bit user code, with GS and FS selectors 0.
const SEGMENTS: u64 = 0x002b_0000_0000_0033;
/// `FP_XSTATE_MAGIC1`.
const MAGIC1: u32 = 0x4650_5853;
/// `FP_XSTATE_MAGIC2`.
const MAGIC2: u32 = 0x4650_5845;
/// x87 and SSE, the legacy components.
const LEGACY_FEATURES: u64 = 3;

/// Word offsets in a ucontext, in the order of `struct sigcontext` from byte 40.
const MCONTEXT: usize = 40;
/// Place of the pointer to extended state in `struct sigcontext`.
const FPSTATE: u64 = 23;

/// One thread's area in the control file.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// Offset in the control file.
    pub offset: u64,
    /// Address in the stub.
    pub addr: u64,
    /// Bytes.
    pub len: u64,
}

/// What a signal frame says besides the registers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SigInfo {
    /// `si_addr`, or the call's address for SIGSYS.
    pub addr: u64,
    /// SIGSYS: the call's number.
    pub nr: u32,
    /// SIGSYS: the AUDIT_ARCH of the call.
    pub arch: u32,
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let end = at.saturating_add(8);
    bytes
        .get(at..end)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

fn half(bytes: &[u8], at: usize) -> u32 {
    let end = at.saturating_add(4);
    bytes
        .get(at..end)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u32::from_le_bytes)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(to) = bytes.get_mut(at..at.saturating_add(value.len())) {
        to.copy_from_slice(value);
    }
}

impl Area {
    /// Turns the address of a ucontext into its offset in the area, if a whole frame can lie
    /// there.
    #[must_use]
    pub fn frame_at(&self, ucontext: u64) -> Option<u64> {
        let at = ucontext.checked_sub(self.addr)?;
        let fits = at >= AREA_STACK && at.checked_add(FRAME)? <= self.len;
        (fits && at % 8 == 0).then_some(at)
    }

    /// The offset in the area of a frame's extended state of `size` bytes (and its trailer).
    fn xstate_at(&self, pointer: u64, size: usize) -> Option<u64> {
        let at = pointer.checked_sub(self.addr)?;
        let end = at.checked_add(size as u64)?.checked_add(4)?;
        (at >= AREA_STACK && end <= self.len && at % 64 == 0).then_some(at)
    }

    /// Sets the return register of the frame at `at`.
    pub fn set_rax(&self, window: &Window, at: u64, value: u64) {
        window.set64(self.offset + at + 40 + 8 * 13, value);
    }

    /// A general register of the frame at `at`, by its place in `struct sigcontext`.
    #[must_use]
    pub fn reg(&self, window: &Window, at: u64, n: u64) -> u64 {
        window.get64(self.offset + at + MCONTEXT as u64 + 8 * n)
    }

    /// Sets a general register of the frame at `at`.
    pub fn set_reg(&self, window: &Window, at: u64, n: u64, value: u64) {
        window.set64(self.offset + at + MCONTEXT as u64 + 8 * n, value);
    }

    /// Completes a register file that posting code has saved at [`AREA_BIRTH`]: what the host
    /// would have added to a frame.
    pub fn complete(&self, window: &Window, x: &XLayout) {
        let fp = self.offset + AREA_BIRTH_FP;
        self.set_reg(window, AREA_BIRTH, FPSTATE, self.addr + AREA_BIRTH_FP);
        let size = u32::try_from(x.size).unwrap_or(0);
        window.set32(fp + 464, MAGIC1);
        window.set32(fp + 468, size.saturating_add(4));
        window.set64(fp + 472, x.features);
        window.set32(fp + 480, size);
        window.set32(fp + u64::from(size), MAGIC2);
    }

    /// Has a register file at [`AREA_BIRTH`] without extended state load the initial one.
    pub fn default_state(&self, window: &Window) {
        const MXCSR: u32 = 0x1f80;
        if self.reg(window, AREA_BIRTH, FPSTATE) == 0 {
            let fp = self.offset + AREA_BIRTH_FP;
            window.copy_in(fp + 512, &[0; 64]);
            window.set32(fp + 24, MXCSR);
        }
    }

    /// Copies the register file at `from` to the frame at `to`.
    pub fn move_frame(&self, window: &Window, from: u64, to: u64, x: &XLayout) {
        let regs = self.read(window, from, x);
        self.write(window, to, &regs, x);
    }

    /// The `siginfo` of the frame at `at`.
    #[must_use]
    pub fn siginfo(&self, window: &Window, at: u64) -> SigInfo {
        let info = self.offset + at + UCONTEXT as u64;
        let nr_arch = window.get64(info + 24);
        SigInfo {
            addr: window.get64(info + 16),
            nr: (nr_arch & 0xffff_ffff) as u32,
            arch: (nr_arch >> 32) as u32,
        }
    }

    /// The general registers of the frame at `at`.
    #[must_use]
    pub fn gp(&self, window: &Window, at: u64) -> GpRegs {
        let mut uc = [0u8; UCONTEXT];
        // The offset was checked by `frame_at`; a copy that fails leaves zeros.
        let _ = window.copy_out(self.offset + at, &mut uc);
        self.decode(window, &uc)
    }

    fn decode(&self, window: &Window, uc: &[u8; UCONTEXT]) -> GpRegs {
        let reg = |n: usize| word(uc, MCONTEXT + 8 * n);
        GpRegs {
            r8: reg(0),
            r9: reg(1),
            r10: reg(2),
            r11: reg(3),
            r12: reg(4),
            r13: reg(5),
            r14: reg(6),
            r15: reg(7),
            rdi: reg(8),
            rsi: reg(9),
            rbp: reg(10),
            rbx: reg(11),
            rdx: reg(12),
            rax: reg(13),
            rcx: reg(14),
            rsp: reg(15),
            rip: reg(16),
            eflags: reg(17),
            orig_rax: u64::MAX,
            cs: 0x33,
            ss: 0x2b,
            fs_base: window.get64(self.offset + AREA_FS),
            gs_base: window.get64(self.offset + AREA_GS),
            ds: 0,
            es: 0,
            fs: 0,
            gs: 0,
        }
    }

    /// The whole register file of the frame at `at`.
    #[must_use]
    pub fn read(&self, window: &Window, at: u64, x: &XLayout) -> Registers {
        let mut uc = [0u8; UCONTEXT];
        let _ = window.copy_out(self.offset + at, &mut uc);
        let gp = self.decode(window, &uc);
        let pointer = word(&uc, MCONTEXT + 184);
        let mut xstate = Vec::new();
        if let Some(from) = self.xstate_at(pointer, x.size) {
            xstate = vec![0; x.size.saturating_add(4)];
            let _ = window.copy_out(self.offset + from, &mut xstate);
        }
        Registers {
            gp,
            xstate: XState(xstate),
        }
    }

    /// Writes the register file to the frame at `at`: general registers, segment bases,
    /// empty signal mask, our alternate stack, and extended state the CPU accepts.
    pub fn write(&self, window: &Window, at: u64, regs: &Registers, x: &XLayout) {
        let old = window.get64(self.offset + at + MCONTEXT as u64 + 184);
        let state = sanitize(&regs.xstate.0, x);
        let mut pointer = 0;
        if let Some(state) = state {
            let place = self.xstate_at(old, x.size).unwrap_or(AREA_BIRTH_FP);
            window.copy_in(self.offset + place, &state);
            pointer = self.addr + place;
        }
        let mut uc = [0u8; UCONTEXT];
        put(&mut uc, 0, &UC_FLAGS.to_le_bytes());
        put(&mut uc, 16, &(self.addr + AREA_STACK).to_le_bytes());
        put(&mut uc, 32, &(self.len - AREA_STACK).to_le_bytes());
        let g = &regs.gp;
        let words = [
            g.r8, g.r9, g.r10, g.r11, g.r12, g.r13, g.r14, g.r15, g.rdi, g.rsi, g.rbp, g.rbx,
            g.rdx, g.rax, g.rcx, g.rsp, g.rip, g.eflags, SEGMENTS, 0, 0, 0, 0, pointer,
        ];
        for (n, value) in words.iter().enumerate() {
            put(&mut uc, MCONTEXT + 8 * n, &value.to_le_bytes());
        }
        window.copy_in(self.offset + at, &uc);
        window.set64(self.offset + AREA_FS, user_base(g.fs_base));
        window.set64(self.offset + AREA_GS, user_base(g.gs_base));
    }
}

/// A segment base the guest may have; wrfsbase faults on others, or would show kernel
/// addresses as bases.
pub fn user_base(base: u64) -> u64 {
    if base < 1 << 47 { base } else { 0 }
}

/// Extended state as the host's rt_sigreturn accepts it; `None` is the initial state. As on
/// Linux, a frame without the magic words carries the legacy part only.
pub fn sanitize(given: &[u8], x: &XLayout) -> Option<Vec<u8>> {
    if given.len() < 512 {
        return None;
    }
    let mut state = vec![0u8; x.size.saturating_add(4)];
    let given_size = half(given, 480) as usize;
    let extended = half(given, 464) == MAGIC1
        && given_size >= 576
        && given_size <= x.size
        && half(given, given_size) == MAGIC2;
    let keep = if extended { given_size } else { 512 };
    put(&mut state, 0, given.get(..keep).unwrap_or(&[]));
    let mut features = LEGACY_FEATURES;
    if extended {
        features = word(given, 512) & word(given, 472) & x.features;
    }
    let mxcsr = half(&state, 24) & x.mxcsr_mask;
    put(&mut state, 24, &mxcsr.to_le_bytes());
    put(&mut state, 464, &[0; 48]);
    put(&mut state, 464, &MAGIC1.to_le_bytes());
    let extended_size = u32::try_from(x.size.saturating_add(4)).unwrap_or(0);
    put(&mut state, 468, &extended_size.to_le_bytes());
    put(&mut state, 472, &x.features.to_le_bytes());
    put(
        &mut state,
        480,
        &u32::try_from(x.size).unwrap_or(0).to_le_bytes(),
    );
    put(&mut state, 512, &[0; 64]);
    put(&mut state, 512, &features.to_le_bytes());
    put(&mut state, x.size, &MAGIC2.to_le_bytes());
    Some(state)
}

/// Extended state as ptrace shows it, or as [`sanitize`] has made it, in the form of a frame.
pub fn dress(given: &[u8], x: &XLayout) -> Vec<u8> {
    if given.len() < x.size {
        return Vec::new();
    }
    let size = u32::try_from(x.size).unwrap_or(0);
    let mut state = given.get(..x.size).unwrap_or(&[]).to_vec();
    state.extend_from_slice(&MAGIC2.to_le_bytes());
    put(&mut state, 464, &[0; 48]);
    put(&mut state, 464, &MAGIC1.to_le_bytes());
    put(&mut state, 468, &size.saturating_add(4).to_le_bytes());
    put(&mut state, 472, &x.features.to_le_bytes());
    put(&mut state, 480, &size.to_le_bytes());
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_state_is_made_harmless() {
        let x = XLayout {
            features: 0x2e7,
            size: 2696,
            mxcsr_mask: 0xffff,
        };
        assert!(sanitize(&[0xff; 100], &x).is_none());
        let state = sanitize(&[0xff; 4000], &x).unwrap();
        assert_eq!(state.len(), 2700);
        assert_eq!(half(&state, 24), 0xffff);
        assert_eq!(word(&state, 512), LEGACY_FEATURES);
        assert!(state[520..576].iter().all(|&b| b == 0));
        assert_eq!(half(&state, 2696), MAGIC2);
        // A sane one passes unchanged.
        let again = sanitize(&state, &x).unwrap();
        assert_eq!(again, state);
    }
}
