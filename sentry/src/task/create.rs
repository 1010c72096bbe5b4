//! Processes that no guest forked: a container's init, and those the runtime adds to it.

use std::sync::{Arc, Weak};

use abi::Errno;
use abi::signal::SigSet;

use super::cgroup::Cgroup;
use super::exec::{self, ExecRequest};
use super::group::{NewGroup, ThreadGroup};
use super::limits::Limits;
use super::nsproxy::{CgroupNs, NsProxy};
use super::pid::{Pid, PidNamespace};
use super::sched::Sched;
use super::session::{ProcessGroup, Session};
use super::uts::UtsNamespace;
use super::{NewTask, Task};
use crate::Result;
use crate::creds::Creds;
use crate::fs::vfs::walk::{WalkCx, WalkFlags};
use crate::fs::{FdTable, FsContext};
use crate::kernel::Kernel;
use crate::keys::TaskKeys;
use crate::load;
use crate::signal::action::SigHand;
use crate::time::ns::TimeNs;

/// What a process that enters from outside is made from.
pub struct ProcessSpec {
    /// Program: an absolute path, or one relative to the current directory of `fs`.
    pub path: Vec<u8>,
    /// Arguments, the first being the name.
    pub argv: Vec<Vec<u8>>,
    /// Environment, `NAME=value`.
    pub envp: Vec<Vec<u8>>,
    /// User, groups, capabilities.
    pub creds: Creds,
    /// Limits.
    pub limits: Limits,
    /// Descriptors.
    pub files: Arc<FdTable>,
    /// Root, current directory, umask.
    pub fs: Arc<FsContext>,
    /// Host and domain name.
    pub uts: Arc<UtsNamespace>,
    /// Control group.
    pub cgroup: Arc<Cgroup>,
}

impl Kernel {
    /// Makes a process in a namespace, its init if it is the first (pid 1), which does not
    /// run before [`ThreadGroup::start`]. Errors are those of `execve(2)`.
    pub fn create_process(
        self: &Arc<Kernel>,
        ns: &Arc<PidNamespace>,
        spec: ProcessSpec,
    ) -> Result<Arc<ThreadGroup>> {
        let id = ns.allocate(&[], None)?;
        let made = self.build(&id, spec);
        if made.is_err() {
            PidNamespace::release(&id);
        }
        made
    }

    fn build(self: &Arc<Kernel>, id: &Arc<Pid>, spec: ProcessSpec) -> Result<Arc<ThreadGroup>> {
        let session = Session::new(id);
        let pgrp = ProcessGroup::new(id, session.clone());
        let group = ThreadGroup::new(NewGroup {
            kernel: self.clone(),
            id: id.clone(),
            cgroup: spec.cgroup,
            parent: Weak::new(),
            pgrp: pgrp.clone(),
            limits: spec.limits,
            sighand: Arc::new(SigHand::default()),
            exit_signal: 0,
        });
        let cx = WalkCx {
            root: spec.fs.root(),
            cwd: spec.fs.cwd(),
            creds: Arc::new(spec.creds),
            umask: spec.fs.umask(),
            task: None,
            devices: None,
        };
        let file = load::open_exec(&cx, &cx.cwd, &spec.path, WalkFlags::empty())?;
        let request = ExecRequest {
            file,
            name: spec.path,
            argv: spec.argv,
            envp: spec.envp,
            vanishes: false,
        };
        let loaded = exec::load(self, &cx, &spec.limits, 0, request)?;
        let time = TimeNs::initial();
        group.cgroup.adopt(&**loaded.mm.space())?;
        let task = Task::new(
            self,
            NewTask {
                id: id.clone(),
                group: group.clone(),
                mm: loaded.mm.clone(),
                files: spec.files,
                fs: spec.fs,
                creds: Arc::new(loaded.creds.clone()),
                namespaces: NsProxy {
                    uts: spec.uts,
                    ipc: self.ipc.clone(),
                    net: self.net.clone(),
                    cgroup: CgroupNs::initial(),
                    pid_for_children: id.ns.clone(),
                    time: time.clone(),
                    time_for_children: time,
                },
                keys: TaskKeys::default(),
                mask: SigSet::EMPTY,
                comm: loaded.comm.clone(),
                exe: loaded.exe.clone(),
                sched: Sched::normal(usize::try_from(self.host.cpus).unwrap_or(1)),
                personality: 0,
                timer_slack: 50_000,
            },
        );
        let ctx = loaded
            .mm
            .space()
            .new_context(&loaded.regs, task.cookie(), self.deal())
            .map_err(|_| Errno::ENOMEM);
        let ctx = match ctx {
            Ok(ctx) => ctx,
            Err(e) => {
                self.remove_cookie(task.cookie());
                return Err(e);
            }
        };
        task.set_context(Some(ctx));
        let _tree = id.ns.tree();
        PidNamespace::add_session(&session);
        PidNamespace::add_pgrp(&pgrp);
        pgrp.join(&group);
        group.threads.lock().tasks.push(task.clone());
        PidNamespace::add_group(&group);
        group.cgroup.enter();
        PidNamespace::add_task(id, &task);
        Ok(group)
    }
}

impl ThreadGroup {
    /// Lets a process made by [`Kernel::create_process`] run.
    pub fn start(&self) {
        if let Some(task) = self.main_task() {
            task.start();
        }
    }
}
