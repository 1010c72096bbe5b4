//! Tasks: guest threads as the kernel sees them.
//!
//! [`Task`] is a thread, [`group::ThreadGroup`] a process. [`run`] is the task loop: what
//! happens from an event of the guest to its resumption. [`park`] is the task's one atomic
//! state. [`create`], [`clone`], [`exec`], [`exit`], [`reap`] are the stations of a life.

mod access;
pub mod account;
pub mod cgroup;
pub mod clone;
pub mod create;
pub mod device_rules;
pub mod exec;
pub mod exit;
pub mod fault;
pub mod gate;
pub mod group;
pub mod limits;
pub mod namespace;
pub mod nsproxy;
pub mod park;
mod patched;
pub mod pid;
pub mod pidfd;
pub mod reap;
mod rseq;
pub mod run;
pub mod sched;
pub mod session;
pub mod times;
pub mod user_dispatch;
pub mod uts;
pub(crate) mod zap;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use abi::Errno;
use abi::signal::{SigInfo, SigSet, StackT};
use platform::Context;

use crate::creds::Creds;
use crate::fs::{FdTable, FsContext};
use crate::ipc::IpcNs;
use crate::kernel::Kernel;
use crate::keys::TaskKeys;
use crate::mm::{Mm, patch};
use crate::net::NetNs;
use crate::ptrace::{After, Trace};
use crate::signal::{TaskSignals, send};
use crate::sync::{Mutex, RwLock};
use crate::time::ns::TaskOffsets;
use crate::wait::Waker;
pub use create::ProcessSpec;
pub use group::ThreadGroup;
pub use nsproxy::NsProxy;
use park::Park;
pub use pid::{Pid, PidNamespace};
use sched::Sched;
pub use uts::UtsNamespace;

/// Calls the platform has to trap with the register file available.
pub const TRAPPED: &[u32] = &[
    abi::nr::clone,
    abi::nr::clone3,
    abi::nr::fork,
    abi::nr::vfork,
    abi::nr::execve,
    abi::nr::execveat,
    abi::nr::rt_sigreturn,
    abi::nr::arch_prctl,
    abi::nr::sigaltstack,
];

/// Calls that the host thread itself makes in the end, or may: nothing is gained by serving
/// them without it.
pub const ON_HOST_THREAD: &[u32] = &[
    abi::nr::exit,
    abi::nr::exit_group,
    abi::nr::membarrier,
    abi::nr::rseq,
];

/// Longest name of a thread in bytes, without its NUL (`TASK_COMM_LEN`).
pub const COMM_LEN: usize = 15;

/// A thread (`struct task_struct`).
pub struct Task {
    weak: Weak<Task>,
    /// The kernel it belongs to.
    pub kernel: Arc<Kernel>,
    cookie: AtomicU64,
    tid: AtomicI32,
    id: RwLock<Arc<Pid>>,
    group: Arc<ThreadGroup>,
    pub(crate) park: Park,
    /// Calls since it last waited; [`DEALT`] once it has a worker chosen for itself.
    pub(crate) streak: AtomicU32,
    ctx: RwLock<Option<Arc<dyn Context>>>,
    mm: RwLock<Arc<Mm>>,
    files: RwLock<Arc<FdTable>>,
    fs: RwLock<Arc<FsContext>>,
    creds: RwLock<Arc<Creds>>,
    namespaces: RwLock<NsProxy>,
    pub(crate) time_offsets: TaskOffsets,
    /// Its keyrings.
    pub(crate) keys: Mutex<TaskKeys>,
    /// The call being served: number and arguments as trapped, for restarts and strace.
    pub(crate) call: Mutex<run::CallState>,
    /// Something has to be looked at before the guest runs on: signals, stops, death.
    pub(crate) attention: AtomicBool,
    pub(crate) sig: Mutex<TaskSignals>,
    /// What waits for the register file to come with an interruption.
    pub(crate) deferred: Mutex<Option<run::Deferred>>,
    /// How a stopped task goes on.
    pub(crate) stopped_next: Mutex<Option<run::Next>>,
    /// Has to exit: by whom (group exit, `execve` of another thread).
    pub(crate) doomed: AtomicBool,
    /// The tracer has seen the beginning of a call, not yet its end.
    pub(crate) traced: AtomicBool,
    pub(crate) exited: AtomicBool,
    /// Stands still while another thread dumps core.
    pub(crate) held_for_dump: AtomicBool,
    /// What it has used besides CPU time.
    pub account: account::Account,
    /// What its calls have to pass ([`gate::Hooks`]).
    pub(crate) hooks: AtomicU8,
    /// The next call goes to the host as it is.
    pub(crate) pass_next: AtomicBool,
    pub(crate) seccomp: RwLock<crate::seccomp::Mode>,
    /// Which calls go to the program's own handler.
    pub(super) user_dispatch: Mutex<user_dispatch::UserDispatch>,
    pub(crate) ptrace: Mutex<Trace>,
    /// How it goes on after a stop for its tracer.
    pub(crate) trace_after: Mutex<Option<After>>,
    comm: Mutex<Vec<u8>>,
    exe: RwLock<Option<exec::ExeInfo>>,
    /// Word cleared and woken at exit (`set_tid_address(2)`); 0 for none.
    pub clear_child_tid: AtomicU64,
    /// Head of the robust futex list (`set_robust_list(2)`); 0 for none.
    pub robust_list: AtomicU64,
    /// Area for restartable sequences.
    rseq: Mutex<Option<platform::RseqArea>>,
    pub(crate) vfork: Mutex<Option<Arc<clone::VforkDone>>>,
    /// Scheduling attributes.
    pub sched: Mutex<Sched>,
    /// `personality(2)`.
    pub personality: AtomicU32,
    /// Signal at the parent's death (`PR_SET_PDEATHSIG`); 0 for none.
    pub pdeathsig: AtomicI32,
    /// `PR_SET_TIMERSLACK`, ns.
    pub timer_slack: AtomicU64,
    /// CPU time of contexts replaced by `execve`, ns.
    earlier_cpu: AtomicU64,
    /// Trap number, error code and address of the last fault, for signal frames.
    pub(crate) last_trap: Mutex<[u64; 3]>,
    /// Start on the boot-time clock.
    pub start: Duration,
}

/// What a new task is made from.
pub(crate) struct NewTask {
    pub(crate) id: Arc<Pid>,
    pub(crate) group: Arc<ThreadGroup>,
    pub(crate) mm: Arc<Mm>,
    pub(crate) files: Arc<FdTable>,
    pub(crate) fs: Arc<FsContext>,
    pub(crate) creds: Arc<Creds>,
    pub(crate) namespaces: NsProxy,
    pub(crate) keys: TaskKeys,
    pub(crate) mask: SigSet,
    pub(crate) comm: Vec<u8>,
    pub(crate) exe: Option<exec::ExeInfo>,
    pub(crate) sched: Sched,
    pub(crate) personality: u32,
    pub(crate) timer_slack: u64,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({})", self.tid())
    }
}

impl Task {
    /// A task without a guest thread, entered under a new cookie.
    pub(crate) fn new(kernel: &Arc<Kernel>, new: NewTask) -> Arc<Task> {
        let signals = TaskSignals {
            mask: new.mask,
            ..TaskSignals::default()
        };
        let task = Arc::new_cyclic(|weak| Task {
            weak: weak.clone(),
            kernel: kernel.clone(),
            cookie: AtomicU64::new(0),
            tid: AtomicI32::new(new.id.nr()),
            id: RwLock::new(new.id),
            group: new.group,
            park: Park::default(),
            streak: AtomicU32::new(0),
            ctx: RwLock::new(None),
            mm: RwLock::new(new.mm),
            files: RwLock::new(new.files),
            fs: RwLock::new(new.fs),
            creds: RwLock::new(new.creds),
            time_offsets: TaskOffsets::new(new.namespaces.time.offsets()),
            namespaces: RwLock::new(new.namespaces),
            keys: Mutex::new(new.keys),
            call: Mutex::default(),
            attention: AtomicBool::new(false),
            sig: Mutex::new(signals),
            deferred: Mutex::new(None),
            stopped_next: Mutex::new(None),
            doomed: AtomicBool::new(false),
            traced: AtomicBool::new(false),
            exited: AtomicBool::new(false),
            held_for_dump: AtomicBool::new(false),
            account: account::Account::default(),
            hooks: AtomicU8::new(0),
            pass_next: AtomicBool::new(false),
            seccomp: RwLock::default(),
            user_dispatch: Mutex::default(),
            ptrace: Mutex::default(),
            trace_after: Mutex::new(None),
            comm: Mutex::new(new.comm),
            exe: RwLock::new(new.exe),
            clear_child_tid: AtomicU64::new(0),
            robust_list: AtomicU64::new(0),
            rseq: Mutex::new(None),
            vfork: Mutex::new(None),
            sched: Mutex::new(new.sched),
            personality: AtomicU32::new(new.personality),
            pdeathsig: AtomicI32::new(0),
            timer_slack: AtomicU64::new(new.timer_slack),
            earlier_cpu: AtomicU64::new(0),
            last_trap: Mutex::new([0; 3]),
            start: kernel.clock.boottime(),
        });
        task.enter_mm(&task.mm());
        task.cookie
            .store(kernel.add_cookie(&task), Ordering::SeqCst);
        task
    }

    /// A counted reference to this task.
    pub fn arc(&self) -> Option<Arc<Task>> {
        self.weak.upgrade()
    }
    /// A weak reference to this task.
    pub fn weak(&self) -> Weak<Task> {
        self.weak.clone()
    }
    /// Number under which the platform reports its events.
    pub fn cookie(&self) -> u64 {
        self.cookie.load(Ordering::SeqCst)
    }
    pub(crate) fn set_cookie(&self, cookie: u64) {
        self.cookie.store(cookie, Ordering::SeqCst);
    }
    /// Thread number in its pid namespace (`gettid(2)`).
    pub fn tid(&self) -> i32 {
        self.tid.load(Ordering::Relaxed)
    }
    /// Its numbers.
    pub fn id(&self) -> Arc<Pid> {
        self.id.read().clone()
    }
    /// Thread number as another namespace knows it, 0 where it is not seen.
    pub fn tid_in(&self, ns: &PidNamespace) -> i32 {
        self.id.read().nr_in(ns)
    }
    /// Process number as another namespace knows it, 0 where it is not seen.
    pub fn pid_in(&self, ns: &PidNamespace) -> i32 {
        self.group.pid_in(ns)
    }
    /// Takes the number of its process, as its leader.
    pub(crate) fn become_leader(&self) {
        self.tid.store(self.group.pid(), Ordering::Relaxed);
        let old = std::mem::replace(&mut *self.id.write(), self.group.id.clone());
        drop(old);
    }
    /// Process number in its pid namespace (`getpid(2)`).
    pub fn pid(&self) -> i32 {
        self.group.pid()
    }
    /// The process it belongs to.
    pub fn thread_group(&self) -> &Arc<ThreadGroup> {
        &self.group
    }
    /// The pid namespace it belongs to.
    pub fn pid_ns(&self) -> &Arc<PidNamespace> {
        &self.group.ns
    }
    /// Whether it is the leader of its process.
    pub fn is_leader(&self) -> bool {
        self.tid() == self.pid()
    }
    /// The address space.
    pub fn mm(&self) -> Arc<Mm> {
        self.mm.read().clone()
    }
    pub(crate) fn set_mm(&self, mm: Arc<Mm>) {
        self.enter_mm(&mm);
        let old = std::mem::replace(&mut *self.mm.write(), mm);
        old.answers().leave(self.member());
        drop(old);
    }
    fn enter_mm(&self, mm: &Mm) {
        mm.answers().enter(&**mm.space(), self.member());
    }
    /// Names the process among those that use an address space.
    fn member(&self) -> usize {
        Arc::as_ptr(&self.group).addr()
    }
    /// The descriptor table.
    pub fn files(&self) -> Arc<FdTable> {
        self.files.read().clone()
    }
    /// Replaces the descriptor table (`execve`, `unshare`, `close_range`).
    pub fn set_files(&self, files: Arc<FdTable>) {
        let old = std::mem::replace(&mut *self.files.write(), files);
        drop(old);
    }
    /// Root, current directory and umask.
    pub fn fs(&self) -> Arc<FsContext> {
        self.fs.read().clone()
    }
    /// Replaces root, current directory and umask (`unshare(CLONE_FS)`).
    pub fn set_fs(&self, fs: Arc<FsContext>) {
        let old = std::mem::replace(&mut *self.fs.write(), fs);
        drop(old);
    }
    /// Host and domain name.
    pub fn uts(&self) -> Arc<UtsNamespace> {
        self.namespaces.read().uts.clone()
    }
    /// System V IPC objects and message queues.
    pub fn ipc(&self) -> Arc<IpcNs> {
        self.namespaces.read().ipc.clone()
    }
    /// Its network.
    pub fn net(&self) -> Arc<NetNs> {
        self.namespaces.read().net.clone()
    }
    /// Its namespaces of these kinds.
    pub fn namespaces(&self) -> NsProxy {
        self.namespaces.read().clone()
    }
    /// Enters other namespaces.
    pub fn set_namespaces(&self, namespaces: NsProxy) {
        let old = std::mem::replace(&mut *self.namespaces.write(), namespaces);
        drop(old);
    }
    /// The soft limit of a resource.
    pub fn limit(&self, resource: limits::Resource) -> u64 {
        self.group.limit(resource).soft
    }
    /// Queues a signal from the kernel for this very thread (SIGPIPE, faults).
    pub fn post_signal(&self, info: SigInfo) {
        if let Some(task) = self.arc() {
            let _: crate::Result<()> = send::to_task(&task, info, send::Origin::Kernel);
        }
    }
    /// Queues a signal from the kernel for the whole process (timers, SIGCHLD, SIGIO).
    pub fn post_group_signal(&self, info: SigInfo) {
        self.group.post_signal(info);
    }
    /// The credentials.
    pub fn creds(&self) -> Arc<Creds> {
        self.creds.read().clone()
    }
    /// Replaces the credentials.
    pub fn set_creds(&self, creds: Creds) {
        let creds = Arc::new(creds);
        let old = std::mem::replace(&mut *self.creds.write(), creds.clone());
        if creds.hides_from(&old) {
            self.group.set_dumpable(false);
        }
        self.answers_changed(patch::Kind::User);
    }
    /// The guest thread; `ESRCH` once it has exited.
    pub fn context(&self) -> Result<Arc<dyn Context>, Errno> {
        self.ctx.read().clone().ok_or(Errno::ESRCH)
    }
    pub(crate) fn set_context(&self, ctx: Option<Arc<dyn Context>>) -> Option<Arc<dyn Context>> {
        std::mem::replace(&mut *self.ctx.write(), ctx)
    }
    /// A waker that steps this task's parked operation.
    pub fn waker(&self) -> Waker {
        Waker::Task(self.weak.clone())
    }
    /// Name of the thread, at most [`COMM_LEN`] bytes.
    pub fn comm(&self) -> Vec<u8> {
        self.comm.lock().clone()
    }
    /// Names the thread; cut to [`COMM_LEN`].
    pub fn set_comm(&self, name: &[u8]) {
        *self.comm.lock() = name
            .iter()
            .copied()
            .take_while(|b| *b != 0)
            .take(COMM_LEN)
            .collect();
    }
    /// The program it runs.
    pub fn exe(&self) -> Option<exec::ExeInfo> {
        self.exe.read().clone()
    }
    pub(crate) fn set_exe(&self, exe: Option<exec::ExeInfo>) {
        let old = std::mem::replace(&mut *self.exe.write(), exe);
        drop(old);
    }
    pub(crate) fn earlier_cpu(&self) -> Duration {
        Duration::from_nanos(self.earlier_cpu.load(Ordering::Relaxed))
    }
    pub(crate) fn add_earlier_cpu(&self, d: Duration) {
        let ns = u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        self.earlier_cpu.fetch_add(ns, Ordering::Relaxed);
    }
    /// State letter of `/proc/PID/stat`: running, sleeping, stopped, traced, dead.
    pub fn state(&self) -> char {
        if self.exited.load(Ordering::Relaxed) {
            'X'
        } else if self.in_trace_stop() {
            't'
        } else if self.sig.lock().stopped {
            'T'
        } else if self.park.is_parked() {
            'S'
        } else {
            'R'
        }
    }
    /// Blocked signals.
    pub fn sigmask(&self) -> SigSet {
        self.sig.lock().mask
    }
    /// The alternate stack.
    pub fn altstack(&self) -> StackT {
        self.sig.lock().altstack
    }
    /// Signals pending for the thread and for its process.
    pub fn pending_signals(&self) -> (SigSet, SigSet) {
        let shared = self.group.signals.lock().pending.set();
        (self.sig.lock().pending.set(), shared)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let member = self.member();
        self.mm.get_mut().answers().leave(member);
    }
}
