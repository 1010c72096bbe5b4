//! Areas of restartable sequences (`rseq(2)`): memory that the host writes.
//!
//! The host notes the CPU in a registered area whenever it has moved or preempted the thread,
//! and kills the process where it cannot. So the page of an area is never shared with a
//! child, nor its right to be written taken for a while: at a fork the child gets its copy
//! at once. Only the guest itself can take that memory away, and dies of it as on Linux.
//! Neighbours: `fork`, `state` (what happens to the pages), `task::rseq` (whose they are).

use std::sync::atomic::Ordering;

use abi::PAGE_SIZE;

use super::spans::Span;
use super::state::{Mm, State};
use super::vma::{MapProt, page_down};
use crate::Result;

impl Mm {
    /// Keeps the page of the area at `addr` for the thread `key`, in place of the one it had
    /// before. `EFAULT` when nothing is mapped there; `ENOMEM`.
    pub fn keep_area(&self, key: u64, addr: u64) -> Result<()> {
        let page = page_down(addr);
        self.areas.lock().insert(key, page);
        if self.is_own(page) {
            return Ok(());
        }
        let mut head = [0; 8];
        self.copy_in(addr, &mut head)?;
        self.populate(page, page.saturating_add(PAGE_SIZE), true)
    }

    /// The thread `key` has no area here any more.
    pub fn drop_area(&self, key: u64) {
        self.areas.lock().remove(&key);
    }

    /// Whether the guest can write to the page now without a fault that we would see.
    fn is_own(&self, page: u64) -> bool {
        let state = self.state.read();
        let vma = state.vmas.find(page);
        vma.is_some_and(|v| v.prot.contains(MapProt::READ))
            && !self.dropped.load(Ordering::Relaxed)
            && Self::own_page(&state, page).is_some()
    }

    /// Pages with areas, in order.
    pub(super) fn area_pages(&self) -> Vec<u64> {
        let mut pages: Vec<u64> = self.areas.lock().values().copied().collect();
        pages.sort_unstable();
        pages.dedup();
        pages
    }

    /// The private memory of such a page, if it is the guest's own and writable.
    pub(super) fn own_page(state: &State, page: u64) -> Option<Span<bool>> {
        let private = |v: &&super::vma::Vma| !v.shared() && v.prot.contains(MapProt::WRITE);
        state.vmas.find(page).filter(private)?;
        let own = state.pmas.find(page).filter(|p| !p.tag)?;
        own.clip(page, page.saturating_add(PAGE_SIZE))
    }
}

/// What of `start..end` lies outside `pages`, which are in order.
pub(super) fn around(start: u64, end: u64, pages: &[u64]) -> Vec<(u64, u64)> {
    let mut rest = Vec::new();
    let mut at = start;
    for page in pages.iter().copied().filter(|p| (start..end).contains(p)) {
        if page > at {
            rest.push((at, page));
        }
        at = page.saturating_add(PAGE_SIZE);
    }
    if at < end {
        rest.push((at, end));
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::around;

    #[test]
    fn pages_are_left_out() {
        let p = 4096;
        assert_eq!(around(0, 4 * p, &[]), [(0, 4 * p)]);
        assert_eq!(
            around(0, 4 * p, &[0, 2 * p, 9 * p]),
            [(p, 2 * p), (3 * p, 4 * p)]
        );
        assert_eq!(around(p, 2 * p, &[p]), []);
    }
}
