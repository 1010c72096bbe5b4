//! Dispositions (`sigaction(2)`) and default actions (`signal(7)`).

use std::sync::Arc;

use abi::signal::{SigAction, SigSet, Signal};

use crate::sync::Mutex;

/// Default disposition.
pub const SIG_DFL: u64 = 0;
/// Ignored.
pub const SIG_IGN: u64 = 1;

/// Set with a default action that nobody can keep from being taken, not even a tracer.
pub const SA_IMMUTABLE: u64 = 0x0080_0000;
/// `SA_NOCLDSTOP`.
pub const SA_NOCLDSTOP: u64 = 1;
/// `SA_NOCLDWAIT`.
pub const SA_NOCLDWAIT: u64 = 2;
/// `SA_SIGINFO`.
pub const SA_SIGINFO: u64 = 4;
/// `SA_RESTORER`.
pub const SA_RESTORER: u64 = 0x0400_0000;
/// `SA_ONSTACK`.
pub const SA_ONSTACK: u64 = 0x0800_0000;
/// `SA_RESTART`.
pub const SA_RESTART: u64 = 0x1000_0000;
/// `SA_NODEFER`.
pub const SA_NODEFER: u64 = 0x4000_0000;
/// `SA_RESETHAND`.
pub const SA_RESETHAND: u64 = 0x8000_0000;
/// Flags the kernel knows (`SA_EXPOSE_TAGBITS`, 0x800, changes nothing here); others are
/// cleared, which is how a program probes for them.
pub const SA_KNOWN: u64 = SA_NOCLDSTOP
    | SA_NOCLDWAIT
    | SA_SIGINFO
    | SA_RESTORER
    | SA_ONSTACK
    | SA_RESTART
    | SA_NODEFER
    | SA_RESETHAND
    | 0x800;

/// What a signal does by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// Ends the process.
    Terminate,
    /// Ends it and dumps core.
    Core,
    /// Nothing.
    Ignore,
    /// Stops it.
    Stop,
}

/// The default action of a signal.
pub fn default_of(signal: Signal) -> Default {
    match signal {
        Signal::SIGCHLD | Signal::SIGCONT | Signal::SIGURG | Signal::SIGWINCH => Default::Ignore,
        Signal::SIGSTOP | Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU => Default::Stop,
        Signal::SIGQUIT
        | Signal::SIGILL
        | Signal::SIGTRAP
        | Signal::SIGABRT
        | Signal::SIGBUS
        | Signal::SIGFPE
        | Signal::SIGSEGV
        | Signal::SIGXCPU
        | Signal::SIGXFSZ
        | Signal::SIGSYS => Default::Core,
        _ => Default::Terminate,
    }
}

/// The four signals that stop.
pub const STOPS: SigSet = SigSet(
    SigSet::of(Signal::SIGSTOP).0
        | SigSet::of(Signal::SIGTSTP).0
        | SigSet::of(Signal::SIGTTIN).0
        | SigSet::of(Signal::SIGTTOU).0,
);

/// Dispositions of a process; shared by `CLONE_SIGHAND`. Lock rank: leaf.
#[derive(Debug)]
pub struct SigHand {
    actions: Mutex<[SigAction; 64]>,
}

impl std::default::Default for SigHand {
    fn default() -> SigHand {
        SigHand {
            actions: Mutex::new([SigAction::default(); 64]),
        }
    }
}

impl SigHand {
    /// A copy (`fork`).
    pub fn duplicate(&self) -> Arc<SigHand> {
        Arc::new(SigHand {
            actions: Mutex::new(*self.actions.lock()),
        })
    }

    /// What `execve` leaves: caught signals go back to the default.
    pub fn after_exec(&self) -> Arc<SigHand> {
        let mut actions = *self.actions.lock();
        for a in &mut actions {
            let handler = if a.handler == SIG_IGN {
                SIG_IGN
            } else {
                SIG_DFL
            };
            *a = SigAction {
                handler,
                ..SigAction::default()
            };
        }
        Arc::new(SigHand {
            actions: Mutex::new(actions),
        })
    }

    /// What `CLONE_CLEAR_SIGHAND` leaves; the same rule as for `execve`.
    pub fn cleared(&self) -> Arc<SigHand> {
        self.after_exec()
    }

    /// The disposition of a signal.
    pub fn get(&self, s: Signal) -> SigAction {
        self.actions.lock()[usize::from(s.raw() - 1) & 63]
    }

    /// Replaces a disposition, returning the old one.
    pub fn set(&self, s: Signal, action: SigAction) -> SigAction {
        std::mem::replace(
            &mut self.actions.lock()[usize::from(s.raw() - 1) & 63],
            action,
        )
    }

    /// Whether the signal has no effect when it is not blocked.
    pub fn ignores(&self, s: Signal) -> bool {
        match self.get(s).handler {
            SIG_IGN => true,
            SIG_DFL => default_of(s) == Default::Ignore,
            _ => false,
        }
    }

    /// The sets `/proc/PID/status` shows: ignored and caught.
    pub fn sets(&self) -> (SigSet, SigSet) {
        let actions = self.actions.lock();
        let (mut ignored, mut caught) = (SigSet::EMPTY, SigSet::EMPTY);
        for (nr, a) in (1u64..).zip(actions.iter()) {
            let Some(s) = Signal::new(nr) else { continue };
            match a.handler {
                SIG_IGN => ignored.insert(s),
                SIG_DFL => {}
                _ => caught.insert(s),
            }
        }
        (ignored, caught)
    }
}
