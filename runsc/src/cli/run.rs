//! `run`: create and start, then stay with the container unless detached.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::args::RunArgs;
use super::{App, Failure, Outcome, create};
use crate::boot::Stdio;
use crate::boot::client::Client;
use crate::boot::hold::Signals;
use crate::boot::message::Request;
use crate::bundle::Bundle;
use crate::console::Raw;
use crate::container::lifecycle::{self, Surroundings};
use crate::container::state::State;
use crate::container::store::Folder;
use crate::sys;

/// Runs the command.
pub fn run(app: &App, args: &RunArgs) -> Outcome {
    inner(app, args).map_err(|e| e.context("runsc run failed"))
}

fn inner(app: &App, args: &RunArgs) -> Outcome {
    let bundle = create::load(app, &args.bundle)?;
    let overlay = create::overlay(app)?;
    let preserved = lifecycle::preserved_fds(app, args.bundle.preserve_fds)?;
    if args.detach {
        let surroundings = Surroundings {
            stdio: create::detached_stdio(&args.bundle, &bundle)?,
            preserved,
            foreground: false,
            overlay,
        };
        let (pid, folder, mut state) =
            lifecycle::create(app, &args.bundle.id, &bundle, surroundings)?;
        if let Err(e) = started(app, args, pid, &folder, &mut state) {
            lifecycle::delete(app, folder, &state, true)?;
            return Err(e);
        }
        return Ok(0);
    }
    let (wanted, _) = create::terminal(&bundle);
    let raw = if wanted { Some(Raw::own()?) } else { None };
    let stdio = match &raw {
        Some(raw) => Stdio::Terminal(raw.tty()?),
        None => lifecycle::own_stdio()?,
    };
    let surroundings = Surroundings {
        stdio,
        preserved,
        foreground: true,
        overlay,
    };
    attached(app, args, &bundle, surroundings, raw.as_ref())
}

fn started(
    app: &App,
    args: &RunArgs,
    pid: Pid,
    folder: &Folder,
    state: &mut State,
) -> Result<(), Failure> {
    if let Some(path) = &args.bundle.pid_file {
        lifecycle::write_pid_file(path, pid.as_raw())?;
    }
    lifecycle::start(app, folder, state)
}

/// Creates, starts, and stays until the end, which deletes the container.
pub fn attached(
    app: &App,
    args: &RunArgs,
    bundle: &Bundle,
    surroundings: Surroundings,
    raw: Option<&Raw>,
) -> Outcome {
    let signals = Signals::block()?;
    if !args.no_subreaper {
        // Without it orphans go to another reaper, which is as good.
        let _ = nix::sys::prctl::set_child_subreaper(true);
    }
    let (pid, folder, mut state) = lifecycle::create(app, &args.bundle.id, bundle, surroundings)?;
    let outcome = started(app, args, pid, &folder, &mut state)
        .and_then(|()| Client::connect(folder.path()).map_or(Ok(None), |c| Ok(Some(c))));
    let client = match outcome {
        Ok(client) => client,
        Err(e) => {
            lifecycle::delete(app, folder, &state, true)?;
            return Err(e);
        }
    };
    let path = folder.path().to_path_buf();
    // Others may use the container while it runs.
    drop(folder);
    if let Some(raw) = raw {
        raw.flow();
    }
    sys::drop_code_pages();
    let code = stay(pid, client.as_ref(), &signals, raw);
    let code = match code {
        Ok(code) => code,
        Err(e) => {
            app.log.warn(&e.message);
            1
        }
    };
    if !args.keep {
        let id = &args.bundle.id;
        match Folder::open(&app.root, id) {
            Ok(folder) => lifecycle::delete(app, folder, &state, true)?,
            // Somebody was faster.
            Err(_) if !path.exists() => {}
            Err(e) => return Err(e),
        }
    }
    Ok(code)
}

/// Forwards signals and sizes until the leader ends; its status as a shell counts it.
fn stay(
    leader: Pid,
    client: Option<&Client>,
    signals: &Signals,
    raw: Option<&Raw>,
) -> Result<i32, Failure> {
    loop {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == leader => return Ok(code),
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == leader => {
                    return Ok(128 + signal as i32);
                }
                Ok(WaitStatus::StillAlive) => break,
                Ok(_) => {}
                Err(e) => return Err(e.into()),
            }
        }
        let mut fds = [PollFd::new(signals.fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        while let Some(signal) = signals.next() {
            let request = match signal {
                libc::SIGCHLD | libc::SIGURG => continue,
                libc::SIGWINCH if raw.is_some() => match raw.and_then(Raw::size) {
                    Some(size) => Request::Resize { size },
                    None => continue,
                },
                signal => Request::Kill { signal, all: false },
            };
            if let Some(client) = client {
                // It fails only when the container has just ended, which is noticed next.
                let _ = client.call(&request);
            }
        }
    }
}

/// Ends a forked child with a status as a shell counts it.
pub fn end(code: i32) -> ! {
    sys::exit_now(code)
}
