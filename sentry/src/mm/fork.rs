//! `fork(2)`: a copy of an address space that shares memory until it is written.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::{Errno, PAGE_SIZE};
use platform::{AddressSpace, PlatformError};

use super::cow::CLUSTER;
use super::derive::{insert_pma, protect_op};
use super::frames::FrameRange;
use super::spans::{Span, Spans};
use super::state::{Batch, Mm, State};
use super::vma::{MapProt, Vma, VmaFlags, page_down};
use crate::Result;

/// Most pieces a space may have to be put together anew in a spare one for a child: with
/// more, a copy by the host is quicker.
const REBUILD: usize = 64;
/// Longest piece of memory that is looked at for copying ahead.
const HOT_LEN: u64 = 1 << 20;
/// Most bytes that are copied ahead at a fork. A page costs a small part of what the two
/// faults cost that it saves.
const HOT_BYTES: u64 = 48 * PAGE_SIZE;
/// What of a stack is written soon: below and above the stack pointer.
const HOT_STACK: (u64, u64) = (2 * PAGE_SIZE, 4 * PAGE_SIZE);

/// A piece of memory that the child has its own copy of from the start.
struct Hot {
    start: u64,
    end: u64,
    copy: FrameRange,
    /// The parent keeps its memory to itself, and the right to write it.
    own: bool,
    /// Where it is still to be copied from: once nothing else can be written any more, so
    /// that no thread's later write is in the copy without its earlier ones.
    late: Option<u64>,
}

impl Mm {
    /// A copy of this address space, without threads. `ENOMEM` or `EAGAIN` when the host
    /// cannot make another. Guest threads of this space may run meanwhile; they fault on
    /// writes and wait. Where none runs, `alone` is the stack pointer of the only one: then
    /// memory that both sides will write soon is copied now.
    pub fn fork(&self, alone: Option<u64>) -> Result<Arc<Mm>> {
        let mut guard = self.state.write();
        let state = &mut *guard;
        let mut hot = alone.map_or_else(Vec::new, |sp| self.copy_ahead(state, sp));
        self.keep_areas(state, &mut hot)?;
        hot.sort_unstable_by_key(|h| h.start);
        let mut batch = Batch::default();
        self.write_protect(state, &hot, &mut batch);
        self.commit(state, &mut batch);
        self.copy_late(&hot)?;
        let pieces = state.vmas.count().saturating_add(state.pmas.iter().count());
        let spare = (pieces <= REBUILD).then(|| self.space.spare()).flatten();
        let anew = spare.is_some();
        let space = match spare.map_or_else(|| self.space.fork(), Ok) {
            Ok(space) => space,
            Err(e) => {
                self.release_copies(&hot);
                return Err(match e {
                    PlatformError::Gone => Errno::ESRCH,
                    _ => Errno::EAGAIN,
                });
            }
        };
        let child = self.with_copies(space, state, &hot);
        let dropped = !anew && self.dropped.load(Ordering::Relaxed);
        child.dropped.store(dropped, Ordering::Relaxed);
        child.set_user_ns(&self.user_ns());
        child.patched.store(self.has_patches(), Ordering::Relaxed);
        child.set_stack_limit(self.stack_limit.load(Ordering::Relaxed));
        drop(guard);
        child.settle();
        let child_state = child.state.write();
        if anew {
            child.derive(&child_state, 0, u64::MAX, &mut batch);
        } else {
            for h in &hot {
                child.derive(&child_state, h.start, h.end, &mut batch);
            }
        }
        if !batch.ops.is_empty() {
            child.commit(&child_state, &mut batch);
        }
        drop(child_state);
        Ok(child)
    }

    /// Gives back copies that no child gets.
    fn release_copies(&self, hot: &[Hot]) {
        hot.iter().for_each(|h| self.frames.release(h.copy));
    }

    /// Copies what was left to be copied.
    fn copy_late(&self, hot: &[Hot]) -> Result<()> {
        let file = self.frames.file();
        for h in hot {
            let Some(from) = h.late else { continue };
            if file
                .copy_sparse(from, h.copy.offset, h.end - h.start)
                .is_err()
            {
                self.release_copies(hot);
                return Err(Errno::ENOMEM);
            }
        }
        Ok(())
    }

    /// The child over `space`: it shares all memory but what was copied.
    fn with_copies(&self, space: Arc<dyn AddressSpace>, state: &State, hot: &[Hot]) -> Arc<Mm> {
        let mut child = State {
            reserve: Spans::default(),
            lock_future: VmaFlags::empty(),
            ..state.clone()
        };
        child.patches.inherit();
        for h in hot {
            child.pmas.remove(h.start, h.end);
        }
        for p in child.pmas.iter() {
            self.frames.retain(p.frames());
        }
        for h in hot {
            insert_pma(&mut child, h.start, h.end, h.copy.offset);
        }
        let frames = Arc::clone(&self.frames);
        Mm::with_state(space, frames, self.range, child, Some(self))
    }

    /// Gives the child pages of its own for areas of restartable sequences, as far as `hot`
    /// does not hold them.
    fn keep_areas(&self, state: &State, hot: &mut Vec<Hot>) -> Result<()> {
        for page in self.area_pages() {
            let Some(p) = Self::own_page(state, page) else {
                continue;
            };
            if hot.iter().any(|h| h.start < p.end && p.start < h.end) {
                continue;
            }
            match self.frames.alloc(p.end - p.start) {
                Ok(copy) => hot.push(Hot {
                    start: p.start,
                    end: p.end,
                    copy,
                    own: true,
                    late: Some(p.offset),
                }),
                Err(e) => {
                    self.release_copies(hot);
                    return Err(e);
                }
            }
        }
        Ok(())
    }

    /// Copies memory that was written since the last fork, and so will be soon: small
    /// pieces with few pages, and the stack around `sp`.
    fn copy_ahead(&self, state: &State, sp: u64) -> Vec<Hot> {
        let mut hot = Vec::new();
        let mut left = HOT_BYTES;
        for v in state.vmas.iter() {
            if v.shared() || !v.prot.contains(MapProt::WRITE) {
                continue;
            }
            let stack = (v.start..v.end).contains(&sp);
            let around = (
                page_down(sp.saturating_sub(HOT_STACK.0)).max(v.start),
                page_down(sp.saturating_add(HOT_STACK.1)).min(v.end),
            );
            let (s, e) = if stack { around } else { (v.start, v.end) };
            for p in state.pmas.within(s, e).filter(|p| !p.tag) {
                let len = p.end - p.start;
                if len > HOT_LEN {
                    continue;
                }
                if let Some(copy) = self.copy_few(p.offset, len, &mut left) {
                    hot.push(Hot {
                        start: p.start,
                        end: p.end,
                        copy,
                        own: true,
                        late: None,
                    });
                }
            }
        }
        self.copy_learned(state, &mut left, &mut hot);
        hot
    }

    /// Copies what earlier children have written, too.
    fn copy_learned(&self, state: &State, left: &mut u64, hot: &mut Vec<Hot>) {
        let learned = self.learned.lock().clone();
        for base in learned {
            let shared = state.vmas.find(base).or_else(|| state.vmas.next(base));
            let Some(v) = shared.filter(|v| !v.shared() && v.prot.contains(MapProt::WRITE)) else {
                continue;
            };
            let (s, e) = (base.max(v.start), base.saturating_add(CLUSTER).min(v.end));
            for p in state.pmas.within(s, e).filter(|p| p.tag) {
                let taken = hot.iter().any(|h| h.start < p.end && p.start < h.end);
                let copy = (!taken).then(|| self.copy_few(p.offset, p.end - p.start, left));
                if let Some(copy) = copy.flatten() {
                    hot.push(Hot {
                        start: p.start,
                        end: p.end,
                        copy,
                        own: false,
                        late: None,
                    });
                }
            }
        }
    }

    /// A copy of a piece of memory, if no more than `left` of it is present, which is less
    /// by that afterwards.
    fn copy_few(&self, offset: u64, len: u64, left: &mut u64) -> Option<FrameRange> {
        let file = self.frames.file();
        let mut runs: smallvec::SmallVec<[(u64, u64); 8]> = smallvec::SmallVec::new();
        let (mut at, end, mut present) = (offset, offset.checked_add(len)?, 0u64);
        while let Some((start, n)) = file.next_data(at, end.saturating_sub(at)) {
            present = present.saturating_add(n);
            if present > *left {
                return None;
            }
            runs.push((start, n));
            at = start.saturating_add(n.max(1));
        }
        let copy = self.frames.alloc(len).ok()?;
        for (start, n) in runs {
            let to = copy.offset.saturating_add(start.saturating_sub(offset));
            let copied = file.slice(start, n).zip(file.slice(to, n));
            let copied = copied.map(|(from, to)| from.copy_to_slice(to));
            if !matches!(copied, Some(Ok(_))) {
                self.frames.release(copy);
                return None;
            }
        }
        *left -= present;
        Some(copy)
    }

    /// Marks all private memory but what was copied as to be copied, and takes the right to
    /// write it away from the guest, in one batch.
    fn write_protect(&self, state: &mut State, hot: &[Hot], batch: &mut Batch) {
        let mut run: Option<(u64, u64, MapProt)> = None;
        let mut push = |s: u64, e: u64, prot: MapProt| match &mut run {
            _ if s >= e => {}
            Some((_, end, p)) if *end == s && *p == prot => *end = e,
            _ => {
                if let Some((s, e, prot)) = run.replace((s, e, prot)) {
                    batch.ops.push(protect_op(s, e, prot.host_cow()));
                }
            }
        };
        for v in state.vmas.iter() {
            let private = !v.shared() && v.prot.contains(MapProt::WRITE);
            let kept = |p: &Span<bool>| {
                hot.iter()
                    .any(|h| h.own && h.start <= p.start && p.end <= h.end)
            };
            if !private || (state.pmas.within(v.start, v.end)).all(|p| p.tag || kept(&p)) {
                continue;
            }
            let mut at = v.start;
            let inside = |h: &&Hot| h.own && h.start >= v.start && h.end <= v.end;
            for h in hot.iter().filter(inside) {
                push(at, h.start, v.prot);
                at = h.end;
            }
            push(at, v.end, v.prot);
        }
        if let Some((s, e, prot)) = run {
            batch.ops.push(protect_op(s, e, prot.host_cow()));
        }
        state.pmas.set_tag(0, u64::MAX, true);
        for h in hot.iter().filter(|h| h.own) {
            state.pmas.set_tag(h.start, h.end, false);
        }
    }

    /// What a child does not inherit: mappings marked so, locks, and the files' count of
    /// who maps them.
    fn settle(&self) {
        let mut batch = Batch::default();
        let mut guard = self.state.write();
        let state = &mut *guard;
        let all: Vec<Vma> = state.vmas.iter().cloned().collect();
        for v in &all {
            if let Some(mappers) = v.file().and_then(|f| f.file().mappers()) {
                mappers.add(&self.weak);
            }
            if v.flags.contains(VmaFlags::DONTFORK) {
                self.unmap_range(state, v.start, v.end, &mut batch);
            } else if v.flags.contains(VmaFlags::WIPEONFORK) {
                self.take_memory(state, v.start, v.end, &mut batch);
                batch.unmap(v.start, v.end);
            }
            if v.flags.intersects(VmaFlags::LOCKED | VmaFlags::LOCKONFAULT) {
                let locked = VmaFlags::LOCKED | VmaFlags::LOCKONFAULT;
                state
                    .vmas
                    .update(v.start, v.end, |v| v.flags.remove(locked));
            }
        }
        if !batch.ops.is_empty() {
            self.commit(state, &mut batch);
        }
        drop(guard);
    }
}
