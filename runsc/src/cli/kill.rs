//! `kill`: a signal for a container's first process, or for all.

use super::args::KillArgs;
use super::{App, Failure, Outcome};
use crate::boot::client::Client;
use crate::boot::message::Request;
use crate::container::signal;
use crate::container::state::{Phase, State};
use crate::container::status::{self, Status};
use crate::container::store;

/// Runs the command.
pub fn kill(app: &App, args: &KillArgs) -> Outcome {
    let state = store::peek(&app.root, &args.id)?;
    let signal = signal::parse(&args.signal)?;
    match status::of(&state) {
        // A tool that ends what is left of a container may come late.
        Status::Stopped if args.all => return Ok(0),
        Status::Stopped | Status::Creating => return Err(Failure::new(1, "container not running")),
        _ => {}
    }
    if !(0..=64).contains(&signal) {
        return Err(Failure::new(1, "unable to signal init: invalid argument"));
    }
    if signal == libc::SIGKILL {
        return end(&state);
    }
    let folder = app.root.join(&args.id);
    if state.phase == Phase::Created {
        // As with runc, whose init in wait dies of any signal that ends a process.
        let harmless = [
            0,
            libc::SIGCHLD,
            libc::SIGCONT,
            libc::SIGURG,
            libc::SIGWINCH,
        ];
        if !harmless.contains(&signal) {
            return end(&state);
        }
        return Ok(0);
    }
    let all = args.all;
    // No answer: it has just ended.
    Client::connect(&folder)?.call(&Request::Kill { signal, all })?;
    Ok(0)
}

/// SIGKILL needs nobody's help: the leader takes the whole sandbox with it.
fn end(state: &State) -> Outcome {
    if let Some(process) = state.process.filter(|p| status::is_alive(*p)) {
        let pid = nix::unistd::Pid::from_raw(process.pid);
        match nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL) {
            Ok(()) | Err(nix::Error::ESRCH) => {}
            Err(e) => return Err(Failure::new(1, format!("unable to signal init: {e}"))),
        }
    }
    Ok(0)
}
