//! Signal-driven I/O (`O_ASYNC`, `F_SETOWN`, `F_SETSIG`; `fcntl(2)`, "Managing signals").
//!
//! A description with `O_ASYNC` waits in its object's queue like a task would; a
//! notification becomes a signal for its owner.

use std::sync::{Arc, Weak};

use abi::fs::PollEvents;
use abi::signal::{SigInfo, Signal};

use super::file::{File, Owner, SignalOwner};
use crate::signal::{info, send};
use crate::task::Task;
use crate::task::group::ThreadGroup;
use crate::wait::{Registration, Share, Wake, Waker};

/// `POLL_IN`, `POLL_OUT`, `POLL_PRI`, `POLL_MSG` of `siginfo_t`, and the bits of their bands.
const POLL_IN: (i32, i64) = (1, 0x41);
const POLL_OUT: (i32, i64) = (2, 0x304);
const POLL_PRI: (i32, i64) = (5, 0x82);
const POLL_MSG: (i32, i64) = (3, 0x441);

/// What tells the owner of a description.
#[derive(Clone)]
pub(super) struct Teller {
    file: Weak<File>,
    fd: i32,
}

impl Wake for Teller {
    fn wake(&self, events: PollEvents) -> bool {
        let Some(file) = self.file.upgrade() else {
            return false;
        };
        let flags = file.flags();
        let input = PollEvents::IN | PollEvents::HUP | PollEvents::ERR;
        let reason = if events.contains(PollEvents::PRI) && self.tells_urgent(&file) {
            POLL_PRI
        } else if flags.readable() && events.intersects(input) {
            POLL_IN
        } else if flags.writable() && events.intersects(PollEvents::OUT | PollEvents::ERR) {
            POLL_OUT
        } else {
            return false;
        };
        let owner = file.signal_owner.lock().clone();
        self.tell(&owner, reason);
        true
    }
}

impl Teller {
    /// One for `file`, which the caller knows as `fd`.
    pub(super) fn new(file: &Arc<File>, fd: i32) -> Teller {
        Teller {
            file: Arc::downgrade(file),
            fd,
        }
    }

    /// Tells that something happened which is no readiness (leases, directories).
    pub(super) fn tell_message(&self, file: &File) {
        let owner = file.signal_owner.lock().clone();
        self.tell(&owner, POLL_MSG);
    }

    /// Of urgent data of a socket, `SIGURG` tells; another signal does where one was chosen.
    fn tells_urgent(&self, file: &File) -> bool {
        !file.ops.signals_urgent() || file.signal_owner.lock().signal != 0
    }

    fn tell(&self, owner: &SignalOwner, reason: (i32, i64)) {
        self.send(owner, self.info(owner, reason));
    }

    fn send(&self, owner: &SignalOwner, info: SigInfo) {
        match &owner.who {
            Owner::Nobody => {}
            Owner::Thread(task) => {
                if let Some(task) = task.upgrade()
                    && may_tell(owner, &task)
                {
                    let _: crate::Result<()> = send::to_task(&task, info, send::Origin::Kernel);
                }
            }
            Owner::Process(group) => {
                if let Some(group) = group.upgrade() {
                    tell_group(owner, &group, info);
                }
            }
            Owner::Group(pgrp) => {
                let members = pgrp.upgrade().map(|p| p.members());
                for group in members.unwrap_or_default() {
                    tell_group(owner, &group, info);
                }
            }
        }
    }

    /// Plain `SIGIO` unless the owner asked to be told what happened where.
    fn info(&self, owner: &SignalOwner, (code, band): (i32, i64)) -> SigInfo {
        let chosen = u64::try_from(owner.signal).ok().and_then(Signal::new);
        let Some(signal) = chosen else {
            return info::kernel(Signal::SIGIO);
        };
        info::io(signal, code, band, self.fd)
    }
}

fn tell_group(owner: &SignalOwner, group: &Arc<ThreadGroup>, info: SigInfo) {
    if group.main_task().is_some_and(|t| may_tell(owner, &t)) {
        let _: crate::Result<()> = send::to_group(group, info, send::Origin::Kernel);
    }
}

/// Who set the owner must be allowed to send it signals.
fn may_tell(owner: &SignalOwner, task: &Task) -> bool {
    let them = task.creds();
    let (uid, euid) = owner.set_by;
    let same = |u: u32| u == them.uid || u == them.suid;
    euid == 0 || same(uid) || same(euid)
}

/// Tells the owner of a socket of urgent data.
struct UrgentTeller(Teller);

impl Wake for UrgentTeller {
    fn wake(&self, events: PollEvents) -> bool {
        let Some(file) = self.0.file.upgrade() else {
            return false;
        };
        let owner = file.signal_owner.lock().clone();
        if matches!(owner.who, Owner::Nobody) || !events.contains(PollEvents::PRI) {
            return false;
        }
        self.0.send(&owner, info::kernel(Signal::SIGURG));
        true
    }
}

impl File {
    /// Has the owner of a socket told of urgent data from now on (`SIGURG`).
    pub fn tell_urgent(self: &Arc<File>) {
        let queue = self.ops.pollee().filter(|_| self.ops.signals_urgent());
        let place: Option<Registration> = queue.map(|queue| {
            let teller = UrgentTeller(Teller {
                file: Arc::downgrade(self),
                fd: 0,
            });
            queue.register(PollEvents::PRI, Waker::Other(Arc::new(teller)), Share::All)
        });
        let old = std::mem::replace(&mut *self.urgent_place.lock(), place);
        drop(old);
    }

    /// Begins or ends signal-driven I/O through descriptor `fd`; whether the object does it.
    pub fn set_async(self: &Arc<File>, fd: i32, on: bool) -> bool {
        if !self.ops.signals_io() {
            return false;
        }
        let place: Option<Registration> = self.ops.pollee().filter(|_| on).map(|queue| {
            let teller = Teller {
                file: Arc::downgrade(self),
                fd,
            };
            let events = PollEvents::IN | PollEvents::OUT | PollEvents::PRI;
            queue.register(events, Waker::Other(Arc::new(teller)), Share::All)
        });
        let old = std::mem::replace(&mut *self.async_place.lock(), place);
        drop(old);
        true
    }
}
