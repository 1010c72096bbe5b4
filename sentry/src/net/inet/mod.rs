//! The loopback network of a sandbox: TCP and UDP between its own sockets.
//!
//! Two endpoints hand bytes over in memory with the visible semantics of the protocols:
//! [`tcp`], [`udp`]. [`ports`] finds endpoints by port and address, [`option`] keeps the
//! options of the IP and TCP levels, [`device`] answers interface requests. What leaves the
//! loopback is unreachable.

mod device;
mod option;
mod ports;
mod stream;
mod tcp;
mod tcp_io;
mod udp;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use abi::Errno;

pub use device::{LO_INDEX, LO_MTU, device_ioctl};

use super::{AF_INET6, SockAddr, SockType, Socket};
use crate::Result;
use crate::creds::Cap;
use crate::task::Task;

/// Ports in use.
#[derive(Default)]
pub struct Ports {
    tcp: ports::Table<tcp::TcpSocket>,
    udp: ports::Table<udp::UdpSocket>,
}

/// A new socket.
pub fn create(
    t: &Arc<Task>,
    domain: u16,
    kind: SockType,
    protocol: i32,
) -> Result<Arc<dyn Socket>> {
    const TCP: i32 = 6;
    const UDP: i32 = 17;
    const ICMP: i32 = 1;
    const ICMPV6: i32 = 58;
    match (kind, protocol) {
        (SockType::Stream, 0 | TCP) => Ok(tcp::TcpSocket::create(&t.kernel, domain)),
        (SockType::Dgram, 0 | UDP) => Ok(udp::UdpSocket::create(&t.kernel, domain)),
        // As with the default `ping_group_range`: nobody may.
        (SockType::Dgram, ICMP | ICMPV6) => Err(Errno::EACCES),
        (SockType::Raw, _) if !t.creds().capable(Cap::NetRaw) => Err(Errno::EPERM),
        (SockType::SeqPacket, _) => Err(Errno::ESOCKTNOSUPPORT),
        _ => Err(Errno::EPROTONOSUPPORT),
    }
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

/// The local destination an address means: the unspecified one is the loopback;
/// `ENETUNREACH` for anything outside.
fn destination(addr: SocketAddr) -> Result<SocketAddr> {
    let addr = canonical(addr);
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip if ip.is_loopback() => ip,
        _ => return Err(Errno::ENETUNREACH),
    };
    Ok(SocketAddr::new(ip, addr.port()))
}

/// The source address towards a local destination.
fn source(to: IpAddr) -> IpAddr {
    match to {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    }
}

/// Whether a socket may bind to an address; `EADDRNOTAVAIL`.
fn check_bindable(ip: IpAddr) -> Result<()> {
    if ip.is_unspecified() || ip.is_loopback() {
        Ok(())
    } else {
        Err(Errno::EADDRNOTAVAIL)
    }
}

/// Ports below 1024 need `CAP_NET_BIND_SERVICE`; `EACCES`.
fn check_port(t: &Arc<Task>, port: u16) -> Result<()> {
    if (1..1024).contains(&port) && !t.creds().capable(Cap::NetBindService) {
        return Err(Errno::EACCES);
    }
    Ok(())
}
