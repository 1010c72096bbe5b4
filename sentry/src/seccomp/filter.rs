//! The filters of a task: immutable sets that grow at the end (`seccomp(2)`).

use std::sync::Arc;

use abi::Errno;

use super::bpf::{Data, Program};
use super::notify::Listener;
use crate::Result;

/// `AUDIT_ARCH_X86_64`.
pub const ARCH: u32 = 0xc000_003e;
/// Most instructions of all programs of a task (`MAX_INSNS_PER_PATH`), and what each
/// program after the first counts beyond its own.
const MAX_PATH: usize = 1 << 15;
const PER_PROGRAM: usize = 4;
/// Calls below this number have a bit in the set's map, which has this many words.
pub const MAPPED: u64 = 512;

const WORDS: usize = MAPPED as usize / 64;

/// What a filter decides, by the upper half of its return value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in seccomp(2)")]
pub enum Action {
    KillProcess,
    KillThread,
    Trap,
    Errno,
    UserNotif,
    Trace,
    Log,
    Allow,
}

/// Actions by value.
const ACTIONS: [(u32, Action); 8] = [
    (0x8000_0000, Action::KillProcess),
    (0x0000_0000, Action::KillThread),
    (0x0003_0000, Action::Trap),
    (0x0005_0000, Action::Errno),
    (0x7fc0_0000, Action::UserNotif),
    (0x7ff0_0000, Action::Trace),
    (0x7ffc_0000, Action::Log),
    (ALLOW, Action::Allow),
];
const ALLOW: u32 = 0x7fff_0000;
const FULL: u32 = 0xffff_0000;

impl Action {
    /// The action of exactly this value.
    pub fn exact(value: u32) -> Option<Action> {
        let found = ACTIONS.iter().find(|(v, _)| *v == value);
        found.map(|(_, a)| *a)
    }

    /// The action of a return value; unknown ones kill.
    fn of(ret: u32) -> Action {
        Action::exact(ret & FULL).unwrap_or(Action::KillProcess)
    }
}

/// One installed program.
#[derive(Debug)]
pub struct Filter {
    /// The program.
    pub program: Program,
    /// `SECCOMP_FILTER_FLAG_LOG`.
    pub log: bool,
    /// Who is notified by `SECCOMP_RET_USER_NOTIF`.
    pub listener: Option<Arc<Listener>>,
}

impl Drop for Filter {
    fn drop(&mut self) {
        if let Some(l) = &self.listener {
            l.unused();
        }
    }
}

/// What the filters of a task decide on a call.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The action.
    pub action: Action,
    /// `SECCOMP_RET_DATA`.
    pub data: u16,
    /// The filter that decided.
    pub filter: Option<Arc<Filter>>,
}

/// All filters of a task, oldest first.
#[derive(Debug)]
pub struct FilterSet {
    filters: Vec<Arc<Filter>>,
    /// Calls every filter allows whatever their arguments are.
    always: [u64; WORDS],
    insns: usize,
}

impl FilterSet {
    /// The set with one more filter; `ENOMEM` when it would be too long.
    pub fn with(old: Option<&FilterSet>, filter: Arc<Filter>) -> Result<FilterSet> {
        let before = old.map_or(0, |o| o.insns);
        let insns = before.saturating_add(filter.program.len());
        if insns > MAX_PATH {
            return Err(Errno::ENOMEM);
        }
        let mut always = [u64::MAX; WORDS];
        for nr in 0..MAPPED {
            let known = old.is_none_or(|o| o.always_allows(nr));
            let allowed = known
                && i32::try_from(nr).is_ok_and(|nr| {
                    let ret = filter.program.run_by_number(nr, ARCH);
                    ret.is_some_and(|r| r & FULL == ALLOW)
                });
            let word = usize::try_from(nr / 64).ok();
            let word = word.and_then(|w| always.get_mut(w));
            if !allowed && let Some(word) = word {
                *word &= !(1 << (nr % 64));
            }
        }
        let mut filters = old.map(|o| o.filters.clone()).unwrap_or_default();
        filters.push(filter);
        Ok(FilterSet {
            filters,
            always,
            insns: insns.saturating_add(PER_PROGRAM),
        })
    }

    /// Number of filters.
    pub fn len(&self) -> usize {
        self.filters.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// Whether the call is allowed whatever its arguments are.
    pub fn always_allows(&self, nr: u64) -> bool {
        let word = usize::try_from(nr / 64).ok();
        let word = word.and_then(|w| self.always.get(w));
        word.is_some_and(|w| w & 1 << (nr % 64) != 0)
    }

    /// Whether `other` has the same filters, and more after them or not.
    pub fn is_ancestor_of(&self, other: &FilterSet) -> bool {
        let theirs = other.filters.get(..self.filters.len());
        theirs.is_some_and(|t| t.iter().zip(&self.filters).all(|(a, b)| Arc::ptr_eq(a, b)))
    }

    /// Whether one of the filters has a listener.
    pub fn has_listener(&self) -> bool {
        self.filters.iter().any(|f| f.listener.is_some())
    }

    /// Runs all programs, the newest first; the strictest action decides, the newest of
    /// equals.
    pub fn run(&self, data: &Data) -> Verdict {
        let rank = |ret: u32| (ret & FULL).cast_signed();
        let mut best = (ALLOW, None);
        for f in self.filters.iter().rev() {
            let ret = f.program.run(data);
            if rank(ret) < rank(best.0) {
                best = (ret, Some(f));
            }
        }
        Verdict {
            action: Action::of(best.0),
            data: (best.0 & 0xffff) as u16,
            filter: best.1.cloned(),
        }
    }
}
