//! Replacing a process' program (`execve(2)`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::fs::PollEvents;
use abi::signal::{Signal, StackT};
use platform::{Context, Registers};

use super::Task;
use super::limits::Limits;
use crate::Result;
use crate::creds::Creds;
use crate::fs::FsContext;
use crate::fs::vfs::Path;
use crate::futex;
use crate::kernel::Kernel;
use crate::mm::Mm;
use crate::signal::SS_DISABLE;
use crate::wait::{OnSignal, Operation, Registration, Share, Stop, SysResult};

/// The program a process runs.
#[derive(Clone)]
pub struct ExeInfo {
    /// Where its file is (`/proc/PID/exe`).
    pub path: Path,
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Program {
    /// Path, relative to the current directory.
    pub path: Vec<u8>,
    /// Arguments.
    pub argv: Vec<Vec<u8>>,
    /// Environment.
    pub envp: Vec<Vec<u8>>,
}

/// A program loaded into a new address space.
pub(crate) struct Loaded {
    pub(crate) mm: Arc<Mm>,
    pub(crate) regs: Registers,
    pub(crate) creds: Creds,
    pub(crate) comm: Vec<u8>,
    pub(crate) exe: Option<ExeInfo>,
}

/// Loads a program into a new address space.
pub(crate) fn load(
    _kernel: &Arc<Kernel>,
    _fs: &FsContext,
    _creds: &Arc<Creds>,
    _limits: &Limits,
    _program: Program,
) -> Result<Loaded> {
    Err(Errno::ENOEXEC)
}

/// An `execve` past its point of no return: waits for the other threads to end.
struct ExecOp {
    loaded: Option<Loaded>,
    ctx: Arc<dyn Context>,
    cookie: u64,
    kernel: Arc<Kernel>,
    _wait: Registration,
}

impl Drop for ExecOp {
    fn drop(&mut self) {
        if self.loaded.is_some() {
            self.ctx.kill();
            self.kernel.remove_cookie(self.cookie);
        }
    }
}

impl Operation for ExecOp {
    fn step(mut self: Box<Self>, t: &Arc<Task>) -> SysResult<i64> {
        if t.thread_group().thread_count() > 1 {
            return Err(Stop::Wait(self));
        }
        let Some(loaded) = self.loaded.take() else {
            return Err(Stop::Gone);
        };
        t.become_program(loaded, self.ctx.clone(), self.cookie);
        Err(Stop::Regs)
    }
    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        OnSignal::Hold
    }
    fn name(&self) -> &'static str {
        "execve"
    }
}

impl Task {
    /// `execve(2)`: on success the task goes on in the new program.
    pub fn exec(self: &Arc<Task>, program: Program) -> SysResult<i64> {
        let limits = self.thread_group().all_limits();
        let loaded = load(&self.kernel, &self.fs(), &self.creds(), &limits, program)?;
        self.exec_loaded(loaded)
    }

    pub(crate) fn exec_loaded(self: &Arc<Task>, loaded: Loaded) -> SysResult<i64> {
        let cookie = self.kernel.add_cookie(self);
        let made = loaded
            .mm
            .space()
            .new_context(&loaded.regs, cookie, self.kernel.deal());
        let ctx = match made {
            Ok(ctx) => ctx,
            Err(_) => {
                self.kernel.remove_cookie(cookie);
                return Err(Errno::ENOMEM.into());
            }
        };
        let group = self.thread_group();
        let op = Box::new(ExecOp {
            loaded: Some(loaded),
            ctx,
            cookie,
            kernel: self.kernel.clone(),
            _wait: group
                .thread_gone
                .register(PollEvents::IN, self.waker(), Share::All),
        });
        let others = {
            let _tree = group.ns.tree();
            let mut threads = group.threads.lock();
            if self.doomed.load(Ordering::SeqCst) {
                return Err(Errno::EAGAIN.into());
            }
            threads.execing = Some(self.weak());
            let others: Vec<_> = threads
                .tasks
                .iter()
                .filter(|t| !Arc::ptr_eq(t, self))
                .cloned()
                .collect();
            others
                .iter()
                .for_each(|t| t.doomed.store(true, Ordering::SeqCst));
            others
        };
        for t in &others {
            t.doom();
        }
        op.step(self)
    }

    /// The other threads are gone: takes on the new program.
    fn become_program(self: &Arc<Task>, loaded: Loaded, ctx: Arc<dyn Context>, cookie: u64) {
        let group = self.thread_group();
        futex::robust::exit(self);
        {
            let _tree = group.ns.tree();
            group.threads.lock().execing = None;
            if !self.is_leader() {
                group.ns.rename_task(self.tid(), group.pid());
                self.set_tid(group.pid());
            }
        }
        let old_cookie = self.cookie();
        self.set_cookie(cookie);
        if let Some(old) = self.set_context(Some(ctx)) {
            self.add_earlier_cpu(old.cpu_time());
            old.kill();
        }
        self.kernel.remove_cookie(old_cookie);

        self.set_mm(loaded.mm);
        self.release_vfork();
        group.set_sighand(group.sighand().after_exec());
        self.sig.lock().altstack = StackT::new(0, SS_DISABLE, 0);
        self.clear_child_tid.store(0, Ordering::SeqCst);
        self.robust_list.store(0, Ordering::SeqCst);
        group
            .exit_signal
            .store(i32::from(Signal::SIGCHLD.raw()), Ordering::Relaxed);
        group.timers.clear_posix();
        group.did_exec.store(true, Ordering::Relaxed);
        if *self.creds() != loaded.creds {
            self.pdeathsig.store(0, Ordering::Relaxed);
        }
        self.set_creds(loaded.creds);
        self.set_comm(&loaded.comm);
        self.set_exe(loaded.exe);

        // A table shared with another process is left to it.
        let files = self.files();
        if Arc::strong_count(&files) > 2 {
            self.set_files(files.duplicate());
        }
        drop(files);
        drop(self.files().remove_cloexec());
    }
}
