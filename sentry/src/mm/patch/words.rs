//! [`Answers`]: what a patched call site may be told without asking the kernel.
//!
//! An answer is kept per address space, so it must be the same for every thread that uses
//! the space: none is given while processes share it (`vfork(2)`), the thread's own number
//! only while there is one thread. It is published after the kernel has given it once, and
//! withdrawn before a change of it can be seen. Neighbours: `code` (who reads the words).

use abi::nr;
use platform::AddressSpace;

use crate::sync::Mutex;

/// The calls that are answered, and what makes the answer change.
const CALLS: &[(u32, Kind)] = &[
    (nr::getpid, Kind::Process),
    (nr::gettid, Kind::Thread),
    (nr::getppid, Kind::Parent),
    (nr::getuid, Kind::User),
    (nr::geteuid, Kind::User),
    (nr::getgid, Kind::User),
    (nr::getegid, Kind::User),
];

/// What an answer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The process.
    Process,
    /// The thread.
    Thread,
    /// The process's parent.
    Parent,
    /// The thread's user and groups.
    User,
}

/// What sort of answer call `nr` has; `None` for one that the kernel alone answers.
pub fn kind_of(nr: u64) -> Option<Kind> {
    let found = CALLS.iter().find(|(n, _)| u64::from(*n) == nr);
    found.map(|(_, kind)| *kind)
}

#[derive(Default)]
struct Inner {
    /// Processes that use the space, by the address of their structure, and their threads.
    members: Vec<(usize, u32)>,
    /// Changes whenever an answer may have.
    epoch: u64,
    /// Numbers with an answer.
    given: Vec<u64>,
    /// Threads may have different credentials.
    split: bool,
    /// None may be given any more.
    off: bool,
}

impl Inner {
    fn threads(&self) -> u32 {
        self.members.iter().map(|(_, n)| *n).sum()
    }

    fn may_give(&self, kind: Kind) -> bool {
        let shared = self.members.len() != 1;
        !self.off
            && !shared
            && match kind {
                Kind::Process | Kind::Parent => true,
                Kind::Thread => self.threads() == 1,
                Kind::User => !self.split,
            }
    }

    /// Takes back the answers that may not be given any more, or are of the kind `changed`.
    fn review(&mut self, space: &dyn AddressSpace, changed: Option<Kind>) {
        self.epoch = self.epoch.wrapping_add(1);
        let given = std::mem::take(&mut self.given);
        for number in given {
            let kind = kind_of(number).filter(|k| Some(*k) != changed);
            if kind.is_some_and(|k| self.may_give(k)) {
                self.given.push(number);
            } else if let Ok(index) = usize::try_from(number) {
                space.set_word(index, 0);
            }
        }
    }
}

/// The answers of one address space, and who uses it.
#[derive(Default)]
pub struct Answers {
    inner: Mutex<Inner>,
}

impl Answers {
    /// A thread of the process `group` uses the space from now on.
    pub fn enter(&self, space: &dyn AddressSpace, group: usize) {
        let mut inner = self.inner.lock();
        match inner.members.iter_mut().find(|(g, _)| *g == group) {
            Some((_, n)) => *n = n.saturating_add(1),
            None => inner.members.push((group, 1)),
        }
        if inner.threads() == 1 {
            inner.split = false;
        }
        inner.review(space, None);
    }

    /// A thread of the process `group` no longer uses it.
    pub fn leave(&self, group: usize) {
        let mut inner = self.inner.lock();
        if let Some((_, n)) = inner.members.iter_mut().find(|(g, _)| *g == group) {
            *n = n.saturating_sub(1);
        }
        inner.members.retain(|(_, n)| *n > 0);
    }

    /// What `kind` says has changed for a thread that uses the space.
    pub fn changed(&self, space: &dyn AddressSpace, kind: Kind) {
        let mut inner = self.inner.lock();
        if kind == Kind::User && inner.threads() != 1 {
            inner.split = true;
        }
        inner.review(space, Some(kind));
    }

    /// No answers from now on.
    pub fn disable(&self, space: &dyn AddressSpace) {
        let mut inner = self.inner.lock();
        inner.off = true;
        inner.review(space, None);
    }

    /// Whether answers may be given at all.
    pub fn enabled(&self) -> bool {
        !self.inner.lock().off
    }

    /// Where in time an answer about to be computed stands, for [`Answers::give`].
    pub fn epoch(&self) -> u64 {
        self.inner.lock().epoch
    }

    /// Publishes the answer to call `nr`, which was computed after `epoch` was taken.
    pub fn give(&self, space: &dyn AddressSpace, nr: u64, answer: i64, epoch: u64) {
        let Some(kind) = kind_of(nr) else { return };
        let word = u64::try_from(answer).ok().and_then(|a| a.checked_add(1));
        let (Some(word), Ok(index)) = (word, usize::try_from(nr)) else {
            return;
        };
        let mut inner = self.inner.lock();
        if inner.epoch == epoch && inner.may_give(kind) && !inner.given.contains(&nr) {
            inner.given.push(nr);
            space.set_word(index, word);
        }
    }
}
