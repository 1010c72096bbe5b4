//! Process numbers: pid namespaces and their tables ([`PidNamespace`]), and the numbers that
//! one process or thread has in each of them ([`Pid`]; `pid_namespaces(7)`).
//!
//! A task is entered in its own namespace and in every one above. Neighbours:
//! [`super::group`] (what a pid means), [`super::session`] (what a pgid and a sid mean),
//! [`super::zap`] (how a namespace ends). Lock rank: the tree lock, one for all namespaces
//! below a first one, is the outermost lock of this layer; the tables locks are leaves, never
//! held together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Weak};

use abi::Errno;

use super::Task;
use super::group::ThreadGroup;
use super::session::{ProcessGroup, Session};
use super::zap::Ending;
use crate::Result;
use crate::creds::{Cap, Creds};
use crate::sync::{Mutex, MutexGuard};
use crate::userns::UserNs;

/// One past the highest process number (`/proc/sys/kernel/pid_max`).
pub const PID_MAX: i32 = 4_194_304;

/// After a wrap numbers below this are not given again (as Linux's `RESERVED_PIDS`).
const RESERVED: i32 = 300;

/// Deepest level of a namespace below the first (`pid_namespaces(7)`).
pub const MAX_LEVEL: usize = 32;

/// The numbers of a process, thread, process group or session, one in its own namespace and
/// one in each above (`struct pid`).
pub struct Pid {
    nr: i32,
    /// By level, the first namespace's first.
    numbers: Box<[i32]>,
    /// Its own namespace.
    pub ns: Arc<PidNamespace>,
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pid({:?})", self.numbers)
    }
}

impl Pid {
    /// The number in its own namespace.
    pub fn nr(&self) -> i32 {
        self.nr
    }

    /// The number in the first namespace.
    pub fn outermost(&self) -> i32 {
        self.numbers.first().copied().unwrap_or(0)
    }

    /// The number that `ns` knows it by; 0 where it is not seen.
    pub fn nr_in(&self, ns: &PidNamespace) -> i32 {
        if std::ptr::eq(&*self.ns, ns) {
            return self.nr;
        }
        let seen = self.ns.lineage().any(|n| std::ptr::eq(n, ns));
        let nr = self.numbers.get(ns.level).filter(|_| seen);
        nr.copied().unwrap_or(0)
    }

    /// The numbers in `ns` and below it (`NSpid` of `proc_pid_status(5)`).
    pub fn numbers_from(&self, ns: &PidNamespace) -> &[i32] {
        let seen = self.nr_in(ns) != 0;
        self.numbers
            .get(ns.level..)
            .filter(|_| seen)
            .unwrap_or_default()
    }

    /// Each namespace it is seen in, its own first, with its number there.
    fn places(&self) -> impl Iterator<Item = (&PidNamespace, i32)> {
        self.ns.lineage().zip(self.numbers.iter().rev().copied())
    }
}

#[derive(Default)]
struct Tables {
    tasks: BTreeMap<i32, Arc<Task>>,
    groups: BTreeMap<i32, Arc<ThreadGroup>>,
    pgrps: BTreeMap<i32, Weak<ProcessGroup>>,
    sessions: BTreeMap<i32, Weak<Session>>,
    /// Given to tasks that are being made.
    reserved: BTreeSet<i32>,
    last: i32,
    /// The first process, once made.
    init: Option<Weak<ThreadGroup>>,
    dead: bool,
    /// What is left to do for its init once nobody else is there.
    ending: Option<Ending>,
}

impl Tables {
    fn in_use(&self, nr: i32) -> bool {
        self.tasks.contains_key(&nr)
            || self.reserved.contains(&nr)
            || self.groups.contains_key(&nr)
            || self.pgrps.get(&nr).is_some_and(|p| p.strong_count() > 0)
            || self.sessions.get(&nr).is_some_and(|s| s.strong_count() > 0)
    }
}

/// A pid namespace: one container's process numbers, or one nested in such.
pub struct PidNamespace {
    /// Inode number under `/proc/PID/ns/pid`.
    pub ino: u64,
    /// The user namespace it belongs to.
    pub owner: UserNs,
    /// The one it is nested in.
    pub parent: Option<Arc<PidNamespace>>,
    level: usize,
    /// Serialises changes of the process tree: fork, exit, wait, setpgid, setsid.
    tree: Arc<Mutex<()>>,
    tables: Mutex<Tables>,
}

impl fmt::Debug for PidNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PidNamespace({})", self.ino)
    }
}

impl PidNamespace {
    /// An empty namespace that is in no other.
    pub fn new(ino: u64) -> Arc<PidNamespace> {
        Arc::new(PidNamespace {
            ino,
            owner: UserNs::INITIAL,
            parent: None,
            level: 0,
            tree: Arc::default(),
            tables: Mutex::default(),
        })
    }

    /// An empty namespace nested in this one: `EINVAL` for an owner that is not below the
    /// owner of this one, `ENOSPC` when nested too deep.
    pub(crate) fn child(self: &Arc<Self>, ino: u64, owner: &UserNs) -> Result<Arc<PidNamespace>> {
        if !owner.within(&self.owner) {
            return Err(Errno::EINVAL);
        }
        if self.level >= MAX_LEVEL {
            return Err(Errno::ENOSPC);
        }
        Ok(Arc::new(PidNamespace {
            ino,
            owner: owner.clone(),
            parent: Some(self.clone()),
            level: self.level + 1,
            tree: self.tree.clone(),
            tables: Mutex::default(),
        }))
    }

    /// The namespace and those it is nested in, outwards.
    pub fn lineage(&self) -> impl Iterator<Item = &PidNamespace> {
        std::iter::successors(Some(self), |ns| ns.parent.as_deref())
    }

    /// The first namespace it is nested in, or itself.
    pub fn first(&self) -> &PidNamespace {
        self.lineage().last().unwrap_or(self)
    }

    /// Whether it is `other` or nested in it.
    pub fn within(&self, other: &PidNamespace) -> bool {
        self.lineage().any(|ns| std::ptr::eq(ns, other))
    }

    /// Whether it is nested in none.
    pub fn is_first(&self) -> bool {
        self.parent.is_none()
    }

    /// Locks the process tree against changes.
    pub(crate) fn tree(&self) -> MutexGuard<'_, ()> {
        self.tree.lock()
    }

    /// Threads that exist now.
    pub fn count(&self) -> usize {
        self.tables.lock().tasks.len()
    }

    /// The number given last (`/proc/loadavg`).
    pub fn last_pid(&self) -> i32 {
        self.tables.lock().last
    }

    /// A thread by number in this namespace.
    pub fn task(&self, tid: i32) -> Option<Arc<Task>> {
        self.tables.lock().tasks.get(&tid).cloned()
    }

    /// A process by number, alive or a zombie.
    pub fn group(&self, pid: i32) -> Option<Arc<ThreadGroup>> {
        self.tables.lock().groups.get(&pid).cloned()
    }

    /// All processes in order of their numbers, zombies included.
    pub fn groups(&self) -> Vec<Arc<ThreadGroup>> {
        self.tables.lock().groups.values().cloned().collect()
    }

    /// The init process, once made.
    pub fn init(&self) -> Option<Arc<ThreadGroup>> {
        self.tables.lock().init.as_ref()?.upgrade()
    }

    /// Whether its init was ever made.
    pub fn has_begun(&self) -> bool {
        self.tables.lock().init.is_some()
    }

    /// A process group by number.
    pub fn pgrp(&self, pgid: i32) -> Option<Arc<ProcessGroup>> {
        self.tables.lock().pgrps.get(&pgid).and_then(Weak::upgrade)
    }

    /// A session by number.
    pub fn session(&self, sid: i32) -> Option<Arc<Session>> {
        self.tables
            .lock()
            .sessions
            .get(&sid)
            .and_then(Weak::upgrade)
    }

    /// Reserves numbers for a task in this namespace and in those above: those `want` names,
    /// innermost first (`EEXIST`, `EINVAL`, `EPERM` without the capability), or the next free
    /// ones (`EAGAIN` when there is none); `ENOMEM` once init is gone. A task is added under
    /// them, or they are [`PidNamespace::release`]d.
    pub(crate) fn allocate(
        self: &Arc<Self>,
        want: &[i32],
        creds: Option<&Creds>,
    ) -> Result<Arc<Pid>> {
        if want.len() > self.level + 1 {
            return Err(Errno::EINVAL);
        }
        let mut numbers = Vec::with_capacity(self.level + 1);
        for (depth, ns) in self.lineage().enumerate() {
            let given = match want.get(depth) {
                Some(nr) => ns.reserve_exactly(*nr, creds),
                None => ns.reserve(),
            };
            match given {
                Ok(nr) => numbers.push(nr),
                Err(e) => {
                    self.release_numbers(&numbers);
                    return Err(e);
                }
            }
        }
        if self.tables.lock().dead {
            self.release_numbers(&numbers);
            return Err(Errno::ENOMEM);
        }
        let nr = numbers.first().copied().unwrap_or(0);
        numbers.reverse();
        Ok(Arc::new(Pid {
            nr,
            numbers: numbers.into(),
            ns: self.clone(),
        }))
    }

    fn reserve_exactly(&self, nr: i32, creds: Option<&Creds>) -> Result<i32> {
        let mut tables = self.tables.lock();
        // A namespace begins with its init.
        if !(1..PID_MAX).contains(&nr) || nr != 1 && tables.init.is_none() {
            return Err(Errno::EINVAL);
        }
        let may = |cap| creds.is_none_or(|c| c.ns_capable(&self.owner, cap));
        if !may(Cap::SysAdmin) && !may(Cap::CheckpointRestore) {
            return Err(Errno::EPERM);
        }
        if tables.in_use(nr) {
            return Err(Errno::EEXIST);
        }
        tables.reserved.insert(nr);
        Ok(nr)
    }

    fn reserve(&self) -> Result<i32> {
        let mut tables = self.tables.lock();
        let mut nr = tables.last;
        for _ in 0..PID_MAX {
            nr += 1;
            if nr >= PID_MAX {
                nr = RESERVED;
            }
            if !tables.in_use(nr) {
                tables.last = nr;
                tables.reserved.insert(nr);
                return Ok(nr);
            }
        }
        Err(Errno::EAGAIN)
    }

    /// Gives reserved numbers back, innermost first.
    fn release_numbers(&self, numbers: &[i32]) {
        for (ns, nr) in self.lineage().zip(numbers) {
            ns.tables.lock().reserved.remove(nr);
        }
    }

    /// Gives unused reserved numbers back.
    pub(crate) fn release(id: &Pid) {
        for (ns, nr) in id.places() {
            ns.tables.lock().reserved.remove(&nr);
        }
    }

    /// The next number is the one after `nr` (`/proc/sys/kernel/ns_last_pid`).
    pub(crate) fn set_last_pid(&self, nr: i32) {
        self.tables.lock().last = nr;
    }

    pub(crate) fn add_task(id: &Pid, task: &Arc<Task>) {
        for (ns, nr) in id.places() {
            let mut tables = ns.tables.lock();
            tables.reserved.remove(&nr);
            tables.tasks.insert(nr, task.clone());
        }
    }

    pub(crate) fn remove_task(id: &Pid) {
        for (ns, nr) in id.places() {
            let gone = ns.tables.lock().tasks.remove(&nr);
            drop(gone);
        }
    }

    /// `execve` by a thread that was not the leader: it takes the leader's numbers.
    pub(crate) fn rename_task(from: &Pid, to: &Pid) {
        for ((ns, old), (_, new)) in from.places().zip(to.places()) {
            let mut tables = ns.tables.lock();
            let moved = tables.tasks.remove(&old);
            let replaced = moved.and_then(|t| tables.tasks.insert(new, t));
            drop(tables);
            drop(replaced);
        }
    }

    pub(crate) fn add_group(group: &Arc<ThreadGroup>) {
        for (ns, nr) in group.id.places() {
            let mut tables = ns.tables.lock();
            if tables.init.is_none() {
                tables.init = Some(Arc::downgrade(group));
            }
            tables.groups.insert(nr, group.clone());
        }
    }

    pub(crate) fn remove_group(group: &ThreadGroup) {
        for (ns, nr) in group.id.places() {
            let gone = ns.tables.lock().groups.remove(&nr);
            drop(gone);
        }
    }

    /// Init has exited: no number is given any more.
    pub(crate) fn close(&self) {
        self.tables.lock().dead = true;
    }

    /// Whether init has exited, or that of a namespace above.
    pub fn is_dead(&self) -> bool {
        self.lineage().any(|ns| ns.tables.lock().dead)
    }

    /// Keeps what is to be done for init until nobody else is there.
    pub(crate) fn set_ending(&self, ending: Ending) {
        self.tables.lock().ending = Some(ending);
    }

    /// What was kept, once init is the last.
    pub(crate) fn take_ending(&self) -> Option<Ending> {
        let mut tables = self.tables.lock();
        if tables.groups.len() > 1 {
            return None;
        }
        tables.ending.take()
    }

    pub(crate) fn add_pgrp(pgrp: &Arc<ProcessGroup>) {
        for (ns, nr) in pgrp.id.places() {
            let mut tables = ns.tables.lock();
            tables.pgrps.retain(|_, p| p.strong_count() > 0);
            tables.pgrps.insert(nr, Arc::downgrade(pgrp));
        }
    }

    pub(crate) fn add_session(session: &Arc<Session>) {
        for (ns, nr) in session.id.places() {
            let mut tables = ns.tables.lock();
            tables.sessions.retain(|_, s| s.strong_count() > 0);
            tables.sessions.insert(nr, Arc::downgrade(session));
        }
    }
}
