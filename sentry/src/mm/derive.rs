//! Deriving host mappings from VMAs and pmas, and giving addresses memory.

use abi::PAGE_SIZE;
use platform::{MapOp, Prot};

use super::Backing;
use super::frames::FrameRange;
use super::spans::Span;
use super::state::{Batch, Mm, State};
use super::vma::{MapProt, Object, Vma, page_up};
use crate::Result;

/// Alignment and size of the pieces in which large reservations get memory.
pub(super) const CHUNK: u64 = 64 << 20;

/// A place in the memory file for a range of addresses.
pub(super) struct Place {
    pub start: u64,
    pub end: u64,
    pub offset: u64,
}

impl Mm {
    /// Sets memory aside around `at` and takes the part of it in `start..end`, which may
    /// be less than asked but holds `at`. `hull` bounds what is set aside beyond.
    pub(super) fn take_reserve(
        &self,
        state: &mut State,
        at: u64,
        (start, end): (u64, u64),
        hull: (u64, u64),
    ) -> Result<Place> {
        if state.reserve.find(at).is_none() {
            let lo = hull.0.min(start).max(at - at % CHUNK);
            let lo = lo.max(state.reserve.end_before(at).unwrap_or(0));
            let hi = hull.1.max(end).min((at - at % CHUNK).saturating_add(CHUNK));
            let hi = hi.min(state.reserve.start_after(at).unwrap_or(u64::MAX));
            let range = self.frames.alloc(hi - lo)?;
            state.reserve.insert(Span {
                start: lo,
                end: hi,
                offset: range.offset,
                tag: (),
            });
        }
        let found = state.reserve.find(at).ok_or(abi::Errno::ENOMEM)?;
        let part = found.clip(start, end).ok_or(abi::Errno::ENOMEM)?;
        state.reserve.remove(part.start, part.end);
        Ok(Place {
            start: part.start,
            end: part.end,
            offset: part.offset,
        })
    }

    /// Gives every page of `start..end` that has none its own memory, all at once when it
    /// is a mapping of its own (`hull` equal to it) and set aside with its surroundings
    /// otherwise.
    pub(super) fn give_memory(
        &self,
        state: &mut State,
        start: u64,
        end: u64,
        hull: (u64, u64),
    ) -> Result<()> {
        for (s, e) in state.pmas.gaps(start, end) {
            if hull == (start, end) && state.reserve.within(s, e).next().is_none() {
                let range = self.frames.alloc(e - s)?;
                insert_pma(state, s, e, range.offset);
                continue;
            }
            let mut at = s;
            while at < e {
                let place = self.take_reserve(state, at, (at, e), hull)?;
                insert_pma(state, place.start, place.end, place.offset);
                at = place.end;
            }
        }
        Ok(())
    }

    /// Takes memory and reserve of `start..end` away.
    pub(super) fn take_memory(&self, state: &mut State, start: u64, end: u64, batch: &mut Batch) {
        for s in state.pmas.remove(start, end) {
            batch.gone.push(s.frames());
        }
        for s in state.reserve.remove(start, end) {
            batch.gone.push(s.frames());
        }
    }

    /// Maps on the host what the VMAs and pmas in `start..end` say; where memory is still
    /// to be given, nothing.
    pub(super) fn derive(&self, state: &State, start: u64, end: u64, batch: &mut Batch) {
        for v in state.vmas.overlapping(start, end) {
            let (s, e) = (v.start.max(start), v.end.min(end));
            if v.prot.is_empty() {
                continue;
            }
            if v.shared() {
                self.derive_file(v, s, e, v.prot.host(), batch);
                continue;
            }
            for p in state.pmas.within(s, e) {
                batch.ops.push(MapOp::MapMemory {
                    addr: p.start,
                    len: p.end - p.start,
                    offset: p.offset,
                    prot: pma_prot(v, p.tag),
                });
            }
            if !v.anon() {
                for (s, e) in state.pmas.gaps(s, e) {
                    self.derive_file(v, s, e, v.prot.host_cow(), batch);
                }
            }
        }
    }

    /// Maps the part `start..end` of a file mapping, up to the end of the file.
    fn derive_file(&self, v: &Vma, start: u64, end: u64, prot: Prot, batch: &mut Batch) {
        let Object::File(map) = &v.object else { return };
        let size = page_up(map.file().size()).unwrap_or(u64::MAX);
        let end = end.min(v.start.saturating_add(size.saturating_sub(v.offset)));
        let mut at = start;
        while at < end {
            let Ok(backing) = map.file().frames(v.offset_of(at), end - at, prot.write) else {
                return;
            };
            let (len, op) = map_op(at, end - at, backing, prot);
            if len == 0 {
                return;
            }
            batch.ops.push(op);
            at += len;
        }
    }

    /// Changes the protection on the host of what may be mapped in `start..end`, whose
    /// mappings were accessible before and are private or lose rights.
    pub(super) fn reprotect(&self, state: &State, start: u64, end: u64, batch: &mut Batch) {
        let mut last: Option<(u64, u64, Prot)> = None;
        let mut push = |s: u64, e: u64, prot: Prot| match &mut last {
            Some((_, end, p)) if *end == s && *p == prot => *end = e,
            _ => {
                if let Some((a, b, p)) = last.replace((s, e, prot)) {
                    batch.ops.push(protect_op(a, b, p));
                }
            }
        };
        for v in state.vmas.overlapping(start, end) {
            let (s, e) = (v.start.max(start), v.end.min(end));
            if v.shared() || !v.prot.contains(MapProt::WRITE) {
                push(s, e, v.prot.host());
                continue;
            }
            let mut at = s;
            for p in state.pmas.within(s, e) {
                if p.start > at {
                    push(at, p.start, v.prot.host_cow());
                }
                push(p.start, p.end, pma_prot(v, p.tag));
                at = p.end;
            }
            if at < e {
                push(at, e, v.prot.host_cow());
            }
        }
        if let Some((a, b, p)) = last {
            batch.ops.push(protect_op(a, b, p));
        }
    }

    /// Releases memory that never got into `state`.
    pub(super) fn give_back(&self, place: &Place) {
        self.frames.release(FrameRange {
            offset: place.offset,
            len: place.end - place.start,
        });
    }
}

/// Host protection of private memory in `v`.
pub(super) fn pma_prot(v: &Vma, cow: bool) -> Prot {
    if cow {
        v.prot.host_cow()
    } else {
        v.prot.host()
    }
}

/// Notes fresh memory of the address space's own.
pub(super) fn insert_pma(state: &mut State, start: u64, end: u64, offset: u64) {
    state.pmas.insert(Span {
        start,
        end,
        offset,
        tag: false,
    });
}

/// The operation that protects `start..end`.
pub(super) fn protect_op(start: u64, end: u64, prot: Prot) -> MapOp {
    MapOp::Protect {
        addr: start,
        len: end - start,
        prot,
    }
}

/// The operation that maps at most `len` bytes of `backing` at `addr`, and how many.
fn map_op(addr: u64, len: u64, backing: Backing, prot: Prot) -> (u64, MapOp) {
    match backing {
        Backing::Memory { offset, len: have } => {
            let len = have.min(len).next_multiple_of(PAGE_SIZE).min(len);
            let op = MapOp::MapMemory {
                addr,
                len,
                offset,
                prot,
            };
            (len, op)
        }
        Backing::Host {
            file,
            offset,
            len: have,
        } => {
            let len = have.min(len).next_multiple_of(PAGE_SIZE).min(len);
            let op = MapOp::MapFile {
                addr,
                len,
                file,
                offset,
                prot,
            };
            (len, op)
        }
    }
}
