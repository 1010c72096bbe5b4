//! Patched call sites: calls that are answered without leaving the guest.
//!
//! A `syscall` instruction that traps again and again with the same few numbers gets a jump
//! put before it ([`code`]), in a private copy of its page that replaces the page on the
//! host at once, so that no thread ever executes half a change. The jump leads to a thunk in
//! a hidden mapping near the site, which finds the answer in words that only the kernel can
//! write ([`words`]) or goes on to the `syscall`.
//!
//! The guest's own loads see the jump. Everything that goes through the kernel (`write(2)`
//! from the text, `/proc/PID/mem`, `ptrace(2)`, `mprotect(2)`, `mremap(2)`) finds the page as
//! it was: it is restored first and not patched again.
//!
//! Sites of other calls are patched too: their thunks post the call to a worker that looks
//! for it, while there is one (`platform::AddressSpace::post_word`).

mod code;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use abi::PAGE_SIZE;

pub use code::{Place, Site};
pub use words::{Answers, Kind, kind_of};

use code::Edit;

use super::derive::insert_pma;
use super::state::{Batch, Mm, State};
use super::user::{self, READ_ANY};
use super::vma::{MapProt, Object, Vma, VmaFlags, VmaName, page_down};
use crate::sync::Mutex;

/// Traps of a site before it is patched.
const HOT: u32 = 8;
/// Sites watched at a time.
const WATCHED: usize = 64;
/// Bytes of a mapping for thunks.
const AREA: u64 = 32 << 10;
/// Most thunks of an address space.
const MAX_SITES: usize = 1024;
/// How far from its sites a mapping for thunks may be: a jump's reach, less what is between
/// the mapping's start and the thunk.
const REACH: u64 = (1 << 31) - (1 << 20);

/// A mapping for thunks.
#[derive(Clone, Debug)]
struct Area {
    start: u64,
    /// Thunks by place; those of sites that are no longer patched stay.
    thunks: Vec<Site>,
    /// Was made by a parent process, which may still add to it.
    inherited: bool,
}

impl Area {
    fn end(&self) -> u64 {
        self.start + AREA
    }

    fn next(&self) -> Option<u64> {
        let at = self.start + self.thunks.len() as u64 * code::THUNK;
        (!self.inherited && at < self.end()).then_some(at)
    }
}

/// What an address space knows of its patched sites.
#[derive(Clone, Debug, Default)]
pub(super) struct Patches {
    areas: Vec<Area>,
    /// By the address of the replaced instruction.
    sites: BTreeMap<u64, Site>,
    /// Pages not to be patched: something looked at them.
    spared: BTreeSet<u64>,
}

impl Patches {
    /// For the state of a forked child.
    pub fn inherit(&mut self) {
        for area in &mut self.areas {
            area.inherited = true;
        }
    }

    /// How many of `len` bytes at `addr` come before the first patched page.
    pub fn clear_of(&self, addr: u64, len: u64) -> u64 {
        if self.sites.is_empty() {
            return len;
        }
        let next = self.sites.range(page_down(addr)..).next();
        next.map_or(len, |(at, _)| len.min(page_down(*at).saturating_sub(addr)))
    }

    /// Bytes of mappings that are not the guest's.
    pub fn size(&self) -> u64 {
        self.areas.len() as u64 * AREA
    }

    fn thunk_at(&self, ip: u64) -> Option<(Site, u64)> {
        let area = self.areas.iter().find(|a| ip >= a.start && ip < a.end())?;
        let at = ip - area.start;
        let index = usize::try_from(at / code::THUNK).ok()?;
        Some((*area.thunks.get(index)?, at % code::THUNK))
    }
}

/// Counts traps by call site, as far as it is worth it.
#[derive(Debug)]
pub(super) struct Hot(Mutex<Box<[(u64, u32); WATCHED]>>);

impl Default for Hot {
    fn default() -> Hot {
        Hot(Mutex::new(Box::new([(0, 0); WATCHED])))
    }
}

impl Hot {
    /// Counts a trap that returns to `ip`; whether the site is now to be patched.
    fn count(&self, ip: u64) -> bool {
        let Some(mut table) = self.0.try_lock() else {
            return false;
        };
        let index = (ip ^ ip >> 7 ^ ip >> 13) as usize % WATCHED;
        let Some(slot) = table.get_mut(index) else {
            return false;
        };
        if slot.0 != ip {
            // The one that is there gives way, unless it is hotter.
            slot.1 = slot.1.saturating_sub(1);
            if slot.1 == 0 {
                *slot = (ip, 1);
            }
            return false;
        }
        slot.1 = slot.1.saturating_add(1);
        slot.1 == HOT
    }
}

impl Mm {
    /// Whether any site is or was patched.
    pub fn has_patches(&self) -> bool {
        self.patched.load(Ordering::Relaxed)
    }

    /// A call `nr` with an answer of its own trapped and is to return to `ip`: patches the
    /// site when it has become hot.
    pub fn trapped_at(&self, ip: u64, nr: u64) {
        if self.answers.enabled() && self.hot.count(ip) {
            self.patch(ip, nr);
        }
    }

    /// Publishes an answer that the kernel has given; see [`Answers::give`].
    pub fn publish(&self, nr: u64, answer: i64, epoch: u64) {
        if self.has_patches() {
            self.answers.give(&*self.space, nr, answer, epoch);
        }
    }

    /// Has every call trap from now on: something wants to see them all (a tracer, a seccomp
    /// filter).
    pub fn disable_patching(&self) {
        self.answers.disable(&*self.space);
    }

    /// Where a guest thread at `ip` stands in its own program, if `ip` is in our code.
    pub fn unthunk(&self, ip: u64) -> Option<Place> {
        let state = self.state.read();
        if let Some((site, at)) = state.patches.thunk_at(ip) {
            return Some(code::unthunk(&site, Some(at)));
        }
        let mut near = state.patches.sites.range(..ip).rev();
        let site = near.next().map(|(_, s)| s)?;
        (site.head == code::Head::Zero(ip)).then(|| code::unthunk(site, None))
    }

    /// Patches the site whose call returns to `ip`, if it can be.
    fn patch(&self, ip: u64, nr: u64) -> Option<()> {
        let words = code::Words {
            answers: self.space.words()?,
            post: self.space.post_word(),
        };
        let page = page_down(ip.checked_sub(1)?);
        let mut batch = Batch::default();
        let mut guard = self.state.write();
        let state = &mut *guard;
        let vma = state.vmas.find(page)?.clone();
        let fit = vma.prot == MapProt::READ | MapProt::EXEC
            && !vma.shared()
            && vma.file().is_some()
            && !state.patches.spared.contains(&page)
            && state.patches.sites.len() < MAX_SITES;
        if !fit {
            return None;
        }
        let mut text = self.page_text(state, page)?;
        let site = code::find(&text, page, ip, nr)?;
        let at = self.thunk_place(state, site.at, &mut batch);
        let thunk = at.and_then(|at| code::thunk(&site, at, words));
        let edits = at.and_then(|at| site.patch(at));
        let done = match (at, thunk, edits) {
            (Some(at), Some(thunk), Some(edits)) => {
                let done = self.add_thunk(state, site, at, &thunk).and_then(|()| {
                    put(&mut text, page, &edits)?;
                    self.replace_page(state, &vma, page, &text, &mut batch)
                });
                if done.is_some() {
                    state.patches.sites.insert(site.at, site);
                }
                done
            }
            _ => None,
        };
        self.commit(state, &mut batch);
        if done.is_some() {
            self.patched.store(true, Ordering::Relaxed);
            tracing::debug!(at = site.at, nr, "patched a call site");
        }
        done
    }

    /// The bytes of a page as they stand in the guest, if they can be had now.
    fn page_text(&self, state: &State, page: u64) -> Option<Vec<u8>> {
        let place: user::Place = self.locate_as_is(state, page, PAGE_SIZE, READ_ANY)?;
        let slice = place.slice(self)?;
        let mut text = vec![0; PAGE_SIZE as usize];
        let n = slice.copy_to(&mut text).ok()?;
        (n == text.len()).then_some(text)
    }

    /// Puts `text` in the place of a page of `vma`, in memory of its own.
    fn replace_page(
        &self,
        state: &mut State,
        vma: &Vma,
        page: u64,
        text: &[u8],
        batch: &mut Batch,
    ) -> Option<()> {
        let fresh = self.frames.alloc(PAGE_SIZE).ok()?;
        let written = self
            .frames
            .slice(fresh.offset, PAGE_SIZE)
            .ok()
            .and_then(|s| s.copy_from(text).ok());
        if written != Some(text.len()) {
            self.frames.release(fresh);
            return None;
        }
        for old in state.pmas.remove(page, page + PAGE_SIZE) {
            batch.gone.push(old.frames());
        }
        insert_pma(state, page, page + PAGE_SIZE, fresh.offset);
        if !vma.prot.is_empty() {
            batch.ops.push(platform::MapOp::MapMemory {
                addr: page,
                len: PAGE_SIZE,
                offset: fresh.offset,
                prot: vma.prot.host(),
            });
        }
        Some(())
    }

    /// Where the next thunk for a site at `at` goes.
    fn thunk_place(&self, state: &mut State, at: u64, batch: &mut Batch) -> Option<u64> {
        let near = |a: &Area| a.start.abs_diff(at) < REACH;
        if let Some(place) = state
            .patches
            .areas
            .iter()
            .filter(|a| near(a))
            .find_map(Area::next)
        {
            return Some(place);
        }
        let start = self.free_near(state, at)?;
        let vma = Vma {
            start,
            end: start + AREA,
            prot: MapProt::READ | MapProt::EXEC,
            flags: VmaFlags::HIDDEN | VmaFlags::DONTDUMP,
            object: Object::Anon,
            offset: 0,
            name: VmaName::None,
            policy: super::policy::MemPolicy::default(),
        };
        let frames = self.frames.alloc(AREA).ok()?;
        insert_pma(state, start, start + AREA, frames.offset);
        self.insert_mapping(state, vma, batch).ok()?;
        state.patches.areas.push(Area {
            start,
            thunks: Vec::new(),
            inherited: false,
        });
        Some(start)
    }

    /// Room for a mapping for thunks, out of the way of what the guest maps.
    fn free_near(&self, state: &State, at: u64) -> Option<u64> {
        const MIB: u64 = 1 << 20;
        let lowest = state.vmas.iter().next().map(|v| v.start);
        let below_all = lowest.and_then(|s| s.checked_sub(MIB));
        let below_all = below_all.filter(|s| s.abs_diff(at) < REACH);
        let around = [1024, 1536, 512, 256].into_iter().flat_map(|n| {
            let far = page_down(at);
            [far.checked_sub(n * MIB), far.checked_add(n * MIB)]
        });
        let fits = |s: &u64| {
            let (low, high) = (
                s.saturating_sub(PAGE_SIZE),
                s.saturating_add(AREA + PAGE_SIZE),
            );
            let room_to_grow = state.vmas.next(high).is_none_or(|v| {
                !v.flags.contains(VmaFlags::GROWSDOWN) || v.start.saturating_sub(high) > 64 * MIB
            });
            low >= self.range.0
                && high <= self.range.1
                && room_to_grow
                && state.vmas.is_free(low, high)
        };
        below_all.into_iter().chain(around.flatten()).find(fits)
    }

    /// Writes a thunk into its place.
    fn add_thunk(&self, state: &mut State, site: Site, at: u64, thunk: &[u8]) -> Option<()> {
        let pma = state.pmas.find(at)?;
        let slice = self
            .frames
            .slice(pma.offset_of(at), thunk.len() as u64)
            .ok()?;
        slice.copy_from(thunk).ok()?;
        let area = state.patches.areas.iter_mut();
        let area = area.into_iter().find(|a| a.next() == Some(at))?;
        area.thunks.push(site);
        Some(())
    }

    /// Restores the patched pages of `start..end`, for good.
    pub(super) fn unpatch(&self, state: &mut State, start: u64, end: u64, batch: &mut Batch) {
        let range = start.saturating_sub(code::JUMP as u64)..end;
        let sites: Vec<Site> = state.patches.sites.range(range).map(|(_, s)| *s).collect();
        for site in sites {
            let page = page_down(site.at);
            if page >= start && page < end {
                state.patches.spared.insert(page);
                self.restore(state, &site, batch);
            }
        }
    }

    /// Puts the replaced bytes of a site back, if the jump is still there.
    fn restore(&self, state: &mut State, site: &Site, batch: &mut Batch) -> Option<()> {
        state.patches.sites.remove(&site.at);
        let page = page_down(site.at);
        let vma = state.vmas.find(page)?.clone();
        let mut text = self.page_text(state, page)?;
        let ours = |edits: &[Edit]| {
            edits.iter().all(|(at, bytes)| {
                let at = usize::try_from(at.saturating_sub(page)).ok();
                at.and_then(|at| text.get(at..)?.get(..bytes.len())) == Some(bytes)
            })
        };
        let places = state.patches.areas.iter().flat_map(|a| {
            (0..a.thunks.len() as u64).map(|n| a.start.saturating_add(n * code::THUNK))
        });
        if !places.filter_map(|t| site.patch(t)).any(|e| ours(&e)) {
            return None;
        }
        put(&mut text, page, &site.original())?;
        self.replace_page(state, &vma, page, &text, batch)
    }

    /// Makes a patched page at `addr` look as it was before the kernel copies it. Whether
    /// there was anything to do.
    pub(super) fn reveal(&self, addr: u64) -> bool {
        if !self.has_patches() {
            return false;
        }
        let page = page_down(addr);
        let mut guard = self.state.write();
        let state = &mut *guard;
        if state.patches.clear_of(addr, 1) != 0 {
            return false;
        }
        let mut batch = Batch::default();
        self.unpatch(state, page, page + PAGE_SIZE, &mut batch);
        self.commit(state, &mut batch);
        true
    }

    /// `start..end` is about to be unmapped: forgets the sites there, and when it holds
    /// thunks, restores their sites.
    pub(super) fn forget_patches(
        &self,
        state: &mut State,
        start: u64,
        end: u64,
        batch: &mut Batch,
    ) {
        let areas = &state.patches.areas;
        if areas.is_empty() {
            return;
        }
        if areas.iter().any(|a| a.start < end && start < a.end()) {
            self.unpatch(state, 0, u64::MAX, batch);
            state
                .patches
                .areas
                .retain(|a| a.start >= end || start >= a.end());
        }
        state
            .patches
            .sites
            .retain(|at, _| *at < start || *at >= end);
        state.patches.spared.retain(|at| *at < start || *at >= end);
    }
}

/// Makes changes in the text of the page at `page`.
fn put(text: &mut [u8], page: u64, edits: &[Edit]) -> Option<()> {
    for (at, bytes) in edits {
        let at = usize::try_from(at.checked_sub(page)?).ok()?;
        text.get_mut(at..at.checked_add(bytes.len())?)?
            .copy_from_slice(bytes);
    }
    Some(())
}
