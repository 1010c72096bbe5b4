//! Robust futex lists (`set_robust_list(2)`, `get_robust_list(2)`): locks a dead thread held
//! are marked and one waiter of each is woken.

use std::sync::Arc;

use super::pi::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS};
use super::{FutexTable, Key};
use crate::mm::Mm;

/// Most entries followed, as in Linux, so that a looped list ends.
const LIMIT: usize = 2048;

fn load_u64(mm: &Mm, addr: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    mm.copy_in(addr, &mut bytes).ok()?;
    Some(u64::from_ne_bytes(bytes))
}

/// Walks the list at `head` of thread `tid`, which is ending.
pub fn exit_robust_list(table: &FutexTable, mm: &Arc<Mm>, head: u64, tid: i32) {
    let Some(mut entry) = load_u64(mm, head) else { return };
    let Some(offset) = load_u64(mm, head.wrapping_add(8)) else { return };
    let pending = load_u64(mm, head.wrapping_add(16)).unwrap_or(0);
    for _ in 0..LIMIT {
        // The lowest bit marks a priority-inheriting lock.
        let (at, pi) = (entry & !1, entry & 1 != 0);
        if at == head || at == 0 {
            break;
        }
        let next = load_u64(mm, at);
        if at != pending & !1 {
            died(table, mm, at.wrapping_add(offset), tid, pi, false);
        }
        match next {
            Some(next) => entry = next,
            None => break,
        }
    }
    if pending & !1 != 0 {
        died(table, mm, (pending & !1).wrapping_add(offset), tid, pending & 1 != 0, true);
    }
}

/// Marks the word at `addr` if `tid` owns it, and wakes one waiter.
fn died(table: &FutexTable, mm: &Arc<Mm>, addr: u64, tid: i32, pi: bool, pending: bool) {
    if addr % 4 != 0 {
        return;
    }
    let Ok(mut word) = mm.load_u32(addr) else { return };
    let wake = |bits| {
        for private in [false, true] {
            if let Ok(key) = Key::of(mm, addr, private)
                && table.wake(key, bits, 1) > 0
            {
                break;
            }
        }
    };
    // An unlock in progress: the word is free already but a waiter may not be woken yet.
    if pending && !pi && word == 0 {
        return wake(u32::MAX);
    }
    while word & FUTEX_TID_MASK == tid.cast_unsigned() {
        let new = (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
        match mm.compare_exchange_u32(addr, word, new) {
            Ok(seen) if seen == word => {
                if word & FUTEX_WAITERS != 0 {
                    wake(u32::MAX);
                }
                return;
            }
            Ok(seen) => word = seen,
            Err(_) => return,
        }
    }
}
