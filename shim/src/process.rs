//! One process that a client knows: a container's first, or one executed in it.
//!
//! Its [`Life`] is behind a lock which a request holds until the event that tells of it is on
//! its way: the end of a process that is just being started is told of afterwards.

use std::os::fd::OwnedFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::protobuf::well_known_types::timestamp::Timestamp;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::console::Console;
use crate::fault::{Fault, Result};
use crate::streams::{Held, Names};

/// How a process ended.
#[derive(Clone, Copy, Debug)]
pub struct Exit {
    /// As a shell has it.
    pub status: u32,
    /// When it was seen.
    pub at: SystemTime,
}

impl Exit {
    /// For a message.
    pub fn time(&self) -> MessageField<Timestamp> {
        MessageField::some(Timestamp::from(self.at))
    }
}

/// What a process has been through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not started.
    Created,
    /// Started.
    Running,
    /// Ended.
    Stopped,
}

/// What changes in a process.
#[derive(Debug)]
pub struct Life {
    /// Where it is.
    pub phase: Phase,
    /// On the host; 0 before there is one.
    pub pid: u32,
    /// That very process.
    pidfd: Option<OwnedFd>,
    /// How it ended.
    pub exit: Option<Exit>,
    /// The other ends of its streams.
    pub held: Held,
    /// Its terminal.
    pub console: Option<Console>,
}

impl Life {
    /// Notes which host process stands for it.
    pub fn has_pid(&mut self, pid: i32) {
        self.pid = pid.unsigned_abs();
        let pid = Pid::from_raw(pid);
        self.pidfd = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    }

    /// Sends a signal to the host process.
    pub fn signal(&self, number: u32) -> Result<()> {
        let gone = || Fault::not_found("process already finished");
        let pidfd = match self.phase {
            Phase::Created => return Err(Fault::precondition("the process is not started")),
            Phase::Running => self.pidfd.as_ref().ok_or_else(gone)?,
            Phase::Stopped => return Err(gone()),
        };
        let known = i32::try_from(number).ok().and_then(Signal::from_named_raw);
        let signal = known.ok_or_else(|| {
            Fault::new(format!(
                "signal {number} cannot be sent to an executed process"
            ))
        })?;
        match pidfd_send_signal(pidfd, signal) {
            Err(rustix::io::Errno::SRCH) => Err(gone()),
            done => Ok(done?),
        }
    }
}

/// A process.
#[derive(Debug)]
pub struct Process {
    /// Its name among those executed in the container; empty for the first.
    pub exec: String,
    /// Its streams.
    pub names: Names,
    /// `process` of the runtime specification, for an executed one.
    pub spec: Vec<u8>,
    life: Mutex<Life>,
    ended: Condvar,
}

impl Process {
    /// One that is not started yet.
    pub fn new(exec: &str, names: Names, spec: Vec<u8>) -> Process {
        let life = Life {
            phase: Phase::Created,
            pid: 0,
            pidfd: None,
            exit: None,
            held: Held::default(),
            console: None,
        };
        Process {
            exec: exec.to_owned(),
            names,
            spec,
            life: Mutex::new(life),
            ended: Condvar::new(),
        }
    }

    /// Its state; others wait.
    pub fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes its end and lets its streams go.
    pub fn end(&self, status: u32) -> Exit {
        let exit = Exit {
            status,
            at: SystemTime::now(),
        };
        let mut life = self.life();
        life.phase = Phase::Stopped;
        life.exit = Some(exit);
        life.held = Held::default();
        life.console = None;
        self.ended.notify_all();
        exit
    }

    /// Waits for its end.
    pub fn wait(&self) -> Exit {
        let mut life = self.life();
        loop {
            if let Some(exit) = life.exit {
                return exit;
            }
            life = self
                .ended
                .wait(life)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}
