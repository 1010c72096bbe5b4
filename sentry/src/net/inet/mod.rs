//! Internet sockets.
//!
//! Two endpoints of one sandbox hand bytes over in memory with the visible semantics of the
//! protocols: [`tcp`], [`udp`]. What leaves the sandbox goes through our stack
//! ([`super::outside`]): [`tcp_outside`] is the part of a TCP socket that knows of it.
//! [`raw`] has raw and ping sockets. [`ports`] finds endpoints by port and address,
//! [`option`] keeps the options of the IP and TCP levels, [`rows`] is what `/proc/net` shows, [`device`] answers interface
//! requests.

mod ancillary;
mod device;
mod device_set;
mod errors;
mod membership;
mod multicast;
mod option;
mod ports;
pub(in crate::net) mod raw;
mod rows;
mod stream;
pub(in crate::net) mod tcp;
mod tcp_io;
mod tcp_outside;
pub(in crate::net) mod udp;
mod udp_send;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use abi::Errno;

pub use device::device_ioctl;
pub use rows::{SocketRow, raw_rows, tcp_rows, udp_rows};

use option::IpOptions;

use super::view::{LO_INDEX, LO_MTU, View};

use super::{AF_INET6, NetNs, SockAddr, SockType, Socket};
use crate::Result;
use crate::creds::Cap;
use crate::task::Task;

/// Ports in use.
#[derive(Default)]
pub struct Ports {
    tcp: ports::Table<tcp::TcpSocket>,
    udp: ports::Table<udp::UdpSocket>,
    udplite: ports::Table<udp::UdpSocket>,
    lo_groups: multicast::LoGroups,
}

/// A new socket.
pub fn create(
    t: &Arc<Task>,
    net: &Arc<NetNs>,
    domain: u16,
    kind: SockType,
    protocol: i32,
) -> Result<Arc<dyn Socket>> {
    const TCP: i32 = 6;
    const UDP: i32 = 17;
    const UDPLITE: i32 = 136;
    const ICMP: i32 = 1;
    const ICMPV6: i32 = 58;
    match (kind, protocol) {
        (SockType::Stream, 0 | TCP) => Ok(tcp::TcpSocket::create(&t.kernel, net, domain)),
        (SockType::Dgram, 0 | UDP) => Ok(udp::UdpSocket::create(&t.kernel, net, domain, UDP)),
        (SockType::Dgram, UDPLITE) => Ok(udp::UdpSocket::create(&t.kernel, net, domain, UDPLITE)),
        (SockType::Dgram, ICMP) if domain != AF_INET6 => raw::RawSocket::ping(t, domain, protocol),
        (SockType::Dgram, ICMPV6) if domain == AF_INET6 => {
            raw::RawSocket::ping(t, domain, protocol)
        }
        (SockType::Raw, 0) => Err(Errno::EPROTONOSUPPORT),
        (SockType::Raw, 1..=255) => raw::RawSocket::raw(t, domain, protocol),
        (SockType::SeqPacket, _) => Err(Errno::ESOCKTNOSUPPORT),
        _ => Err(Errno::EPROTONOSUPPORT),
    }
}

/// Most connections that may wait to be accepted (`net/core/somaxconn`).
const SOMAXCONN: i32 = 4096;

/// The largest packet towards an address.
fn mtu_towards(net: &NetNs, ip: IpAddr) -> i32 {
    let outside = &net.outside;
    let ip = ip.to_canonical();
    if !outside.is_attached() || ip.is_loopback() {
        return LO_MTU;
    }
    outside.look(|stack| match stack.topology.is_local(ip) {
        true => LO_MTU,
        false => stack.mtu_for(ip).map_or(LO_MTU, i32::from),
    })
}

/// An address with IPv4-mapped IPv6 turned into IPv4.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// As a socket of `domain` shows it.
fn shown(domain: u16, addr: SocketAddr) -> SockAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if domain == AF_INET6 => IpAddr::V6(ip.to_ipv6_mapped()),
        ip => ip,
    };
    SockAddr::Inet(SocketAddr::new(ip, addr.port()))
}

/// The unspecified address of a family.
fn unspecified(domain: u16) -> IpAddr {
    if domain == AF_INET6 {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    } else {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    }
}

/// An unbound socket's address as it shows it: not mapped.
fn shown_local(domain: u16, addr: Option<SocketAddr>) -> SockAddr {
    match addr {
        Some(a) if !a.ip().is_unspecified() => shown(domain, a),
        a => SockAddr::Inet(SocketAddr::new(
            unspecified(domain),
            a.map_or(0, |a| a.port()),
        )),
    }
}

/// Checks an address given to a socket of `domain`; `EAFNOSUPPORT`.
fn of_family(domain: u16, addr: &SockAddr) -> Result<SocketAddr> {
    match addr {
        SockAddr::Inet(a) if addr.family() == domain => Ok(*a),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// Where a packet to an address goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// To a socket of this sandbox.
    Here(SocketAddr),
    /// Over a link.
    Outside(SocketAddr),
}

impl Target {
    /// The address.
    pub(super) fn addr(self) -> SocketAddr {
        match self {
            Target::Here(a) | Target::Outside(a) => a,
        }
    }
}

/// What an address means to a socket bound to a link, or to none for 0: the unspecified one is
/// the loopback. `ENETUNREACH` for anything there is no route to, `ENODEV` without the link.
fn destination(net: &NetNs, addr: SocketAddr, link: i32) -> Result<Target> {
    let addr = canonical(addr);
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let to = SocketAddr::new(ip, addr.port());
    if link != 0 && View::of(net).by_index(link).is_none() {
        return Err(Errno::ENODEV);
    }
    // What is for this host goes over its loopback.
    let here = link == 0 || link == LO_INDEX;
    let outside = &net.outside;
    if ip.is_loopback() && here {
        return match outside.has_loopback(ip) {
            true => Ok(Target::Here(to)),
            false => Err(outside.unreachable(ip)),
        };
    }
    if !outside.is_attached() {
        return Err(outside.unreachable(ip));
    }
    outside.look(|stack| {
        let over = u32::try_from(link).ok().filter(|link| *link != 0);
        if stack.topology.is_local(ip) && here {
            Ok(Target::Here(to))
        } else if stack.source_for(ip, over).is_some() {
            Ok(Target::Outside(to))
        } else {
            Err(Errno::ENETUNREACH)
        }
    })
}

/// The source address towards a destination.
fn source(net: &NetNs, to: Target) -> IpAddr {
    match to.addr().ip() {
        IpAddr::V4(ip) if ip.is_loopback() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_loopback() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => match to {
            Target::Here(_) => ip,
            Target::Outside(_) => {
                let own = net.outside.look(|s| s.source_for(ip, None));
                own.unwrap_or(ip)
            }
        },
    }
}

/// Whether a socket may bind to an address: one that is here, or any where `IP_FREEBIND` or
/// `IP_TRANSPARENT` is on. `EADDRNOTAVAIL`.
fn check_bindable(net: &NetNs, ip: IpAddr, options: &IpOptions) -> Result<()> {
    if options.is_foreign() || ip.is_unspecified() || net.outside.is_local(ip) {
        Ok(())
    } else {
        Err(Errno::EADDRNOTAVAIL)
    }
}

/// Ports below 1024 need `CAP_NET_BIND_SERVICE`; `EACCES`.
fn check_port(net: &NetNs, t: &Arc<Task>, port: u16) -> Result<()> {
    if (1..1024).contains(&port) && !net.allows(&t.creds(), Cap::NetBindService) {
        return Err(Errno::EACCES);
    }
    Ok(())
}
