//! The command's side of a sandbox's start.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::Pid;

use super::sync::{Stage, Sync};
use super::{Plan, client, holder, leader};
use crate::cli::{Failure, reason};
use crate::sys;

/// The user and group the Sentry runs as on the host.
pub const SENTRY_ID: u32 = 65_534;

/// Makes a container, in a sandbox of its own or in the one it joins, and brings it to the
/// point where its first process can start.
///
/// `joined` is called with the pid of the leader (or holder) before it has done anything, and
/// `hooked` once its namespaces exist. On a failure it is killed and reaped.
pub fn launch(
    mut plan: Plan,
    joined: impl FnOnce(Pid) -> Result<(), Failure>,
    hooked: impl FnOnce(Pid) -> Result<(), Failure>,
) -> Result<Pid, Failure> {
    let listener = listen(&plan.folder)?;
    let (ours, theirs) = Sync::pair()?;
    let home = File::open("/proc/self/ns/pid")?;
    unshare(CloneFlags::CLONE_NEWPID).map_err(|e| {
        Failure::new(
            1,
            format!("cannot make a pid namespace: {}", reason(&e.into())),
        )
    })?;
    let forked = sys::fork();
    let Some(pid) = forked? else {
        drop(ours);
        drop(home);
        match plan.join.take() {
            Some(join) => holder::run(plan, join, listener, theirs),
            None => leader::run(plan, listener, theirs),
        }
    };
    drop(theirs);
    let outcome = (|| {
        // Further children, such as hooks, belong to our own pid namespace again.
        setns(home.as_fd(), CloneFlags::CLONE_NEWPID)?;
        joined(pid)?;
        ours.allow()?;
        follow(&ours, pid, hooked)
    })();
    match outcome {
        Ok(()) => Ok(pid),
        Err(e) => {
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            let _ = nix::sys::wait::waitpid(pid, None);
            Err(e)
        }
    }
}

fn follow(
    sync: &Sync,
    pid: Pid,
    hooked: impl FnOnce(Pid) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut hooked = Some(hooked);
    loop {
        match sync.next()? {
            Stage::Namespaces => {
                if let Some(hooked) = hooked.take() {
                    hooked(pid)?;
                }
                sync.allow()?;
            }
            Stage::UserNamespace => {
                write_id_maps(pid)?;
                sync.allow()?;
            }
            Stage::Ready => return Ok(()),
            // Turned into an error by `next`.
            Stage::Failed(f) => return Err(f.into()),
        }
    }
}

/// Maps the Sentry's user, and the caller's own where that is another, to themselves.
fn write_id_maps(pid: Pid) -> Result<(), Failure> {
    let map = format!("{SENTRY_ID} {SENTRY_ID} 1\n");
    for file in ["uid_map", "gid_map"] {
        std::fs::write(format!("/proc/{pid}/{file}"), &map)
            .map_err(|e| Failure::new(1, format!("write {file} of the sandbox: {}", reason(&e))))?;
    }
    Ok(())
}

/// The control socket, in the state folder. The path may be longer than a socket address
/// can hold, so it goes through a descriptor.
fn listen(folder: &Path) -> Result<UnixListener, Failure> {
    let dir = File::open(folder)?;
    let short = format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), client::SOCKET);
    UnixListener::bind(short)
        .map_err(|e| Failure::new(1, format!("bind the control socket: {}", reason(&e))))
}
