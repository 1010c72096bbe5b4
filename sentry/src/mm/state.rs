//! [`Mm`]: an address space; its state, and how a change of it reaches the host.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use abi::{Errno, PAGE_SIZE};
use platform::{AddressSpace, Commit, Context, MapOp, PlatformError};
use smallvec::SmallVec;

use super::frames::{FrameRange, Frames};
use super::spans::Spans;
use super::vma::{Vma, VmaSet};
use crate::Result;
use crate::sync::{Mutex, RwLock};
use crate::userns::UserNs;

/// Most mappings an address space has (`vm.max_map_count`).
pub const MAX_MAP_COUNT: usize = 65_530;
/// Bytes kept free below a mapping that grows down (`stack_guard_gap`, 256 pages).
pub const GUARD_GAP: u64 = 256 * PAGE_SIZE;
/// Lowest address a guest may map without privilege (`vm.mmap_min_addr`).
pub const MMAP_MIN_ADDR: u64 = 65_536;

/// The resource limits that address spaces heed, in bytes (`getrlimit(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmLimits {
    /// `RLIMIT_AS`
    pub address_space: u64,
    /// `RLIMIT_DATA`
    pub data: u64,
    /// `RLIMIT_STACK`
    pub stack: u64,
    /// `RLIMIT_MEMLOCK`
    pub memlock: u64,
    /// Whether the caller has `CAP_IPC_LOCK`.
    pub may_lock: bool,
}

impl MmLimits {
    /// No limits.
    pub const NONE: MmLimits = MmLimits {
        address_space: u64::MAX,
        data: u64::MAX,
        stack: u64::MAX,
        memlock: u64::MAX,
        may_lock: true,
    };
}

/// What `execve(2)` notes of a program's layout, for `/proc` and `prctl(PR_SET_MM)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in PR_SET_MM, prctl(2)")]
pub struct Layout {
    pub start_code: u64,
    pub end_code: u64,
    pub start_data: u64,
    pub end_data: u64,
    pub start_stack: u64,
    pub arg_start: u64,
    pub arg_end: u64,
    pub env_start: u64,
    pub env_end: u64,
}

/// Most memory that may wait for the next change before it is freed.
const LIMBO: u64 = 4 << 20;

/// How a change of an address space was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It is in effect.
    Now,
    /// The host makes it by executing the caller's own system call: it must be let through.
    ByCaller,
}

/// How many places are learned from the first faults of children.
pub(super) const LESSONS: usize = 8;

/// What the map lock guards.
#[derive(Clone)]
pub(super) struct State {
    /// What should be.
    pub vmas: VmaSet,
    /// Private memory in use; tagged when it must be copied before a write unless it has
    /// no other owner.
    pub pmas: Spans<bool>,
    /// Memory set aside for addresses.
    pub reserve: Spans<()>,
    /// Start of the heap.
    pub brk_start: u64,
    /// End of the heap.
    pub brk: u64,
    /// Mappings are placed downwards from here.
    pub mmap_base: u64,
    /// Flags `mlockall(MCL_FUTURE)` gives new mappings.
    pub lock_future: super::vma::VmaFlags,
    /// Program layout.
    pub layout: Layout,
    /// The auxiliary vector, for `/proc/PID/auxv`.
    pub auxv: Vec<u8>,
    /// Highest `vmas.total()` seen.
    pub peak: u64,
    /// The guest has taken the vDSO away: it stays where it is, but is not told of.
    pub vdso_gone: bool,
    /// Patched call sites.
    pub patches: super::patch::Patches,
}

impl State {
    /// Bytes locked.
    pub fn locked(&self) -> u64 {
        let locked = |v: &&Vma| v.flags.contains(super::vma::VmaFlags::LOCKED);
        self.vmas.iter().filter(locked).map(Vma::len).sum()
    }

    /// Bytes that count for `RLIMIT_DATA`.
    pub fn data(&self) -> u64 {
        self.vmas.iter().filter(|v| v.is_data()).map(Vma::len).sum()
    }
}

/// Changes on their way to the host, and what may be let go once they are there.
#[derive(Default)]
pub(super) struct Batch {
    /// In order.
    pub ops: Vec<MapOp>,
    /// Memory whose last mapping these changes remove.
    pub gone: Vec<FrameRange>,
    /// Mappings removed; dropped after the lock, since that may call into files.
    pub dead: Vec<Vma>,
}

impl Batch {
    /// Nothing of `start..end` stays mapped on the host.
    pub fn unmap(&mut self, start: u64, end: u64) {
        if let Some(MapOp::Unmap { addr, len }) = self.ops.last_mut()
            && *addr + *len == start
        {
            *len += end - start;
            return;
        }
        self.ops.push(MapOp::Unmap {
            addr: start,
            len: end - start,
        });
    }
}

/// A guest address space (`struct mm_struct`).
pub struct Mm {
    pub(super) weak: Weak<Mm>,
    pub(super) space: Arc<dyn AddressSpace>,
    pub(super) frames: Arc<Frames>,
    /// Lowest and one past the highest address a guest mapping may use.
    pub(super) range: (u64, u64),
    pub(super) id: u64,
    /// `RLIMIT_STACK` as last told, for growth by faults.
    pub(super) stack_limit: AtomicU64,
    /// Page of the last fault at which nothing was left to do.
    pub(super) last_settled: AtomicU64,
    /// The host has refused a mapping once, so any may be missing there.
    pub(super) dropped: AtomicBool,
    /// Memory taken away by a change that a guest thread makes itself: free after the next
    /// change of the host's mappings.
    pub(super) limbo: Mutex<Vec<FrameRange>>,
    /// Where children of this space wrote soon, for the next one; shared by a whole family.
    pub(super) learned: Arc<Mutex<SmallVec<[u64; 8]>>>,
    /// How many more of its copying faults are noted there.
    pub(super) lessons: AtomicUsize,
    /// Changes of a space that nothing runs in yet, gathered to be made at once.
    gathered: Mutex<Option<Vec<MapOp>>>,
    /// The user namespace its program was started in; unset for the first.
    user_ns: std::sync::OnceLock<UserNs>,
    /// A call site is or was patched.
    pub(super) patched: AtomicBool,
    /// Traps by call site.
    pub(super) hot: super::patch::Hot,
    /// What patched call sites are told.
    pub(super) answers: super::patch::Answers,
    pub(super) state: RwLock<State>,
    /// Pages with areas of restartable sequences, by the thread whose they are.
    pub(super) areas: Mutex<BTreeMap<u64, u64>>,
    /// Contexts of asynchronous I/O.
    pub aio: crate::aio::AioContexts,
}

impl fmt::Debug for Mm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mm({})", self.id)
    }
}

impl Mm {
    /// An empty address space over `space`; `range` is [`platform::Platform::guest_range`].
    pub fn new(space: Arc<dyn AddressSpace>, frames: Arc<Frames>, range: (u64, u64)) -> Arc<Mm> {
        let state = State {
            vmas: VmaSet::default(),
            pmas: Spans::default(),
            reserve: Spans::default(),
            vdso_gone: false,
            brk_start: 0,
            brk: 0,
            mmap_base: range.1,
            lock_future: super::vma::VmaFlags::empty(),
            layout: Layout::default(),
            auxv: Vec::new(),
            peak: 0,
            patches: super::patch::Patches::default(),
        };
        frames.tidy();
        Mm::with_state(space, frames, range, state, None)
    }

    pub(super) fn with_state(
        space: Arc<dyn AddressSpace>,
        frames: Arc<Frames>,
        range: (u64, u64),
        state: State,
        parent: Option<&Mm>,
    ) -> Arc<Mm> {
        let learned = parent.map_or_else(Arc::default, |p| Arc::clone(&p.learned));
        Arc::new_cyclic(|weak| Mm {
            weak: weak.clone(),
            space,
            id: frames.next_id(),
            frames,
            range: (range.0.max(MMAP_MIN_ADDR), range.1),
            stack_limit: AtomicU64::new(8 << 20),
            last_settled: AtomicU64::new(0),
            dropped: AtomicBool::new(false),
            limbo: Mutex::default(),
            learned,
            lessons: AtomicUsize::new(if parent.is_some() { LESSONS } else { 0 }),
            gathered: Mutex::default(),
            user_ns: std::sync::OnceLock::new(),
            patched: AtomicBool::new(false),
            hot: super::patch::Hot::default(),
            answers: super::patch::Answers::default(),
            state: RwLock::new(state),
            areas: Mutex::default(),
            aio: crate::aio::AioContexts::default(),
        })
    }

    /// What the platform runs guest threads in.
    pub fn space(&self) -> &Arc<dyn AddressSpace> {
        &self.space
    }

    /// The user namespace its program was started in: who is privileged there may look into
    /// it even where it is not dumpable.
    pub fn user_ns(&self) -> UserNs {
        self.user_ns.get().cloned().unwrap_or_default()
    }

    /// Notes where its program was started, or that of what it is a copy of; once.
    pub fn set_user_ns(&self, ns: &UserNs) {
        if !ns.is_initial() {
            let _ = self.user_ns.set(ns.clone());
        }
    }

    /// What patched call sites are told.
    pub fn answers(&self) -> &super::patch::Answers {
        &self.answers
    }

    /// The allocator of guest memory.
    pub fn frames(&self) -> &Arc<Frames> {
        &self.frames
    }

    /// A number no other address space of this kernel has or had.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Lowest and one past the highest address a guest mapping may use.
    pub fn range(&self) -> (u64, u64) {
        self.range
    }

    /// Tells how far the stack may grow (`RLIMIT_STACK`); at exec and when it is changed.
    pub fn set_stack_limit(&self, limit: u64) {
        self.stack_limit.store(limit, Ordering::Relaxed);
    }

    /// Where the platform's time functions stand: address and length.
    pub fn vdso(&self) -> Option<(u64, u64)> {
        self.space.vdso()
    }

    /// The program's layout.
    pub fn layout(&self) -> Layout {
        self.state.read().layout
    }

    /// Changes the program's layout.
    pub fn update_layout(&self, change: impl FnOnce(&mut Layout)) {
        change(&mut self.state.write().layout);
    }

    /// The auxiliary vector the program was started with, as bytes.
    pub fn auxv(&self) -> Vec<u8> {
        self.state.read().auxv.clone()
    }

    /// Notes the auxiliary vector.
    pub fn set_auxv(&self, auxv: Vec<u8>) {
        self.state.write().auxv = auxv;
    }

    /// Where mappings are placed downwards from.
    pub fn set_mmap_base(&self, base: u64) {
        self.state.write().mmap_base = base.clamp(self.range.0, self.range.1);
    }

    /// Applies `batch` on the host and lets go what it frees. When the host refuses, every
    /// mapping is dropped there, and faults derive again what is touched; `false` then.
    /// Called with the map lock held for writing.
    pub(super) fn commit(&self, state: &State, batch: &mut Batch) -> bool {
        let mut ops = std::mem::take(&mut batch.ops);
        if let Some(gathered) = &mut *self.gathered.lock() {
            gathered.append(&mut ops);
        }
        let fine = match self.space.commit(&ops) {
            Ok(()) => {
                self.leave_limbo();
                true
            }
            Err(PlatformError::Gone) => true,
            Err(_) => {
                self.drop_host_mappings(state, &ops);
                false
            }
        };
        for range in batch.gone.drain(..) {
            self.frames.release(range);
        }
        fine
    }

    /// Like [`Mm::commit`], for changes of private anonymous memory in a call of the guest's:
    /// they may be made only when the guest goes on, and then what they free is kept until it
    /// is known that the guest cannot reach it.
    pub(super) fn commit_soon(&self, state: &State, batch: &mut Batch) {
        let freed: u64 = batch.gone.iter().map(|r| r.len).sum();
        let plain = freed <= LIMBO && batch.dead.iter().all(Vma::anon);
        if !plain || batch.ops.is_empty() || self.gathered.lock().is_some() {
            self.commit(state, batch);
            return;
        }
        let ops = std::mem::take(&mut batch.ops);
        match self.space.commit_later(&ops) {
            Ok(Commit::Owed { settled }) => {
                if settled {
                    self.leave_limbo();
                }
                let mut limbo = self.limbo.lock();
                limbo.append(&mut batch.gone);
                let kept: u64 = limbo.iter().map(|r| r.len).sum();
                drop(limbo);
                if kept > LIMBO {
                    self.commit(state, batch);
                }
                return;
            }
            Ok(Commit::Done) => self.leave_limbo(),
            Err(PlatformError::Gone) => {}
            Err(_) => self.drop_host_mappings(state, &ops),
        }
        for range in batch.gone.drain(..) {
            self.frames.release(range);
        }
    }

    /// From now on changes are only gathered; for a space that nothing runs in.
    pub fn hold_changes(&self) {
        self.gathered.lock().get_or_insert_default();
    }

    /// Makes the gathered changes.
    pub fn apply_held(&self) {
        let state = self.state.write();
        let ops = self.gathered.lock().take().unwrap_or_default();
        let mut batch = Batch {
            ops,
            ..Batch::default()
        };
        self.commit(&state, &mut batch);
    }

    /// Applies `batch` like [`Mm::commit`], or has `ctx`, held in the call that asks for it,
    /// make the change `op` that `batch` amounts to.
    pub(super) fn commit_by(
        &self,
        ctx: &dyn Context,
        op: Option<MapOp>,
        state: &State,
        batch: &mut Batch,
    ) -> Made {
        let freed: u64 = batch.gone.iter().map(|r| r.len).sum();
        // The memory of files may go to others as soon as their mappings are dropped.
        let plain = freed <= LIMBO && batch.dead.iter().all(Vma::anon);
        let by_caller = plain && op.is_some_and(|op| ctx.entrust(&op));
        if !by_caller {
            self.commit_soon(state, batch);
            return Made::Now;
        }
        batch.ops.clear();
        // What was entrusted before is done.
        self.leave_limbo();
        self.limbo.lock().append(&mut batch.gone);
        Made::ByCaller
    }

    /// Releases what a change that is made by now has freed.
    fn leave_limbo(&self) {
        let ranges = std::mem::take(&mut *self.limbo.lock());
        for range in ranges {
            self.frames.release(range);
        }
    }

    /// Unmaps everything the guest can see but what the host writes, and everything `ops` was
    /// about.
    fn drop_host_mappings(&self, state: &State, ops: &[MapOp]) {
        self.dropped.store(true, Ordering::Relaxed);
        let mut all = Batch::default();
        let areas = self.area_pages();
        for v in state.vmas.iter() {
            for (s, e) in super::rseq::around(v.start, v.end, &areas) {
                all.unmap(s, e);
            }
        }
        for op in ops {
            if let MapOp::Unmap { addr, len } = *op {
                all.unmap(addr, addr.saturating_add(len));
            }
        }
        if let Err(e) = self.space.commit(&all.ops) {
            tracing::warn!("dropping the mappings of {self:?}: {e}");
            if !matches!(e, PlatformError::Gone) {
                self.space.kill();
            }
        }
    }

    /// Checks that `addr..addr+len` (a page multiple) may be mapped; its end.
    pub(super) fn check_range(&self, addr: u64, len: u64, errno: Errno) -> Result<u64> {
        let end = addr.checked_add(len).ok_or(errno)?;
        if end > self.range.1 {
            return Err(errno);
        }
        Ok(end)
    }

    /// Takes `len` bytes at `offset` of the file that `mappers` belongs to off the host, and
    /// private `copies` of them away.
    pub(super) fn invalidate(
        &self,
        mappers: &super::Mappers,
        (offset, len): (u64, u64),
        copies: bool,
    ) {
        let mut guard = self.state.write();
        let state = &mut *guard;
        let mut lost = Vec::new();
        let mut batch = Batch::default();
        let stop = offset.saturating_add(len);
        for v in state.vmas.iter() {
            let Some(fm) = v.file() else { continue };
            if !fm
                .file()
                .mappers()
                .is_some_and(|m| std::ptr::eq(m, mappers))
            {
                continue;
            }
            fm.forget_windows();
            let (from, to) = (offset.max(v.offset), stop.min(v.offset_of(v.end)));
            if from >= to {
                continue;
            }
            let (a, b) = (v.start + (from - v.offset), v.start + (to - v.offset));
            if copies {
                lost.push((a - a % PAGE_SIZE, b));
                continue;
            }
            for (s, e) in state
                .pmas
                .gaps(a - a % PAGE_SIZE, b.next_multiple_of(PAGE_SIZE))
            {
                batch.unmap(s, e);
            }
        }
        for (s, e) in lost {
            batch.unmap(s, e);
            batch
                .gone
                .extend(state.pmas.remove(s, e).iter().map(|p| p.frames()));
        }
        if !batch.ops.is_empty() {
            self.commit(state, &mut batch);
        }
    }
}

impl Drop for Mm {
    fn drop(&mut self) {
        self.space.kill();
        let state = self.state.get_mut();
        let grave = Grave {
            space: Arc::clone(&self.space),
            vmas: std::mem::take(&mut state.vmas),
            ranges: state
                .pmas
                .iter()
                .map(|s| s.frames())
                .chain(state.reserve.iter().map(|s| s.frames()))
                .chain(std::mem::take(self.limbo.get_mut()))
                .collect(),
        };
        self.frames.bury(grave);
    }
}

/// What is left of an address space whose last thread may still be on its way out. Its
/// memory goes to nobody else before that has ended.
pub(super) struct Grave {
    pub space: Arc<dyn AddressSpace>,
    /// Keep the memory of files.
    #[expect(dead_code, reason = "held, not read")]
    pub vmas: VmaSet,
    /// Private memory.
    pub ranges: Vec<FrameRange>,
}
