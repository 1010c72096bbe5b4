//! The tracee's side: where it stops, and how it goes on.
//!
//! Every stop has the register file at hand: calls are made with it where a tracer wants to
//! see them, and elsewhere it is fetched before the stop is told.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::fs::PollEvents;
use abi::signal::{SigInfo, Signal};
use platform::{Exit, Registers};

use super::{After, Event, How, Kind, Report, TraceStop};
use crate::seccomp::filter::Action;
use crate::signal::action::{SA_NOCLDSTOP, SIG_IGN};
use crate::signal::{Taken, WaitStatus, info, send};
use crate::task::gate::Hooks;
use crate::task::run::{CallState, Deferred, Next, Onward};
use crate::task::{Task, ThreadGroup};
use crate::wait::{OnSignal, Operation, Stop, SysResult};

/// `CLD_TRAPPED`.
const CLD_TRAPPED: i32 = 4;
/// `CLD_STOPPED`.
const CLD_STOPPED: i32 = 5;
/// The trap flag.
const TRAP_FLAG: u64 = 0x100;
/// `PTRACE_O_TRACESYSGOOD`'s mark.
const SYSGOOD: i32 = 0x80;
/// Codes of a call that a signal interrupts, as a tracer sees them.
const ERESTARTSYS: i64 = 512;
const ERESTARTNOINTR: i64 = 513;
const ERESTARTNOHAND: i64 = 514;
const ERESTART_RESTARTBLOCK: i64 = 516;
const NR_RESTART: i64 = abi::nr::restart_syscall as i64;

/// Tells a tracer (or a parent) that `subject` changed its state.
pub(crate) fn notify(group: &ThreadGroup, subject: &Task, code: i32, value: i32) {
    let action = group.sighand().get(Signal::SIGCHLD);
    if action.handler != SIG_IGN && action.flags & SA_NOCLDSTOP == 0 {
        let times = subject.cpu_times().ticks();
        let uid = subject.creds().uid;
        group.post_signal(info::child(
            Signal::SIGCHLD,
            code,
            subject.tid_in(&group.ns),
            uid,
            value,
            times,
        ));
    }
    group.child_events.notify(PollEvents::IN);
}

/// Holds the place of a tracee in a stop; how it goes on is kept beside it.
struct Held;

impl Operation for Held {
    fn step(self: Box<Self>, _t: &Arc<Task>) -> SysResult<i64> {
        Err(Stop::Wait(self))
    }
    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        OnSignal::Hold
    }
    fn uninterruptible(&self) -> bool {
        true
    }
    fn name(&self) -> &'static str {
        "ptrace_stop"
    }
}

/// What a call does after the stop for an event.
type Then = Box<dyn FnOnce(&Arc<Task>) -> SysResult<i64> + Send>;

/// A stop in the middle of a call.
struct EventStop {
    then: Then,
}

impl Operation for EventStop {
    fn step(self: Box<Self>, t: &Arc<Task>) -> SysResult<i64> {
        if t.holds_stop() {
            return Err(Stop::Wait(self));
        }
        (self.then)(t)
    }
    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        OnSignal::Hold
    }
    fn uninterruptible(&self) -> bool {
        true
    }
    fn name(&self) -> &'static str {
        "ptrace_stop"
    }
}

/// The code of a call that waits, were it interrupted now.
fn interrupted_code(call: &CallState) -> i64 {
    // poll, nanosleep, clock_nanosleep, and waits on futexes with a timeout.
    let timed_futex = call.nr == 202 && call.args[3] != 0;
    match call.nr {
        7 | 35 | 230 => ERESTART_RESTARTBLOCK,
        _ if timed_futex => ERESTART_RESTARTBLOCK,
        // pause, rt_sigsuspend, select, pselect6, ppoll, msgsnd, msgrcv.
        34 | 130 | 23 | 270 | 271 | 69 | 70 => ERESTARTNOHAND,
        // epoll_wait, epoll_pwait, epoll_pwait2, rt_sigtimedwait, semop, semtimedop.
        232 | 281 | 441 | 128 | 65 | 220 => i64::from(Errno::EINTR.raw()),
        _ => ERESTARTSYS,
    }
}

fn code_of(class: OnSignal, call: &CallState) -> i64 {
    match class {
        OnSignal::Finish(v) => v.saturating_neg(),
        OnSignal::RestartAlways => ERESTARTNOINTR,
        OnSignal::Restart => ERESTARTSYS,
        _ => interrupted_code(call),
    }
}

impl Task {
    /// Whether the tracer wants to hear of an event.
    pub(crate) fn wants(&self, event: Event) -> bool {
        self.hooked(Hooks::TRACED) && self.ptrace.lock().options.contains(event.option())
    }

    /// Stops for an event in the middle of a call, if the tracer wants it; then goes on
    /// with `then`.
    pub(crate) fn event_stop(
        self: &Arc<Task>,
        event: Event,
        message: u64,
        then: impl FnOnce(&Arc<Task>) -> SysResult<i64> + Send + 'static,
    ) -> SysResult<i64> {
        if !self.wants(event) {
            return then(self);
        }
        if event != Event::Exec && event != Event::Exit {
            self.show_unfinished();
        }
        self.ptrace.lock().message = message;
        let code = event.code(Signal::SIGTRAP);
        let then: Then = Box::new(then);
        if !self.begin_stop_for_tracer(self.plain_stop(Kind::Event, code)) {
            return then(self);
        }
        Box::new(EventStop { then }).step(self)
    }

    /// A call in the middle shows `ENOSYS` as its value.
    fn show_unfinished(&self) {
        let nr = self.call.lock().nr;
        self.ptrace.lock().nr = i64::from(nr as u32 as i32);
        self.change_regs(|r| {
            r.gp.rax = (-i64::from(Errno::ENOSYS.raw())).cast_unsigned();
        });
    }

    /// Changes the registers, if they are at hand.
    pub(crate) fn change_regs(&self, change: impl FnOnce(&mut Registers)) {
        let Ok(ctx) = self.context() else { return };
        if let Some(mut regs) = ctx.regs() {
            change(&mut regs);
            let _: Result<(), platform::PlatformError> = ctx.set_regs(&regs);
        }
    }

    fn plain_stop(&self, kind: Kind, code: i32) -> TraceStop {
        let info = SigInfo::new(Signal::SIGTRAP, code).with_sender(self.tid(), self.creds().uid);
        TraceStop {
            kind,
            code,
            info: Some(info),
            waited: false,
        }
    }

    /// Enters a stop and tells the tracer; false when there is none any more.
    fn begin_stop_for_tracer(self: &Arc<Task>, stop: TraceStop) -> bool {
        let Some(tracer) = self.tracer() else {
            return false;
        };
        {
            let mut tr = self.ptrace.lock();
            if tr.tracer.is_none() || self.doomed.load(Ordering::SeqCst) {
                return false;
            }
            tr.stop = Some(stop);
            (tr.signal, tr.altered, tr.listening) = (0, false, false);
        }
        let job = matches!(stop.kind, Kind::Group) || stop.code >> 8 == Event::Stop as i32;
        let code = if job { CLD_STOPPED } else { CLD_TRAPPED };
        notify(tracer.thread_group(), self, code, stop.code & 0x7f);
        true
    }

    /// Whether a stop still holds; one that listens ends when job control goes on.
    pub(crate) fn holds_stop(&self) -> bool {
        let stopped = self.sig.lock().stopped;
        let mut tr = self.ptrace.lock();
        if self.doomed.load(Ordering::SeqCst) {
            tr.stop = None;
        }
        if tr.stop.is_some() && tr.listening && !stopped {
            tr.last = tr.stop.take();
            tr.listening = false;
            tr.trap = true;
            self.attention.store(true, Ordering::SeqCst);
        }
        tr.stop.is_some()
    }

    /// Stops; how to go on at once, if it did not stay.
    fn stop_for_tracer(self: &Arc<Task>, stop: TraceStop, after: After) -> Option<Onward> {
        if !self.begin_stop_for_tracer(stop) {
            // Nobody took the signal: it is delivered.
            let mut tr = self.ptrace.lock();
            let signal = stop.kind == Kind::Signal;
            tr.signal = if signal { stop.code } else { 0 };
            tr.altered = false;
            drop(tr);
            return self.after_stop(after);
        }
        self.stay(after)
    }

    /// Parks while the stop holds.
    pub(crate) fn stay(self: &Arc<Task>, mut after: After) -> Option<Onward> {
        while self.holds_stop() {
            *self.trace_after.lock() = Some(after);
            self.park.park(Box::new(Held))?;
            after = self.trace_after.lock().take()?;
        }
        self.after_stop(after)
    }

    /// The tracer let it go on.
    fn after_stop(self: &Arc<Task>, after: After) -> Option<Onward> {
        if self.doomed.load(Ordering::SeqCst) {
            return Some(Next::Regs.into());
        }
        match after {
            After::Go(next) => Some(self.went_on(next).into()),
            After::Entry { emulated } => self.after_entry(emulated),
            After::Filtered => self.after_filter(),
            After::Report(report, next) => self.tell(report, next, true),
            After::Signal(taken, next, replay) => self.inject(taken, next, replay),
            After::Trap(next, replay) => {
                self.leave_group_stop();
                let next = self.went_on(next);
                self.go_on(next, replay)
            }
            After::Die(status) => {
                send::begin_exit(self.thread_group(), status);
                Some(Next::Regs.into())
            }
        }
    }

    /// A call the tracee waits in does not go on after its registers were changed.
    fn went_on(self: &Arc<Task>, next: Next) -> Next {
        let (altered, how) = {
            let tr = self.ptrace.lock();
            (tr.altered, tr.how)
        };
        match next {
            Next::Step(mut op) if altered => {
                op.on_signal(self);
                drop(op);
                self.restart_if_told();
                Next::Regs
            }
            Next::Ended(_) | Next::Regs if altered => {
                self.restart_if_told();
                Next::Regs
            }
            Next::Step(op) => {
                self.ptrace.lock().in_call = how == How::Syscall;
                Next::Step(op)
            }
            next => next,
        }
    }

    /// Registers that show an interrupted call make it again, as the kernel's return to the
    /// guest does where no handler runs.
    fn restart_if_told(&self) {
        let nr = self.ptrace.lock().nr;
        let nr = if nr == NR_RESTART {
            i64::try_from(self.call.lock().nr).unwrap_or(-1)
        } else {
            nr
        };
        if nr < 0 {
            return;
        }
        self.change_regs(|r| {
            let code = r.gp.rax.cast_signed().saturating_neg();
            if (ERESTARTSYS..=ERESTART_RESTARTBLOCK).contains(&code) && code != 515 {
                r.gp.rax = nr.cast_unsigned();
                r.gp.rip = r.gp.rip.wrapping_sub(2);
            }
        });
        self.ptrace.lock().nr = -1;
    }

    /// Goes on; a call that was said to have ended is said to begin again.
    fn go_on(self: &Arc<Task>, next: Next, replay: bool) -> Option<Onward> {
        let how = self.ptrace.lock().how;
        if !replay || !matches!(next, Next::Step(_)) {
            return Some(next.into());
        }
        let call = *self.call.lock();
        let again = match interrupted_code(&call) {
            ERESTART_RESTARTBLOCK => NR_RESTART,
            _ => i64::try_from(call.nr).unwrap_or(-1),
        };
        let stop = if how == How::Syscall {
            self.syscall_stop(Kind::Entry)
        } else {
            match self.refiltered(again, call) {
                Some(stop) => stop,
                None => return Some(next.into()),
            }
        };
        self.show_unfinished();
        self.ptrace.lock().nr = again;
        self.stop_for_tracer(stop, After::Go(next))
    }

    /// The stop of a call that is made again, if a filter gives it to the tracer.
    fn refiltered(&self, nr: i64, call: CallState) -> Option<TraceStop> {
        if !self.hooked(Hooks::SECCOMP) || !self.wants(Event::Seccomp) {
            return None;
        }
        let nr = u64::try_from(nr).ok()?;
        let verdict = self.judge(&CallState { nr, ..call })?;
        if verdict.action != Action::Trace {
            return None;
        }
        self.ptrace.lock().message = u64::from(verdict.data);
        let code = Event::Seccomp.code(Signal::SIGTRAP);
        Some(self.plain_stop(Kind::Seccomp(verdict.data), code))
    }

    fn syscall_stop(&self, kind: Kind) -> TraceStop {
        let good = {
            let mut tr = self.ptrace.lock();
            // PTRACE_EVENTMSG_SYSCALL_ENTRY, PTRACE_EVENTMSG_SYSCALL_EXIT.
            tr.message = if kind == Kind::Entry { 1 } else { 2 };
            tr.options.contains(super::Options::TRACESYSGOOD)
        };
        let code = i32::from(Signal::SIGTRAP.raw()) | if good { SYSGOOD } else { 0 };
        self.plain_stop(kind, code)
    }

    /// What an event of the guest means for the tracer's bookkeeping.
    pub(crate) fn traced_event(&self, exit: &Exit) {
        let stepping = {
            let mut tr = self.ptrace.lock();
            match exit {
                Exit::Syscall { nr, .. } => tr.nr = i64::from(*nr as u32 as i32),
                Exit::Interrupted if self.deferred.lock().is_some() => {}
                _ => tr.nr = -1,
            }
            tr.stepping
        };
        if stepping && self.has_regs() {
            self.change_regs(|r| r.gp.eflags &= !TRAP_FLAG);
            self.ptrace.lock().stepping = false;
        }
    }

    /// Sets the trap flag where the tracer steps.
    pub(crate) fn arm_step(&self) {
        if self.ptrace.lock().how.steps() && self.has_regs() {
            self.change_regs(|r| r.gp.eflags |= TRAP_FLAG);
            self.ptrace.lock().stepping = true;
        }
    }

    /// A call of a tracee begins.
    pub(crate) fn traced_call(self: &Arc<Task>, call: CallState) {
        let (how, exits) = {
            let tr = self.ptrace.lock();
            (tr.how, tr.options.contains(super::Options::TRACEEXIT))
        };
        let ends = matches!(call.nr, 60 | 231);
        if (how != How::Cont || exits && ends) && !self.has_regs() {
            return self.gate_with_regs(call);
        }
        self.ptrace.lock().in_call = how.steps();
        if !how.at_calls() {
            return self.serve_filtered(call);
        }
        self.show_unfinished();
        let emulated = how.emulates();
        let stop = self.syscall_stop(Kind::Entry);
        if let Some(on) = self.stop_for_tracer(stop, After::Entry { emulated }) {
            self.proceed_on(on);
        }
    }

    /// The call the registers name now; `None` when the tracer has put an invalid number.
    fn call_of_regs(&self) -> Option<CallState> {
        let nr = self.ptrace.lock().nr;
        let regs = self.context().ok()?.regs()?;
        let g = regs.gp;
        let call = CallState {
            nr: u64::try_from(nr).ok()? & 0xffff_ffff,
            args: [g.rdi, g.rsi, g.rdx, g.r10, g.r8, g.r9],
            ip: g.rip,
        };
        *self.call.lock() = call;
        Some(call)
    }

    fn after_entry(self: &Arc<Task>, emulated: bool) -> Option<Onward> {
        if emulated {
            return Some(Next::Regs.into());
        }
        {
            let mut tr = self.ptrace.lock();
            tr.in_call = tr.how == How::Syscall || tr.how.steps();
        }
        let Some(call) = self.call_of_regs() else {
            return Some(Next::Regs.into());
        };
        self.serve_filtered(call);
        None
    }

    /// A filter gives a call to the tracer; false when there is none that wants it.
    pub(crate) fn filtered_stop(self: &Arc<Task>, call: CallState, data: u16) -> bool {
        if !self.wants(Event::Seccomp) {
            return false;
        }
        if !self.has_regs() {
            self.gate_with_regs(call);
            return true;
        }
        self.show_unfinished();
        self.ptrace.lock().message = u64::from(data);
        let code = Event::Seccomp.code(Signal::SIGTRAP);
        let stop = self.plain_stop(Kind::Seccomp(data), code);
        if let Some(on) = self.stop_for_tracer(stop, After::Filtered) {
            self.proceed_on(on);
        }
        true
    }

    fn after_filter(self: &Arc<Task>) -> Option<Onward> {
        {
            let mut tr = self.ptrace.lock();
            tr.in_call = tr.how == How::Syscall || tr.how.steps();
        }
        let Some(call) = self.call_of_regs() else {
            return Some(Next::Regs.into());
        };
        self.serve_refiltered(call);
        None
    }

    /// Before the guest runs on: the end of a call is told.
    pub(crate) fn before_guest(self: &Arc<Task>, next: Next) -> Option<Onward> {
        let how = {
            let mut tr = self.ptrace.lock();
            if matches!(next, Next::Step(_) | Next::Passthrough) || !tr.in_call {
                return Some(next.into());
            }
            tr.in_call = false;
            tr.how
        };
        if !self.has_regs() || how != How::Syscall && !how.steps() {
            return Some(next.into());
        }
        if how.steps() {
            let ip = self.context().ok().and_then(|c| c.regs());
            let ip = ip.map_or(0, |r| r.gp.rip);
            send::force(self, info::fault(Signal::SIGTRAP, info::TRAP_BRKPT, ip));
            return Some(next.into());
        }
        let next = self.show_result(next);
        self.stop_for_tracer(self.syscall_stop(Kind::Exit), After::Go(next))
    }

    /// Puts the result of a call into the registers a tracer sees.
    fn show_result(&self, next: Next) -> Next {
        let call = *self.call.lock();
        let set = |v: i64| self.change_regs(|r| r.gp.rax = v.cast_unsigned());
        match next {
            Next::Return(v) => {
                set(v);
                Next::Regs
            }
            Next::Ended(class) => {
                set(code_of(class, &call).saturating_neg());
                Next::Ended(class)
            }
            Next::Step(op) => {
                set(-interrupted_code(&call));
                Next::Step(op)
            }
            next => next,
        }
    }

    /// Tells the tracer of something that came meanwhile.
    pub(crate) fn report(self: &Arc<Task>, report: Report, next: Next) -> Option<Onward> {
        if !self.has_regs() {
            let call = *self.call.lock();
            let (value, next) = match next {
                Next::Return(v) => (v, Next::Regs),
                Next::Ended(class) => (-i64::from(Errno::EINTR.raw()), Next::Ended(class)),
                next => (call.nr.cast_signed(), next),
            };
            let deferred = Deferred {
                report: Some((report, next)),
                ..Deferred::default()
            };
            self.fetch(value, deferred);
            return None;
        }
        if matches!(next, Next::Step(_) | Next::Ended(_)) {
            self.ptrace.lock().nr = i64::from(self.call.lock().nr as u32 as i32);
        }
        let next = self.show_result(next);
        let ended = {
            let mut tr = self.ptrace.lock();
            let waits = matches!(next, Next::Step(_));
            let ended = waits && tr.in_call && tr.how == How::Syscall;
            if ended {
                tr.in_call = false;
            }
            ended
        };
        if ended {
            let stop = self.syscall_stop(Kind::Exit);
            return self.stop_for_tracer(stop, After::Report(report, next));
        }
        // A call that is interrupted begins again when the guest runs on.
        let replay = matches!(next, Next::Step(_));
        self.tell(report, next, replay)
    }

    fn tell(self: &Arc<Task>, report: Report, next: Next, replay: bool) -> Option<Onward> {
        match report {
            Report::Signal(taken) => {
                let stop = TraceStop {
                    kind: Kind::Signal,
                    code: i32::from(taken.signal.raw()),
                    info: Some(taken.info),
                    waited: false,
                };
                self.stop_for_tracer(stop, After::Signal(taken, next, replay))
            }
            Report::Trap => {
                let stop = self.trap_stop();
                self.stop_for_tracer(stop, After::Trap(next, replay))
            }
        }
    }

    /// The stop for job control or the tracer's demand.
    fn trap_stop(&self) -> TraceStop {
        let job = {
            let sig = self.thread_group().signals.lock();
            let stopped = self.sig.lock().stopped;
            stopped.then(|| sig.stop.unwrap_or(Signal::SIGSTOP))
        };
        let mut tr = self.ptrace.lock();
        tr.trap = false;
        let seized = tr.seized;
        drop(tr);
        let signal = job.unwrap_or(Signal::SIGTRAP);
        if seized {
            let code = Event::Stop.code(signal);
            let mut stop = self.plain_stop(Kind::Event, code);
            if let Some(i) = &mut stop.info {
                i.signo = i32::from(signal.raw());
            }
            return stop;
        }
        TraceStop {
            kind: Kind::Group,
            code: i32::from(signal.raw()),
            info: None,
            waited: false,
        }
    }

    /// The tracer let it run although its process is stopped.
    fn leave_group_stop(&self) {
        if self.hooked(Hooks::TRACED) {
            let mut s = self.sig.lock();
            (s.stopped, s.stop_pending) = (false, false);
        }
    }

    /// Goes on with the signal the tracer decided on.
    fn inject(self: &Arc<Task>, taken: Taken, next: Next, replay: bool) -> Option<Onward> {
        let (nr, told) = {
            let tr = self.ptrace.lock();
            (tr.signal, tr.last.and_then(|s| s.info))
        };
        let next = self.went_on(next);
        let Some(signal) = u64::try_from(nr).ok().and_then(Signal::new) else {
            return self.go_on(next, replay);
        };
        let info = if signal == taken.signal {
            told.unwrap_or(taken.info)
        } else {
            let (pid, uid) = self
                .tracer()
                .map_or((0, 0), |t| (t.tid_in(self.pid_ns()), t.creds().uid));
            info::user(signal, pid, uid)
        };
        if self.sig.lock().mask.contains(signal) {
            self.sig.lock().pending.push(signal, Some(info));
            self.attention.store(true, Ordering::SeqCst);
            return self.go_on(next, replay);
        }
        Some(Onward {
            next,
            ready: Some(Taken { signal, info }),
        })
    }

    /// A signal ends it: the tracer may look first.
    pub(crate) fn dying_stop(self: &Arc<Task>, status: WaitStatus) -> Option<Onward> {
        self.ptrace.lock().message = u64::from(status.0.cast_unsigned());
        let code = Event::Exit.code(Signal::SIGTRAP);
        let stop = self.plain_stop(Kind::Event, code);
        self.stop_for_tracer(stop, After::Die(status))
    }
}
