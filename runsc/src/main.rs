//! `runsc`: an OCI runtime whose containers run on a user-space kernel.
//!
//! The command line ([`cli`]) reads a bundle ([`bundle`]), keeps the life cycle of each
//! container in a state folder ([`container`]), and starts the sandbox ([`boot`]): the
//! Sentry behind its walls ([`jail`]) with a Gofer beside it. Terminals are in
//! [`console`], host limits in [`cgroup`], statistics in [`events`], logs in [`debug`].
#![deny(unsafe_code)]

mod boot;
mod bundle;
mod cgroup;
mod cli;
mod console;
mod container;
mod debug;
mod events;
mod jail;
mod net;
mod sys;

fn main() {
    std::process::exit(cli::main());
}
