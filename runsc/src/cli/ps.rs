//! `ps`: a container's processes.

use super::args::PsArgs;
use super::{App, Failure, Outcome};
use crate::boot::client::Client;
use crate::boot::message::{ProcessRow, Reply, Request};
use crate::container::state::State;
use crate::container::status::{self, Status};
use crate::container::store;

/// Runs the command.
pub fn ps(app: &App, args: &PsArgs) -> Outcome {
    let state = store::peek(&app.root, &args.id)?;
    match args.format.as_str() {
        "json" => println!("{}", serde_json::to_string(&host_pids(&state))?),
        "table" => table(&rows(app, &state)?, &args.ps_args),
        other => return Err(Failure::new(1, format!("invalid format option {other:?}"))),
    }
    Ok(0)
}

/// Host processes that stand for guest ones: the leader, and each exec's holder.
fn host_pids(state: &State) -> Vec<i32> {
    let Some(leader) = state.process.filter(|p| status::is_alive(*p)) else {
        return Vec::new();
    };
    let mut pids = vec![leader.pid];
    let name = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    pids.extend(
        state
            .cgroups
            .processes()
            .into_iter()
            .filter(|pid| name(*pid).trim_end() == "runsc-exec"),
    );
    pids
}

/// The guest's own processes.
pub fn rows(app: &App, state: &State) -> Result<Vec<ProcessRow>, Failure> {
    if matches!(status::of(state), Status::Stopped | Status::Creating) {
        return Ok(Vec::new());
    }
    let client = Client::connect(&app.root.join(&state.id))?;
    match client.call(&Request::Ps)? {
        Some(Reply::Processes(rows)) => Ok(rows),
        Some(other) => Err(Failure::new(1, format!("unexpected answer: {other:?}"))),
        None => Ok(Vec::new()),
    }
}

/// The table of `ps -ef`, or with other options that of BSD's `ps x`: which columns a client
/// reads is all that the two are told apart by.
fn table(rows: &[ProcessRow], options: &[String]) {
    let full = options.is_empty()
        || options
            .iter()
            .any(|o| o.contains('f') && !o.starts_with("--"));
    if full {
        println!("UID          PID    PPID  C STIME TTY          TIME CMD");
    } else {
        println!("    PID TTY      STAT   TIME COMMAND");
    }
    for r in rows {
        let s = r.cpu_ns / 1_000_000_000;
        let (hours, minutes, seconds) = (s / 3600, s / 60 % 60, s % 60);
        if full {
            println!(
                "{:<8} {:>7} {:>7}  0 -     ?        {hours:02}:{minutes:02}:{seconds:02} {}",
                user(r.uid),
                r.pid,
                r.ppid,
                r.command
            );
        } else {
            println!(
                "{:>7} ?        {:<4} {:>3}:{seconds:02} {}",
                r.pid,
                r.state,
                s / 60,
                r.command
            );
        }
    }
}

/// The host's name for a user, as ps(1) shows it; the number where there is none or it is
/// too long.
fn user(uid: u32) -> String {
    let known = nix::unistd::User::from_uid(uid.into()).ok().flatten();
    known
        .map(|user| user.name)
        .filter(|name| name.len() <= 8)
        .unwrap_or_else(|| uid.to_string())
}
