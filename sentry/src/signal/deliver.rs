//! Delivery: what a task does about its signals before it goes back to the guest.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::signal::{SigAction, SigSet, Signal};

use super::action::{
    self, Default, SA_IMMUTABLE, SA_NODEFER, SA_RESETHAND, SA_RESTART, SIG_DFL, SIG_IGN,
};
use super::{JobEvent, Taken, WaitStatus, frame, info, send};
use crate::ptrace::{Event, Report};
use crate::task::Task;
use crate::task::gate::Hooks;
use crate::task::run::{Deferred, Next, Outcome, Restart};
use crate::wait::OnSignal;

/// What comes of looking at the signals.
#[expect(
    clippy::large_enum_variant,
    reason = "lives on the stack for the length of one match"
)]
pub(crate) enum Flow {
    /// Go on so.
    Go(Next),
    /// Go on so, from the beginning: a call has ended.
    Again(Next),
    /// Stopped by job control; to go on so when continued.
    Stopped(Next),
    /// The task exits.
    Die,
    /// The task is gone already.
    Gone,
    /// The tracer is told of something first.
    Report(Report, Next),
    /// Stands still while another thread dumps core; to go on so.
    Hold(Next),
    /// The tracer looks at it before it dies so.
    Dying(WaitStatus),
    /// The register file has to be fetched first; go on with [`Deferred`] when it is there.
    Fetch(i64, Deferred),
}

/// What the signal lock's holder found to do.
enum Found {
    Nothing,
    Die,
    Stop,
    /// A tracer is to be told.
    Report(Report),
    /// Another thread dumps core.
    Hold,
    /// It dumps core.
    Core(Taken),
    /// A handler would run, but a call waits.
    Disturbs,
    Handler(Taken, SigAction),
    Fatal(WaitStatus),
}

impl Task {
    /// Acts on pending signals; called with `attention` set, before the guest runs on or an
    /// operation is stepped or parked.
    /// `ready`: a signal to act on first, whatever a tracer says.
    pub(crate) fn look(self: &Arc<Task>, mut next: Next, mut ready: Option<Taken>) -> Flow {
        let mut holds = matches!(&next, Next::Step(op) if op.uninterruptible());
        loop {
            if matches!(next, Next::Return(_)) {
                self.restore_mask();
            }
            let waits = matches!(next, Next::Step(_)) && !holds;
            let found = match ready {
                Some(taken) => self.act(taken, waits),
                None => self.find(waits, holds),
            };
            let acted = ready.is_some();
            if !matches!(found, Found::Disturbs) {
                ready = None;
            }
            match found {
                // What it did may have to be looked at.
                Found::Nothing if acted => {}
                Found::Nothing => match next {
                    Next::Step(_) => return Flow::Go(next),
                    Next::Ended(class) => return self.undisturbed(class),
                    _ if self.restore_mask() => {}
                    _ => return Flow::Go(next),
                },
                Found::Die => return Flow::Die,
                Found::Stop => return Flow::Stopped(next),
                Found::Report(report) => {
                    // What it waits for may have come together with the signal.
                    let Next::Step(op) = next else {
                        return Flow::Report(report, next);
                    };
                    let done = match Outcome::from(op.step(self)) {
                        Outcome::Gone => return Flow::Gone,
                        Outcome::Wait(op) => return Flow::Report(report, Next::Step(op)),
                        Outcome::Next(done) => done,
                    };
                    if let Report::Signal(taken) = report {
                        self.put_back(taken);
                    }
                    return Flow::Again(done);
                }
                Found::Hold => return Flow::Hold(next),
                Found::Core(taken) => return self.dump_core(taken, next),
                Found::Fatal(status) if self.wants(Event::Exit) && self.has_regs() => {
                    return Flow::Dying(status);
                }
                Found::Fatal(status) => {
                    send::begin_exit(self.thread_group(), status);
                    return Flow::Die;
                }
                Found::Disturbs => {
                    // What it waits for may have come together with the signal.
                    let Next::Step(op) = next else {
                        return Flow::Go(next);
                    };
                    next = match Outcome::from(op.step(self)) {
                        Outcome::Next(n) => n,
                        Outcome::Gone => return Flow::Gone,
                        Outcome::Wait(mut op) => match op.on_signal(self) {
                            OnSignal::Hold => {
                                holds = true;
                                Next::Step(op)
                            }
                            class => Next::Ended(class),
                        },
                    };
                }
                Found::Handler(mut taken, action) => {
                    crate::time::posix_timer::taken(self.thread_group(), &mut taken.info);
                    match self.begin_handler(next, taken, action) {
                        Flow::Go(n) => next = n,
                        other => return other,
                    }
                }
            }
        }
    }

    /// Dumps core, once the registers are at hand.
    fn dump_core(self: &Arc<Task>, taken: Taken, next: Next) -> Flow {
        let value = match next {
            Next::Return(v) => v,
            _ => -i64::from(Errno::EINTR.raw()),
        };
        if !self.has_regs() {
            let deferred = Deferred {
                core: Some(taken),
                ..Deferred::default()
            };
            return Flow::Fetch(value, deferred);
        }
        if !matches!(next, Next::Regs) {
            self.change_regs(|r| r.gp.rax = value.cast_unsigned());
        }
        Flow::Go(Next::Step(self.begin_dump(taken)))
    }

    /// The call was ended for a signal that another thread has taken meanwhile.
    fn undisturbed(self: &Arc<Task>, class: OnSignal) -> Flow {
        let action = SigAction {
            flags: SA_RESTART,
            ..SigAction::default()
        };
        match self.end_call(class, action) {
            (v, None) => Flow::Go(Next::Return(v)),
            (v, restart) => Flow::Fetch(
                v,
                Deferred {
                    restart,
                    ..Deferred::default()
                },
            ),
        }
    }

    /// The mask lent to a call goes when the call has ended; whether there was one.
    fn restore_mask(&self) -> bool {
        let saved = self.sig.lock().saved_mask.take();
        if let Some(mask) = saved {
            self.set_sigmask(mask);
        }
        saved.is_some()
    }

    /// Takes the next signal there is something to do about. `waits`: a call waits and is
    /// to be asked first; `holds`: it does not let handlers run.
    fn find(self: &Arc<Task>, waits: bool, holds: bool) -> Found {
        if self.doomed.load(Ordering::SeqCst) {
            return Found::Die;
        }
        let group = self.thread_group();
        let sighand = group.sighand();
        let mut sig = group.signals.lock();
        if sig.exit.is_some() {
            return Found::Die;
        }
        match sig.dumping {
            Some(tid) if tid == self.tid() => return Found::Nothing,
            Some(_) => return Found::Hold,
            None => {}
        }
        if group.cgroup.is_frozen() {
            return Found::Stop;
        }
        let traced = self.hooked(Hooks::TRACED);
        if traced && holds {
            return Found::Nothing;
        }
        loop {
            let mut mine = self.sig.lock();
            if mine.stop_pending || mine.stopped {
                drop(mine);
                let complete = self.join_stop(&mut sig);
                drop(sig);
                if complete && !(traced && group.traced_by_parent()) {
                    crate::task::reap::notify_parent_of_job(group);
                }
                if traced {
                    return Found::Report(Report::Trap);
                }
                return Found::Stop;
            }
            if traced && self.ptrace.lock().trap {
                return Found::Report(Report::Trap);
            }
            let wanted = SigSet(!(mine.mask.0 | mine.waiting.0));
            let own = mine.pending.next(wanted);
            let Some(signal) = own.or_else(|| sig.pending.next(wanted)) else {
                if !self.doomed.load(Ordering::SeqCst) && mine.saved_mask.is_none() {
                    self.attention.store(false, Ordering::SeqCst);
                }
                return Found::Nothing;
            };
            let action = sighand.get(signal);
            let caught = action.handler != SIG_DFL && action.handler != SIG_IGN;
            let told = signal != Signal::SIGKILL && action.flags & SA_IMMUTABLE == 0;
            if traced && told {
                let info = match own {
                    Some(_) => mine.pending.take(signal),
                    None => sig.pending.take(signal),
                };
                return Found::Report(Report::Signal(Taken { signal, info }));
            }
            if caught && holds {
                return Found::Nothing;
            }
            if caught && waits {
                return Found::Disturbs;
            }
            let info = match own {
                Some(_) => mine.pending.take(signal),
                None => sig.pending.take(signal),
            };
            drop(mine);
            if caught {
                return Found::Handler(Taken { signal, info }, action);
            }
            if let Some(found) = self.by_default(&mut sig, Taken { signal, info }, action) {
                return found;
            }
        }
    }

    /// Acts on a signal that is out of its queue.
    fn act(self: &Arc<Task>, taken: Taken, waits: bool) -> Found {
        let group = self.thread_group();
        let action = group.sighand().get(taken.signal);
        if action.handler != SIG_DFL && action.handler != SIG_IGN {
            return match waits {
                true => Found::Disturbs,
                false => Found::Handler(taken, action),
            };
        }
        let mut sig = group.signals.lock();
        if sig.exit.is_some() {
            return Found::Die;
        }
        let found = self.by_default(&mut sig, taken, action);
        found.unwrap_or(Found::Nothing)
    }

    /// What a signal without a handler does; `None`: nothing more.
    fn by_default(
        self: &Arc<Task>,
        sig: &mut super::GroupSignals,
        taken: Taken,
        action: SigAction,
    ) -> Option<Found> {
        let signal = taken.signal;
        if action.handler == SIG_IGN {
            return None;
        }
        match action::default_of(signal) {
            Default::Ignore => None,
            _ if sig.unkillable && !SigSet::UNBLOCKABLE.contains(signal) => None,
            Default::Stop => {
                let orphaned = || self.thread_group().pgrp().is_orphaned();
                if signal == Signal::SIGSTOP || !orphaned() {
                    self.begin_stop(sig, signal);
                    self.attention.store(true, Ordering::SeqCst);
                }
                None
            }
            Default::Terminate => Some(Found::Fatal(WaitStatus::killed(signal, false))),
            Default::Core if self.would_dump() => {
                sig.dumping = Some(self.tid());
                Some(Found::Core(taken))
            }
            Default::Core => Some(Found::Fatal(WaitStatus::killed(signal, false))),
        }
    }

    /// Starts a group stop: every thread has to join it.
    fn begin_stop(self: &Arc<Task>, sig: &mut super::GroupSignals, signal: Signal) {
        let tasks = self.thread_group().tasks();
        sig.stop = Some(signal);
        sig.stop_left = 0;
        for t in &tasks {
            let mut s = t.sig.lock();
            if !s.stopped {
                s.stop_pending = true;
                sig.stop_left += 1;
            }
            drop(s);
            if !Arc::ptr_eq(t, self) {
                t.kick();
            }
        }
    }

    /// Joins the stop under way; whether this was the last thread.
    fn join_stop(&self, sig: &mut super::GroupSignals) -> bool {
        let mut s = self.sig.lock();
        s.stopped = true;
        if !std::mem::take(&mut s.stop_pending) {
            return false;
        }
        sig.stop_left = sig.stop_left.saturating_sub(1);
        if sig.stop_left > 0 || sig.stopped {
            return false;
        }
        sig.stopped = true;
        sig.job_event = sig.stop.map(JobEvent::Stopped);
        true
    }

    /// Ends the call being waited in as the signal demands, and sets up the handler.
    fn begin_handler(self: &Arc<Task>, next: Next, taken: Taken, action: SigAction) -> Flow {
        let (value, restart) = match next {
            Next::Ended(class) => {
                let (v, restart) = self.end_call(class, action);
                (Some(v), restart)
            }
            Next::Return(v) => (Some(v), None),
            _ => (None, None),
        };
        let regs = self.context().ok().and_then(|c| c.regs());
        let Some(mut regs) = regs else {
            let deferred = Deferred {
                signal: Some(taken),
                restart,
                ..Deferred::default()
            };
            return Flow::Fetch(value.unwrap_or(0), deferred);
        };
        if let Some(v) = value {
            regs.gp.rax = v.cast_unsigned();
        }
        if let Some(r) = restart {
            regs.gp.rip = regs.gp.rip.wrapping_sub(2);
            regs.gp.rax = r.nr;
        }
        self.run_handler(regs, taken, action);
        Flow::Go(Next::Regs)
    }

    /// What an interrupted call returns, and whether it is made again.
    fn end_call(&self, class: OnSignal, action: SigAction) -> (i64, Option<Restart>) {
        let eintr = -i64::from(Errno::EINTR.raw());
        let call = *self.call.lock();
        let again = Some(Restart {
            nr: call.nr,
            ip: call.ip,
        });
        match class {
            OnSignal::Finish(v) => (v, None),
            OnSignal::RestartAlways => (eintr, again),
            OnSignal::Restart if action.flags & SA_RESTART != 0 => (eintr, again),
            _ => (eintr, None),
        }
    }

    /// Puts a signal back at the head of the thread's queue.
    pub(crate) fn put_back(&self, taken: Taken) {
        self.sig.lock().pending.push_front(taken.signal, taken.info);
        self.attention.store(true, Ordering::SeqCst);
    }

    /// The register file has come: delivers the signal that waited for it.
    pub(crate) fn deliver_deferred(self: &Arc<Task>, deferred: Deferred) {
        let Some(mut regs) = self.context().ok().and_then(|c| c.regs()) else {
            return;
        };
        let eintr = (-i64::from(Errno::EINTR.raw())).cast_unsigned();
        if let Some(r) = deferred.restart
            && regs.gp.rip == r.ip
            && regs.gp.rax == eintr
        {
            regs.gp.rip = regs.gp.rip.wrapping_sub(2);
            regs.gp.rax = r.nr;
        }
        if let Some(taken) = deferred.signal {
            let action = self.thread_group().sighand().get(taken.signal);
            if action.handler == SIG_DFL || action.handler == SIG_IGN {
                self.put_back(taken);
            } else {
                self.run_handler(regs, taken, action);
                return;
            }
        }
        if let Ok(ctx) = self.context() {
            let _: Result<(), platform::PlatformError> = ctx.set_regs(&regs);
        }
    }

    /// Builds the handler's frame; a stack that cannot take it is a SIGSEGV.
    fn run_handler(self: &Arc<Task>, regs: platform::Registers, taken: Taken, action: SigAction) {
        let signal = taken.signal;
        if action.flags & SA_RESETHAND != 0 {
            let reset = SigAction {
                handler: SIG_DFL,
                ..action
            };
            self.thread_group().sighand().set(signal, reset);
        }
        let result = frame::push(self, regs, &taken, &action);
        if result.is_err() {
            if signal == Signal::SIGSEGV {
                let dfl = SigAction::default();
                self.thread_group().sighand().set(signal, dfl);
            }
            send::force(self, info::kernel(Signal::SIGSEGV));
            return;
        }
        let mut mask = {
            let mut s = self.sig.lock();
            s.saved_mask = None;
            s.mask.union(action.mask)
        };
        if action.flags & SA_NODEFER == 0 {
            mask.insert(signal);
        }
        self.set_sigmask(mask);
    }

    /// Replaces the blocked set; SIGKILL and SIGSTOP stay out of it. Signals that become
    /// deliverable are looked at before the guest runs on; shared ones that this thread now
    /// blocks are offered to the others.
    pub fn set_sigmask(&self, mask: SigSet) {
        let mask = mask.difference(SigSet::UNBLOCKABLE);
        let group = self.thread_group();
        let sig = group.signals.lock();
        let mut mine = self.sig.lock();
        let newly = mask.difference(mine.mask);
        mine.mask = mask;
        let pending = mine.pending.set().union(sig.pending.set());
        if !pending.difference(mask).is_empty() {
            self.attention.store(true, Ordering::SeqCst);
        }
        drop(mine);
        let offer = sig.pending.set().intersection(newly);
        drop(sig);
        if !offer.is_empty() {
            self.retarget(offer);
        }
    }

    /// Wakes other threads that can take one of these shared pending signals.
    pub(crate) fn retarget(&self, offer: SigSet) {
        for t in self.thread_group().tasks() {
            if !std::ptr::eq(&*t, self) && !offer.difference(t.sig.lock().mask).is_empty() {
                t.kick();
            }
        }
    }

    /// Replaces the signal mask until the current call returns or is interrupted
    /// (`ppoll`, `pselect6`, `epoll_pwait`, `sigsuspend`).
    pub fn swap_sigmask_until_return(&self, mask: SigSet) {
        {
            let mut s = self.sig.lock();
            if s.saved_mask.is_none() {
                s.saved_mask = Some(s.mask);
            }
        }
        self.set_sigmask(mask);
        self.attention.store(true, Ordering::SeqCst);
    }
}
