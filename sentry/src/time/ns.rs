//! Time namespaces (`time_namespaces(7)`): offsets of the monotonic and the boot-time clock.
//!
//! A task enters the namespace meant for children when it is forked or executes a program;
//! from then on the offsets are fixed, and each task of it keeps a copy ([`TaskOffsets`]).
//! Inside the kernel all times are the host's; they are turned to a namespace's where a guest
//! gives or reads them. Neighbours: [`super::vdso`] (the clocks that guests read themselves).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use abi::Errno;

use super::clock_id::ClockId;
use crate::Result;
use crate::kernel::Kernel;
use crate::sync::Mutex;
use crate::task::Task;
use crate::userns::UserNs;

/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;
/// Most seconds of an offset (`KTIME_MAX`); the clock itself stays below half of them.
const SECONDS_MAX: i64 = i64::MAX / SECOND;

/// What a namespace's clocks are ahead of the host's, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// Of `CLOCK_MONOTONIC` and its kin.
    pub monotonic: i64,
    /// Of `CLOCK_BOOTTIME`.
    pub boottime: i64,
}

#[derive(Debug)]
struct State {
    offsets: Offsets,
    /// Somebody has entered it.
    frozen: bool,
}

/// A time namespace. Lock rank: leaf.
#[derive(Debug)]
pub struct TimeNs {
    /// Inode number under `/proc/PID/ns/time`; `None` for the first.
    pub ino: Option<u64>,
    /// The user namespace it belongs to.
    pub owner: UserNs,
    state: Mutex<State>,
}

impl TimeNs {
    /// The first one, which is the host's.
    pub fn initial() -> Arc<TimeNs> {
        Arc::new(TimeNs {
            ino: None,
            owner: UserNs::INITIAL,
            state: Mutex::new(State {
                offsets: Offsets::default(),
                frozen: true,
            }),
        })
    }

    /// A new one with the same offsets, which may be changed until somebody enters it.
    pub(crate) fn child(&self, ino: u64, owner: &UserNs) -> Arc<TimeNs> {
        Arc::new(TimeNs {
            ino: Some(ino),
            owner: owner.clone(),
            state: Mutex::new(State {
                offsets: self.offsets(),
                frozen: false,
            }),
        })
    }

    /// Its offsets.
    pub fn offsets(&self) -> Offsets {
        self.state.lock().offsets
    }

    /// Somebody enters it: its offsets, which are fixed now.
    pub fn enter(&self) -> Offsets {
        let mut state = self.state.lock();
        state.frozen = true;
        state.offsets
    }

    /// `/proc/PID/timens_offsets`.
    pub fn text(&self) -> Vec<u8> {
        let o = self.offsets();
        let line = |name: &str, ns: i64| {
            let (sec, nsec) = (ns.div_euclid(SECOND), ns.rem_euclid(SECOND));
            format!("{name:<10} {sec:>10} {nsec:>9}\n")
        };
        (line("monotonic", o.monotonic) + &line("boottime", o.boottime)).into_bytes()
    }

    /// Whether a text can be written to it at all; `EINVAL`.
    pub fn check_text(&self, text: &[u8]) -> Result<()> {
        parse(text).map(drop)
    }

    /// Writes it: `EINVAL` for what is not a clock and an offset, `ERANGE` for clocks before
    /// their beginning or too far ahead, `EACCES` once somebody has entered.
    pub fn set_text(&self, kernel: &Kernel, text: &[u8]) -> Result<()> {
        let given = parse(text)?;
        for (boottime, sec, nsec) in &given {
            let now = match boottime {
                true => kernel.clock.boottime(),
                false => kernel.clock.monotonic(),
            };
            if !(-SECONDS_MAX..=SECONDS_MAX).contains(sec) {
                return Err(Errno::ERANGE);
            }
            let carry = (i64::from(now.subsec_nanos()) + nsec) / SECOND;
            let then = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
            let then = then.saturating_add(*sec).saturating_add(carry);
            if !(0..=SECONDS_MAX / 2).contains(&then) {
                return Err(Errno::ERANGE);
            }
        }
        let mut state = self.state.lock();
        if state.frozen {
            return Err(Errno::EACCES);
        }
        for (boottime, sec, nsec) in given {
            let ns = sec * SECOND + nsec;
            match boottime {
                true => state.offsets.boottime = ns,
                false => state.offsets.monotonic = ns,
            }
        }
        Ok(())
    }
}

fn parse(text: &[u8]) -> Result<Vec<(bool, i64, i64)>> {
    let text = std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    // Two lines are read at most.
    let lines = text.split_terminator('\n').take(2);
    let given: Vec<_> = lines.map(line).collect::<Result<_>>()?;
    match given.is_empty() {
        true => Err(Errno::EINVAL),
        false => Ok(given),
    }
}

/// A line of `timens_offsets`: whether of the boot-time clock, seconds, nanoseconds.
fn line(text: &str) -> Result<(bool, i64, i64)> {
    let mut words = text.split_ascii_whitespace();
    let (Some(clock), Some(sec), Some(nsec)) = (words.next(), words.next(), words.next()) else {
        return Err(Errno::EINVAL);
    };
    let boottime = match clock {
        "monotonic" | "1" => false,
        "boottime" | "7" => true,
        _ => return Err(Errno::EINVAL),
    };
    if sec.starts_with('+') || nsec.starts_with('+') {
        return Err(Errno::EINVAL);
    }
    let sec = sec.parse().map_err(|_| Errno::EINVAL)?;
    let nsec: i64 = nsec.parse().map_err(|_| Errno::EINVAL)?;
    if !(0..SECOND).contains(&nsec) {
        return Err(Errno::EINVAL);
    }
    Ok((boottime, sec, nsec))
}

/// A time moved by a number of nanoseconds, to 0 at the least.
pub fn shifted(time: Duration, by: i64) -> Duration {
    let span = Duration::from_nanos(by.unsigned_abs());
    if by < 0 {
        time.saturating_sub(span)
    } else {
        time.saturating_add(span)
    }
}

/// An absolute time that a task sets a timer to, as the host has it: one that is past stays
/// one, for 0 would disarm it.
pub(super) fn to_host(t: &Task, clock: &ClockId, time: Duration) -> Duration {
    match t.clock_offset(clock) {
        0 => time,
        _ if time.is_zero() => time,
        _ => t.host_time(clock, time).max(Duration::from_nanos(1)),
    }
}

/// The offsets of the namespace a task is in.
#[derive(Debug, Default)]
pub(crate) struct TaskOffsets {
    monotonic: AtomicI64,
    boottime: AtomicI64,
}

impl TaskOffsets {
    pub(crate) fn new(offsets: Offsets) -> TaskOffsets {
        TaskOffsets {
            monotonic: AtomicI64::new(offsets.monotonic),
            boottime: AtomicI64::new(offsets.boottime),
        }
    }

    pub(crate) fn set(&self, offsets: Offsets) {
        self.monotonic.store(offsets.monotonic, Ordering::Relaxed);
        self.boottime.store(offsets.boottime, Ordering::Relaxed);
    }
}

impl Task {
    /// What a clock of the task is ahead of the host's, in nanoseconds.
    pub fn clock_offset(&self, clock: &ClockId) -> i64 {
        match clock {
            ClockId::Monotonic | ClockId::MonotonicRaw | ClockId::MonotonicCoarse => {
                self.time_offsets.monotonic.load(Ordering::Relaxed)
            }
            ClockId::Boottime => self.boot_offset(),
            _ => 0,
        }
    }

    /// The same of `CLOCK_BOOTTIME`.
    pub fn boot_offset(&self) -> i64 {
        self.time_offsets.boottime.load(Ordering::Relaxed)
    }

    /// A host's time as the task reads it.
    pub fn shown_time(&self, clock: &ClockId, time: Duration) -> Duration {
        shifted(time, self.clock_offset(clock))
    }

    /// A time the task gives as the host has it.
    pub fn host_time(&self, clock: &ClockId, time: Duration) -> Duration {
        shifted(time, self.clock_offset(clock).saturating_neg())
    }

    /// Enters the time namespace that its children are in (`execve(2)`).
    pub(crate) fn enter_time(&self) {
        let mut namespaces = self.namespaces();
        if Arc::ptr_eq(&namespaces.time, &namespaces.time_for_children) {
            return;
        }
        namespaces.time = namespaces.time_for_children.clone();
        self.time_offsets.set(namespaces.time.enter());
        self.set_namespaces(namespaces);
    }

    /// Enters a time namespace with its memory (`setns(2)`); `ENOMEM`.
    pub fn join_time(&self, ns: Arc<TimeNs>) -> Result<()> {
        let offsets = ns.enter();
        self.kernel.fit_vdso(&self.mm(), offsets)?;
        self.time_offsets.set(offsets);
        let mut namespaces = self.namespaces();
        (namespaces.time, namespaces.time_for_children) = (ns.clone(), ns);
        self.set_namespaces(namespaces);
        Ok(())
    }
}
