//! Data of a regular file: runs of pages in the memory file.
//!
//! What `read`, `write` and `mmap` see are the same frames. A copy between guest and frames
//! runs without the state lock, because it may fault on a mapping of this very file; a pin
//! keeps frames from being given up meanwhile: while pinned or mapped they are zeroed in
//! place instead. Writes are serialised by their own lock, above the
//! state lock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use abi::{Errno, PAGE_SIZE};

use super::super::seals::Seals;
use crate::Result;
use crate::io::{IoDst, IoSrc};
use crate::mm::frames::{FrameRange, Frames};
use crate::mm::{Backing, Mappers};
use crate::sync::{Mutex, RwLock};

/// Largest file.
pub const MAX_SIZE: u64 = i64::MAX as u64;
/// Longest range taken from the allocator ahead of need, in pages.
const AHEAD: u64 = 4096;
/// What holes are read from.
static ZEROES: [u8; 1 << 16] = [0; 1 << 16];

/// Pages a file system may use.
#[derive(Debug)]
pub struct Quota {
    /// Most pages; `u64::MAX` for no limit.
    pub max: AtomicU64,
    /// Pages in use.
    pub used: AtomicU64,
}

impl Quota {
    /// Takes up to `want` pages; how many there were, 0 when none.
    fn take(&self, want: u64) -> u64 {
        let max = self.max.load(Ordering::Relaxed);
        let mut got = 0;
        let _ = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                got = want.min(max.saturating_sub(used));
                Some(used.saturating_add(got))
            });
        got
    }

    fn give(&self, pages: u64) {
        let _ = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                Some(used.saturating_sub(pages))
            });
    }
}

/// Consecutive pages of a file that stand together.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Offset in the memory file.
    mem: u64,
    /// Pages.
    pages: u64,
    /// Made for a mapping: pages may be untouched, and do not count against the quota.
    mapped: bool,
}

#[derive(Default)]
struct State {
    size: u64,
    /// Runs by first page; they do not overlap.
    runs: BTreeMap<u64, Run>,
    /// Pages that count against the quota.
    charged: u64,
    /// Range allocated ahead: offset and pages.
    ahead: (u64, u64),
}

/// Where a piece of a file stands.
enum Piece {
    Frames(u64, u64),
    Hole(u64),
}

/// The data of a file.
pub struct Data {
    frames: Arc<Frames>,
    quota: Arc<Quota>,
    state: RwLock<State>,
    write: Mutex<()>,
    pins: AtomicU32,
    maps: AtomicI32,
    shared_writers: AtomicI32,
    /// Who maps it.
    pub mappers: Mappers,
    /// Seals (`F_ADD_SEALS`).
    pub seals: Seals,
}

/// Keeps frames in place.
struct Pin<'a>(&'a AtomicU32);

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl State {
    /// The piece at byte `pos`, not longer than `len`.
    fn piece(&self, pos: u64, len: u64) -> Piece {
        let page = pos / PAGE_SIZE;
        if let Some((&first, run)) = self.runs.range(..=page).next_back()
            && page < first + run.pages
        {
            let skip = pos - first * PAGE_SIZE;
            return Piece::Frames(run.mem + skip, (run.pages * PAGE_SIZE - skip).min(len));
        }
        let next = self.runs.range(page..).next();
        let hole = next.map_or(u64::MAX, |(&first, _)| first * PAGE_SIZE - pos);
        Piece::Hole(hole.min(len))
    }

    /// Adds a run, joined to the one before it where both file and frames go on.
    fn add(&mut self, page: u64, run: Run) {
        if !run.mapped {
            self.charged += run.pages;
        }
        if let Some((&first, before)) = self.runs.range_mut(..page).next_back()
            && first + before.pages == page
            && before.mem + before.pages * PAGE_SIZE == run.mem
            && before.mapped == run.mapped
        {
            before.pages += run.pages;
            return;
        }
        self.runs.insert(page, run);
    }

    /// Takes the runs of `from..to` (pages) out, cutting those that stick out.
    fn cut(&mut self, from: u64, to: u64) -> Vec<Run> {
        let mut out = Vec::new();
        let before = self.runs.range(..from).next_back().map(|(&p, &r)| (p, r));
        if let Some((first, run)) = before
            && first + run.pages > from
        {
            self.split(first, run, from);
        }
        let keys: Vec<u64> = self.runs.range(from..to).map(|(&p, _)| p).collect();
        for first in keys {
            let Some(&run) = self.runs.get(&first) else {
                continue;
            };
            if first + run.pages > to {
                self.split(first, run, to);
            }
            if let Some(run) = self.runs.remove(&first) {
                out.push(run);
                if !run.mapped {
                    self.charged = self.charged.saturating_sub(run.pages);
                }
            }
        }
        out
    }

    fn split(&mut self, first: u64, run: Run, at: u64) {
        let head = at - first;
        let (a, b) = (
            Run { pages: head, ..run },
            Run {
                mem: run.mem + head * PAGE_SIZE,
                pages: run.pages - head,
                ..run
            },
        );
        self.runs.insert(first, a);
        self.runs.insert(at, b);
    }
}

impl Data {
    /// An empty file.
    pub fn new(frames: Arc<Frames>, quota: Arc<Quota>, seals: Seals) -> Data {
        Data {
            frames,
            quota,
            state: RwLock::default(),
            write: Mutex::new(()),
            pins: AtomicU32::new(0),
            maps: AtomicI32::new(0),
            shared_writers: AtomicI32::new(0),
            mappers: Mappers::default(),
            seals,
        }
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.state.read().size
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        let state = self.state.read();
        let mut bytes = state.charged * PAGE_SIZE;
        for run in state.runs.values().filter(|r| r.mapped) {
            let len = run.pages * PAGE_SIZE;
            bytes += self.frames.file().data_bytes(run.mem, len);
        }
        bytes
    }

    /// Mappings that may write to it, now.
    pub fn shared_writers(&self) -> i32 {
        self.shared_writers.load(Ordering::SeqCst)
    }

    /// Counts mappings.
    pub fn mapped(&self, delta: i32, shared_write: bool) {
        self.maps.fetch_add(delta, Ordering::SeqCst);
        if shared_write {
            self.shared_writers.fetch_add(delta, Ordering::SeqCst);
        }
    }

    fn pin(&self) -> Pin<'_> {
        self.pins.fetch_add(1, Ordering::SeqCst);
        Pin(&self.pins)
    }

    /// Reads at `pos`; 0 at the end.
    pub fn read(&self, dst: &mut dyn IoDst, mut pos: u64) -> Result<usize> {
        let mut done = 0;
        while dst.remaining() > 0 {
            let (piece, _pin) = {
                let state = self.state.read();
                let left = state.size.saturating_sub(pos).min(dst.remaining() as u64);
                if left == 0 {
                    break;
                }
                (state.piece(pos, left), self.pin())
            };
            let (want, got) = match piece {
                Piece::Frames(mem, len) => (len, dst.put_slice(self.frames.slice(mem, len)?)),
                Piece::Hole(len) => {
                    let len = len.min(ZEROES.len() as u64);
                    let zeroes = ZEROES.get(..len as usize).unwrap_or_default();
                    (len, dst.put(zeroes))
                }
            };
            match got {
                Ok(n) => {
                    done += n;
                    pos += n as u64;
                    if (n as u64) < want {
                        break;
                    }
                }
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Writes at `pos`: `EFBIG`, `ENOSPC`, `EPERM` when sealed.
    pub fn write(&self, src: &mut dyn IoSrc, pos: u64) -> Result<usize> {
        let _write = self.write.lock();
        self.write_locked(src, pos)
    }

    /// Writes at the end; bytes and the position behind them.
    pub fn append(&self, src: &mut dyn IoSrc) -> Result<(usize, u64)> {
        let _write = self.write.lock();
        let end = self.size();
        let n = self.write_locked(src, end)?;
        Ok((n, end + n as u64))
    }

    fn write_locked(&self, src: &mut dyn IoSrc, mut pos: u64) -> Result<usize> {
        if src.remaining() == 0 {
            return Ok(0);
        }
        if pos >= MAX_SIZE {
            return Err(Errno::EFBIG);
        }
        let mut done = 0;
        while src.remaining() > 0 {
            let step = self.write_piece(src, pos);
            match step {
                Ok(0) => break,
                Ok(n) => {
                    done += n;
                    pos += n as u64;
                }
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Writes one contiguous piece.
    fn write_piece(&self, src: &mut dyn IoSrc, pos: u64) -> Result<usize> {
        let len = (src.remaining() as u64).min(MAX_SIZE - pos);
        if len == 0 {
            return Ok(0);
        }
        let (mem, len, _pin) = {
            let mut state = self.state.write();
            let len = self.seals.check_write(pos, len, state.size)?;
            let (mem, len) = self.make(&mut state, pos, len, false)?;
            (mem, len, self.pin())
        };
        let n = src.take_slice(self.frames.slice(mem, len)?)?;
        let mut state = self.state.write();
        state.size = state.size.max(pos + n as u64);
        Ok(n)
    }

    /// Frames for byte `pos`, made if there are none: where, and how many of `len` bytes.
    fn make(&self, state: &mut State, pos: u64, len: u64, mapped: bool) -> Result<(u64, u64)> {
        let hole = match state.piece(pos, len) {
            Piece::Frames(mem, len) => return Ok((mem, len)),
            Piece::Hole(len) => len,
        };
        let page = pos / PAGE_SIZE;
        let last = (pos + hole - 1) / PAGE_SIZE;
        let want = last - page + 1;
        let pages = if mapped { want } else { self.quota.take(want) };
        if pages == 0 {
            return Err(Errno::ENOSPC);
        }
        let (mem, got) = match self.take(state, pages) {
            Ok(found) => found,
            Err(e) => {
                if !mapped {
                    self.quota.give(pages);
                }
                return Err(e);
            }
        };
        if got < pages && !mapped {
            self.quota.give(pages - got);
        }
        let run = Run {
            mem,
            pages: got,
            mapped,
        };
        state.add(page, run);
        let skip = pos % PAGE_SIZE;
        Ok((mem + skip, (got * PAGE_SIZE - skip).min(len)))
    }

    /// Up to `pages` pages from what was allocated ahead, or newly.
    fn take(&self, state: &mut State, pages: u64) -> Result<(u64, u64)> {
        if state.ahead.1 == 0 {
            let chunk = pages.max(state.charged.min(AHEAD));
            let range = self.frames.alloc(chunk * PAGE_SIZE)?;
            state.ahead = (range.offset, chunk);
        }
        let got = pages.min(state.ahead.1);
        let mem = state.ahead.0;
        state.ahead = (mem + got * PAGE_SIZE, state.ahead.1 - got);
        Ok((mem, got))
    }

    /// Sets the size; data beyond a smaller one is gone.
    pub fn truncate(&self, size: u64) -> Result<()> {
        if size > MAX_SIZE {
            return Err(Errno::EFBIG);
        }
        let _write = self.write.lock();
        let mut state = self.state.write();
        self.seals.check_resize(state.size, size)?;
        let old = state.size;
        state.size = size;
        if size < old {
            // Who maps the tail must fault (SIGBUS) from now on; frames are asked for anew.
            drop(state);
            let gone = size.next_multiple_of(PAGE_SIZE);
            self.mappers.truncate(gone);
            state = self.state.write();
            self.drop_pages(&mut state, size.div_ceil(PAGE_SIZE), u64::MAX / PAGE_SIZE);
        }
        // What stands in the last page beyond the end must read as zero later.
        self.zero(
            &state,
            size.min(old),
            size.min(old).next_multiple_of(PAGE_SIZE),
        );
        Ok(())
    }

    /// Fills `from..to`, which lies in one page, with zeroes if it has a frame.
    fn zero(&self, state: &State, from: u64, to: u64) {
        if from < to
            && let Piece::Frames(mem, len) = state.piece(from, to - from)
            && let Ok(slice) = self.frames.slice(mem, len)
        {
            // A page the host cannot supply reads as zero anyway.
            let _ = slice.fill(0);
        }
    }

    /// Gives up the pages `from..to`, or zeroes them where somebody else looks at them.
    fn drop_pages(&self, state: &mut State, from: u64, to: u64) {
        let busy = self.pins.load(Ordering::SeqCst) != 0 || self.maps.load(Ordering::SeqCst) > 0;
        let mut at = from;
        while let Some((first, run)) = state.runs_from(at, to) {
            let start = first.max(at);
            let end = (first + run.pages).min(to);
            at = end;
            let mem = run.mem + (start - first) * PAGE_SIZE;
            let len = (end - start) * PAGE_SIZE;
            let (sole, upto) = self.frames.sole(mem, len);
            if busy || !sole || upto < len {
                let _ = self.frames.file().punch(mem, len);
                continue;
            }
            for gone in state.cut(start, end) {
                if !gone.mapped {
                    self.quota.give(gone.pages);
                }
                self.frames.release(FrameRange {
                    offset: gone.mem,
                    len: gone.pages * PAGE_SIZE,
                });
            }
        }
    }

    /// Makes a hole; the size stays.
    pub fn punch(&self, offset: u64, len: u64) -> Result<()> {
        let _write = self.write.lock();
        let mut state = self.state.write();
        self.seals.check_write(offset, len, u64::MAX)?;
        let end = offset.saturating_add(len);
        let (first, last) = (offset.div_ceil(PAGE_SIZE), end / PAGE_SIZE);
        if first > last {
            self.zero(&state, offset, end);
            return Ok(());
        }
        self.zero(&state, offset, first * PAGE_SIZE);
        self.zero(&state, last * PAGE_SIZE, end);
        self.drop_pages(&mut state, first, last);
        Ok(())
    }

    /// Gives every page of the range memory of its own: `ENOSPC`.
    pub fn allocate(&self, offset: u64, len: u64, keep_size: bool) -> Result<()> {
        let end = offset.checked_add(len).filter(|e| *e <= MAX_SIZE);
        let end = end.ok_or(Errno::EFBIG)?;
        let _write = self.write.lock();
        let mut state = self.state.write();
        if !keep_size && end > state.size {
            self.seals.check_resize(state.size, end)?;
        }
        let pages = end.div_ceil(PAGE_SIZE) - offset / PAGE_SIZE;
        let free = self.quota.max.load(Ordering::Relaxed).saturating_sub(
            self.quota
                .used
                .load(Ordering::Relaxed)
                .saturating_sub(state.charged),
        );
        if pages > free {
            return Err(Errno::ENOSPC);
        }
        let mut at = offset;
        while at < end {
            let (_, n) = self.make(&mut state, at, end - at, false)?;
            at += n;
        }
        if !keep_size {
            state.size = state.size.max(end);
        }
        Ok(())
    }

    /// `SEEK_DATA` (`hole` false) or `SEEK_HOLE` from `offset`; `ENXIO`.
    pub fn seek(&self, offset: u64, hole: bool) -> Result<u64> {
        let state = self.state.read();
        if offset >= state.size {
            return Err(Errno::ENXIO);
        }
        let mut at = offset;
        while at < state.size {
            match (state.piece(at, state.size - at), hole) {
                (Piece::Hole(_), true) | (Piece::Frames(..), false) => return Ok(at),
                (Piece::Hole(n) | Piece::Frames(_, n), _) => at += n,
            }
        }
        if hole {
            Ok(state.size)
        } else {
            Err(Errno::ENXIO)
        }
    }

    /// Where `len` bytes at `offset` stand, for a mapping; `ENXIO` beyond the end.
    pub fn backing(&self, offset: u64, len: u64) -> Result<Backing> {
        let mut state = self.state.write();
        let end = state.size.div_ceil(PAGE_SIZE).saturating_mul(PAGE_SIZE);
        let len = len.min(end.saturating_sub(offset));
        if len == 0 {
            return Err(Errno::ENXIO);
        }
        let (offset, len) = self.make(&mut state, offset, len, true)?;
        Ok(Backing::Memory { offset, len })
    }
}

impl State {
    /// The first run that has a page in `from..to`.
    fn runs_from(&self, from: u64, to: u64) -> Option<(u64, Run)> {
        if from >= to {
            return None;
        }
        if let Some((&first, &run)) = self.runs.range(..=from).next_back()
            && first + run.pages > from
        {
            return Some((first, run));
        }
        self.runs.range(from..to).next().map(|(&p, &r)| (p, r))
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        let ahead = Run {
            mem: state.ahead.0,
            pages: state.ahead.1,
            mapped: true,
        };
        for run in state.runs.values().chain([&ahead]) {
            self.frames.release(FrameRange {
                offset: run.mem,
                len: run.pages * PAGE_SIZE,
            });
        }
        self.quota.give(state.charged);
    }
}
