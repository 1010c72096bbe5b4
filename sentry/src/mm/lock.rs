//! `mlock(2)` and its family, `mincore(2)`, `msync(2)`.

use std::sync::Arc;

use abi::{Errno, PAGE_SIZE};

use super::Backing;
use super::file_map::FileMap;
use super::map::locked_now;
use super::state::{Mm, MmLimits};
use super::vma::{MapProt, Vma, VmaFlags, page_down, page_up};
use crate::Result;

const LOCKS: VmaFlags = VmaFlags::LOCKED.union(VmaFlags::LOCKONFAULT);

/// The pages of an unaligned range.
fn pages(addr: u64, len: u64) -> Result<(u64, u64)> {
    let start = page_down(addr);
    // As on Linux, a length that wraps around is no length.
    let len = page_up(len.wrapping_add(addr - start)).unwrap_or(0);
    let end = start.checked_add(len).ok_or(Errno::EINVAL)?;
    Ok((start, end))
}

impl Mm {
    /// `mlock(2)` and `mlock2(2)`: keeps a range present.
    pub fn lock_range(&self, addr: u64, len: u64, on_fault: bool, limits: &MmLimits) -> Result<()> {
        if !limits.may_lock && limits.memlock == 0 {
            return Err(Errno::EPERM);
        }
        // The limit comes before the range; the length wraps as in Linux.
        let asked = len
            .wrapping_add(addr % PAGE_SIZE)
            .wrapping_add(PAGE_SIZE - 1);
        if !limits.may_lock && asked & !(PAGE_SIZE - 1) > limits.memlock {
            return Err(Errno::ENOMEM);
        }
        let (start, end) = pages(addr, len)?;
        if start == end {
            return Ok(());
        }
        let flags = if on_fault { LOCKS } else { VmaFlags::LOCKED };
        {
            let mut state = self.state.write();
            let already: u64 = state
                .vmas
                .overlapping(start, end)
                .filter(|v| v.flags.contains(VmaFlags::LOCKED))
                .map(|v| v.end.min(end) - v.start.max(start))
                .sum();
            let total = (state.locked() - already).saturating_add(end - start);
            if !limits.may_lock && total > limits.memlock {
                return Err(Errno::ENOMEM);
            }
            // What lies before a hole is locked all the same, as on Linux.
            let covered = state.vmas.covers(start, end);
            state
                .vmas
                .update(start, end, |v| v.flags = (v.flags - LOCKS) | flags);
            if !covered {
                return Err(Errno::ENOMEM);
            }
        }
        if on_fault {
            return Ok(());
        }
        self.populate(start, end, true).map_err(|_| Errno::ENOMEM)
    }

    /// `munlock(2)`.
    pub fn unlock_range(&self, addr: u64, len: u64) -> Result<()> {
        let (start, end) = pages(addr, len)?;
        let mut state = self.state.write();
        let covered = state.vmas.covers(start, end);
        state.vmas.update(start, end, |v| v.flags.remove(LOCKS));
        if covered { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// `mlockall(2)`: what is mapped now, what will be, and whether only by faults.
    pub fn lock_all(
        &self,
        current: bool,
        future: bool,
        on_fault: bool,
        limits: &MmLimits,
    ) -> Result<()> {
        if !limits.may_lock && limits.memlock == 0 {
            return Err(Errno::EPERM);
        }
        let flags = if on_fault { LOCKS } else { VmaFlags::LOCKED };
        let (low, high) = self.range;
        {
            let mut state = self.state.write();
            if current && !limits.may_lock && state.vmas.total() > limits.memlock {
                return Err(Errno::ENOMEM);
            }
            state.lock_future = if future { flags } else { VmaFlags::empty() };
            if current {
                state
                    .vmas
                    .update(low, high, |v| v.flags = (v.flags - LOCKS) | flags);
            }
        }
        if current && locked_now(flags) {
            // As on Linux, what cannot be made present is no error here.
            let _ = self.populate(low, high, true);
        }
        Ok(())
    }

    /// `munlockall(2)`.
    pub fn unlock_all(&self) {
        let (low, high) = self.range;
        let mut state = self.state.write();
        state.lock_future = VmaFlags::empty();
        state.vmas.update(low, high, |v| v.flags.remove(LOCKS));
    }

    /// `mincore(2)`: whether each page of the range is present. The range is page-aligned
    /// and at most as long as the caller wants to hold the answer of.
    pub fn present(&self, addr: u64, len: u64) -> Result<Vec<u8>> {
        let end = self.check_range(addr, len, Errno::ENOMEM)?;
        let state = self.state.read();
        if !state.vmas.covers(addr, end) {
            return Err(Errno::ENOMEM);
        }
        let mut out = Vec::new();
        let mut at = addr;
        while at < end {
            let vma = state.vmas.find(at).ok_or(Errno::ENOMEM)?;
            out.push(u8::from(self.page_present(&state, vma, at)));
            at += PAGE_SIZE;
        }
        Ok(out)
    }

    /// Whether the page at `addr` is present, and whether it is a file's or shared; `None`
    /// where nothing is mapped.
    pub fn page_kind(&self, addr: u64) -> Option<(bool, bool)> {
        let state = self.state.read();
        let vma = state.vmas.find(addr)?;
        let own = !vma.shared() && state.pmas.find(addr).is_some();
        Some((self.page_present(&state, vma, addr), !own))
    }

    fn page_present(&self, state: &super::state::State, vma: &Vma, at: u64) -> bool {
        if let Some(p) = state.pmas.find(at).filter(|_| !vma.shared()) {
            return !self.frames.file().is_hole(p.offset_of(at));
        }
        let Some(map) = vma.file() else { return false };
        if vma.offset_of(at) >= map.file().size() {
            return false;
        }
        match map.file().frames(vma.offset_of(at), PAGE_SIZE, false) {
            Ok(Backing::Memory { offset, .. }) => !self.frames.file().is_hole(offset),
            // The page cache of the host has it or not; reading it is quick either way.
            Ok(Backing::Host { .. }) => true,
            Err(_) => false,
        }
    }

    /// `msync(2)`: writes shared file mappings back when `sync`; `EBUSY` when `invalidate`
    /// meets locked memory; `ENOMEM` for holes, after the rest was done.
    pub fn sync_range(&self, addr: u64, len: u64, sync: bool, invalidate: bool) -> Result<()> {
        let end = addr.checked_add(len).ok_or(Errno::ENOMEM)?;
        let mut todo: Vec<(Arc<FileMap>, u64, u64)> = Vec::new();
        let covered;
        {
            let state = self.state.read();
            covered = state.vmas.covers(addr, end);
            for v in state.vmas.overlapping(addr, end) {
                if invalidate && v.flags.contains(VmaFlags::LOCKED) {
                    return Err(Errno::EBUSY);
                }
                let Some(map) = v.file().filter(|_| sync && v.shared()) else {
                    continue;
                };
                if v.flags.contains(VmaFlags::MAYWRITE) || v.prot.contains(MapProt::WRITE) {
                    let (s, e) = (v.start.max(addr), v.end.min(end));
                    todo.push((Arc::clone(map), v.offset_of(s), e - s));
                }
            }
        }
        for (map, offset, len) in todo {
            map.file().sync(offset, len)?;
        }
        if covered { Ok(()) } else { Err(Errno::ENOMEM) }
    }
}
