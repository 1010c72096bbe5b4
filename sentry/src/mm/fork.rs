//! `fork(2)`: a copy of an address space that shares memory until it is written.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;

use super::derive::protect_op;
use super::spans::Spans;
use super::state::{Batch, Mm, State};
use super::vma::{MapProt, Vma, VmaFlags};
use crate::Result;

impl Mm {
    /// A copy of this address space, without threads. `ENOMEM` or `EAGAIN` when the host
    /// cannot make another. Guest threads of this space may run meanwhile; they fault on
    /// writes and wait.
    pub fn fork(&self) -> Result<Arc<Mm>> {
        let mut guard = self.state.write();
        let state = &mut *guard;
        let mut batch = Batch::default();
        self.write_protect(state, &mut batch);
        self.commit(state, &mut batch);
        let space = self.space.fork().map_err(|e| match e {
            platform::PlatformError::Gone => Errno::ESRCH,
            _ => Errno::EAGAIN,
        })?;
        let mut child = State {
            reserve: Spans::default(),
            lock_future: VmaFlags::empty(),
            ..state.clone()
        };
        child.patches.inherit();
        for p in child.pmas.iter() {
            self.frames.retain(p.frames());
        }
        let child = Mm::with_state(space, Arc::clone(&self.frames), self.range, child);
        child
            .dropped
            .store(self.dropped.load(Ordering::Relaxed), Ordering::Relaxed);
        child.patched.store(self.has_patches(), Ordering::Relaxed);
        child.set_stack_limit(self.stack_limit.load(Ordering::Relaxed));
        drop(guard);
        child.settle();
        Ok(child)
    }

    /// Marks all private memory as to be copied, and takes the right to write it away from
    /// the guest, in one batch.
    fn write_protect(&self, state: &mut State, batch: &mut Batch) {
        let mut run: Option<(u64, u64, MapProt)> = None;
        for v in state.vmas.iter() {
            let private = !v.shared() && v.prot.contains(MapProt::WRITE);
            if !private || state.pmas.within(v.start, v.end).all(|p| p.tag) {
                continue;
            }
            match &mut run {
                Some((_, end, prot)) if *end == v.start && *prot == v.prot => *end = v.end,
                _ => {
                    if let Some((s, e, prot)) = run.replace((v.start, v.end, v.prot)) {
                        batch.ops.push(protect_op(s, e, prot.host_cow()));
                    }
                }
            }
        }
        if let Some((s, e, prot)) = run {
            batch.ops.push(protect_op(s, e, prot.host_cow()));
        }
        state.pmas.set_tag(0, u64::MAX, true);
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
