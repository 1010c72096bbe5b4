//! Atomic access to words of guest memory, for futexes and the robust list.
//!
//! Words must be aligned to their size; a misaligned one fails like a fault.

use crate::fault::{
    Word, guestmem_add32, guestmem_cas32, guestmem_cas64, guestmem_load32, guestmem_load64,
    guestmem_swap32, guestmem_swap64,
};
use crate::slice::{CopyFault, Slice};

/// A read-modify-write of a 32-bit word; the operations of `FUTEX_WAKE_OP` (futex(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchOp {
    /// `word = arg`
    Set,
    /// `word += arg`, wrapping
    Add,
    /// `word |= arg`
    Or,
    /// `word &= !arg`
    AndNot,
    /// `word ^= arg`
    Xor,
}

const FAULT: CopyFault = CopyFault { done: 0 };

/// The value, unless the access faulted.
fn check(word: Word) -> Result<u64, CopyFault> {
    if word.faulted == 0 {
        Ok(word.value)
    } else {
        Err(FAULT)
    }
}

impl Slice<'_> {
    /// The address of the word at the start, when it is aligned and within the slice.
    fn word(self, size: usize) -> Result<*mut u8, CopyFault> {
        if self.len() < size || !self.as_ptr().addr().is_multiple_of(size) {
            return Err(FAULT);
        }
        Ok(self.as_ptr())
    }

    /// Loads the word at the start.
    pub fn load_u32(self) -> Result<u32, CopyFault> {
        let p = self.word(4)?;
        // SAFETY: `p` is an aligned word within the slice; faults are reported.
        check(unsafe { guestmem_load32(p) }).map(|v| v as u32)
    }

    /// Loads the word at the start.
    pub fn load_u64(self) -> Result<u64, CopyFault> {
        let p = self.word(8)?;
        // SAFETY: as in `load_u32`.
        check(unsafe { guestmem_load64(p) })
    }

    /// Stores to the word at the start.
    pub fn store_u32(self, value: u32) -> Result<(), CopyFault> {
        self.swap_u32(value).map(|_| ())
    }

    /// Stores to the word at the start.
    pub fn store_u64(self, value: u64) -> Result<(), CopyFault> {
        let p = self.word(8)?;
        // SAFETY: as in `load_u32`.
        check(unsafe { guestmem_swap64(p, value) }).map(|_| ())
    }

    /// Replaces the word at the start; returns the old value.
    pub fn swap_u32(self, value: u32) -> Result<u32, CopyFault> {
        let p = self.word(4)?;
        // SAFETY: as in `load_u32`.
        check(unsafe { guestmem_swap32(p, value) }).map(|v| v as u32)
    }

    /// Stores `new` when the word is `old`. Returns what it was; equal to `old` means that
    /// it was replaced.
    pub fn compare_exchange_u32(self, old: u32, new: u32) -> Result<u32, CopyFault> {
        let p = self.word(4)?;
        // SAFETY: as in `load_u32`.
        check(unsafe { guestmem_cas32(p, old, new) }).map(|v| v as u32)
    }

    /// Stores `new` when the word is `old`. Returns what it was.
    pub fn compare_exchange_u64(self, old: u64, new: u64) -> Result<u64, CopyFault> {
        let p = self.word(8)?;
        // SAFETY: as in `load_u32`.
        check(unsafe { guestmem_cas64(p, old, new) })
    }

    /// Applies `op` atomically to the word at the start; returns the old value.
    pub fn fetch_u32(self, op: FetchOp, arg: u32) -> Result<u32, CopyFault> {
        let p = self.word(4)?;
        let new_of: fn(u32, u32) -> u32 = match op {
            FetchOp::Set => return self.swap_u32(arg),
            FetchOp::Add => {
                // SAFETY: as in `load_u32`.
                return check(unsafe { guestmem_add32(p, arg) }).map(|v| v as u32);
            }
            FetchOp::Or => |w, a| w | a,
            FetchOp::AndNot => |w, a| w & !a,
            FetchOp::Xor => |w, a| w ^ a,
        };
        let mut old = self.load_u32()?;
        loop {
            let seen = self.compare_exchange_u32(old, new_of(old, arg))?;
            if seen == old {
                return Ok(old);
            }
            old = seen;
        }
    }
}
