//! Options that only unix sockets have: who the peer is.

use std::sync::{Arc, Weak};

use abi::Errno;
use zerocopy::IntoBytes;

use super::UnixSocket;
use crate::Result;
use crate::fs::OpenFlags;
use crate::net::{OptCall, OptValue, PeerCreds};
use crate::task::Task;
use crate::task::group::ThreadGroup;
use crate::task::limits::Resource;
use crate::task::pidfd::PidFd;

const SO_PEERCRED: i32 = 17;
const SO_ACCEPTCONN: i32 = 30;
const SO_PEERGROUPS: i32 = 59;
const SO_PEERPIDFD: i32 = 77;

/// Who made a connection, or listened, when it was made.
#[derive(Clone)]
pub(super) struct Identity {
    creds: PeerCreds,
    groups: Arc<[u32]>,
    process: Weak<ThreadGroup>,
}

impl Identity {
    /// A task's.
    pub(super) fn of(t: &Arc<Task>) -> Identity {
        Identity {
            creds: PeerCreds::of(t),
            groups: t.creds().groups.clone(),
            process: Arc::downgrade(t.thread_group()),
        }
    }
}

impl UnixSocket {
    /// An option of level `SOL_SOCKET` that is answered for this family; `None` for others.
    pub(super) fn own_option(&self, c: &OptCall<'_>) -> Option<Result<OptValue>> {
        let (peer, listening) = {
            let s = self.state.lock();
            (s.peer_identity.clone(), s.listener.is_some())
        };
        Some(match (c.name, peer) {
            (SO_PEERCRED, Some(peer)) => {
                let creds = peer.creds.shown_to(c.t);
                Ok(OptValue::Bytes(creds.as_bytes().to_vec()))
            }
            (SO_ACCEPTCONN, _) => Ok(OptValue::flag(listening)),
            (SO_PEERGROUPS, Some(peer)) => groups(c, &peer),
            (SO_PEERPIDFD, Some(peer)) => pidfd(c, &peer),
            _ => return None,
        })
    }
}

/// `SO_PEERGROUPS`; `ERANGE`, with the length it takes, when there is not room for all.
fn groups(c: &OptCall<'_>, peer: &Identity) -> Result<OptValue> {
    let ns = &c.t.creds().user_ns;
    let shown: Vec<u32> = peer.groups.iter().map(|g| ns.shown_gid(*g)).collect();
    let size = shown.len() * 4;
    Ok(match c.room()? {
        room if room < size => OptValue::TooLong(size),
        _ => OptValue::Bytes(shown.as_bytes().to_vec()),
    })
}

/// `SO_PEERPIDFD`: a new descriptor of the peer's process; `ESRCH` when it is gone.
fn pidfd(c: &OptCall<'_>, peer: &Identity) -> Result<OptValue> {
    let process = peer.process.upgrade().ok_or(Errno::ESRCH)?;
    let file = PidFd::file(&process, OpenFlags::empty());
    let limit = c.t.limit(Resource::Nofile);
    Ok(OptValue::Int(c.t.files().install(file, 0, true, limit)?))
}
