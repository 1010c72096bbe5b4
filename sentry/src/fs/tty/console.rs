//! A host terminal as the far end of a guest terminal.
//!
//! The caller has set it raw, so that the guest's line discipline is the only one. The
//! descriptor should be non-blocking on a description of its own; output that the host does
//! not take at once waits here.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::fs::PollEvents;
use platform::host;

use super::termios::WinSize;
use super::{FarEnd, Tty};
use crate::fs::devpts::DevPts;
use crate::fs::host_watch::WatchedFd;
use crate::sync::Mutex;
use crate::wait::Wake;
use crate::{Kernel, Result};

/// Bytes moved at a time.
const CHUNK: usize = 2048;

/// The pump between a host terminal and a guest one.
pub struct Console {
    fd: OwnedFd,
    tty: Arc<Tty>,
    input: Option<WatchedFd>,
    output: Option<WatchedFd>,
    /// Held by whoever pumps, so that output stays in order.
    pump: Mutex<()>,
    /// Something moved since the pump last looked.
    again: AtomicBool,
    /// Where its number is given back.
    place: Mutex<Option<(Weak<DevPts>, u32)>>,
}

impl Console {
    /// Connects a host terminal to a guest terminal that exists.
    pub fn attach(
        kernel: &Arc<Kernel>,
        fd: OwnedFd,
        tty: Arc<Tty>,
        size: WinSize,
    ) -> Result<Arc<Console>> {
        let readable = host::readiness_set(fd.as_fd(), true, false).map_err(Errno::from)?;
        let writable = host::readiness_set(fd.as_fd(), false, true).map_err(Errno::from)?;
        tty.set_winsize(size);
        let console = Arc::new_cyclic(|me: &Weak<Console>| {
            let wake: Weak<dyn Wake> = me.clone();
            Console {
                fd,
                tty,
                input: Some(WatchedFd::new(kernel, readable, wake.clone())),
                output: Some(WatchedFd::new(kernel, writable, wake)),
                pump: Mutex::new(()),
                again: AtomicBool::new(false),
                place: Mutex::new(None),
            }
        });
        let far: Weak<dyn FarEnd> = Arc::downgrade(&(console.clone() as Arc<dyn FarEnd>));
        console.tty.set_far(far);
        if let Some(w) = &console.input {
            w.arm();
        }
        Ok(console)
    }

    /// The guest side.
    pub fn tty(&self) -> &Arc<Tty> {
        &self.tty
    }

    /// Gives number `index` of `fs` back at the end.
    pub(crate) fn on_drop(&self, fs: &Arc<DevPts>, index: u32) {
        *self.place.lock() = Some((Arc::downgrade(fs), index));
    }

    /// Moves what can be moved both ways, and arms the watches for the rest. Only one
    /// caller does it; it looks again for those that came meanwhile.
    fn run(&self) {
        self.again.store(true, Ordering::SeqCst);
        while self.again.load(Ordering::SeqCst) {
            let Some(_pump) = self.pump.try_lock() else {
                return;
            };
            self.again.store(false, Ordering::SeqCst);
            self.pump_input();
            self.pump_output();
        }
    }

    fn pump_input(&self) {
        loop {
            let waits = self.input.as_ref().is_some_and(WatchedFd::is_armed);
            if waits || !self.tty.takes_input() {
                return;
            }
            let (ready, _, hup) = host::poll_now(self.fd.as_fd());
            if !ready && !hup {
                if let Some(w) = &self.input {
                    w.arm();
                }
                return;
            }
            let mut buf = [0; CHUNK];
            match host::read_at(self.fd.as_fd(), None, &mut buf) {
                Ok(0) => return self.tty.hang_up(),
                Ok(n) => {
                    self.tty.receive(buf.get(..n).unwrap_or_default());
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => return self.tty.hang_up(),
            }
        }
    }

    fn pump_output(&self) {
        loop {
            let bytes = self.tty.take_output(CHUNK);
            if bytes.is_empty() {
                return;
            }
            let (_, room, hup) = host::poll_now(self.fd.as_fd());
            let sent = if room || hup {
                host::write_at(self.fd.as_fd(), None, &bytes)
            } else {
                Ok(0)
            };
            let n = match sent {
                Ok(n) => n,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => 0,
                Err(_) => return self.tty.hang_up(),
            };
            if n < bytes.len() {
                self.tty.untake_output(bytes.get(n..).unwrap_or_default());
                if let Some(w) = &self.output {
                    w.arm();
                }
                return;
            }
        }
    }
}

impl Wake for Console {
    fn wake(&self, _events: PollEvents) -> bool {
        self.run();
        true
    }
}

impl FarEnd for Console {
    fn moved(&self) {
        self.run();
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // What the last process wrote is not lost with it.
        self.pump_output();
        let place = self.place.get_mut().take();
        if let Some((fs, index)) = place
            && let Some(fs) = fs.upgrade()
        {
            fs.forget(index);
        }
        self.tty.hang_up();
    }
}
