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
        "table" => table(&rows(app, &state)?),
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

fn table(rows: &[ProcessRow]) {
    println!("UID        PID  PPID  C STIME TTY          TIME CMD");
    for r in rows {
        let s = r.cpu_ns / 1_000_000_000;
        println!(
            "{:<8} {:>5} {:>5}  0 -     ?        {:02}:{:02}:{:02} {}",
            r.uid,
            r.pid,
            r.ppid,
            s / 3600,
            s / 60 % 60,
            s % 60,
            r.command
        );
    }
}
