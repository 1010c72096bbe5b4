//! Where the time of system calls goes: the profile mode.
//!
//! A [`Profile`] stands around the platform and the system call table and looks at the clock
//! at each crossing ([`platform`]); the kernel itself knows nothing of it, so that one without
//! a profile pays nothing. Time is kept by what a guest asked for ([`Kind`]) and by what was
//! done for it ([`Phase`]).
//!
//! What the guest's own code answers (identity calls of patched sites, the vDSO) is not seen.
//! Lock rank: its locks are below all others; of its own, segments, then rows.

mod platform;

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Duration;

use ::platform::{Cookie, Exit};
use gofer::client::Waits;

use crate::sync::Mutex;
use crate::task::Task;
use crate::task::run::Dispatcher;
use crate::time::clock::Clock;
use crate::wait::SysResult;

/// Numbers of system calls that have a row of their own.
const CALLS: usize = 512;
/// All kinds.
const KINDS: usize = CALLS + 4;

/// What a guest thread stopped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A system call, by number.
    Call(u64),
    /// A page fault.
    Fault,
    /// Another exception of the CPU.
    Exception,
    /// It was interrupted, for a signal or for its registers.
    Interrupted,
    /// No guest: timers, packets, kicks; calls without a row.
    Other,
}

impl Kind {
    fn of(exit: &Exit) -> Kind {
        match exit {
            Exit::Syscall { nr, .. } if *nr < CALLS as u64 => Kind::Call(*nr),
            Exit::Fault { .. } => Kind::Fault,
            Exit::Exception { .. } => Kind::Exception,
            Exit::Interrupted => Kind::Interrupted,
            Exit::Syscall { .. } | Exit::ForeignSyscall { .. } | Exit::Gone { .. } => Kind::Other,
        }
    }

    fn index(self) -> usize {
        match self {
            Kind::Call(nr) => usize::try_from(nr).map_or(KINDS - 1, |nr| nr.min(KINDS - 1)),
            Kind::Fault => CALLS,
            Kind::Exception => CALLS + 1,
            Kind::Interrupted => CALLS + 2,
            Kind::Other => CALLS + 3,
        }
    }

    fn at(index: usize) -> Kind {
        match index.checked_sub(CALLS) {
            None => Kind::Call(index as u64),
            Some(0) => Kind::Fault,
            Some(1) => Kind::Exception,
            Some(2) => Kind::Interrupted,
            Some(_) => Kind::Other,
        }
    }
}

/// What is done at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// From the thread's resumption to this stop: guest code, and the trap both ways.
    Guest,
    /// From the stop to the handler: finding the task, filters, decoding.
    Decode,
    /// The handler, or a step of what it parked.
    Handler,
    /// Changes of an address space, with the host's own time for them.
    Memory,
    /// Waiting for a reply of the gofer.
    Gofer,
    /// Handing the thread back to the platform.
    Resume,
    /// From there to the next stop: wake-ups, timers, parking.
    After,
}

/// How many phases there are.
pub const PHASES: usize = 7;

/// A line of the profile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Row {
    /// How often guest threads stopped for it.
    pub stops: u64,
    /// Time by [`Phase`].
    pub time: [Duration; PHASES],
}

impl Row {
    /// All of it.
    pub fn total(&self) -> Duration {
        self.time.iter().sum()
    }
}

/// What the calling thread does.
#[derive(Clone, Copy, Debug)]
struct Segment {
    since: Duration,
    kind: usize,
    phase: Phase,
    cookie: Option<Cookie>,
    /// The phase that waiting for a gofer interrupts.
    interrupted: Phase,
}

/// The measurements of one sandbox.
pub struct Profile {
    clock: Arc<dyn Clock>,
    rows: Mutex<Vec<Row>>,
    /// When each guest thread was resumed last, and what it had stopped for.
    left: Mutex<HashMap<Cookie, (Duration, usize)>>,
    /// What each worker's thread does.
    segments: Mutex<HashMap<ThreadId, Segment>>,
}

impl Profile {
    /// One without measurements.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Profile> {
        Arc::new(Profile {
            clock,
            rows: Mutex::new(vec![Row::default(); KINDS]),
            left: Mutex::default(),
            segments: Mutex::default(),
        })
    }

    /// What was measured so far: the costliest kinds first, none that never occurred.
    pub fn rows(&self) -> Vec<(Kind, Row)> {
        let rows = self.rows.lock();
        let mut found: Vec<(Kind, Row)> = rows
            .iter()
            .enumerate()
            .filter(|(_, row)| row.stops > 0 || !row.total().is_zero())
            .map(|(index, row)| (Kind::at(index), *row))
            .collect();
        found.sort_by_key(|(_, row)| std::cmp::Reverse(row.total()));
        found
    }

    fn add(&self, kind: usize, phase: Phase, time: Duration) {
        let mut rows = self.rows.lock();
        if let Some(sum) = rows
            .get_mut(kind)
            .and_then(|row| row.time.get_mut(phase as usize))
        {
            *sum = sum.saturating_add(time);
        }
    }

    /// Ends the calling thread's segment and begins one of `phase`; the phase before.
    fn turn(&self, phase: Phase) -> Phase {
        let now = self.clock.monotonic();
        let mut segments = self.segments.lock();
        let Some(segment) = segments.get_mut(&thread::current().id()) else {
            return phase;
        };
        let taken = now.saturating_sub(segment.since);
        self.add(segment.kind, segment.phase, taken);
        segment.since = now;
        std::mem::replace(&mut segment.phase, phase)
    }

    /// A worker looks for its next event: the time until then belongs to nobody.
    fn idle(&self) {
        self.turn(Phase::After);
        self.segments.lock().remove(&thread::current().id());
    }

    /// A guest thread has stopped, or, with `None`, something else is to be done.
    fn stopped(&self, stop: Option<(Cookie, &Exit)>) {
        let now = self.clock.monotonic();
        let kind = stop.map_or(Kind::Other, |(_, exit)| Kind::of(exit)).index();
        if let Some((cookie, exit)) = stop {
            let left = match exit {
                Exit::Gone { .. } => self.left.lock().remove(&cookie).map(|(at, _)| at),
                _ => self
                    .left
                    .lock()
                    .insert(cookie, (now, kind))
                    .map(|(at, _)| at),
            };
            let mut rows = self.rows.lock();
            if let Some(row) = rows.get_mut(kind) {
                row.stops = row.stops.saturating_add(1);
                if let (Some(left), [guest, ..]) = (left, &mut row.time) {
                    *guest = guest.saturating_add(now.saturating_sub(left));
                }
            }
        }
        let segment = Segment {
            since: now,
            kind,
            phase: Phase::Decode,
            cookie: stop.map(|(cookie, _)| cookie),
            interrupted: Phase::Decode,
        };
        let thread = thread::current().id();
        self.segments.lock().insert(thread, segment);
    }

    /// A guest thread is about to be resumed. Where the calling thread's stop was another's,
    /// the time so far was a step of what this one had parked.
    fn resuming(&self, cookie: Cookie) {
        let kind = self.left.lock().get(&cookie).map(|&(_, kind)| kind);
        if let Some(segment) = self.segments.lock().get_mut(&thread::current().id())
            && let Some(kind) = kind
            && segment.cookie != Some(cookie)
        {
            segment.kind = kind;
            segment.phase = Phase::Handler;
            segment.cookie = Some(cookie);
        }
        self.turn(Phase::Resume);
        let now = self.clock.monotonic();
        if let Some(left) = self.left.lock().get_mut(&cookie) {
            left.0 = now;
        }
    }
}

/// The system call table with a clock around it.
pub struct Timed {
    profile: Arc<Profile>,
    inner: &'static dyn Dispatcher,
}

impl Timed {
    /// Around this table.
    pub fn new(profile: Arc<Profile>, inner: &'static dyn Dispatcher) -> Timed {
        Timed { profile, inner }
    }
}

impl Dispatcher for Timed {
    fn dispatch(&self, t: &Arc<Task>, nr: u64, args: &[u64; 6]) -> SysResult<i64> {
        let profile = &self.profile;
        profile.turn(Phase::Handler);
        let result = self.inner.dispatch(t, nr, args);
        profile.turn(Phase::After);
        result
    }
}

impl Waits for Profile {
    fn begin(&self) {
        let interrupted = self.turn(Phase::Gofer);
        if let Some(segment) = self.segments.lock().get_mut(&thread::current().id()) {
            segment.interrupted = interrupted;
        }
    }
    fn end(&self) {
        let segment = self.segments.lock().get(&thread::current().id()).copied();
        if let Some(segment) = segment {
            self.turn(segment.interrupted);
        }
    }
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Profile")
    }
}
