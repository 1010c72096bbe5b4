//! The error queue of a datagram socket (`IP_RECVERR`, `ip(7)`), and what an ICMP error
//! means to a socket.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use abi::Errno;
use netstack::IcmpError;

use crate::Result;
use crate::io::IoDst;
use crate::net::{MsgFlags, Received, SockAddr};
use crate::sync::Mutex;

/// Most errors that wait.
const MAX: usize = 64;
const ORIGIN_LOCAL: u8 = 1;
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMP6: u8 = 3;
const ORIGIN_ZEROCOPY: u8 = 5;

struct Entry {
    to: SocketAddr,
    errno: i32,
    origin: u8,
    kind: (u8, u8),
    info: u32,
    data: u32,
    offender: Option<IpAddr>,
    payload: Vec<u8>,
}

/// Errors that wait to be read. Lock rank: leaf.
#[derive(Default)]
pub(super) struct ErrorQueue(Mutex<VecDeque<Entry>>);

/// The errno of an ICMP error, and whether it ends what a socket does.
pub(super) fn errno(e: &IcmpError) -> (Errno, bool) {
    let v4 = e.peer.is_ipv4();
    match (v4, e.kind) {
        (true, (3, 0 | 6 | 9)) => (Errno::ENETUNREACH, false),
        (true, (3, 2)) => (Errno::ENOPROTOOPT, true),
        (true, (3, 3)) | (false, (1, 4)) => (Errno::ECONNREFUSED, true),
        (true, (3, 4)) | (false, (2, _)) => (Errno::EMSGSIZE, false),
        (false, (1, 0)) => (Errno::ENETUNREACH, false),
        (false, (1, 1)) => (Errno::EACCES, true),
        (true, (12, _)) | (false, (4, _)) => (Errno::EPROTO, true),
        _ => (Errno::EHOSTUNREACH, false),
    }
}

impl ErrorQueue {
    fn push(&self, entry: Entry) {
        let mut queue = self.0.lock();
        if queue.len() < MAX {
            queue.push_back(entry);
        }
    }

    /// Adds what a router or host said.
    pub(super) fn push_icmp(&self, e: &IcmpError) {
        self.push(Entry {
            to: e.peer,
            errno: errno(e).0.raw(),
            origin: if e.peer.is_ipv4() {
                ORIGIN_ICMP
            } else {
                ORIGIN_ICMP6
            },
            kind: e.kind,
            info: e.mtu,
            data: 0,
            offender: Some(e.offender),
            payload: e.payload.clone(),
        });
    }

    /// Adds that the send of a number was made with a copy (`MSG_ZEROCOPY`), to those in a
    /// row before it.
    pub(super) fn push_copied(&self, n: u32, domain: u16) {
        {
            let mut queue = self.0.lock();
            if let Some(last) = queue.back_mut().filter(|e| e.origin == ORIGIN_ZEROCOPY)
                && last.data.wrapping_add(1) == n
            {
                last.data = n;
                return;
            }
        }
        self.push(Entry {
            to: SocketAddr::new(super::unspecified(domain), 0),
            errno: 0,
            origin: ORIGIN_ZEROCOPY,
            // SO_EE_CODE_ZEROCOPY_COPIED.
            kind: (0, 1),
            info: n,
            data: n,
            offender: None,
            payload: Vec::new(),
        });
    }

    /// Adds that a datagram was larger than the path takes.
    pub(super) fn push_too_big(&self, to: SocketAddr, mtu: u32) {
        self.push(Entry {
            to,
            errno: Errno::EMSGSIZE.raw(),
            origin: ORIGIN_LOCAL,
            kind: (0, 0),
            info: mtu,
            data: 0,
            offender: None,
            payload: Vec::new(),
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// The oldest error (`MSG_ERRQUEUE`); `EAGAIN`.
    pub(super) fn take(&self, dst: &mut dyn IoDst, domain: u16) -> Result<Received> {
        let e = self.0.lock().pop_front().ok_or(Errno::EAGAIN)?;
        let full = e.payload.len();
        let want = full.min(dst.remaining());
        let bytes = dst.put(e.payload.get(..want).unwrap_or_default())?;
        let mut raw = e.errno.to_ne_bytes().to_vec();
        raw.extend_from_slice(&[e.origin, e.kind.0, e.kind.1, 0]);
        raw.extend_from_slice(&e.info.to_ne_bytes());
        raw.extend_from_slice(&e.data.to_ne_bytes());
        let v4 = e.to.is_ipv4();
        let room = if v4 { 16 } else { 28 };
        let mut offender = match e.offender {
            Some(ip) => SockAddr::Inet(SocketAddr::new(ip, 0)).to_bytes(),
            None => Vec::new(),
        };
        offender.resize(room, 0);
        raw.extend_from_slice(&offender);
        let (level, kind) = if v4 { (0, 11) } else { (41, 25) };
        let mut got = Received {
            bytes,
            full,
            from: Some(super::shown(domain, e.to)).filter(|_| e.origin != ORIGIN_ZEROCOPY),
            flags: MsgFlags::ERRQUEUE,
            cmsgs: vec![(level, kind, raw)],
            ..Received::default()
        };
        if bytes < full {
            got.flags |= MsgFlags::TRUNC;
        }
        Ok(got)
    }
}
