//! [`Spans`]: address ranges and the memory file ranges that stand for them.
//!
//! Used twice by an address space: for its *pmas* (memory in use; the tag says whether it
//! must be copied before a write) and for its *reserve* (memory set aside for addresses, so
//! that neighbours come to lie side by side in the file and share a host mapping).

use std::collections::BTreeMap;

use super::frames::FrameRange;

/// A run of addresses that stand side by side in the memory file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<T> {
    /// First address.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// Offset in the memory file of `start`.
    pub offset: u64,
    /// What else there is to say.
    pub tag: T,
}

impl<T: Copy + Eq> Span<T> {
    /// Offset of `addr`, which lies inside.
    pub fn offset_of(&self, addr: u64) -> u64 {
        self.offset + addr.saturating_sub(self.start)
    }

    /// The part within `start..end`, if there is one.
    pub fn clip(&self, start: u64, end: u64) -> Option<Span<T>> {
        let (s, e) = (self.start.max(start), self.end.min(end));
        (s < e).then(|| Span {
            start: s,
            end: e,
            offset: self.offset_of(s),
            tag: self.tag,
        })
    }

    /// Its place in the memory file.
    pub fn frames(&self) -> FrameRange {
        FrameRange {
            offset: self.offset,
            len: self.end - self.start,
        }
    }
}

/// Disjoint spans by address.
#[derive(Clone, Debug)]
pub struct Spans<T> {
    map: BTreeMap<u64, Span<T>>,
}

impl<T> Default for Spans<T> {
    fn default() -> Self {
        Spans {
            map: BTreeMap::new(),
        }
    }
}

impl<T: Copy + Eq> Spans<T> {
    /// The span that holds `addr`.
    pub fn find(&self, addr: u64) -> Option<Span<T>> {
        let (_, s) = self.map.range(..=addr).next_back()?;
        (s.end > addr).then_some(*s)
    }

    /// End of the last span before `addr`, which no span holds.
    pub fn end_before(&self, addr: u64) -> Option<u64> {
        self.map.range(..addr).next_back().map(|(_, s)| s.end)
    }

    /// Start of the first span after `addr`.
    pub fn start_after(&self, addr: u64) -> Option<u64> {
        self.map.range(addr..).next().map(|(s, _)| *s)
    }

    /// The parts of spans within `start..end`, in order.
    pub fn within(&self, start: u64, end: u64) -> impl Iterator<Item = Span<T>> {
        let from = self.find(start).map_or(start, |s| s.start);
        self.map
            .range(from..end.max(from))
            .filter_map(move |(_, s)| s.clip(start, end))
    }

    /// The parts of `start..end` that no span covers.
    pub fn gaps(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let mut out = Vec::new();
        let mut at = start;
        for s in self.within(start, end) {
            if s.start > at {
                out.push((at, s.start));
            }
            at = s.end;
        }
        if at < end {
            out.push((at, end));
        }
        out
    }

    /// All spans.
    pub fn iter(&self) -> impl Iterator<Item = Span<T>> {
        self.map.values().copied()
    }

    /// Takes out what lies in `start..end`, cutting at its ends.
    pub fn remove(&mut self, start: u64, end: u64) -> Vec<Span<T>> {
        let out: Vec<Span<T>> = self.within(start, end).collect();
        let from = self.find(start).map_or(start, |s| s.start);
        let keys: Vec<u64> = self
            .map
            .range(from..end.max(from))
            .map(|(k, _)| *k)
            .collect();
        for k in keys {
            let Some(s) = self.map.remove(&k) else {
                continue;
            };
            for part in [s.clip(0, start), s.clip(end, u64::MAX)]
                .into_iter()
                .flatten()
            {
                self.map.insert(part.start, part);
            }
        }
        out
    }

    /// Adds a span where none is, joining it with neighbours it continues.
    pub fn insert(&mut self, mut span: Span<T>) {
        if span.start >= span.end {
            return;
        }
        if let Some((_, below)) = self.map.range(..span.start).next_back()
            && below.end == span.start
            && below.tag == span.tag
            && below.offset_of(span.start) == span.offset
        {
            span.offset = below.offset;
            span.start = below.start;
        }
        if let Some(above) = self.map.get(&span.end)
            && above.tag == span.tag
            && span.offset_of(span.end) == above.offset
        {
            let key = above.start;
            span.end = above.end;
            self.map.remove(&key);
        }
        self.map.insert(span.start, span);
    }

    /// Sets the tag of what lies in `start..end`.
    pub fn set_tag(&mut self, start: u64, end: u64, tag: T) {
        for s in self.remove(start, end) {
            self.insert(Span { tag, ..s });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u64, end: u64, offset: u64, tag: bool) -> Span<bool> {
        Span {
            start,
            end,
            offset,
            tag,
        }
    }

    #[test]
    fn cut_and_join() {
        let mut s = Spans::default();
        s.insert(span(10, 20, 100, false));
        s.insert(span(20, 30, 110, false));
        assert_eq!(s.iter().count(), 1);
        s.set_tag(15, 25, true);
        assert_eq!(s.iter().count(), 3);
        assert_eq!(s.find(15), Some(span(15, 25, 105, true)));
        assert_eq!(s.gaps(0, 40), [(0, 10), (30, 40)]);
        assert_eq!(
            s.remove(12, 16),
            [span(12, 15, 102, false), span(15, 16, 105, true)]
        );
        assert_eq!(s.gaps(0, 40), [(0, 10), (12, 16), (30, 40)]);
        s.set_tag(0, 100, false);
        assert_eq!(s.iter().count(), 2);
    }
}
