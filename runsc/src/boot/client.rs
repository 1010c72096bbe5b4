//! The commands' end of a sandbox's control socket.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::message::{self, Reply, Request};
use crate::cli::{Failure, reason};

/// Name of the socket in the state folder.
pub const SOCKET: &str = "control.sock";

/// A connection to a sandbox.
#[derive(Debug)]
pub struct Client(UnixStream);

impl Client {
    /// Connects to the sandbox whose state folder this is. The path may be longer than a
    /// socket address can hold, so it goes through a descriptor.
    pub fn connect(folder: &Path) -> Result<Client, Failure> {
        let fail = |e: std::io::Error| {
            Failure::new(1, format!("cannot reach the sandbox: {}", reason(&e)))
        };
        let dir = std::fs::File::open(folder).map_err(fail)?;
        let short = format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd());
        UnixStream::connect(short).map(Client).map_err(fail)
    }

    /// The stream, to be polled.
    pub fn stream(&self) -> &UnixStream {
        &self.0
    }

    /// Sends a request.
    pub fn send(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<(), Failure> {
        Ok(message::send(&self.0, request, fds)?)
    }

    /// The next reply; `None` when the sandbox has ended. A failure is an error.
    pub fn reply(&self) -> Result<Option<Reply>, Failure> {
        match message::receive::<Reply>(&self.0) {
            Ok(Some((Reply::Failed(f), _))) => Err(f.into()),
            Ok(Some((reply, _))) => Ok(Some(reply)),
            Ok(None) => Ok(None),
            // The sandbox may end with our request unread.
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Asks and waits for the answer.
    pub fn call(&self, request: &Request) -> Result<Option<Reply>, Failure> {
        match message::send(&self.0, request, &[]) {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Ok(None),
            other => other?,
        }
        self.reply()
    }
}
