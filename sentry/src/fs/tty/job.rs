//! Job control: the session and foreground group of a terminal (`credentials(7)`,
//! `ioctl_tty(2)`, "Controlling terminal").

use std::any::Any;
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::signal::Signal;

use super::{READABLE, Tty, WRITABLE};
use crate::Result;
use crate::creds::Cap;
use crate::signal::info;
use crate::task::group::ThreadGroup;
use crate::task::session::{ControllingTty, ProcessGroup, Session};
use crate::task::{PidNamespace, Task};

/// Whose controlling terminal it is.
#[derive(Default)]
pub(super) struct Job {
    session: Weak<Session>,
    /// Leader of the session.
    leader: Weak<ThreadGroup>,
    foreground: Weak<ProcessGroup>,
}

impl ControllingTty for Tty {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn dev(&self) -> u64 {
        self.dev
    }

    fn foreground_in(&self, ns: &PidNamespace) -> i32 {
        self.foreground_group().map_or(0, |g| g.id.nr_in(ns))
    }

    fn released(&self) {
        let foreground = {
            let mut s = self.state.lock();
            std::mem::take(&mut s.job).foreground.upgrade()
        };
        if let Some(group) = foreground {
            group.post_signal(info::kernel(Signal::SIGHUP));
            group.post_signal(info::kernel(Signal::SIGCONT));
        }
        self.pollee.notify(READABLE | WRITABLE);
    }
}

impl Tty {
    /// The controlling terminal of a task.
    pub(super) fn controlling(t: &Arc<Task>) -> Option<Arc<Tty>> {
        let tty = t.thread_group().session().tty()?;
        tty.as_any().downcast_ref::<Tty>()?.me.upgrade()
    }

    /// Whether it is the controlling terminal of the task's session.
    fn controls(&self, t: &Arc<Task>) -> bool {
        let tty = t.thread_group().session().tty();
        let own = tty.as_ref().and_then(|c| c.as_any().downcast_ref::<Tty>());
        own.is_some_and(|c| std::ptr::eq(c, self))
    }

    fn foreground_group(&self) -> Option<Arc<ProcessGroup>> {
        self.state.lock().job.foreground.upgrade()
    }

    /// Makes it the controlling terminal of a session, with its leader's group in the
    /// foreground.
    pub fn give_to(&self, leader: &Arc<ThreadGroup>) {
        let Some(me) = self.me.upgrade() else {
            return;
        };
        let session = leader.session();
        {
            let mut s = self.state.lock();
            s.job = Job {
                session: Arc::downgrade(&session),
                leader: Arc::downgrade(leader),
                foreground: Arc::downgrade(&leader.pgrp()),
            };
        }
        session.set_tty(Some(me));
    }

    /// Makes it the controlling terminal of a session leader without one, if it is nobody's.
    pub(super) fn acquire_if_free(&self, t: &Arc<Task>) {
        let group = t.thread_group();
        let session = group.session();
        let leads = session.is_led_by(group);
        let free = self.state.lock().job.session.strong_count() == 0;
        if leads && free && session.tty().is_none() {
            self.give_to(group);
        }
    }

    /// Sends a signal to the foreground group.
    pub(super) fn signal_foreground(&self, signal: Signal) {
        if let Some(group) = self.foreground_group() {
            group.post_signal(info::kernel(signal));
        }
    }

    /// Tells the session leader that the terminal is gone, and takes it from the session.
    pub(super) fn hang_up_session(&self) {
        let job = std::mem::take(&mut self.state.lock().job);
        if let Some(session) = job.session.upgrade() {
            drop(session.set_tty(None));
        }
        if let Some(leader) = job.leader.upgrade() {
            leader.post_signal(info::kernel(Signal::SIGHUP));
            leader.post_signal(info::kernel(Signal::SIGCONT));
        }
    }

    /// Sends `signal` to the group of a background process; `EAGAIN` then, `EIO` when
    /// nobody would continue it.
    fn check_foreground(&self, t: &Arc<Task>, signal: Signal) -> Result<()> {
        if !self.controls(t) {
            return Ok(());
        }
        let Some(foreground) = self.foreground_group() else {
            return Ok(());
        };
        let group = t.thread_group().pgrp();
        if group.is(&foreground) {
            return Ok(());
        }
        let ignored = t.sigmask().contains(signal) || t.thread_group().sighand().ignores(signal);
        if ignored && signal == Signal::SIGTTOU {
            return Ok(());
        }
        if ignored || group.is_orphaned() {
            return Err(Errno::EIO);
        }
        group.post_signal(info::kernel(signal));
        Err(Errno::EAGAIN)
    }

    /// A read by a background process stops it (`SIGTTIN`); `EAGAIN` until it is in the
    /// foreground, `EIO` if it cannot be stopped.
    pub(super) fn check_read(&self, t: &Arc<Task>) -> Result<()> {
        self.check_foreground(t, Signal::SIGTTIN)
    }

    /// The same for changes and, with `TOSTOP`, writes (`SIGTTOU`), but who ignores or
    /// blocks the signal may.
    pub(super) fn check_change(&self, t: &Arc<Task>) -> Result<()> {
        self.check_foreground(t, Signal::SIGTTOU)
    }

    /// `TIOCGPGRP`; through the terminal itself only the own session's.
    pub(super) fn foreground_of(&self, t: &Arc<Task>, master: bool) -> Result<i32> {
        if !master && !self.controls(t) {
            return Err(Errno::ENOTTY);
        }
        Ok(self.foreground_in(t.pid_ns()))
    }

    /// `TIOCSPGRP`.
    pub(super) fn set_foreground(&self, t: &Arc<Task>, pgid: i32) -> Result<()> {
        let session = t.thread_group().session();
        if !self.controls(t) {
            return Err(Errno::ENOTTY);
        }
        if pgid < 0 {
            return Err(Errno::EINVAL);
        }
        let group = t.pid_ns().pgrp(pgid).ok_or(Errno::ESRCH)?;
        if !group.session.is(&session) {
            return Err(Errno::EPERM);
        }
        self.state.lock().job.foreground = Arc::downgrade(&group);
        Ok(())
    }

    /// `TIOCGSID`.
    pub(super) fn session_of(&self, t: &Arc<Task>, master: bool) -> Result<i32> {
        if !master && !self.controls(t) {
            return Err(Errno::ENOTTY);
        }
        let session = self.state.lock().job.session.upgrade();
        session.map(|s| s.id.nr_in(t.pid_ns())).ok_or(Errno::ENOTTY)
    }

    /// `TIOCSCTTY`.
    pub(super) fn acquire(&self, t: &Arc<Task>, steal: bool) -> Result<()> {
        let group = t.thread_group();
        let session = group.session();
        let leads = session.is_led_by(group);
        let holder = self.state.lock().job.session.upgrade();
        if leads && holder.as_ref().is_some_and(|h| Arc::ptr_eq(h, &session)) {
            return Ok(());
        }
        if !leads || session.tty().is_some() {
            return Err(Errno::EPERM);
        }
        if let Some(holder) = holder {
            if !steal || !t.creds().capable(Cap::SysAdmin) {
                return Err(Errno::EPERM);
            }
            drop(holder.set_tty(None));
        }
        self.give_to(group);
        Ok(())
    }

    /// `TIOCNOTTY`: the session leader gives it up for the session. A member cannot give it
    /// up for itself alone, and gets `EPERM`.
    pub(super) fn give_up(&self, t: &Arc<Task>) -> Result<()> {
        if !self.controls(t) {
            return Err(Errno::ENOTTY);
        }
        let group = t.thread_group();
        let session = group.session();
        if !session.is_led_by(group) {
            return Err(Errno::EPERM);
        }
        drop(session.set_tty(None));
        self.released();
        Ok(())
    }
}
