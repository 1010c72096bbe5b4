//! The end of tasks and processes (`exit(2)`, `exit_group(2)`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::fs::PollEvents;
use abi::signal::{SigSet, Signal};

use super::group::ThreadGroup;
use super::zap::{self, Ending};
use super::{PidNamespace, Task, reap};
use crate::fs::FdTable;
use crate::futex;
use crate::ptrace::Event;
use crate::signal::{WaitStatus, info, send};
use crate::sync::MutexGuard;
use crate::wait::{Stop, SysResult};

impl Task {
    /// `exit(2)`: ends this thread, and the process with it if it is the last.
    pub fn exit_thread(self: &Arc<Task>, code: i32) -> SysResult<()> {
        let status = WaitStatus::exited(code);
        let message = u64::from(status.0.cast_unsigned());
        self.event_stop(Event::Exit, message, move |t| {
            t.do_exit(status);
            Err(Stop::Gone)
        })
        .map(drop)
    }

    /// `exit_group(2)`: ends the process.
    pub fn exit_process(self: &Arc<Task>, code: i32) -> SysResult<()> {
        let status = WaitStatus::exited(code);
        let message = u64::from(status.0.cast_unsigned());
        self.event_stop(Event::Exit, message, move |t| {
            send::begin_exit(t.thread_group(), status);
            t.exit_doomed();
            Err(Stop::Gone)
        })
        .map(drop)
    }

    /// Ends this thread alone by a signal, and the process with it if it is the last.
    pub(crate) fn die_alone(self: &Arc<Task>, status: WaitStatus) {
        self.do_exit(status);
    }

    /// Exits because the process ends, or another thread's `execve` demands it.
    pub(crate) fn exit_doomed(self: &Arc<Task>) {
        let status = self.thread_group().signals.lock().exit;
        self.do_exit(status.unwrap_or(WaitStatus(0)));
    }

    fn do_exit(self: &Arc<Task>, status: WaitStatus) {
        if self.exited.swap(true, Ordering::SeqCst) {
            return;
        }
        futex::robust::exit(self);
        if self.thread_group().thread_count() == 1 {
            self.thread_group().max_rss();
        }
        self.end_rseq();
        self.clear_tid();
        self.release_vfork();
        // Closing files runs their release; nothing is locked here.
        self.set_files(FdTable::new());
        self.drop_context(false);
        drop(self.park.take());
        *self.stopped_next.lock() = None;
        drop(self.trace_after.lock().take());
        self.end_tracing(status);
        if let Some(tracer) = &self.kernel.tracer {
            tracer.exit(self, status.0);
        }
        self.leave_group(status);
    }

    /// Ends the guest thread; with `wait` it has ended afterwards.
    pub(super) fn drop_context(self: &Arc<Task>, wait: bool) {
        // From here on nobody is told that the guest thread has died.
        self.kernel.remove_cookie(self.cookie());
        if let Some(ctx) = self.set_context(None) {
            self.add_earlier_cpu(ctx.cpu_time());
            let mm = self.mm();
            // The last who has the space ends it whole, which is one step for the host.
            if self.thread_group().thread_count() == 1 && Arc::strong_count(&mm) == 2 {
                mm.space().kill();
            }
            if wait { ctx.kill_now() } else { ctx.kill() }
        }
    }

    /// `CLONE_CHILD_CLEARTID`: clears the word and wakes one waiter, while others still
    /// share the memory.
    fn clear_tid(self: &Arc<Task>) {
        let addr = self.clear_child_tid.swap(0, Ordering::SeqCst);
        if addr == 0 || self.thread_group().is_exiting() && self.thread_group().thread_count() == 1
        {
            return;
        }
        if self.mm().copy_out(addr, &0u32.to_ne_bytes()).is_ok() {
            let _: crate::Result<usize> =
                futex::wake(self, addr, futex::Scope::Shared, 1, u32::MAX);
            let _: crate::Result<usize> =
                futex::wake(self, addr, futex::Scope::Private, 1, u32::MAX);
        }
    }

    /// Takes the task out of its process, which ends with its last thread.
    fn leave_group(self: &Arc<Task>, status: WaitStatus) {
        let group = self.thread_group().clone();
        let tree = group.ns.tree();
        let last = {
            let mut threads = group.threads.lock();
            threads.tasks.retain(|t| !Arc::ptr_eq(t, self));
            threads.tasks.is_empty()
        };
        {
            let mut life = group.life.lock();
            life.own = life.own.plus(self.cpu_times());
        }
        PidNamespace::remove_task(&self.id());
        group.cgroup.uncharge();
        if last {
            let status = group.signals.lock().exit.unwrap_or(status);
            end_process(self, &group, status, tree);
        } else {
            drop(tree);
            self.leave_stop(&group);
            let shared = group.signals.lock().pending.set();
            if !shared.is_empty() {
                self.retarget(SigSet(shared.0 & !self.sigmask().0));
            }
            group.thread_gone.notify(PollEvents::IN);
        }
    }

    /// A stop under way no longer waits for this thread.
    fn leave_stop(&self, group: &Arc<ThreadGroup>) {
        let complete = {
            let mut sig = group.signals.lock();
            let pending = std::mem::take(&mut self.sig.lock().stop_pending);
            if pending {
                sig.stop_left = sig.stop_left.saturating_sub(1);
            }
            let complete = pending && sig.stop_left == 0 && !sig.stopped && sig.stop.is_some();
            if complete {
                sig.stopped = true;
                sig.job_event = sig.stop.map(crate::signal::JobEvent::Stopped);
            }
            complete
        };
        if complete {
            reap::notify_parent_of_job(group);
        }
    }
}

/// Tells those that the end of `group` leaves without a shell: its orphaned process groups,
/// its children, and its terminal when it led the session.
fn hang_up(
    group: &Arc<ThreadGroup>,
    hangups: Vec<Arc<super::session::ProcessGroup>>,
    orphans: &[Arc<ThreadGroup>],
) {
    for pgrp in hangups {
        pgrp.post_signal(info::kernel(Signal::SIGHUP));
        pgrp.post_signal(info::kernel(Signal::SIGCONT));
    }
    for orphan in orphans {
        orphan_signals(group, orphan);
    }
    let session = group.session();
    if session.is_led_by(group)
        && let Some(tty) = session.set_tty(None)
    {
        tty.released();
    }
}

/// The last thread is gone. The init of a nested namespace first waits for everybody else in
/// it to go.
fn end_process(
    last: &Arc<Task>,
    group: &Arc<ThreadGroup>,
    status: WaitStatus,
    tree: MutexGuard<'_, ()>,
) {
    let creds = last.creds();
    group.timers.clear();
    group.signals.lock().exit = Some(status);
    {
        let mut life = group.life.lock();
        life.comm = last.comm();
        life.uid = creds.uid;
        life.gid = creds.gid;
    }
    let mut later = Vec::new();
    if group.is_init() {
        group.ns.close();
        later.extend(group.ns.groups());
        later.retain(|g| !Arc::ptr_eq(g, group));
    }
    if later.is_empty() {
        become_zombie(last, status, tree);
        return zap::finish(&group.ns);
    }
    let nested = !group.ns.is_first();
    if nested {
        zap::reap_children(group);
        let last = last.clone();
        group.ns.set_ending(Ending { last, status });
    }
    drop(tree);
    for other in later {
        other.kill();
    }
    if !nested {
        // The runtime sees to it that nothing of a container is left.
        become_zombie(last, status, group.ns.tree());
    }
    zap::finish(&group.ns);
}

/// The process becomes a zombie and hands on what it had.
pub(super) fn become_zombie(last: &Arc<Task>, status: WaitStatus, tree: MutexGuard<'_, ()>) {
    let group = last.thread_group();
    {
        let mut life = group.life.lock();
        life.status = Some(status);
        life.zombie = true;
    }
    let orphans = adopt(group);
    let hangups = orphaned_groups(group, &orphans);
    let parent = group.parent();
    let reap_now = reap::announce(group, parent.as_ref());
    if reap_now {
        reap::unlink(group, parent.as_ref());
    }
    let hook = group.on_exit.lock().take();
    drop(tree);
    last.tell_death(status);

    hang_up(group, hangups, &orphans);
    last.ipc().exit(group);
    group.exit_event.notify(PollEvents::IN | PollEvents::HUP);
    if let Some(parent) = parent {
        reap::signal_exit(group, &parent);
        parent.child_events.notify(PollEvents::IN);
    }
    if let Some(hook) = hook {
        hook(status);
    }
}

/// Gives the children to the nearest living subreaper above, else to init.
fn adopt(group: &Arc<ThreadGroup>) -> Vec<Arc<ThreadGroup>> {
    let children = std::mem::take(&mut group.rel.lock().children);
    let reaper = reaper_for(group);
    for child in &children {
        child.rel.lock().parent = reaper
            .as_ref()
            .map_or_else(Default::default, Arc::downgrade);
        for task in child.threads.lock().tasks.iter() {
            task.answers_changed(crate::mm::patch::Kind::Parent);
        }
        // An adopted child always announces itself by SIGCHLD.
        child
            .exit_signal
            .store(i32::from(Signal::SIGCHLD.raw()), Ordering::Relaxed);
        if let Some(r) = &reaper {
            r.rel.lock().children.push(child.clone());
        }
    }
    children
}

fn reaper_for(group: &ThreadGroup) -> Option<Arc<ThreadGroup>> {
    let mut above = group.parent();
    while let Some(g) = above.filter(|g| Arc::ptr_eq(&g.ns, &group.ns)) {
        if g.is_subreaper() && !g.is_zombie() && !g.is_exiting() {
            return Some(g);
        }
        above = g.parent();
    }
    group
        .ns
        .init()
        .filter(|i| !i.is_zombie() && !std::ptr::eq(&**i, group))
}

/// Process groups that this exit orphans and that have stopped members: they are hung up.
fn orphaned_groups(
    group: &Arc<ThreadGroup>,
    children: &[Arc<ThreadGroup>],
) -> Vec<Arc<super::session::ProcessGroup>> {
    let own = group.pgrp();
    let mut list = Vec::new();
    let parent_connects = group.parent().is_some_and(|p| {
        let theirs = p.pgrp();
        !theirs.is(&own) && theirs.session.is(&own.session)
    });
    if parent_connects && own.is_orphaned_without(Some(group)) && own.has_stopped() {
        list.push(own.clone());
    }
    for c in children {
        let theirs = c.pgrp();
        let connected = !theirs.is(&own) && theirs.session.is(&own.session);
        if connected
            && theirs.is_orphaned()
            && theirs.has_stopped()
            && !list.iter().any(|p| p.is(&theirs))
        {
            list.push(theirs);
        }
    }
    list
}

/// What a child hears of its parent's death: `PR_SET_PDEATHSIG`; one that is a zombie
/// already is announced to its new parent.
fn orphan_signals(dead: &ThreadGroup, child: &Arc<ThreadGroup>) {
    for t in child.tasks() {
        let nr = t.pdeathsig.load(Ordering::Relaxed);
        if let Some(s) = u64::try_from(nr).ok().and_then(Signal::new) {
            let (uid, _) = dead.owner();
            let info = info::user(s, dead.pid_in(&child.ns), uid);
            let _: crate::Result<()> = send::to_group(child, info, send::Origin::of(dead, child));
        }
    }
    if !child.is_zombie() {
        return;
    }
    let tree = child.ns.tree();
    let parent = child.parent();
    let reaped = reap::announce(child, parent.as_ref());
    if reaped {
        reap::unlink(child, parent.as_ref());
    }
    drop(tree);
    zap::finish(&child.ns);
    if let Some(p) = parent {
        reap::signal_exit(child, &p);
        p.child_events.notify(PollEvents::IN);
    }
}
