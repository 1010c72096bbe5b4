//! Futexes (`futex(2)`): wait queues keyed by a word of guest memory.
//!
//! A waiter lies in the bucket of its key. Whoever wakes it takes it out of the bucket and
//! marks it woken, so that a waiter's step never looks at the word again: what the waker has
//! given is in the waiter. Lock rank: a bucket is above the map lock of an address space
//! (the word is read with the bucket held, which makes "test and sleep" atomic against a
//! waker) and above wait queues; two buckets are locked in order of their index.

mod pi;
mod robust;
mod table;

use std::sync::Arc;

use abi::Errno;

use crate::Result;
use crate::mm::Mm;

pub use pi::Locked;
pub use robust::exit_robust_list;
pub use table::{FutexTable, Waiter};

/// Most waiters one wake or requeue touches.
pub const ALL: u32 = i32::MAX as u32;

/// What a futex word is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// Of one address space: its id and the address.
    Private(u64, u64),
    /// Of a memory object that several may map: object and offset in it.
    Shared(u64, u64),
}

impl Key {
    /// The key of the word at `addr`: `EINVAL` unless aligned to 4; `EFAULT`.
    pub fn of(mm: &Arc<Mm>, addr: u64, private: bool) -> Result<Key> {
        if addr % 4 != 0 {
            return Err(Errno::EINVAL);
        }
        if addr >= 0x7fff_ffff_f000 {
            return Err(Errno::EFAULT);
        }
        if private {
            return Ok(Key::Private(mm.id(), addr));
        }
        let (object, offset) = mm.shared_key(addr)?;
        Ok(Key::Shared(object, offset))
    }
}

/// Encoded operation of `FUTEX_WAKE_OP` (`futex(2)`).
#[derive(Clone, Copy, Debug)]
pub struct WakeOp(pub u32);

impl WakeOp {
    fn operands(self) -> (u32, u32) {
        // Both are 12-bit signed fields.
        let sign = |v: u32| ((v << 20).cast_signed() >> 20).cast_unsigned();
        (sign(self.0 >> 12 & 0xfff), sign(self.0 & 0xfff))
    }

    /// Applies the operation to the word at `addr`; the old value. `ENOSYS` for an unknown
    /// operation.
    pub fn apply(self, mm: &Mm, addr: u64) -> Result<u32> {
        let (mut arg, _) = self.operands();
        if self.0 >> 28 & 8 != 0 {
            arg = 1u32.checked_shl(arg & 31).unwrap_or(0);
        }
        let new = |old: u32| match self.0 >> 28 & 7 {
            0 => Ok(arg),
            1 => Ok(old.wrapping_add(arg)),
            2 => Ok(old | arg),
            3 => Ok(old & !arg),
            4 => Ok(old ^ arg),
            _ => Err(Errno::ENOSYS),
        };
        let mut old = mm.load_u32(addr)?;
        loop {
            let seen = mm.compare_exchange_u32(addr, old, new(old)?)?;
            if seen == old {
                return Ok(old);
            }
            old = seen;
        }
    }

    /// Compares the old value; `ENOSYS` for an unknown comparison.
    pub fn compare(self, old: u32) -> Result<bool> {
        let (_, arg) = self.operands();
        let (old, arg) = (old.cast_signed(), arg.cast_signed());
        Ok(match self.0 >> 24 & 0xf {
            0 => old == arg,
            1 => old != arg,
            2 => old < arg,
            3 => old <= arg,
            4 => old > arg,
            5 => old >= arg,
            _ => return Err(Errno::ENOSYS),
        })
    }
}
