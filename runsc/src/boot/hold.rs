//! Standing for a guest process (an exec's, or a container's first) on the host: signals and
//! window sizes go to it, and its end is ours.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::Stdio;
use super::message::{self, Reply, Request};
use crate::cli::Failure;
use crate::console::Raw;
use crate::sys;

/// Signals as a descriptor: all that can be caught.
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks them. Children that are no sandbox get them unblocked by `Command`.
    pub fn block() -> Result<Signals, Failure> {
        let mut mask = SigSet::all();
        // Faults of our own must end us.
        for fault in [
            Signal::SIGSEGV,
            Signal::SIGBUS,
            Signal::SIGILL,
            Signal::SIGFPE,
        ] {
            mask.remove(fault);
        }
        mask.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Signals(SignalFd::with_flags(&mask, flags)?))
    }

    /// The next pending one.
    pub fn next(&self) -> Option<i32> {
        let info = self.0.read_signal().ok()??;
        i32::try_from(info.ssi_signo).ok()
    }

    /// To be polled.
    pub fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Marks `fd` polled for input.
fn input<'a>(fd: &'a impl AsFd) -> PollFd<'a> {
    PollFd::new(fd.as_fd(), PollFlags::POLLIN)
}

/// The terminal whose sizes are forwarded.
pub enum Terminal<'a> {
    /// The caller's.
    Caller(&'a Raw),
    /// One we made.
    Own(&'a OwnedFd),
}

/// Lets go of all the caller gave us, and stays with the process until it ends. In the
/// process's own terminal, if it has one, whose sizes are watched.
pub fn stay(stream: &UnixStream, signals: &Signals, stdio: Stdio) -> i32 {
    if let Ok(null) = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
    {
        let _ = nix::unistd::dup2_stdin(&null);
        let _ = nix::unistd::dup2_stdout(&null);
        let _ = nix::unistd::dup2_stderr(&null);
    }
    let tty = match stdio {
        Stdio::Terminal(tty) => Some(tty),
        Stdio::Files(files) => {
            drop(files);
            None
        }
    };
    if let Some(tty) = &tty {
        // Where it is refused, sizes are not forwarded; the process runs all the same.
        let _ = sys::set_controlling_tty(tty.as_fd());
    }
    hold(stream, signals, tty.as_ref().map(Terminal::Own))
}

/// Forwards signals and sizes until the process ends; its status as a shell counts it.
/// A sandbox that ends takes the process with it, as SIGKILL would.
pub fn hold(stream: &UnixStream, signals: &Signals, terminal: Option<Terminal<'_>>) -> i32 {
    const KILLED: i32 = 128 + libc::SIGKILL;
    loop {
        let asked = signals.fd();
        let mut fds = [input(stream), input(&asked)];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(_) => return KILLED,
        }
        let answered = fds.first().and_then(PollFd::any).unwrap_or(false);
        while let Some(signal) = signals.next() {
            let request = match (signal, &terminal) {
                (libc::SIGCHLD | libc::SIGURG, _) => continue,
                (libc::SIGHUP, Some(Terminal::Own(_))) => Request::Signal { signal },
                (libc::SIGWINCH, Some(terminal)) => {
                    let size = match terminal {
                        Terminal::Caller(raw) => raw.size(),
                        Terminal::Own(tty) => sys::window_size(tty.as_fd()).ok(),
                    };
                    match size {
                        Some(size) => Request::Resize { size },
                        None => continue,
                    }
                }
                _ => Request::Signal { signal },
            };
            if message::send(stream, &request, &[]).is_err() {
                return KILLED;
            }
        }
        if answered {
            match message::receive::<Reply>(stream) {
                Ok(Some((Reply::Ended(ended), _))) => return ended.code(),
                // The answer to a forwarded signal.
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return KILLED,
            }
        }
    }
}
