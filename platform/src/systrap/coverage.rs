//! Which parts of a stub's guest range have a host mapping.
//!
//! mprotect(2) stops at the first hole, and the kernel above keeps no host mappings for
//! what needs none; so a change of protection is cut to what is mapped.

use std::collections::BTreeMap;

/// A set of disjoint ranges, neighbours merged.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    runs: BTreeMap<u64, u64>,
}

impl Coverage {
    /// Adds a range.
    pub fn add(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let (mut from, mut to) = (start, end);
        if let Some((&s, &e)) = self.runs.range(..=start).next_back()
            && e >= start
        {
            from = s;
            to = to.max(e);
        }
        while let Some((&s, &e)) = self.runs.range(from..=to).next() {
            self.runs.remove(&s);
            to = to.max(e);
        }
        self.runs.insert(from, to);
    }

    /// Takes a range out.
    pub fn remove(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        if let Some((&s, &e)) = self.runs.range(..start).next_back()
            && e > start
        {
            self.runs.insert(s, start);
            if e > end {
                self.runs.insert(end, e);
            }
        }
        while let Some((&s, &e)) = self.runs.range(start..end).next() {
            self.runs.remove(&s);
            if e > end {
                self.runs.insert(end, e);
            }
        }
    }

    /// The mapped parts of a range.
    #[must_use]
    pub fn within(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let mut parts = Vec::new();
        if start >= end {
            return parts;
        }
        if let Some((_, &e)) = self.runs.range(..start).next_back()
            && e > start
        {
            parts.push((start, e.min(end)));
        }
        parts.extend(self.runs.range(start..end).map(|(&s, &e)| (s, e.min(end))));
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn add_remove_within() {
        let mut c = Coverage::default();
        c.add(10, 20);
        c.add(30, 40);
        assert_eq!(c.within(0, 100), [(10, 20), (30, 40)]);
        assert_eq!(c.within(15, 35), [(15, 20), (30, 35)]);
        c.add(20, 30);
        assert_eq!(c.within(0, 100), [(10, 40)]);
        c.remove(15, 25);
        assert_eq!(c.within(0, 100), [(10, 15), (25, 40)]);
        c.add(5, 50);
        assert_eq!(c.within(0, 100), [(5, 50)]);
        c.remove(0, 100);
        assert!(c.within(0, 100).is_empty());
    }
}
