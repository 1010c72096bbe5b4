//! Job control: the session and foreground group of a terminal (`credentials(7)`,
//! `ioctl_tty(2)`, "Controlling terminal").

use std::sync::Arc;

use abi::Errno;
use abi::signal::Signal;

use super::Tty;
use crate::Result;
use crate::task::Task;

/// Whose controlling terminal it is.
#[derive(Default)]
pub(super) struct Job {
    /// Foreground process group, 0 for none.
    foreground: i32,
}

impl Tty {
    /// The controlling terminal of a task.
    pub(super) fn controlling(_t: &Arc<Task>) -> Option<Arc<Tty>> {
        None
    }

    /// Makes it the controlling terminal of a session leader without one, if it is nobody's.
    pub(super) fn acquire_if_free(&self, _t: &Arc<Task>) {}

    /// Sends a signal to the foreground group.
    pub(super) fn signal_foreground(&self, _signal: Signal) {}

    /// Tells the session that the terminal is gone.
    pub(super) fn hang_up_session(&self) {}

    /// A read by a background process stops it (`SIGTTIN`); `EAGAIN` until it is in the
    /// foreground, `EIO` if it cannot be stopped.
    pub(super) fn check_read(&self, _t: &Arc<Task>) -> Result<()> {
        Ok(())
    }

    /// The same for changes and, with `TOSTOP`, writes (`SIGTTOU`), but who ignores or
    /// blocks the signal may.
    pub(super) fn check_change(&self, _t: &Arc<Task>) -> Result<()> {
        Ok(())
    }

    /// `TIOCGPGRP`.
    pub(super) fn foreground_of(&self, _t: &Arc<Task>) -> Result<i32> {
        Ok(self.state.lock().job.foreground)
    }

    /// `TIOCSPGRP`.
    pub(super) fn set_foreground(&self, _t: &Arc<Task>, pgid: i32) -> Result<()> {
        self.state.lock().job.foreground = pgid;
        Ok(())
    }

    /// `TIOCGSID`.
    pub(super) fn session_of(&self, _t: &Arc<Task>) -> Result<i32> {
        Err(Errno::ENOTTY)
    }

    /// `TIOCSCTTY`.
    pub(super) fn acquire(&self, _t: &Arc<Task>, _steal: bool) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// `TIOCNOTTY`.
    pub(super) fn give_up(&self, _t: &Arc<Task>) -> Result<()> {
        Err(Errno::ENOTTY)
    }
}
