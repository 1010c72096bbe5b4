//! Making pages present and writable: first touch, copy on write, sole owners.

use std::sync::atomic::Ordering;

use abi::{Errno, PAGE_SIZE};
use platform::MapOp;

use super::Backing;
use super::derive::{CHUNK, Place, insert_pma, protect_op};
use super::spans::Span;
use super::state::{Batch, LESSONS, Mm, State};
use super::vma::{MapProt, Vma, page_up};
use crate::Result;

/// Size and alignment of what one write copies.
pub(super) const CLUSTER: u64 = 16 * PAGE_SIZE;

/// Longest mapping whose data is copied when it is made.
const COPY_NOW: u64 = 128 << 10;

/// Why a page cannot be made present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotPresent {
    /// The object has nothing there (past the end of the file): `SIGBUS`.
    Bus,
    /// There is no memory.
    NoMemory,
}

impl From<Errno> for NotPresent {
    fn from(e: Errno) -> NotPresent {
        match e {
            Errno::ENOMEM => NotPresent::NoMemory,
            _ => NotPresent::Bus,
        }
    }
}

impl Mm {
    /// Makes the page at `addr` of `vma` accessible, for writing if `write`; access was
    /// checked. Adds to `batch` what the host must do.
    pub(super) fn make_present(
        &self,
        state: &mut State,
        vma: &Vma,
        addr: u64,
        write: bool,
        batch: &mut Batch,
    ) -> std::result::Result<(), NotPresent> {
        if let Some(map) = vma.file() {
            let size = page_up(map.file().size()).unwrap_or(u64::MAX);
            if state.pmas.find(addr).is_none() && vma.offset_of(addr) >= size {
                return Err(NotPresent::Bus);
            }
        }
        if vma.shared() {
            // The answer of the file is asked for, so that its error is not lost.
            self.file_frames(vma, addr, PAGE_SIZE, write)?;
            self.derive(state, vma.start, vma.end, batch);
            return Ok(());
        }
        match state.pmas.find(addr) {
            Some(p) if write && p.tag => self.break_cow(state, vma, p, addr, batch)?,
            // Another thread's fault has been here first, most likely. Mapping anew would
            // cost every page its table entry; only who comes back needs it.
            Some(_) if self.was_settled(addr) => {}
            Some(p) => {
                self.last_settled.store(0, Ordering::Relaxed);
                self.derive(state, p.start.max(vma.start), p.end.min(vma.end), batch);
            }
            None if vma.anon() => self.first_touch(state, vma, addr, batch)?,
            None if write => self.copy_file(state, vma, addr, batch)?,
            None => {
                let lo = state.pmas.end_before(addr).unwrap_or(0).max(vma.start);
                let hi = state
                    .pmas
                    .start_after(addr)
                    .unwrap_or(u64::MAX)
                    .min(vma.end);
                self.file_frames(vma, addr, PAGE_SIZE, false)?;
                self.derive(state, lo, hi, batch);
            }
        }
        Ok(())
    }

    /// Whether a fault at `addr`, for which nothing is left to do, can just be repeated.
    fn was_settled(&self, addr: u64) -> bool {
        !self.dropped.load(Ordering::Relaxed)
            && self.last_settled.swap(addr, Ordering::Relaxed) != addr
    }

    /// Where the file of `vma` stands at `addr`.
    pub(super) fn file_frames(
        &self,
        vma: &Vma,
        addr: u64,
        len: u64,
        write: bool,
    ) -> Result<Backing> {
        let map = vma.file().ok_or(Errno::EFAULT)?;
        let write = write && vma.shared();
        map.file().frames(vma.offset_of(addr), len, write)
    }

    /// Memory for a private mapping that has none at `addr` yet.
    fn first_touch(
        &self,
        state: &mut State,
        vma: &Vma,
        addr: u64,
        batch: &mut Batch,
    ) -> Result<()> {
        let base = addr - addr % CHUNK;
        let lo = state
            .pmas
            .end_before(addr)
            .unwrap_or(0)
            .max(vma.start)
            .max(base);
        let hi = state.pmas.start_after(addr).unwrap_or(u64::MAX);
        let hi = hi.min(vma.end).min(base.saturating_add(CHUNK));
        self.give_memory(state, lo, hi, (vma.start, vma.end))?;
        self.derive(state, lo, hi, batch);
        Ok(())
    }

    /// A write to private memory that may have other owners.
    fn break_cow(
        &self,
        state: &mut State,
        vma: &Vma,
        pma: Span<bool>,
        addr: u64,
        batch: &mut Batch,
    ) -> Result<()> {
        let pma = pma.clip(vma.start, vma.end).ok_or(Errno::EFAULT)?;
        let (sole, lo, hi) = self.owners_around(pma, addr);
        if sole {
            state.pmas.set_tag(lo, hi, false);
            // Where the host has lost the mapping the access faults once more.
            batch.ops.push(protect_op(lo, hi, vma.prot.host()));
            return Ok(());
        }
        let base = addr - addr % CLUSTER;
        self.learn(base);
        let want = (lo.max(base), hi.min(base.saturating_add(CLUSTER)));
        let place = self.take_reserve(state, addr, want, (pma.start, pma.end))?;
        let len = place.end - place.start;
        let from = pma.offset_of(place.start);
        if self
            .frames
            .file()
            .copy_sparse(from, place.offset, len)
            .is_err()
        {
            self.give_back(&place);
            return Err(Errno::ENOMEM);
        }
        for s in state.pmas.remove(place.start, place.end) {
            batch.gone.push(s.frames());
        }
        self.put_in_place(state, vma, &place, batch);
        Ok(())
    }

    /// A young child writes to the cluster at `base`: the next one likely will, too.
    fn learn(&self, base: u64) {
        if self.lessons.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.lessons.fetch_sub(1, Ordering::Relaxed);
        let mut learned = self.learned.lock();
        if learned.len() < LESSONS && !learned.contains(&base) {
            learned.push(base);
        }
    }

    /// Whether the page at `addr` has no other owner, and the run around it for which the
    /// same holds.
    fn owners_around(&self, pma: Span<bool>, addr: u64) -> (bool, u64, u64) {
        let mut at = pma.start;
        loop {
            let (sole, n) = self.frames.sole(pma.offset_of(at), pma.end - at);
            let end = at.saturating_add(n.max(PAGE_SIZE)).min(pma.end);
            if end > addr || end <= at {
                return (sole, at, end);
            }
            at = end;
        }
    }

    /// The first write to a page of a private file mapping.
    fn copy_file(&self, state: &mut State, vma: &Vma, addr: u64, batch: &mut Batch) -> Result<()> {
        let lo = state.pmas.end_before(addr).unwrap_or(0).max(vma.start);
        let hi = state
            .pmas
            .start_after(addr)
            .unwrap_or(u64::MAX)
            .min(vma.end);
        let base = addr - addr % CLUSTER;
        let want = (lo.max(base), hi.min(base.saturating_add(CLUSTER)));
        let place = self.take_reserve(state, addr, want, (vma.start, vma.end))?;
        if let Err(e) = self.read_file(vma, &place) {
            self.give_back(&place);
            return Err(e);
        }
        self.put_in_place(state, vma, &place, batch);
        Ok(())
    }

    /// Gives a new private file mapping its own copy of the file's data, if it is writable
    /// and small. What cannot be copied now is left to faults.
    pub(super) fn copy_data(&self, state: &mut State, vma: &Vma) {
        let Some(map) = vma.file() else { return };
        let size = page_up(map.file().size()).unwrap_or(u64::MAX);
        let end = vma
            .end
            .min(vma.start.saturating_add(size.saturating_sub(vma.offset)));
        let write = vma.prot.contains(MapProt::WRITE) && !vma.shared();
        if !write || end <= vma.start || end - vma.start > COPY_NOW {
            return;
        }
        let Ok(range) = self.frames.alloc(end - vma.start) else {
            return;
        };
        let place = Place {
            start: vma.start,
            end,
            offset: range.offset,
        };
        if self.read_file(vma, &place).is_ok() {
            insert_pma(state, place.start, place.end, place.offset);
        } else {
            self.give_back(&place);
        }
    }

    /// Copies the file's data for `place` there. What is past its end stays zero.
    fn read_file(&self, vma: &Vma, place: &Place) -> Result<()> {
        let map = vma.file().ok_or(Errno::EFAULT)?;
        let size = map.file().size();
        let (mut at, mut to) = (vma.offset_of(place.start), place.offset);
        let end = at.saturating_add(place.end - place.start).min(size);
        while at < end {
            let n = match map.file().frames(at, end - at, false)? {
                Backing::Memory { offset, len } => {
                    let n = len.min(end - at);
                    let whole = n.next_multiple_of(PAGE_SIZE);
                    let copied = self.frames.file().copy_sparse(offset, to, whole);
                    copied.map_err(|_| Errno::ENOMEM)?;
                    n
                }
                Backing::Host { file, offset, len } => {
                    let n = len.min(end - at);
                    let dst = self.frames.slice(to, n)?;
                    let got = dst.pread(std::os::fd::AsFd::as_fd(&file), offset);
                    let got = got.map_err(|_| Errno::EIO)? as u64;
                    if got == 0 { n } else { got }
                }
            };
            if n == 0 {
                return Err(Errno::EIO);
            }
            at += n;
            to += n;
        }
        Ok(())
    }

    /// Notes `place` as memory of `vma` and maps it.
    fn put_in_place(&self, state: &mut State, vma: &Vma, place: &Place, batch: &mut Batch) {
        insert_pma(state, place.start, place.end, place.offset);
        if !vma.prot.is_empty() {
            batch.ops.push(MapOp::MapMemory {
                addr: place.start,
                len: place.end - place.start,
                offset: place.offset,
                prot: vma.prot.host(),
            });
        }
    }

    /// Makes every page of `start..end` present, for writing where `write` and the mapping
    /// allow; inaccessible mappings are skipped. Stops at the first that cannot be had.
    pub fn populate(&self, start: u64, end: u64, write: bool) -> Result<()> {
        let mut at = start;
        while at < end {
            let mut batch = Batch::default();
            let mut guard = self.state.write();
            let state = &mut *guard;
            let Some(vma) = state.vmas.next(at).filter(|v| v.start < end).cloned() else {
                return Ok(());
            };
            at = at.max(vma.start);
            if vma.prot.is_empty() {
                at = vma.end;
                continue;
            }
            let write = write && vma.prot.contains(MapProt::WRITE);
            let made = self.make_present(state, &vma, at, write, &mut batch);
            self.commit(state, &mut batch);
            made.map_err(|_| Errno::EFAULT)?;
            let pma = state.pmas.find(at);
            let next = match pma {
                Some(p) => p.end.min(vma.end).min(end),
                None => vma.end.min(end).min(at.saturating_add(CHUNK)),
            };
            let offset = pma.map(|p| p.offset_of(at));
            drop(guard);
            if let Some(offset) = offset {
                let got = self.frames.file().populate(offset, next - at);
                got.map_err(|_| Errno::ENOMEM)?;
            }
            at = next;
        }
        Ok(())
    }
}
