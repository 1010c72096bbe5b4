//! `FUTEX_WAKE_OP`: changes one word and wakes waiters of it and of another.

use std::sync::Arc;

use abi::Errno;

use super::table::{Key, Scope};
use crate::Result;
use crate::mm::Mm;
use crate::task::Task;

/// The encoded operation of `FUTEX_WAKE_OP`, taken apart.
#[derive(Clone, Copy, Debug)]
struct Encoded {
    op: u32,
    cmp: u32,
    oparg: u32,
    cmparg: u32,
}

impl Encoded {
    fn decode(raw: u32) -> Result<Encoded> {
        // Both arguments are signed 12-bit numbers.
        let signed = |v: u32| ((v << 20).cast_signed() >> 20).cast_unsigned();
        let mut e = Encoded {
            op: raw >> 28 & 7,
            cmp: raw >> 24 & 15,
            oparg: signed(raw >> 12 & 0xfff),
            cmparg: signed(raw & 0xfff),
        };
        if raw & 0x8000_0000 != 0 {
            // FUTEX_OP_OPARG_SHIFT: the argument is a bit number.
            e.oparg = 1u32.wrapping_shl(e.oparg);
        }
        if e.op > 4 || e.cmp > 5 {
            return Err(Errno::ENOSYS);
        }
        Ok(e)
    }

    fn apply(self, old: u32) -> u32 {
        match self.op {
            0 => self.oparg,
            1 => old.wrapping_add(self.oparg),
            2 => old | self.oparg,
            3 => old & !self.oparg,
            _ => old ^ self.oparg,
        }
    }

    fn holds(self, old: u32) -> bool {
        let (old, arg) = (old.cast_signed(), self.cmparg.cast_signed());
        match self.cmp {
            0 => old == arg,
            1 => old != arg,
            2 => old < arg,
            3 => old <= arg,
            4 => old > arg,
            _ => old >= arg,
        }
    }
}

fn change(mm: &Mm, addr: u64, e: Encoded) -> Result<u32> {
    let mut old = mm.load_u32(addr)?;
    loop {
        let seen = mm.compare_exchange_u32(addr, old, e.apply(old))?;
        if seen == old {
            return Ok(old);
        }
        old = seen;
    }
}

/// Changes the word at `second` as `op` says, wakes up to `n` waiters of `first`, and up to
/// `m` of `second` if its old value compares true; how many in all.
pub fn wake_op(
    t: &Arc<Task>,
    (first, second): (u64, u64),
    scope: Scope,
    (n, m): (usize, usize),
    op: u32,
) -> Result<usize> {
    let e = Encoded::decode(op)?;
    let (a, b) = (Key::of(t, first, scope)?, Key::of(t, second, scope)?);
    let mm = t.mm();
    mm.load_u32(second)?;
    let taken = {
        let (mut one, mut two) = t.kernel.futexes.lock_two(&a, &b);
        let old = change(&mm, second, e)?;
        let mut taken = one.take(&a, n, |_| true);
        if e.holds(old) {
            let other = two.as_mut().unwrap_or(&mut one);
            taken.extend(other.take(&b, m, |_| true));
        }
        taken.iter().for_each(|w| w.set_woken(false));
        taken
    };
    taken.iter().for_each(|w| w.wake_task());
    Ok(taken.len())
}
