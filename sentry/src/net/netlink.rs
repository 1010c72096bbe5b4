//! Netlink route sockets (`rtnetlink(7)`), as far as name resolution and run-time libraries
//! ask: links and addresses of the loopback, dumps and single links. Changes are refused.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

use abi::Errno;
use abi::fs::PollEvents;

use super::inet::{LO_INDEX, LO_MTU};
use super::{
    AF_INET, AF_INET6, AF_NETLINK, Common, MsgFlags, READABLE, Received, SendArgs, SockAddr,
    SockType, Socket, Ucred, WRITABLE,
};
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
const RTM_GETROUTE: u16 = 26;
const RTM_GETNEIGH: u16 = 30;
const RTM_GETRULE: u16 = 34;
const NLM_F_MULTI: u16 = 2;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
/// Bytes of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Most bytes of one request, and of replies waiting.
const MAX_REQUEST: usize = 32 * 1024;
const MAX_QUEUE: usize = 256;

/// A route socket.
struct Netlink {
    common: Common,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    port: u32,
    groups: u32,
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

/// Header fields of a request.
#[derive(Clone, Copy)]
struct Request {
    kind: u16,
    flags: u16,
    seq: u32,
    port: u32,
}

fn u16_at(raw: &[u8], at: usize) -> u16 {
    let bytes = raw.get(at..at + 2).and_then(|b| b.try_into().ok());
    bytes.map_or(0, u16::from_ne_bytes)
}

fn u32_at(raw: &[u8], at: usize) -> u32 {
    let bytes = raw.get(at..at + 4).and_then(|b| b.try_into().ok());
    bytes.map_or(0, u32::from_ne_bytes)
}

fn align(n: usize) -> usize {
    n.saturating_add(3) & !3
}

/// Appends a message with this body.
fn message(out: &mut Vec<u8>, req: Request, kind: u16, flags: u16, body: &[u8]) {
    let len = u32::try_from(HEADER + body.len()).unwrap_or(0);
    out.extend_from_slice(&len.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&flags.to_ne_bytes());
    out.extend_from_slice(&req.seq.to_ne_bytes());
    out.extend_from_slice(&req.port.to_ne_bytes());
    out.extend_from_slice(body);
    out.resize(align(out.len()), 0);
}

/// Appends an attribute.
fn attribute(body: &mut Vec<u8>, kind: u16, data: &[u8]) {
    let len = u16::try_from(4 + data.len()).unwrap_or(4);
    body.extend_from_slice(&len.to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(data);
    body.resize(align(body.len()), 0);
}

/// `struct ifinfomsg` of `lo` with its attributes.
fn link() -> Vec<u8> {
    const IFF: u32 = 0x1_0049;
    let mut body = vec![0, 0];
    body.extend_from_slice(&772u16.to_ne_bytes());
    body.extend_from_slice(&LO_INDEX.to_ne_bytes());
    body.extend_from_slice(&IFF.to_ne_bytes());
    body.extend_from_slice(&0u32.to_ne_bytes());
    attribute(&mut body, 3, b"lo\0");
    attribute(&mut body, 13, &1000u32.to_ne_bytes());
    attribute(&mut body, 16, &[0]);
    attribute(&mut body, 17, &[0]);
    attribute(&mut body, 4, &LO_MTU.to_ne_bytes());
    attribute(&mut body, 6, b"noqueue\0");
    attribute(&mut body, 1, &[0; 6]);
    attribute(&mut body, 2, &[0; 6]);
    body
}

/// `struct ifaddrmsg` of an address of `lo`.
fn address(family: u16, prefix: u8, ip: &[u8]) -> Vec<u8> {
    const PERMANENT: u8 = 0x80;
    const HOST: u8 = 254;
    let family = u8::try_from(family).unwrap_or(0);
    let mut body = vec![family, prefix, PERMANENT, HOST];
    body.extend_from_slice(&LO_INDEX.to_ne_bytes());
    attribute(&mut body, 1, ip);
    if ip.len() == 4 {
        attribute(&mut body, 2, ip);
        attribute(&mut body, 3, b"lo\0");
    }
    attribute(&mut body, 8, &u32::from(PERMANENT).to_ne_bytes());
    body
}

/// Answers a dump: the objects of the kind, then the end.
fn dump(req: Request, family: u16) -> Vec<Vec<u8>> {
    let mut objects = Vec::new();
    match req.kind {
        RTM_GETLINK => message(&mut objects, req, RTM_NEWLINK, NLM_F_MULTI, &link()),
        RTM_GETADDR => {
            if family == 0 || family == AF_INET {
                let body = address(AF_INET, 8, &[127, 0, 0, 1]);
                message(&mut objects, req, RTM_NEWADDR, NLM_F_MULTI, &body);
            }
            if family == 0 || family == AF_INET6 {
                let ip = std::net::Ipv6Addr::LOCALHOST.octets();
                let body = address(AF_INET6, 128, &ip);
                message(&mut objects, req, RTM_NEWADDR, NLM_F_MULTI, &body);
            }
        }
        // The main table has no route, and there are no neighbours.
        _ => {}
    }
    let mut end = Vec::new();
    message(&mut end, req, NLMSG_DONE, NLM_F_MULTI, &[0; 4]);
    let parts = [objects, end];
    parts.into_iter().filter(|p| !p.is_empty()).collect()
}

/// `NLMSG_ERROR` for a request; 0 acknowledges.
fn error(req: Request, e: i32, header: &[u8]) -> Vec<u8> {
    let mut body = (-e).to_ne_bytes().to_vec();
    body.extend_from_slice(header);
    let mut out = Vec::new();
    message(&mut out, req, NLMSG_ERROR, 0, &body);
    out
}

/// Whether a single `RTM_GETLINK` means `lo`: by number, or by name.
fn wants_lo(body: &[u8]) -> bool {
    let index = u32_at(body, 4);
    if index != 0 {
        return i32::try_from(index) == Ok(LO_INDEX);
    }
    let mut at = 16;
    while at + 4 <= body.len() {
        let len = usize::from(u16_at(body, at));
        if u16_at(body, at + 2) == 3 {
            let name = body.get(at + 4..at + len).unwrap_or_default();
            return name.split(|b| *b == 0).next() == Some(b"lo");
        }
        at += align(len.max(4));
    }
    false
}

fn answer(req: Request, whole: &[u8]) -> Vec<Vec<u8>> {
    let body = whole.get(HEADER..).unwrap_or_default();
    let header = whole.get(..HEADER).unwrap_or_default();
    let family = u16::from(body.first().copied().unwrap_or(0));
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
        return vec![error(req, Errno::EPERM.raw(), header)];
    }
    if !known.contains(&req.kind) {
        return vec![error(req, Errno::EOPNOTSUPP.raw(), header)];
    }
    if req.flags & NLM_F_DUMP == NLM_F_DUMP {
        return dump(req, family);
    }
    let mut out = Vec::new();
    match req.kind {
        RTM_GETLINK if wants_lo(body) => {
            let mut reply = Vec::new();
            message(&mut reply, req, RTM_NEWLINK, 0, &link());
            out.push(reply);
        }
        RTM_GETLINK => return vec![error(req, Errno::ENODEV.raw(), header)],
        RTM_GETROUTE => return vec![error(req, Errno::ENETUNREACH.raw(), header)],
        _ => return vec![error(req, Errno::EOPNOTSUPP.raw(), header)],
    }
    if req.flags & NLM_F_ACK != 0 {
        out.push(error(req, 0, header));
    }
    out
}

impl Netlink {
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
            s.groups = *groups;
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
                let replies = answer(req, whole);
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
        Ok(got)
    }

    fn local_addr(&self) -> Result<SockAddr> {
        let s = self.state.lock();
        Ok(SockAddr::Netlink(s.port, s.groups))
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

    fn set_option(&self, _t: &Arc<Task>, level: i32, name: i32, _value: &[u8]) -> Result<()> {
        const SOL_NETLINK: i32 = 270;
        match (level, name) {
            // Strictness and extended acknowledgements: no reply here differs by them.
            (SOL_NETLINK, 10..=12) => Ok(()),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }
}
