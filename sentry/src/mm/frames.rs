//! [`Frames`]: which ranges of the memory file are in use, and by how many.
//!
//! A range is allocated with one owner. Copy-on-write siblings and file mappings retain it;
//! when the last owner releases it, its memory goes back to the host and the range may be
//! used again. Shared by the whole kernel: address spaces, tmpfs and shared memory all
//! allocate here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use abi::{Errno, PAGE_SIZE};
use guestmem::{MemoryFile, Slice};

use super::state::Grave;
use crate::Result;
use crate::sync::Mutex;

/// A range of the memory file; page multiples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRange {
    /// Offset in the memory file.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}

/// Allocator of memory file ranges.
pub struct Frames {
    file: Arc<MemoryFile>,
    state: Mutex<State>,
    ids: AtomicU64,
    graves: Mutex<Vec<Grave>>,
    total: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Free ranges: start to end.
    free: BTreeMap<u64, u64>,
    /// The same by length, for best fit.
    by_len: BTreeSet<(u64, u64)>,
    /// Ranges with more than one owner: start to (end, owners beyond the first).
    shared: BTreeMap<u64, (u64, u32)>,
    /// Bytes allocated.
    used: u64,
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Frames")
    }
}

impl State {
    fn insert_free(&mut self, mut start: u64, mut end: u64) {
        if let Some((&s, &e)) = self.free.range(..=start).next_back()
            && e == start
        {
            self.remove_free(s, e);
            start = s;
        }
        if let Some(&e) = self.free.get(&end) {
            self.remove_free(end, e);
            end = e;
        }
        self.free.insert(start, end);
        self.by_len.insert((end - start, start));
    }

    fn remove_free(&mut self, start: u64, end: u64) {
        self.free.remove(&start);
        self.by_len.remove(&(end - start, start));
    }

    /// Takes `len` bytes from the end of the smallest range that has them, so that what is
    /// allocated one after the other lies downwards, as the address space is filled.
    fn take(&mut self, len: u64) -> Option<u64> {
        let &(have, start) = self.by_len.range((len, 0)..).next()?;
        let end = start + have;
        self.remove_free(start, end);
        let at = end - len;
        if at > start {
            self.free.insert(start, at);
            self.by_len.insert((at - start, start));
        }
        self.used += len;
        Some(at)
    }

    /// Cuts the shared run that spans `at`, so that a run starts there.
    fn cut_shared(&mut self, at: u64) {
        if let Some((&s, &(e, n))) = self.shared.range(..at).next_back()
            && e > at
        {
            self.shared.insert(s, (at, n));
            self.shared.insert(at, (e, n));
        }
    }

    fn retain(&mut self, start: u64, end: u64) {
        self.cut_shared(start);
        self.cut_shared(end);
        let runs: Vec<_> = self
            .shared
            .range(start..end)
            .map(|(s, r)| (*s, *r))
            .collect();
        let mut at = start;
        for (s, (e, n)) in runs {
            if s > at {
                self.shared.insert(at, (s, 1));
            }
            self.shared.insert(s, (e, n.saturating_add(1)));
            at = e;
        }
        if at < end {
            self.shared.insert(at, (end, 1));
        }
        self.merge_shared(start, end);
    }

    /// Joins neighbouring runs with equal counts around `start..end`.
    fn merge_shared(&mut self, start: u64, end: u64) {
        let from = self
            .shared
            .range(..start)
            .next_back()
            .map_or(start, |(s, _)| *s);
        let keys: Vec<u64> = self.shared.range(from..=end).map(|(s, _)| *s).collect();
        let mut last: Option<(u64, u64, u32)> = None;
        for key in keys {
            let Some(&(e, n)) = self.shared.get(&key) else {
                continue;
            };
            match last {
                Some((s, le, ln)) if le == key && ln == n => {
                    self.shared.remove(&key);
                    self.shared.insert(s, (e, n));
                    last = Some((s, e, n));
                }
                _ => last = Some((key, e, n)),
            }
        }
    }

    /// One owner less; the parts that had but one are put into `gone`.
    fn release(&mut self, start: u64, end: u64, gone: &mut Vec<(u64, u64)>) {
        self.cut_shared(start);
        self.cut_shared(end);
        let runs: Vec<_> = self
            .shared
            .range(start..end)
            .map(|(s, r)| (*s, *r))
            .collect();
        let mut at = start;
        for (s, (e, n)) in runs {
            if s > at {
                gone.push((at, s));
            }
            if n <= 1 {
                self.shared.remove(&s);
            } else {
                self.shared.insert(s, (e, n - 1));
            }
            at = e;
        }
        if at < end {
            gone.push((at, end));
        }
        self.merge_shared(start, end);
    }
}

impl Frames {
    /// An allocator over the whole of `file`.
    pub fn new(file: Arc<MemoryFile>) -> Arc<Frames> {
        let mut state = State::default();
        // Offset 0 stays unused, so that it never looks like a valid place.
        if file.len() > PAGE_SIZE {
            state.insert_free(PAGE_SIZE, file.len());
        }
        Arc::new(Frames {
            file,
            state: Mutex::new(state),
            ids: AtomicU64::new(1),
            graves: Mutex::default(),
            total: AtomicU64::new(u64::MAX),
        })
    }

    /// Tells how much memory there is; one private mapping longer than that is refused
    /// (the heuristic of `vm.overcommit_memory` 0). 0 means unknown.
    pub fn set_total(&self, bytes: u64) {
        let total = if bytes == 0 { u64::MAX } else { bytes };
        self.total.store(total, Ordering::Relaxed);
    }

    /// How much memory there is, in bytes.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// A number not given before, to name address spaces by.
    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// The memory file.
    pub fn file(&self) -> &Arc<MemoryFile> {
        &self.file
    }

    /// Reserves `len` bytes (rounded up to pages) that read as zero and cost nothing until
    /// touched. `ENOMEM` when no range is that long.
    pub fn alloc(&self, len: u64) -> Result<FrameRange> {
        let len = len
            .checked_next_multiple_of(PAGE_SIZE)
            .filter(|l| *l > 0)
            .ok_or(Errno::ENOMEM)?;
        let offset = self.state.lock().take(len).ok_or(Errno::ENOMEM)?;
        Ok(FrameRange { offset, len })
    }

    /// Releases what a dead address space held: now if its guest has ended, else when it
    /// has, at the latest when the next one is buried.
    pub(super) fn bury(&self, grave: Grave) {
        let space = Arc::clone(&grave.space);
        if space.keep_end() {
            self.graves.lock().push(grave);
            // It may have ended in between, unnoticed by the keeper.
            space.keep_end();
            return;
        }
        if grave.space.ended() {
            self.release_all(&grave);
        } else {
            self.graves.lock().push(grave);
        }
        self.tidy();
    }

    /// Releases what dead address spaces held whose guests have ended meanwhile.
    pub fn tidy(&self) {
        let mut done = Vec::new();
        {
            let mut graves = self.graves.lock();
            let mut i = 0;
            while i < graves.len() {
                if graves.get(i).is_some_and(|g| g.space.ended()) {
                    done.push(graves.swap_remove(i));
                } else {
                    i += 1;
                }
            }
        }
        for grave in &done {
            self.release_all(grave);
        }
    }

    fn release_all(&self, grave: &Grave) {
        for range in &grave.ranges {
            self.release(*range);
        }
    }

    /// One more owner of every page of the range.
    pub fn retain(&self, range: FrameRange) {
        if range.len > 0 {
            self.state
                .lock()
                .retain(range.offset, range.offset + range.len);
        }
    }

    /// One owner less; pages without owner are given back to the host and may be allocated
    /// again. Nothing may be mapped to them any more.
    pub fn release(&self, range: FrameRange) {
        if range.len == 0 {
            return;
        }
        let mut gone = Vec::new();
        let end = range.offset + range.len;
        self.state.lock().release(range.offset, end, &mut gone);
        for (s, e) in gone {
            if self.file.punch(s, e - s).is_ok() {
                let mut state = self.state.lock();
                state.insert_free(s, e);
                state.used = state.used.saturating_sub(e - s);
            }
        }
    }

    /// Whether the page at `offset` has one owner, and how far from there on (at most `len`
    /// bytes) that answer holds.
    pub fn sole(&self, offset: u64, len: u64) -> (bool, u64) {
        let state = self.state.lock();
        if let Some((_, &(e, _))) = state.shared.range(..=offset).next_back()
            && e > offset
        {
            let mut end = e;
            while let Some(&(next, _)) = state.shared.get(&end) {
                if end >= offset.saturating_add(len) {
                    break;
                }
                end = next;
            }
            return (false, (end - offset).min(len));
        }
        let next = state.shared.range(offset..).next().map(|(s, _)| *s);
        (true, next.map_or(len, |s| (s - offset).min(len)))
    }

    /// How many own the page at `offset`.
    pub fn owners(&self, offset: u64) -> u32 {
        let state = self.state.lock();
        match state.shared.range(..=offset).next_back() {
            Some((_, &(e, n))) if e > offset => n.saturating_add(1),
            _ => 1,
        }
    }

    /// The memory of a range.
    pub fn slice(&self, offset: u64, len: u64) -> Result<Slice<'_>> {
        self.file.slice(offset, len).ok_or(Errno::EFAULT)
    }

    /// Bytes of the memory file that are reserved (not: present).
    pub fn reserved(&self) -> u64 {
        self.state.lock().used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_come_and_go() {
        let f = Frames::new(Arc::new(MemoryFile::new(1 << 40).unwrap()));
        let p = PAGE_SIZE;
        let r = f.alloc(10 * p).unwrap();
        let sub = |a: u64, n: u64| FrameRange {
            offset: r.offset + a * p,
            len: n * p,
        };
        f.slice(r.offset, 10 * p).unwrap().fill(1).unwrap();
        assert_eq!(f.sole(r.offset, r.len), (true, r.len));
        f.retain(sub(2, 4));
        f.retain(sub(4, 4));
        assert_eq!(f.sole(r.offset, r.len), (true, 2 * p));
        assert_eq!(f.sole(r.offset + 3 * p, 7 * p), (false, 5 * p));
        assert_eq!(f.owners(r.offset + 5 * p), 3);
        f.release(r);
        assert_eq!(f.reserved(), 6 * p);
        assert_eq!(f.file().resident_bytes(), 6 * p);
        assert_eq!(f.owners(r.offset + 5 * p), 2);
        f.release(sub(2, 4));
        f.release(sub(4, 4));
        assert_eq!(f.reserved(), 0);
        assert_eq!(f.file().resident_bytes(), 0);
        assert!(f.state.lock().shared.is_empty());
        assert_eq!(f.state.lock().free.len(), 1);
        assert!(f.alloc(0).is_err() && f.alloc(1 << 50).is_err());
    }
}
