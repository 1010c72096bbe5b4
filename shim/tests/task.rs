//! A container's life by the shim alone: the test is containerd, which starts the shim, speaks
//! its task service and takes its events. Needs root and a `runsc` beside the shim.
#![forbid(unsafe_code)]

use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use containerd_shim_protos::api::{
    CreateTaskRequest, DeleteRequest, Empty, ExecProcessRequest, KillRequest, ShutdownRequest,
    StartRequest, StateRequest, Status, WaitRequest,
};
use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::shim::events::ForwardRequest;
use containerd_shim_protos::ttrpc::context::{Context, with_timeout};
use containerd_shim_protos::ttrpc::{self, Server, TtrpcContext};
use containerd_shim_protos::{Client, Events, TaskClient, create_events};
use serde_json::{Value, json};

const SHIM: &str = env!("CARGO_BIN_EXE_containerd-shim-runsc-v1");
const NAMESPACE: &str = "shim-test";
const LIMIT: Duration = Duration::from_secs(60);

fn limit() -> Context {
    with_timeout(LIMIT.as_nanos() as i64)
}

fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

/// Takes the events' topics.
struct Topics(Mutex<Sender<String>>);

impl Events for Topics {
    fn forward(&self, _: &TtrpcContext, r: ForwardRequest) -> ttrpc::Result<Empty> {
        let topic = r.envelope.topic.clone();
        self.0.lock().expect("no panic").send(topic).expect("heard");
        Ok(Empty::default())
    }
}

/// Serves the events service at a path.
fn events(path: &Path) -> (Server, Receiver<String>) {
    let (sender, topics) = channel();
    let listener = UnixListener::bind(path).expect("bind");
    let service = create_events(Arc::new(Topics(Mutex::new(sender))));
    let mut server = Server::new()
        .add_listener(listener.into_raw_fd())
        .expect("a listener")
        .register_service(service);
    server.start().expect("serving");
    (server, topics)
}

fn next_is(topics: &Receiver<String>, wanted: &str) {
    let topic = topics.recv_timeout(LIMIT).expect("an event");
    assert_eq!(topic, format!("/tasks/{wanted}"));
}

/// A bundle whose program is this shell script.
fn bundle(dir: &Path, runsc: &Path, script: &str) {
    let make_rootfs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/make-rootfs");
    let rootfs = output(Command::new(make_rootfs).arg("small"));
    output(Command::new(runsc).arg("spec").arg("--bundle").arg(dir));
    let path = dir.join("config.json");
    let text = std::fs::read(&path).expect("a configuration");
    let mut config: Value = serde_json::from_slice(&text).expect("JSON");
    config["root"]["path"] = json!(rootfs.trim());
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["/bin/sh", "-c", script]);
    config["linux"]["cgroupsPath"] = json!(format!("/{NAMESPACE}-{}", std::process::id()));
    std::fs::write(&path, config.to_string()).expect("written");
}

/// A FIFO that is read to its end.
fn fifo(path: &Path) -> std::thread::JoinHandle<String> {
    output(Command::new("mkfifo").arg(path));
    let path = path.to_owned();
    std::thread::spawn(move || std::fs::read_to_string(path).expect("read"))
}

fn shell(script: &str) -> Any {
    let process = json!({
        "args": ["/bin/sh", "-c", script], "cwd": "/", "env": ["PATH=/bin"],
        "user": {"uid": 0, "gid": 0},
    });
    Any {
        value: process.to_string().into_bytes(),
        ..Any::default()
    }
}

/// Executes a script in the container and gives its status and output.
fn exec(task: &TaskClient, dir: &Path, name: &str, script: &str) -> (u32, String) {
    let path = dir.join(name);
    let out = fifo(&path);
    let request = ExecProcessRequest {
        id: "c".into(),
        exec_id: name.into(),
        stdout: path.display().to_string(),
        spec: MessageField::some(shell(script)),
        ..ExecProcessRequest::default()
    };
    task.exec(limit(), &request).expect("exec");
    let request = StartRequest {
        id: "c".into(),
        exec_id: name.into(),
        ..StartRequest::default()
    };
    task.start(limit(), &request).expect("start of an exec");
    let request = WaitRequest {
        id: "c".into(),
        exec_id: name.into(),
        ..WaitRequest::default()
    };
    let status = task.wait(limit(), &request).expect("wait").exit_status;
    let request = DeleteRequest {
        id: "c".into(),
        exec_id: name.into(),
        ..DeleteRequest::default()
    };
    task.delete(limit(), &request).expect("delete of an exec");
    (status, out.join().expect("read"))
}

fn status(task: &TaskClient) -> Status {
    let request = StateRequest {
        id: "c".into(),
        ..StateRequest::default()
    };
    let state = task.state(limit(), &request).expect("state");
    state.status.enum_value().expect("known")
}

#[test]
fn a_container_lives_by_the_shim_alone() {
    let runsc: PathBuf = Path::new(SHIM).with_file_name("runsc");
    assert!(runsc.is_file(), "build runsc first");
    let dir = tempfile::tempdir().expect("a folder");
    bundle(
        dir.path(),
        &runsc,
        "echo up; trap 'exit 7' TERM; while :; do sleep 0.05; done",
    );
    let address = dir.path().join("containerd.sock");
    let (server, topics) = events(&dir.path().join("containerd.sock.ttrpc"));
    let mut start = Command::new(SHIM);
    start.args(["-namespace", NAMESPACE, "-id", "c", "-address"]);
    start.arg(&address).arg("start").current_dir(dir.path());
    let socket = output(&mut start);
    let task = TaskClient::new(Client::connect(&socket).expect("connected"));

    let out = fifo(&dir.path().join("stdout"));
    let request = CreateTaskRequest {
        id: "c".into(),
        bundle: dir.path().display().to_string(),
        stdout: dir.path().join("stdout").display().to_string(),
        ..CreateTaskRequest::default()
    };
    let made = task.create(limit(), &request).expect("create");
    assert!(made.pid > 0);
    next_is(&topics, "create");
    assert_eq!(status(&task), Status::CREATED);
    let request = StartRequest {
        id: "c".into(),
        ..StartRequest::default()
    };
    task.start(limit(), &request).expect("start");
    next_is(&topics, "start");
    assert_eq!(status(&task), Status::RUNNING);

    let answer = exec(&task, dir.path(), "e", "echo $((6 * 7)); exit 3");
    assert_eq!(answer, (3, "42\n".to_owned()));
    for wanted in ["exec-added", "exec-started", "exit"] {
        next_is(&topics, wanted);
    }

    let request = KillRequest {
        id: "c".into(),
        signal: 15,
        ..KillRequest::default()
    };
    task.kill(limit(), &request).expect("kill");
    let request = WaitRequest {
        id: "c".into(),
        ..WaitRequest::default()
    };
    let ended = task.wait(limit(), &request).expect("wait");
    assert_eq!(ended.exit_status, 7);
    next_is(&topics, "exit");
    assert_eq!(status(&task), Status::STOPPED);
    let request = DeleteRequest {
        id: "c".into(),
        ..DeleteRequest::default()
    };
    let deleted = task.delete(limit(), &request).expect("delete");
    assert_eq!((deleted.pid, deleted.exit_status), (made.pid, 7));
    next_is(&topics, "delete");
    assert_eq!(out.join().expect("read"), "up\n");

    let request = ShutdownRequest {
        id: "c".into(),
        ..ShutdownRequest::default()
    };
    task.shutdown(limit(), &request).expect("shutdown");
    let socket = PathBuf::from(socket.trim_start_matches("unix://"));
    for _ in 0..200 {
        if !socket.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!socket.exists(), "the server is still there");
    server.shutdown();
}
