//! Whether a container's process lives, and what that makes of its state.

use super::state::{HostProcess, Phase, State};

/// The status of the runtime specification, with `paused`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Being made.
    Creating,
    /// Ready to start.
    Created,
    /// Started.
    Running,
    /// Started and held.
    Paused,
    /// Its process is gone.
    Stopped,
}

impl Status {
    /// As `state` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        }
    }
}

/// The container's status now.
pub fn of(state: &State) -> Status {
    let alive = state.process.is_some_and(is_alive);
    match state.phase {
        Phase::Creating if state.process.is_none() => Status::Creating,
        _ if !alive => Status::Stopped,
        Phase::Creating => Status::Creating,
        Phase::Created => Status::Created,
        Phase::Running => Status::Running,
        Phase::Paused => Status::Paused,
    }
}

/// The identity of a live process.
pub fn identify(pid: i32) -> Option<HostProcess> {
    let (_, start_time) = stat(pid)?;
    Some(HostProcess { pid, start_time })
}

/// Whether that very process is there and no zombie.
pub fn is_alive(p: HostProcess) -> bool {
    matches!(stat(p.pid), Some((state, start)) if start == p.start_time && !matches!(state, 'Z' | 'X'))
}

/// State letter and start time of a process (proc_pid_stat(5)).
fn stat(pid: i32) -> Option<(char, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name may hold anything, even ") R 1"; it ends at the last bracket.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some((state, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_process_lives() {
        let me = identify(std::process::id() as i32).expect("own process");
        assert!(is_alive(me));
        let other = HostProcess {
            start_time: me.start_time + 1,
            ..me
        };
        assert!(!is_alive(other));
    }
}
