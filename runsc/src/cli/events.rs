//! `events`: usage statistics, once or as a stream.

use super::args::EventsArgs;
use super::{App, Failure, Outcome, ps};
use crate::cgroup::stats;
use crate::container::state::State;
use crate::container::status::{self, Status};
use crate::container::store;
use crate::events::{duration, line};

/// Runs the command.
pub fn events(app: &App, args: &EventsArgs) -> Outcome {
    let interval = duration(&args.interval)
        .filter(|d| !d.is_zero())
        .ok_or_else(|| Failure::new(1, "duration interval must be greater than 0"))?;
    let state = store::peek(&app.root, &args.id)?;
    if status::of(&state) == Status::Stopped {
        let text = format!("container with id {} is not running", args.id);
        return Err(Failure::new(1, text));
    }
    let mut ooms = oom_kills(&state);
    loop {
        println!("{}", line(&args.id, "stats", usage(app, &state)?));
        if args.stats {
            return Ok(0);
        }
        std::thread::sleep(interval);
        if status::of(&state) == Status::Stopped {
            return Ok(0);
        }
        let now = oom_kills(&state);
        if now > ooms {
            ooms = now;
            println!("{}", line(&args.id, "oom", serde_json::Value::Null));
        }
    }
}

fn usage(app: &App, state: &State) -> Result<serde_json::Value, Failure> {
    let tasks = ps::rows(app, state)?.iter().map(|r| r.threads.max(1)).sum();
    Ok(stats::stats(&state.cgroups, tasks, None))
}

/// How often the host's OOM killer has struck in the container.
fn oom_kills(state: &State) -> u64 {
    let file = if state.cgroups.unified() {
        "memory.events"
    } else {
        "memory.oom_control"
    };
    state
        .cgroups
        .of("memory")
        .and_then(|dir| std::fs::read_to_string(dir.join(file)).ok())
        .and_then(|text| {
            text.lines()
                .find_map(|l| l.strip_prefix("oom_kill ")?.trim().parse().ok())
        })
        .unwrap_or(0)
}
