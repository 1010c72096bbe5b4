//! Process numbers: the pid namespace and its tables ([`PidNamespace`]).
//!
//! Neighbours: [`super::group`] (what a pid means), [`super::session`] (what a pgid and a
//! sid mean). Lock rank: the tree lock is the outermost lock of this layer; the tables lock
//! is a leaf.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Weak};

use abi::Errno;

use super::Task;
use super::group::ThreadGroup;
use super::session::{ProcessGroup, Session};
use crate::Result;
use crate::sync::{Mutex, MutexGuard};

/// One past the highest process number (`/proc/sys/kernel/pid_max`).
pub const PID_MAX: i32 = 4_194_304;

/// After a wrap numbers below this are not given again (as Linux's `RESERVED_PIDS`).
const RESERVED: i32 = 300;

#[derive(Default)]
struct Tables {
    tasks: BTreeMap<i32, Arc<Task>>,
    groups: BTreeMap<i32, Arc<ThreadGroup>>,
    pgrps: BTreeMap<i32, Weak<ProcessGroup>>,
    sessions: BTreeMap<i32, Weak<Session>>,
    /// Given to tasks that are being made.
    reserved: BTreeSet<i32>,
    last: i32,
    init: Option<Arc<ThreadGroup>>,
    dead: bool,
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

/// A pid namespace: one container's process numbers.
pub struct PidNamespace {
    /// Inode number under `/proc/PID/ns/pid`.
    pub ino: u64,
    /// Serialises changes of the process tree: fork, exit, wait, setpgid, setsid.
    tree: Mutex<()>,
    tables: Mutex<Tables>,
}

impl fmt::Debug for PidNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PidNamespace({})", self.ino)
    }
}

impl PidNamespace {
    /// An empty namespace.
    pub fn new(ino: u64) -> Arc<PidNamespace> {
        Arc::new(PidNamespace {
            ino,
            tree: Mutex::new(()),
            tables: Mutex::default(),
        })
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
        self.tables.lock().init.clone()
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

    /// Reserves a number: `want` exactly (`EEXIST`), or the next free one (`EAGAIN` when there
    /// is none); `ENOMEM` once init is gone. A task is added under it, or it is
    /// [`PidNamespace::release`]d.
    pub(crate) fn allocate(&self, want: Option<i32>) -> Result<i32> {
        let mut tables = self.tables.lock();
        if tables.dead {
            return Err(Errno::ENOMEM);
        }
        if let Some(nr) = want {
            if !(1..PID_MAX).contains(&nr) {
                return Err(Errno::EINVAL);
            }
            if tables.in_use(nr) {
                return Err(Errno::EEXIST);
            }
            tables.reserved.insert(nr);
            return Ok(nr);
        }
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

    /// Gives an unused reserved number back.
    pub(crate) fn release(&self, nr: i32) {
        self.tables.lock().reserved.remove(&nr);
    }

    pub(crate) fn add_task(&self, tid: i32, task: &Arc<Task>) {
        let mut tables = self.tables.lock();
        tables.reserved.remove(&tid);
        tables.tasks.insert(tid, task.clone());
    }

    pub(crate) fn remove_task(&self, tid: i32) {
        let gone = self.tables.lock().tasks.remove(&tid);
        drop(gone);
    }

    /// `execve` by a thread that was not the leader: it takes the leader's number.
    pub(crate) fn rename_task(&self, from: i32, to: i32) {
        let mut tables = self.tables.lock();
        let moved = tables.tasks.remove(&from);
        let replaced = moved.and_then(|t| tables.tasks.insert(to, t));
        drop(tables);
        drop(replaced);
    }

    pub(crate) fn add_group(&self, group: &Arc<ThreadGroup>) {
        let mut tables = self.tables.lock();
        if tables.init.is_none() {
            tables.init = Some(group.clone());
        }
        tables.groups.insert(group.pid(), group.clone());
    }

    pub(crate) fn remove_group(&self, pid: i32) {
        let gone = self.tables.lock().groups.remove(&pid);
        drop(gone);
    }

    /// Init has exited: no number is given any more.
    pub(crate) fn close(&self) {
        self.tables.lock().dead = true;
    }

    /// Whether init has exited.
    pub fn is_dead(&self) -> bool {
        self.tables.lock().dead
    }

    pub(crate) fn add_pgrp(&self, pgrp: &Arc<ProcessGroup>) {
        let mut tables = self.tables.lock();
        tables.pgrps.retain(|_, p| p.strong_count() > 0);
        tables.pgrps.insert(pgrp.pgid(), Arc::downgrade(pgrp));
    }

    pub(crate) fn add_session(&self, session: &Arc<Session>) {
        let mut tables = self.tables.lock();
        tables.sessions.retain(|_, s| s.strong_count() > 0);
        tables
            .sessions
            .insert(session.sid(), Arc::downgrade(session));
    }
}
