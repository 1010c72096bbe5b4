//! Making containers: from a [`spec::ContainerSpec`] to a tree of mounts and a held first
//! process, then start, exec and signals for those who control it.

mod mounts;
mod process;
pub mod spec;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use abi::Errno;
use abi::signal::Signal;

use crate::fs::FsContext;
use crate::fs::devpts::DevPts;
use crate::fs::gofer::Session;
use crate::fs::vfs::MountNamespace;
use crate::kernel::Kernel;
use crate::seccomp::Mode;
use crate::signal::{info, send};
use crate::sync::Mutex;
use crate::task::cgroup::{Cgroup, NewCgroup};
use crate::task::device_rules::DeviceRules;
use crate::task::group::ThreadGroup;
use crate::task::pid::PidNamespace;
use crate::task::uts::UtsNamespace;
use crate::userns::UserNs;
use spec::{BootError, ContainerSpec, ExitStatus, MountSource, ProcessSpec};

pub use process::Terminal;

/// Containers of this kernel whose namespaces a new one shares.
#[derive(Debug, Default)]
pub struct Shared {
    /// Whose processes it is among.
    pub pids: Option<Arc<Container>>,
    /// Whose host name it has.
    pub uts: Option<Arc<Container>>,
}

/// A container in this kernel. The first process is held until [`Container::start`].
pub struct Container {
    kernel: Arc<Kernel>,
    /// Its id.
    pub id: String,
    mounts: Arc<MountNamespace>,
    devpts: Arc<DevPts>,
    pids: Arc<PidNamespace>,
    uts: Arc<UtsNamespace>,
    cgroup: Arc<Cgroup>,
    /// How the calls of processes from outside are judged from the start.
    seccomp: Mode,
    init: Mutex<Option<Arc<ThreadGroup>>>,
    terminals: Mutex<HashMap<i32, Terminal>>,
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Container({})", self.id)
    }
}

/// Told once when a process ends.
pub type OnExit = Box<dyn FnOnce(ExitStatus) + Send>;

impl Container {
    /// Builds the mount tree and loads the first process, which does not run yet.
    /// `on_exit` hears of its end; all other processes of the container are killed then.
    /// Namespaces are new, except those that are `shared`.
    pub fn create(
        kernel: &Arc<Kernel>,
        gofer: Arc<gofer::client::Client>,
        mut spec: ContainerSpec,
        shared: &Shared,
        on_exit: OnExit,
    ) -> Result<Arc<Container>, BootError> {
        let (host, domain) = (spec.hostname.as_bytes(), spec.domainname.as_bytes());
        let uts = match &shared.uts {
            Some(other) => other.uts.clone(),
            None => Arc::new(UtsNamespace::new(
                kernel.next_ns_ino(),
                UserNs::INITIAL,
                host,
                domain,
            )),
        };
        let pids = match &shared.pids {
            Some(other) => other.pids.clone(),
            None => PidNamespace::new(kernel.next_ns_ino()),
        };
        let cgroup = cgroup(&mut spec);
        let tree = mounts::build(
            kernel,
            &Session::with_kernel(kernel, gofer),
            (&pids, &uts, &cgroup),
            &spec,
        )?;
        for (name, value) in &spec.sysctls {
            let path = name.replace('.', "/");
            crate::fs::proc::set_sysctl(kernel, &path, value)
                .map_err(|_| BootError::Sysctl(name.clone()))?;
        }
        let seccomp = Mode::profile(spec.seccomp).map_err(|errno| BootError::Other {
            what: "loading the seccomp profile".to_owned(),
            errno,
        })?;
        let container = Arc::new(Container {
            kernel: kernel.clone(),
            id: spec.id,
            mounts: tree.ns,
            devpts: tree.devpts,
            pids,
            uts,
            cgroup: cgroup.clone(),
            seccomp,
            init: Mutex::new(None),
            terminals: Mutex::default(),
        });
        let (owner, group) = (kernel.clone(), cgroup);
        let on_exit = Box::new(move |status| {
            // Where the pid namespace is another's, nobody else ends those left behind.
            for left in group.groups(&owner) {
                left.kill();
            }
            on_exit(status);
        });
        let init = container.launch(spec.process, on_exit)?;
        *container.init.lock() = Some(init);
        Ok(container)
    }

    /// Lets the first process run; `ESRCH` when it has ended already.
    pub fn start(&self) -> Result<(), BootError> {
        let init = self.init.lock().clone().filter(|i| !i.is_zombie());
        let what = || "starting the container".to_owned();
        let init = init.ok_or_else(|| BootError::Other {
            what: what(),
            errno: Errno::ESRCH,
        })?;
        init.start();
        Ok(())
    }

    /// Takes over what the host says of the network.
    pub fn set_network(&self, spec: crate::net::outside::NetSpec) {
        self.kernel.net.update(&self.kernel, spec);
    }

    /// Records all frames of the links in a file (pcap).
    pub fn record_frames(&self, file: std::os::fd::OwnedFd) {
        self.kernel.net.outside.record(file);
    }

    /// Runs another process in the container; returns its pid in the container.
    pub fn exec(&self, spec: ProcessSpec, on_exit: OnExit) -> Result<i32, BootError> {
        let group = self.launch(spec, on_exit)?;
        group.start();
        Ok(group.pid())
    }

    /// Sends a signal to a process by its pid in the container; `false` when there is no
    /// such process. `SIGKILL` reaches init too, as from outside.
    pub fn signal(&self, pid: i32, signal: Signal) -> bool {
        let group = self.pids.group(pid);
        group.is_some_and(|g| signal_from_outside(&g, signal))
    }

    /// Sends a signal to the first process; `false` when it has ended.
    pub fn signal_init(&self, signal: Signal) -> bool {
        let init = self.init.lock().clone();
        init.is_some_and(|g| signal_from_outside(&g, signal))
    }

    /// Sends a signal to every process of the container.
    pub fn signal_all(&self, signal: Signal) {
        for group in self.cgroup.groups(&self.kernel) {
            signal_from_outside(&group, signal);
        }
    }

    /// Number of the first process in its namespace; 0 when it has not been made.
    pub fn init_pid(&self) -> i32 {
        self.init.lock().as_ref().map_or(0, |g| g.pid())
    }

    /// Stops all its guest code until [`Container::resume`].
    pub fn pause(&self) {
        self.cgroup.freeze(&self.kernel);
    }

    /// Lets it run on.
    pub fn resume(&self) {
        self.cgroup.thaw(&self.kernel);
    }

    /// Limits the container's threads from now on; `None` for no limit. Those there are
    /// stay, as with `pids.max`.
    pub fn set_pids_limit(&self, max: Option<u64>) {
        self.cgroup.set_max(max);
    }

    /// Tells the terminal of a process started with one that its window changed.
    pub fn resize(&self, pid: i32, rows: u16, cols: u16) {
        if let Some(terminal) = self.terminals.lock().get(&pid) {
            terminal.resize(rows, cols);
        }
    }

    /// Its processes, for `ps`.
    pub fn processes(&self) -> Vec<ProcessInfo> {
        let groups = self.cgroup.groups(&self.kernel);
        groups.iter().map(|g| ProcessInfo::of(g)).collect()
    }

    fn context(&self, umask: u32) -> FsContext {
        let root = self.mounts.root();
        FsContext::new(root.clone(), root, umask)
    }
}

/// The container's control group.
fn cgroup(spec: &mut ContainerSpec) -> Arc<Cgroup> {
    let mut sources = spec.mounts.iter().map(|m| &m.source);
    let cgroup = Cgroup::new(NewCgroup {
        devices: DeviceRules::new(spec.device_rules.clone()),
        host: std::mem::take(&mut spec.host_groups),
        v1: sources.any(|s| *s == MountSource::CgroupV1),
        memory_limit: spec.memory_limit,
    });
    cgroup.set_max(spec.pids_limit);
    cgroup
}

fn signal_from_outside(group: &Arc<ThreadGroup>, signal: Signal) -> bool {
    if group.is_zombie() {
        return false;
    }
    if signal == Signal::SIGKILL {
        group.kill();
        return true;
    }
    send::to_group(group, info::user(signal, 0, 0), send::Origin::Kernel).is_ok()
}

/// A line of `ps`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "plain fields")]
pub struct ProcessInfo {
    pub pid: i32,
    pub ppid: i32,
    pub uid: u32,
    pub threads: usize,
    /// As in `/proc/PID/stat`.
    pub state: char,
    /// CPU time, user and system together, in nanoseconds.
    pub cpu_ns: u64,
    pub command: String,
}

impl ProcessInfo {
    fn of(g: &ThreadGroup) -> ProcessInfo {
        ProcessInfo {
            pid: g.id.outermost(),
            ppid: g.ppid_in(g.ns.first()),
            uid: g.owner().0,
            threads: g.thread_count(),
            state: g.state(),
            cpu_ns: u64::try_from(g.cpu_times().total().as_nanos()).unwrap_or(u64::MAX),
            command: String::from_utf8_lossy(&g.comm())
                .escape_default()
                .to_string(),
        }
    }
}
