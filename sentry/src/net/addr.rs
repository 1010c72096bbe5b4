//! Socket addresses (`sockaddr(3type)`, `unix(7)`, `ip(7)`, `ipv6(7)`, `netlink(7)`).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use abi::Errno;

use super::{AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX};
use crate::Result;

/// Bytes of `sun_path`.
const SUN_PATH: usize = 108;

/// Name of a unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnixAddr {
    /// None.
    Unnamed,
    /// A path, without a NUL.
    Path(Vec<u8>),
    /// An abstract name, without the leading NUL.
    Abstract(Vec<u8>),
}

/// `struct sockaddr_ll` (`packet(7)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkAddr {
    /// `ETH_P_*`.
    pub protocol: u16,
    /// Link number, 0 for any.
    pub index: i32,
    /// `ARPHRD_*`.
    pub hardware: u16,
    /// `PACKET_HOST` and its neighbours.
    pub kind: u8,
    /// Bytes of the address.
    pub len: u8,
    /// Hardware address.
    pub addr: [u8; 8],
    /// Given with all bytes of the address, used or not (`recvfrom(2)`).
    pub whole: bool,
}

impl LinkAddr {
    /// Bytes of the structure.
    pub const LEN: usize = 20;
}

/// An address of any family known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SockAddr {
    /// `AF_UNSPEC`: dissolves an association.
    Unspec,
    /// `AF_UNIX`.
    Unix(UnixAddr),
    /// `AF_INET` or `AF_INET6`.
    Inet(SocketAddr),
    /// `AF_NETLINK`: port id and groups.
    Netlink(u32, u32),
    /// `AF_PACKET`.
    Packet(LinkAddr),
    /// A family not known here.
    Other(u16),
}

fn take<const N: usize>(raw: &[u8], at: usize) -> Result<[u8; N]> {
    raw.get(at..at + N)
        .and_then(|b| b.try_into().ok())
        .ok_or(Errno::EINVAL)
}

impl SockAddr {
    /// From the bytes a call was given. `EINVAL` when too short for its family.
    pub fn parse(raw: &[u8]) -> Result<SockAddr> {
        let family = u16::from_ne_bytes(take(raw, 0)?);
        Ok(match family {
            0 => SockAddr::Unspec,
            AF_UNIX => SockAddr::Unix(parse_unix(raw.get(2..).unwrap_or_default())?),
            AF_INET => {
                take::<16>(raw, 0)?;
                let port = u16::from_be_bytes(take(raw, 2)?);
                let ip = Ipv4Addr::from(take::<4>(raw, 4)?);
                SockAddr::Inet(SocketAddr::V4(SocketAddrV4::new(ip, port)))
            }
            AF_INET6 => {
                let port = u16::from_be_bytes(take(raw, 2)?);
                let flow = u32::from_be_bytes(take(raw, 4)?);
                let ip = Ipv6Addr::from(take::<16>(raw, 8)?);
                let scope = take(raw, 24).map_or(0, u32::from_ne_bytes);
                SockAddr::Inet(SocketAddr::V6(SocketAddrV6::new(ip, port, flow, scope)))
            }
            AF_NETLINK => SockAddr::Netlink(
                u32::from_ne_bytes(take(raw, 4)?),
                u32::from_ne_bytes(take(raw, 8)?),
            ),
            AF_PACKET if raw.len() >= LinkAddr::LEN => SockAddr::Packet(LinkAddr {
                protocol: u16::from_be_bytes(take(raw, 2)?),
                index: i32::from_ne_bytes(take(raw, 4)?),
                hardware: u16::from_ne_bytes(take(raw, 8)?),
                kind: take::<1>(raw, 10)?[0],
                len: take::<1>(raw, 11)?[0],
                addr: take(raw, 12)?,
                whole: true,
            }),
            other => SockAddr::Other(other),
        })
    }

    /// The family.
    pub fn family(&self) -> u16 {
        match self {
            SockAddr::Unspec => 0,
            SockAddr::Unix(_) => AF_UNIX,
            SockAddr::Inet(SocketAddr::V4(_)) => AF_INET,
            SockAddr::Inet(SocketAddr::V6(_)) => AF_INET6,
            SockAddr::Netlink(..) => AF_NETLINK,
            SockAddr::Packet(_) => AF_PACKET,
            SockAddr::Other(f) => *f,
        }
    }

    /// As calls give it back; its whole length is the length they report.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.family().to_ne_bytes().to_vec();
        match self {
            SockAddr::Unspec | SockAddr::Other(_) => {}
            SockAddr::Unix(UnixAddr::Unnamed) => {}
            SockAddr::Unix(UnixAddr::Path(p)) => {
                out.extend_from_slice(p);
                out.push(0);
            }
            SockAddr::Unix(UnixAddr::Abstract(n)) => {
                out.push(0);
                out.extend_from_slice(n);
            }
            SockAddr::Inet(SocketAddr::V4(a)) => {
                out.extend_from_slice(&a.port().to_be_bytes());
                out.extend_from_slice(&a.ip().octets());
                out.extend_from_slice(&[0; 8]);
            }
            SockAddr::Inet(SocketAddr::V6(a)) => {
                out.extend_from_slice(&a.port().to_be_bytes());
                out.extend_from_slice(&a.flowinfo().to_be_bytes());
                out.extend_from_slice(&a.ip().octets());
                out.extend_from_slice(&a.scope_id().to_ne_bytes());
            }
            SockAddr::Packet(a) => {
                out.extend_from_slice(&a.protocol.to_be_bytes());
                out.extend_from_slice(&a.index.to_ne_bytes());
                out.extend_from_slice(&a.hardware.to_ne_bytes());
                out.extend_from_slice(&[a.kind, a.len]);
                let len = if a.whole { 8 } else { usize::from(a.len) };
                let used = a.addr.get(..len).unwrap_or(&a.addr);
                out.extend_from_slice(used);
            }
            SockAddr::Netlink(pid, groups) => {
                out.extend_from_slice(&[0; 2]);
                out.extend_from_slice(&pid.to_ne_bytes());
                out.extend_from_slice(&groups.to_ne_bytes());
            }
        }
        out
    }
}

fn parse_unix(path: &[u8]) -> Result<UnixAddr> {
    if path.len() > SUN_PATH {
        return Err(Errno::EINVAL);
    }
    Ok(match path {
        [] => UnixAddr::Unnamed,
        [0, name @ ..] => UnixAddr::Abstract(name.to_vec()),
        _ => {
            let end = path.iter().position(|b| *b == 0).unwrap_or(path.len());
            UnixAddr::Path(path.get(..end).unwrap_or_default().to_vec())
        }
    })
}
