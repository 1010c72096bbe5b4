//! Messages: flags, ancillary data and what a receive brings (`send(2)`, `recv(2)`,
//! `cmsg(3)`).

use std::sync::Arc;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::SockAddr;
use crate::fs::File;
use crate::task::{Pid, Task};
use crate::userns::OVERFLOW_ID;

bitflags::bitflags! {
    /// `MSG_*` flags, in Linux's bits.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MsgFlags: u32 {
        /// Out-of-band data.
        const OOB = 0x1;
        /// Leave the data in the queue.
        const PEEK = 0x2;
        /// Send without a gateway.
        const DONTROUTE = 0x4;
        /// Ancillary data was cut.
        const CTRUNC = 0x8;
        /// The message was cut; asked for: its real length.
        const TRUNC = 0x20;
        /// Do not wait.
        const DONTWAIT = 0x40;
        /// End of record.
        const EOR = 0x80;
        /// Wait for the full amount.
        const WAITALL = 0x100;
        /// No `SIGPIPE`.
        const NOSIGNAL = 0x4000;
        /// More follows.
        const MORE = 0x8000;
        /// `recvmmsg`: do not wait after the first message.
        const WAITFORONE = 0x10000;
        /// Error queue.
        const ERRQUEUE = 0x2000;
        /// Without a copy, if that is on.
        const ZEROCOPY = 0x400_0000;
        /// Received descriptors are close-on-exec.
        const CMSG_CLOEXEC = 0x4000_0000;
    }
}

/// `struct ucred`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Ucred {
    /// Process.
    pub pid: i32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Ucred {
    /// Those of a task: process id and real ids.
    pub fn of(t: &Arc<Task>) -> Ucred {
        let creds = t.creds();
        Ucred {
            pid: t.pid(),
            uid: creds.uid,
            gid: creds.gid,
        }
    }
}

/// Credentials that a socket keeps: of its peer, or of a message's sender.
#[derive(Clone, Debug)]
pub struct PeerCreds {
    /// Process.
    pub id: Option<Arc<Pid>>,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl PartialEq for PeerCreds {
    fn eq(&self, other: &PeerCreds) -> bool {
        let name = |c: &PeerCreds| (c.id.as_ref().map(Arc::as_ptr), c.uid, c.gid);
        name(self) == name(other)
    }
}

impl PeerCreds {
    /// What a socket without a peer reports.
    pub const NOBODY: PeerCreds = PeerCreds {
        id: None,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    /// Of a message that brings none.
    pub const UNKNOWN: PeerCreds = PeerCreds {
        id: None,
        uid: OVERFLOW_ID,
        gid: OVERFLOW_ID,
    };

    /// Those of a task: process and real ids.
    pub fn of(t: &Arc<Task>) -> PeerCreds {
        let creds = t.creds();
        PeerCreds {
            id: Some(t.thread_group().id.clone()),
            uid: creds.uid,
            gid: creds.gid,
        }
    }

    /// As `t` is shown them: numbers of its pid namespace, ids of its user namespace.
    pub fn shown_to(&self, t: &Task) -> Ucred {
        let ns = &t.creds().user_ns;
        let nobody = *self == PeerCreds::NOBODY;
        let (uid, gid) = match nobody {
            true => (self.uid, self.gid),
            false => (ns.shown_uid(self.uid), ns.shown_gid(self.gid)),
        };
        let pid = self.id.as_ref().map_or(0, |id| id.nr_in(t.pid_ns()));
        Ucred { pid, uid, gid }
    }
}

/// Ancillary data of a message in flight.
#[derive(Default)]
pub struct Control {
    /// `SCM_RIGHTS`.
    pub files: Vec<Arc<File>>,
    /// `SCM_CREDENTIALS`, checked.
    pub creds: Option<PeerCreds>,
    /// Items of other levels, which the family reads: level, type, data.
    pub others: Vec<CmsgOut>,
}

/// One ancillary item towards the guest other than descriptors and credentials: level, type, data.
pub type CmsgOut = (i32, i32, Vec<u8>);

/// What a receive brought.
#[derive(Default)]
pub struct Received {
    /// Bytes copied.
    pub bytes: usize,
    /// Bytes the message had; more than `bytes` when it was cut.
    pub full: usize,
    /// `MSG_TRUNC`, `MSG_EOR` … towards the guest.
    pub flags: MsgFlags,
    /// Sender, for message sockets.
    pub from: Option<SockAddr>,
    /// Descriptors that came with it.
    pub files: Vec<Arc<File>>,
    /// Who sent it, where that is asked for (`SCM_CREDENTIALS`).
    pub creds: Option<PeerCreds>,
    /// Other ancillary data.
    pub cmsgs: Vec<CmsgOut>,
}
