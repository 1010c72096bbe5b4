//! Changes of links, addresses and routes by guests (`netdevice(7)`, `rtnetlink(7)`): what
//! they do to a namespace's stack, with the errors of Linux. Interface requests and netlink
//! decode what is wanted; who may is checked there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use abi::Errno;
use netstack::link::{LOOPBACK, contains};
use netstack::{Address, Kind, Link, Route, Stack};

use crate::Result;

/// `RTPROT_KERNEL`.
const RTPROT_KERNEL: u8 = 2;
/// `RT_SCOPE_LINK`.
const SCOPE_LINK: u8 = 253;
/// Metric of the kernel's own IPv6 routes (`IP6_RT_PRIO_ADDRCONF`).
const METRIC_V6: u32 = 256;
/// Most addresses of a link, routes and links of a namespace.
const MAX_ADDRESSES: usize = 1024;
const MAX_ROUTES: usize = 4096;
const MAX_LINKS: usize = 1024;
/// Smallest MTU of IPv4 (RFC 791).
const MIN_MTU: u32 = 68;
/// Longest name of a link, without its NUL.
const MAX_NAME: usize = 15;

fn link(stack: &mut Stack, index: u32) -> Result<&mut Link> {
    stack.topology.link_mut(index).ok_or(Errno::ENODEV)
}

/// The network an address lies in.
fn network(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(prefix.into()));
            IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & mask.unwrap_or(0)))
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(prefix.into()));
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask.unwrap_or(0)))
        }
    }
}

/// The route to the neighbours that an address brings, which a link has while it is up.
fn connected(link: &Link, a: &Address) -> Option<Route> {
    let alone = a.prefix >= if a.ip.is_ipv4() { 32 } else { 128 };
    if link.kind == Kind::Loopback || !link.up || alone && a.ip.is_ipv4() {
        return None;
    }
    let v4 = a.ip.is_ipv4();
    Some(Route {
        network: network(a.ip, a.prefix),
        prefix: a.prefix,
        gateway: None,
        link: link.index,
        source: v4.then_some(a.ip),
        metric: if v4 { 0 } else { METRIC_V6 },
        protocol: RTPROT_KERNEL,
        scope: if v4 { SCOPE_LINK } else { 0 },
    })
}

fn insert_route(stack: &mut Stack, route: Route) {
    let mut routes = stack.topology.routes().to_vec();
    if !routes.contains(&route) {
        routes.push(route);
        stack.set_routes(routes);
    }
}

/// Takes routes away; whether there were any.
fn remove_routes(stack: &mut Stack, gone: impl Fn(&Route) -> bool) -> bool {
    let mut routes = stack.topology.routes().to_vec();
    let before = routes.len();
    routes.retain(|r| !gone(r));
    let changed = routes.len() < before;
    if changed {
        stack.set_routes(routes);
    }
    changed
}

/// The address that a hardware address makes on every link (RFC 4291, appendix A).
fn link_local(mac: [u8; 6]) -> Address {
    let [a, b, c, d, e, f] = mac;
    let ip = [
        0xfe,
        0x80,
        0,
        0,
        0,
        0,
        0,
        0,
        a ^ 2,
        b,
        c,
        0xff,
        0xfe,
        d,
        e,
        f,
    ];
    Address {
        ip: IpAddr::from(ip),
        prefix: 64,
        broadcast: None,
        scope: SCOPE_LINK,
    }
}

/// Sets a link up or down. The loopback gets its addresses when it comes up; IPv6 addresses
/// and routes are lost when a link goes down.
pub fn set_up(stack: &mut Stack, index: u32, up: bool) -> Result<()> {
    let l = link(stack, index)?;
    if l.up == up {
        return Ok(());
    }
    l.up = up;
    if !up {
        l.addresses.retain(|a| a.ip.is_ipv4());
        remove_routes(stack, |r| r.link == index);
        stack.neighbours.forget_link(index);
        return Ok(());
    }
    if index == LOOPBACK {
        for a in Link::loopback_addresses() {
            let family = a.ip.is_ipv4();
            if !l.addresses.iter().any(|b| b.ip.is_ipv4() == family) {
                l.addresses.push(a);
            }
        }
    } else {
        get_ready(l);
    }
    let l = l.clone();
    for route in l.addresses.iter().filter_map(|a| connected(&l, a)) {
        insert_route(stack, route);
    }
    Ok(())
}

/// A link that has somebody at its other end gets an address of its own.
fn get_ready(l: &mut Link) {
    let own = link_local(l.mac);
    let has = l.addresses.iter().any(|a| a.ip == own.ip);
    if l.up && l.carrier && l.kind.is_ethernet() && !has {
        l.addresses.push(own);
    }
}

/// Somebody comes to a link's other end, or goes; whether that is new.
pub fn set_carrier(stack: &mut Stack, index: u32, carrier: bool) -> bool {
    let Some(l) = stack.topology.link_mut(index) else {
        return false;
    };
    if l.carrier == carrier {
        return false;
    }
    l.carrier = carrier;
    get_ready(l);
    let l = l.clone();
    for route in l.addresses.iter().filter_map(|a| connected(&l, a)) {
        insert_route(stack, route);
    }
    true
}

/// Gives a link a name; `EINVAL` for what is none, `EEXIST`.
pub fn rename(stack: &mut Stack, index: u32, name: &[u8]) -> Result<()> {
    let name = valid_name(name)?;
    let taken = by_name(stack, name.as_bytes()).is_some_and(|other| other != index);
    if taken {
        return Err(Errno::EEXIST);
    }
    link(stack, index)?.name = name;
    Ok(())
}

/// A name a link may have; `EINVAL`.
pub fn valid_name(name: &[u8]) -> Result<String> {
    let bad = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'/' | b':');
    let text = std::str::from_utf8(name).map_err(|_| Errno::EINVAL)?;
    if text.is_empty() || text.len() > MAX_NAME || matches!(text, "." | "..") {
        return Err(Errno::EINVAL);
    }
    match name.iter().any(bad) {
        true => Err(Errno::EINVAL),
        false => Ok(text.to_owned()),
    }
}

/// A link's number by its name.
pub fn by_name(stack: &Stack, name: &[u8]) -> Option<u32> {
    let mut links = stack.topology.links.iter();
    links.find(|l| l.name.as_bytes() == name).map(|l| l.index)
}

/// The first name of a pattern (`dummy%d`) that no link has; `EINVAL`, `EEXIST`.
pub fn free_name(stack: &Stack, wanted: &str) -> Result<String> {
    let Some((before, after)) = wanted.split_once("%d") else {
        let name = valid_name(wanted.as_bytes())?;
        return match by_name(stack, name.as_bytes()) {
            Some(_) => Err(Errno::EEXIST),
            None => Ok(name),
        };
    };
    for n in 0..MAX_LINKS {
        let name = valid_name(format!("{before}{n}{after}").as_bytes())?;
        if by_name(stack, name.as_bytes()).is_none() {
            return Ok(name);
        }
    }
    Err(Errno::ENFILE)
}

/// Sets the MTU; `EINVAL`.
pub fn set_mtu(stack: &mut Stack, index: u32, mtu: u32) -> Result<()> {
    let l = link(stack, index)?;
    let most = match l.kind {
        Kind::Loopback | Kind::Dummy => i32::MAX.unsigned_abs(),
        Kind::Ethernet => 1500,
        Kind::Veth | Kind::Tun | Kind::Tap => 65_535,
    };
    if !(MIN_MTU..=most).contains(&mtu) && !matches!(l.kind, Kind::Loopback | Kind::Dummy) {
        return Err(Errno::EINVAL);
    }
    l.mtu = mtu;
    Ok(())
}

/// Sets the hardware address; `EADDRNOTAVAIL` for a group's, `EOPNOTSUPP` for links without
/// one.
pub fn set_mac(stack: &mut Stack, index: u32, mac: [u8; 6]) -> Result<()> {
    let l = link(stack, index)?;
    if !l.kind.is_ethernet() || l.kind == Kind::Ethernet {
        return Err(Errno::EOPNOTSUPP);
    }
    let [first, ..] = mac;
    if first & 1 != 0 || mac == [0; 6] {
        return Err(Errno::EADDRNOTAVAIL);
    }
    l.mac = mac;
    Ok(())
}

/// Enters a link; `ENFILE` when there are too many.
pub fn add_link(stack: &mut Stack, link: Link) -> Result<()> {
    if stack.topology.links.len() >= MAX_LINKS {
        return Err(Errno::ENFILE);
    }
    stack.set_link(link);
    Ok(())
}

/// Takes a link out, with its routes.
pub fn remove_link(stack: &mut Stack, index: u32) -> Option<Link> {
    let link = stack.topology.link(index).cloned()?;
    remove_routes(stack, |r| r.link == index);
    stack.remove_link(index);
    Some(link)
}

/// Adds an address; `ENODEV`, `EEXIST`, `EINVAL`.
pub fn add_address(stack: &mut Stack, index: u32, a: Address) -> Result<()> {
    let l = link(stack, index)?;
    let most = if a.ip.is_ipv4() { 32 } else { 128 };
    if a.prefix > most {
        return Err(Errno::EINVAL);
    }
    let same = |b: &Address| match a.ip {
        IpAddr::V4(_) => b.ip == a.ip && b.prefix == a.prefix,
        IpAddr::V6(_) => b.ip == a.ip,
    };
    if l.addresses.iter().any(same) {
        return Err(Errno::EEXIST);
    }
    if l.addresses.len() >= MAX_ADDRESSES {
        return Err(Errno::ENOBUFS);
    }
    l.addresses.push(a);
    let route = connected(l, &a);
    if let Some(route) = route {
        insert_route(stack, route);
    }
    Ok(())
}

/// Takes an address away, and the route it brought; `ENODEV`, `EADDRNOTAVAIL`.
pub fn remove_address(stack: &mut Stack, index: u32, ip: IpAddr, prefix: Option<u8>) -> Result<()> {
    let l = link(stack, index)?;
    let fits = |a: &Address| a.ip == ip && prefix.is_none_or(|p| p == a.prefix);
    let at = l.addresses.iter().position(fits);
    let a = l.addresses.remove(at.ok_or(Errno::EADDRNOTAVAIL)?);
    let l = l.clone();
    let Some(route) = connected(&l, &a) else {
        return Ok(());
    };
    let still = l
        .addresses
        .iter()
        .filter_map(|b| connected(&l, b))
        .any(|r| r == route);
    if !still {
        remove_routes(stack, |r| *r == route);
    }
    // Routes that prefer the address as their source, or lead to it, go with it.
    remove_routes(stack, |r| {
        r.protocol != RTPROT_KERNEL && (r.source == Some(ip) || r.gateway == Some(ip))
    });
    Ok(())
}

/// How an entry is made (`NLM_F_CREATE` and its neighbours).
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    pub create: bool,
    pub excl: bool,
    pub replace: bool,
    pub append: bool,
}

/// Whether two routes are one entry.
fn same_entry(a: &Route, b: &Route) -> bool {
    (a.network, a.prefix, a.metric) == (b.network, b.prefix, b.metric)
}

/// Adds a route, and says what it has become. `ENODEV`, `ENETDOWN`, `ENETUNREACH` for a gateway that is no neighbour,
/// `EINVAL`, `EEXIST`, `ENOENT`.
pub fn add_route(stack: &mut Stack, mut route: Route, how: How) -> Result<Route> {
    if network(route.network, route.prefix) != route.network {
        return Err(Errno::EINVAL);
    }
    if let Some(gateway) = route.gateway {
        let oif = Some(route.link).filter(|l| *l != 0);
        route.link = near(stack, gateway, oif)?;
    }
    let l = link(stack, route.link)?;
    if !l.up {
        return Err(Errno::ENETDOWN);
    }
    if route.source.is_some_and(|ip| !stack.topology.is_local(ip)) {
        return Err(Errno::EINVAL);
    }
    let mut routes = stack.topology.routes().to_vec();
    let there = routes.iter().position(|r| same_entry(r, &route));
    match there {
        Some(_) if how.excl => return Err(Errno::EEXIST),
        Some(at) if how.replace => {
            routes.remove(at);
        }
        Some(_) if !how.append => return Err(Errno::EEXIST),
        None if !how.create => return Err(Errno::ENOENT),
        _ => {}
    }
    if routes.contains(&route) {
        return Err(Errno::EEXIST);
    }
    if routes.len() >= MAX_ROUTES {
        return Err(Errno::ENOBUFS);
    }
    routes.push(route);
    stack.set_routes(routes);
    Ok(route)
}

/// The link over which a gateway is a neighbour; `ENETUNREACH` (`EHOSTUNREACH` for IPv6).
fn near(stack: &Stack, gateway: IpAddr, oif: Option<u32>) -> Result<u32> {
    let none = match gateway {
        IpAddr::V4(_) => Errno::ENETUNREACH,
        IpAddr::V6(_) => Errno::EHOSTUNREACH,
    };
    if let (IpAddr::V6(ip), Some(index)) = (gateway, oif)
        && ip.is_unicast_link_local()
    {
        return Ok(index);
    }
    let fits = |r: &&Route| {
        r.gateway.is_none()
            && contains(r.network, r.prefix, gateway)
            && oif.is_none_or(|l| l == r.link)
    };
    let found = stack.topology.routes().iter().find(fits);
    found.map(|r| r.link).ok_or(none)
}

/// What a route to be deleted is known by: anything not named fits.
#[derive(Clone, Copy, Debug)]
pub struct WhichRoute {
    pub network: IpAddr,
    pub prefix: u8,
    pub gateway: Option<IpAddr>,
    pub link: Option<u32>,
    pub metric: Option<u32>,
    pub protocol: Option<u8>,
}

/// Takes a route away; the route, `ESRCH`.
pub fn remove_route(stack: &mut Stack, which: WhichRoute) -> Result<Route> {
    let fits = |r: &&Route| {
        (r.network, r.prefix) == (which.network, which.prefix)
            && which.gateway.is_none_or(|g| r.gateway == Some(g))
            && which.link.is_none_or(|l| l == r.link)
            && which.metric.is_none_or(|m| m == r.metric)
            && which.protocol.is_none_or(|p| p == r.protocol)
    };
    let found = stack.topology.routes().iter().find(fits).copied();
    let route = found.ok_or(Errno::ESRCH)?;
    remove_routes(stack, |r| *r == route);
    Ok(route)
}
