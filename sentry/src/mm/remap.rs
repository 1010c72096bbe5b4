//! `mremap(2)` and `remap_file_pages(2)`.

use abi::{Errno, PAGE_SIZE};

use super::map::{MapRequest, Placement, locked_now};
use super::spans::Span;
use super::state::{Batch, MAX_MAP_COUNT, Mm, MmLimits, State};
use super::vma::{MapProt, Object, Vma, VmaFlags, page_up};
use crate::Result;

/// Flags and new address of `mremap(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remap {
    /// `MREMAP_MAYMOVE`
    pub may_move: bool,
    /// `MREMAP_FIXED` and where.
    pub fixed: Option<u64>,
    /// `MREMAP_DONTUNMAP`
    pub dont_unmap: bool,
}

/// What `remap_file_pages(2)` is to show where.
#[derive(Clone, Copy, Debug)]
pub struct FilePart {
    /// First address, of a page.
    pub start: u64,
    /// Bytes, whole pages.
    pub len: u64,
    /// Offset in the file that is mapped at `start`.
    pub offset: u64,
    /// Makes the pages present.
    pub populate: bool,
}

impl Mm {
    /// `remap_file_pages(2)`: another part of a shared mapping's file in place of what is there.
    /// `EINVAL` unless mappings of that file, made alike, lie there without a hole.
    pub fn remap_file_pages(&self, part: &FilePart, limits: &MmLimits) -> Result<()> {
        let end = part.start.checked_add(part.len).ok_or(Errno::EINVAL)?;
        let request = {
            let state = self.state.read();
            let first = state.vmas.find(part.start).ok_or(Errno::EINVAL)?;
            let Object::File(file) = &first.object else {
                return Err(Errno::EINVAL);
            };
            if !first.flags.contains(VmaFlags::SHARED) {
                return Err(Errno::EINVAL);
            }
            let mut covered = part.start;
            for vma in state.vmas.overlapping(part.start, end) {
                let alike = matches!(&vma.object, Object::File(f) if f.same(file));
                let alike = alike && (vma.flags, vma.prot) == (first.flags, first.prot);
                if vma.start > covered || !alike {
                    return Err(Errno::EINVAL);
                }
                covered = vma.end;
            }
            if covered < end {
                return Err(Errno::EINVAL);
            }
            let kept = VmaFlags::SHARED | VmaFlags::MAYWRITE | VmaFlags::NOEXEC | VmaFlags::LOCKED;
            MapRequest {
                flags: first.flags & kept,
                file: Some((file.file().clone(), part.offset)),
                populate: part.populate,
                ..MapRequest::anon(Placement::Fixed(part.start), part.len, first.prot)
            }
        };
        self.map(request, limits)?;
        Ok(())
    }

    /// `mremap(2)`; the new address.
    pub fn remap(
        &self,
        addr: u64,
        old_len: u64,
        new_len: u64,
        how: Remap,
        limits: &MmLimits,
    ) -> Result<u64> {
        if !addr.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        let old_len = page_up(old_len).ok_or(Errno::EINVAL)?;
        let new_len = page_up(new_len).filter(|l| *l > 0).ok_or(Errno::EINVAL)?;
        if (how.fixed.is_some() || how.dont_unmap) && !how.may_move {
            return Err(Errno::EINVAL);
        }
        if how.dont_unmap && old_len != new_len {
            return Err(Errno::EINVAL);
        }
        if new_len > self.range.1 {
            return Err(Errno::EINVAL);
        }
        // A mapping that shrinks is found first, and then what is cut off is too much.
        let there = || self.state.read().vmas.find(addr).is_some();
        let bad = |e| {
            if new_len <= old_len && there() {
                Errno::EINVAL
            } else {
                e
            }
        };
        let old_end = self
            .check_range(addr, old_len, Errno::EFAULT)
            .map_err(bad)?;
        if let Some(to) = how.fixed {
            self.check_fixed(addr, old_end, to, new_len)?;
        }
        let mut batch = Batch::default();
        let mut guard = self.state.write();
        let state = &mut *guard;
        self.unpatch(state, addr, old_end, &mut batch);
        let result = self.remap_locked(state, (addr, old_end), new_len, how, limits, &mut batch);
        self.commit(state, &mut batch);
        let flags = result
            .as_ref()
            .ok()
            .and_then(|a| state.vmas.find(*a))
            .map(|v| v.flags);
        drop(guard);
        drop(batch);
        if let (Ok(to), Some(flags)) = (&result, flags)
            && locked_now(flags)
            && new_len > old_len
        {
            // What cannot be made present now is left to faults.
            let _ = self.populate(to + old_len, to + new_len, true);
        }
        result
    }

    /// The rules for the new address of `MREMAP_FIXED`.
    fn check_fixed(&self, addr: u64, old_end: u64, to: u64, new_len: u64) -> Result<()> {
        if !to.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        let to_end = self.check_range(to, new_len, Errno::EINVAL)?;
        if to < old_end && addr < to_end {
            return Err(Errno::EINVAL);
        }
        if to < self.range.0 {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    fn remap_locked(
        &self,
        state: &mut State,
        (addr, old_end): (u64, u64),
        new_len: u64,
        how: Remap,
        limits: &MmLimits,
        batch: &mut Batch,
    ) -> Result<u64> {
        let old_len = old_end - addr;
        let vma = state.vmas.find(addr).cloned().ok_or(Errno::EFAULT)?;
        state.check_seals(addr, addr.saturating_add(1))?;
        if old_len == 0 && !vma.shared() {
            return Err(Errno::EINVAL);
        }
        if new_len < old_len && how.fixed.is_none() {
            state.check_seals(addr + new_len, old_end)?;
            self.unmap_range(state, addr + new_len, old_end, batch);
            return Ok(addr);
        }
        if new_len == old_len && how.fixed.is_none() && !how.dont_unmap {
            return Ok(addr);
        }
        // Only what grows or moves must be of one piece.
        if vma.end < old_end {
            return Err(Errno::EFAULT);
        }
        let more = new_len.saturating_sub(old_len);
        check_growth(state, &vma, (more, self.frames.total()), how, limits)?;
        let grown_end = addr.checked_add(new_len).filter(|e| *e <= self.range.1);
        if let Some(end) = grown_end
            && how.fixed.is_none()
            && !how.dont_unmap
            && old_len > 0
            && vma.end == old_end
            && state.vmas.is_free(old_end, end)
        {
            let part = Vma {
                start: old_end,
                end,
                offset: vma.offset_of(old_end),
                ..vma
            };
            self.insert_mapping(state, part, batch)?;
            return Ok(addr);
        }
        if !how.may_move {
            return Err(Errno::ENOMEM);
        }
        let place = how.fixed.map_or(Placement::Hint(0), Placement::Fixed);
        let to = self.place(state, place, new_len)?;
        state.check_seals(to, to.saturating_add(new_len))?;
        self.unmap_range(state, to, to + new_len, batch);
        let kept = new_len.min(old_len);
        if old_len > kept {
            self.unmap_range(state, addr + kept, old_end, batch);
        }
        self.move_mapping(state, addr, kept, to, new_len, how.dont_unmap, batch);
        Ok(to)
    }

    /// Moves `kept` bytes at `addr` to `to`, where the mapping becomes `new_len` long.
    #[expect(
        clippy::too_many_arguments,
        reason = "both ranges and what happens to them"
    )]
    fn move_mapping(
        &self,
        state: &mut State,
        addr: u64,
        kept: u64,
        to: u64,
        new_len: u64,
        dont_unmap: bool,
        batch: &mut Batch,
    ) {
        let Some(old) = state.vmas.find(addr).cloned() else {
            return;
        };
        let moved = Vma {
            start: to,
            end: to + new_len,
            offset: old.offset_of(addr),
            ..old
        };
        if kept > 0 {
            let pmas = state.pmas.remove(addr, addr + kept);
            for p in pmas {
                state.pmas.insert(Span {
                    start: to + (p.start - addr),
                    end: to + (p.end - addr),
                    ..p
                });
            }
            for r in state.reserve.remove(addr, addr + kept) {
                batch.gone.push(r.frames());
            }
            if dont_unmap {
                let locks = VmaFlags::LOCKED | VmaFlags::LOCKONFAULT;
                state
                    .vmas
                    .update(addr, addr + kept, |v| v.flags.remove(locks));
            } else {
                batch.dead.extend(state.vmas.remove(addr, addr + kept));
            }
            batch.unmap(addr, addr + kept);
        }
        // Growth gets its memory as a new mapping does.
        let _ = self.insert_mapping(state, moved, batch);
    }
}

/// Whether the mapping may become `more` bytes longer, or be doubled.
fn check_growth(
    state: &State,
    vma: &Vma,
    (more, total): (u64, u64),
    how: Remap,
    limits: &MmLimits,
) -> Result<()> {
    let reserved = vma.is_data() && !vma.flags.contains(VmaFlags::NORESERVE);
    if reserved && more > total {
        return Err(Errno::ENOMEM);
    }
    if state.vmas.total().saturating_add(more) > limits.address_space {
        return Err(Errno::ENOMEM);
    }
    if vma.flags.contains(VmaFlags::LOCKED)
        && !limits.may_lock
        && state.locked().saturating_add(more) > limits.memlock
    {
        return Err(Errno::EAGAIN);
    }
    let data = limits.data != u64::MAX && vma.is_data() && vma.prot.contains(MapProt::WRITE);
    if data && state.data().saturating_add(more) > limits.data {
        return Err(Errno::ENOMEM);
    }
    if state
        .vmas
        .count()
        .saturating_add(if how.may_move { 3 } else { 0 })
        >= MAX_MAP_COUNT
    {
        return Err(Errno::ENOMEM);
    }
    Ok(())
}
