//! The sandbox's end of the control sockets: one loop over the listening sockets of its
//! containers, the connections, the Gofers' life lines and the terminal's size changes.
//!
//! A connection that started a process or a container keeps it: when it hangs up, that is
//! killed; when that ends, the connection is told. [`wait`] polls, [`answer`] acts.

mod answer;
mod wait;

use std::collections::{BTreeMap, HashMap};
use std::io::PipeReader;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use abi::signal::Signal;
use nix::poll::PollTimeout;
use nix::sys::signalfd::SignalFd;
use sentry::boot::Container;
use sentry::kernel::Kernel;

use self::wait::Source;
use crate::net::client::Client;
use crate::sys;

/// Status of a sandbox that lost its Gofer.
const BROKEN: i32 = 128 + libc::SIGKILL;

/// When the control loop has been left alone for so long after the start, in milliseconds,
/// the code that only the start needed is let go of.
const SETTLE: u16 = 500;

/// The container that the sandbox was made for, and ends with.
const FIRST: u32 = 0;

/// A container and what belongs to it on the host.
pub struct Served {
    /// The container.
    pub container: Arc<Container>,
    /// Its control socket.
    pub listener: UnixListener,
    /// Hangs up when its Gofer is gone.
    pub gofer: PipeReader,
}

/// What a connection has started.
#[derive(Clone, Copy)]
enum Started {
    /// A process of the container it speaks of.
    Process(i32),
    /// A container, by its key.
    Container(u32),
}

/// A client.
struct Connection {
    stream: Arc<UnixStream>,
    /// The container whose socket it came by.
    container: u32,
    started: Option<Started>,
    /// Whether what it started has ended: a process's number may be another's by now.
    ended: Arc<AtomicBool>,
}

/// All the loop looks after.
struct Control {
    kernel: Arc<Kernel>,
    containers: BTreeMap<u32, Served>,
    /// The key given last.
    last: u32,
    connections: HashMap<i32, Connection>,
    /// Size changes of the first container's terminal, and the terminal.
    resized: Option<(SignalFd, OwnedFd)>,
    network: Option<Client>,
}

/// Serves until the process ends.
pub fn serve(
    kernel: Arc<Kernel>,
    first: Served,
    resized: Option<(SignalFd, OwnedFd)>,
    network: Option<Client>,
) -> ! {
    let mut control = Control {
        kernel,
        containers: BTreeMap::from([(FIRST, first)]),
        last: FIRST,
        connections: HashMap::new(),
        resized,
        network,
    };
    let mut settling = true;
    loop {
        let limit = if settling {
            SETTLE.into()
        } else {
            PollTimeout::NONE
        };
        let ready = control.wait(limit);
        if settling && ready.is_empty() {
            settling = false;
            sys::drop_code_pages();
        }
        for source in ready {
            control.attend(source);
        }
    }
}

impl Control {
    fn attend(&mut self, source: Source) {
        match source {
            Source::Listener(key) => self.accept(key),
            Source::Gofer(key) => self.lost_gofer(key),
            Source::Resized => self.resize(),
            Source::Network => self.take_network(),
            Source::Connection(fd) => self.hear(fd),
        }
    }

    fn accept(&mut self, key: u32) {
        let Some(served) = self.containers.get(&key) else {
            return;
        };
        if let Ok((stream, _)) = served.listener.accept() {
            let connection = Connection {
                stream: Arc::new(stream),
                container: key,
                started: None,
                ended: Arc::default(),
            };
            let fd = connection.stream.as_raw_fd();
            self.connections.insert(fd, connection);
        }
    }

    /// A container cannot go on without its files.
    fn lost_gofer(&mut self, key: u32) {
        let Some(served) = self.containers.get(&key) else {
            return;
        };
        let id = &served.container.id;
        eprintln!("runsc: the gofer of {id} has ended: the container cannot go on");
        if key == FIRST {
            sys::exit_now(BROKEN);
        }
        served.container.signal_all(Signal::SIGKILL);
        self.containers.remove(&key);
    }

    fn resize(&mut self) {
        let Some((signals, tty)) = &self.resized else {
            return;
        };
        while let Ok(Some(_)) = signals.read_signal() {}
        if let (Ok(size), Some(first)) =
            (sys::window_size(tty.as_fd()), self.containers.get(&FIRST))
        {
            let first = &first.container;
            first.resize(first.init_pid(), size.rows, size.cols);
        }
    }

    fn take_network(&mut self) {
        let (Some(network), Some(first)) = (&self.network, self.containers.get(&FIRST)) else {
            return;
        };
        if !network.take(&first.container).unwrap_or(false) {
            // The links stay as they are.
            self.network = None;
        }
    }

    /// Takes a request of a connection; ends what it had started when it is over.
    fn hear(&mut self, fd: i32) {
        let Some(mut connection) = self.connections.remove(&fd) else {
            return;
        };
        if self.answer(&mut connection) {
            self.connections.insert(fd, connection);
            return;
        }
        let running = !connection.ended.load(Ordering::Acquire);
        match connection.started {
            Some(Started::Process(pid)) if running => {
                if let Some(served) = self.containers.get(&connection.container) {
                    served.container.signal(pid, Signal::SIGKILL);
                }
            }
            Some(Started::Container(key)) => {
                if let Some(served) = self.containers.remove(&key) {
                    served.container.signal_all(Signal::SIGKILL);
                }
            }
            _ => {}
        }
    }
}
