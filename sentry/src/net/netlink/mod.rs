//! Netlink route sockets (`rtnetlink(7)`): questions for links, addresses, routes, neighbours
//! and rules, whole and single ones, and changes by those with `CAP_NET_ADMIN`.
//!
//! [`message`] has the bytes, [`objects`] what is told of each thing, [`dump`] answers,
//! [`change`] and [`entry`] change, [`notify`] tells those who listen.

mod change;
mod dump;
mod entry;
mod message;
mod notify;
mod objects;

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::fs::PollEvents;

use self::message::{HEADER, Request, align, u16_at, u32_at};
pub use self::notify::Listeners;
use super::options::SOL_SOCKET;
use super::{
    AF_NETLINK, Common, MsgFlags, NetNs, OptCall, OptValue, READABLE, Received, SendArgs, SockAddr,
    SockType, Socket, WRITABLE,
};
use crate::creds::Cap;
use crate::io::{IoDst, IoSrc};
use crate::sync::Mutex;
use crate::task::Task;
use crate::{Kernel, Result};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWNEIGH: u16 = 28;
const RTM_GETNEIGH: u16 = 30;
const RTM_NEWRULE: u16 = 32;
const RTM_GETRULE: u16 = 34;
const NLM_F_MULTI: u16 = 2;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
/// Highest group of route sockets (`RTNLGRP_MAX`).
const MAX_GROUP: i32 = 37;
/// Most bytes of one request, and of replies waiting.
const MAX_REQUEST: usize = 32 * 1024;
const MAX_QUEUE: usize = 256;

/// `SOL_NETLINK`.
const SOL_NETLINK: i32 = 270;
/// `NETLINK_PKTINFO`.
const NETLINK_PKTINFO: i32 = 3;

/// A route socket.
struct Netlink {
    me: Weak<Netlink>,
    common: Common,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    port: u32,
    /// Bit `n` for group `n + 1`.
    groups: u64,
    /// Options that are on, a bit each.
    flags: u16,
    /// Notices were lost: the next receive says so.
    lost: bool,
    /// Messages, with the group each is for.
    queue: VecDeque<(u32, Vec<u8>)>,
}

/// A new socket; `EPROTONOSUPPORT` for a protocol other than route.
pub fn create(
    kernel: &Arc<Kernel>,
    net: &Arc<NetNs>,
    kind: SockType,
    protocol: i32,
) -> Result<Arc<dyn Socket>> {
    if !matches!(kind, SockType::Raw | SockType::Dgram) {
        return Err(Errno::ESOCKTNOSUPPORT);
    }
    if protocol != 0 {
        return Err(Errno::EPROTONOSUPPORT);
    }
    Ok(Arc::new_cyclic(|me| Netlink {
        me: me.clone(),
        common: Common::new(kernel, net, AF_NETLINK, kind, protocol),
        state: Mutex::default(),
    }))
}

impl Netlink {
    /// Keeps an option that is on or off. Extended acknowledgements, strictness and the
    /// errors of broadcasts change nothing of what is sent here.
    fn keep(&self, name: i32, on: bool) {
        let bit = 1u16.checked_shl(name.cast_unsigned()).unwrap_or(0);
        let mut s = self.state.lock();
        s.flags = if on { s.flags | bit } else { s.flags & !bit };
    }

    fn is_on(&self, name: i32) -> bool {
        let bit = 1u16.checked_shl(name.cast_unsigned()).unwrap_or(0);
        self.state.lock().flags & bit != 0
    }

    /// An option of level NETLINK.
    fn own_option(&self, c: &OptCall<'_>) -> Result<OptValue> {
        const NETLINK_LIST_MEMBERSHIPS: i32 = 9;
        if c.level != SOL_NETLINK {
            return Err(Errno::ENOPROTOOPT);
        }
        let room = c.room()?;
        match c.name {
            3..=5 | 8 | 10..=12 => {
                c.fits(4)?;
                Ok(OptValue::flag(self.is_on(c.name)))
            }
            NETLINK_LIST_MEMBERSHIPS => {
                let groups = self.state.lock().groups;
                let raw = match groups {
                    0 => Vec::new(),
                    _ => groups.to_ne_bytes().to_vec(),
                };
                let n = raw.len();
                let whole = raw.get(..n.min(room & !3)).unwrap_or_default();
                Ok(OptValue::Whole(whole.to_vec(), n))
            }
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    /// The port id, taking the process's if it has none yet.
    fn port(&self, t: &Arc<Task>) -> u32 {
        let mut s = self.state.lock();
        if s.port == 0 {
            // Two processes of different pid namespaces have different ports.
            s.port = u32::try_from(t.thread_group().id.outermost()).unwrap_or(1);
        }
        s.port
    }

    /// A notice to a group.
    fn hear(&self, group: u32, raw: &[u8]) {
        {
            let mut s = self.state.lock();
            if s.groups >> group.saturating_sub(1) & 1 == 0 {
                return;
            }
            if s.queue.len() >= MAX_QUEUE {
                s.lost = true;
            } else {
                s.queue.push_back((group, raw.to_vec()));
            }
        }
        self.common.pollee.notify(READABLE);
    }

    /// Enters or leaves a group; `EINVAL`.
    fn member(&self, group: i32, join: bool) -> Result<()> {
        let bit = match group {
            1..=MAX_GROUP => 1u64 << (group - 1),
            _ => return Err(Errno::EINVAL),
        };
        let mut s = self.state.lock();
        s.groups = if join {
            s.groups | bit
        } else {
            s.groups & !bit
        };
        drop(s);
        self.common.net.listeners.add(&self.me);
        Ok(())
    }

    /// Answers one request, or does what it wants.
    fn serve(&self, t: &Arc<Task>, req: Request, whole: &[u8]) -> Vec<Vec<u8>> {
        let header = whole.get(..HEADER).unwrap_or_default();
        // Every third number from the base on is a question; the others change something.
        if req.kind % 4 == 2 {
            return dump::answer(&self.common.net, req, whole);
        }
        let admin = self.common.net.allows(&t.creds(), Cap::NetAdmin);
        let done = match admin {
            true => change::change(t, &self.common.net, req, whole),
            false => Err(Errno::EPERM),
        };
        match done {
            Err(e) => vec![dump::error(req, e.raw(), whole)],
            Ok(()) if req.flags & NLM_F_ACK != 0 => vec![dump::error(req, 0, header)],
            Ok(()) => Vec::new(),
        }
    }
}

impl Socket for Netlink {
    fn common(&self) -> &Common {
        &self.common
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn bind(&self, t: &Arc<Task>, addr: &SockAddr) -> Result<()> {
        let SockAddr::Netlink(port, groups) = addr else {
            return Err(Errno::EINVAL);
        };
        let own = {
            let mut s = self.state.lock();
            if s.port != 0 && *port != 0 && s.port != *port {
                return Err(Errno::EINVAL);
            }
            s.groups = s.groups & !u64::from(u32::MAX) | u64::from(*groups);
            if *port != 0 {
                s.port = *port;
            }
            s.port
        };
        if own == 0 {
            self.port(t);
        }
        if *groups != 0 {
            self.common.net.listeners.add(&self.me);
        }
        Ok(())
    }

    fn connect(&self, t: &Arc<Task>, addr: &SockAddr) -> Result<()> {
        match addr {
            SockAddr::Unspec | SockAddr::Netlink(0, _) => {
                self.port(t);
                Ok(())
            }
            SockAddr::Netlink(..) => Err(Errno::ECONNREFUSED),
            _ => Err(Errno::EINVAL),
        }
    }

    fn send(&self, src: &mut dyn IoSrc, args: SendArgs<'_>) -> Result<usize> {
        match args.to {
            None | Some(SockAddr::Netlink(0, _)) => {}
            Some(SockAddr::Netlink(..)) => return Err(Errno::ECONNREFUSED),
            Some(_) => return Err(Errno::EINVAL),
        }
        let len = src.remaining();
        if len > MAX_REQUEST {
            return Err(Errno::EMSGSIZE);
        }
        let mut raw = vec![0; len];
        if src.take(&mut raw)? < len {
            return Err(Errno::EFAULT);
        }
        let port = self.port(args.task);
        let mut rest = raw.as_slice();
        while rest.len() >= HEADER {
            let size = usize::try_from(u32_at(rest, 0)).unwrap_or(0);
            let Some(whole) = rest.get(..size).filter(|w| w.len() >= HEADER) else {
                break;
            };
            let req = Request {
                kind: u16_at(whole, 4),
                flags: u16_at(whole, 6),
                seq: u32_at(whole, 8),
                port,
            };
            // Control messages and non-requests are skipped.
            if req.flags & 1 != 0 && req.kind >= 16 {
                let replies = self.serve(args.task, req, whole);
                let mut s = self.state.lock();
                if s.queue.len() + replies.len() > MAX_QUEUE {
                    return Err(Errno::ENOBUFS);
                }
                s.queue.extend(replies.into_iter().map(|r| (0, r)));
            }
            rest = rest.get(align(size)..).unwrap_or_default();
        }
        self.common.pollee.notify(READABLE);
        Ok(len)
    }

    fn recv(&self, dst: &mut dyn IoDst, flags: MsgFlags) -> Result<Received> {
        let mut s = self.state.lock();
        if std::mem::take(&mut s.lost) {
            return Err(Errno::ENOBUFS);
        }
        let (group, first) = s.queue.front().ok_or(Errno::EAGAIN)?;
        let groups = group
            .checked_sub(1)
            .map_or(0, |n| 1u32.checked_shl(n).unwrap_or(0));
        let group = *group;
        let full = first.len();
        let want = full.min(dst.remaining());
        let bytes = dst.put(first.get(..want).unwrap_or_default())?;
        if !flags.contains(MsgFlags::PEEK) {
            s.queue.pop_front();
        }
        let mut got = Received {
            bytes,
            full,
            from: Some(SockAddr::Netlink(0, groups)),
            ..Received::default()
        };
        if bytes < full {
            got.flags |= MsgFlags::TRUNC;
        }
        drop(s);
        if self.is_on(NETLINK_PKTINFO) {
            let group = group.to_ne_bytes().to_vec();
            got.cmsgs.push((SOL_NETLINK, NETLINK_PKTINFO, group));
        }
        Ok(got)
    }

    fn local_addr(&self) -> Result<SockAddr> {
        let s = self.state.lock();
        let groups = u32::try_from(s.groups & u64::from(u32::MAX)).unwrap_or(0);
        Ok(SockAddr::Netlink(s.port, groups))
    }

    fn peer_addr(&self) -> Result<SockAddr> {
        Ok(SockAddr::Netlink(0, 0))
    }

    fn poll(&self) -> PollEvents {
        if self.state.lock().queue.is_empty() {
            WRITABLE
        } else {
            WRITABLE | READABLE
        }
    }

    fn get_option(&self, c: &OptCall<'_>) -> Option<Result<OptValue>> {
        match c.level {
            SOL_SOCKET => None,
            _ => Some(self.own_option(c)),
        }
    }

    fn set_option(&self, c: &OptCall<'_>) -> Result<()> {
        if c.level != SOL_NETLINK {
            return Err(Errno::ENOPROTOOPT);
        }
        let n = match c.len {
            4.. => c.int()?,
            _ => 0,
        };
        match c.name {
            // Membership of a group, by its number.
            1 | 2 => return self.member(n, c.name == 1),
            8 => {
                c.need(&[Cap::NetBroadcast, Cap::NetAdmin])?;
                self.keep(c.name, n != 0);
            }
            3..=5 | 10..=12 => self.keep(c.name, n != 0),
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }
}
