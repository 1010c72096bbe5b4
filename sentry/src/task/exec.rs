//! Replacing a process' program (`execve(2)`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::fs::PollEvents;
use abi::signal::{Signal, StackT};
use platform::{Context, Registers};

use super::limits::{Limits, Resource};
use super::{PidNamespace, Task};
use crate::Result;
use crate::creds::{Cap, Creds};
use crate::filecap::{self, FileCaps};
use crate::fs::File;
use crate::fs::vfs::walk::WalkCx;
use crate::fs::vfs::{MountFlags, Path};
use crate::fs::write_access::OpenAccess;
use crate::futex;
use crate::kernel::Kernel;
use crate::load::{self, Program, StartInfo};
use crate::mm::{Mm, MmLimits};
use crate::ptrace::Event;
use crate::signal::{SS_DISABLE, info};
use crate::task::gate::Hooks;
use crate::wait::{OnSignal, Operation, Registration, Share, Stop, SysResult};

/// The program a process runs.
#[derive(Clone)]
pub struct ExeInfo {
    /// Its open file (`/proc/PID/exe`).
    pub file: Arc<File>,
    /// Keeps it from being written while it runs.
    pub(crate) _deny_write: Option<Arc<OpenAccess>>,
}

impl ExeInfo {
    /// Where the file is.
    pub fn path(&self) -> Option<&Path> {
        self.file.path.as_ref()
    }
}

/// What is to be run.
pub struct ExecRequest {
    /// The executable, which [`crate::load::open_exec`] gave.
    pub file: Arc<File>,
    /// The path it was asked for by.
    pub name: Vec<u8>,
    /// Arguments.
    pub argv: Vec<Vec<u8>>,
    /// Environment.
    pub envp: Vec<Vec<u8>>,
    /// The name means a descriptor that is closed by the execution.
    pub vanishes: bool,
}

/// A program loaded into a new address space.
pub(crate) struct Loaded {
    pub(crate) mm: Arc<Mm>,
    pub(crate) regs: Registers,
    pub(crate) creds: Creds,
    pub(crate) comm: Vec<u8>,
    pub(crate) exe: Option<ExeInfo>,
}

/// `ADDR_NO_RANDOMIZE` of `personality(2)`.
const NO_RANDOMIZE: u32 = 0x0040_0000;

/// Loads a program into a new address space, for whoever `cx` stands for.
pub(crate) fn load(
    kernel: &Arc<Kernel>,
    cx: &WalkCx<'_>,
    limits: &Limits,
    personality: u32,
    request: ExecRequest,
) -> Result<Loaded> {
    let comm = comm_of(&request.name);
    let asked = request.file.clone();
    let program = Program::open(cx, request.file, request.name, request.argv)?;
    if request.vanishes && !Arc::ptr_eq(&asked, &program.file) {
        // The interpreter could not open the script.
        return Err(Errno::ENOENT);
    }
    let inode = program.file.inode().ok_or(Errno::EACCES)?;
    let deny_write = OpenAccess::deny(&inode)?.map(Arc::new);
    let (creds, secure) = creds_for(&cx.creds, &program.file)?;
    let space = kernel
        .platform
        .new_address_space()
        .map_err(|_| Errno::ENOMEM)?;
    let mm = Mm::new(space, kernel.frames.clone(), kernel.platform.guest_range());
    mm.set_user_ns(&cx.creds.user_ns);
    let info = StartInfo {
        envp: &request.envp,
        creds: &creds,
        secure,
        limits: mm_limits(limits, &creds),
        randomise: personality & NO_RANDOMIZE == 0,
    };
    let regs = load::load(&mm, &program, &info)?;
    Ok(Loaded {
        mm,
        regs,
        creds,
        comm,
        exe: Some(ExeInfo {
            file: program.file,
            _deny_write: deny_write,
        }),
    })
}

/// The limits an address space heeds.
pub fn mm_limits(limits: &Limits, creds: &Creds) -> MmLimits {
    let soft = |r| limits.get(r).soft;
    MmLimits {
        address_space: soft(Resource::As),
        data: soft(Resource::Data),
        stack: soft(Resource::Stack),
        memlock: soft(Resource::Memlock),
        may_lock: creds.capable(Cap::IpcLock),
    }
}

/// The last component of a path.
fn comm_of(name: &[u8]) -> Vec<u8> {
    name.rsplit(|b| *b == b'/').next().unwrap_or(name).to_vec()
}

/// Whether a program's mount is of no namespace, or of a user namespace that `old` is not
/// in: then its bits and capabilities give nothing.
fn gives_nothing(old: &Creds, path: &Path) -> bool {
    path.mount.namespace().is_none() || !old.user_ns.within(&path.mount.sb.user_ns)
}

/// Credentials a program starts with: set-id bits, capabilities; and whether it gained
/// privilege.
fn creds_for(old: &Creds, file: &Arc<File>) -> Result<(Creds, bool)> {
    let inode = file.inode().ok_or(Errno::EACCES)?;
    let attr = inode.attr()?;
    let nosuid = file
        .path
        .as_ref()
        .is_none_or(|p| p.mount.flags().contains(MountFlags::NOSUID) || gives_nothing(old, p));
    let honour = !nosuid && !old.no_new_privs;
    // Owner and group have to be there in the caller's user namespace.
    let ns = &old.user_ns;
    let mapped = ns.uid_to_user(attr.uid).is_some() && ns.gid_to_user(attr.gid).is_some();
    let honour = honour && mapped;
    let set_uid = (honour && attr.perm & 0o4000 != 0).then_some(attr.uid);
    // Set-group-id without group execute was mandatory locking, not a privilege.
    let set_gid = (honour && attr.perm & 0o2010 == 0o2010).then_some(attr.gid);
    // Where the file gives nothing it need not be asked.
    let value = (!nosuid).then(|| inode.get_xattr(filecap::NAME).ok());
    let caps = match value.flatten() {
        Some(value) => FileCaps::parse(&value)?,
        None => None,
    };
    let new = old.after_exec(set_uid, set_gid, caps)?;
    let more = caps.is_some_and(|c| c.is_effective()) || new.permitted.0 & !new.ambient.0 != 0;
    let secure =
        new.euid != old.uid || new.egid != old.gid || ns.uid_to_kernel(0) != Some(new.uid) && more;
    Ok((new, secure))
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
        let old = t.tracer().map_or(0, |by| t.tid_in(by.pid_ns()));
        t.become_program(loaded, self.ctx.clone(), self.cookie);
        t.after_exec(old)
    }
    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        OnSignal::Hold
    }
    fn uninterruptible(&self) -> bool {
        true
    }
    fn name(&self) -> &'static str {
        "execve"
    }
}

impl Task {
    /// `execve(2)`: on success the task goes on in the new program.
    pub fn exec(self: &Arc<Task>, request: ExecRequest) -> SysResult<i64> {
        let limits = self.thread_group().all_limits();
        let personality = self.personality.load(Ordering::Relaxed);
        let mut cx = WalkCx::of(self);
        // Set-id bits do not count under a tracer that may not have them.
        let own = cx.creds.no_new_privs;
        let own_ns = cx.creds.user_ns.clone();
        let weak_tracer = |t: Arc<Task>| !t.creds().ns_capable(&own_ns, Cap::SysPtrace);
        if self.tracer().is_some_and(weak_tracer) {
            let mut creds = (*cx.creds).clone();
            creds.no_new_privs = true;
            cx.creds = Arc::new(creds);
        }
        let mut loaded = load(&self.kernel, &cx, &limits, personality, request)?;
        self.thread_group().cgroup.adopt(&**loaded.mm.space())?;
        loaded.creds.no_new_privs = own;
        self.exec_loaded(loaded)
    }

    /// A tracer learns that the program is another; `old`: the thread's number before, as the
    /// tracer knows it.
    fn after_exec(self: &Arc<Task>, old: i32) -> SysResult<i64> {
        if !self.hooked(Hooks::TRACED) {
            return Err(Stop::Regs);
        }
        if !self.wants(Event::Exec) && !self.ptrace.lock().seized {
            let uid = self.creds().uid;
            self.post_signal(info::user(Signal::SIGTRAP, self.pid(), uid));
        }
        let message = u64::try_from(old).unwrap_or(0);
        self.event_stop(Event::Exec, message, |_| Err(Stop::Regs))
    }

    /// The limits this task's address space heeds.
    pub fn mm_limits(&self) -> MmLimits {
        mm_limits(&self.thread_group().all_limits(), &self.creds())
    }

    pub(crate) fn exec_loaded(self: &Arc<Task>, loaded: Loaded) -> SysResult<i64> {
        let time = self.namespaces().time_for_children;
        self.kernel.fit_vdso(&loaded.mm, time.enter())?;
        let cookie = self.kernel.add_cookie(self);
        let made = loaded
            .mm
            .space()
            .new_context(&loaded.regs, cookie, self.kernel.deal_near());
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
                PidNamespace::rename_task(&self.id(), &group.id);
                self.become_leader();
            }
        }
        let old_cookie = self.cookie();
        self.drop_keyrings();
        self.forget_rseq(old_cookie);
        self.set_cookie(cookie);
        if let Some(old) = self.set_context(Some(ctx)) {
            self.add_earlier_cpu(old.cpu_time());
            old.kill();
        }
        self.bind_new();
        self.kernel.remove_cookie(old_cookie);

        self.streak.store(0, Ordering::Relaxed);
        self.set_mm(loaded.mm);
        self.enter_time();
        self.release_vfork();
        group.set_sighand(group.sighand().after_exec());
        self.sig.lock().altstack = StackT::new(0, SS_DISABLE, 0);
        self.clear_child_tid.store(0, Ordering::SeqCst);
        self.robust_list.store(0, Ordering::SeqCst);
        // Switching it off cannot fail.
        let _ = self.set_user_dispatch(None);
        group
            .exit_signal
            .store(i32::from(Signal::SIGCHLD.raw()), Ordering::Relaxed);
        group.timers.clear_posix();
        group.did_exec.store(true, Ordering::Relaxed);
        let changed = {
            let old = self.creds();
            old.euid != loaded.creds.euid
                || old.egid != loaded.creds.egid
                || loaded.creds.permitted.0 & !old.permitted.0 != 0
        };
        if changed {
            self.pdeathsig.store(0, Ordering::Relaxed);
        }
        self.set_creds(loaded.creds);
        group.set_dumpable(!changed);
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
