//! The task loop: from an event of the guest to its resumption.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::signal::Signal;
use platform::{Exit, Resume};

use super::gate::Hooks;
use super::{TRAPPED, Task};
use crate::ptrace::Report;
use crate::signal::deliver::Flow;
use crate::signal::{Taken, WaitStatus, send};
use crate::wait::{OnSignal, Operation, Stop, SysResult};

/// The system call a task is in.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallState {
    /// Number.
    pub nr: u64,
    /// Arguments as trapped.
    pub args: [u64; 6],
    /// Address after the instruction.
    pub ip: u64,
}

/// The table of system calls, given to the kernel by the crate above.
pub trait Dispatcher: Send + Sync {
    /// Serves a call: decodes, runs the handler.
    fn dispatch(&self, t: &Arc<Task>, nr: u64, args: &[u64; 6]) -> SysResult<i64>;
}

/// What a task does next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Goes back to the guest with this value.
    Return(i64),
    /// Goes back to the guest with the registers as they are.
    Regs,
    /// Lets the host execute the call.
    Passthrough,
    /// Steps its operation.
    Step(Box<dyn Operation>),
    /// Its call was ended for a signal.
    Ended(OnSignal),
}

/// How a task goes on, and the signal it goes on with.
#[derive(Debug)]
pub(crate) struct Onward {
    pub(crate) next: Next,
    /// Taken from its queue, to be acted on first.
    pub(crate) ready: Option<Taken>,
}

impl From<Next> for Onward {
    fn from(next: Next) -> Onward {
        Onward { next, ready: None }
    }
}

/// A call to be made again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restart {
    /// Its number.
    pub(crate) nr: u64,
    /// Where the guest stands after it.
    pub(crate) ip: u64,
}

/// What is done when the register file comes with an interruption.
#[derive(Debug, Default)]
pub(crate) struct Deferred {
    /// A signal to deliver.
    pub(crate) signal: Option<Taken>,
    /// The call to restart.
    pub(crate) restart: Option<Restart>,
    /// A call to serve, which needs the registers.
    pub(crate) recall: Option<CallState>,
    /// A call that still has to pass what watches the task.
    pub(crate) gated: Option<CallState>,
    /// The signal it dumps core for.
    pub(crate) core: Option<Taken>,
    /// It only had to have its registers at hand.
    pub(crate) hold: Option<Next>,
    /// What a tracer is to be told.
    pub(crate) report: Option<(Report, Next)>,
}

/// So many calls without a wait show that a task is busy by itself.
const BUSY_STREAK: u32 = 128;
/// [`Task::streak`] of a task that has got a worker of its own choice.
const DEALT: u32 = u32::MAX;

/// Holds the place of a stopped task; how it goes on is kept beside it.
struct Stopped;

impl Operation for Stopped {
    fn step(self: Box<Self>, _t: &Arc<Task>) -> SysResult<i64> {
        Err(Stop::Wait(self))
    }
    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        OnSignal::Hold
    }
    fn name(&self) -> &'static str {
        "do_signal_stop"
    }
}

impl From<SysResult<i64>> for Outcome {
    fn from(result: SysResult<i64>) -> Outcome {
        match result {
            Ok(v) => Outcome::Next(Next::Return(v)),
            Err(Stop::Errno(e)) => Outcome::Next(Next::Return(-i64::from(e.raw()))),
            Err(Stop::Regs) => Outcome::Next(Next::Regs),
            Err(Stop::Passthrough) => Outcome::Next(Next::Passthrough),
            Err(Stop::Gone) => Outcome::Gone,
            Err(Stop::Wait(op)) => Outcome::Wait(op),
        }
    }
}

/// What came of a handler or a step.
pub(crate) enum Outcome {
    Next(Next),
    Wait(Box<dyn Operation>),
    Gone,
}

/// What the tracer is told of a call that a signal's handler comes before (`ERESTARTSYS`).
const RESTARTED: i64 = -512;

impl Task {
    /// Acts on an event of this task's guest thread.
    pub fn on_event(self: &Arc<Task>, exit: Exit) {
        if let Exit::Gone { signo } = exit {
            return self.on_gone(signo);
        }
        self.park.enter();
        if self.hooked(Hooks::TRACED) {
            self.traced_event(&exit);
        }
        match exit {
            Exit::Syscall { nr, args, ip } => self.on_syscall(CallState { nr, args, ip }),
            Exit::ForeignSyscall { .. } => {
                self.proceed(Next::Return(-i64::from(Errno::ENOSYS.raw())));
            }
            Exit::Fault { addr, access, kind } => {
                self.on_fault(addr, access, kind);
                self.proceed(Next::Regs);
            }
            Exit::Exception {
                vector,
                error,
                addr,
                signo,
                code,
            } => {
                self.on_exception(vector, error, addr, (signo, code));
                self.proceed(Next::Regs);
            }
            Exit::Interrupted => self.on_interrupted(),
            Exit::Gone { .. } => {}
        }
    }

    /// A task starts with its parent's worker, because the two will likely wait for each
    /// other. One that calls on and on without waiting gets a worker dealt, once.
    fn count_call(&self) {
        let streak = self.streak.load(Ordering::Relaxed);
        if streak == DEALT {
            return;
        }
        let streak = streak.saturating_add(1);
        if streak < BUSY_STREAK {
            self.streak.store(streak, Ordering::Relaxed);
            return;
        }
        self.streak.store(DEALT, Ordering::Relaxed);
        if let Ok(ctx) = self.context() {
            ctx.set_worker(self.kernel.deal());
        }
    }

    /// It waits: its streak of calls ends.
    fn count_wait(&self) {
        if self.streak.load(Ordering::Relaxed) != DEALT {
            self.streak.store(0, Ordering::Relaxed);
        }
    }

    fn on_syscall(self: &Arc<Task>, call: CallState) {
        self.count_call();
        // A register file that was asked for did not come before the next call: the signal
        // goes back to its queue.
        if let Some(Deferred {
            signal: Some(taken),
            ..
        }) = self.take_deferred()
        {
            self.put_back(taken);
        }
        *self.call.lock() = call;
        if self.hooks.load(Ordering::Relaxed) != 0 {
            return self.pass_gate(call);
        }
        self.with_regs(call);
    }

    /// Serves a call, with the registers at hand if it needs them.
    pub(super) fn with_regs(self: &Arc<Task>, call: CallState) {
        let trapped = TRAPPED.iter().any(|&n| u64::from(n) == call.nr);
        if trapped && !self.has_regs() {
            let deferred = Deferred {
                recall: Some(call),
                ..Deferred::default()
            };
            return self.fetch(call.nr.cast_signed(), deferred);
        }
        self.serve(call);
    }

    /// Whether the register file is at hand.
    pub(crate) fn has_regs(&self) -> bool {
        self.context().is_ok_and(|c| c.regs().is_some())
    }

    pub(super) fn serve(self: &Arc<Task>, call: CallState) {
        if let Some(tracer) = &self.kernel.tracer {
            self.traced.store(true, Ordering::Relaxed);
            tracer.enter(self, call.nr, &call.args);
        }
        let result = if self.may_patch(call.nr) {
            self.serve_patchable(call)
        } else {
            self.kernel.dispatcher.dispatch(self, call.nr, &call.args)
        };
        self.settle(result);
    }

    fn on_interrupted(self: &Arc<Task>) {
        self.leave_thunk();
        match self.take_deferred() {
            Some(Deferred {
                recall: Some(call), ..
            }) => self.serve(call),
            Some(Deferred {
                gated: Some(call), ..
            }) => self.pass_gate(call),
            Some(Deferred {
                core: Some(taken), ..
            }) => self.proceed(Next::Step(self.begin_dump(taken))),
            Some(Deferred {
                hold: Some(next), ..
            }) => self.proceed(next),
            Some(Deferred {
                report: Some((report, next)),
                ..
            }) => {
                if let Some(on) = self.report(report, next) {
                    self.proceed_on(on);
                }
            }
            Some(deferred) => {
                self.deliver_deferred(deferred);
                self.proceed(Next::Regs);
            }
            None => self.proceed(Next::Regs),
        }
    }

    fn take_deferred(&self) -> Option<Deferred> {
        self.deferred.lock().take()
    }

    /// The guest thread died without being asked to.
    fn on_gone(self: &Arc<Task>, signo: u8) {
        let signal = Signal::new(u64::from(signo)).unwrap_or(Signal::SIGKILL);
        tracing::debug!(tid = self.tid(), %signo, "guest thread gone");
        send::begin_exit(self.thread_group(), WaitStatus::killed(signal, false));
        if self.park.reenter() {
            self.exit_doomed();
        }
    }

    /// Lets a new task run for the first time.
    pub(crate) fn start(self: &Arc<Task>) {
        self.proceed(Next::Regs);
    }

    /// Steps the parked operation; called by the worker that claimed the task.
    pub fn run_claimed(self: &Arc<Task>) {
        let op = self.park.take();
        let traced = self.trace_after.lock().take();
        if let Some(after) = traced {
            if let Some(on) = self.stay(after) {
                self.proceed_on(on);
            }
            return;
        }
        let stopped = self.stopped_next.lock().take();
        match (stopped, op) {
            (Some(next), _) => self.proceed(next),
            (None, Some(op)) => self.proceed(Next::Step(op)),
            (None, None) => self.proceed(Next::Regs),
        }
    }

    /// Ends, parks or resumes after a handler.
    pub(super) fn settle(self: &Arc<Task>, result: SysResult<i64>) {
        if let Some(next) = self.outcome(result) {
            self.proceed(next);
        }
    }

    /// Parks if the result says so; `None` when there is nothing left to do now.
    fn outcome(self: &Arc<Task>, result: SysResult<i64>) -> Option<Next> {
        match Outcome::from(result) {
            Outcome::Next(next) => Some(next),
            Outcome::Gone => None,
            Outcome::Wait(op) => {
                self.count_wait();
                if self.attention.load(Ordering::SeqCst) {
                    return Some(Next::Step(op));
                }
                self.wait_in(op)
            }
        }
    }

    /// Goes on with `next`, after looking at what demands attention, until the guest runs,
    /// an operation is parked, or the task has exited.
    pub(crate) fn proceed(self: &Arc<Task>, next: Next) {
        self.proceed_on(next.into());
    }

    /// The same, with a signal in hand.
    pub(crate) fn proceed_on(self: &Arc<Task>, on: Onward) {
        let Onward {
            mut next,
            mut ready,
        } = on;
        loop {
            if self.hooked(Hooks::TRACED) && ready.is_none() {
                match self.before_guest(next) {
                    Some(on) => Onward { next, ready } = on,
                    None => return,
                }
            }
            let looks = self.attention.load(Ordering::SeqCst) || ready.is_some();
            if looks && !matches!(next, Next::Passthrough) {
                match self.look(next, ready.take()) {
                    Flow::Go(n) => next = n,
                    Flow::Hold(n) => match self.hold_here(n) {
                        Some(n) => {
                            next = n;
                            continue;
                        }
                        None => return,
                    },
                    Flow::Again(n) => {
                        next = n;
                        continue;
                    }
                    Flow::Die => return self.exit_doomed(),
                    Flow::Gone => return,
                    Flow::Fetch(v, deferred) => {
                        let value = match deferred.restart {
                            Some(_) => RESTARTED,
                            None => v,
                        };
                        self.trace_end(Resume::Return(value));
                        return self.fetch(v, deferred);
                    }
                    Flow::Report(report, n) => match self.report(report, n) {
                        Some(on) => {
                            Onward { next, ready } = on;
                            continue;
                        }
                        None => return,
                    },
                    Flow::Dying(status) => match self.dying_stop(status) {
                        Some(on) => {
                            Onward { next, ready } = on;
                            continue;
                        }
                        None => return,
                    },
                    Flow::Stopped(n) => match self.stop_here(n) {
                        Some(n) => {
                            next = n;
                            continue;
                        }
                        None => return,
                    },
                }
            }
            let how = match next {
                Next::Step(op) => match self.step(op) {
                    Some(n) => {
                        next = n;
                        continue;
                    }
                    None => return,
                },
                Next::Return(v) => Resume::Return(v),
                Next::Ended(_) => Resume::Return(-i64::from(Errno::EINTR.raw())),
                Next::Regs => Resume::Regs,
                Next::Passthrough => Resume::Passthrough,
            };
            self.trace_end(how);
            match self.resume(how) {
                Some(n) => next = n,
                None => return,
            }
        }
    }

    /// Parks an operation; `Some` when it was woken meanwhile.
    fn wait_in(self: &Arc<Task>, op: Box<dyn Operation>) -> Option<Next> {
        self.account.wait();
        self.park.park(op).map(Next::Step)
    }

    /// Steps an operation and parks it if it waits on. A signal that came meanwhile is
    /// looked at first.
    fn step(self: &Arc<Task>, op: Box<dyn Operation>) -> Option<Next> {
        match Outcome::from(op.step(self)) {
            Outcome::Next(next) => Some(next),
            Outcome::Gone => None,
            Outcome::Wait(op) => self.wait_in(op),
        }
    }

    /// Parks a stopped task; `Some` when it was continued at once.
    fn stop_here(self: &Arc<Task>, next: Next) -> Option<Next> {
        *self.stopped_next.lock() = Some(next);
        self.park.park(Box::new(Stopped))?;
        self.stopped_next.lock().take()
    }

    /// Stands still with the registers at hand, while another thread dumps core.
    fn hold_here(self: &Arc<Task>, next: Next) -> Option<Next> {
        if self.has_regs() {
            self.hold_for_dump();
            return self.stop_here(next);
        }
        let (value, next) = match next {
            Next::Return(v) => (v, Next::Regs),
            next => (self.call.lock().nr.cast_signed(), next),
        };
        let deferred = Deferred {
            hold: Some(next),
            ..Deferred::default()
        };
        self.fetch(value, deferred);
        None
    }

    /// Brings the register file: resumes with an interruption pending.
    pub(crate) fn fetch(self: &Arc<Task>, value: i64, deferred: Deferred) {
        *self.deferred.lock() = Some(deferred);
        let Ok(ctx) = self.context() else { return };
        ctx.interrupt();
        self.park.leave();
        if ctx.resume(Resume::Return(value)).is_err() && self.park.reenter() {
            self.lost();
        }
    }

    /// Tells the tracer how the call in hand ended, once.
    fn trace_end(self: &Arc<Task>, how: Resume) {
        let Some(tracer) = &self.kernel.tracer else {
            return;
        };
        if !self.traced.swap(false, Ordering::Relaxed) {
            return;
        }
        let result = match how {
            Resume::Return(v) => match u16::try_from(v.checked_neg().unwrap_or(0)) {
                Ok(e @ 1..=4095) => Err(Errno::from_raw(i32::from(e))),
                _ => Ok(v),
            },
            Resume::Regs | Resume::Passthrough => Ok(0),
        };
        let call = *self.call.lock();
        tracer.leave(self, call.nr, &call.args, result);
    }

    /// Resumes the guest, unless something came to look at in the last moment.
    fn resume(self: &Arc<Task>, how: Resume) -> Option<Next> {
        let Ok(ctx) = self.context() else { return None };
        let how = self.passable(how);
        if self.hooked(Hooks::TRACED) {
            self.arm_step();
        }
        self.park.leave();
        if self.attention.load(Ordering::SeqCst) {
            if how == Resume::Passthrough {
                ctx.interrupt();
            } else if self.park.reenter() {
                return Some(match how {
                    Resume::Return(v) => Next::Return(v),
                    _ => Next::Regs,
                });
            }
        }
        if ctx.resume(how).is_err() && self.park.reenter() {
            self.lost();
        }
        None
    }

    /// The guest thread is dead although nobody has ended it.
    fn lost(self: &Arc<Task>) {
        send::begin_exit(
            self.thread_group(),
            WaitStatus::killed(Signal::SIGKILL, false),
        );
        self.exit_doomed();
    }
}
