//! A process's terminal: the runtime hands over its master end, which is copied from and to
//! the FIFOs of the client.

use std::fs::File;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::termios::{Winsize, tcsetwinsize};
use tempfile::TempDir;

use crate::fault::{Fault, Result};
use crate::streams::{self, Held, Names};

/// The socket on which the runtime sends the terminal (`--console-socket`).
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Removed with the socket.
    _dir: TempDir,
}

impl Socket {
    /// One in a folder of its own.
    pub fn new() -> Result<Socket> {
        let dir = tempfile::Builder::new().prefix("runsc-pty").tempdir()?;
        let path = dir.path().join("s");
        Ok(Socket {
            listener: UnixListener::bind(&path)?,
            path,
            _dir: dir,
        })
    }

    /// For the command line.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The terminal's master end, after the command has ended well.
    pub fn receive(&self) -> Result<OwnedFd> {
        self.listener.set_nonblocking(true)?;
        let (peer, _) = self
            .listener
            .accept()
            .map_err(|e| Fault::from(e).context("the runtime has sent no terminal"))?;
        let mut byte = [0; 64];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [std::io::IoSliceMut::new(&mut byte)];
        recvmsg(&peer, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        let descriptors = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
            _ => None,
        });
        descriptors
            .last()
            .ok_or_else(|| Fault::new("the runtime has sent no terminal"))
    }
}

/// A terminal that is being copied.
#[derive(Debug)]
pub struct Console {
    master: File,
    stop: Arc<OwnedFd>,
}

impl Console {
    /// Starts copying; of the client's ends, that of the input is left in `held`.
    pub fn start(master: OwnedFd, names: &Names, held: &mut Held) -> Result<Console> {
        let master = File::from(master);
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        if let Some(input) = streams::input(&names.stdin, held)? {
            let (to, stop) = (master.try_clone()?, stop.clone());
            std::thread::spawn(move || copy_in(input, to, &stop));
        }
        // Its other end lives as long as there is something to copy, not as the process.
        let mut rest = Held::default();
        let output = streams::output(&names.stdout, &mut rest)?;
        let from = master.try_clone()?;
        std::thread::spawn(move || {
            copy_out(from, output);
            drop(rest);
        });
        Ok(Console { master, stop })
    }

    /// Sets the terminal's size.
    pub fn resize(&self, columns: u32, rows: u32) -> Result<()> {
        let size = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
        let size = Winsize {
            ws_row: size(rows),
            ws_col: size(columns),
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        Ok(tcsetwinsize(&self.master, size)?)
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
    }
}

/// Until the client's end of file, an error, or the console's end.
fn copy_in(mut from: File, mut to: File, stop: &OwnedFd) {
    let mut buffer = [0; 4096];
    loop {
        let mut fds = [
            PollFd::new(&from, PollFlags::IN),
            PollFd::new(stop, PollFlags::IN),
        ];
        match poll(&mut fds, None::<&Timespec>) {
            Ok(_) if fds[1].revents().is_empty() => {}
            Err(rustix::io::Errno::INTR) => continue,
            _ => return,
        }
        match from.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(n) if to.write_all(&buffer[..n]).is_err() => return,
            Ok(_) => {}
        }
    }
}

/// Until nobody has the terminal any more. What a client does not take is read all the same,
/// so that the guest does not hang.
fn copy_out(mut from: File, mut to: Option<File>) {
    let mut buffer = vec![0; 32 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => {
                if to
                    .as_mut()
                    .is_some_and(|to| to.write_all(&buffer[..n]).is_err())
                {
                    to = None;
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            // EIO: the last one has closed it.
            Err(_) => return,
        }
    }
}
