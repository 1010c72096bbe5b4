//! A pseudoterminal between the guest's terminal and a stdout that is none, as runc has one:
//! `runsc run` with a terminal into a pipe.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::cli::Failure;
use crate::sys::{self, WinSize};

/// How long output is waited for after the guest's process has ended: others of the container
/// may keep the terminal open for ever.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// The pair, and the thread that copies output.
pub struct Relay {
    master: OwnedFd,
    slave: RefCell<Option<OwnedFd>>,
    done: RefCell<Option<Receiver<()>>>,
}

impl Relay {
    /// A pair whose slave is raw.
    pub fn new(size: Option<WinSize>) -> Result<Relay, Failure> {
        let pair = nix::pty::openpty(None, None)?;
        super::make_raw(pair.slave.as_fd())?;
        if let Some(size) = size {
            sys::set_window_size(pair.slave.as_fd(), size)?;
        }
        Ok(Relay {
            master: pair.master,
            slave: RefCell::new(Some(pair.slave)),
            done: RefCell::default(),
        })
    }

    /// The slave, once: nobody else may keep it open, or the end of output is not seen.
    pub fn take_slave(&self) -> Option<OwnedFd> {
        self.slave.borrow_mut().take()
    }

    /// Starts to copy stdin to the guest and its output to stdout.
    pub fn start(&self) {
        let (Ok(input), Ok(output)) = (self.master.try_clone(), self.master.try_clone()) else {
            return;
        };
        let (tell, done) = channel();
        *self.done.borrow_mut() = Some(done);
        std::thread::spawn(move || {
            copy(&mut File::from(output), &mut std::io::stdout());
            let _ = tell.send(());
        });
        std::thread::spawn(move || copy(&mut std::io::stdin(), &mut File::from(input)));
    }

    /// Waits for the last output.
    pub fn finish(self) {
        drop(self.slave);
        if let Some(done) = self.done.into_inner() {
            let _ = done.recv_timeout(LAST_OUTPUT);
        }
    }
}

/// Copies until the end of either.
fn copy(from: &mut dyn Read, to: &mut dyn Write) {
    let mut buffer = [0u8; 8192];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        let part = buffer.get(..n).unwrap_or_default();
        if to.write_all(part).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}
