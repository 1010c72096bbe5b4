//! What stands on the host for a container that lives in another's sandbox.
//!
//! It is in the container's cgroup and network namespace, is the parent of its Gofer, and
//! ends with the status of its first process, so that whoever waits for the container waits
//! for it. Its connection to the sandbox is the container's life: when it is killed, so is
//! the container. As the first process of a pid namespace it takes the Gofer with it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixListener;

use super::hold::{self, Signals};
use super::message::{Reply, Request};
use super::sync::{Stage, Sync};
use super::{Join, Plan, gofer};
use crate::cli::Failure;
use crate::jail::namespaces;
use crate::sys;

/// Goes through the stages and stays until the container ends.
pub fn run(plan: Plan, join: Join, listener: UnixListener, sync: Sync) -> ! {
    let mut keep = plan.descriptors();
    keep.extend([0, 1, 2, listener.as_raw_fd(), sync.as_raw_fd()]);
    keep.push(join.sandbox.stream().as_raw_fd());
    sys::close_all_but(&keep);
    let code = match stages(plan, join, listener, &sync) {
        Ok(code) => code,
        Err(e) => {
            let code = e.code;
            // Nobody is left to tell when this fails: the command sees the end of the talk.
            let _ = sync.report(&Stage::Failed(e.into()));
            code
        }
    };
    sys::exit_now(code)
}

fn stages(plan: Plan, join: Join, listener: UnixListener, sync: &Sync) -> Result<i32, Failure> {
    // The command has put us into the container's cgroup.
    sync.wait()?;
    nix::unistd::setsid()?;
    plan.show_as(c"runsc-member");
    namespaces::enter(&plan.namespaces, &plan.guest.hostname)?;
    sync.report(&Stage::Namespaces)?;
    sync.wait()?;
    let signals = Signals::block()?;
    let mut ends = gofer::fork(&plan.roots)?;
    gofer::ready(&mut ends)?;

    let mut fds: Vec<BorrowedFd<'_>> =
        vec![ends.session.as_fd(), ends.life.as_fd(), listener.as_fd()];
    fds.extend(plan.groups.iter().map(AsFd::as_fd));
    fds.extend(plan.stdio.fds());
    fds.extend(plan.preserved.iter().map(AsFd::as_fd));
    let request = Request::Create {
        guest: Box::new(plan.guest),
        share: join.share,
        groups: plan.groups.len(),
    };
    join.sandbox.send(&request, &fds)?;
    match join.sandbox.reply()? {
        Some(Reply::Done) => {}
        Some(other) => return Err(Failure::new(1, format!("unexpected answer: {other:?}"))),
        None => return Err(Failure::new(1, "the sandbox ended")),
    }
    drop((ends, listener, plan.groups, plan.preserved));
    sync.report(&Stage::Ready)?;
    Ok(hold::stay(join.sandbox.stream(), &signals, plan.stdio))
}
