//! What a stub's guest range has mapped on the host.
//!
//! mprotect(2) stops at the first hole, and the kernel above keeps no host mappings for
//! what needs none; so a change of protection is cut to what is mapped. The pieces are never
//! fewer than the host's own mappings of the range: below the host's limit no change can
//! fail for their number.

use std::collections::BTreeMap;

/// What a piece maps; neighbours with equal values are one mapping on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Distance from the address to the offset in the memory file; `None` for other files,
    /// whose pieces are never joined.
    pub memory: Option<u64>,
    /// Protection as the host takes it.
    pub prot: u64,
}

/// A map of disjoint ranges, equal neighbours joined.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    runs: BTreeMap<u64, (u64, Piece)>,
}

impl Coverage {
    /// How many pieces there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.runs.len()
    }

    /// Notes a range as mapped so, instead of what was there.
    pub fn add(&mut self, start: u64, end: u64, piece: Piece) {
        if start >= end {
            return;
        }
        self.remove(start, end);
        self.runs.insert(start, (end, piece));
        self.join(end);
        self.join(start);
    }

    /// Joins the pieces that meet at `at` if they are one mapping.
    fn join(&mut self, at: u64) {
        let Some(&(end, right)) = self.runs.get(&at) else {
            return;
        };
        if let Some((_, (left_end, left))) = self.runs.range_mut(..at).next_back()
            && *left_end == at
            && *left == right
            && left.memory.is_some()
        {
            *left_end = end;
            self.runs.remove(&at);
        }
    }

    /// Cuts the piece that spans `at`.
    fn cut(&mut self, at: u64) {
        if let Some((_, (end, piece))) = self.runs.range_mut(..at).next_back()
            && *end > at
        {
            let rest = (*end, *piece);
            *end = at;
            self.runs.insert(at, rest);
        }
    }

    /// Takes a range out.
    pub fn remove(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        self.cut(start);
        self.cut(end);
        while let Some((&s, _)) = self.runs.range(start..end).next() {
            self.runs.remove(&s);
        }
    }

    /// Changes the protection of what is mapped in a range.
    pub fn protect(&mut self, start: u64, end: u64, prot: u64) {
        if start >= end {
            return;
        }
        self.cut(start);
        self.cut(end);
        let mut bounds = smallvec::SmallVec::<[u64; 8]>::new();
        for (s, (_, piece)) in self.runs.range_mut(start..end) {
            piece.prot = prot;
            bounds.push(*s);
        }
        self.join(end);
        for at in bounds.into_iter().rev() {
            self.join(at);
        }
    }

    /// The mapped parts of a range, neighbours joined.
    #[must_use]
    pub fn within(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let mut parts: Vec<(u64, u64)> = Vec::new();
        if start >= end {
            return parts;
        }
        let mut push = |s: u64, e: u64| match parts.last_mut() {
            Some((_, last)) if *last == s => *last = e,
            _ => parts.push((s, e)),
        };
        if let Some((_, &(e, _))) = self.runs.range(..start).next_back()
            && e > start
        {
            push(start, e.min(end));
        }
        for (&s, &(e, _)) in self.runs.range(start..end) {
            push(s, e.min(end));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Piece = Piece {
        memory: Some(0),
        prot: 3,
    };
    const FILE: Piece = Piece {
        memory: None,
        prot: 3,
    };

    #[test]
    fn add_remove_within() {
        let mut c = Coverage::default();
        c.add(10, 20, A);
        c.add(30, 40, A);
        assert_eq!(c.within(0, 100), [(10, 20), (30, 40)]);
        assert_eq!(c.within(15, 35), [(15, 20), (30, 35)]);
        c.add(20, 30, A);
        assert_eq!(c.within(0, 100), [(10, 40)]);
        assert_eq!(c.count(), 1);
        c.remove(15, 25);
        assert_eq!(c.within(0, 100), [(10, 15), (25, 40)]);
        c.add(5, 50, FILE);
        assert_eq!(c.within(0, 100), [(5, 50)]);
        assert_eq!(c.count(), 1);
        c.add(50, 60, FILE);
        assert_eq!(c.within(0, 100), [(5, 60)]);
        assert_eq!(c.count(), 2);
        c.remove(0, 100);
        assert!(c.within(0, 100).is_empty());
    }

    #[test]
    fn protection_splits_and_joins() {
        let mut c = Coverage::default();
        c.add(0, 100, A);
        c.protect(10, 20, 1);
        assert_eq!(c.count(), 3);
        c.protect(15, 30, 1);
        assert_eq!(c.count(), 3);
        assert_eq!(c.within(0, 200), [(0, 100)]);
        c.protect(0, 200, 3);
        assert_eq!(c.count(), 1);
        c.add(
            100,
            110,
            Piece {
                memory: Some(8),
                prot: 3,
            },
        );
        assert_eq!(c.count(), 2);
        c.protect(50, 105, 1);
        assert_eq!(c.count(), 4);
    }
}
