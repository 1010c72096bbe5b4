//! Robust futexes: locks whose owner exits (`set_robust_list(2)`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::table::{Key, Scope, wake_key};
use crate::task::Task;

/// Most entries looked at, so that a circular list ends.
const LIMIT: usize = 2048;
/// `FUTEX_TID_MASK`.
const TID_MASK: u32 = 0x3fff_ffff;
/// `FUTEX_OWNER_DIED`.
const OWNER_DIED: u32 = 0x4000_0000;
/// `FUTEX_WAITERS`.
const WAITERS: u32 = 0x8000_0000;

fn read_u64(t: &Task, addr: u64) -> Option<u64> {
    let mut bytes = [0u8; 8];
    t.mm().copy_in(addr, &mut bytes).ok()?;
    Some(u64::from_ne_bytes(bytes))
}

/// Walks the list of a task that exits or executes another program: each lock it holds is
/// marked and one waiter woken.
pub fn exit(t: &Arc<Task>) {
    let head = t.robust_list.swap(0, Ordering::SeqCst);
    if head == 0 {
        return;
    }
    let (Some(mut entry), Some(offset), Some(pending)) = (
        read_u64(t, head),
        read_u64(t, head.wrapping_add(8)),
        read_u64(t, head.wrapping_add(16)),
    ) else {
        return;
    };
    for _ in 0..LIMIT {
        // Bit 0 of a pointer marks a PI futex.
        let at = entry & !1;
        if at == head {
            break;
        }
        let next = read_u64(t, at);
        if entry != pending && !release(t, at.wrapping_add(offset), false) {
            return;
        }
        match next {
            Some(next) => entry = next,
            None => return,
        }
    }
    if pending & !1 != 0 {
        release(t, (pending & !1).wrapping_add(offset), true);
    }
}

/// Marks one lock as left by a dead owner; `false` when its memory cannot be used.
fn release(t: &Arc<Task>, addr: u64, pending: bool) -> bool {
    if !addr.is_multiple_of(4) {
        return false;
    }
    let mm = t.mm();
    let tid = u32::try_from(t.tid()).unwrap_or(0);
    loop {
        let Ok(word) = mm.load_u32(addr) else {
            return false;
        };
        if pending && word == 0 {
            // It was about to be taken or was just released: a waiter must not sleep on.
            wake_one(t, addr);
            return true;
        }
        if word & TID_MASK != tid {
            return true;
        }
        let new = (word & WAITERS) | OWNER_DIED;
        match mm.compare_exchange_u32(addr, word, new) {
            Ok(seen) if seen == word => {
                if word & WAITERS != 0 {
                    wake_one(t, addr);
                }
                return true;
            }
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

fn wake_one(t: &Task, addr: u64) {
    for scope in [Scope::Shared, Scope::Private] {
        if let Ok(key) = Key::of(t, addr, scope)
            && wake_key(t, &key, 1, u32::MAX).is_ok_and(|n| n > 0)
        {
            return;
        }
    }
}
