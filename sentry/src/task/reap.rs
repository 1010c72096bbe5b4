//! What parents learn of their children, and how zombies go (`wait(2)`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::fs::PollEvents;
use abi::signal::{SigInfo, Signal};

use super::group::ThreadGroup;
use super::pid::{Pid, PidNamespace};
use super::session::ProcessGroup;
use super::times::CpuTimes;
use super::{Task, zap};
use crate::Result;
use crate::signal::action::{SA_NOCLDSTOP, SA_NOCLDWAIT, SIG_IGN};
use crate::signal::{JobEvent, WaitStatus, info};

/// `CLD_EXITED`.
pub const CLD_EXITED: i32 = 1;
/// `CLD_KILLED`.
pub const CLD_KILLED: i32 = 2;
/// `CLD_DUMPED`.
pub const CLD_DUMPED: i32 = 3;
/// `CLD_TRAPPED`.
pub const CLD_TRAPPED: i32 = 4;
/// `CLD_STOPPED`.
pub const CLD_STOPPED: i32 = 5;
/// `CLD_CONTINUED`.
pub const CLD_CONTINUED: i32 = 6;

/// Which children are waited for.
#[derive(Clone, Debug)]
pub enum Which {
    /// All.
    Any,
    /// The one with this number in the caller's namespace.
    Pid(i32),
    /// Those of this process group; `None` for one there is not.
    Pgrp(Option<Arc<ProcessGroup>>),
    /// This very process (a pidfd).
    Group(Arc<ThreadGroup>),
}

impl Which {
    /// Whether a tracee that has ended is meant.
    fn names(&self, id: &Pid, ns: &PidNamespace) -> bool {
        match self {
            Which::Any => true,
            Which::Pid(pid) => *pid == id.nr_in(ns),
            Which::Pgrp(_) | Which::Group(_) => false,
        }
    }

    /// Whether a tracee is meant.
    fn chooses(&self, t: &Task, ns: &PidNamespace) -> bool {
        match self {
            Which::Any => true,
            Which::Pid(pid) => *pid == t.tid_in(ns),
            Which::Pgrp(pgrp) => in_group(t.thread_group(), pgrp.as_deref()),
            Which::Group(g) => t.is_leader() && Arc::ptr_eq(g, t.thread_group()),
        }
    }
}

fn in_group(group: &ThreadGroup, pgrp: Option<&ProcessGroup>) -> bool {
    pgrp.is_some_and(|p| group.pgrp().is(p))
}

/// What is waited for.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "named as in waitid(2)")]
pub struct WaitFor {
    pub which: Which,
    pub exited: bool,
    pub stopped: bool,
    pub continued: bool,
    /// `WNOWAIT`: leave it waitable.
    pub nowait: bool,
    /// `__WCLONE`: only children with another exit signal than SIGCHLD.
    pub clone_only: bool,
    /// `__WALL`: children of both kinds.
    pub all: bool,
}

/// A child's change of state.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "named as in waitid(2)")]
pub struct Waited {
    pub pid: i32,
    pub uid: u32,
    /// As `wait4(2)` encodes it.
    pub status: i32,
    /// `CLD_*`.
    pub code: i32,
    /// Exit code or signal number.
    pub value: i32,
    pub times: CpuTimes,
    /// Largest resident set in bytes.
    pub max_rss: u64,
}

impl Task {
    /// Looks for a child with something to report; `ECHILD` when there is none to wait for,
    /// `EAGAIN` when none has anything to report yet.
    pub fn try_wait(&self, what: &WaitFor) -> Result<Waited> {
        let group = self.thread_group();
        let tree = group.ns.tree();
        let children = group.children();
        let (mut any, found) = group.report_tracee(what);
        if let Some(found) = found {
            return Ok(found);
        }
        for child in children.iter().filter(|c| eligible(c, what, &group.ns)) {
            // A dead child has no other change to wait for.
            any |= what.exited || !child.is_zombie();
            if let Some(found) = child.report(what, &group.ns) {
                let taken = found.code <= CLD_DUMPED && !what.nowait;
                if taken {
                    collect(group, child);
                    unlink(child, Some(group));
                }
                drop(tree);
                if taken {
                    zap::finish(&child.ns);
                }
                return Ok(found);
            }
        }
        Err(if any { Errno::EAGAIN } else { Errno::ECHILD })
    }
}

fn eligible(child: &ThreadGroup, what: &WaitFor, ns: &PidNamespace) -> bool {
    let chosen = match &what.which {
        Which::Any => true,
        Which::Pid(pid) => child.pid_in(ns) == *pid,
        Which::Pgrp(pgrp) => in_group(child, pgrp.as_deref()),
        Which::Group(g) => std::ptr::eq(&**g, child),
    };
    let clone = child.exit_signal.load(Ordering::Relaxed) != i32::from(Signal::SIGCHLD.raw());
    chosen && (what.all || clone == what.clone_only)
}

/// Adds a reaped child's CPU time to its parent's account.
fn collect(parent: &ThreadGroup, child: &ThreadGroup) {
    let used = child.cpu_times().plus(child.children_times());
    let (own, theirs) = child.max_rss();
    let mut life = parent.life.lock();
    life.children = life.children.plus(used);
    life.children_max_rss = life.children_max_rss.max(own).max(theirs);
}

/// Takes a dead process out of the tree and the tables; with the tree lock held.
pub(super) fn unlink(group: &Arc<ThreadGroup>, parent: Option<&Arc<ThreadGroup>>) {
    group.life.lock().reaped = true;
    PidNamespace::remove_group(group);
    group.pgrp().leave(group);
    if let Some(p) = parent {
        p.rel.lock().children.retain(|c| !Arc::ptr_eq(c, group));
    }
}

impl ThreadGroup {
    /// A stop or the end of a tracee; whether there is a tracee to wait for.
    fn report_tracee(&self, what: &WaitFor) -> (bool, Option<Waited>) {
        let (alive, dead): (Vec<_>, Vec<_>) = {
            let tracees = self.tracees.lock();
            if tracees.alive.is_empty() && tracees.dead.is_empty() {
                return (false, None);
            }
            let alive = tracees.alive.iter().filter_map(|t| t.upgrade());
            (alive.collect(), tracees.dead.clone())
        };
        let mut any = false;
        let mut ended = dead.iter().filter(|d| what.which.names(&d.id, &self.ns));
        if let Some(d) = ended.find(|_| what.exited) {
            if !what.nowait {
                let dead = &mut self.tracees.lock().dead;
                dead.retain(|o| !Arc::ptr_eq(&o.id, &d.id));
            }
            let (code, value) = d.status.as_child();
            let found = Waited {
                pid: d.id.nr_in(&self.ns),
                uid: d.uid,
                status: d.status.0,
                code,
                value,
                times: d.times,
                max_rss: 0,
            };
            return (true, Some(found));
        }
        for t in alive.iter().filter(|t| what.which.chooses(t, &self.ns)) {
            any = true;
            let mut tr = t.ptrace.lock();
            let Some(stop) = tr.stop.as_mut().filter(|s| !s.waited) else {
                continue;
            };
            stop.waited = !what.nowait;
            let code = stop.code;
            drop(tr);
            let found = Waited {
                pid: t.tid_in(&self.ns),
                uid: t.creds().uid,
                status: code << 8 | 0x7f,
                code: CLD_TRAPPED,
                value: code,
                times: t.cpu_times(),
                max_rss: 0,
            };
            return (true, Some(found));
        }
        (any, None)
    }

    /// The state change to report, taken unless `WNOWAIT`.
    fn report(&self, what: &WaitFor, ns: &PidNamespace) -> Option<Waited> {
        let ended = {
            let life = self.life.lock();
            if life.zombie { life.status } else { None }
        };
        if let Some(status) = ended {
            let (code, value) = status.as_child();
            return what.exited.then(|| self.waited(ns, status.0, code, value));
        }
        if self.traced_by_parent() {
            // The tracer's side of it tells the stops.
            return None;
        }
        let mut sig = self.signals.lock();
        let event = sig.job_event?;
        let (status, code, value) = match event {
            JobEvent::Stopped(s) if what.stopped => {
                let nr = i32::from(s.raw());
                (nr << 8 | 0x7f, CLD_STOPPED, nr)
            }
            JobEvent::Continued if what.continued => {
                (0xffff, CLD_CONTINUED, i32::from(Signal::SIGCONT.raw()))
            }
            _ => return None,
        };
        if !what.nowait {
            sig.job_event = None;
        }
        drop(sig);
        Some(self.waited(ns, status, code, value))
    }

    /// A report for one in `ns`; counting what was used takes a while.
    fn waited(&self, ns: &PidNamespace, status: i32, code: i32, value: i32) -> Waited {
        Waited {
            pid: self.pid_in(ns),
            uid: self.owner().0,
            status,
            code,
            value,
            times: self.cpu_times(),
            max_rss: self.max_rss().0,
        }
    }
}

impl WaitStatus {
    /// `si_code` and `si_status` for it.
    pub fn as_child(self) -> (i32, i32) {
        match self.code() {
            Some(code) => (CLD_EXITED, code),
            None if self.core() => (CLD_DUMPED, self.0 & 0x7f),
            None => (CLD_KILLED, self.0 & 0x7f),
        }
    }
}

/// Whether a dead process goes at once instead of waiting for its parent; with the tree
/// lock held.
pub(super) fn announce(group: &ThreadGroup, parent: Option<&Arc<ThreadGroup>>) -> bool {
    let Some(parent) = parent else { return true };
    // An ending init takes all its children with it.
    if parent.is_init() && parent.ns.is_dead() {
        return true;
    }
    if group.exit_signal.load(Ordering::Relaxed) != i32::from(Signal::SIGCHLD.raw()) {
        return false;
    }
    let action = parent.sighand().get(Signal::SIGCHLD);
    action.handler == SIG_IGN || action.flags & SA_NOCLDWAIT != 0
}

/// A child's owner as its parent's user namespace shows it.
fn shown_owner(group: &ThreadGroup, parent: &ThreadGroup) -> u32 {
    let (uid, _) = group.owner();
    let reader = parent.main_task();
    reader.map_or(uid, |t| t.creds().user_ns.shown_uid(uid))
}

/// Sends the exit signal to the parent.
pub(super) fn signal_exit(group: &ThreadGroup, parent: &Arc<ThreadGroup>) {
    let nr = group.exit_signal.load(Ordering::Relaxed);
    let Some(signal) = u64::try_from(nr).ok().and_then(Signal::new) else {
        return;
    };
    if signal == Signal::SIGCHLD && parent.sighand().get(signal).handler == SIG_IGN {
        return;
    }
    let (code, value) = group.status().unwrap_or(WaitStatus(0)).as_child();
    let uid = shown_owner(group, parent);
    let info = info::child(
        signal,
        code,
        group.pid_in(&parent.ns),
        uid,
        value,
        group.cpu_times().ticks(),
    );
    parent.post_signal(info);
}

/// Tells the parent that the process stopped or was continued.
pub(crate) fn notify_parent_of_job(group: &Arc<ThreadGroup>) {
    let Some(parent) = group.parent() else { return };
    let event = group.signals.lock().job_event;
    let (code, value) = match event {
        Some(JobEvent::Stopped(s)) => (CLD_STOPPED, i32::from(s.raw())),
        _ => (CLD_CONTINUED, i32::from(Signal::SIGCONT.raw())),
    };
    let action = parent.sighand().get(Signal::SIGCHLD);
    if action.handler != SIG_IGN && action.flags & SA_NOCLDSTOP == 0 {
        let uid = shown_owner(group, &parent);
        let info: SigInfo = info::child(
            Signal::SIGCHLD,
            code,
            group.pid_in(&parent.ns),
            uid,
            value,
            group.cpu_times().ticks(),
        );
        parent.post_signal(info);
    }
    parent.child_events.notify(PollEvents::IN);
}
