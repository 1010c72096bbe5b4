//! Moving waiters from one futex to another (`FUTEX_REQUEUE`, `FUTEX_CMP_REQUEUE`).

use std::sync::Arc;

use abi::Errno;

use super::table::{Key, Scope};
use crate::Result;
use crate::task::Task;

/// Wakes up to `wake` waiters of `from` and moves up to `requeue` more to `to`; how many
/// were woken or moved. With `expected`, `EAGAIN` unless the word is that.
pub fn requeue(
    t: &Arc<Task>,
    (from, from_scope): (u64, Scope),
    (to, to_scope): (u64, Scope),
    wake: usize,
    requeue: usize,
    expected: Option<u32>,
) -> Result<usize> {
    let (a, b) = (Key::of(t, from, from_scope)?, Key::of(t, to, to_scope)?);
    let mm = t.mm();
    if expected.is_some() {
        mm.load_u32(from)?;
    }
    let (woken, moved) = {
        let (mut first, mut second) = t.kernel.futexes.lock_two(&a, &b);
        if let Some(value) = expected
            && mm.load_u32(from)? != value
        {
            return Err(Errno::EAGAIN);
        }
        if first.of(&a).any(|w| w.is_special()) {
            return Err(Errno::EINVAL);
        }
        let woken = first.take(&a, wake, |_| true);
        woken.iter().for_each(|w| w.set_woken(false));
        let moved = if a == b {
            // Onto itself: nothing moves, but the waiters count.
            first.of(&a).take(requeue).count()
        } else {
            let moved = first.take(&a, requeue, |_| true);
            for w in &moved {
                w.set_key(b);
                match &mut second {
                    Some(s) => s.push(w.clone()),
                    None => first.push(w.clone()),
                }
            }
            moved.len()
        };
        (woken, moved)
    };
    woken.iter().for_each(|w| w.wake_task());
    Ok(woken.len().saturating_add(moved))
}
