//! Tasks: guest threads as the kernel sees them.
//!
//! [`Task`] is a thread, [`ThreadGroup`] a process. [`run`] is the task loop: what happens
//! from an event of the guest to its resumption. [`park`] is the task's one atomic state.

pub mod limits;
pub mod park;
pub mod run;

use std::fmt;
use std::sync::{Arc, Weak};

use abi::Errno;
use platform::Context;

use crate::creds::Creds;
use crate::fs::{FdTable, FsContext};
use crate::kernel::Kernel;
use crate::mm::Mm;
use crate::sync::{Mutex, RwLock};
use crate::wait::Waker;
use park::Park;

/// A thread (`struct task_struct`).
pub struct Task {
    weak: Weak<Task>,
    /// The kernel it belongs to.
    pub kernel: Arc<Kernel>,
    /// Number under which the platform reports its events.
    pub cookie: u64,
    pub(crate) park: Park,
    ctx: RwLock<Option<Arc<dyn Context>>>,
    mm: RwLock<Arc<Mm>>,
    files: RwLock<Arc<FdTable>>,
    fs: RwLock<Arc<FsContext>>,
    creds: RwLock<Arc<Creds>>,
    /// The call being served: number and arguments as trapped, for restarts and strace.
    pub(crate) call: Mutex<run::CallState>,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({})", self.cookie)
    }
}

impl Task {
    /// A counted reference to this task.
    pub fn arc(&self) -> Option<Arc<Task>> {
        self.weak.upgrade()
    }
    /// The address space.
    pub fn mm(&self) -> Arc<Mm> {
        self.mm.read().clone()
    }
    /// The descriptor table.
    pub fn files(&self) -> Arc<FdTable> {
        self.files.read().clone()
    }
    /// Root, current directory and umask.
    pub fn fs(&self) -> Arc<FsContext> {
        self.fs.read().clone()
    }
    /// The soft limit of a resource.
    pub fn limit(&self, _resource: limits::Resource) -> u64 {
        limits::INFINITY
    }
    /// Queues a signal for this very thread (`tgkill`, SIGPIPE, faults).
    pub fn post_signal(&self, _info: abi::signal::SigInfo) {}
    /// Queues a signal for the whole process (`kill`, timers, SIGCHLD).
    pub fn post_group_signal(&self, _info: abi::signal::SigInfo) {}
    /// Replaces the signal mask until the current call returns or is interrupted
    /// (`ppoll`, `pselect6`, `epoll_pwait`, `sigsuspend`).
    pub fn swap_sigmask_until_return(&self, _mask: abi::signal::SigSet) {}
    /// The credentials.
    pub fn creds(&self) -> Arc<Creds> {
        self.creds.read().clone()
    }
    /// The guest thread; `ESRCH` once it has exited.
    pub fn context(&self) -> Result<Arc<dyn Context>, Errno> {
        self.ctx.read().clone().ok_or(Errno::ESRCH)
    }
    /// A waker that steps this task's parked operation.
    pub fn waker(&self) -> Waker {
        Waker::Task(self.weak.clone())
    }
}
