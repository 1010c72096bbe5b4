//! Sessions and process groups (`setsid(2)`, `setpgid(2)`, `credentials(7)`).
//!
//! Lock rank: their locks are leaves below the tree lock.

use std::any::Any;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::signal::SigInfo;

use super::group::ThreadGroup;
use super::pid::{Pid, PidNamespace};
use crate::Result;
use crate::sync::Mutex;

/// A terminal as its session sees it.
pub trait ControllingTty: Send + Sync + 'static {
    /// For the terminal code to recognise its own.
    fn as_any(&self) -> &dyn Any;
    /// Device number (`tty_nr` of `/proc/PID/stat`).
    fn dev(&self) -> u64;
    /// Foreground process group as a namespace numbers it, 0 for none (`tcgetpgrp(3)`).
    fn foreground_in(&self, ns: &PidNamespace) -> i32;
    /// The session leader exited or gave the terminal up.
    fn released(&self);
}

/// A session.
pub struct Session {
    /// Its numbers: its leader's.
    pub id: Arc<Pid>,
    tty: Mutex<Option<Arc<dyn ControllingTty>>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({:?})", self.id)
    }
}

impl Session {
    pub(crate) fn new(id: &Arc<Pid>) -> Arc<Session> {
        Arc::new(Session {
            id: id.clone(),
            tty: Mutex::new(None),
        })
    }

    /// Whether a process is its leader.
    pub fn is_led_by(&self, group: &ThreadGroup) -> bool {
        Arc::ptr_eq(&self.id, &group.id)
    }

    /// Whether it is the same one.
    pub fn is(&self, other: &Session) -> bool {
        std::ptr::eq(self, other)
    }

    /// The controlling terminal.
    pub fn tty(&self) -> Option<Arc<dyn ControllingTty>> {
        self.tty.lock().clone()
    }

    /// Sets or clears the controlling terminal, returning the old one.
    pub fn set_tty(&self, tty: Option<Arc<dyn ControllingTty>>) -> Option<Arc<dyn ControllingTty>> {
        std::mem::replace(&mut *self.tty.lock(), tty)
    }
}

/// A process group.
pub struct ProcessGroup {
    /// Its numbers: those of the process that made it.
    pub id: Arc<Pid>,
    /// The session it belongs to.
    pub session: Arc<Session>,
    members: Mutex<Vec<Weak<ThreadGroup>>>,
}

impl fmt::Debug for ProcessGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProcessGroup({:?})", self.id)
    }
}

impl ProcessGroup {
    pub(crate) fn new(id: &Arc<Pid>, session: Arc<Session>) -> Arc<ProcessGroup> {
        Arc::new(ProcessGroup {
            id: id.clone(),
            session,
            members: Mutex::default(),
        })
    }

    /// Whether it is the same one.
    pub fn is(&self, other: &ProcessGroup) -> bool {
        std::ptr::eq(self, other)
    }

    /// Processes of the group, zombies included.
    pub fn members(&self) -> Vec<Arc<ThreadGroup>> {
        self.members
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .collect()
    }

    pub(crate) fn join(&self, group: &Arc<ThreadGroup>) {
        self.members.lock().push(Arc::downgrade(group));
    }

    pub(crate) fn leave(&self, group: &ThreadGroup) {
        self.members
            .lock()
            .retain(|m| m.upgrade().is_some_and(|m| !std::ptr::eq(&*m, group)));
    }

    /// Sends a signal from the kernel (a terminal) to every process of the group.
    pub fn post_signal(&self, info: SigInfo) {
        for m in self.members() {
            m.post_signal(info);
        }
    }

    /// Whether no member has a parent in another group of the same session: then nobody
    /// would continue it after a stop (`setpgid(2)`, "orphaned process group").
    pub fn is_orphaned(&self) -> bool {
        self.is_orphaned_without(None)
    }

    /// The same, as if `ignored` had already left.
    pub(crate) fn is_orphaned_without(&self, ignored: Option<&ThreadGroup>) -> bool {
        !self.members().iter().any(|m| {
            if m.is_zombie() || ignored.is_some_and(|i| std::ptr::eq(i, &**m)) {
                return false;
            }
            m.parent().is_some_and(|p| {
                let theirs = p.pgrp();
                !theirs.is(self) && theirs.session.is(&self.session)
            })
        })
    }

    /// Whether a live member is stopped.
    pub(crate) fn has_stopped(&self) -> bool {
        self.members().iter().any(|m| m.is_stopped())
    }
}

impl ThreadGroup {
    /// `setsid(2)`: `EPERM` for the leader of a process group.
    pub fn new_session(&self) -> Result<i32> {
        let me = self.arc().ok_or(Errno::ESRCH)?;
        let _tree = self.ns.tree();
        if self.ns.pgrp(self.pid()).is_some() {
            return Err(Errno::EPERM);
        }
        let session = Session::new(&self.id);
        let pgrp = ProcessGroup::new(&self.id, session.clone());
        PidNamespace::add_session(&session);
        PidNamespace::add_pgrp(&pgrp);
        pgrp.join(&me);
        let old = std::mem::replace(&mut self.rel.lock().pgrp, pgrp);
        old.leave(self);
        Ok(self.pid())
    }

    /// `setpgid(2)` by this process on itself or a child: `ESRCH` for other processes,
    /// `EACCES` for a child that has executed a program, `EPERM` across sessions.
    pub fn move_to_pgrp(&self, target: &Arc<ThreadGroup>, pgid: i32) -> Result<()> {
        let _tree = self.ns.tree();
        let myself = std::ptr::eq(&**target, self);
        let my_child = target.parent().is_some_and(|p| std::ptr::eq(&*p, self));
        if !myself && !my_child {
            return Err(Errno::ESRCH);
        }
        let session = target.session();
        if my_child {
            if !session.is(&self.session()) {
                return Err(Errno::EPERM);
            }
            if target.did_exec.load(Ordering::Relaxed) {
                return Err(Errno::EACCES);
            }
        }
        if session.is_led_by(target) {
            return Err(Errno::EPERM);
        }
        let pgrp = match self.ns.pgrp(pgid) {
            Some(p) if p.session.is(&session) => p,
            None if pgid == target.id.nr_in(&self.ns) => {
                let p = ProcessGroup::new(&target.id, session);
                PidNamespace::add_pgrp(&p);
                p
            }
            _ => return Err(Errno::EPERM),
        };
        if target.pgrp().is(&pgrp) {
            return Ok(());
        }
        pgrp.join(target);
        let old = std::mem::replace(&mut target.rel.lock().pgrp, pgrp);
        old.leave(target);
        Ok(())
    }
}
