//! Secure computing (`seccomp(2)`): programs of the guest that judge its own calls.
//!
//! [`bpf`] checks and runs a program, [`filter`] holds those of a task, [`notify`] lets
//! another process decide. The task loop asks [`Task::judge`] (see `task::gate`).

pub mod bpf;
pub mod filter;
pub mod notify;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;

use crate::Result;
use crate::creds::Cap;
use crate::mm::patch;
use crate::task::Task;
use crate::task::gate::Hooks;
use crate::task::run::CallState;
use bpf::{Data, Insn, Program};
use filter::{ARCH, Action, Filter, FilterSet, MAPPED, Verdict};
use notify::Listener;

/// Calls strict mode allows: `read`, `write`, `rt_sigreturn`, `exit`.
const STRICT: [u64; 4] = [0, 1, 15, 60];

/// How a task's calls are judged.
#[derive(Clone, Debug, Default)]
pub enum Mode {
    /// Not at all.
    #[default]
    Off,
    /// `SECCOMP_MODE_STRICT`.
    Strict,
    /// `SECCOMP_MODE_FILTER`.
    Filter(Arc<FilterSet>),
}

/// How a filter is added (`SECCOMP_FILTER_FLAG_*`).
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "named as in seccomp(2)")]
pub struct AddFlags {
    pub tsync: bool,
    pub tsync_esrch: bool,
    pub log: bool,
    pub new_listener: bool,
    pub wait_killable: bool,
}

/// What came of adding a filter.
#[derive(Debug)]
pub enum Added {
    /// It is in force.
    Done,
    /// It is in force; its supervisor's end.
    Listener(Arc<Listener>),
    /// This thread could not be brought in line (`TSYNC`); nothing was done.
    Diverges(i32),
}

/// What a program sees of a call.
pub(crate) fn data_of(call: &CallState) -> Data {
    Data {
        nr: (call.nr & 0xffff_ffff) as u32 as i32,
        arch: ARCH,
        ip: call.ip,
        args: call.args,
    }
}

impl Mode {
    /// Judging by one program, whose `EINVAL` it may give; by none if it is empty.
    pub fn profile(insns: Vec<Insn>) -> Result<Mode> {
        if insns.is_empty() {
            return Ok(Mode::Off);
        }
        let filter = Arc::new(Filter {
            program: Program::new(insns)?,
            log: false,
            listener: None,
        });
        Ok(Mode::Filter(Arc::new(FilterSet::with(None, filter)?)))
    }

    /// As `prctl(PR_GET_SECCOMP)` and `/proc/PID/status` number it.
    pub fn number(&self) -> u8 {
        match self {
            Mode::Off => 0,
            Mode::Strict => 1,
            Mode::Filter(_) => 2,
        }
    }

    /// Number of filters.
    pub fn filters(&self) -> usize {
        match self {
            Mode::Filter(set) => set.len(),
            _ => 0,
        }
    }

    fn set(&self) -> Option<&FilterSet> {
        match self {
            Mode::Filter(set) => Some(set),
            _ => None,
        }
    }
}

impl Task {
    /// How its calls are judged.
    pub fn seccomp(&self) -> Mode {
        self.seccomp.read().clone()
    }

    pub(crate) fn set_seccomp(&self, mode: Mode) {
        let on = !matches!(mode, Mode::Off);
        let old = std::mem::replace(&mut *self.seccomp.write(), mode);
        drop(old);
        if !on {
            return;
        }
        self.hooks.fetch_or(Hooks::SECCOMP.bits(), Ordering::SeqCst);
        // Calls that are answered in the guest do not come by here.
        let answered = |nr| patch::kind_of(nr).is_some() && self.call_is_watched(nr);
        if (0..MAPPED).any(answered) {
            self.mm().disable_patching();
        }
    }

    /// `SECCOMP_SET_MODE_STRICT`; `EINVAL` with filters.
    pub fn set_seccomp_strict(&self) -> Result<()> {
        match self.seccomp() {
            Mode::Filter(_) => Err(Errno::EINVAL),
            _ => {
                self.set_seccomp(Mode::Strict);
                Ok(())
            }
        }
    }

    /// Whether it may restrict itself: no new privileges, or `CAP_SYS_ADMIN`; else `EACCES`.
    pub fn may_filter(&self) -> Result<()> {
        let creds = self.creds();
        if creds.no_new_privs || creds.own_capable(Cap::SysAdmin) {
            Ok(())
        } else {
            Err(Errno::EACCES)
        }
    }

    /// `SECCOMP_SET_MODE_FILTER`, the permission checked.
    pub fn add_filter(&self, insns: Vec<Insn>, flags: AddFlags) -> Result<Added> {
        let program = Program::new(insns)?;
        // No thread comes or goes meanwhile.
        let _tree = self.pid_ns().tree();
        let own = self.seccomp();
        if matches!(own, Mode::Strict) {
            return Err(Errno::EINVAL);
        }
        if flags.new_listener && own.set().is_some_and(FilterSet::has_listener) {
            return Err(Errno::EBUSY);
        }
        let others: Vec<_> = match flags.tsync {
            true => self.thread_group().tasks(),
            false => Vec::new(),
        };
        let others = others.iter().filter(|t| !std::ptr::eq(&***t, self));
        let in_line = |t: &Task| match (t.seccomp(), own.set()) {
            (Mode::Off, _) => true,
            (Mode::Filter(theirs), Some(own)) => theirs.is_ancestor_of(own),
            _ => false,
        };
        if let Some(t) = others.clone().find(|t| !in_line(t)) {
            if flags.tsync_esrch {
                return Err(Errno::ESRCH);
            }
            return Ok(Added::Diverges(t.tid()));
        }
        let listener = flags
            .new_listener
            .then(|| Listener::new(flags.wait_killable));
        let filter = Arc::new(Filter {
            program,
            log: flags.log,
            listener: listener.clone(),
        });
        let set = Mode::Filter(Arc::new(FilterSet::with(own.set(), filter)?));
        self.set_seccomp(set.clone());
        let bound = self.creds().no_new_privs;
        for t in others {
            t.set_seccomp(set.clone());
            if bound && !t.creds().no_new_privs {
                let mut creds = (*t.creds()).clone();
                creds.no_new_privs = true;
                t.set_creds(creds);
            }
        }
        Ok(listener.map_or(Added::Done, Added::Listener))
    }

    /// What the filters say of a call; `None`: it is allowed.
    pub(crate) fn judge(&self, call: &CallState) -> Option<Verdict> {
        let kill = |action| {
            Some(Verdict {
                action,
                data: 0,
                filter: None,
            })
        };
        match &*self.seccomp.read() {
            Mode::Off => None,
            Mode::Strict if STRICT.contains(&call.nr) => None,
            Mode::Strict => kill(Action::KillThread),
            Mode::Filter(set) if set.always_allows(call.nr) => None,
            Mode::Filter(set) => {
                let verdict = set.run(&data_of(call));
                (verdict.action != Action::Allow).then_some(verdict)
            }
        }
    }

    /// Whether a call could be refused, changed or observed: then it has to reach the task
    /// loop, and may not be answered where the guest runs.
    pub fn call_is_watched(&self, nr: u64) -> bool {
        let hooks = Hooks::from_bits_retain(self.hooks.load(Ordering::SeqCst));
        if hooks.is_empty() {
            return false;
        }
        let judged = match &*self.seccomp.read() {
            Mode::Off => false,
            Mode::Strict => true,
            Mode::Filter(set) => !set.always_allows(nr),
        };
        judged || hooks.intersects(Hooks::TRACED | Hooks::DISPATCHED)
    }
}
