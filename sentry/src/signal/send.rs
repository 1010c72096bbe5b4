//! Sending: from a sender to the thread that takes the signal.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::fs::PollEvents;
use abi::signal::{SigInfo, SigSet, Signal};

use super::action::{self, Default, SA_IMMUTABLE, SIG_DFL, SIG_IGN, STOPS};
use super::{GroupSignals, JobEvent, WaitStatus};
use crate::Result;
use crate::task::gate::Hooks;
use crate::task::limits::Resource;
use crate::task::{Task, ThreadGroup};

/// Where a signal comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The kernel, or a process outside the namespace of the target.
    Kernel,
    /// A process of the target's namespace, or of one below.
    User,
}

impl Origin {
    /// Of what `sender` sends: init is not protected from a namespace above its own.
    pub fn of(sender: &ThreadGroup, target: &ThreadGroup) -> Origin {
        match sender.pid_in(&target.ns) {
            0 => Origin::Kernel,
            _ => Origin::User,
        }
    }
}

/// Sends to a process: any of its threads may take it. `EAGAIN` when the queue is full.
pub fn to_group(group: &Arc<ThreadGroup>, info: SigInfo, origin: Origin) -> Result<()> {
    send(group, None, info, origin)
}

/// Sends to a thread.
pub fn to_task(task: &Arc<Task>, info: SigInfo, origin: Origin) -> Result<()> {
    send(&task.thread_group().clone(), Some(task), info, origin)
}

/// What is to be done once the locks are released.
#[derive(Default)]
struct After {
    kick: Vec<Arc<Task>>,
    fatal: Option<WaitStatus>,
    continued: bool,
}

fn send(
    group: &Arc<ThreadGroup>,
    target: Option<&Arc<Task>>,
    info: SigInfo,
    origin: Origin,
) -> Result<()> {
    let nr = u64::try_from(info.signo).map_err(|_| Errno::EINVAL)?;
    let signal = Signal::new(nr).ok_or(Errno::EINVAL)?;
    let tasks = group.tasks();
    let mut after = After::default();
    let queued = {
        let mut sig = group.signals.lock();
        enqueue(
            group,
            &tasks,
            target,
            (signal, info, origin),
            &mut sig,
            &mut after,
        )
    };
    if after.continued {
        crate::task::reap::notify_parent_of_job(group);
    }
    match after.fatal {
        Some(status) => begin_exit(group, status),
        None => after.kick.iter().for_each(|t| t.kick()),
    }
    if matches!(queued, Ok(true)) {
        group.signal_event.notify(PollEvents::IN);
    }
    queued.map(|_| ())
}

/// Queues under the signal lock. `Ok(false)`: it has no effect and was dropped.
fn enqueue(
    group: &Arc<ThreadGroup>,
    tasks: &[Arc<Task>],
    target: Option<&Arc<Task>>,
    (signal, info, origin): (Signal, SigInfo, Origin),
    sig: &mut GroupSignals,
    after: &mut After,
) -> Result<bool> {
    if sig.exit.is_some() {
        return Ok(false);
    }
    job_control(tasks, signal, sig, after);
    if is_ignored(group, tasks, target, signal, origin, sig) {
        return Ok(false);
    }
    let full = {
        let queued = sig.pending.len()
            + tasks
                .iter()
                .map(|t| t.sig.lock().pending.len())
                .sum::<usize>();
        queued as u64 >= group.limit(Resource::Sigpending).soft
    };
    if full && signal.is_realtime() && info.code < 0 {
        return Err(Errno::EAGAIN);
    }
    // The signals a handler needs details of are kept whatever the limit says.
    let keep = !full || info.code >= 0 && !signal.is_realtime();
    let info_kept = keep.then_some(info);
    match target {
        Some(t) => t.sig.lock().pending.push(signal, info_kept),
        None => sig.pending.push(signal, info_kept),
    }
    choose(group, tasks, target, signal, sig, after);
    Ok(true)
}

/// Stop signals and SIGCONT cancel each other; SIGCONT continues whatever becomes of it.
fn job_control(tasks: &[Arc<Task>], signal: Signal, sig: &mut GroupSignals, after: &mut After) {
    let flush = if signal == Signal::SIGCONT {
        STOPS
    } else if STOPS.contains(signal) {
        SigSet::of(Signal::SIGCONT)
    } else {
        return;
    };
    sig.pending.flush(flush);
    for t in tasks {
        t.sig.lock().pending.flush(flush);
    }
    if signal == Signal::SIGCONT {
        after.continued = resume_stopped(tasks, sig, after);
    }
}

/// Ends a stop, in force or under way; whether the parent is to hear of it.
fn resume_stopped(tasks: &[Arc<Task>], sig: &mut GroupSignals, after: &mut After) -> bool {
    let was = sig.stop.take().is_some();
    let was_complete = std::mem::take(&mut sig.stopped);
    sig.stop_left = 0;
    for t in tasks {
        let mut s = t.sig.lock();
        s.stop_pending = false;
        if std::mem::take(&mut s.stopped) {
            after.kick.push(t.clone());
        }
    }
    if was && was_complete {
        sig.job_event = Some(JobEvent::Continued);
    }
    was && was_complete
}

fn is_ignored(
    group: &ThreadGroup,
    tasks: &[Arc<Task>],
    target: Option<&Arc<Task>>,
    signal: Signal,
    origin: Origin,
    sig: &GroupSignals,
) -> bool {
    let Some(looked_at) = target.or(tasks.first()) else {
        return true;
    };
    let blocked = {
        let s = looked_at.sig.lock();
        s.mask.contains(signal) || s.waiting.contains(signal)
    };
    // A tracer sees ignored signals too.
    if blocked || looked_at.hooked(Hooks::TRACED) && signal != Signal::SIGKILL {
        return false;
    }
    let action = group.sighand().get(signal);
    let from_outside = origin == Origin::Kernel && SigSet::UNBLOCKABLE.contains(signal);
    if sig.unkillable && action.handler == SIG_DFL && !from_outside {
        // A namespace's init sees only signals it has a handler for.
        return true;
    }
    group.sighand().ignores(signal)
}

/// Picks the thread that will take it, and ends the process at once for fatal signals.
fn choose(
    group: &ThreadGroup,
    tasks: &[Arc<Task>],
    target: Option<&Arc<Task>>,
    signal: Signal,
    sig: &GroupSignals,
    after: &mut After,
) {
    let wants = |t: &Arc<Task>| {
        let s = t.sig.lock();
        !t.exited.load(Ordering::Relaxed)
            && (!s.mask.contains(signal) || s.waiting.contains(signal) || signal == Signal::SIGKILL)
    };
    let chosen = match target {
        Some(t) => wants(t).then_some(t),
        None => tasks.iter().find(|t| wants(t)),
    };
    let Some(chosen) = chosen else { return };
    let action = group.sighand().get(signal);
    let masked = {
        let s = chosen.sig.lock();
        s.mask.contains(signal) || s.waiting.contains(signal)
    };
    let by_default = match action::default_of(signal) {
        Default::Terminate => true,
        // One that dumps core is taken by the thread itself, so that it is the one named.
        _ => signal == Signal::SIGKILL,
    };
    if action.handler == SIG_DFL
        && by_default
        && (!masked || signal == Signal::SIGKILL)
        && (!chosen.hooked(Hooks::TRACED) || signal == Signal::SIGKILL)
        && (!sig.unkillable || signal == Signal::SIGKILL)
    {
        after.fatal = Some(WaitStatus::killed(signal, false));
        return;
    }
    after.kick.push(chosen.clone());
}

/// Begins to end a process: every thread is told to exit. The first status counts.
pub fn begin_exit(group: &Arc<ThreadGroup>, status: WaitStatus) {
    let tasks = group.tasks();
    {
        let mut sig = group.signals.lock();
        if sig.exit.is_none() {
            sig.exit = Some(status);
        }
        sig.stop = None;
        sig.stopped = false;
        for t in &tasks {
            let mut s = t.sig.lock();
            s.stop_pending = false;
            s.stopped = false;
        }
    }
    for t in &tasks {
        t.doom();
    }
}

/// A signal for a fault of the task itself: it cannot be blocked or ignored.
pub fn force(task: &Arc<Task>, info: SigInfo) {
    let Some(signal) = u64::try_from(info.signo).ok().and_then(Signal::new) else {
        return;
    };
    let group = task.thread_group();
    let mut sig = group.signals.lock();
    let sighand = group.sighand();
    let mut s = task.sig.lock();
    let mut action = sighand.get(signal);
    if s.mask.contains(signal) || action.handler == SIG_IGN {
        action.handler = SIG_DFL;
        sighand.set(signal, action);
        s.mask.remove(signal);
    }
    if action.handler == SIG_DFL {
        sig.unkillable = false;
    }
    s.pending.push_front(signal, info);
    drop(s);
    task.attention.store(true, Ordering::SeqCst);
}

/// As [`force`], but the signal's default action is taken whatever the handler is.
pub(crate) fn force_fatal(task: &Arc<Task>, info: SigInfo) {
    if let Some(signal) = u64::try_from(info.signo).ok().and_then(Signal::new) {
        let dfl = abi::signal::SigAction {
            flags: SA_IMMUTABLE,
            ..abi::signal::SigAction::default()
        };
        task.thread_group().sighand().set(signal, dfl);
    }
    force(task, info);
}

impl Task {
    /// Makes the task look at its signals soon, whatever it does now.
    pub(crate) fn kick(self: &Arc<Task>) {
        self.attention.store(true, Ordering::SeqCst);
        self.wake();
        if self.park.in_guest()
            && let Ok(ctx) = self.context()
        {
            ctx.interrupt();
        }
    }

    /// Tells the task to exit.
    pub(crate) fn doom(self: &Arc<Task>) {
        self.doomed.store(true, Ordering::SeqCst);
        self.kick();
    }
}
