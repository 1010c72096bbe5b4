//! Making tasks from tasks (`clone(2)`, `fork(2)`, `vfork(2)`).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use abi::Errno;
use abi::fs::PollEvents;
use abi::raw::general as raw;
use abi::signal::{Signal, StackT};
use platform::{Context, Registers};

use super::group::{NewGroup, ThreadGroup};
use super::pid::{Pid, PidNamespace};
use super::pidfd::PidFd;
use super::{NewTask, NsProxy, Task};
use crate::creds::{Cap, Creds};
use crate::fs::file::OpenFlags;
use crate::mm::Mm;
use crate::mm::patch::Kind;
use crate::ptrace::Event;
use crate::signal::{SS_DISABLE, info, send};
use crate::task::gate::Hooks;
use crate::task::limits::Resource;
use crate::task::namespace;
use crate::wait::{OnSignal, Operation, Pollee, Registration, Share, Stop, SysResult};
use crate::{Result, fs::FdTable};

/// Arguments of `clone3(2)`; the older calls are special cases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in clone(2)")]
pub struct CloneArgs {
    pub flags: u64,
    pub pidfd: u64,
    pub child_tid: u64,
    pub parent_tid: u64,
    pub exit_signal: i32,
    /// Stack pointer of the child; 0 to go on with the parent's.
    pub stack: u64,
    pub tls: u64,
    /// The child's numbers from its own namespace outwards, if it is to have certain ones.
    pub set_tid: Vec<i32>,
}

/// The `CLONE_*` flag as a 64-bit mask.
const fn bit(flag: u32) -> u64 {
    flag as u64
}

/// Namespaces a kernel may be built without; those of networks are not there.
const NAMESPACES: u64 = bit(raw::CLONE_NEWNS)
    | bit(raw::CLONE_NEWCGROUP)
    | bit(raw::CLONE_NEWUTS)
    | bit(raw::CLONE_NEWIPC)
    | bit(raw::CLONE_NEWUSER)
    | bit(raw::CLONE_NEWPID)
    | bit(raw::CLONE_NEWNET)
    | bit(raw::CLONE_NEWTIME);
/// `CLONE_CLEAR_SIGHAND`.
const CLEAR_SIGHAND: u64 = 1 << 32;
/// `CLONE_INTO_CGROUP`.
const INTO_CGROUP: u64 = 1 << 33;

impl CloneArgs {
    fn has(&self, flag: u32) -> bool {
        self.flags & bit(flag) != 0
    }

    /// What a tracer calls it; `None` when the child is never traced.
    fn event(&self) -> Option<Event> {
        if self.has(raw::CLONE_UNTRACED) {
            None
        } else if self.has(raw::CLONE_VFORK) {
            Some(Event::Vfork)
        } else if self.exit_signal != 17 {
            Some(Event::Clone)
        } else {
            Some(Event::Fork)
        }
    }

    /// The combinations `clone(2)` names as errors.
    fn check(&self, t: &Task) -> Result<()> {
        let bad = self.has(raw::CLONE_NEWNS) && self.has(raw::CLONE_FS)
            || self.has(raw::CLONE_NEWUSER) && self.has(raw::CLONE_FS)
            || self.has(raw::CLONE_THREAD) && !self.has(raw::CLONE_SIGHAND)
            || self.has(raw::CLONE_SIGHAND) && !self.has(raw::CLONE_VM)
            || self.has(raw::CLONE_SIGHAND) && self.flags & CLEAR_SIGHAND != 0
            || self.has(raw::CLONE_PARENT) && t.thread_group().is_init()
            || self.has(raw::CLONE_THREAD)
                && (self.has(raw::CLONE_NEWUSER) || self.has(raw::CLONE_NEWPID))
            || self.has(raw::CLONE_PIDFD) && self.has(raw::CLONE_DETACHED)
            || self.flags & INTO_CGROUP != 0;
        if bad {
            return Err(Errno::EINVAL);
        }
        // Threads of a process have one numbering.
        if self.has(raw::CLONE_THREAD) && !Arc::ptr_eq(&t.namespaces().pid_for_children, t.pid_ns())
        {
            return Err(Errno::EINVAL);
        }
        check_namespaces(t, self.flags)?;
        if self.has(raw::CLONE_NEWIPC) && self.has(raw::CLONE_SYSVSEM) {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }
}

/// What `clone(2)` and `unshare(2)` answer for `CLONE_NEW*` flags.
pub fn check_namespaces(t: &Task, flags: u64) -> Result<()> {
    let wanted = flags & NAMESPACES;
    if wanted == 0 {
        return Ok(());
    }
    if wanted & bit(raw::CLONE_NEWUSER) == 0 && !t.creds().own_capable(Cap::SysAdmin) {
        return Err(Errno::EPERM);
    }
    let there = bit(raw::CLONE_NEWUTS)
        | bit(raw::CLONE_NEWIPC)
        | bit(raw::CLONE_NEWNET)
        | bit(raw::CLONE_NEWCGROUP)
        | bit(raw::CLONE_NEWNS)
        | bit(raw::CLONE_NEWPID)
        | bit(raw::CLONE_NEWTIME)
        | bit(raw::CLONE_NEWUSER);
    let mounts = wanted & bit(raw::CLONE_NEWNS) == 0 || t.fs().mounts().is_some();
    if wanted & !there != 0 || !mounts {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// Told when a `vfork` child has left its parent's memory.
#[derive(Default)]
pub struct VforkDone {
    done: AtomicBool,
    event: Pollee,
}

impl fmt::Debug for VforkDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VforkDone({:?})", self.done)
    }
}

/// A parent waiting for its `vfork` child.
struct VforkWait {
    done: Arc<VforkDone>,
    child: i32,
    _wait: Registration,
}

impl Operation for VforkWait {
    fn step(self: Box<Self>, t: &Arc<Task>) -> SysResult<i64> {
        if self.done.done.load(Ordering::SeqCst) {
            let child = i64::from(self.child);
            t.event_stop(Event::VforkDone, child.cast_unsigned(), move |_| Ok(child))
        } else {
            Err(Stop::Wait(self))
        }
    }
    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        OnSignal::Hold
    }
    fn uninterruptible(&self) -> bool {
        true
    }
    fn name(&self) -> &'static str {
        "vfork"
    }
}

impl Task {
    /// The child has left the memory it shared with its `vfork` parent.
    pub(crate) fn release_vfork(&self) {
        let waiting = self.vfork.lock().take();
        if let Some(v) = waiting {
            v.done.store(true, Ordering::SeqCst);
            v.event.notify(PollEvents::IN);
        }
    }

    /// `clone(2)`: makes a child and lets it run; its tid.
    pub fn clone_task(self: &Arc<Task>, args: &CloneArgs) -> SysResult<i64> {
        args.check(self)?;
        let mut regs = self.context()?.regs().ok_or(Errno::EINVAL)?;
        regs.gp.rax = 0;
        let sp = regs.gp.rsp;
        if args.stack != 0 {
            regs.gp.rsp = args.stack;
        }
        if args.has(raw::CLONE_SETTLS) {
            if args.tls >= abi::TASK_SIZE {
                return Err(Errno::EPERM.into());
            }
            regs.gp.fs_base = args.tls;
        }
        self.check_nproc()?;
        let mm = if args.has(raw::CLONE_VM) {
            self.mm()
        } else {
            let mm = self.mm();
            // Nobody else writes there when no other thread or process has it.
            let alone = self.thread_group().thread_count() == 1 && Arc::strong_count(&mm) == 2;
            mm.fork(alone.then_some(sp))?
        };
        let (tid, child) = self.numbered_child(args, mm, &regs)?;
        let vfork = args.has(raw::CLONE_VFORK).then(|| {
            let done = Arc::new(VforkDone::default());
            *child.vfork.lock() = Some(done.clone());
            done
        });
        let event = args.event();
        if let Some(event) = event
            && self.hooked(Hooks::TRACED)
        {
            self.inherit_tracer(&child, event);
        }
        child.start();
        let message = self.tracer().map_or(0, |by| child.tid_in(by.pid_ns()));
        let message = u64::try_from(message).unwrap_or(0);
        let Some(done) = vfork else {
            let Some(event) = event else {
                return Ok(i64::from(tid));
            };
            return self.event_stop(event, message, move |_| Ok(i64::from(tid)));
        };
        let wait = done
            .event
            .register(PollEvents::IN, self.waker(), Share::All);
        let wait = Box::new(VforkWait {
            done,
            child: tid,
            _wait: wait,
        });
        match event {
            Some(event) => self.event_stop(event, message, move |t| wait.step(t)),
            None => wait.step(self),
        }
    }

    /// The child under a number of its own, counted in the control group.
    fn numbered_child(
        self: &Arc<Task>,
        args: &CloneArgs,
        mm: Arc<Mm>,
        regs: &Registers,
    ) -> Result<(i32, Arc<Task>)> {
        let creds = if args.has(raw::CLONE_NEWUSER) {
            Arc::new(namespace::new_user(self)?)
        } else {
            self.creds()
        };
        let mut namespaces = NsProxy::unshared(self, args.flags, &creds.user_ns)?;
        if !args.has(raw::CLONE_VM) {
            // A sharer of the memory reads the same clocks as its parent.
            namespaces.time = namespaces.time_for_children.clone();
            self.kernel.fit_vdso(&mm, namespaces.time.enter())?;
        }
        let cgroup = &self.thread_group().cgroup;
        cgroup.charge()?;
        let ns = namespaces.pid_for_children.clone();
        let made = ns.allocate(&args.set_tid, Some(&creds)).and_then(|id| {
            let child = self.make_child(args, (&id, creds, namespaces), mm, regs);
            let child = child.inspect_err(|_| PidNamespace::release(&id))?;
            Ok((id.nr_in(self.pid_ns()), child))
        });
        made.inspect_err(|_| cgroup.uncharge())
    }

    /// `RLIMIT_NPROC` for users without the capabilities that lift it.
    fn check_nproc(&self) -> Result<()> {
        let creds = self.creds();
        let limit = self.limit(Resource::Nproc);
        if limit == u64::MAX
            || creds.uid == 0
            || creds.capable(Cap::SysAdmin)
            || creds.capable(Cap::SysResource)
        {
            return Ok(());
        }
        let groups = self.pid_ns().first().groups();
        let mine = groups.iter().filter(|g| g.owner().0 == creds.uid);
        let threads: usize = mine.map(|g| g.thread_count().max(1)).sum();
        if threads as u64 >= limit {
            Err(Errno::EAGAIN)
        } else {
            Ok(())
        }
    }

    fn make_child(
        self: &Arc<Task>,
        args: &CloneArgs,
        (id, creds, namespaces): (&Arc<Pid>, Arc<Creds>, NsProxy),
        mm: Arc<Mm>,
        regs: &Registers,
    ) -> Result<Arc<Task>> {
        let group = if args.has(raw::CLONE_THREAD) {
            self.thread_group().clone()
        } else {
            self.new_group(args, id)
        };
        let child = Task::new(
            &self.kernel,
            self.inherit(args, (id, &creds, namespaces), group, mm.clone())?,
        );
        self.set_child_state(&child, args);
        let made = mm
            .space()
            .new_context(regs, child.cookie(), self.kernel.deal_near())
            .map_err(|_| Errno::EAGAIN)
            .and_then(|ctx| {
                let kept = args.has(raw::CLONE_VM) || self.pass_rseq(&child, &mm, &*ctx);
                self.admit(&child, args, ctx)?;
                Ok(kept)
            });
        match made {
            Ok(true) => {}
            Ok(false) => {
                let info = info::fault(Signal::SIGSEGV, info::SI_KERNEL, 0);
                send::force_fatal(&child, info);
            }
            Err(e) => {
                if let Some(ctx) = child.set_context(None) {
                    ctx.kill();
                }
                self.kernel.remove_cookie(child.cookie());
                return Err(e);
            }
        }
        Ok(child)
    }

    fn new_group(&self, args: &CloneArgs, id: &Arc<Pid>) -> Arc<ThreadGroup> {
        let mine = self.thread_group();
        let sighand = mine.sighand();
        let sighand = if args.has(raw::CLONE_SIGHAND) {
            sighand
        } else if args.flags & CLEAR_SIGHAND != 0 {
            sighand.cleared()
        } else {
            sighand.duplicate()
        };
        let parent = if args.has(raw::CLONE_PARENT) {
            mine.parent()
        } else {
            mine.arc()
        };
        let exit_signal = if args.has(raw::CLONE_PARENT) {
            mine.exit_signal.load(Ordering::Relaxed)
        } else {
            args.exit_signal
        };
        let group = ThreadGroup::new(NewGroup {
            kernel: self.kernel.clone(),
            id: id.clone(),
            cgroup: mine.cgroup.clone(),
            parent: parent
                .as_ref()
                .map_or_else(Default::default, Arc::downgrade),
            pgrp: mine.pgrp(),
            limits: mine.all_limits(),
            sighand,
            exit_signal,
        });
        group.set_dumpable(mine.dumpable());
        let filter = mine.coredump_filter.load(Ordering::Relaxed);
        group.coredump_filter.store(filter, Ordering::Relaxed);
        group
    }

    fn inherit(
        &self,
        args: &CloneArgs,
        (id, creds, namespaces): (&Arc<Pid>, &Arc<Creds>, NsProxy),
        group: Arc<ThreadGroup>,
        mm: Arc<Mm>,
    ) -> Result<NewTask> {
        let (files, fs) = (self.files(), self.fs());
        let files: Arc<FdTable> = if args.has(raw::CLONE_FILES) {
            files
        } else {
            files.duplicate()
        };
        let fs = if args.has(raw::CLONE_FS) {
            fs
        } else {
            Arc::new(fs.duplicate())
        };
        if args.has(raw::CLONE_NEWNS) {
            fs.unshare_mounts(&creds.user_ns)?;
        }
        Ok(NewTask {
            id: id.clone(),
            group,
            mm,
            files,
            fs,
            namespaces,
            keys: self.keys.lock().for_child(),
            creds: creds.clone(),
            mask: self.sigmask(),
            comm: self.comm(),
            exe: self.exe(),
            sched: self.sched.lock().for_child(),
            personality: self.personality.load(Ordering::Relaxed),
            timer_slack: self.timer_slack.load(Ordering::Relaxed),
        })
    }

    fn set_child_state(&self, child: &Task, args: &CloneArgs) {
        if args.has(raw::CLONE_CHILD_CLEARTID) {
            child
                .clear_child_tid
                .store(args.child_tid, Ordering::SeqCst);
        }
        // The alternate stack is kept by a copy of the memory, not by a sharer of it.
        let shares = args.has(raw::CLONE_VM) && !args.has(raw::CLONE_VFORK);
        child.sig.lock().altstack = if shares {
            StackT::new(0, SS_DISABLE, 0)
        } else {
            self.sig.lock().altstack
        };
    }

    /// Enters the child into the tree and writes what the parent asked for. Nothing is left
    /// behind on an error.
    fn admit(
        self: &Arc<Task>,
        child: &Arc<Task>,
        args: &CloneArgs,
        ctx: Arc<dyn Context>,
    ) -> Result<()> {
        child.set_context(Some(ctx));
        child.bind_new();
        if args.has(raw::CLONE_NEWUSER) {
            child.answers_changed(Kind::User);
        }
        let group = child.thread_group();
        if args.has(raw::CLONE_PIDFD) {
            let file = PidFd::file(group, OpenFlags::empty());
            let limit = self.limit(Resource::Nofile);
            let fd = self.files().install(file, 0, true, limit)?;
            let written = self.mm().copy_out(args.pidfd, &fd.to_ne_bytes());
            if written.is_err() {
                drop(self.files().remove(fd));
                return Err(Errno::EFAULT);
            }
        }
        let linked = self.link(child);
        if linked.is_ok() {
            if args.has(raw::CLONE_PARENT_SETTID) {
                let nr = child.tid_in(self.pid_ns());
                // Like Linux, a fault here goes unnoticed.
                let _: Result<(), _> = self.mm().copy_out(args.parent_tid, &nr.to_ne_bytes());
            }
            if args.has(raw::CLONE_CHILD_SETTID) {
                let own = child.tid().to_ne_bytes();
                let _: Result<(), _> = child.mm().copy_out(args.child_tid, &own);
            }
        }
        linked
    }

    fn link(self: &Arc<Task>, child: &Arc<Task>) -> Result<()> {
        let group = child.thread_group();
        let new_process = !Arc::ptr_eq(group, self.thread_group());
        let ns = &group.ns;
        let _tree = ns.tree();
        if ns.is_dead() {
            return Err(Errno::ENOMEM);
        }
        if self.doomed.load(Ordering::SeqCst) || self.thread_group().is_exiting() {
            return Err(Errno::EAGAIN);
        }
        // With the tree lock held, so that no filter for all threads misses it.
        child.set_seccomp(self.seccomp());
        group.threads.lock().tasks.push(child.clone());
        if new_process {
            *group.forker.lock() = self.weak();
            if let Some(parent) = group.parent() {
                parent.rel.lock().children.push(group.clone());
            }
            group.pgrp().join(group);
            PidNamespace::add_group(group);
            group.check_cpu_limit();
        } else {
            // It joins a stop under way.
            let sig = group.signals.lock();
            if sig.stop.is_some() && !sig.stopped {
                child.attention.store(true, Ordering::SeqCst);
            }
        }
        if group.cgroup.is_frozen() {
            child.attention.store(true, Ordering::SeqCst);
        }
        PidNamespace::add_task(&child.id(), child);
        Ok(())
    }
}
