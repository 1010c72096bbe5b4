//! Terminals of the host: pseudoterminals for `--console-socket`, and the caller's own.
//!
//! In both cases the host's terminal is set raw and becomes the far end of the guest's own
//! tty, which is the only line discipline. Where stdout is no terminal a pseudoterminal stands
//! between ([`relay`]), so that the guest's output goes there.

mod relay;

use std::io::{IoSlice, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::sys::termios::{self, SetArg, Termios};

use relay::Relay;

use crate::cli::{Failure, reason};
use crate::sys::{self, WinSize};

/// What is said to those who detach from a terminal without a socket for it.
pub const NEEDS_SOCKET: &str = "cannot allocate tty if runc will detach without setting console \
                                socket: use --console-socket";

/// Makes a pseudoterminal, sends its master through the socket at `path`, and returns the
/// slave, raw.
pub fn through_socket(path: &Path, size: Option<WinSize>) -> Result<OwnedFd, Failure> {
    let socket = UnixStream::connect(path).map_err(|e| {
        Failure::new(
            1,
            format!("dial unix {}: connect: {}", path.display(), reason(&e)),
        )
    })?;
    let pair = nix::pty::openpty(None, None)?;
    make_raw(pair.slave.as_fd())?;
    if let Some(size) = size {
        sys::set_window_size(pair.slave.as_fd(), size)?;
    }
    let name = nix::unistd::ttyname(&pair.slave)
        .map_or_else(|_| "/dev/ptmx".to_string(), |p| p.display().to_string());
    let fds = [pair.master.as_raw_fd()];
    sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(name.as_bytes())],
        &[ControlMessage::ScmRights(&fds)],
        MsgFlags::empty(),
        None,
    )?;
    Ok(pair.slave)
}

fn make_raw(tty: BorrowedFd<'_>) -> Result<Termios, Failure> {
    let old = termios::tcgetattr(tty)?;
    let mut raw = old.clone();
    termios::cfmakeraw(&mut raw);
    termios::tcsetattr(tty, SetArg::TCSANOW, &raw)?;
    Ok(old)
}

/// The caller's terminal, raw until this is dropped.
pub struct Raw {
    tty: OwnedFd,
    old: Termios,
    relay: Option<Relay>,
}

impl Raw {
    /// Sets the terminal raw that one of the standard descriptors is, or else the one that
    /// controls us.
    pub fn own() -> Result<Raw, Failure> {
        let tty = Raw::find()
            .ok_or_else(|| Failure::new(1, "a terminal process needs a terminal: there is none"))?;
        let old = make_raw(tty.as_fd())?;
        let mut raw = Raw {
            tty,
            old,
            relay: None,
        };
        if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
            raw.relay = Some(Relay::new(raw.size())?);
        }
        Ok(raw)
    }

    fn find() -> Option<OwnedFd> {
        let standard = [
            std::io::stdin().as_fd().try_clone_to_owned(),
            std::io::stdout().as_fd().try_clone_to_owned(),
            std::io::stderr().as_fd().try_clone_to_owned(),
        ];
        let mut standard = standard.into_iter().flatten();
        let own = || {
            let mut options = std::fs::OpenOptions::new();
            options.read(true).write(true).open("/dev/tty").ok()
        };
        standard
            .find(|fd| fd.is_terminal())
            .or_else(|| own().map(OwnedFd::from))
    }

    /// What the sandbox gets as its terminal.
    pub fn tty(&self) -> Result<OwnedFd, Failure> {
        match self.relay.as_ref().and_then(Relay::take_slave) {
            Some(slave) => Ok(slave),
            None => Ok(self.tty.try_clone()?),
        }
    }

    /// Lets input and output flow, once the sandbox is made: no thread may run before.
    pub fn flow(&self) {
        if let Some(relay) = &self.relay {
            relay.start();
        }
    }

    /// Its size now.
    pub fn size(&self) -> Option<WinSize> {
        sys::window_size(self.tty.as_fd()).ok()
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(relay) = self.relay.take() {
            relay.finish();
        }
        // The terminal may have hung up; then there is nothing to restore.
        let _ = termios::tcsetattr(self.tty.as_fd(), SetArg::TCSADRAIN, &self.old);
    }
}
