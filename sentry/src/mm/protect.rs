//! `mprotect(2)`.

use abi::{Errno, PAGE_SIZE};
use platform::Context;

use super::state::{Batch, MAX_MAP_COUNT, Made, Mm, MmLimits, State};
use super::vma::{MapProt, Vma, VmaFlags, page_up};
use crate::Result;

impl Mm {
    /// `mprotect(2)`. With `grows_down` (`PROT_GROWSDOWN`) the change reaches down to the
    /// start of the mapping, which must be one that grows down.
    pub fn protect(
        &self,
        addr: u64,
        len: u64,
        prot: MapProt,
        grows_down: bool,
        limits: &MmLimits,
    ) -> Result<()> {
        self.protect_by(None, addr, len, (prot, grows_down), limits)?;
        Ok(())
    }

    /// `mprotect(2)` by the guest thread `ctx`.
    pub fn protect_by(
        &self,
        ctx: Option<&dyn Context>,
        addr: u64,
        len: u64,
        (prot, grows_down): (MapProt, bool),
        limits: &MmLimits,
    ) -> Result<Made> {
        if !addr.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        if len == 0 {
            return Ok(Made::Now);
        }
        let len = page_up(len).ok_or(Errno::ENOMEM)?;
        let end = self.check_range(addr, len, Errno::ENOMEM)?;
        let mut batch = Batch::default();
        let mut guard = self.state.write();
        let state = &mut *guard;
        let start = protect_start(state, addr, end, grows_down)?;
        self.unpatch(state, start, end, &mut batch);
        // Like Linux, what comes before a hole or a refusal is changed all the same.
        let parts: Vec<Vma> = state.vmas.overlapping(start, end).cloned().collect();
        let mut at = start;
        let mut result = Ok(());
        for v in &parts {
            if v.start > at {
                break;
            }
            result = check(state, v, prot, (start, end), limits);
            if result.is_err() {
                break;
            }
            let to = v.end.min(end);
            self.protect_part(state, v, at, to, prot, &mut batch);
            at = to;
        }
        let whole = result.is_ok() && at >= end && start == addr;
        let made = match (ctx, &batch.ops[..]) {
            (Some(ctx), [op]) if whole && op.is_protect_of(addr, len) => {
                let op = op.clone();
                self.commit_by(ctx, Some(op), state, &mut batch)
            }
            _ if parts.iter().all(Vma::anon) => {
                self.commit_soon(state, &mut batch);
                Made::Now
            }
            _ => {
                self.commit(state, &mut batch);
                Made::Now
            }
        };
        result?;
        if at < end {
            Err(Errno::ENOMEM)
        } else {
            Ok(made)
        }
    }

    /// Changes `start..end` of the mapping `old`.
    fn protect_part(
        &self,
        state: &mut State,
        old: &Vma,
        start: u64,
        end: u64,
        prot: MapProt,
        batch: &mut Batch,
    ) {
        if old.prot == prot {
            return;
        }
        if old.anon() && old.prot.is_empty() {
            // Set aside with the surroundings: an arena that grows stays one mapping.
            let _ = self.give_memory(state, start, end, (old.start, old.end));
        }
        state.vmas.update(start, end, |v| v.prot = prot);
        if prot.is_empty() {
            batch.unmap(start, end);
        } else if old.prot.is_empty() || (old.shared() && !old.prot.contains(prot)) {
            self.derive(state, start, end, batch);
        } else {
            self.reprotect(state, start, end, batch);
        }
    }
}

/// Whether `v` may get `prot` in the range.
fn check(
    state: &State,
    v: &Vma,
    prot: MapProt,
    range: (u64, u64),
    limits: &MmLimits,
) -> Result<()> {
    let write = prot.contains(MapProt::WRITE);
    if v.flags.contains(VmaFlags::SEALED) {
        return Err(Errno::EPERM);
    }
    if v.shared() && write && !v.flags.contains(VmaFlags::MAYWRITE) {
        return Err(Errno::EACCES);
    }
    if prot.contains(MapProt::EXEC) && v.flags.contains(VmaFlags::NOEXEC) {
        return Err(Errno::EACCES);
    }
    let (s, e) = (v.start.max(range.0), v.end.min(range.1));
    if write && !v.is_data() && !v.shared() && limits.data != u64::MAX {
        let more = state.data().saturating_add(e - s);
        if !v.flags.contains(VmaFlags::GROWSDOWN) && more > limits.data {
            return Err(Errno::ENOMEM);
        }
    }
    if v.prot != prot && (v.start < s || v.end > e) && state.vmas.count() >= MAX_MAP_COUNT {
        return Err(Errno::ENOMEM);
    }
    Ok(())
}

/// Where the change of a range begins: with `PROT_GROWSDOWN` at the start of its first
/// mapping. `ENOMEM` when nothing is mapped at `addr`, `EINVAL` when that does not grow.
fn protect_start(state: &State, addr: u64, end: u64, grows_down: bool) -> Result<u64> {
    let first = state.vmas.next(addr).filter(|v| v.start < end);
    let first = first.ok_or(Errno::ENOMEM)?;
    if grows_down {
        let grows = first.flags.contains(VmaFlags::GROWSDOWN);
        return grows.then_some(first.start).ok_or(Errno::EINVAL);
    }
    (first.start <= addr).then_some(addr).ok_or(Errno::ENOMEM)
}
