//! Received data: what is in order waits for its reader, what is not waits for the gap.

use std::collections::{BTreeMap, VecDeque};

use super::MAX_RCVBUF;
use crate::Time;

/// Most pieces kept out of order.
const MAX_PIECES: usize = 4096;
/// Pieces smaller than this are put together.
const MERGE: usize = 16 * 1024;

/// The receiving direction.
#[derive(Debug)]
pub(crate) struct Rx {
    pub(crate) irs: u32,
    pub(crate) nxt: u64,
    /// Right edge of the window the peer knows.
    pub(crate) edge: u64,
    /// What was acknowledged last.
    pub(crate) acked: u64,
    pub(crate) shift: u8,
    pub(crate) buf: usize,
    /// Delivered in order and not yet read.
    pub(crate) held: usize,
    pub(crate) ready: VecDeque<Vec<u8>>,
    pieces: BTreeMap<u64, Vec<u8>>,
    piece_bytes: usize,
    /// Where the last piece out of order began.
    recent: u64,
    pub(crate) dsack: Option<(u64, u64)>,
    pub(crate) fin: Option<u64>,
    pub(crate) fin_seen: bool,
    /// The user reads no more: data is dropped.
    pub(crate) shut: bool,
    pub(crate) mss: u64,
    pub(crate) ack_now: bool,
    pub(crate) quick: u32,
    pub(crate) ts_recent: u32,
    pub(crate) ts_recent_at: Time,
    pub(crate) last_data: Time,
    /// Tuning: bytes read since `tune_at`.
    tuned: (Time, u64),
    copied: u64,
    rtt: Time,
    rtt_mark: (Time, u64),
}

impl Rx {
    pub(crate) fn new(buf: usize, mss: u64) -> Rx {
        Rx {
            irs: 0,
            nxt: 0,
            edge: 0,
            acked: 0,
            shift: 0,
            buf,
            held: 0,
            ready: VecDeque::new(),
            pieces: BTreeMap::new(),
            piece_bytes: 0,
            recent: 0,
            dsack: None,
            fin: None,
            fin_seen: false,
            shut: false,
            mss: mss.min(536),
            ack_now: false,
            quick: 16,
            ts_recent: 0,
            ts_recent_at: 0,
            last_data: 0,
            tuned: (0, 0),
            copied: 0,
            rtt: 0,
            rtt_mark: (0, 0),
        }
    }

    /// The offset a wire number means, near what is expected next.
    pub(crate) fn offset(&self, seq: u32) -> Option<u64> {
        let expected = self.irs.wrapping_add((self.nxt & 0xffff_ffff) as u32);
        let diff = seq.wrapping_sub(expected).cast_signed();
        self.nxt.checked_add_signed(i64::from(diff))
    }

    pub(crate) fn wire_ack(&self) -> u32 {
        self.irs.wrapping_add((self.nxt & 0xffff_ffff) as u32)
    }

    /// Pieces out of order that a selective acknowledgement would name.
    pub(crate) fn blocks(&self) -> usize {
        self.pieces.len().min(4) + usize::from(self.dsack.is_some())
    }

    /// Bytes beyond `nxt` there is room for.
    pub(crate) fn room(&self) -> u64 {
        self.buf.saturating_sub(self.held) as u64
    }

    /// The window to tell, never smaller than told before.
    pub(crate) fn window(&self) -> u64 {
        let room = self.room();
        let known = self.edge.saturating_sub(self.nxt);
        // Small steps would only make small segments.
        let step = self.mss.min(self.buf as u64 / 2);
        if room >= known.saturating_add(step) {
            room
        } else {
            known
        }
    }

    /// Takes data at an offset, cut to what the window holds. Whether it moved `nxt`.
    pub(crate) fn take(&mut self, at: u64, data: &[u8], now: Time) -> bool {
        let end = at.saturating_add(data.len() as u64);
        if end <= self.nxt {
            self.dsack = Some((at, end));
            self.ack_now = true;
            return false;
        }
        let limit = self
            .edge
            .max(self.nxt.saturating_add(self.room().min(self.mss)));
        let skip = usize::try_from(self.nxt.saturating_sub(at)).unwrap_or(usize::MAX);
        let from = at.max(self.nxt);
        let most = usize::try_from(limit.saturating_sub(from)).unwrap_or(usize::MAX);
        let rest = data.get(skip..).unwrap_or_default();
        let rest = rest.get(..rest.len().min(most)).unwrap_or_default();
        if rest.is_empty() {
            self.ack_now = true;
            return false;
        }
        if from > self.nxt {
            self.keep(from, rest);
            self.ack_now = true;
            return false;
        }
        self.last_data = now;
        self.deliver(rest);
        if !self.pieces.is_empty() {
            self.ack_now = true;
            self.fill();
        }
        true
    }

    fn deliver(&mut self, data: &[u8]) {
        self.nxt = self.nxt.saturating_add(data.len() as u64);
        if self.shut {
            return;
        }
        self.held = self.held.saturating_add(data.len());
        if let Some(last) = self.ready.back_mut()
            && last.len().saturating_add(data.len()) <= MERGE
        {
            last.extend_from_slice(data);
            return;
        }
        self.ready.push_back(data.to_vec());
    }

    /// Keeps a piece that is ahead of a gap.
    fn keep(&mut self, at: u64, data: &[u8]) {
        self.recent = at;
        let end = at.saturating_add(data.len() as u64);
        // What an earlier piece has already is cut off.
        let before = self.pieces.range(..=at).next_back();
        let before_end = before.map_or(0, |(s, d)| s.saturating_add(d.len() as u64));
        let start = at.max(before_end);
        if start >= end {
            self.dsack = Some((at, end));
            return;
        }
        if self.pieces.len() >= MAX_PIECES
            || self.piece_bytes.saturating_add(data.len()) > self.buf.saturating_mul(2)
        {
            return;
        }
        let cut = usize::try_from(start - at).unwrap_or(0);
        let mut piece = data.get(cut..).unwrap_or_default().to_vec();
        // Later pieces that this one covers go; one that it runs into cuts it.
        while let Some((&s, d)) = self.pieces.range(start..).next() {
            if s >= end {
                break;
            }
            let d_end = s.saturating_add(d.len() as u64);
            if d_end <= end {
                self.piece_bytes = self.piece_bytes.saturating_sub(d.len());
                self.pieces.remove(&s);
            } else {
                piece.truncate(usize::try_from(s - start).unwrap_or(0));
                break;
            }
        }
        if !piece.is_empty() {
            self.piece_bytes = self.piece_bytes.saturating_add(piece.len());
            self.pieces.insert(start, piece);
        }
    }

    /// Delivers pieces that are next now.
    fn fill(&mut self) {
        while let Some(entry) = self.pieces.first_entry() {
            if *entry.key() > self.nxt {
                break;
            }
            let (at, data) = entry.remove_entry();
            self.piece_bytes = self.piece_bytes.saturating_sub(data.len());
            let skip = usize::try_from(self.nxt.saturating_sub(at)).unwrap_or(usize::MAX);
            if let Some(rest) = data.get(skip..) {
                self.deliver(rest);
            }
        }
    }

    /// The ranges a selective acknowledgement names: a duplicate, the latest, the others.
    pub(crate) fn sack(&mut self, most: usize) -> ([(u32, u32); 4], usize) {
        let mut out = [(0, 0); 4];
        let mut n = 0;
        let wire = |at: u64| self.irs.wrapping_add((at & 0xffff_ffff) as u32);
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for (s, d) in &self.pieces {
            let end = s.saturating_add(d.len() as u64);
            match ranges.last_mut() {
                Some(last) if last.1 >= *s => last.1 = end,
                _ => ranges.push((*s, end)),
            }
        }
        let recent = self.recent;
        let latest = ranges.iter().position(|(s, e)| (*s..*e).contains(&recent));
        if let Some(at) = latest {
            ranges.swap(0, at);
        }
        let all = self.dsack.into_iter().chain(ranges);
        for (slot, (s, e)) in out.iter_mut().zip(all).take(most) {
            *slot = (wire(s), wire(e));
            n += 1;
        }
        self.dsack = None;
        (out, n)
    }

    /// Measures the path from the receiver's side: the time one window takes.
    pub(crate) fn measure(&mut self, now: Time) {
        let (since, edge) = self.rtt_mark;
        if edge == 0 || self.nxt >= edge {
            if edge != 0 {
                let sample = now.saturating_sub(since).max(1);
                self.rtt = match self.rtt {
                    0 => sample,
                    old => old.min(sample).max(old - old / 8),
                };
            }
            self.rtt_mark = (now, self.nxt.saturating_add(self.window()));
        }
    }

    /// The user has read `n` bytes; grows the buffer when it reads as fast as they come.
    pub(crate) fn consumed(&mut self, n: usize, now: Time, fixed: bool, rtt: Time) {
        self.held = self.held.saturating_sub(n);
        self.copied = self.copied.saturating_add(n as u64);
        let rtt = if self.rtt == 0 { rtt } else { self.rtt };
        let (since, before) = self.tuned;
        if now.saturating_sub(since) < rtt.max(1000) {
            return;
        }
        if self.copied > before && !fixed {
            let want = usize::try_from(self.copied.saturating_mul(4)).unwrap_or(MAX_RCVBUF);
            self.buf = self.buf.max(want.min(MAX_RCVBUF));
        }
        self.tuned = (now, self.copied.max(before));
        self.copied = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rx() -> Rx {
        let mut rx = Rx::new(100_000, 1000);
        rx.edge = 100_000;
        rx
    }

    #[test]
    fn gaps_are_filled() {
        let mut rx = rx();
        assert!(!rx.take(5, b"fgh", 0));
        assert!(!rx.take(3, b"defg", 0));
        assert_eq!(rx.sack(4), ([(3, 8), (0, 0), (0, 0), (0, 0)], 1));
        assert!(rx.take(0, b"abcde", 0));
        let all: Vec<u8> = rx.ready.iter().flatten().copied().collect();
        assert_eq!(all, b"abcdefgh");
        assert_eq!(rx.nxt, 8);
        assert!(!rx.take(0, b"ab", 0));
        assert_eq!(rx.sack(4).1, 1);
    }

    #[test]
    fn the_window_is_kept() {
        let mut rx = rx();
        rx.edge = 4;
        rx.buf = 0;
        assert!(rx.take(0, b"abcdefgh", 0));
        assert_eq!(rx.nxt, 4);
    }
}
