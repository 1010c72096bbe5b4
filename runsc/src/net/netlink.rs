//! Netlink route messages (`rtnetlink(7)`): requests, dumps, attributes.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto,
    socket,
};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const HEADER: usize = 16;

/// A netlink socket.
#[derive(Debug)]
pub struct Netlink(OwnedFd);

impl Netlink {
    /// Opens one that hears of changes in `groups`.
    pub fn open(groups: u32) -> io::Result<Netlink> {
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Ok(Netlink(fd))
    }

    /// For poll(2).
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Throws away what has come; whether anything had.
    pub fn drain(&self) -> bool {
        let mut buf = vec![0; 64 * 1024];
        let mut any = false;
        loop {
            match recv(self.0.as_raw_fd(), &mut buf, MsgFlags::MSG_DONTWAIT) {
                // Messages that were lost for lack of room say as much as those that come.
                Ok(_) | Err(nix::Error::ENOBUFS) => any = true,
                Err(_) => return any,
            }
        }
    }

    fn send(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        let len = u32::try_from(HEADER + body.len()).unwrap_or(0);
        let mut raw = len.to_ne_bytes().to_vec();
        raw.extend_from_slice(&kind.to_ne_bytes());
        raw.extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        raw.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]);
        raw.extend_from_slice(body);
        sendto(
            self.0.as_raw_fd(),
            &raw,
            &NetlinkAddr::new(0, 0),
            MsgFlags::empty(),
        )?;
        Ok(())
    }

    /// All objects that a question of `kind` names: type and body each.
    pub fn dump(&self, kind: u16, body: &[u8]) -> io::Result<Vec<(u16, Vec<u8>)>> {
        self.send(kind, NLM_F_DUMP, body)?;
        let mut all = Vec::new();
        let mut buf = vec![0; 64 * 1024];
        loop {
            let n = recv(self.0.as_raw_fd(), &mut buf, MsgFlags::empty())?;
            let mut rest = buf.get(..n).unwrap_or_default();
            while let Some((kind, body, next)) = split(rest) {
                match kind {
                    NLMSG_DONE => return Ok(all),
                    NLMSG_ERROR => return Err(error_of(body)),
                    _ => all.push((kind, body.to_vec())),
                }
                rest = next;
            }
        }
    }

    /// Changes something.
    pub fn change(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.send(kind, flags | NLM_F_ACK, body)?;
        let mut buf = vec![0; 8192];
        loop {
            let n = recv(self.0.as_raw_fd(), &mut buf, MsgFlags::empty())?;
            let mut rest = buf.get(..n).unwrap_or_default();
            while let Some((kind, body, next)) = split(rest) {
                if kind == NLMSG_ERROR {
                    let e = error_of(body);
                    return if e.raw_os_error() == Some(0) {
                        Ok(())
                    } else {
                        Err(e)
                    };
                }
                rest = next;
            }
        }
    }
}

fn error_of(body: &[u8]) -> io::Error {
    io::Error::from_raw_os_error(int(body, 0).unwrap_or(0).wrapping_neg())
}

/// An i32 in native order.
pub fn int(b: &[u8], at: usize) -> Option<i32> {
    b.get(at..at + 4)?.try_into().ok().map(i32::from_ne_bytes)
}

/// The first message: type, body, what follows.
fn split(b: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let len = usize::try_from(int(b, 0)?).ok()?;
    let kind = u16::from_ne_bytes(b.get(4..6)?.try_into().ok()?);
    let body = b.get(HEADER..len)?;
    let next = b.get((len + 3) & !3..).unwrap_or_default();
    Some((kind, body, next))
}

/// The attributes of a body from `at` on.
pub fn attributes(b: &[u8], at: usize) -> Vec<(u16, &[u8])> {
    let mut all = Vec::new();
    let mut rest = b.get(at..).unwrap_or_default();
    while let (Some(len), Some(kind)) = (half(rest, 0), half(rest, 2)) {
        let len = usize::from(len);
        let Some(data) = rest.get(4..len) else { break };
        all.push((kind & 0x3fff, data));
        rest = rest.get((len + 3) & !3..).unwrap_or_default();
    }
    all
}

fn half(b: &[u8], at: usize) -> Option<u16> {
    b.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

/// Appends an attribute.
pub fn put_attribute(body: &mut Vec<u8>, kind: u16, data: &[u8]) {
    let len = u16::try_from(4 + data.len()).unwrap_or(4);
    body.extend_from_slice(&len.to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(data);
    body.resize((body.len() + 3) & !3, 0);
}
