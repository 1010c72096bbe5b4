//! Signal numbers, sets and structures (`signal(7)`, `sigaction(2)`).

use std::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A signal number, 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(u8);

macro_rules! signals {
    ($($name:ident = $nr:literal;)*) => {
        impl Signal {
            $(#[doc = concat!("`", stringify!($name), "`")] pub const $name: Signal = Signal($nr);)*

            /// Symbolic name (`SIGINT`), `SIGRT` family by number.
            pub fn name(self) -> std::borrow::Cow<'static, str> {
                match self.0 {
                    $($nr => stringify!($name).into(),)*
                    32 => "SIGRTMIN".into(),
                    n => format!("SIGRT_{}", n - 32).into(),
                }
            }
        }
    };
}

signals! {
    SIGHUP = 1; SIGINT = 2; SIGQUIT = 3; SIGILL = 4; SIGTRAP = 5; SIGABRT = 6; SIGBUS = 7;
    SIGFPE = 8; SIGKILL = 9; SIGUSR1 = 10; SIGSEGV = 11; SIGUSR2 = 12; SIGPIPE = 13;
    SIGALRM = 14; SIGTERM = 15; SIGSTKFLT = 16; SIGCHLD = 17; SIGCONT = 18; SIGSTOP = 19;
    SIGTSTP = 20; SIGTTIN = 21; SIGTTOU = 22; SIGURG = 23; SIGXCPU = 24; SIGXFSZ = 25;
    SIGVTALRM = 26; SIGPROF = 27; SIGWINCH = 28; SIGIO = 29; SIGPWR = 30; SIGSYS = 31;
}

impl Signal {
    /// From a number; `None` unless it is 1 to 64.
    pub const fn new(nr: u64) -> Option<Signal> {
        if nr >= 1 && nr <= 64 {
            Some(Signal(nr as u8))
        } else {
            None
        }
    }

    /// The number.
    pub const fn raw(self) -> u8 {
        self.0
    }

    /// Whether it is a real-time signal (queued, with values).
    pub const fn is_realtime(self) -> bool {
        self.0 >= 32
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// `sigset_t` of the kernel: bit `n-1` stands for signal `n`.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct SigSet(pub u64);

impl SigSet {
    /// No signal.
    pub const EMPTY: SigSet = SigSet(0);
    /// The two that can be neither blocked, caught nor ignored.
    pub const UNBLOCKABLE: SigSet =
        SigSet(1 << (Signal::SIGKILL.0 - 1) | 1 << (Signal::SIGSTOP.0 - 1));

    /// The set of one signal.
    pub const fn of(s: Signal) -> SigSet {
        SigSet(1 << (s.0 - 1))
    }
    /// Whether `s` is in the set.
    pub const fn contains(self, s: Signal) -> bool {
        self.0 & SigSet::of(s).0 != 0
    }
    /// Adds `s`.
    pub fn insert(&mut self, s: Signal) {
        self.0 |= SigSet::of(s).0;
    }
    /// Removes `s`.
    pub fn remove(&mut self, s: Signal) {
        self.0 &= !SigSet::of(s).0;
    }
    /// Members of either.
    pub const fn union(self, other: SigSet) -> SigSet {
        SigSet(self.0 | other.0)
    }
    /// Members of both.
    pub const fn intersection(self, other: SigSet) -> SigSet {
        SigSet(self.0 & other.0)
    }
    /// Members of this and not of `other`.
    pub const fn difference(self, other: SigSet) -> SigSet {
        SigSet(self.0 & !other.0)
    }
    /// Whether it has no member.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// The lowest-numbered member.
    pub const fn first(self) -> Option<Signal> {
        if self.0 == 0 {
            None
        } else {
            Some(Signal(self.0.trailing_zeros() as u8 + 1))
        }
    }
}

impl fmt::Debug for SigSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigSet({:#x})", self.0)
    }
}

/// `siginfo_t`: 128 bytes, the union at offset 16.
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SigInfo {
    /// Signal number.
    pub signo: i32,
    /// Errno value, mostly 0.
    pub errno: i32,
    /// Cause (`SI_USER`, `SEGV_MAPERR`, …).
    pub code: i32,
    pad: i32,
    /// The union, as the manual lays it out for each cause.
    pub fields: [u8; 112],
}

impl SigInfo {
    /// A siginfo with an all-zero union.
    pub const fn new(signo: Signal, code: i32) -> SigInfo {
        SigInfo {
            signo: signo.0 as i32,
            errno: 0,
            code,
            pad: 0,
            fields: [0; 112],
        }
    }

    /// Puts `bytes` at `offset` of the union; what does not fit is dropped.
    pub fn put(&mut self, offset: usize, bytes: &[u8]) {
        if let Some(dst) = self
            .fields
            .get_mut(offset..)
            .and_then(|f| f.get_mut(..bytes.len()))
        {
            dst.copy_from_slice(bytes);
        }
    }

    /// `_kill`: sender.
    pub fn with_sender(mut self, pid: i32, uid: u32) -> SigInfo {
        self.put(0, &pid.to_ne_bytes());
        self.put(4, &uid.to_ne_bytes());
        self
    }

    /// `_sigfault`: address.
    pub fn with_addr(mut self, addr: u64) -> SigInfo {
        self.put(0, &addr.to_ne_bytes());
        self
    }
}

impl fmt::Debug for SigInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SigInfo {{ signo: {}, code: {} }}",
            self.signo, self.code
        )
    }
}

/// `struct sigaction` of the kernel (`rt_sigaction(2)`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SigAction {
    /// `SIG_DFL` (0), `SIG_IGN` (1) or an address.
    pub handler: u64,
    /// `SA_*`.
    pub flags: u64,
    /// Return trampoline.
    pub restorer: u64,
    /// Blocked while the handler runs.
    pub mask: SigSet,
}

/// `stack_t` (`sigaltstack(2)`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct StackT {
    /// Base address.
    pub sp: u64,
    /// `SS_*`.
    pub flags: i32,
    pad: i32,
    /// Bytes.
    pub size: u64,
}

impl StackT {
    /// A description of an alternate stack.
    pub const fn new(sp: u64, flags: i32, size: u64) -> StackT {
        StackT {
            sp,
            flags,
            pad: 0,
            size,
        }
    }
}
