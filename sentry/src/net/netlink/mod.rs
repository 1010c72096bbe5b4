//! Netlink route sockets (`rtnetlink(7)`): questions for links, addresses, routes, neighbours
//! and rules, whole and single ones. Changes are refused: the host sets the network up.
//!
//! [`message`] has the bytes, [`objects`] what is told of each thing.

mod message;
mod objects;

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

use abi::Errno;
use abi::fs::PollEvents;

use std::net::IpAddr;

use self::message::{HEADER, Request, align, find, message, u16_at, u32_at};
use super::options::SOL_SOCKET;
use super::view::View;
use super::{
    AF_NETLINK, Common, MsgFlags, OptCall, OptValue, READABLE, Received, SendArgs, SockAddr,
    SockType, Socket, Ucred, WRITABLE,
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
/// Most bytes of one request, and of replies waiting.
const MAX_REQUEST: usize = 32 * 1024;
const MAX_QUEUE: usize = 256;

/// `SOL_NETLINK`.
const SOL_NETLINK: i32 = 270;
/// `NETLINK_PKTINFO`.
const NETLINK_PKTINFO: i32 = 3;
/// Highest group of changes (`RTNLGRP_MAX`).
const GROUPS: i32 = 38;

/// A route socket.
struct Netlink {
    common: Common,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    port: u32,
    /// Groups of changes joined, a bit each.
    groups: u64,
    /// Options that are on, a bit each.
    flags: u16,
    queue: VecDeque<Vec<u8>>,
}

/// A new socket; `EPROTONOSUPPORT` for a protocol other than route.
pub fn create(kernel: &Arc<Kernel>, kind: SockType, protocol: i32) -> Result<Arc<dyn Socket>> {
    if !matches!(kind, SockType::Raw | SockType::Dgram) {
        return Err(Errno::ESOCKTNOSUPPORT);
    }
    if protocol != 0 {
        return Err(Errno::EPROTONOSUPPORT);
    }
    Ok(Arc::new(Netlink {
        common: Common::new(kernel, AF_NETLINK, kind, protocol),
        state: Mutex::default(),
    }))
}

/// Most bytes of one reply of a dump.
const PART: usize = 8 * 1024;

/// Answers a dump: the objects of the kind, then the end.
fn dump(view: &View, req: Request, body: &[u8]) -> Vec<Vec<u8>> {
    let family = u16::from(body.first().copied().unwrap_or(0));
    let (kind, objects) = match req.kind {
        RTM_GETLINK => (RTM_NEWLINK, view.links.iter().map(objects::link).collect()),
        RTM_GETADDR => {
            let all = view
                .links
                .iter()
                .flat_map(|l| l.addresses.iter().map(move |a| (l, a)));
            let wanted = all.filter(|(_, a)| objects::is_of(family, a.ip));
            (
                RTM_NEWADDR,
                wanted.map(|(l, a)| objects::address(l, a)).collect(),
            )
        }
        RTM_GETROUTE => {
            let main = view
                .routes
                .iter()
                .filter(|r| objects::is_of(family, r.network));
            let mut all: Vec<Vec<u8>> = main.map(objects::route).collect();
            all.extend(objects::local_routes(view, family));
            (RTM_NEWROUTE, all)
        }
        RTM_GETNEIGH => {
            let wanted = view
                .neighbours
                .iter()
                .filter(|n| objects::is_of(family, n.ip));
            (RTM_NEWNEIGH, wanted.map(objects::neighbour).collect())
        }
        RTM_GETRULE => (RTM_NEWRULE, objects::rules(family)),
        _ => (0, Vec::new()),
    };
    let mut parts = vec![Vec::new()];
    for object in objects {
        if parts.last().is_some_and(|p| p.len() + object.len() > PART) {
            parts.push(Vec::new());
        }
        if let Some(part) = parts.last_mut() {
            message(part, req, kind, NLM_F_MULTI, &object);
        }
    }
    let mut end = Vec::new();
    message(&mut end, req, NLMSG_DONE, NLM_F_MULTI, &[0; 4]);
    parts.push(end);
    parts
        .into_iter()
        .filter(|p: &Vec<u8>| !p.is_empty())
        .collect()
}

/// `NLMSG_ERROR` for a request; 0 acknowledges.
fn error(req: Request, e: i32, header: &[u8]) -> Vec<u8> {
    let mut body = (-e).to_ne_bytes().to_vec();
    body.extend_from_slice(header);
    let mut out = Vec::new();
    message(&mut out, req, NLMSG_ERROR, 0, &body);
    out
}

/// The link a single `RTM_GETLINK` means: by number, or by name.
fn one_link(view: &View, body: &[u8]) -> Option<Vec<u8>> {
    const IFLA_IFNAME: u16 = 3;
    let index = u32_at(body, 4);
    let link = if index != 0 {
        view.by_index(i32::try_from(index).ok()?)
    } else {
        let name = find(body, 16, IFLA_IFNAME)?;
        view.by_name(name.split(|b| *b == 0).next()?)
    };
    link.map(objects::link)
}

/// The way to the destination a single `RTM_GETROUTE` names.
fn one_route(kernel: &Kernel, body: &[u8]) -> Option<Vec<u8>> {
    const RTA_DST: u16 = 1;
    let raw = find(body, 12, RTA_DST)?;
    let dst = match raw.len() {
        4 => IpAddr::from(*raw.first_chunk::<4>()?),
        16 => IpAddr::from(*raw.first_chunk::<16>()?),
        _ => return None,
    };
    let outside = &kernel.net.outside;
    outside.look(|stack| {
        if stack.is_for_us(dst) {
            let source = stack.source_for(dst, None)?;
            return Some(objects::way(dst, 1, dst, source, true));
        }
        let way = stack.topology.way(dst, None)?;
        Some(objects::way(dst, way.link, way.hop, way.source, false))
    })
}

fn answer(kernel: &Kernel, admin: bool, req: Request, whole: &[u8]) -> Vec<Vec<u8>> {
    let body = whole.get(HEADER..).unwrap_or_default();
    let header = whole.get(..HEADER).unwrap_or_default();
    let known = [
        RTM_GETLINK,
        RTM_GETADDR,
        RTM_GETROUTE,
        RTM_GETNEIGH,
        RTM_GETRULE,
    ];
    // Every third number from the base on is a question; the others change something.
    let asks = req.kind >= 16 && req.kind % 4 == 2;
    if !asks && req.kind >= 16 {
        let e = if admin {
            Errno::EOPNOTSUPP
        } else {
            Errno::EPERM
        };
        return vec![error(req, e.raw(), header)];
    }
    if !known.contains(&req.kind) {
        return vec![error(req, Errno::EOPNOTSUPP.raw(), header)];
    }
    let view = View::of(kernel);
    if req.flags & NLM_F_DUMP == NLM_F_DUMP {
        return dump(&view, req, body);
    }
    let (kind, found, missing) = match req.kind {
        RTM_GETLINK => (RTM_NEWLINK, one_link(&view, body), Errno::ENODEV),
        RTM_GETROUTE => (RTM_NEWROUTE, one_route(kernel, body), Errno::ENETUNREACH),
        _ => return vec![error(req, Errno::EOPNOTSUPP.raw(), header)],
    };
    let Some(object) = found else {
        return vec![error(req, missing.raw(), header)];
    };
    let mut reply = Vec::new();
    message(&mut reply, req, kind, 0, &object);
    let mut out = vec![reply];
    if req.flags & NLM_F_ACK != 0 {
        out.push(error(req, 0, header));
    }
    out
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
            s.port = u32::try_from(Ucred::of(t).pid).unwrap_or(1);
        }
        s.port
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
        let admin = args.task.creds().capable(Cap::NetAdmin);
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
                let replies = answer(&args.task.kernel, admin, req, whole);
                let mut s = self.state.lock();
                if s.queue.len() + replies.len() > MAX_QUEUE {
                    return Err(Errno::ENOBUFS);
                }
                s.queue.extend(replies);
            }
            rest = rest.get(align(size)..).unwrap_or_default();
        }
        self.common.pollee.notify(READABLE);
        Ok(len)
    }

    fn recv(&self, dst: &mut dyn IoDst, flags: MsgFlags) -> Result<Received> {
        let mut s = self.state.lock();
        let first = s.queue.front().ok_or(Errno::EAGAIN)?;
        let full = first.len();
        let want = full.min(dst.remaining());
        let bytes = dst.put(first.get(..want).unwrap_or_default())?;
        if !flags.contains(MsgFlags::PEEK) {
            s.queue.pop_front();
        }
        let mut got = Received {
            bytes,
            full,
            from: Some(SockAddr::Netlink(0, 0)),
            ..Received::default()
        };
        if bytes < full {
            got.flags |= MsgFlags::TRUNC;
        }
        drop(s);
        if self.is_on(NETLINK_PKTINFO) {
            // The group it was sent to: none.
            got.cmsgs.push((SOL_NETLINK, NETLINK_PKTINFO, vec![0; 4]));
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
            1 | 2 => {
                if !(1..=GROUPS).contains(&n) {
                    return Err(Errno::EINVAL);
                }
                let bit = 1u64.checked_shl(n.cast_unsigned() - 1).unwrap_or(0);
                let mut s = self.state.lock();
                match c.name {
                    1 => s.groups |= bit,
                    _ => s.groups &= !bit,
                }
            }
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
