//! A container: its bundle, its first process and those executed in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use containerd_shim_protos::ttrpc::Code;
use serde_json::Value;

use crate::console::{Console, Socket};
use crate::fault::{Fault, Result};
use crate::oom::Oom;
use crate::process::{Life, Phase, Process};
use crate::reaper::{Expect, Watch};
use crate::runtime::Runtime;
use crate::streams;

/// The root file system's folder in a bundle.
pub const ROOTFS: &str = "rootfs";
/// The file in a bundle with the number of the host process that stands for the container.
pub const PID_FILE: &str = "init.pid";

/// A container.
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its bundle.
    pub bundle: PathBuf,
    /// How the runtime is called for it.
    pub runtime: Runtime,
    /// Its first process.
    pub init: Arc<Process>,
    /// Whether its processes end with the first: it has a pid namespace of its own.
    pub own_pids: bool,
    /// Kills for want of memory.
    pub oom: Mutex<Option<Arc<Oom>>>,
    execs: Mutex<BTreeMap<String, Arc<Process>>>,
    paused: AtomicBool,
}

impl Container {
    /// One that is not made yet.
    pub fn new(id: &str, bundle: &Path, runtime: Runtime, init: Process) -> Container {
        Container {
            id: id.to_owned(),
            bundle: bundle.to_owned(),
            runtime,
            init: Arc::new(init),
            own_pids: own_pids(&bundle.join("config.json")),
            oom: Mutex::default(),
            execs: Mutex::default(),
            paused: AtomicBool::new(false),
        }
    }

    /// The folder of its root file system.
    pub fn rootfs(&self) -> PathBuf {
        self.bundle.join(ROOTFS)
    }

    /// Has the runtime make it; `ended` is called at its end.
    pub fn create(&self, life: &mut Life, expect: &Expect, ended: Watch) -> Result<()> {
        let pid_file = self.bundle.join(PID_FILE);
        let mut command = self.runtime.command();
        command.arg("create").arg("--bundle").arg(&self.bundle);
        command.arg("--pid-file").arg(&pid_file);
        self.launch(&self.init, life, expect, command, &[&self.id])?;
        self.begun(life, expect, &pid_file, ended)
    }

    /// Has the runtime execute a process in it.
    pub fn exec(
        &self,
        process: &Process,
        life: &mut Life,
        expect: &Expect,
        ended: Watch,
    ) -> Result<()> {
        // The name is a client's, and no path.
        let dir = tempfile::Builder::new()
            .prefix("exec.")
            .tempdir_in(&self.bundle)?;
        let (spec, pid_file) = (dir.path().join("process.json"), dir.path().join("pid"));
        std::fs::write(&spec, &process.spec)?;
        let mut command = self.runtime.command();
        command.args(["exec", "--detach", "--process"]).arg(&spec);
        command.arg("--pid-file").arg(&pid_file);
        self.launch(process, life, expect, command, &[&self.id])?;
        self.begun(life, expect, &pid_file, ended)
    }

    fn launch(
        &self,
        process: &Process,
        life: &mut Life,
        expect: &Expect,
        mut command: std::process::Command,
        last: &[&str],
    ) -> Result<()> {
        if process.names.terminal {
            let socket = Socket::new()?;
            command.arg("--console-socket").arg(socket.path());
            self.runtime.run(expect, command.args(last))?;
            let master = socket.receive()?;
            life.console = Some(Console::start(master, &process.names, &mut life.held)?);
            return Ok(());
        }
        let [stdout, stderr] = streams::outputs(&process.names, &mut life.held)?;
        command.stdout(stdout).stderr(stderr);
        if process.names.stdin.is_empty() {
            return self.runtime.run(expect, command.args(last));
        }
        let (input, into) = std::io::pipe()?;
        command.stdin(input);
        self.runtime.run(expect, command.args(last))?;
        drop(command);
        streams::feed(&process.names.stdin, into);
        Ok(())
    }

    fn begun(&self, life: &mut Life, expect: &Expect, pid_file: &Path, ended: Watch) -> Result<()> {
        let pid = read_pid(pid_file)?;
        life.has_pid(pid);
        expect.watch(pid, ended);
        Ok(())
    }

    fn execs(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Process>>> {
        self.execs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process by its name, the first one by the empty name.
    pub fn process(&self, exec: &str) -> Result<Arc<Process>> {
        if exec.is_empty() {
            return Ok(self.init.clone());
        }
        let found = self.execs().get(exec).cloned();
        found.ok_or_else(|| Fault::not_found(format!("process {exec} does not exist")))
    }

    /// Adds a process to be executed.
    pub fn add(&self, process: Process) -> Result<()> {
        let mut execs = self.execs();
        if execs.contains_key(&process.exec) {
            let text = format!("process {} exists already", process.exec);
            return Err(Fault::coded(Code::ALREADY_EXISTS, text));
        }
        execs.insert(process.exec.clone(), Arc::new(process));
        Ok(())
    }

    /// Forgets an executed process.
    pub fn forget(&self, exec: &str) {
        self.execs().remove(exec);
    }

    /// Names of executed processes that run, by the number of what stands for them.
    pub fn running(&self) -> BTreeMap<u32, String> {
        let all: Vec<Arc<Process>> = self.execs().values().cloned().collect();
        all.iter()
            .filter_map(|p| {
                let life = p.life();
                (life.phase == Phase::Running).then(|| (life.pid, p.exec.clone()))
            })
            .collect()
    }

    /// Whether it is held.
    pub fn paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Notes whether it is held.
    pub fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }
}

/// Reads a file that the runtime wrote.
pub fn read_pid(path: &Path) -> Result<i32> {
    let text = std::fs::read_to_string(path)?;
    let pid = text.trim().parse().ok().filter(|pid| *pid > 0);
    pid.ok_or_else(|| Fault::new(format!("{} holds no process number", path.display())))
}

/// Whether the configuration has a pid namespace without a path.
fn own_pids(config: &Path) -> bool {
    let text = std::fs::read(config).unwrap_or_default();
    let config: Value = serde_json::from_slice(&text).unwrap_or_default();
    let namespaces = config["linux"]["namespaces"].as_array();
    namespaces
        .into_iter()
        .flatten()
        .any(|n| n["type"] == "pid" && n["path"].as_str().unwrap_or_default().is_empty())
}
