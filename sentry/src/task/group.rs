//! Thread groups: processes ([`ThreadGroup`]).
//!
//! A group outlives its threads: once the last has exited it is a zombie, kept in the pid
//! tables until its parent waits for it. Lock rank: `threads` below the tree lock; `rel`,
//! `limits`, `life` are leaves; `signals` is above the per-thread signal lock.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use abi::Errno;
use abi::signal::{SigAction, SigInfo, SigSet, Signal};

use super::Task;
use super::cgroup::Cgroup;
use super::limits::{Limits, RLimit, Resource};
use super::pid::{Pid, PidNamespace};
use super::session::{ProcessGroup, Session};
use super::times::CpuTimes;
use crate::Result;
use crate::kernel::Kernel;
use crate::keys::Anchor;
use crate::ptrace::Tracees;
use crate::signal::action::SigHand;
use crate::signal::{GroupSignals, WaitStatus, send};
use crate::sync::{Mutex, RwLock};
use crate::time::process_timers::ProcessTimers;
use crate::wait::Pollee;

/// Threads of a process that have not exited, oldest first.
#[derive(Default)]
pub(crate) struct Threads {
    pub(crate) tasks: Vec<Arc<Task>>,
    /// The thread that has called `execve` and outlives the others.
    pub(crate) execing: Option<Weak<Task>>,
}

/// Place in the process tree. Changed with the tree lock held.
pub(crate) struct Relations {
    pub(crate) parent: Weak<ThreadGroup>,
    pub(crate) children: Vec<Arc<ThreadGroup>>,
    pub(crate) pgrp: Arc<ProcessGroup>,
}

/// How far the process' life has gone, and what is left of it as a zombie.
#[derive(Default)]
pub(crate) struct Life {
    pub(crate) zombie: bool,
    pub(crate) reaped: bool,
    pub(crate) status: Option<WaitStatus>,
    /// Of the threads that have exited.
    pub(crate) own: CpuTimes,
    /// Of the children waited for.
    pub(crate) children: CpuTimes,
    /// Largest resident set, of itself and of its children, in bytes.
    pub(crate) max_rss: u64,
    pub(crate) children_max_rss: u64,
    /// Name, real user and group at the end.
    pub(crate) comm: Vec<u8>,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A process.
pub struct ThreadGroup {
    weak: Weak<ThreadGroup>,
    /// The kernel it belongs to.
    pub kernel: Arc<Kernel>,
    /// Its numbers.
    pub id: Arc<Pid>,
    /// Its pid namespace.
    pub ns: Arc<PidNamespace>,
    /// Its control group.
    pub cgroup: Arc<Cgroup>,
    pub(crate) threads: Mutex<Threads>,
    pub(crate) rel: Mutex<Relations>,
    pub(crate) limits: Mutex<Limits>,
    pub(crate) signals: Mutex<GroupSignals>,
    sighand: RwLock<Arc<SigHand>>,
    pub(crate) life: Mutex<Life>,
    /// Signal sent to the parent at exit, 0 for none.
    pub(crate) exit_signal: AtomicI32,
    /// A child changed its state.
    pub child_events: Pollee,
    /// The process has ended (`pidfd`).
    pub exit_event: Pollee,
    /// A signal became pending (`signalfd`).
    pub signal_event: Pollee,
    /// A thread was removed (`execve` waits for the others).
    pub(crate) thread_gone: Pollee,
    pub(crate) subreaper: AtomicBool,
    pub(crate) dumpable: AtomicBool,
    /// `/proc/PID/coredump_filter`.
    pub coredump_filter: AtomicU32,
    /// Has called `execve` since it was forked (`setpgid(2)`).
    pub(crate) did_exec: AtomicBool,
    /// Interval and POSIX timers.
    pub timers: ProcessTimers,
    /// Start on the boot-time clock.
    pub start: Duration,
    /// `/proc/PID/oom_score_adj`.
    pub oom_score_adj: AtomicI32,
    /// The process's own keyring.
    pub(crate) keyring: Mutex<Option<Anchor>>,
    /// Tracees of its threads.
    pub(crate) tracees: Mutex<Tracees>,
    /// The thread that forked it.
    pub(crate) forker: Mutex<Weak<Task>>,
    /// Called once with the status when the process ends.
    pub(crate) on_exit: Mutex<Option<ExitHook>>,
}

/// What is dumped by default: anonymous memory, ELF headers, private huge pages.
const DUMP_FILTER: u32 = 0x33;

/// Called with the status when a process ends.
pub type ExitHook = Box<dyn FnOnce(WaitStatus) + Send>;

/// What a new process is made from.
pub(crate) struct NewGroup {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) id: Arc<Pid>,
    pub(crate) cgroup: Arc<Cgroup>,
    pub(crate) parent: Weak<ThreadGroup>,
    pub(crate) pgrp: Arc<ProcessGroup>,
    pub(crate) limits: Limits,
    pub(crate) sighand: Arc<SigHand>,
    pub(crate) exit_signal: i32,
}

impl fmt::Debug for ThreadGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThreadGroup({:?})", self.id)
    }
}

impl ThreadGroup {
    pub(crate) fn new(new: NewGroup) -> Arc<ThreadGroup> {
        Arc::new_cyclic(|weak| ThreadGroup {
            weak: weak.clone(),
            start: new.kernel.clock.boottime(),
            kernel: new.kernel,
            ns: new.id.ns.clone(),
            cgroup: new.cgroup,
            signals: Mutex::new(GroupSignals {
                // Init of a namespace.
                unkillable: new.id.nr() == 1,
                ..GroupSignals::default()
            }),
            id: new.id,
            threads: Mutex::default(),
            rel: Mutex::new(Relations {
                parent: new.parent,
                children: Vec::new(),
                pgrp: new.pgrp,
            }),
            limits: Mutex::new(new.limits),
            sighand: RwLock::new(new.sighand),
            life: Mutex::default(),
            exit_signal: AtomicI32::new(new.exit_signal),
            child_events: Pollee::new(),
            exit_event: Pollee::new(),
            signal_event: Pollee::new(),
            thread_gone: Pollee::new(),
            subreaper: AtomicBool::new(false),
            dumpable: AtomicBool::new(true),
            coredump_filter: AtomicU32::new(DUMP_FILTER),
            did_exec: AtomicBool::new(false),
            timers: ProcessTimers::default(),
            oom_score_adj: AtomicI32::new(0),
            keyring: Mutex::default(),
            tracees: Mutex::default(),
            forker: Mutex::default(),
            on_exit: Mutex::new(None),
        })
    }

    /// A counted reference to this process.
    pub fn arc(&self) -> Option<Arc<ThreadGroup>> {
        self.weak.upgrade()
    }

    /// A weak reference to this process.
    pub fn weak(&self) -> Weak<ThreadGroup> {
        self.weak.clone()
    }

    /// Process number in its namespace (`getpid(2)`).
    pub fn pid(&self) -> i32 {
        self.id.nr()
    }

    /// Process number as another namespace knows it, 0 where it is not seen.
    pub fn pid_in(&self, ns: &PidNamespace) -> i32 {
        self.id.nr_in(ns)
    }

    /// Whether it is its namespace's init.
    pub fn is_init(&self) -> bool {
        self.id.nr() == 1
    }

    /// Threads that have not exited, oldest first.
    pub fn tasks(&self) -> Vec<Arc<Task>> {
        self.threads.lock().tasks.clone()
    }

    /// The leader, or the oldest thread left; `None` for a zombie.
    pub fn main_task(&self) -> Option<Arc<Task>> {
        let threads = self.threads.lock();
        let leader = threads.tasks.iter().find(|t| t.is_leader());
        leader.or(threads.tasks.first()).cloned()
    }

    /// Number of threads that have not exited.
    pub fn thread_count(&self) -> usize {
        self.threads.lock().tasks.len()
    }

    /// Threads that have not begun to exit: those that a joiner was told of are not among them
    /// (`signal->live` of Linux).
    pub fn live_threads(&self) -> usize {
        let lives = |t: &&Arc<Task>| !t.exited.load(Ordering::SeqCst);
        self.threads.lock().tasks.iter().filter(lives).count()
    }

    /// The parent process, which may be one of a namespace above; `None` for a container's
    /// init and for processes that entered from outside.
    pub fn parent(&self) -> Option<Arc<ThreadGroup>> {
        self.rel.lock().parent.upgrade()
    }

    /// `getppid(2)`: 0 where the parent is outside the namespace.
    pub fn ppid(&self) -> i32 {
        self.ppid_in(&self.ns)
    }

    /// The parent's number as a namespace knows it, 0 where it is not seen.
    pub fn ppid_in(&self, ns: &PidNamespace) -> i32 {
        self.parent().map_or(0, |p| p.pid_in(ns))
    }

    /// Child processes, zombies included.
    pub fn children(&self) -> Vec<Arc<ThreadGroup>> {
        self.rel.lock().children.clone()
    }

    /// Its process group.
    pub fn pgrp(&self) -> Arc<ProcessGroup> {
        self.rel.lock().pgrp.clone()
    }

    /// Its session.
    pub fn session(&self) -> Arc<Session> {
        self.pgrp().session.clone()
    }

    /// Whether it has ended and was not waited for yet.
    pub fn is_zombie(&self) -> bool {
        self.life.lock().zombie
    }

    /// Whether it has ended and was waited for.
    pub fn is_gone(&self) -> bool {
        self.life.lock().reaped
    }

    /// The status of a process that has ended.
    pub fn status(&self) -> Option<WaitStatus> {
        self.life.lock().status
    }

    /// Whether all its threads are stopped by job control.
    pub fn is_stopped(&self) -> bool {
        self.signals.lock().stopped
    }

    /// Whether it has begun to end.
    pub fn is_exiting(&self) -> bool {
        self.signals.lock().exit.is_some()
    }

    /// Dispositions.
    pub fn sighand(&self) -> Arc<SigHand> {
        self.sighand.read().clone()
    }

    pub(crate) fn set_sighand(&self, sighand: Arc<SigHand>) {
        *self.sighand.write() = sighand;
    }

    /// A resource limit.
    pub fn limit(&self, resource: Resource) -> RLimit {
        self.limits.lock().get(resource)
    }

    /// Replaces a limit: `EPERM` to raise the hard one without `may_raise`.
    pub fn set_limit(&self, resource: Resource, new: RLimit, may_raise: bool) -> Result<()> {
        let mut limits = self.limits.lock();
        if new.hard > limits.get(resource).hard && !may_raise {
            return Err(Errno::EPERM);
        }
        limits.set(resource, new);
        drop(limits);
        if resource == Resource::Cpu {
            self.check_cpu_limit();
        }
        Ok(())
    }

    /// Replaces a disposition; signals that are ignored now are no longer pending.
    pub fn set_action(&self, signal: Signal, action: SigAction) -> SigAction {
        let sighand = self.sighand();
        let old = sighand.set(signal, action);
        if sighand.ignores(signal) {
            let set = SigSet::of(signal);
            let mut sig = self.signals.lock();
            sig.pending.flush(set);
            for t in self.tasks() {
                t.sig.lock().pending.flush(set);
            }
        }
        old
    }

    /// `PR_GET_DUMPABLE`.
    pub fn dumpable(&self) -> bool {
        self.dumpable.load(Ordering::Relaxed)
    }

    /// `PR_SET_DUMPABLE`.
    pub fn set_dumpable(&self, on: bool) {
        self.dumpable.store(on, Ordering::Relaxed);
    }

    /// All resource limits.
    pub fn all_limits(&self) -> Limits {
        *self.limits.lock()
    }

    /// CPU time of all threads, those that have exited included.
    pub fn cpu_times(&self) -> CpuTimes {
        let tasks = self.tasks();
        let gone = self.life.lock().own;
        tasks.iter().fold(gone, |sum, t| sum.plus(t.cpu_times()))
    }

    /// Largest resident set in bytes: of the process, of the children waited for.
    pub fn max_rss(&self) -> (u64, u64) {
        let now = self.main_task().map_or(0, |t| t.mm().usage().rss());
        let mut life = self.life.lock();
        life.max_rss = life.max_rss.max(now);
        (life.max_rss, life.children_max_rss)
    }

    /// CPU time of children that were waited for.
    pub fn children_times(&self) -> CpuTimes {
        self.life.lock().children
    }

    /// The name, also of a zombie.
    pub fn comm(&self) -> Vec<u8> {
        match self.main_task() {
            Some(t) => t.comm(),
            None => self.life.lock().comm.clone(),
        }
    }

    /// Real user and group, also of a zombie.
    pub fn owner(&self) -> (u32, u32) {
        match self.main_task() {
            Some(t) => {
                let c = t.creds();
                (c.uid, c.gid)
            }
            None => {
                let life = self.life.lock();
                (life.uid, life.gid)
            }
        }
    }

    /// State letter of `/proc/PID/stat`.
    pub fn state(&self) -> char {
        self.main_task().map_or('Z', |t| t.state())
    }

    /// Queues a signal from the kernel for the process.
    pub fn post_signal(&self, info: SigInfo) {
        let Some(group) = self.arc() else { return };
        let _: Result<()> = send::to_group(&group, info, send::Origin::Kernel);
    }

    /// Ends the process with SIGKILL whatever it is (the runtime's `kill`; init too).
    pub fn kill(&self) {
        let Some(group) = self.arc() else { return };
        send::begin_exit(&group, WaitStatus::killed(Signal::SIGKILL, false));
    }

    /// Whether it takes in orphans (`PR_SET_CHILD_SUBREAPER`).
    pub fn is_subreaper(&self) -> bool {
        self.subreaper.load(Ordering::Relaxed)
    }

    /// Becomes a subreaper or stops being one.
    pub fn set_subreaper(&self, on: bool) {
        self.subreaper.store(on, Ordering::Relaxed);
    }

    /// Calls `hook` with the status when the process ends, at once if it has.
    pub fn on_exit(&self, hook: ExitHook) {
        let ended = {
            let life = self.life.lock();
            if !life.zombie {
                *self.on_exit.lock() = Some(hook);
                return;
            }
            life.status
        };
        hook(ended.unwrap_or(WaitStatus(0)));
    }
}
