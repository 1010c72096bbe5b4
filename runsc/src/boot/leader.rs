//! The sandbox's leader: the child that becomes the Sentry.
//!
//! It is the first process of a new pid namespace, so that everything of the sandbox dies
//! with it, and it ends with the status of the guest's first process, so that whoever waits
//! for the container waits for it.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;

use anyhow::Context;
use nix::sys::prctl;

use super::message::Failed;
use super::sync::{Stage, Sync};
use super::{Plan, gofer, kernel, launch};
use crate::cli::Failure;
use crate::jail::{identity, namespaces};
use crate::sys;

/// Goes through the stages and serves until the container ends.
pub fn run(plan: Plan, listener: UnixListener, sync: Sync) -> ! {
    let e = match stages(plan, listener, &sync) {
        Ok(never) => match never {},
        Err(e) => e,
    };
    let failed = Failed {
        message: e.message,
        code: e.code,
    };
    // Nobody is left to tell when this fails: the command sees the end of the talk.
    let _ = sync.report(&Stage::Failed(failed));
    sys::exit_now(e.code)
}

fn stages(
    plan: Plan,
    listener: UnixListener,
    sync: &Sync,
) -> Result<std::convert::Infallible, Failure> {
    // The command has put us into the container's cgroup.
    sync.wait()?;
    nix::unistd::setsid()?;
    // A label only.
    let _ = prctl::set_name(c"runsc-sandbox");
    namespaces::enter(&plan.namespaces, &plan.hostname)?;
    report(sync, &Stage::Namespaces)?;

    let host = kernel::host_info(&plan);
    let keep = [listener.as_raw_fd()];
    let mut ends = gofer::fork(&plan.roots, &keep)?;
    gofer::ready(&mut ends)?;
    namespaces::empty_root()?;
    if identity::leave_user_namespace()? {
        report(sync, &Stage::UserNamespace)?;
    }
    identity::become_nobody(launch::SENTRY_ID)?;

    let sandbox = kernel::make(plan, host, ends)?;
    sync.report(&Stage::Ready).context("report readiness")?;
    sandbox.serve(listener)
}

fn report(sync: &Sync, stage: &Stage) -> Result<(), Failure> {
    sync.report(stage)?;
    Ok(sync.wait()?)
}
