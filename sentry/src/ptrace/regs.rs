//! Registers as a tracer sees them: `struct user_regs_struct`, FXSAVE and XSAVE images.

use abi::Errno;
use platform::{GpRegs, Registers, XState};

use crate::Result;
use crate::task::Task;

/// Flags a tracer may change (`ptrace(2)`: arithmetic, trap, direction, resume, nested task,
/// alignment check).
const CHANGEABLE_FLAGS: u64 = 0x0005_4dd5;
/// Bytes of the FXSAVE image, and where its software-reserved words stand.
const LEGACY: usize = 512;
const SW_RESERVED: usize = 464;
/// XSAVE header.
const HEADER: usize = 64;
/// `FP_XSTATE_MAGIC1` and `FP_XSTATE_MAGIC2`, which frame a state in a signal frame.
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
/// Control words of the initial state.
const FCW: u16 = 0x37f;
const MXCSR: u32 = 0x1f80;

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(to) = bytes.get_mut(at..at.saturating_add(value.len())) {
        to.copy_from_slice(value);
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let w = bytes.get(at..).and_then(|b| b.first_chunk::<8>());
    w.map_or(0, |w| u64::from_ne_bytes(*w))
}

fn half(bytes: &[u8], at: usize) -> usize {
    let w = bytes.get(at..).and_then(|b| b.first_chunk::<4>());
    w.map_or(0, |w| u32::from_ne_bytes(*w) as usize)
}

/// An XSAVE image with the features where a regset has them; as a legacy image alone when
/// the CPU has no more.
pub fn xsave_image(state: &XState) -> Vec<u8> {
    let mut bytes = state.0.clone();
    if bytes.len() < LEGACY {
        bytes = vec![0; LEGACY + HEADER];
        put(&mut bytes, 0, &FCW.to_ne_bytes());
        put(&mut bytes, 24, &MXCSR.to_ne_bytes());
        put(&mut bytes, SW_RESERVED, &3u64.to_ne_bytes());
        return bytes;
    }
    let (features, size) = (
        word(&bytes, SW_RESERVED + 8),
        half(&bytes, SW_RESERVED + 16),
    );
    if half(&bytes, SW_RESERVED) == MAGIC1 as usize && size >= LEGACY + HEADER {
        bytes.truncate(size);
    }
    put(&mut bytes, SW_RESERVED, &[0; 48]);
    put(&mut bytes, SW_RESERVED, &features.to_ne_bytes());
    bytes
}

/// The legacy part alone.
pub fn fxsave_image(state: &XState) -> Vec<u8> {
    let mut bytes = xsave_image(state);
    bytes.truncate(LEGACY);
    put(&mut bytes, SW_RESERVED, &[0; 48]);
    bytes
}

/// A state as the platform takes it, from an XSAVE image.
fn framed(image: &[u8]) -> XState {
    let mut bytes = image.to_vec();
    let size = u32::try_from(image.len()).unwrap_or(0);
    let features = word(image, SW_RESERVED).max(word(image, LEGACY));
    put(&mut bytes, SW_RESERVED, &MAGIC1.to_ne_bytes());
    put(
        &mut bytes,
        SW_RESERVED + 4,
        &size.saturating_add(4).to_ne_bytes(),
    );
    put(&mut bytes, SW_RESERVED + 8, &features.to_ne_bytes());
    put(&mut bytes, SW_RESERVED + 16, &size.to_ne_bytes());
    bytes.extend_from_slice(&MAGIC2.to_ne_bytes());
    XState(bytes)
}

impl Task {
    fn stopped_regs(&self) -> Result<Registers> {
        self.context()?.regs().ok_or(Errno::EIO)
    }

    /// The general registers of a stopped tracee.
    pub fn user_regs(&self) -> Result<GpRegs> {
        let mut gp = self.stopped_regs()?.gp;
        gp.orig_rax = self.ptrace.lock().nr.cast_unsigned();
        Ok(gp)
    }

    /// Replaces them. Bits that are not the guest's to change stay.
    pub fn set_user_regs(&self, new: &GpRegs) -> Result<()> {
        if new.fs_base >= 1 << 47 || new.gs_base >= 1 << 47 {
            return Err(Errno::EIO);
        }
        let mut regs = self.stopped_regs()?;
        let old = regs.gp;
        regs.gp = GpRegs {
            eflags: (old.eflags & !CHANGEABLE_FLAGS) | (new.eflags & CHANGEABLE_FLAGS),
            cs: old.cs,
            ss: old.ss,
            ds: old.ds,
            es: old.es,
            fs: old.fs,
            gs: old.gs,
            ..*new
        };
        self.context()?.set_regs(&regs).map_err(|_| Errno::EIO)?;
        let nr = i64::from(new.orig_rax as u32 as i32);
        let mut tr = self.ptrace.lock();
        // Writing what is there changes nothing for a call that waits.
        tr.altered |= regs.gp
            != (GpRegs {
                orig_rax: regs.gp.orig_rax,
                ..old
            })
            || nr != tr.nr;
        tr.nr = nr;
        Ok(())
    }

    /// Extended state of a stopped tracee: whole, or the legacy part.
    pub fn user_xstate(&self, whole: bool) -> Result<Vec<u8>> {
        let state = self.stopped_regs()?.xstate;
        Ok(if whole {
            xsave_image(&state)
        } else {
            fxsave_image(&state)
        })
    }

    /// Replaces it; `EINVAL` for an image of another size.
    pub fn set_user_xstate(&self, image: &[u8], whole: bool) -> Result<()> {
        let mut regs = self.stopped_regs()?;
        let now = xsave_image(&regs.xstate);
        let mut next = now.clone();
        if whole {
            if image.len() != now.len() {
                return Err(Errno::EINVAL);
            }
            next.copy_from_slice(image);
            put(
                &mut next,
                SW_RESERVED,
                &word(&now, SW_RESERVED).to_ne_bytes(),
            );
        } else {
            if image.len() != LEGACY {
                return Err(Errno::EINVAL);
            }
            put(&mut next, 0, image.get(..SW_RESERVED).unwrap_or_default());
            // The legacy components are in use now.
            let used = word(&now, LEGACY) | 3;
            put(&mut next, LEGACY, &used.to_ne_bytes());
        }
        regs.xstate = framed(&next);
        self.context()?.set_regs(&regs).map_err(|_| Errno::EIO)
    }
}
