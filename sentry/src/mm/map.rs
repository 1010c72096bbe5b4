//! `mmap(2)` and `munmap(2)`.

use std::sync::Arc;

use abi::{Errno, PAGE_SIZE};
use platform::{Context, MapOp};

use super::file_map::{FileMap, SharedMemory};
use super::state::{Batch, GUARD_GAP, MAX_MAP_COUNT, MMAP_MIN_ADDR, Made, Mm, MmLimits, State};
use super::vma::{MapProt, Object, Vma, VmaFlags, VmaName, page_down, page_up};
use super::{MapIdentity, Mappable};
use crate::Result;

/// Longest private mapping that gets memory when it is made; longer ones get it in pieces
/// when they are touched.
const EAGER: u64 = 64 << 30;

/// Where a mapping goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Anywhere; near this address if that is free (0: no wish).
    Hint(u64),
    /// Here, replacing what is there (`MAP_FIXED`).
    Fixed(u64),
    /// Here, or `EEXIST` (`MAP_FIXED_NOREPLACE`).
    FixedNoReplace(u64),
    /// Anywhere in the low 2 GiB (`MAP_32BIT`).
    Low,
}

/// A mapping to make.
pub struct MapRequest {
    /// Where.
    pub place: Placement,
    /// Bytes; rounded up to pages.
    pub len: u64,
    /// Protection.
    pub prot: MapProt,
    /// Properties; `SHARED` without a file makes shared anonymous memory.
    pub flags: VmaFlags,
    /// The file and the page-aligned offset in it.
    pub file: Option<(Arc<dyn Mappable>, u64)>,
    /// Makes all pages present (`MAP_POPULATE`, `MAP_LOCKED`).
    pub populate: bool,
    /// Copies the data of a small private writable file mapping now instead of at the first
    /// writes: for segments of programs, which are written to soon.
    pub copy_now: bool,
    /// Name in `/proc/PID/maps`.
    pub name: VmaName,
}

impl MapRequest {
    /// Private anonymous memory.
    pub fn anon(place: Placement, len: u64, prot: MapProt) -> MapRequest {
        MapRequest {
            place,
            len,
            prot,
            flags: VmaFlags::empty(),
            file: None,
            populate: false,
            copy_now: false,
            name: VmaName::None,
        }
    }
}

impl Mm {
    /// Makes a mapping; its address. Access rights to the file were checked by the caller.
    pub fn map(&self, request: MapRequest, limits: &MmLimits) -> Result<u64> {
        if request.len == 0 {
            return Err(Errno::EINVAL);
        }
        let len = page_up(request.len).ok_or(Errno::ENOMEM)?;
        if len > self.range.1 {
            return Err(Errno::ENOMEM);
        }
        let mut request = request;
        heed_seals(&mut request)?;
        if request
            .file
            .as_ref()
            .is_some_and(|(file, _)| file.anonymous())
        {
            request.file = None;
            if !request.flags.contains(VmaFlags::SHARED) {
                request.name = VmaName::Zeroes;
            }
        }
        let object = self.object_of(&request, len)?;
        let offset = request.file.as_ref().map_or(0, |(_, offset)| *offset);
        if offset
            .checked_add(len)
            .is_none_or(|end| end > i64::MAX as u64)
        {
            return Err(Errno::EOVERFLOW);
        }
        let mut batch = Batch::default();
        let mut guard = self.state.write();
        let state = &mut *guard;
        let start = self.place(state, request.place, len)?;
        state.check_seals(start, start.saturating_add(len))?;
        let flags = request.flags | state.lock_future;
        let vma = Vma {
            start,
            end: start + len,
            prot: request.prot,
            flags,
            object,
            offset,
            name: request.name,
            policy: super::policy::MemPolicy::default(),
        };
        self.check_limits(state, &vma, limits)?;
        let populate = request.populate || locked_now(flags);
        self.unmap_range(state, vma.start, vma.end, &mut batch);
        if request.copy_now {
            self.copy_data(state, &vma);
        }
        let anon = vma.anon();
        let made = self.insert_mapping(state, vma, &mut batch);
        if anon {
            self.commit_soon(state, &mut batch);
        } else {
            self.commit(state, &mut batch);
        }
        made?;
        drop(guard);
        drop(batch);
        if populate {
            // As on Linux, what cannot be made present now is left to faults.
            let _ = self.populate(start, start + len, request.prot.contains(MapProt::WRITE));
        }
        Ok(start)
    }

    /// What the request maps.
    fn object_of(&self, request: &MapRequest, len: u64) -> Result<Object> {
        let shared = request.flags.contains(VmaFlags::SHARED);
        if let Some((file, _)) = &request.file {
            if let Some(mappers) = file.mappers() {
                mappers.add(&self.weak);
            }
            let write = shared && request.flags.contains(VmaFlags::MAYWRITE);
            return Ok(Object::File(FileMap::new(Arc::clone(file), write)));
        }
        if !shared {
            return Ok(Object::Anon);
        }
        let identity = MapIdentity {
            path: b"/dev/zero (deleted)".to_vec(),
            dev: 1,
            ino: self.frames.next_id(),
        };
        let memory = SharedMemory::new(&self.frames, len, identity)?;
        Ok(Object::File(FileMap::new(Arc::new(memory), true)))
    }

    /// Puts `vma` into place, where nothing is, and gives it memory.
    pub(super) fn insert_mapping(
        &self,
        state: &mut State,
        vma: Vma,
        batch: &mut Batch,
    ) -> Result<()> {
        let (start, end) = (vma.start, vma.end);
        let eager = vma.anon() && !vma.prot.is_empty() && vma.len() <= EAGER;
        state.vmas.insert(vma);
        state.peak = state.peak.max(state.vmas.total());
        if eager {
            // Without memory it is still a mapping; the fault that needs some will tell.
            let _ = self.give_memory(state, start, end, (start, end));
        }
        self.derive(state, start, end, batch);
        Ok(())
    }

    /// Chooses the address.
    pub(super) fn place(&self, state: &mut State, place: Placement, len: u64) -> Result<u64> {
        let (low, high) = self.range;
        let fits = |a: u64| a >= low && a.checked_add(len).is_some_and(|e| e <= high);
        match place {
            Placement::Fixed(addr) | Placement::FixedNoReplace(addr) => {
                if !addr.is_multiple_of(PAGE_SIZE) {
                    return Err(Errno::EINVAL);
                }
                let end = self.check_range(addr, len, Errno::ENOMEM)?;
                if addr < MMAP_MIN_ADDR {
                    return Err(Errno::EPERM);
                }
                if addr < low {
                    return Err(Errno::ENOMEM);
                }
                let replace = matches!(place, Placement::Fixed(_));
                if !replace && !state.vmas.is_free(addr, end) {
                    return Err(Errno::EEXIST);
                }
                Ok(addr)
            }
            Placement::Low => {
                let found = state
                    .vmas
                    .find_free_above(len, low.max(1 << 30), 1 << 31, GUARD_GAP);
                found
                    .or_else(|| state.vmas.find_free_above(len, low, 1 << 31, GUARD_GAP))
                    .ok_or(Errno::ENOMEM)
            }
            Placement::Hint(hint) => {
                let hint = page_up(hint).unwrap_or(0);
                if hint != 0 && fits(hint) && state.vmas.is_free(hint, hint + len) {
                    let above = state.vmas.next(hint + len);
                    let guarded = above.is_none_or(|v| {
                        !v.flags.contains(VmaFlags::GROWSDOWN)
                            || v.start.saturating_sub(GUARD_GAP) >= hint + len
                    });
                    if guarded {
                        return Ok(hint);
                    }
                }
                let below = state
                    .vmas
                    .find_free_below(len, low, state.mmap_base, GUARD_GAP);
                let vmas = &state.vmas;
                below
                    .or_else(|| vmas.find_free_above(len, low.max(high / 3), high, GUARD_GAP))
                    .or_else(|| vmas.find_free_above(len, low, high, GUARD_GAP))
                    .ok_or(Errno::ENOMEM)
            }
        }
    }

    /// Checks the limits that a new mapping meets, with what it replaces given back.
    fn check_limits(&self, state: &State, vma: &Vma, limits: &MmLimits) -> Result<()> {
        let replaced: u64 = state
            .vmas
            .overlapping(vma.start, vma.end)
            .map(|v| v.end.min(vma.end) - v.start.max(vma.start))
            .sum();
        let total = state.vmas.total().saturating_sub(replaced);
        if total.saturating_add(vma.len()) > limits.address_space {
            return Err(Errno::ENOMEM);
        }
        if vma.is_data()
            && !vma.flags.contains(VmaFlags::NORESERVE)
            && vma.len() > self.frames.total()
        {
            return Err(Errno::ENOMEM);
        }
        if limits.data != u64::MAX
            && vma.is_data()
            && state.data().saturating_add(vma.len()) > limits.data
        {
            return Err(Errno::ENOMEM);
        }
        if state.vmas.count() >= MAX_MAP_COUNT {
            return Err(Errno::ENOMEM);
        }
        if vma.flags.contains(VmaFlags::LOCKED)
            && !limits.may_lock
            && state.locked().saturating_add(vma.len()) > limits.memlock
        {
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }

    /// `munmap(2)`.
    pub fn unmap(&self, addr: u64, len: u64) -> Result<()> {
        self.unmap_in(addr, len, |state, _, batch| {
            self.commit(state, batch);
            Made::Now
        })?;
        Ok(())
    }

    /// `munmap(2)` by the guest thread `ctx`.
    pub fn unmap_by(&self, ctx: &dyn Context, addr: u64, len: u64) -> Result<Made> {
        self.unmap_in(addr, len, |state, end, batch| {
            let len = end - addr;
            // What reaches beyond is the platform's: the host must not see such a call.
            let own = end <= self.range.1 && !batch.ops.is_empty();
            let op = own.then_some(MapOp::Unmap { addr, len });
            self.commit_by(ctx, op, state, batch)
        })
    }

    fn unmap_in(
        &self,
        addr: u64,
        len: u64,
        commit: impl FnOnce(&State, u64, &mut Batch) -> Made,
    ) -> Result<Made> {
        if !addr.is_multiple_of(PAGE_SIZE) || len == 0 {
            return Err(Errno::EINVAL);
        }
        let len = page_up(len).ok_or(Errno::EINVAL)?;
        let stop = addr.checked_add(len).filter(|e| *e <= abi::TASK_SIZE);
        let stop = stop.ok_or(Errno::EINVAL)?;
        let end = stop.min(self.range.1).max(addr);
        let mut batch = Batch::default();
        let mut state = self.state.write();
        let covers = |(at, len): (u64, u64)| addr <= at && at.saturating_add(len) <= stop;
        state.vdso_gone |= self.space.vdso().is_some_and(covers);
        let splits = state
            .vmas
            .find(addr)
            .is_some_and(|v| v.start < addr && v.end > end);
        if splits && state.vmas.count() >= MAX_MAP_COUNT {
            return Err(Errno::ENOMEM);
        }
        state.check_seals(addr, end)?;
        self.unmap_range(&mut state, addr, end, &mut batch);
        let made = commit(&state, stop, &mut batch);
        drop(state);
        Ok(made)
    }

    /// Takes everything out of `start..end`.
    pub(super) fn unmap_range(&self, state: &mut State, start: u64, end: u64, batch: &mut Batch) {
        self.forget_patches(state, start, end, batch);
        let dead = state.vmas.remove(start, end);
        for v in &dead {
            if !v.prot.is_empty() {
                batch.unmap(v.start, v.end);
            }
            self.take_memory(state, v.start, v.end, batch);
        }
        batch.dead.extend(dead);
    }

    /// Removes every mapping.
    pub fn unmap_all(&self) {
        let mut batch = Batch::default();
        let mut state = self.state.write();
        self.unmap_range(
            &mut state,
            page_down(self.range.0),
            self.range.1,
            &mut batch,
        );
        self.commit(&state, &mut batch);
        drop(state);
    }
}

/// A file sealed against writes may be shared, but not to be written.
fn heed_seals(request: &mut MapRequest) -> Result<()> {
    let write = VmaFlags::SHARED | VmaFlags::MAYWRITE;
    if let Some((file, _)) = &request.file
        && request.flags.contains(write)
        && let Err(e) = file.may_write()
    {
        if request.prot.contains(MapProt::WRITE) {
            return Err(e);
        }
        request.flags.remove(VmaFlags::MAYWRITE);
    }
    Ok(())
}

/// Whether a mapping with these flags is made present at once.
pub(super) fn locked_now(flags: VmaFlags) -> bool {
    flags.contains(VmaFlags::LOCKED) && !flags.contains(VmaFlags::LOCKONFAULT)
}
