//! Signals (`signal(7)`): pending queues, dispositions, sending, delivery.
//!
//! [`queue`]: what is pending. [`action`]: dispositions. [`send`]: from a sender to the task
//! that takes it. [`deliver`]: what a task does about its signals before it goes back to
//! the guest. [`frame`]: handler frames. [`signalfd`], [`timedwait`]: taking signals without
//! a handler. Lock rank: [`GroupSignals`] (the process' signal lock) is above
//! [`TaskSignals`], which is above [`action::SigHand`]; wake-ups run after all are released.

pub mod action;
pub mod deliver;
pub mod frame;
pub mod info;
pub mod queue;
pub mod send;
pub mod signalfd;
pub mod suspend;
pub mod timedwait;

use abi::signal::{SigInfo, SigSet, Signal, StackT};

use queue::Queue;

/// `SS_DISABLE`: no alternate stack.
pub const SS_DISABLE: i32 = 2;
/// `SS_ONSTACK`: on the alternate stack now.
pub const SS_ONSTACK: i32 = 1;
/// `SS_AUTODISARM`: the alternate stack is forgotten while a handler runs on it.
pub const SS_AUTODISARM: i32 = i32::MIN;

/// Signal state of a thread.
#[derive(Debug)]
pub struct TaskSignals {
    /// Sent to this very thread.
    pub pending: Queue,
    /// Blocked.
    pub mask: SigSet,
    /// The mask to go back to when a call that lent another one ends (`sigsuspend`, `ppoll`).
    pub saved_mask: Option<SigSet>,
    /// What `rt_sigtimedwait` waits for; empty when it does not.
    pub waiting: SigSet,
    /// Alternate stack.
    pub altstack: StackT,
    /// Has to take part in a group stop.
    pub stop_pending: bool,
    /// Takes part in a group stop.
    pub stopped: bool,
}

impl Default for TaskSignals {
    fn default() -> TaskSignals {
        TaskSignals {
            pending: Queue::default(),
            mask: SigSet::EMPTY,
            saved_mask: None,
            waiting: SigSet::EMPTY,
            altstack: StackT::new(0, SS_DISABLE, 0),
            stop_pending: false,
            stopped: false,
        }
    }
}

/// A change of a child's run state that its parent has not waited for yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobEvent {
    /// Stopped by this signal.
    Stopped(Signal),
    /// Continued.
    Continued,
}

/// Signal state of a process.
#[derive(Debug, Default)]
pub struct GroupSignals {
    /// Sent to the process as a whole.
    pub pending: Queue,
    /// Set once the process is ending: the status `wait4(2)` will report.
    pub exit: Option<WaitStatus>,
    /// The thread that dumps core.
    pub dumping: Option<i32>,
    /// The signal of a stop under way or in force.
    pub stop: Option<Signal>,
    /// Threads that have not stopped yet.
    pub stop_left: usize,
    /// All threads are stopped.
    pub stopped: bool,
    /// Not yet reported to the parent.
    pub job_event: Option<JobEvent>,
    /// Protected against signals without a handler (a namespace's init).
    pub unkillable: bool,
}

/// A process' end as `wait4(2)` encodes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitStatus(pub i32);

impl WaitStatus {
    /// Ended by `exit(code)`.
    pub const fn exited(code: i32) -> WaitStatus {
        WaitStatus((code & 0xff) << 8)
    }
    /// Ended by a signal.
    pub const fn killed(signal: Signal, core: bool) -> WaitStatus {
        WaitStatus(signal.raw() as i32 | if core { 0x80 } else { 0 })
    }
    /// The exit code, if it exited.
    pub const fn code(self) -> Option<i32> {
        if self.0 & 0x7f == 0 {
            Some((self.0 >> 8) & 0xff)
        } else {
            None
        }
    }
    /// The signal that ended it.
    pub const fn signal(self) -> Option<Signal> {
        Signal::new((self.0 & 0x7f) as u64)
    }
    /// Whether it would have dumped core.
    pub const fn core(self) -> bool {
        self.0 & 0x80 != 0
    }
}

/// A signal taken from its queue, on its way to a handler.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// The signal.
    pub signal: Signal,
    /// Its information.
    pub info: SigInfo,
}
