//! `exec`: another process in a container.
//!
//! This program (or, detached, a small copy of it in the container's cgroup) *holds* the
//! process: it forwards signals and sizes, ends with its status, and takes it along when it
//! dies.

use std::os::fd::{AsFd, OwnedFd};

use oci_spec::runtime::{Capabilities, Capability, Process};

use super::args::ExecArgs;
use super::run::end;
use super::{App, Failure, Outcome, reason};
use crate::boot::Stdio;
use crate::boot::client::Client;
use crate::boot::hold::{self, Signals, Terminal};
use crate::boot::message::{Reply, Request};
use crate::bundle::process::{GuestProcess, guest_process};
use crate::bundle::{self, caps, validate};
use crate::console::{self, Raw};
use crate::container::state::State;
use crate::container::status::{self, Status};
use crate::container::{lifecycle, store};
use crate::debug::log::steps;
use crate::sys;

/// Runs the command.
pub fn exec(app: &App, args: &ExecArgs) -> Outcome {
    inner(app, args).map_err(|e| {
        let mut e = e.context("exec failed");
        e.code = 255;
        e
    })
}

fn inner(app: &App, args: &ExecArgs) -> Outcome {
    let state = store::peek(&app.root, &args.id)?;
    check_status(&state, args)?;
    for asked in &args.cgroup {
        state.cgroups.check_sub(asked)?;
    }
    let oci = process(app, &state, args)?;
    validate::process(&oci)?;
    let mut guest = guest_process(&oci, Some(&state.rootfs));
    let preserved = lifecycle::preserved_fds(app, args.preserve_fds)?;
    guest.closed = preserved.closed;
    let (stdio, raw) = stdio(args, &guest)?;
    let folder = app.root.join(&args.id);
    app.log
        .debug(&format!("exec {:?} in {}", guest.args, args.id));
    let client = Client::connect(&folder)?;
    app.log.debug(steps::NAMESPACES);
    app.log.debug(steps::INIT);
    let signals = Signals::block()?;
    app.log.debug(steps::EXEC);
    start(&client, guest, &stdio, &preserved.fds)?;
    drop(preserved.fds);
    if !args.detach {
        if let Some(path) = &args.pid_file {
            lifecycle::write_pid_file(path, std::process::id() as i32)?;
        }
        drop(stdio);
        if let Some(raw) = &raw {
            raw.flow();
        }
        let terminal = raw.as_ref().map(Terminal::Caller);
        return Ok(hold::hold(client.stream(), &signals, terminal));
    }
    detach(args, &state, &client, &signals, stdio)
}

fn check_status(state: &State, args: &ExecArgs) -> Result<(), Failure> {
    match status::of(state) {
        Status::Running | Status::Created => Ok(()),
        Status::Paused if args.ignore_paused => Ok(()),
        Status::Paused => Err(Failure::new(
            1,
            "cannot exec in a paused container (use --ignore-paused to override)",
        )),
        _ => Err(Failure::new(1, "cannot exec in a stopped container")),
    }
}

/// The process asked for: a file's, or the container's own with changes.
fn process(app: &App, state: &State, args: &ExecArgs) -> Result<Process, Failure> {
    if let Some(path) = &args.process {
        let text = std::fs::read(path)
            .map_err(|e| Failure::new(1, format!("open {}: {}", path.display(), reason(&e))))?;
        let mut warnings = Vec::new();
        let process = bundle::parse_process(&text, &mut warnings)?;
        for text in &warnings {
            app.log.warn(text);
        }
        return Ok(process);
    }
    let mut p = state
        .process_spec
        .clone()
        .ok_or_else(|| Failure::new(1, "the container has no process"))?;
    if args.command.is_empty() {
        return Err(Failure::new(1, "process args cannot be empty"));
    }
    p.set_args(Some(args.command.clone()));
    p.set_terminal(Some(args.tty));
    p.set_console_size(None);
    if let Some(cwd) = &args.cwd {
        p.set_cwd(cwd.clone());
    }
    let mut env = p.env().clone().unwrap_or_default();
    env.extend(args.env.iter().cloned());
    p.set_env(Some(env));
    if args.no_new_privs {
        p.set_no_new_privileges(Some(true));
    }
    user(&mut p, args)?;
    add_caps(app, &mut p, &args.cap)?;
    Ok(p)
}

fn user(p: &mut Process, args: &ExecArgs) -> Result<(), Failure> {
    let user = p.user_mut();
    if let Some(text) = &args.user {
        let (uid, gid) = text
            .split_once(':')
            .map_or((text.as_str(), None), |(u, g)| (u, Some(g)));
        let number = |what: &str, t: &str| {
            t.parse::<u32>()
                .map_err(|_| Failure::new(1, format!("parsing {t} as int for {what} failed")))
        };
        user.set_uid(number("uid", uid)?);
        if let Some(gid) = gid {
            user.set_gid(number("gid", gid)?);
        }
    }
    if !args.additional_gids.is_empty() {
        user.set_additional_gids(Some(args.additional_gids.clone()));
    }
    Ok(())
}

fn add_caps(app: &App, p: &mut Process, names: &[String]) -> Result<(), Failure> {
    if names.is_empty() {
        return Ok(());
    }
    let mut sets = p.capabilities().clone().unwrap_or_default();
    for name in names {
        let known = caps::number(name).and_then(|n| caps::NAMES.get(n as usize));
        let Some(short) = known else {
            app.log.warn(&caps::ignored(std::slice::from_ref(name)));
            continue;
        };
        let cap: Capability = serde_json::from_value(format!("CAP_{short}").into())?;
        let with = |set: &Option<Capabilities>| {
            let mut set = set.clone().unwrap_or_default();
            set.insert(cap);
            Some(set)
        };
        let bounding = with(sets.bounding());
        let effective = with(sets.effective());
        let permitted = with(sets.permitted());
        let ambient = with(sets.ambient());
        sets.set_bounding(bounding)
            .set_effective(effective)
            .set_permitted(permitted)
            .set_ambient(ambient);
    }
    p.set_capabilities(Some(sets));
    Ok(())
}

fn stdio(args: &ExecArgs, guest: &GuestProcess) -> Result<(Stdio, Option<Raw>), Failure> {
    let socket = args
        .console_socket
        .as_ref()
        .filter(|p| !p.as_os_str().is_empty());
    match (socket, guest.terminal) {
        (Some(path), true) => Ok((
            Stdio::Terminal(console::through_socket(path, guest.size)?),
            None,
        )),
        (Some(_), false) => Err(Failure::new(
            1,
            "cannot use console socket if runc will not detach or allocate tty",
        )),
        (None, true) if args.detach => Err(Failure::new(1, console::NEEDS_SOCKET)),
        (None, true) => {
            let raw = Raw::own()?;
            Ok((Stdio::Terminal(raw.tty()?), Some(raw)))
        }
        (None, false) => Ok((lifecycle::own_stdio()?, None)),
    }
}

fn start(
    client: &Client,
    guest: GuestProcess,
    stdio: &Stdio,
    preserved: &[OwnedFd],
) -> Result<(), Failure> {
    let mut fds = stdio.fds();
    fds.extend(preserved.iter().map(AsFd::as_fd));
    let process = Box::new(guest);
    client.send(&Request::Exec { process }, &fds)?;
    match client.reply()? {
        Some(Reply::Started(_)) => Ok(()),
        Some(other) => Err(Failure::new(1, format!("unexpected answer: {other:?}"))),
        None => Err(Failure::new(1, "cannot exec in a stopped container")),
    }
}

/// Leaves a holder behind and reports its number.
fn detach(
    args: &ExecArgs,
    state: &State,
    client: &Client,
    signals: &Signals,
    stdio: Stdio,
) -> Outcome {
    let Some(pid) = sys::fork()? else {
        holder(client, signals, stdio);
    };
    // Without a cgroup there is nothing to be counted in.
    let joined = state.cgroups.join(pid.as_raw());
    let written = match &args.pid_file {
        Some(path) => lifecycle::write_pid_file(path, pid.as_raw()),
        None => Ok(()),
    };
    if let Err(e) = joined.map_err(|text| Failure::new(1, text)).and(written) {
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        let _ = nix::sys::wait::waitpid(pid, None);
        return Err(e);
    }
    Ok(0)
}

/// The holder of a detached process: a session of its own, with none of the caller's
/// descriptors but the terminal whose sizes it watches.
fn holder(client: &Client, signals: &Signals, stdio: Stdio) -> ! {
    // A label only.
    let _ = nix::sys::prctl::set_name(c"runsc-exec");
    let _ = nix::unistd::setsid();
    end(hold::stay(client.stream(), signals, stdio))
}
