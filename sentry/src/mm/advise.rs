//! `madvise(2)`.

use abi::{Errno, PAGE_SIZE};

use super::derive::insert_pma;
use super::state::{Batch, Mm, State};
use super::vma::{MapProt, Vma, VmaFlags, page_span};
use crate::Result;

/// An advice that has an effect here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Sets some flags and clears others.
    Flags {
        /// To set.
        set: VmaFlags,
        /// To clear.
        clear: VmaFlags,
        /// Only allowed on private memory without a file (`MADV_WIPEONFORK`).
        anon_only: bool,
    },
    /// The contents are not needed (`MADV_DONTNEED`); on locked memory too when `locked`.
    DontNeed {
        /// `MADV_DONTNEED_LOCKED`
        locked: bool,
    },
    /// The contents may be dropped (`MADV_FREE`).
    Free,
    /// Frees the memory of the shared object (`MADV_REMOVE`).
    Remove,
    /// Makes pages present (`MADV_POPULATE_READ`, `MADV_POPULATE_WRITE`).
    Populate {
        /// For writing.
        write: bool,
    },
    /// Will be used soon (`MADV_WILLNEED`): nothing to do but to find holes.
    WillNeed,
    /// Will not be used soon (`MADV_COLD`, `MADV_PAGEOUT`): refused on locked memory.
    Hint,
}

impl Mm {
    /// `madvise(2)`. Holes give `ENOMEM` after the rest was done.
    pub fn advise(&self, addr: u64, len: u64, advice: Advice) -> Result<()> {
        let end = page_span(addr, len)?;
        if end == addr {
            return Ok(());
        }
        if let Advice::Populate { write } = advice {
            return self.advise_populate(addr, end, write);
        }
        let mut batch = Batch::default();
        let mut discards = Vec::new();
        let mut guard = self.state.write();
        let state = &mut *guard;
        let parts: Vec<Vma> = state.vmas.overlapping(addr, end).cloned().collect();
        let covered = state.vmas.covers(addr, end);
        let mut result = Ok(());
        for v in &parts {
            let (s, e) = (v.start.max(addr), v.end.min(end));
            result = match advice {
                _ if super::seal::forbids(v, advice) => Err(Errno::EPERM),
                Advice::Remove => removable(v).map(|()| discards.push((v.clone(), s, e))),
                _ => self.advise_part(state, v, (s, e), advice, &mut batch),
            };
            if result.is_err() {
                break;
            }
        }
        if !batch.ops.is_empty() {
            self.commit(state, &mut batch);
        }
        drop(guard);
        result?;
        for (v, s, e) in discards {
            let map = v.file().ok_or(Errno::EINVAL)?;
            map.file().discard(v.offset_of(s), e - s)?;
        }
        if covered { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    fn advise_part(
        &self,
        state: &mut State,
        v: &Vma,
        (s, e): (u64, u64),
        advice: Advice,
        batch: &mut Batch,
    ) -> Result<()> {
        let locked = v.flags.contains(VmaFlags::LOCKED);
        match advice {
            Advice::Flags {
                set,
                clear,
                anon_only,
            } => {
                if anon_only && !v.anon() {
                    return Err(Errno::EINVAL);
                }
                state
                    .vmas
                    .update(s, e, |v| v.flags = (v.flags - clear) | set);
            }
            Advice::DontNeed { locked: any } => {
                if locked && !any {
                    return Err(Errno::EINVAL);
                }
                if !v.shared() {
                    self.forget(state, v, s, e, batch);
                }
            }
            Advice::Free => {
                if !v.anon() || locked {
                    return Err(Errno::EINVAL);
                }
                self.forget(state, v, s, e, batch);
            }
            Advice::Hint if locked => return Err(Errno::EINVAL),
            Advice::WillNeed | Advice::Hint | Advice::Remove | Advice::Populate { .. } => {}
        }
        Ok(())
    }

    /// Private memory of `s..e` loses its contents: it reads as zero, or as the file.
    fn forget(&self, state: &mut State, v: &Vma, s: u64, e: u64, batch: &mut Batch) {
        if !v.anon() {
            let pmas = state.pmas.remove(s, e);
            for p in pmas {
                batch.gone.push(p.frames());
                if !v.prot.is_empty() {
                    batch.unmap(p.start, p.end);
                }
            }
            self.derive(state, s, e, batch);
            return;
        }
        let pmas: Vec<_> = state.pmas.within(s, e).collect();
        for p in pmas {
            let mut at = p.start;
            while at < p.end {
                let offset = p.offset_of(at);
                let (sole, n) = self.frames.sole(offset, p.end - at);
                let to = at.saturating_add(n.max(PAGE_SIZE)).min(p.end);
                if sole && self.frames.file().punch(offset, to - at).is_ok() {
                    at = to;
                    continue;
                }
                self.replace(state, v, (at, to), batch);
                at = to;
            }
        }
    }

    /// Memory that others own too is given up for fresh memory.
    fn replace(&self, state: &mut State, v: &Vma, (s, e): (u64, u64), batch: &mut Batch) {
        for old in state.pmas.remove(s, e) {
            batch.gone.push(old.frames());
        }
        if !v.prot.is_empty() {
            batch.unmap(s, e);
        }
        let mut at = s;
        while at < e {
            // Without memory now, the next touch asks again.
            let Ok(place) = self.take_reserve(state, at, (at, e), (v.start, v.end)) else {
                return;
            };
            insert_pma(state, place.start, place.end, place.offset);
            at = place.end;
        }
        self.derive(state, s, e, batch);
    }

    /// `MADV_POPULATE_READ` and `MADV_POPULATE_WRITE`.
    fn advise_populate(&self, addr: u64, end: u64, write: bool) -> Result<()> {
        {
            let state = self.state.read();
            if !state.vmas.covers(addr, end) {
                return Err(Errno::ENOMEM);
            }
            let bad = |v: &Vma| v.prot.is_empty() || (write && !v.prot.contains(MapProt::WRITE));
            if state.vmas.overlapping(addr, end).any(bad) {
                return Err(Errno::EINVAL);
            }
        }
        self.populate(addr, end, write)
    }
}

/// Whether `MADV_REMOVE` applies to `v`.
fn removable(v: &Vma) -> Result<()> {
    if v.flags.contains(VmaFlags::LOCKED) || v.anon() {
        return Err(Errno::EINVAL);
    }
    if !v.shared() || !v.flags.contains(VmaFlags::MAYWRITE) {
        return Err(Errno::EACCES);
    }
    Ok(())
}
