//! The sandbox's leader: the child that becomes the Sentry.
//!
//! It is the first process of a new pid namespace, so that everything of the sandbox dies
//! with it, and it ends with the status of the guest's first process, so that whoever waits
//! for the container waits for it.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;

use anyhow::Context;
use nix::sys::signal::SigSet;

use super::kernel::OomScore;
use super::sync::{Stage, Sync};
use super::{Plan, Stdio, gofer, kernel, launch};
use crate::cli::Failure;
use crate::cli::args::NetworkMode;
use crate::jail::{identity, namespaces};
use crate::net::client::Client;
use crate::net::helper;
use crate::sys;

/// Goes through the stages and serves until the container ends.
pub fn run(plan: Plan, listener: UnixListener, sync: Sync) -> ! {
    // Whatever else the command has open (locks, its log, other terminals) stays its own.
    let mut keep = plan.descriptors();
    keep.extend([0, 1, 2, listener.as_raw_fd(), sync.as_raw_fd()]);
    sys::close_all_but(&keep);
    // The command may have blocked signals to read them; the sandbox starts with none.
    let _ = SigSet::all().thread_unblock();
    let e = match stages(plan, listener, &sync) {
        Ok(never) => match never {},
        Err(e) => e,
    };
    let code = e.code;
    // Nobody is left to tell when this fails: the command sees the end of the talk.
    let _ = sync.report(&Stage::Failed(e.into()));
    sys::exit_now(code)
}

fn stages(
    mut plan: Plan,
    listener: UnixListener,
    sync: &Sync,
) -> Result<std::convert::Infallible, Failure> {
    // The command has put us into the container's cgroup.
    sync.wait()?;
    nix::unistd::setsid()?;
    plan.show_as(c"runsc-sandbox");
    if let Stdio::Terminal(tty) = &plan.stdio {
        // Refused for the caller's own terminal, whose sizes the caller forwards.
        let _ = sys::set_controlling_tty(tty.as_fd());
    }
    leave_stdio(plan.log.take())?;
    namespaces::enter(&plan.namespaces, &plan.guest.hostname)?;
    report(sync, &Stage::Namespaces)?;

    let host = kernel::host_info(&plan);
    let oom = OomScore::open();
    let maps = File::open("/proc/self/maps").context("open /proc/self/maps")?;
    let network = match plan.network {
        NetworkMode::Sandbox => helper::fork()?.map(Client::new),
        NetworkMode::None => None,
    };
    let mut ends = gofer::fork(&plan.roots)?;
    gofer::ready(&mut ends)?;
    namespaces::empty_root()?;
    if identity::leave_user_namespace()? {
        report(sync, &Stage::UserNamespace)?;
    }
    identity::become_nobody(launch::SENTRY_ID)?;

    let sandbox = kernel::make(plan, host, ends, (&oom, maps))?;
    sync.report(&Stage::Ready).context("report readiness")?;
    sandbox.serve(listener, network)
}

fn report(sync: &Sync, stage: &Stage) -> Result<(), Failure> {
    sync.report(stage)?;
    Ok(sync.wait()?)
}

/// Lets the caller's standard descriptors go: they are the guest's now, which must be able
/// to close them for good. Last words go to the log.
fn leave_stdio(log: Option<OwnedFd>) -> Result<(), Failure> {
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    match log {
        Some(log) => nix::unistd::dup2_stderr(log)?,
        None => nix::unistd::dup2_stderr(null)?,
    }
    Ok(())
}
