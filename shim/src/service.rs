//! containerd's task service, version 2 (`api/runtime/task/v2/shim.proto` of containerd).

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use containerd_shim_protos::api::{
    CloseIORequest, ConnectRequest, ConnectResponse, CreateTaskRequest, CreateTaskResponse,
    DeleteRequest, DeleteResponse, Empty, ExecProcessRequest, KillRequest, PauseRequest,
    PidsRequest, PidsResponse, ProcessInfo, ResizePtyRequest, ResumeRequest, ShutdownRequest,
    StartRequest, StartResponse, StateRequest, StateResponse, StatsRequest, StatsResponse, Status,
    UpdateTaskRequest, WaitRequest, WaitResponse,
};
use containerd_shim_protos::events::task::{
    TaskCreate, TaskDelete, TaskExecAdded, TaskExecStarted, TaskExit, TaskIO, TaskOOM, TaskPaused,
    TaskResumed, TaskStart,
};
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::shim::oci::ProcessDetails;
use containerd_shim_protos::ttrpc::{self, Code, TtrpcContext};
use containerd_shim_protos::{Task, topics};

use crate::container::Container;
use crate::events::{Publisher, pack};
use crate::fault::{Fault, Result};
use crate::log::Log;
use crate::oom::Oom;
use crate::options::Options;
use crate::process::{Phase, Process};
use crate::reaper::{Reaper, Watch};
use crate::rootfs;
use crate::runtime::Runtime;
use crate::stats;
use crate::streams::Names;

/// A process that has ended: its container, itself, its status.
type Ended = (Arc<Container>, Arc<Process>, u32);

/// What all requests work on.
pub struct Shim {
    namespace: String,
    /// The way to containerd.
    pub events: Publisher,
    reaper: Arc<Reaper>,
    log: Log,
    containers: Mutex<HashMap<String, Arc<Container>>>,
    ended: Mutex<Sender<Ended>>,
    leave: Mutex<Sender<()>>,
}

impl Shim {
    /// One without containers, which sends to `leave` when it may go.
    pub fn new(
        namespace: &str,
        events: Publisher,
        reaper: Arc<Reaper>,
        log: Log,
        leave: Sender<()>,
    ) -> Arc<Shim> {
        let (ended, ends) = channel();
        let shim = Arc::new(Shim {
            namespace: namespace.to_owned(),
            events,
            reaper,
            log,
            containers: Mutex::default(),
            ended: Mutex::new(ended),
            leave: Mutex::new(leave),
        });
        let tells = shim.clone();
        std::thread::spawn(move || tells.tell_ends(&ends));
        shim
    }

    fn containers(&self) -> MutexGuard<'_, HashMap<String, Arc<Container>>> {
        self.containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn container(&self, id: &str) -> Result<Arc<Container>> {
        let found = self.containers().get(id).cloned();
        found.ok_or_else(|| Fault::not_found(format!("container {id} does not exist")))
    }

    fn process(&self, id: &str, exec: &str) -> Result<(Arc<Container>, Arc<Process>)> {
        let container = self.container(id)?;
        let process = container.process(exec)?;
        Ok((container, process))
    }

    /// What the reaper does at the end of a process: little, since it has others to see to.
    fn watch(&self, container: &Arc<Container>, process: &Arc<Process>) -> Watch {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let (ended, container, process) = (ended.clone(), container.clone(), process.clone());
        Box::new(move |status| {
            let _ = ended.send((container, process, status));
        })
    }

    fn tell_ends(&self, ends: &Receiver<Ended>) {
        for (container, process, status) in ends {
            if process.exec.is_empty() && !container.own_pids {
                // Others may be left in a pid namespace that it shared.
                let _ = container
                    .runtime
                    .simple(&["kill", "--all", &container.id, "KILL"]);
            }
            self.tell_oom(&container);
            let exit = process.end(status);
            let id = if process.exec.is_empty() {
                &container.id
            } else {
                &process.exec
            };
            let event = TaskExit {
                container_id: container.id.clone(),
                id: id.clone(),
                pid: process.life().pid,
                exit_status: exit.status,
                exited_at: exit.time(),
                ..TaskExit::default()
            };
            self.events.publish(topics::TASK_EXIT_EVENT_TOPIC, &event);
        }
    }

    /// Looks for kills for want of memory, also before an end is told of, which may be due to
    /// one.
    fn tell_oom(&self, container: &Container) {
        let oom = container.oom.lock().unwrap_or_else(PoisonError::into_inner);
        if oom.as_ref().is_some_and(|oom| oom.struck()) {
            let event = TaskOOM {
                container_id: container.id.clone(),
                ..TaskOOM::default()
            };
            self.events.publish(topics::TASK_OOM_EVENT_TOPIC, &event);
        }
    }

    fn watch_oom(self: &Arc<Self>, container: &Arc<Container>, pid: u32) {
        let Some(oom) = Oom::of(pid).map(Arc::new) else {
            return;
        };
        *container.oom.lock().unwrap_or_else(PoisonError::into_inner) = Some(oom.clone());
        let (shim, container) = (self.clone(), container.clone());
        std::thread::spawn(move || oom.watch(|| shim.tell_oom(&container)));
    }

    fn create(self: &Arc<Self>, r: &CreateTaskRequest) -> Result<CreateTaskResponse> {
        if !r.checkpoint.is_empty() {
            return Err(Fault::coded(
                Code::UNIMPLEMENTED,
                "restore is not supported",
            ));
        }
        let bundle = Path::new(&r.bundle);
        let options = Options::from_any(r.options.as_ref())?;
        options.save(bundle)?;
        let runtime = Runtime::new(options, &self.namespace, bundle, self.reaper.clone());
        let names = Names {
            terminal: r.terminal,
            stdin: r.stdin.clone(),
            stdout: r.stdout.clone(),
            stderr: r.stderr.clone(),
        };
        let init = Process::new("", names, Vec::new());
        let container = Arc::new(Container::new(&r.id, bundle, runtime, init));
        {
            let mut all = self.containers();
            if all.contains_key(&r.id) {
                let text = format!("container {} exists already", r.id);
                return Err(Fault::coded(Code::ALREADY_EXISTS, text));
            }
            all.insert(r.id.clone(), container.clone());
        }
        let made = self.make(&container, r);
        if made.is_err() {
            self.containers().remove(&r.id);
            rootfs::undo(&container.rootfs());
        }
        made
    }

    fn make(
        self: &Arc<Self>,
        container: &Arc<Container>,
        r: &CreateTaskRequest,
    ) -> Result<CreateTaskResponse> {
        let init = &container.init;
        let mut life = init.life();
        let expect = container.runtime.expect();
        rootfs::make(&r.rootfs, &container.rootfs(), &expect)?;
        container
            .create(&mut life, &expect, self.watch(container, init))
            .map_err(|e| e.context("OCI runtime create failed"))?;
        self.watch_oom(container, life.pid);
        let io = TaskIO {
            stdin: r.stdin.clone(),
            stdout: r.stdout.clone(),
            stderr: r.stderr.clone(),
            terminal: r.terminal,
            ..TaskIO::default()
        };
        let event = TaskCreate {
            container_id: r.id.clone(),
            bundle: r.bundle.clone(),
            rootfs: r.rootfs.clone(),
            io: MessageField::some(io),
            pid: life.pid,
            ..TaskCreate::default()
        };
        self.events.publish(topics::TASK_CREATE_EVENT_TOPIC, &event);
        Ok(CreateTaskResponse {
            pid: life.pid,
            ..CreateTaskResponse::default()
        })
    }

    fn start(&self, r: &StartRequest) -> Result<StartResponse> {
        let (container, process) = self.process(&r.id, &r.exec_id)?;
        let mut life = process.life();
        if life.phase != Phase::Created {
            return Err(Fault::precondition("the process is started already"));
        }
        if r.exec_id.is_empty() {
            let started = container.runtime.simple(&["start", &r.id]);
            started.map_err(|e| e.context("OCI runtime start failed"))?;
        } else {
            let expect = container.runtime.expect();
            let watch = self.watch(&container, &process);
            let started = container.exec(&process, &mut life, &expect, watch);
            started.map_err(|e| {
                life.held = Default::default();
                e.context("OCI runtime exec failed")
            })?;
        }
        life.phase = Phase::Running;
        self.tell_start(&container, &process, life.pid);
        Ok(StartResponse {
            pid: life.pid,
            ..StartResponse::default()
        })
    }

    fn tell_start(&self, container: &Container, process: &Process, pid: u32) {
        if process.exec.is_empty() {
            let event = TaskStart {
                container_id: container.id.clone(),
                pid,
                ..TaskStart::default()
            };
            self.events.publish(topics::TASK_START_EVENT_TOPIC, &event);
            return;
        }
        let event = TaskExecStarted {
            container_id: container.id.clone(),
            exec_id: process.exec.clone(),
            pid,
            ..TaskExecStarted::default()
        };
        self.events
            .publish(topics::TASK_EXEC_STARTED_EVENT_TOPIC, &event);
    }

    fn exec(&self, r: &ExecProcessRequest) -> Result<Empty> {
        let container = self.container(&r.id)?;
        let names = Names {
            terminal: r.terminal,
            stdin: r.stdin.clone(),
            stdout: r.stdout.clone(),
            stderr: r.stderr.clone(),
        };
        container.add(Process::new(&r.exec_id, names, r.spec.value.clone()))?;
        let event = TaskExecAdded {
            container_id: r.id.clone(),
            exec_id: r.exec_id.clone(),
            ..TaskExecAdded::default()
        };
        self.events
            .publish(topics::TASK_EXEC_ADDED_EVENT_TOPIC, &event);
        Ok(Empty::default())
    }

    fn delete(&self, r: &DeleteRequest) -> Result<DeleteResponse> {
        let (container, process) = self.process(&r.id, &r.exec_id)?;
        let phase = process.life().phase;
        if phase == Phase::Running {
            return Err(Fault::precondition("cannot delete a running process"));
        }
        if r.exec_id.is_empty() {
            match container.runtime.simple(&["delete", &r.id]) {
                // Somebody else did.
                Err(e) if e.code == Code::NOT_FOUND => {}
                done => done?,
            }
            rootfs::undo(&container.rootfs());
            self.containers().remove(&r.id);
        } else {
            if phase == Phase::Created {
                process.end(0);
            }
            container.forget(&r.exec_id);
        }
        let exit = process.wait();
        let pid = process.life().pid;
        if r.exec_id.is_empty() {
            let event = TaskDelete {
                container_id: r.id.clone(),
                pid,
                exit_status: exit.status,
                exited_at: exit.time(),
                ..TaskDelete::default()
            };
            self.events.publish(topics::TASK_DELETE_EVENT_TOPIC, &event);
        }
        Ok(DeleteResponse {
            pid,
            exit_status: exit.status,
            exited_at: exit.time(),
            ..DeleteResponse::default()
        })
    }

    fn state(&self, r: &StateRequest) -> Result<StateResponse> {
        let (container, process) = self.process(&r.id, &r.exec_id)?;
        let life = process.life();
        let status = match life.phase {
            Phase::Created => Status::CREATED,
            Phase::Running if container.paused() => Status::PAUSED,
            Phase::Running => Status::RUNNING,
            Phase::Stopped => Status::STOPPED,
        };
        Ok(StateResponse {
            id: r.id.clone(),
            exec_id: r.exec_id.clone(),
            bundle: container.bundle.display().to_string(),
            pid: life.pid,
            status: status.into(),
            stdin: process.names.stdin.clone(),
            stdout: process.names.stdout.clone(),
            stderr: process.names.stderr.clone(),
            terminal: process.names.terminal,
            exit_status: life.exit.map_or(0, |e| e.status),
            exited_at: life.exit.map(|e| e.time()).unwrap_or_default(),
            ..StateResponse::default()
        })
    }

    fn kill(&self, r: &KillRequest) -> Result<Empty> {
        let (container, process) = self.process(&r.id, &r.exec_id)?;
        if !r.exec_id.is_empty() {
            process.life().signal(r.signal)?;
            return Ok(Empty::default());
        }
        if process.life().phase == Phase::Stopped && !r.all {
            return Err(Fault::not_found("process already finished"));
        }
        let signal = r.signal.to_string();
        let mut args = vec!["kill"];
        if r.all {
            args.push("--all");
        }
        args.extend([r.id.as_str(), &signal]);
        container.runtime.simple(&args)?;
        Ok(Empty::default())
    }

    fn pids(&self, r: &PidsRequest) -> Result<PidsResponse> {
        let container = self.container(&r.id)?;
        let output = container
            .runtime
            .output(&["ps", "--format", "json", &r.id], &[])?;
        let pids: Vec<u32> = serde_json::from_slice(&output)?;
        let execs = container.running();
        let mut answer = PidsResponse::default();
        for pid in pids {
            let mut info = ProcessInfo {
                pid,
                ..ProcessInfo::default()
            };
            if let Some(exec) = execs.get(&pid) {
                let details = ProcessDetails {
                    exec_id: exec.clone(),
                    ..ProcessDetails::default()
                };
                info.info = MessageField::some(pack(&details)?);
            }
            answer.processes.push(info);
        }
        Ok(answer)
    }

    fn hold(&self, id: &str, held: bool) -> Result<Empty> {
        let container = self.container(id)?;
        let verb = if held { "pause" } else { "resume" };
        container.runtime.simple(&[verb, id])?;
        container.set_paused(held);
        let container_id = id.to_owned();
        if held {
            let event = TaskPaused {
                container_id,
                ..TaskPaused::default()
            };
            self.events.publish(topics::TASK_PAUSED_EVENT_TOPIC, &event);
        } else {
            let event = TaskResumed {
                container_id,
                ..TaskResumed::default()
            };
            self.events
                .publish(topics::TASK_RESUMED_EVENT_TOPIC, &event);
        }
        Ok(Empty::default())
    }

    fn stats(&self, r: &StatsRequest) -> Result<StatsResponse> {
        let container = self.container(&r.id)?;
        let output = container
            .runtime
            .output(&["events", "--stats", &r.id], &[])?;
        let metrics = stats::metrics(&serde_json::from_slice(&output)?);
        let stats = Any {
            type_url: stats::TYPE.to_owned(),
            value: metrics.write_to_bytes()?,
            ..Any::default()
        };
        Ok(StatsResponse {
            stats: MessageField::some(stats),
            ..StatsResponse::default()
        })
    }

    fn update(&self, r: &UpdateTaskRequest) -> Result<Empty> {
        let container = self.container(&r.id)?;
        container
            .runtime
            .output(&["update", "--resources", "-", &r.id], &r.resources.value)?;
        Ok(Empty::default())
    }

    fn shutdown(&self) -> Result<Empty> {
        // Other containers of the pod may still be there.
        if self.containers().is_empty() {
            let leave = self.leave.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = leave.send(());
        }
        Ok(Empty::default())
    }

    fn answer<T>(&self, what: &str, id: &str, result: Result<T>) -> ttrpc::Result<T> {
        match &result {
            Ok(_) => self.log.debug(&format!("{what} {id}")),
            Err(e) if e.code == Code::NOT_FOUND => {
                self.log.debug(&format!("{what} {id}: {}", e.text));
            }
            Err(e) => self.log.warn(&format!("{what} {id}: {}", e.text)),
        }
        result.map_err(ttrpc::Error::from)
    }
}

/// The service as its library wants it.
pub struct Service(pub Arc<Shim>);

type Answer<T> = ttrpc::Result<T>;

impl Task for Service {
    fn create(&self, _: &TtrpcContext, r: CreateTaskRequest) -> Answer<CreateTaskResponse> {
        self.0.answer("create", &r.id, self.0.create(&r))
    }

    fn start(&self, _: &TtrpcContext, r: StartRequest) -> Answer<StartResponse> {
        self.0.answer("start", &r.id, self.0.start(&r))
    }

    fn exec(&self, _: &TtrpcContext, r: ExecProcessRequest) -> Answer<Empty> {
        self.0.answer("exec", &r.id, self.0.exec(&r))
    }

    fn delete(&self, _: &TtrpcContext, r: DeleteRequest) -> Answer<DeleteResponse> {
        self.0.answer("delete", &r.id, self.0.delete(&r))
    }

    fn state(&self, _: &TtrpcContext, r: StateRequest) -> Answer<StateResponse> {
        self.0.answer("state", &r.id, self.0.state(&r))
    }

    fn kill(&self, _: &TtrpcContext, r: KillRequest) -> Answer<Empty> {
        self.0.answer("kill", &r.id, self.0.kill(&r))
    }

    fn pids(&self, _: &TtrpcContext, r: PidsRequest) -> Answer<PidsResponse> {
        self.0.answer("pids", &r.id, self.0.pids(&r))
    }

    fn pause(&self, _: &TtrpcContext, r: PauseRequest) -> Answer<Empty> {
        self.0.answer("pause", &r.id, self.0.hold(&r.id, true))
    }

    fn resume(&self, _: &TtrpcContext, r: ResumeRequest) -> Answer<Empty> {
        self.0.answer("resume", &r.id, self.0.hold(&r.id, false))
    }

    fn checkpoint(
        &self,
        _: &TtrpcContext,
        r: containerd_shim_protos::api::CheckpointTaskRequest,
    ) -> Answer<Empty> {
        let refused = Fault::coded(Code::UNIMPLEMENTED, "checkpoint is not supported");
        self.0.answer("checkpoint", &r.id, Err(refused))
    }

    fn resize_pty(&self, _: &TtrpcContext, r: ResizePtyRequest) -> Answer<Empty> {
        let resized = self.0.process(&r.id, &r.exec_id).and_then(|(_, process)| {
            let life = process.life();
            let console = life.console.as_ref();
            console.map_or(Ok(()), |c| c.resize(r.width, r.height))
        });
        let resized = resized.map(|()| Empty::default());
        self.0.answer("resize", &r.id, resized)
    }

    fn close_io(&self, _: &TtrpcContext, r: CloseIORequest) -> Answer<Empty> {
        let closed = self.0.process(&r.id, &r.exec_id).map(|(_, process)| {
            if r.stdin {
                process.life().held.stdin = None;
            }
            Empty::default()
        });
        self.0.answer("close", &r.id, closed)
    }

    fn update(&self, _: &TtrpcContext, r: UpdateTaskRequest) -> Answer<Empty> {
        self.0.answer("update", &r.id, self.0.update(&r))
    }

    fn wait(&self, _: &TtrpcContext, r: WaitRequest) -> Answer<WaitResponse> {
        let exit = self
            .0
            .process(&r.id, &r.exec_id)
            .map(|(_, process)| process.wait());
        let answer = exit.map(|exit| WaitResponse {
            exit_status: exit.status,
            exited_at: exit.time(),
            ..WaitResponse::default()
        });
        self.0.answer("wait", &r.id, answer)
    }

    fn stats(&self, _: &TtrpcContext, r: StatsRequest) -> Answer<StatsResponse> {
        self.0.answer("stats", &r.id, self.0.stats(&r))
    }

    fn connect(&self, _: &TtrpcContext, r: ConnectRequest) -> Answer<ConnectResponse> {
        let answer = self.0.container(&r.id).map(|c| ConnectResponse {
            shim_pid: std::process::id(),
            task_pid: c.init.life().pid,
            ..ConnectResponse::default()
        });
        self.0.answer("connect", &r.id, answer)
    }

    fn shutdown(&self, _: &TtrpcContext, r: ShutdownRequest) -> Answer<Empty> {
        self.0.answer("shutdown", &r.id, self.0.shutdown())
    }
}
