//! Options that join and leave multicast groups (`ip(7)`, `ipv6(7)`).

use std::net::IpAddr;

use abi::Errno;

use super::option::{SOL_IP, SOL_IPV6};
use crate::Result;
use crate::net::{AF_INET6, SockAddr};

/// What such an option asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Membership {
    pub(super) join: bool,
    pub(super) group: IpAddr,
    /// Link number, 0 for none named.
    pub(super) link: u32,
    /// Address of the link.
    pub(super) own: Option<IpAddr>,
}

/// Group, link number, address of the link.
type Named = (IpAddr, u32, Option<IpAddr>);

fn v4(value: &[u8], at: usize) -> Option<IpAddr> {
    value
        .get(at..)?
        .first_chunk::<4>()
        .map(|b| IpAddr::from(*b))
}

fn word(value: &[u8], at: usize) -> Option<u32> {
    value
        .get(at..)?
        .first_chunk::<4>()
        .map(|b| u32::from_ne_bytes(*b))
}

/// How the value of an option is read.
type Read = fn(&[u8]) -> Option<Named>;

/// Reads a membership option; `None` for any other. `EINVAL` for what is no group.
pub(super) fn parse(
    domain: u16,
    level: i32,
    name: i32,
    value: &[u8],
) -> Result<Option<Membership>> {
    let (join, read): (bool, Read) = match (level, name) {
        (SOL_IP, 35 | 36) => (name == 35, mreq),
        (SOL_IPV6, 20 | 21) if domain == AF_INET6 => (name == 20, mreq6),
        (SOL_IP, 42 | 45) => (name == 42, group_req),
        (SOL_IPV6, 42 | 45) if domain == AF_INET6 => (name == 42, group_req),
        _ => return Ok(None),
    };
    let (group, link, own) = read(value).ok_or(Errno::EINVAL)?;
    if !group.is_multicast() {
        return Err(Errno::EINVAL);
    }
    Ok(Some(Membership {
        join,
        group,
        link,
        own: own.filter(|ip| !ip.is_unspecified()),
    }))
}

/// `struct ip_mreq` or `struct ip_mreqn`.
fn mreq(value: &[u8]) -> Option<Named> {
    Some((
        v4(value, 0)?,
        word(value, 8).unwrap_or(0),
        Some(v4(value, 4)?),
    ))
}

/// `struct ipv6_mreq`.
fn mreq6(value: &[u8]) -> Option<Named> {
    let group = value.first_chunk::<16>().map(|b| IpAddr::from(*b))?;
    Some((group, word(value, 16)?, None))
}

/// `struct group_req`.
fn group_req(value: &[u8]) -> Option<Named> {
    match SockAddr::parse(value.get(8..)?) {
        Ok(SockAddr::Inet(a)) => Some((a.ip(), word(value, 0)?, None)),
        _ => None,
    }
}
