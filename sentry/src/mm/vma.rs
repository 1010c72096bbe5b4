//! [`Vma`]: what should be mapped where, as the guest asked for it, and the ordered set of
//! them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use abi::{Errno, PAGE_SIZE};
use platform::Prot;

use super::file_map::FileMap;
use super::policy::MemPolicy;
use crate::Result;

bitflags::bitflags! {
    /// Protection of a mapping, in the bits of `mmap(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct MapProt: u32 {
        /// `PROT_READ`
        const READ = 1;
        /// `PROT_WRITE`
        const WRITE = 2;
        /// `PROT_EXEC`
        const EXEC = 4;
    }
}

impl MapProt {
    /// What the CPU does with it: everything accessible is readable.
    pub fn host(self) -> Prot {
        Prot {
            read: !self.is_empty(),
            write: self.contains(MapProt::WRITE),
            exec: self.contains(MapProt::EXEC),
        }
    }

    /// The same without writing, for pages that must be copied first.
    pub fn host_cow(self) -> Prot {
        Prot {
            write: false,
            ..self.host()
        }
    }
}

bitflags::bitflags! {
    /// Properties of a mapping besides its protection.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct VmaFlags: u32 {
        /// Changes are seen by other mappings of the object (`MAP_SHARED`).
        const SHARED = 1;
        /// Grows when touched below (`MAP_GROWSDOWN`).
        const GROWSDOWN = 1 << 1;
        /// `MAP_NORESERVE`
        const NORESERVE = 1 << 2;
        /// `mlock(2)`
        const LOCKED = 1 << 3;
        /// Locked, but populated only by faults (`MLOCK_ONFAULT`).
        const LOCKONFAULT = 1 << 4;
        /// Not inherited by fork (`MADV_DONTFORK`).
        const DONTFORK = 1 << 5;
        /// Empty in the child (`MADV_WIPEONFORK`).
        const WIPEONFORK = 1 << 6;
        /// Left out of core dumps (`MADV_DONTDUMP`).
        const DONTDUMP = 1 << 7;
        /// The shared file was opened for writing, so `PROT_WRITE` may be added.
        const MAYWRITE = 1 << 8;
        /// `MADV_HUGEPAGE`
        const HUGEPAGE = 1 << 9;
        /// `MADV_NOHUGEPAGE`
        const NOHUGEPAGE = 1 << 10;
        /// `MADV_SEQUENTIAL`
        const SEQUENTIAL = 1 << 11;
        /// `MADV_RANDOM`
        const RANDOM = 1 << 12;
        /// The file must not be executed from (a `noexec` mount).
        const NOEXEC = 1 << 13;
        /// `MADV_MERGEABLE`
        const MERGEABLE = 1 << 14;
        /// Ours, not the guest's: code that patched call sites jump to.
        const HIDDEN = 1 << 15;
        /// `mseal(2)`
        const SEALED = 1 << 16;
    }
}

/// What a mapping shows.
#[derive(Clone)]
pub enum Object {
    /// Memory of its own.
    Anon,
    /// A file, or anonymous shared memory.
    File(Arc<FileMap>),
}

impl Object {
    /// Whether both are the same thing.
    fn same(&self, other: &Object) -> bool {
        match (self, other) {
            (Object::Anon, Object::Anon) => true,
            (Object::File(a), Object::File(b)) => Arc::ptr_eq(a, b) || a.same(b),
            _ => false,
        }
    }
}

/// Names the kernel itself gives to a mapping in `/proc/PID/maps`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VmaName {
    /// None.
    #[default]
    None,
    /// `[heap]`
    Heap,
    /// `[stack]`
    Stack,
    /// Private memory that was mapped through `/dev/zero`.
    Zeroes,
}

/// A mapping: `start..end`, page multiples.
#[derive(Clone)]
pub struct Vma {
    /// First address.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// Protection.
    pub prot: MapProt,
    /// Other properties.
    pub flags: VmaFlags,
    /// What it shows.
    pub object: Object,
    /// Offset in the object of `start`.
    pub offset: u64,
    /// Name for `/proc/PID/maps`.
    pub name: VmaName,
    /// Memory policy.
    pub policy: MemPolicy,
}

impl fmt::Debug for Vma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:x}-{:x} {:?} {:?}",
            self.start, self.end, self.prot, self.flags
        )
    }
}

impl Vma {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Never true.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Whether it is shared.
    pub fn shared(&self) -> bool {
        self.flags.contains(VmaFlags::SHARED)
    }

    /// Whether it is private memory without a file.
    pub fn anon(&self) -> bool {
        matches!(self.object, Object::Anon)
    }

    /// The file, if there is one.
    pub fn file(&self) -> Option<&Arc<FileMap>> {
        match &self.object {
            Object::File(f) => Some(f),
            Object::Anon => None,
        }
    }

    /// Offset in the object of `addr`.
    pub fn offset_of(&self, addr: u64) -> u64 {
        self.offset.saturating_add(addr.saturating_sub(self.start))
    }

    /// Whether `next` continues this one, so that both are one mapping.
    fn continues(&self, next: &Vma) -> bool {
        self.end == next.start
            && self.prot == next.prot
            && self.flags == next.flags
            && self.name == next.name
            && self.policy == next.policy
            && (self.anon() || self.offset.checked_add(self.len()) == Some(next.offset))
            && self.object.same(&next.object)
    }

    /// Splits at `at`, which lies inside; returns the upper part.
    fn cut(&mut self, at: u64) -> Vma {
        let upper = Vma {
            start: at,
            offset: self.offset_of(at),
            ..self.clone()
        };
        self.end = at;
        upper
    }

    /// The private or shared use that the RLIMIT_DATA accounting counts.
    pub fn is_data(&self) -> bool {
        self.prot.contains(MapProt::WRITE)
            && !self.shared()
            && !self.flags.contains(VmaFlags::GROWSDOWN)
    }
}

/// Disjoint mappings by address.
#[derive(Clone, Default, Debug)]
pub struct VmaSet {
    map: BTreeMap<u64, Vma>,
    total: u64,
    /// No free range of `.1` bytes or more lies between `.0` and the address `.2` that a
    /// search began from.
    full: Option<(u64, u64, u64)>,
}

impl VmaSet {
    /// The mapping that holds `addr`.
    pub fn find(&self, addr: u64) -> Option<&Vma> {
        let (_, v) = self.map.range(..=addr).next_back()?;
        (v.end > addr).then_some(v)
    }

    /// The first mapping that ends after `addr`.
    pub fn next(&self, addr: u64) -> Option<&Vma> {
        self.find(addr)
            .or_else(|| self.map.range(addr..).next().map(|(_, v)| v))
    }

    /// The last mapping that ends at or before `addr`.
    pub fn prev(&self, addr: u64) -> Option<&Vma> {
        self.map
            .range(..addr)
            .rev()
            .map(|(_, v)| v)
            .find(|v| v.end <= addr)
    }

    /// All mappings that touch `start..end`, whole.
    pub fn overlapping(&self, start: u64, end: u64) -> impl Iterator<Item = &Vma> {
        let from = self.find(start).map_or(start, |v| v.start);
        self.map.range(from..end.max(from)).map(|(_, v)| v)
    }

    /// All mappings.
    pub fn iter(&self) -> impl Iterator<Item = &Vma> {
        self.map.values()
    }

    /// Number of mappings.
    pub fn count(&self) -> usize {
        self.map.len()
    }

    /// Bytes mapped.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Whether every page of `start..end` is mapped.
    pub fn covers(&self, start: u64, end: u64) -> bool {
        let mut at = start;
        for v in self.overlapping(start, end) {
            if v.start > at {
                return false;
            }
            at = v.end;
        }
        at >= end
    }

    /// Makes mappings begin and end at `at`.
    fn split(&mut self, at: u64) {
        if let Some((_, v)) = self.map.range_mut(..at).next_back()
            && v.end > at
        {
            let upper = v.cut(at);
            self.map.insert(at, upper);
        }
    }

    /// Takes out what is mapped in `start..end`, cutting at its ends.
    pub fn remove(&mut self, start: u64, end: u64) -> Vec<Vma> {
        let out = self.take(start, end);
        if !out.is_empty() && self.full.is_some_and(|(low, ..)| end > low) {
            self.full = None;
        }
        out
    }

    fn take(&mut self, start: u64, end: u64) -> Vec<Vma> {
        self.split(start);
        self.split(end);
        let keys: Vec<u64> = self.map.range(start..end).map(|(k, _)| *k).collect();
        let out: Vec<Vma> = keys.iter().filter_map(|k| self.map.remove(k)).collect();
        self.total -= out.iter().map(Vma::len).sum::<u64>();
        out
    }

    /// Adds a mapping where nothing is, joining it with neighbours it continues.
    pub fn insert(&mut self, mut vma: Vma) {
        self.total += vma.len();
        if let Some((&s, below)) = self.map.range(..vma.start).next_back()
            && below.continues(&vma)
        {
            vma.start = s;
            vma.offset = below.offset;
        }
        if let Some(above) = self.map.get(&vma.end)
            && vma.continues(above)
        {
            let key = vma.end;
            vma.end = above.end;
            self.map.remove(&key);
        }
        self.map.insert(vma.start, vma);
    }

    /// Changes every mapping in `start..end` by `change`, cutting and joining as needed.
    pub fn update(&mut self, start: u64, end: u64, mut change: impl FnMut(&mut Vma)) {
        for mut v in self.take(start, end) {
            change(&mut v);
            self.insert(v);
        }
    }

    /// Whether nothing is mapped in `start..end`.
    pub fn is_free(&self, start: u64, end: u64) -> bool {
        self.overlapping(start, end).next().is_none()
    }

    /// The highest free range of `len` bytes below `high` and not below `low`, keeping
    /// `guard` bytes under a mapping that grows down.
    pub fn find_free_below(&mut self, len: u64, low: u64, high: u64, guard: u64) -> Option<u64> {
        let known = self.full.filter(|(below, n, from)| {
            let guarded = self
                .map
                .get(below)
                .is_some_and(|v| lower_bound(v, guard) < v.start);
            *n <= len && *from == high && !guarded
        });
        let from = known.map_or(high, |(below, ..)| below);
        let found = self.search_below(len, low, from, guard)?;
        match known {
            // Only a neighbour extends what is known for shorter lengths.
            Some((below, n, _)) if found + len == below => self.full = Some((found, n, high)),
            Some(_) => {}
            None => self.full = Some((found, len, high)),
        }
        Some(found)
    }

    fn search_below(&self, len: u64, low: u64, high: u64, guard: u64) -> Option<u64> {
        let mut top = high;
        for v in self.map.range(..high).rev().map(|(_, v)| v) {
            if v.end <= top && top - v.end >= len {
                return (top - len >= low).then_some(top - len);
            }
            top = top.min(lower_bound(v, guard));
            if top < low {
                return None;
            }
        }
        (top.checked_sub(len)? >= low).then(|| top - len)
    }

    /// The lowest free range of `len` bytes from `low` on that ends by `high`.
    pub fn find_free_above(&self, len: u64, low: u64, high: u64, guard: u64) -> Option<u64> {
        let mut at = self.find(low).map_or(low, |v| v.end);
        for v in self.map.range(at..).map(|(_, v)| v) {
            if lower_bound(v, guard).saturating_sub(at) >= len {
                break;
            }
            at = v.end;
        }
        (at.checked_add(len)? <= high).then_some(at)
    }
}

/// First address that must stay free of others below `vma`.
fn lower_bound(vma: &Vma, guard: u64) -> u64 {
    if vma.flags.contains(VmaFlags::GROWSDOWN) {
        vma.start.saturating_sub(guard)
    } else {
        vma.start
    }
}

/// Rounds up to a page; `None` beyond the top.
pub fn page_up(n: u64) -> Option<u64> {
    n.checked_next_multiple_of(PAGE_SIZE)
}

/// End of the whole pages that `len` bytes from the page `addr` on lie in; `EINVAL` for an
/// address within a page and beyond the top.
pub fn page_span(addr: u64, len: u64) -> Result<u64> {
    if !addr.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let end = page_up(len).and_then(|len| addr.checked_add(len));
    end.ok_or(Errno::EINVAL)
}

/// Rounds down to a page.
pub fn page_down(n: u64) -> u64 {
    n - n % PAGE_SIZE
}
