//! The server of one container's or one pod's tasks: sets everything up and stays until it is
//! told to go.

use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use containerd_shim_protos::create_task;
use containerd_shim_protos::ttrpc::Server;
use rustix::process::{getpid, set_child_subreaper};

use crate::events::Publisher;
use crate::fault::{Fault, Result};
use crate::flags::Flags;
use crate::log::Log;
use crate::reaper::Reaper;
use crate::service::{Service, Shim};

/// How long the last events may take.
const FLUSH: Duration = Duration::from_secs(3);
/// The answer to the request to go is on its way.
const ANSWER: Duration = Duration::from_millis(50);

/// Serves on the socket that is standard input.
pub fn serve(flags: &Flags) -> Result<()> {
    if flags.socket.is_empty() {
        return Err(Fault::new("-socket is needed"));
    }
    let listener = take_input()?;
    set_child_subreaper(Some(getpid()))?;
    let events = std::env::var("TTRPC_ADDRESS").unwrap_or_else(|_| {
        // The name that containerd gives it where nothing else is configured.
        format!("{}.ttrpc", flags.address)
    });
    let reaper = Arc::new(Reaper::default());
    let runs = reaper.clone();
    std::thread::spawn(move || runs.run());
    let log = Log::open(Path::new("."), flags.debug);
    let (leave, left) = channel();
    let shim = Shim::new(
        &flags.namespace,
        Publisher::new(events, &flags.namespace),
        reaper,
        log,
        leave,
    );
    let service = Arc::new(Service(shim.clone()));
    let mut server = Server::new()
        .add_listener(listener.into_raw_fd())?
        .register_service(create_task(service));
    server.start()?;
    // Until all is deleted and containerd says so.
    let _ = left.recv();
    shim.events.flush(FLUSH);
    let _ = std::fs::remove_file(&flags.socket);
    std::thread::sleep(ANSWER);
    std::process::exit(0)
}

/// Takes the socket from descriptor 0, so that no child gets it.
fn take_input() -> Result<OwnedFd> {
    let stdin = std::io::stdin();
    let listener = stdin.as_fd().try_clone_to_owned()?;
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(listener)
}
