//! The talk between a command and the leader it forks: stages, permissions to go on, and
//! the one sentence of a failure.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use serde::{Deserialize, Serialize};

use super::message::{self, Failed};
use crate::cli::Failure;

/// What the leader says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Stage {
    /// Its namespaces are made (all but the user namespace).
    Namespaces,
    /// Its user namespace is made and wants its id maps.
    UserNamespace,
    /// The container is ready to start.
    Ready,
    /// It cannot go on.
    Failed(Failed),
}

/// One end of the talk.
#[derive(Debug)]
pub struct Sync(UnixStream);

impl Sync {
    /// Both ends: the command's and the leader's.
    pub fn pair() -> std::io::Result<(Sync, Sync)> {
        let (a, b) = UnixStream::pair()?;
        Ok((Sync(a), Sync(b)))
    }

    /// The descriptor's number.
    pub fn as_raw_fd(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// Leader: reports a stage.
    pub fn report(&self, stage: &Stage) -> std::io::Result<()> {
        message::send(&self.0, stage, &[])
    }

    /// Leader: waits for the permission to go on.
    pub fn wait(&self) -> std::io::Result<()> {
        match message::receive::<()>(&self.0)? {
            Some(_) => Ok(()),
            None => Err(std::io::Error::other(
                "the command that made this sandbox is gone",
            )),
        }
    }

    /// Command: gives the permission to go on.
    pub fn allow(&self) -> Result<(), Failure> {
        Ok(message::send(&self.0, &(), &[])?)
    }

    /// Command: the next stage, a failure being an error.
    pub fn next(&self) -> Result<Stage, Failure> {
        match message::receive::<Stage>(&self.0) {
            Ok(Some((Stage::Failed(f), _))) => Err(f.into()),
            Ok(Some((stage, _))) => Ok(stage),
            Ok(None) => Err(Failure::new(1, "the sandbox ended while it was being made")),
            Err(e) => Err(e.into()),
        }
    }
}
