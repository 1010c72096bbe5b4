//! Control messages of datagrams (`cmsg(3)`, `ip(7)`, `ipv6(7)`): what is told of one that
//! arrived, and what a sender may say of one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use abi::Errno;

use super::option::{IP_PKTINFO, IPV6_RECVPKTINFO, IpOptions, SOL_IP, SOL_IPV6, SOL_UDP};
use crate::Result;
use crate::net::msg::CmsgOut;
use crate::net::options::{Options, SOL_SOCKET};
use crate::net::{AF_INET6, Common, SockAddr};

const SO_TIMESTAMP: [i32; 2] = [29, 63];
const SO_RXQ_OVFL: i32 = 40;
const SO_RCVMARK: i32 = 75;
const SO_RCVPRIORITY: i32 = 82;
/// `SOF_TIMESTAMPING_RX_SOFTWARE` and `SOF_TIMESTAMPING_SOFTWARE`.
const RX_SOFTWARE: u32 = 1 << 3;
const SOFTWARE: u32 = 1 << 4;
/// `UDP_GRO`, `UDP_SEGMENT`.
pub(super) const UDP_GRO: i32 = 104;
const UDP_SEGMENT: i32 = 103;

/// How a datagram arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) link: i32,
    pub(super) ttl: u8,
    pub(super) tos: u8,
    pub(super) mark: i32,
    pub(super) priority: i32,
    /// Since the epoch, if the receiver wants to know.
    pub(super) at: Option<Duration>,
    /// Messages lost before it.
    pub(super) drops: u32,
    /// Size of its segments, 0 for a whole one.
    pub(super) segment: u16,
}

impl Arrival {
    /// With nothing but where it is from and to.
    pub(super) fn new(from: SocketAddr, to: SocketAddr, link: i32) -> Arrival {
        Arrival {
            from,
            to,
            link,
            ttl: 64,
            tos: 0,
            mark: 0,
            priority: 0,
            at: None,
            drops: 0,
            segment: 0,
        }
    }
}

/// Whether the moment of an arrival is wanted.
pub(super) fn wants_time(o: &Options) -> bool {
    o.stamp != 0 || o.timestamping & RX_SOFTWARE != 0
}

fn pair(seconds: u64, rest: u32) -> Vec<u8> {
    let mut raw = seconds.to_ne_bytes().to_vec();
    raw.extend_from_slice(&u64::from(rest).to_ne_bytes());
    raw
}

/// What of level `SOL_SOCKET` is told of an arrival.
fn general(common: &Common, a: &Arrival, out: &mut Vec<CmsgOut>) {
    let o = common.options.lock();
    if let Some(at) = a.at {
        if SO_TIMESTAMP.contains(&o.stamp) {
            out.push((SOL_SOCKET, o.stamp, pair(at.as_secs(), at.subsec_micros())));
        } else if o.stamp != 0 {
            out.push((SOL_SOCKET, o.stamp, pair(at.as_secs(), at.subsec_nanos())));
        }
        if o.timestamping & SOFTWARE != 0 {
            let mut raw = pair(at.as_secs(), at.subsec_nanos());
            raw.resize(48, 0);
            let name = if o.timestamping_new { 65 } else { 37 };
            out.push((SOL_SOCKET, name, raw));
        }
    }
    let int = |n: i32| n.to_ne_bytes().to_vec();
    if o.is_on(SO_RXQ_OVFL) && a.drops != 0 {
        out.push((SOL_SOCKET, SO_RXQ_OVFL, a.drops.to_ne_bytes().to_vec()));
    }
    if o.is_on(SO_RCVMARK) {
        out.push((SOL_SOCKET, 36, int(a.mark)));
    }
    if o.is_on(SO_RCVPRIORITY) {
        out.push((SOL_SOCKET, 12, int(a.priority)));
    }
}

/// What of level IP.
fn v4(ip: &IpOptions, a: &Arrival, to: Ipv4Addr, out: &mut Vec<CmsgOut>) {
    let on = |name| ip.value(SOL_IP, name) != 0;
    if on(IP_PKTINFO) {
        let own = if to.is_multicast() || to.is_broadcast() {
            Ipv4Addr::UNSPECIFIED
        } else {
            to
        };
        let mut raw = a.link.to_ne_bytes().to_vec();
        raw.extend_from_slice(&own.octets());
        raw.extend_from_slice(&to.octets());
        out.push((SOL_IP, IP_PKTINFO, raw));
    }
    if on(12) {
        out.push((SOL_IP, 2, i32::from(a.ttl).to_ne_bytes().to_vec()));
    }
    if on(13) {
        out.push((SOL_IP, 1, vec![a.tos]));
    }
    // IP_RECVOPTS and IP_RETOPTS: packets here have none.
    if on(20) {
        let mut raw = SockAddr::Inet(SocketAddr::new(IpAddr::V4(to), a.to.port())).to_bytes();
        raw.resize(16, 0);
        out.push((SOL_IP, 20, raw));
    }
}

fn v6(ip: &IpOptions, a: &Arrival, to: Ipv6Addr, out: &mut Vec<CmsgOut>) {
    let on = |name| ip.value(SOL_IPV6, name) != 0;
    let int = |n: u8| i32::from(n).to_ne_bytes().to_vec();
    if on(51) {
        out.push((SOL_IPV6, 52, int(a.ttl)));
    }
    if on(66) {
        out.push((SOL_IPV6, 67, int(a.tos)));
    }
    // The older names of the first two.
    if on(2) {
        out.push((SOL_IPV6, 2, info6(to, a.link)));
    }
    if on(8) {
        out.push((SOL_IPV6, 8, int(a.ttl)));
    }
    if on(74) {
        let raw = SockAddr::Inet(SocketAddr::new(IpAddr::V6(to), a.to.port())).to_bytes();
        out.push((SOL_IPV6, 74, raw));
    }
}

/// `struct in6_pktinfo`.
fn info6(to: Ipv6Addr, link: i32) -> Vec<u8> {
    let mut raw = to.octets().to_vec();
    raw.extend_from_slice(&link.to_ne_bytes());
    raw
}

/// All that a socket wants to be told of an arrival.
pub(super) fn tell(common: &Common, ip: &IpOptions, a: &Arrival) -> Vec<CmsgOut> {
    let mut out = Vec::new();
    general(common, a, &mut out);
    if a.segment != 0 && ip.value(SOL_UDP, UDP_GRO) != 0 {
        let size = i32::from(a.segment).to_ne_bytes().to_vec();
        out.push((SOL_UDP, UDP_GRO, size));
    }
    if common.domain == AF_INET6 && ip.value(SOL_IPV6, IPV6_RECVPKTINFO) != 0 {
        let to = match a.to.ip() {
            IpAddr::V4(to) => to.to_ipv6_mapped(),
            IpAddr::V6(to) => to,
        };
        out.push((SOL_IPV6, 50, info6(to, a.link)));
    }
    match a.to.ip() {
        IpAddr::V4(to) => v4(ip, a, to, &mut out),
        IpAddr::V6(to) => v6(ip, a, to, &mut out),
    }
    out
}

/// What a sender says of one datagram.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    /// Source address.
    pub(super) own: Option<IpAddr>,
    /// Link it is to leave by; 0 for none named.
    pub(super) link: i32,
    pub(super) ttl: Option<u8>,
    pub(super) tos: Option<u8>,
    /// Size of the segments it is cut into.
    pub(super) segment: Option<u16>,
    pub(super) mark: Option<i32>,
    pub(super) priority: Option<i32>,
}

fn word(data: &[u8], at: usize) -> Option<i32> {
    let four = data.get(at..)?.first_chunk::<4>()?;
    Some(i32::from_ne_bytes(*four))
}

/// An int of exactly four bytes.
fn whole(data: &[u8]) -> Result<i32> {
    match data.len() {
        4 => word(data, 0).ok_or(Errno::EINVAL),
        _ => Err(Errno::EINVAL),
    }
}

fn hops(n: i32, least: i32) -> Result<Option<u8>> {
    match n {
        -1 if least == 0 => Ok(None),
        n if n < least => Err(Errno::EINVAL),
        n => u8::try_from(n).map(Some).map_err(|_| Errno::EINVAL),
    }
}

impl Said {
    /// Reads control messages of a send; `EINVAL` for what is malformed or not known.
    pub(super) fn read(cmsgs: &[CmsgOut], domain: u16) -> Result<Said> {
        let mut said = Said::default();
        for (level, kind, data) in cmsgs {
            match *level {
                SOL_SOCKET => said.general(*kind, data)?,
                SOL_UDP if *kind == UDP_SEGMENT => {
                    let two = <[u8; 2]>::try_from(data.as_slice()).map_err(|_| Errno::EINVAL)?;
                    said.segment = Some(u16::from_ne_bytes(two));
                }
                SOL_UDP => return Err(Errno::EINVAL),
                SOL_IP => said.v4(*kind, data)?,
                SOL_IPV6 if domain == AF_INET6 => said.v6(*kind, data)?,
                _ => {}
            }
        }
        Ok(said)
    }

    fn general(&mut self, kind: i32, data: &[u8]) -> Result<()> {
        match kind {
            36 => self.mark = Some(whole(data)?),
            12 => self.priority = Some(whole(data)?),
            // SCM_TXTIME: no link here sends later; SCM_TIMESTAMPING.
            61 if data.len() == 8 => {}
            37 => drop(whole(data)?),
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    fn v4(&mut self, kind: i32, data: &[u8]) -> Result<()> {
        match kind {
            IP_PKTINFO => {
                if data.len() != 12 {
                    return Err(Errno::EINVAL);
                }
                let own = word(data, 4).unwrap_or(0).to_ne_bytes();
                let own = Ipv4Addr::from(own);
                self.own = Some(IpAddr::V4(own)).filter(|ip| !ip.is_unspecified());
                self.link = word(data, 0).unwrap_or(0);
            }
            2 => self.ttl = hops(whole(data)?, 1)?,
            1 => {
                let n = match data {
                    [one] => i32::from(*one),
                    _ => whole(data)?,
                };
                self.tos = Some(u8::try_from(n).map_err(|_| Errno::EINVAL)?);
            }
            // IP_RETOPTS.
            7 if data.is_empty() => {}
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    fn v6(&mut self, kind: i32, data: &[u8]) -> Result<()> {
        match kind {
            50 | 2 => {
                let own = data.first_chunk::<16>().ok_or(Errno::EINVAL)?;
                let own = IpAddr::from(*own);
                self.link = word(data, 16).ok_or(Errno::EINVAL)?;
                self.own = Some(own).filter(|ip| !ip.is_unspecified());
            }
            52 | 8 => self.ttl = hops(whole(data)?, 0)?,
            67 => {
                let n = whole(data)?;
                if !(-1..=255).contains(&n) {
                    return Err(Errno::EINVAL);
                }
                self.tos = u8::try_from(n).ok();
            }
            // IPV6_DONTFRAG.
            62 => drop(whole(data)?),
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }
}
