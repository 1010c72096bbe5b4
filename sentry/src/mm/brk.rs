//! `brk(2)`: the heap.

use abi::PAGE_SIZE;

use super::derive::CHUNK;
use super::state::{Batch, GUARD_GAP, Mm, MmLimits, State};
use super::vma::{MapProt, Object, Vma, VmaFlags, VmaName, page_up};

impl Mm {
    /// Where the heap begins; at exec.
    pub fn set_brk_start(&self, start: u64) {
        let mut state = self.state.write();
        state.brk_start = start;
        state.brk = start;
    }

    /// Start and end of the heap.
    pub fn heap(&self) -> (u64, u64) {
        let state = self.state.read();
        (state.brk_start, state.brk)
    }

    /// Moves the end of the heap to `to`; the end afterwards, which is the old one when it
    /// could not be moved.
    pub fn brk(&self, to: u64, limits: &MmLimits) -> u64 {
        let mut batch = Batch::default();
        let mut guard = self.state.write();
        let state = &mut *guard;
        if to < state.brk_start || to > self.range.1 {
            return state.brk;
        }
        let (Some(old), Some(new)) = (page_up(state.brk), page_up(to)) else {
            return state.brk;
        };
        if new < old {
            if state.check_seals(new, old).is_err() {
                return state.brk;
            }
            self.unmap_range(state, new, old, &mut batch);
        } else if new > old {
            if !self.heap_may_grow(state, old, new, limits) {
                return state.brk;
            }
            self.grow_heap(state, old, new, &mut batch);
        }
        state.brk = to;
        self.commit_soon(state, &mut batch);
        let locked = state.lock_future;
        drop(guard);
        if new > old && super::map::locked_now(locked) {
            // As with mmap, what cannot be made present is left to faults.
            let _ = self.populate(old, new, true);
        }
        to
    }

    fn heap_may_grow(&self, state: &State, old: u64, new: u64, limits: &MmLimits) -> bool {
        let more = new - old;
        let above = state.vmas.next(old).map_or(self.range.1, |v| {
            if v.flags.contains(VmaFlags::GROWSDOWN) {
                v.start.saturating_sub(GUARD_GAP)
            } else {
                v.start
            }
        });
        let locked = !state.lock_future.is_empty() && !limits.may_lock;
        above >= new.saturating_add(PAGE_SIZE)
            && state.vmas.total().saturating_add(more) <= limits.address_space
            && (limits.data == u64::MAX || new.saturating_sub(state.brk_start) <= limits.data)
            && (!locked || state.locked().saturating_add(more) <= limits.memlock)
    }

    fn grow_heap(&self, state: &mut State, old: u64, new: u64, batch: &mut Batch) {
        state.vmas.insert(Vma {
            start: old,
            end: new,
            prot: MapProt::READ | MapProt::WRITE,
            flags: state.lock_future,
            object: Object::Anon,
            offset: 0,
            name: VmaName::Heap,
            policy: super::policy::MemPolicy::default(),
        });
        state.peak = state.peak.max(state.vmas.total());
        // Memory for much more is set aside, so that a growing heap stays one mapping.
        let hull = (old, new.saturating_add(CHUNK).min(self.range.1));
        let _ = self.give_memory(state, old, new, hull);
        self.derive(state, old, new, batch);
    }
}
