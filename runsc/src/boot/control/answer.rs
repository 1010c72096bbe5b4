//! What clients ask for, and what they are answered.

use std::io::PipeReader;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};

use abi::signal::Signal;
use sentry::boot::spec::{BootError, ExitStatus};
use sentry::boot::{Container, OnExit, Shared};

use super::{Connection, Control, FIRST, Served, Started};
use crate::boot::kernel::{boot_failure, container_spec, ended, process_spec};
use crate::boot::message::{self, ProcessRow, Reply, Request, Share};
use crate::boot::{Guest, Stdio};
use crate::bundle::process::GuestProcess;
use crate::cli::Failure;

fn failed(message: &str) -> Reply {
    refused(Failure::new(1, message))
}

fn refused(f: Failure) -> Reply {
    Reply::Failed(f.into())
}

/// The guest's processes, as `ps` shows them.
fn processes(container: &Container) -> Vec<ProcessRow> {
    let rows = container.processes().into_iter().map(|p| ProcessRow {
        pid: p.pid,
        ppid: p.ppid,
        uid: p.uid,
        threads: p.threads as u64,
        state: p.state,
        cpu_ns: p.cpu_ns,
        command: p.command,
    });
    rows.collect()
}

/// Tells a client of the end of what it started. The end may come before the answer to the
/// start is on its way: the hook waits until the sender is dropped.
fn tell_end(stream: &Arc<UnixStream>, over: &Arc<AtomicBool>) -> (OnExit, Sender<()>) {
    let (answered, when_answered) = channel::<()>();
    let (stream, over) = (stream.clone(), over.clone());
    let hook = Box::new(move |status: ExitStatus| {
        over.store(true, Ordering::Release);
        let _ = when_answered.recv();
        // A client that is gone needs no word.
        let _ = message::send(&stream, &Reply::Ended(ended(status)), &[]);
    });
    (hook, answered)
}

/// Standard descriptors, and the further ones behind them.
fn take_stdio(terminal: bool, fds: &mut impl Iterator<Item = OwnedFd>) -> Option<Stdio> {
    if terminal {
        return fds.next().map(Stdio::Terminal);
    }
    match (fds.next(), fds.next(), fds.next()) {
        (Some(a), Some(b), Some(c)) => Some(Stdio::Files([a, b, c])),
        _ => None,
    }
}

impl Control {
    /// Takes one request; `false` when the connection is over.
    pub(super) fn answer(&mut self, connection: &mut Connection) -> bool {
        let Ok(Some((request, fds))) = message::receive::<Request>(&connection.stream) else {
            return false;
        };
        let mut until_sent = None;
        let reply = match request {
            Request::Exec { process } => {
                let (hook, answered) = tell_end(&connection.stream, &connection.ended);
                until_sent = Some(answered);
                self.exec(connection, *process, fds, hook)
            }
            Request::Create {
                guest,
                share,
                groups,
            } => {
                let (hook, answered) = tell_end(&connection.stream, &connection.ended);
                until_sent = Some(answered);
                let made = self.create(connection, *guest, &share, (groups, fds), hook);
                made.unwrap_or_else(refused)
            }
            request => match self.containers.get(&connection.container) {
                Some(served) => self.act(&served.container, connection, &request),
                None => failed("container not running"),
            },
        };
        let sent = message::send(&connection.stream, &reply, &[]).is_ok();
        drop(until_sent);
        sent
    }

    fn act(&self, container: &Container, connection: &Connection, request: &Request) -> Reply {
        match *request {
            Request::Start => return self.start(container, connection.container),
            Request::Kill { signal: 0, .. } => {}
            Request::Kill { signal, all } => {
                let Some(signal) = u64::try_from(signal).ok().and_then(Signal::new) else {
                    return failed("unable to signal init: invalid argument");
                };
                if all {
                    container.signal_all(signal);
                } else if !container.signal_init(signal) {
                    return failed("container not running");
                }
            }
            Request::Signal { signal } => {
                if let Some(signal) = u64::try_from(signal).ok().and_then(Signal::new) {
                    self.signal_started(container, connection, signal);
                }
            }
            Request::Resize { size } => match connection.started {
                Some(Started::Process(pid)) => container.resize(pid, size.rows, size.cols),
                Some(Started::Container(key)) => {
                    if let Some(served) = self.containers.get(&key) {
                        let made = &served.container;
                        made.resize(made.init_pid(), size.rows, size.cols);
                    }
                }
                None => container.resize(container.init_pid(), size.rows, size.cols),
            },
            Request::Ps => return Reply::Processes(processes(container)),
            Request::Pause => container.pause(),
            Request::Resume => container.resume(),
            Request::Update { pids_limit } => {
                if let Some(limit) = pids_limit {
                    container.set_pids_limit(u64::try_from(limit).ok().filter(|n| *n > 0));
                }
            }
            Request::Exec { .. } | Request::Create { .. } => return failed("unexpected request"),
        }
        Reply::Done
    }

    fn start(&self, container: &Container, key: u32) -> Reply {
        // The others find the network as the first has set it up.
        if key == FIRST
            && let Some(network) = &self.network
            && let Err(e) = network.start(container)
        {
            return failed(&format!("set up the network: {e}"));
        }
        match container.start() {
            Ok(()) => Reply::Done,
            Err(e) => refused(boot_failure(e)),
        }
    }

    fn signal_started(&self, container: &Container, connection: &Connection, signal: Signal) {
        match connection.started {
            Some(Started::Process(pid)) => {
                container.signal(pid, signal);
            }
            Some(Started::Container(key)) => {
                if let Some(served) = self.containers.get(&key) {
                    served.container.signal_init(signal);
                }
            }
            None => {}
        }
    }

    fn exec(
        &self,
        connection: &mut Connection,
        process: GuestProcess,
        fds: Vec<OwnedFd>,
        hook: OnExit,
    ) -> Reply {
        let Some(served) = self.containers.get(&connection.container) else {
            return failed("cannot exec in a stopped container");
        };
        let mut fds = fds.into_iter();
        let Some(stdio) = take_stdio(process.terminal, &mut fds) else {
            return failed("no descriptors came with exec");
        };
        let spec = process_spec(process, stdio, fds.collect());
        match served.container.exec(spec, hook) {
            Ok(pid) => {
                connection.started = Some(Started::Process(pid));
                Reply::Started(pid)
            }
            Err(e) => refused(boot_failure(e)),
        }
    }

    /// Makes a further container in this sandbox.
    fn create(
        &mut self,
        connection: &mut Connection,
        guest: Guest,
        share: &Share,
        (groups, fds): (usize, Vec<OwnedFd>),
        hook: OnExit,
    ) -> Result<Reply, Failure> {
        let mut fds = fds.into_iter();
        let (Some(session), Some(life), Some(listener), host_groups, Some(stdio)) = (
            fds.next(),
            fds.next(),
            fds.next(),
            fds.by_ref().take(groups).collect::<Vec<_>>(),
            take_stdio(guest.process.terminal, &mut fds),
        ) else {
            return Ok(failed("descriptors of the container are missing"));
        };
        let shared = Shared {
            pids: self.named(share.pids.as_ref())?,
            uts: self.named(share.uts.as_ref())?,
        };
        let gofer = gofer::Client::new(session)
            .map_err(|e| Failure::new(1, format!("greet the gofer: {e}")))?;
        let mut spec = container_spec(guest, stdio, fds.collect());
        spec.host_groups = host_groups;
        let made: Result<_, BootError> =
            Container::create(&self.kernel, Arc::new(gofer), spec, &shared, hook);
        let served = Served {
            container: made.map_err(boot_failure)?,
            listener: UnixListener::from(listener),
            gofer: PipeReader::from(life),
        };
        self.last += 1;
        self.containers.insert(self.last, served);
        connection.started = Some(Started::Container(self.last));
        Ok(Reply::Done)
    }

    /// The container of that id in this sandbox.
    fn named(&self, id: Option<&String>) -> Result<Option<Arc<Container>>, Failure> {
        let Some(id) = id else { return Ok(None) };
        let mut all = self.containers.values();
        let found = all.find(|s| s.container.id == *id);
        let found = found.ok_or_else(|| Failure::new(1, format!("no container {id} to join")))?;
        Ok(Some(found.container.clone()))
    }
}
