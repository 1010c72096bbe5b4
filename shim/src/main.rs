//! `containerd-shim-runsc-v1`: what stands between containerd and `runsc`.
//!
//! containerd starts it with the action `start` ([`start`]), which leaves a server behind,
//! one for each pod ([`server`]); it speaks containerd's task service, version 2, over ttrpc
//! ([`service`]). The work is done by the program `runsc` ([`runtime`]), whose containers
//! ([`container`]) and processes ([`process`]) become children of the server ([`reaper`]).
//! The action `delete` ([`cleanup`]) removes what a dead server left.
#![forbid(unsafe_code)]

mod cleanup;
mod console;
mod container;
mod events;
mod fault;
mod flags;
mod log;
mod oom;
mod options;
mod process;
mod reaper;
mod rootfs;
mod runtime;
mod server;
mod service;
mod start;
mod stats;
mod streams;

use flags::{Action, Flags};

fn main() {
    let flags = match Flags::parse(std::env::args().skip(1)) {
        Ok(flags) => flags,
        Err(text) => fail(&text),
    };
    if flags.version {
        println!(
            "containerd-shim-runsc-v1 version {}",
            env!("CARGO_PKG_VERSION")
        );
        return;
    }
    let done = match flags.action {
        Action::Start => start::start(&flags),
        Action::Delete => cleanup::delete(&flags),
        Action::Mount => rootfs::mount_here(&flags.rest),
        Action::Serve => server::serve(&flags),
    };
    if let Err(e) = done {
        fail(&e.text);
    }
}

fn fail(text: &str) -> ! {
    eprintln!("containerd-shim-runsc-v1: {text}");
    std::process::exit(1)
}
