//! Interface requests that change something (`netdevice(7)`, `rtentry`), for those with
//! `CAP_NET_ADMIN` over the namespace.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use abi::Errno;
use netstack::link::LOOPBACK;
use netstack::{Address, Route};

use super::device::mask;
use crate::creds::Cap;
use crate::net::config::{self, How, WhichRoute};
use crate::net::{AF_INET, NetNs};
use crate::task::Task;
use crate::{Kernel, Result};

const SIOCSIFFLAGS: u32 = 0x8914;
const SIOCSIFADDR: u32 = 0x8916;
const SIOCSIFBRDADDR: u32 = 0x891a;
const SIOCSIFNETMASK: u32 = 0x891c;
const SIOCSIFMTU: u32 = 0x8922;
const SIOCSIFNAME: u32 = 0x8923;
const SIOCSIFHWADDR: u32 = 0x8924;
/// `SIOCADDRT`.
pub(super) const SIOCADDRT: u32 = 0x890b;
/// `SIOCDELRT`.
pub(super) const SIOCDELRT: u32 = 0x890c;

/// Whether a request changes something.
pub(super) fn changes(request: u32) -> bool {
    matches!(request, 0x8914 | 0x8916 | 0x8918 | 0x891a | 0x891c | 0x891e)
        || matches!(request, 0x8922 | 0x8923 | 0x8924 | 0x8943)
}

fn v4(body: &[u8; 24]) -> Result<Ipv4Addr> {
    let [f0, f1, _, _, a, b, c, d, ..] = *body;
    match u16::from_ne_bytes([f0, f1]) {
        AF_INET => Ok(Ipv4Addr::new(a, b, c, d)),
        _ => Err(Errno::EINVAL),
    }
}

/// The prefix of a class of addresses, which an address without a mask gets (RFC 791).
fn class_prefix(ip: Ipv4Addr) -> u8 {
    match ip.octets() {
        [0..=127, ..] => 8,
        [128..=191, ..] => 16,
        _ => 24,
    }
}

fn prefix_of(mask: Ipv4Addr) -> Result<u8> {
    let bits = mask.to_bits();
    let ones = bits.leading_ones();
    match bits.checked_shl(ones).unwrap_or(0) {
        0 => Ok(u8::try_from(ones).unwrap_or(32)),
        _ => Err(Errno::EINVAL),
    }
}

/// Changes the link called `name`; `body`: the union of a `struct ifreq`. `EPERM`,
/// `ENODEV`, `EINVAL`.
pub(super) fn set(
    t: &Arc<Task>,
    net: &Arc<NetNs>,
    request: u32,
    name: &[u8],
    body: &[u8; 24],
) -> Result<()> {
    if !net.allows(&t.creds(), Cap::NetAdmin) {
        return Err(Errno::EPERM);
    }
    let index = net.outside.look(|stack| config::by_name(stack, name));
    let index = index.ok_or(Errno::ENODEV)?;
    let kernel = &t.kernel;
    let [b0, b1, b2, b3, ..] = *body;
    match request {
        SIOCSIFFLAGS => {
            let flags = u32::from(u16::from_ne_bytes([b0, b1]));
            net.set_link_flags(kernel, index, flags, u32::MAX)
        }
        SIOCSIFADDR | SIOCSIFNETMASK | SIOCSIFBRDADDR => {
            set_address(kernel, net, request, index, v4(body)?)
        }
        SIOCSIFMTU => {
            let mtu = u32::try_from(i32::from_ne_bytes([b0, b1, b2, b3]));
            let mtu = mtu.map_err(|_| Errno::EINVAL)?;
            net.reconfigure(kernel, |stack| config::set_mtu(stack, index, mtu))?;
            net.tell_link(index);
            Ok(())
        }
        SIOCSIFNAME => {
            let new = body.split(|b| *b == 0).next().unwrap_or_default();
            net.reconfigure(kernel, |stack| config::rename(stack, index, new))?;
            net.tell_link(index);
            Ok(())
        }
        SIOCSIFHWADDR => {
            let mac = body.get(2..).and_then(|b| b.first_chunk::<6>());
            let mac = *mac.ok_or(Errno::EINVAL)?;
            net.reconfigure(kernel, |stack| config::set_mac(stack, index, mac))?;
            net.tell_link(index);
            Ok(())
        }
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// An address with the mask of its class.
fn of_class(index: u32, given: Ipv4Addr) -> Address {
    let prefix = class_prefix(given);
    let broadcast = Ipv4Addr::from_bits(given.to_bits() | wild_of(prefix));
    Address {
        ip: IpAddr::V4(given),
        prefix,
        broadcast: (index != LOOPBACK).then_some(broadcast),
        scope: if given.is_loopback() { 254 } else { 0 },
    }
}

/// The first IPv4 address, its mask, its broadcast address.
fn set_address(
    kernel: &Arc<Kernel>,
    net: &Arc<NetNs>,
    request: u32,
    index: u32,
    given: Ipv4Addr,
) -> Result<()> {
    let old = net.outside.look(|stack| {
        let link = stack.topology.link(index)?;
        link.addresses.iter().find(|a| a.ip.is_ipv4()).copied()
    });
    let new = match (request, old) {
        (SIOCSIFADDR, _) if given.is_unspecified() => None,
        (SIOCSIFADDR, _) => Some(of_class(index, given)),
        (_, None) => return Err(Errno::EADDRNOTAVAIL),
        (SIOCSIFNETMASK, Some(old)) => {
            let prefix = prefix_of(given)?;
            let wild = wild_of(prefix);
            let own = match old.ip {
                IpAddr::V4(ip) => ip.to_bits(),
                IpAddr::V6(_) => 0,
            };
            // A broadcast address that followed from the mask follows the new one.
            let broadcast = old
                .broadcast
                .map(|b| match b.to_bits() | wild_of(old.prefix) {
                    all if all == b.to_bits() && prefix < 31 => Ipv4Addr::from_bits(own | wild),
                    _ => b,
                });
            Some(Address {
                prefix,
                broadcast,
                ..old
            })
        }
        (_, Some(old)) => Some(Address {
            broadcast: Some(given).filter(|b| !b.is_unspecified()),
            ..old
        }),
    };
    net.reconfigure(kernel, |stack| {
        if let Some(old) = old {
            config::remove_address(stack, index, old.ip, Some(old.prefix))?;
        }
        match new {
            Some(new) => config::add_address(stack, index, new),
            None => Ok(()),
        }
    })?;
    // An address sets its link up.
    match request {
        SIOCSIFADDR if new.is_some() => net.set_link_up(kernel, index, true),
        _ => Ok(()),
    }
}

/// The bits of an address that its prefix leaves.
fn wild_of(prefix: u8) -> u32 {
    u32::MAX.checked_shr(prefix.into()).unwrap_or(0)
}

/// `SIOCADDRT` and `SIOCDELRT` of a `struct rtentry`; `device`: the name it points to.
pub(super) fn route(
    t: &Arc<Task>,
    net: &Arc<NetNs>,
    gone: bool,
    raw: &[u8; 120],
    device: Option<&[u8]>,
) -> Result<()> {
    const RTF_UP: u16 = 1;
    const RTF_GATEWAY: u16 = 2;
    const RTF_HOST: u16 = 4;
    if !net.allows(&t.creds(), Cap::NetAdmin) {
        return Err(Errno::EPERM);
    }
    let addr = |at: usize| {
        let raw = raw.get(at + 4..).and_then(|b| b.first_chunk::<4>());
        raw.map_or(Ipv4Addr::UNSPECIFIED, |b| Ipv4Addr::from(*b))
    };
    let family = |at: usize| raw.get(at..).and_then(|b| b.first_chunk::<2>());
    let half = |at: usize| family(at).map_or(0, |b| u16::from_ne_bytes(*b));
    if half(8) != AF_INET {
        return Err(Errno::EAFNOSUPPORT);
    }
    let flags = half(56);
    let (dst, mask_given) = (addr(8), addr(40));
    let prefix = match flags & RTF_HOST != 0 {
        true => 32,
        false => prefix_of(mask_given)?,
    };
    if dst.to_bits() & !mask(prefix).to_bits() != 0 {
        return Err(Errno::EINVAL);
    }
    let link = match device {
        Some(name) => {
            let index = net.outside.look(|stack| config::by_name(stack, name));
            Some(index.ok_or(Errno::ENODEV)?)
        }
        None => None,
    };
    let gateway = match flags & RTF_GATEWAY != 0 {
        true => Some(IpAddr::V4(addr(24))),
        false => None,
    };
    // `rt_metric` counts from 1.
    let metric = u32::from(half(80).saturating_sub(1));
    let network = IpAddr::V4(dst);
    if gone {
        let which = WhichRoute {
            network,
            prefix,
            gateway,
            link,
            metric: Some(metric).filter(|m| *m != 0),
            protocol: None,
        };
        return net
            .reconfigure(&t.kernel, |stack| config::remove_route(stack, which))
            .map(drop);
    }
    if flags & RTF_UP == 0 || gateway.is_none() && link.is_none() {
        return Err(Errno::ENODEV);
    }
    let route = Route {
        network,
        prefix,
        gateway,
        link: link.unwrap_or(0),
        source: None,
        metric,
        // RTPROT_BOOT
        protocol: 3,
        scope: if gateway.is_some() { 0 } else { 253 },
    };
    let how = How {
        create: true,
        ..How::default()
    };
    net.reconfigure(&t.kernel, |stack| config::add_route(stack, route, how))
        .map(drop)
}
