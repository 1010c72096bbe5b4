//! The sandbox's end of the control socket: one loop over the listening socket, the
//! connections, the Gofer's life line and the terminal's size changes.
//!
//! A connection that started a process keeps it: when it hangs up, the process is killed;
//! when the process ends, the connection is told.

use std::collections::HashMap;
use std::io::PipeReader;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use abi::signal::Signal;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use sentry::boot::Container;

use super::Stdio;
use super::kernel::{boot_failure, ended, process_spec};
use super::message::{self, Failed, ProcessRow, Reply, Request};
use crate::bundle::process::GuestProcess;
use crate::net::client::Client;
use crate::sys;

/// Status of a sandbox that lost its Gofer.
const BROKEN: i32 = 128 + libc::SIGKILL;

/// A client.
struct Connection {
    stream: Arc<UnixStream>,
    /// The process it started.
    exec: Option<i32>,
    /// Whether that process has ended: its number may be another's by now.
    ended: Arc<AtomicBool>,
}

/// When the control loop has been left alone for so long after the start, in milliseconds,
/// the code that only the start needed is let go of.
const SETTLE: u16 = 500;

/// Serves until the process ends.
pub fn serve(container: &Arc<Container>, listener: &UnixListener, mut watched: Watched) -> ! {
    let mut connections: HashMap<i32, Connection> = HashMap::new();
    let mut settling = true;
    loop {
        let limit = if settling {
            SETTLE.into()
        } else {
            PollTimeout::NONE
        };
        let ready = wait(listener, &watched, &connections, limit);
        if settling && !ready.any() {
            settling = false;
            sys::drop_code_pages();
        }
        if ready.gofer {
            eprintln!("runsc: the gofer has ended: the container cannot go on");
            sys::exit_now(BROKEN);
        }
        if ready.resized
            && let Some((signals, tty)) = &watched.resized
        {
            while let Ok(Some(_)) = signals.read_signal() {}
            if let Ok(size) = sys::window_size(tty.as_fd()) {
                container.resize(container.init_pid(), size.rows, size.cols);
            }
        }
        if ready.network
            && let Some(network) = &watched.network
            && !network.take(container).unwrap_or(false)
        {
            // The links stay as they are.
            watched.network = None;
        }
        for fd in ready.connections {
            let done = match connections.get_mut(&fd) {
                Some(connection) => !answer(container, connection, watched.network.as_ref()),
                None => false,
            };
            if done && let Some(connection) = connections.remove(&fd) {
                close(container, &connection);
            }
        }
        if ready.listener
            && let Ok((stream, _)) = listener.accept()
        {
            let connection = Connection {
                stream: Arc::new(stream),
                exec: None,
                ended: Arc::default(),
            };
            connections.insert(connection.stream.as_raw_fd(), connection);
        }
    }
}

/// What the loop watches besides its clients.
pub struct Watched {
    /// Hangs up when the Gofer is gone.
    pub gofer: PipeReader,
    /// Size changes of the terminal, and the terminal.
    pub resized: Option<(SignalFd, OwnedFd)>,
    /// The network helper.
    pub network: Option<Client>,
}

impl Ready {
    fn any(&self) -> bool {
        let here = self.listener || self.gofer || self.resized || self.network;
        here || !self.connections.is_empty()
    }
}

#[derive(Default)]
struct Ready {
    listener: bool,
    gofer: bool,
    resized: bool,
    network: bool,
    connections: Vec<i32>,
}

fn wait(
    listener: &UnixListener,
    watched: &Watched,
    connections: &HashMap<i32, Connection>,
    limit: PollTimeout,
) -> Ready {
    let mut fds = vec![
        PollFd::new(listener.as_fd(), PollFlags::POLLIN),
        PollFd::new(watched.gofer.as_fd(), PollFlags::POLLIN),
    ];
    let mut next = |fd| {
        fds.push(PollFd::new(fd, PollFlags::POLLIN));
        fds.len() - 1
    };
    let resized = watched.resized.as_ref().map(|(s, _)| next(s.as_fd()));
    let network = watched.network.as_ref().map(|n| next(n.fd()));
    let first = fds.len();
    let numbers: Vec<i32> = connections.keys().copied().collect();
    for connection in connections.values() {
        fds.push(PollFd::new(connection.stream.as_fd(), PollFlags::POLLIN));
    }
    if poll(&mut fds, limit).is_err() {
        return Ready::default();
    }
    let hot = |i: usize| fds.get(i).and_then(PollFd::any).unwrap_or(false);
    Ready {
        listener: hot(0),
        gofer: hot(1),
        resized: resized.is_some_and(hot),
        network: network.is_some_and(hot),
        connections: numbers
            .into_iter()
            .enumerate()
            .filter(|(i, _)| hot(first + i))
            .map(|(_, fd)| fd)
            .collect(),
    }
}

/// Ends what a vanished client had started.
fn close(container: &Container, connection: &Connection) {
    if let Some(pid) = connection.exec
        && !connection.ended.load(Ordering::Acquire)
    {
        container.signal(pid, Signal::SIGKILL);
    }
}

/// Takes one request; `false` when the connection is over.
fn answer(
    container: &Arc<Container>,
    connection: &mut Connection,
    network: Option<&Client>,
) -> bool {
    let Ok(Some((request, fds))) = message::receive::<Request>(&connection.stream) else {
        return false;
    };
    if let Request::Exec { process } = request {
        return start_exec(container, connection, *process, fds);
    }
    if let (Request::Start, Some(network)) = (&request, network)
        && let Err(e) = network.start(container)
    {
        let reply = failed(&format!("set up the network: {e}"));
        return message::send(&connection.stream, &reply, &[]).is_ok();
    }
    let reply = act(container, connection, request);
    message::send(&connection.stream, &reply, &[]).is_ok()
}

fn failed(message: &str) -> Reply {
    Reply::Failed(Failed {
        message: message.to_string(),
        code: 1,
    })
}

/// The guest's processes, as `ps` shows them.
fn processes(container: &Container) -> Vec<ProcessRow> {
    let rows = container.processes().into_iter().map(|p| ProcessRow {
        pid: p.pid,
        ppid: p.ppid,
        uid: p.uid,
        threads: p.threads as u64,
        cpu_ns: p.cpu_ns,
        command: p.command,
    });
    rows.collect()
}

fn act(container: &Container, connection: &Connection, request: Request) -> Reply {
    match request {
        Request::Start => match container.start() {
            Ok(()) => Reply::Done,
            Err(e) => {
                let f = boot_failure(e);
                Reply::Failed(Failed {
                    message: f.message,
                    code: f.code,
                })
            }
        },
        Request::Kill { signal: 0, .. } => Reply::Done,
        Request::Kill { signal, all } => {
            let Some(signal) = u64::try_from(signal).ok().and_then(Signal::new) else {
                return failed("unable to signal init: invalid argument");
            };
            if all {
                container.signal_all(signal);
            } else if !container.signal_init(signal) {
                return failed("container not running");
            }
            Reply::Done
        }
        Request::Signal { signal } => {
            let signal = u64::try_from(signal).ok().and_then(Signal::new);
            if let (Some(pid), Some(signal)) = (connection.exec, signal) {
                container.signal(pid, signal);
            }
            Reply::Done
        }
        Request::Resize { size } => {
            let process = connection.exec.unwrap_or_else(|| container.init_pid());
            container.resize(process, size.rows, size.cols);
            Reply::Done
        }
        Request::Ps => Reply::Processes(processes(container)),
        Request::Pause => {
            container.pause();
            Reply::Done
        }
        Request::Resume => {
            container.resume();
            Reply::Done
        }
        Request::Update { pids_limit } => {
            if let Some(limit) = pids_limit {
                container.set_pids_limit(u64::try_from(limit).ok().filter(|n| *n > 0));
            }
            Reply::Done
        }
        Request::Exec { .. } => failed("unexpected request"),
    }
}

fn start_exec(
    container: &Arc<Container>,
    connection: &mut Connection,
    process: GuestProcess,
    fds: Vec<OwnedFd>,
) -> bool {
    let mut fds = fds.into_iter();
    let stdio = if process.terminal {
        fds.next().map(Stdio::Terminal)
    } else {
        match (fds.next(), fds.next(), fds.next()) {
            (Some(a), Some(b), Some(c)) => Some(Stdio::Files([a, b, c])),
            _ => None,
        }
    };
    let Some(stdio) = stdio else {
        return message::send(
            &connection.stream,
            &failed("no descriptors came with exec"),
            &[],
        )
        .is_ok();
    };
    let spec = process_spec(process, stdio, fds.collect());
    // The end may come before the answer to the start is on its way: the callback waits
    // until it is.
    let (answered, when_answered) = std::sync::mpsc::channel::<()>();
    let stream = connection.stream.clone();
    let over = connection.ended.clone();
    let on_exit = Box::new(move |status| {
        over.store(true, Ordering::Release);
        let _ = when_answered.recv();
        // A client that is gone needs no word.
        let _ = message::send(&stream, &Reply::Ended(ended(status)), &[]);
    });
    let reply = match container.exec(spec, on_exit) {
        Ok(pid) => {
            connection.exec = Some(pid);
            Reply::Started(pid)
        }
        Err(e) => {
            let f = boot_failure(e);
            Reply::Failed(Failed {
                message: f.message,
                code: f.code,
            })
        }
    };
    let sent = message::send(&connection.stream, &reply, &[]).is_ok();
    drop(answered);
    sent
}
