//! Process trace (`ptrace(2)`).
//!
//! A tracee carries a [`Trace`]; its tracer's process lists it among [`Tracees`], by which
//! `wait4(2)` finds its stops. A stop is a parked task with [`Trace::stop`] set: [`stop`]
//! makes it, [`control`] is what the tracer does meanwhile, [`regs`] shows it registers.
//! Lock rank: a task's `ptrace` and a process' `tracees` are leaves.

pub mod access;
pub mod control;
pub mod regs;
pub mod stop;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use abi::signal::{SigInfo, Signal};

use crate::signal::WaitStatus;
use crate::task::gate::Hooks;
use crate::task::run::Next;
use crate::task::times::CpuTimes;
use crate::task::{Pid, Task, ThreadGroup};

bitflags::bitflags! {
    /// `PTRACE_O_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Options: u64 {
        /// Stops at calls are marked by bit 7.
        const TRACESYSGOOD = 1;
        /// Stop at `fork`.
        const TRACEFORK = 1 << 1;
        /// Stop at `vfork`.
        const TRACEVFORK = 1 << 2;
        /// Stop at `clone`.
        const TRACECLONE = 1 << 3;
        /// Stop at `execve`.
        const TRACEEXEC = 1 << 4;
        /// Stop when a `vfork` child is off.
        const TRACEVFORKDONE = 1 << 5;
        /// Stop before the end.
        const TRACEEXIT = 1 << 6;
        /// Stop where a filter asks for it.
        const TRACESECCOMP = 1 << 7;
        /// Tracees die with their tracer.
        const EXITKILL = 1 << 20;
        /// Filters do not count (refused here).
        const SUSPEND_SECCOMP = 1 << 21;
    }
}

/// `PTRACE_EVENT_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in ptrace(2)")]
#[repr(u8)]
pub enum Event {
    Fork = 1,
    Vfork = 2,
    Clone = 3,
    Exec = 4,
    VforkDone = 5,
    Exit = 6,
    Seccomp = 7,
    Stop = 128,
}

impl Event {
    /// The option that asks for it.
    fn option(self) -> Options {
        match self {
            Event::Fork => Options::TRACEFORK,
            Event::Vfork => Options::TRACEVFORK,
            Event::Clone => Options::TRACECLONE,
            Event::Exec => Options::TRACEEXEC,
            Event::VforkDone => Options::TRACEVFORKDONE,
            Event::Exit => Options::TRACEEXIT,
            Event::Seccomp => Options::TRACESECCOMP,
            Event::Stop => Options::empty(),
        }
    }

    /// The stop's code, with its signal below.
    pub(crate) fn code(self, signal: Signal) -> i32 {
        i32::from(signal.raw()) | (self as i32) << 8
    }
}

/// How a tracee runs until its next stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum How {
    /// `PTRACE_CONT`.
    #[default]
    Cont,
    /// `PTRACE_SYSCALL`: to the next entry or exit of a call.
    Syscall,
    /// `PTRACE_SINGLESTEP`.
    Step,
    /// `PTRACE_SYSEMU`: to the next call, which is not executed.
    Sysemu,
    /// `PTRACE_SYSEMU_SINGLESTEP`.
    SysemuStep,
}

impl How {
    fn steps(self) -> bool {
        matches!(self, How::Step | How::SysemuStep)
    }
    /// Whether it stops where a call begins.
    pub(crate) fn at_calls(self) -> bool {
        matches!(self, How::Syscall | How::Sysemu | How::SysemuStep)
    }
    fn emulates(self) -> bool {
        matches!(self, How::Sysemu | How::SysemuStep)
    }
}

/// Where in its life a tracee is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A call begins.
    Entry,
    /// A call has ended.
    Exit,
    /// A filter asked for the tracer; `SECCOMP_RET_DATA`.
    Seccomp(u16),
    /// A signal is about to be delivered.
    Signal,
    /// Job control stopped it.
    Group,
    /// Anything else.
    Event,
}

/// A stop.
#[derive(Clone, Copy, Debug)]
pub struct TraceStop {
    /// Where.
    pub kind: Kind,
    /// What `wait4(2)` tells above its `0x7f`.
    pub code: i32,
    /// `PTRACE_GETSIGINFO`; `None` where there is none.
    pub info: Option<SigInfo>,
    /// The tracer has waited for it.
    pub waited: bool,
}

/// What a tracee knows of its tracer.
#[derive(Debug, Default)]
pub struct Trace {
    /// The tracing thread; `None`: not traced.
    pub(crate) tracer: Option<Weak<Task>>,
    /// By `PTRACE_SEIZE`.
    pub(crate) seized: bool,
    pub(crate) options: Options,
    pub(crate) how: How,
    pub(crate) stop: Option<TraceStop>,
    /// The stop it last went on from.
    pub(crate) last: Option<TraceStop>,
    /// The signal the tracer lets it go on with.
    pub(crate) signal: i32,
    /// The tracer has changed registers in this stop.
    pub(crate) altered: bool,
    /// `PTRACE_GETEVENTMSG`.
    pub(crate) message: u64,
    /// Number of the call it is in or comes from, -1 for none (`orig_rax`).
    pub(crate) nr: i64,
    /// It is to stop with `PTRACE_EVENT_STOP`.
    pub(crate) trap: bool,
    /// `PTRACE_LISTEN`.
    pub(crate) listening: bool,
    /// A call whose end is to be told.
    pub(crate) in_call: bool,
    /// The trap flag is the tracer's.
    pub(crate) stepping: bool,
}

/// How a tracee goes on after a stop.
#[derive(Debug)]
pub(crate) enum After {
    /// With this.
    Go(Next),
    /// With the call its registers name, or without it (`PTRACE_SYSEMU`).
    Entry {
        /// The call is not executed.
        emulated: bool,
    },
    /// With the call its registers name, which a filter gave to the tracer.
    Filtered,
    /// A call it waits in was said to have ended; now comes what ended it.
    Report(Report, Next),
    /// With the signal, unless the tracer says otherwise; whether a call that was said to
    /// have ended goes on.
    Signal(crate::signal::Taken, Next, bool),
    /// As before a trap; the same.
    Trap(Next, bool),
    /// Dies by a signal.
    Die(WaitStatus),
}

/// What a tracee stops for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Report {
    /// A signal.
    Signal(crate::signal::Taken),
    /// The tracer's demand, or a stop by job control.
    Trap,
}

/// A tracee that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Dead {
    pub(crate) id: Arc<Pid>,
    pub(crate) uid: u32,
    pub(crate) status: WaitStatus,
    pub(crate) times: CpuTimes,
}

/// The tracees of a process' threads.
#[derive(Default)]
pub struct Tracees {
    pub(crate) alive: Vec<Weak<Task>>,
    /// Not waited for yet; those whose parent is the tracer's process are not here.
    pub(crate) dead: Vec<Dead>,
}

/// Most ended tracees kept for a tracer that does not wait.
const MAX_DEAD: usize = 1 << 12;

impl Task {
    /// The thread that traces it.
    pub fn tracer(&self) -> Option<Arc<Task>> {
        if !self.hooked(Hooks::TRACED) {
            return None;
        }
        let tracer = self.ptrace.lock().tracer.clone();
        tracer.and_then(|t| t.upgrade())
    }

    /// Whether it is stopped for its tracer.
    pub fn in_trace_stop(&self) -> bool {
        self.hooked(Hooks::TRACED) && self.ptrace.lock().stop.is_some()
    }

    /// Becomes the tracee of `tracer`.
    pub(crate) fn set_tracer(&self, tracer: &Arc<Task>, seized: bool, options: Options) {
        let mut tr = self.ptrace.lock();
        *tr = Trace {
            tracer: Some(tracer.weak()),
            seized,
            options,
            nr: -1,
            ..Trace::default()
        };
        self.hooks.fetch_or(Hooks::TRACED.bits(), Ordering::SeqCst);
        drop(tr);
        // A tracer sees every call.
        self.mm().disable_patching();
        let mut tracees = tracer.thread_group().tracees.lock();
        tracees.alive.push(self.weak());
    }

    /// Is nobody's tracee any more; whether it was stopped.
    pub(crate) fn clear_tracer(&self) -> bool {
        let old = {
            let mut tr = self.ptrace.lock();
            self.hooks
                .fetch_and(!Hooks::TRACED.bits(), Ordering::SeqCst);
            // What the tracer left it with goes for the stop it leaves now.
            let left = Trace {
                nr: tr.nr,
                last: tr.stop.or(tr.last),
                signal: tr.signal,
                altered: tr.altered,
                ..Trace::default()
            };
            std::mem::replace(&mut *tr, left)
        };
        if let Some(tracer) = old.tracer.and_then(|t| t.upgrade()) {
            let mut tracees = tracer.thread_group().tracees.lock();
            tracees
                .alive
                .retain(|t| !std::ptr::eq(t.as_ptr(), self) && t.strong_count() > 0);
        }
        old.stop.is_some()
    }

    /// A child is traced as its parent is, if the tracer asked for it. Called before it
    /// runs.
    pub(crate) fn inherit_tracer(self: &Arc<Task>, child: &Arc<Task>, event: Event) {
        let (seized, options) = {
            let tr = self.ptrace.lock();
            if !tr.options.contains(event.option()) {
                return;
            }
            (tr.seized, tr.options)
        };
        let Some(tracer) = self.tracer() else { return };
        child.set_tracer(&tracer, seized, options);
        if seized {
            child.ptrace.lock().trap = true;
        } else {
            let info = SigInfo::new(Signal::SIGSTOP, 0);
            child.sig.lock().pending.push(Signal::SIGSTOP, Some(info));
        }
        child.attention.store(true, Ordering::SeqCst);
    }

    /// The thread ends: its tracees go free or die, its own tracer learns of it.
    pub(crate) fn end_tracing(self: &Arc<Task>, status: WaitStatus) {
        let mine: Vec<_> = {
            let tracees = self.thread_group().tracees.lock();
            tracees.alive.iter().filter_map(Weak::upgrade).collect()
        };
        for t in mine {
            if t.tracer().is_some_and(|by| Arc::ptr_eq(&by, self)) {
                let kill = t.ptrace.lock().options.contains(Options::EXITKILL);
                t.detach(0);
                if kill {
                    t.thread_group().kill();
                }
            }
        }
        if !self.hooked(Hooks::TRACED) {
            return;
        }
        // The leader is told of when its whole process has ended.
        if self.is_leader() {
            return;
        }
        self.tell_death(status);
    }

    /// Tells the tracer that the thread, or as its leader the process, has ended.
    pub(crate) fn tell_death(self: &Arc<Task>, status: WaitStatus) {
        let Some(tracer) = self.tracer() else { return };
        self.clear_tracer();
        let group = tracer.thread_group();
        let parent = self.thread_group().parent();
        if self.is_leader() && parent.is_some_and(|p| Arc::ptr_eq(&p, group)) {
            // It hears of its child anyway.
            return;
        }
        {
            let mut tracees = group.tracees.lock();
            if tracees.dead.len() < MAX_DEAD {
                tracees.dead.push(Dead {
                    id: self.id(),
                    uid: self.creds().uid,
                    status,
                    times: self.cpu_times(),
                });
            }
        }
        let (code, value) = status.as_child();
        stop::notify(group, self, code, value);
    }
}

impl ThreadGroup {
    /// Whether its stops are told to a tracer in its parent's process, not to the parent.
    pub(crate) fn traced_by_parent(&self) -> bool {
        let tracer = self.main_task().and_then(|t| t.tracer());
        let (Some(tracer), Some(parent)) = (tracer, self.parent()) else {
            return false;
        };
        Arc::ptr_eq(tracer.thread_group(), &parent)
    }
}
