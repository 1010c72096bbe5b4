//! How guest code runs and traps: the guest as a source of events.
//!
//! A [`Platform`] runs guest threads ([`Context`]) in guest address spaces
//! ([`AddressSpace`]) and reports what they do as [`Event`]s. It knows nothing of Linux
//! semantics: it never interprets a system call, it only carries it. A guest thread need
//! not be a host thread, and nothing above this crate may assume that it is.
//!
//! Implementations: [`systrap`] (seccomp, the default), [`ptrace`] (the fallback) and [`mock`] (scripted, for tests).
//! Neighbours: `guestmem` below (the memory file that backs guest RAM), `sentry` above.

pub mod exit;
pub mod host;
pub mod mock;
pub mod ptrace;
mod raw;
pub mod regs;
pub mod systrap;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

pub use exit::{Access, Event, Exit, FaultKind};
pub use regs::{GpRegs, Registers, XState};

/// A number the kernel chose for a context; it comes back in each of its events.
pub type Cookie = u64;

/// Which worker of the reactor is meant, from 0 to the number given at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WorkerId(pub usize);

/// Why the platform could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    /// The host refused a mapping for its map count, address space or memory.
    #[error("host refused a mapping: errno {0}")]
    MapRefused(i32),
    /// The address space or context is dead (killed, or its stub died).
    #[error("the address space is gone")]
    Gone,
    /// The host cannot make another process, thread or descriptor.
    #[error("host resources exhausted while {what}: errno {errno}")]
    Exhausted {
        /// What was being made.
        what: &'static str,
        /// The host's errno.
        errno: i32,
    },
    /// The host lacks a feature the platform needs.
    #[error("unsupported host: {0}")]
    Unsupported(String),
}

/// Protection of a guest mapping on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Prot {
    /// Guest may load.
    pub read: bool,
    /// Guest may store.
    pub write: bool,
    /// Guest may fetch instructions.
    pub exec: bool,
}

/// One change of an address space; a batch of them is applied by [`AddressSpace::commit`].
///
/// All addresses, lengths and offsets are multiples of the page size; ranges lie inside
/// [`Platform::guest_range`].
#[derive(Clone, Debug)]
pub enum MapOp {
    /// Replace whatever is at `addr..addr+len` by a shared mapping of the memory file.
    MapMemory {
        /// Guest address.
        addr: u64,
        /// Length in bytes.
        len: u64,
        /// Offset in the memory file.
        offset: u64,
        /// Protection.
        prot: Prot,
    },
    /// The same with a host file (donated by the gofer, opened for what `prot` needs).
    MapFile {
        /// Guest address.
        addr: u64,
        /// Length in bytes.
        len: u64,
        /// The host file; the platform duplicates it where it needs to.
        file: Arc<OwnedFd>,
        /// Offset in the file.
        offset: u64,
        /// Protection.
        prot: Prot,
    },
    /// Remove every mapping in the range.
    Unmap {
        /// Guest address.
        addr: u64,
        /// Length in bytes.
        len: u64,
    },
    /// Change the protection of what is mapped in the range; holes are skipped.
    Protect {
        /// Guest address.
        addr: u64,
        /// Length in bytes.
        len: u64,
        /// New protection.
        prot: Prot,
    },
}

impl MapOp {
    /// Whether it changes the protection of exactly this range.
    pub fn is_protect_of(&self, start: u64, size: u64) -> bool {
        matches!(self, MapOp::Protect { addr, len, .. } if (*addr, *len) == (start, size))
    }
}

/// How a held guest thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Finish the system call with this value in the return register.
    Return(i64),
    /// Go on with the registers as they are (after `set_regs`, a fault or an interruption).
    Regs,
    /// Let the host execute the guest's own trapped call, unchanged. Only for calls that act
    /// on the host thread itself and whose every argument the kernel has checked. After
    /// `exit(2)` the next event is [`Exit::Gone`]. Not possible where registers are available.
    Passthrough,
}

/// What `rseq(2)` registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RseqArea {
    /// Address of the area.
    pub addr: u64,
    /// Its length in bytes.
    pub len: u32,
    /// What stands before each abort handler.
    pub sig: u32,
}

/// A guest thread.
///
/// Between an [`Event`] of a context and the next `resume` it is *held*: it executes
/// nothing, and only the one who took the event (or to whom the kernel handed it) may call
/// `regs`, `set_regs`, `resume`. `interrupt` and `kill` may be called at any time by anyone.
pub trait Context: Send + Sync {
    /// The full register file, or `None` when the platform does not have it at this stop
    /// (then [`Context::interrupt`] followed by [`Context::resume`] brings an
    /// [`Exit::Interrupted`] at which it has, with the resumed value already in the return
    /// register).
    fn regs(&self) -> Option<Registers>;
    /// Replaces the register file. Only valid where `regs` would return `Some`.
    /// Hostile values are sanitised: segment selectors, reserved flags and extended state
    /// the CPU would refuse.
    fn set_regs(&self, regs: &Registers) -> Result<(), PlatformError>;
    /// Lets the guest run on. `Err(Gone)` when it has died meanwhile.
    fn resume(&self, how: Resume) -> Result<(), PlatformError>;
    /// Makes an [`Exit::Interrupted`] come soon: at once if the guest runs, at the next
    /// resume if it is held. Never lost; may be merged with others; may be spurious.
    fn interrupt(&self);
    /// Has the host make `op`, a change of the context's space, by executing the call the
    /// context is held in, where that call is exactly this change. If so it is `true`, the
    /// call must be resumed by [`Resume::Passthrough`] next, and the change counts as made:
    /// later changes of the space wait for it. Memory it takes away is free only after one of
    /// these, or after the context's next event.
    fn entrust(&self, _op: &MapOp) -> bool {
        false
    }
    /// Has a new thread, not resumed yet, register this area for restartable sequences with
    /// the host before its first instruction, as one does that executes `rseq(2)`; whether it
    /// will. The area must be writable memory until it is unregistered, or the host kills.
    fn inherit_rseq(&self, _area: &RseqArea) -> bool {
        false
    }
    /// Whether the thread, stopped in `exit(2)`, has had the host unregister its area for
    /// restartable sequences: the host writes to no guest memory for it, unless it is resumed.
    fn leaves(&self) -> bool {
        false
    }
    /// Ends the guest thread for good. A held context is not resumed any more; no event
    /// but [`Exit::Gone`] (delivered at most once) follows.
    fn kill(&self);
    /// The same, and it executes nothing any more afterwards.
    fn kill_now(&self) {
        self.kill();
    }
    /// The host's CPU time of this guest thread.
    fn cpu_time(&self) -> Duration;
    /// Keeps it on these of [`Platform::cpus`], from now on or from its first instruction.
    fn set_affinity(&self, _cpus: u64) {}
    /// Hints that this context should be served by `worker` from its next event on.
    fn set_worker(&self, worker: WorkerId);
}

/// How far changes of an address space have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// They are made, and all before them.
    Done,
    /// The guest will see them as made; whether they are is not known yet.
    Owed {
        /// All before them are made.
        settled: bool,
    },
}

/// A guest address space. Dropping the last reference ends it and all its contexts.
pub trait AddressSpace: Send + Sync {
    /// Applies the changes in order, all before it returns. On an error the changes before
    /// the failing one are applied; the caller drops the space's mappings and rebuilds.
    fn commit(&self, ops: &[MapOp]) -> Result<(), PlatformError>;
    /// The same, but a guest thread that is held in a call may be made to help when it is
    /// resumed by [`Resume::Return`]: the changes are made before it goes on, and for sure
    /// once a later commit says so.
    fn commit_later(&self, ops: &[MapOp]) -> Result<Commit, PlatformError> {
        self.commit(ops).map(|()| Commit::Done)
    }
    /// A copy of this space with the same mappings and no contexts. The caller has
    /// write-protected what must not be shared first.
    fn fork(&self) -> Result<Arc<dyn AddressSpace>, PlatformError>;
    /// An empty space like this one, if one is at hand at once.
    fn spare(&self) -> Option<Arc<dyn AddressSpace>> {
        None
    }
    /// Moves what runs the space's guest code into control groups of the host: each of these is
    /// the `cgroup.procs` of one, open for writing. Spaces forked from this one are born there.
    fn enter_groups(&self, groups: &[OwnedFd]) -> Result<(), PlatformError> {
        match groups {
            [] => Ok(()),
            _ => Err(PlatformError::Unsupported("control groups".into())),
        }
    }
    /// A new guest thread in this space with these registers; held until the first
    /// `resume(Resume::Regs)`. Its events carry `cookie` and go to `worker` at first.
    fn new_context(
        &self,
        regs: &Registers,
        cookie: Cookie,
        worker: WorkerId,
    ) -> Result<Arc<dyn Context>, PlatformError>;
    /// Kills every context of the space at once, whatever they do.
    fn kill(&self);
    /// Has [`Platform::keep`] return once the space has ended; whether there is a keeper.
    fn keep_end(&self) -> bool {
        false
    }
    /// Whether, after [`AddressSpace::kill`], no guest code of the space runs any more. Only
    /// then may memory that is mapped in it be given to others.
    fn ended(&self) -> bool {
        true
    }
    /// Where the platform's own time functions image (an ELF vDSO usable by the guest)
    /// stands in this space, if it has one: base address and length.
    fn vdso(&self) -> Option<(u64, u64)>;
    /// Puts memory of the memory file in the place of the image [`AddressSpace::vdso`] tells
    /// of, as code that cannot be written; not of its data. Nothing where there is none.
    fn replace_vdso(&self, _offset: u64) -> Result<(), PlatformError> {
        Ok(())
    }
    /// Address of [`WORDS`] 64-bit words that guest code of this space can read but not
    /// write. All are 0 at first, and in a forked copy. `None` where there are none.
    fn words(&self) -> Option<u64> {
        None
    }
    /// Address of a word, readable by guest code, that holds 0 or the address of code that
    /// serves a system call faster than its instruction: jumped to with the number in rax,
    /// the arguments in their registers and the address after the instruction in r11, it
    /// comes back there, or to the instruction, having changed nothing but rax, rcx and r11.
    /// `None` where there is no such thing.
    fn post_word(&self) -> Option<u64> {
        None
    }
    /// Sets one of the words. Guest threads see it at once.
    fn set_word(&self, _index: usize, _value: u64) {}
}

/// How many words [`AddressSpace::words`] tells of.
pub const WORDS: usize = 512;

/// A way of running guest code.
pub trait Platform: Send + Sync {
    /// Short name for `--platform` and logs.
    fn name(&self) -> &'static str;
    /// A new empty address space.
    fn new_address_space(&self) -> Result<Arc<dyn AddressSpace>, PlatformError>;
    /// The lowest and one past the highest address a guest mapping may use.
    fn guest_range(&self) -> (u64, u64);
    /// Waits for the next event of `worker`, at most `timeout` (`None`: for ever).
    /// `Event::Timeout` when it passed. Called by one thread per worker at a time.
    fn next(&self, worker: WorkerId, timeout: Option<Duration>) -> Event;
    /// The calling thread serves `worker` from now on, in another's place.
    fn take_over(&self, _worker: WorkerId) {}
    /// Whether guest threads dealt to `worker` wait for the calling thread even while another
    /// serves it, so that it should serve again as soon as it can.
    fn is_bound(&self, _worker: WorkerId) -> bool {
        false
    }
    /// Makes `next` of `worker` return [`Event::Kick`] soon. From any thread; merged.
    fn kick(&self, worker: WorkerId);
    /// Adds a host descriptor to `worker`'s wait set; when it becomes readable (or hung
    /// up) `next` returns [`Event::Ready`] with `token`. One-shot: call again to re-arm.
    fn watch(&self, worker: WorkerId, fd: BorrowedFd<'_>, token: u64) -> Result<(), PlatformError>;
    /// Removes a descriptor added by `watch`.
    fn unwatch(&self, worker: WorkerId, fd: BorrowedFd<'_>);
    /// Does work nobody waits for, as keeping spare spaces, until a space has ended whose
    /// memory is free now. Called in a loop by one thread; at once back where the platform
    /// was not made for it.
    fn keep(&self) {}
    /// The numbers of the CPUs that guest code runs on, as a mask; 0 where they are not known
    /// or some do not fit.
    fn cpus(&self) -> u64 {
        0
    }
    /// Whether `rseq(2)` of a guest may be resumed by [`Resume::Passthrough`].
    fn passes_rseq(&self) -> bool {
        false
    }
    /// How many workers it was made for.
    fn workers(&self) -> usize;
}
