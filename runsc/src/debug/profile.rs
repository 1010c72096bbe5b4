//! `--profile`: where the time of system calls went, as a table.
//!
//! [`sentry::profile`] measures; a [`Report`] stands between it and the file.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use platform::Platform;
use sentry::profile::{Kind, Profile, Row, Timed};
use sentry::task::run::Dispatcher;
use sentry::time::clock::HostClock;

/// What the columns are.
const HEAD: &str = "\
nanoseconds a stop; guest: guest code and the trap both ways, from resumption to stop;
decode: from the stop to the handler; memory: changes of the address space, with the
host's own time; gofer: waiting for its replies; after: wake-ups, timers, parking, and
what the guest already ran on the worker's CPU
";

/// A profile and the file its table goes to.
pub struct Report {
    profile: Arc<Profile>,
    output: OwnedFd,
}

impl Report {
    /// Without measurements yet.
    pub fn new(output: OwnedFd) -> Report {
        Report {
            profile: Profile::new(Arc::new(HostClock)),
            output,
        }
    }

    /// The platform and the table as the profile sees them.
    pub fn around(
        &self,
        platform: Arc<dyn Platform>,
        table: &'static dyn Dispatcher,
    ) -> (Arc<dyn Platform>, &'static dyn Dispatcher) {
        let timed = Timed::new(self.profile.clone(), table);
        (self.profile.around(platform), Box::leak(Box::new(timed)))
    }

    /// What a gofer's client tells of its waiting.
    pub fn waits(&self) -> Arc<dyn gofer::client::Waits> {
        self.profile.clone()
    }

    /// Writes the table.
    pub fn write(&self) {
        let mut text = String::from(HEAD);
        text.push_str(&format!(
            "{:<20}{:>10}{:>11}{:>10}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}\n",
            "call",
            "stops",
            "total ms",
            "guest",
            "decode",
            "handler",
            "memory",
            "gofer",
            "resume",
            "after"
        ));
        for (kind, row) in self.profile.rows() {
            line(&mut text, &name(kind), &row);
        }
        let mut rest = text.as_bytes();
        while let Ok(done @ 1..) = nix::unistd::write(&self.output, rest) {
            rest = rest.get(done..).unwrap_or_default();
        }
    }
}

fn name(kind: Kind) -> String {
    match kind {
        Kind::Call(nr) => syscalls::dispatch::row(nr)
            .map_or_else(|| format!("syscall_{nr}"), |row| row.name.into()),
        Kind::Fault => "(page fault)".into(),
        Kind::Exception => "(exception)".into(),
        Kind::Interrupted => "(interruption)".into(),
        Kind::Other => "(no guest)".into(),
    }
}

fn line(text: &mut String, name: &str, row: &Row) {
    let total = row.total().as_secs_f64() * 1e3;
    text.push_str(&format!("{name:<20}{:>10}{total:>11.3}", row.stops));
    for (at, time) in row.time.iter().enumerate() {
        let each = each(*time, row.stops);
        let width = if at == 0 { 10 } else { 9 };
        text.push_str(&format!("{each:>width$}"));
    }
    text.push('\n');
}

/// Nanoseconds a stop.
fn each(time: Duration, stops: u64) -> u128 {
    time.as_nanos() / u128::from(stops.max(1))
}
