//! Changes of an address space that its only guest thread helps to make.
//!
//! A thread with a posted call in hand looks on from its own CPU, where the mapper sleeps:
//! it can wake the mapper for less than a worker elsewhere can, and make by itself what only
//! takes memory or rights away. So such changes are *owed*: gathered while the call is served
//! and made before the thread goes on. The guest may cheat. Nothing is believed of it: a
//! batch that it was to have run is run before any other, and what it was to take away is
//! taken away once more, before anybody relies on that. Neighbours: `space`, `mapper` (the
//! batches), `context::post` (what the thread is asked to do), `filter` (what it may do).

use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::context::Thread;
use super::filter::OWN_LEN;
use super::layout::Op;
use super::mapper::Mapper;
use super::space::{MAX_PIECES, Stub};
use crate::{Commit, MapOp, PlatformError};

/// Operations that may be owed at a time.
const MOST: usize = 24;

/// What a thread that is answered is asked to do before it goes on.
#[derive(Clone, Copy, Debug)]
pub enum Help {
    /// Make this change.
    Own(Op),
    /// Have the mapper run the batch that is written.
    Relay,
}

/// What a stub's mapper owes.
#[derive(Debug, Default)]
pub struct Owed {
    /// Not told to the mapper yet; after `unseen`.
    pending: SmallVec<[Op; 4]>,
    /// Changes that take away, made by the guest or still to be: to be made again.
    unseen: SmallVec<[Op; 4]>,
    /// The one of them that the guest has not been told of.
    own: Option<Op>,
    /// A batch is written that the guest is to have run.
    pub relayed: bool,
    /// Something that was owed could not be made: the stub must die.
    pub broken: bool,
}

impl Owed {
    /// What has to be made before anything else.
    pub fn take(&mut self) -> SmallVec<[Op; 8]> {
        self.own = None;
        let unseen = self.unseen.drain(..);
        unseen.chain(self.pending.drain(..)).collect()
    }

    /// Nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.unseen.is_empty()
    }

    fn len(&self) -> usize {
        self.pending.len().saturating_add(self.unseen.len())
    }

    /// A change to come makes `unseen` ones superfluous as far as it reaches; what is left of
    /// them could not be made again where nothing is mapped any more.
    fn supersede(&mut self, op: &Op) {
        let [nr, addr, len, ..] = op.words;
        let end = addr.saturating_add(len);
        let (map, protect) = (is(nr, libc::SYS_mmap), is(nr, libc::SYS_mprotect));
        let old = std::mem::take(&mut self.unseen);
        for one in old {
            let [kind, from, size, ..] = one.words;
            let to = from.saturating_add(size);
            let other = is(kind, libc::SYS_munmap) && !map;
            if other || to <= addr || from >= end || protect && !is(kind, libc::SYS_mprotect) {
                self.unseen.push(one);
                continue;
            }
            for (start, stop) in [(from, addr), (end, to)] {
                if start < stop {
                    let mut rest = one;
                    (rest.words[1], rest.words[2]) = (start, stop - start);
                    self.unseen.push(rest);
                }
            }
        }
    }

    /// Adds changes.
    fn add(&mut self, ops: &[Op], base: u64) {
        for op in ops {
            self.supersede(op);
        }
        match ops {
            [op] if self.pending.is_empty() && self.own.is_none() && takes_away(op, base) => {
                self.unseen.push(*op);
                self.own = Some(*op);
            }
            _ => {
                self.own = None;
                self.pending.extend_from_slice(ops);
            }
        }
    }
}

fn is(nr: u64, call: i64) -> bool {
    nr == call.cast_unsigned()
}

/// Whether the guest may make the change by itself, see [`super::filter`].
fn takes_away(op: &Op, base: u64) -> bool {
    const WRITE: u64 = libc::PROT_WRITE as u64;
    let [nr, addr, len, prot, ..] = op.words;
    let own = u64::from(OWN_LEN);
    let kind = match nr.cast_signed() {
        libc::SYS_munmap => true,
        libc::SYS_mprotect => prot & WRITE == 0,
        _ => false,
    };
    kind && len <= own && addr < base.saturating_sub(own)
}

impl Stub {
    /// See [`crate::AddressSpace::commit_later`].
    pub fn commit_later(&self, ops: &[MapOp]) -> Result<Commit, PlatformError> {
        let mut mapper = self.mapper();
        let settled = mapper.owed.is_empty();
        let files = |op: &MapOp| matches!(op, MapOp::MapFile { .. });
        let fits = mapper.owed.len().saturating_add(ops.len()) <= MOST
            && mapper.coverage.count() <= MAX_PIECES
            && mapper.entrusted.is_none()
            && !ops.iter().any(files);
        let posted = || self.sole().is_some_and(|t| t.posted_on().is_some());
        if !fits || self.is_killed() || !posted() {
            drop(mapper);
            return self.commit(ops).map(|()| Commit::Done);
        }
        let gathered = self.gather(&mut mapper, ops)?;
        if gathered.is_empty() {
            drop(mapper);
            return self.commit(&[]).map(|()| Commit::Done);
        }
        mapper.owed.add(&gathered, self.layout().base);
        drop(mapper);
        self.owe();
        Ok(Commit::Owed { settled })
    }

    /// Something is to be made before a held thread of the stub goes on.
    pub fn owe(&self) {
        self.owes.store(true, Ordering::Release);
    }

    /// Whether something is.
    pub fn owes(&self) -> bool {
        self.owes.load(Ordering::Acquire)
    }

    /// Sees to it that what is owed is made before `thread`, which is about to be resumed,
    /// goes on: now, or by asking it to help.
    pub fn arrange(&self, thread: &Thread) -> Option<Help> {
        let mut mapper = self.mapper();
        self.owes.store(false, Ordering::Release);
        if self.is_killed() {
            return None;
        }
        let Some(cpu) = thread.posted_on() else {
            self.make_owed(&mut mapper);
            return None;
        };
        if mapper.owed.pending.is_empty() {
            return mapper.owed.own.take().map(Help::Own);
        }
        mapper.relay(cpu);
        Some(Help::Relay)
    }

    /// Makes what is owed without the help of a thread.
    pub fn make_up(&self) {
        let mut mapper = self.mapper();
        self.make_owed(&mut mapper);
    }

    /// The same, with the mapper at hand.
    pub fn make_owed(&self, mapper: &mut Mapper) {
        if !mapper.owed.is_empty() && !self.is_killed() {
            // One that fails ends the stub.
            let _ = self.batch(mapper, &[], 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(nr: i64, addr: u64, len: u64) -> Op {
        Op::new(nr, [addr, len, 1, 0, 0, 0])
    }

    fn unseen(owed: &Owed) -> Vec<(i64, u64, u64)> {
        let words = |op: &Op| (op.words[0].cast_signed(), op.words[1], op.words[2]);
        owed.unseen.iter().map(words).collect()
    }

    #[test]
    fn later_changes_supersede() {
        let (map, unmap, protect) = (libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mprotect);
        let mut owed = Owed::default();
        owed.unseen.push(op(protect, 0x1000, 0x5000));
        owed.supersede(&op(unmap, 0x2000, 0x1000));
        owed.unseen.push(op(unmap, 0x2000, 0x1000));
        let left = [
            (protect, 0x1000, 0x1000),
            (protect, 0x3000, 0x3000),
            (unmap, 0x2000, 0x1000),
        ];
        assert_eq!(unseen(&owed), left);
        owed.supersede(&op(protect, 0x3000, 0x3000));
        assert_eq!(unseen(&owed), [left[0], left[2]]);
        // What is unmapped stays so until something is mapped there.
        owed.supersede(&op(unmap, 0x1000, 0x4000));
        assert_eq!(unseen(&owed), [left[2]]);
        owed.supersede(&op(map, 0x2000, 0x1000));
        assert!(owed.is_empty());
    }
}
