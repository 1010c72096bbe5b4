//! Requests that add or delete addresses, routes and neighbours (`rtnetlink(7)`).

use std::net::IpAddr;

use abi::Errno;
use netstack::{Address, Kind, Route};

use super::change::{Cx, family};
use super::message::{find, u32_at};
use super::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use crate::Result;
use crate::net::config::{self, How, WhichRoute};
use crate::net::{AF_INET, AF_INET6};

/// Bytes of `struct ifaddrmsg`, `struct rtmsg` and `struct ndmsg`.
const IFADDR: usize = 8;
const RTMSG: usize = 12;
const NDMSG: usize = 12;
const RT_TABLE_MAIN: u32 = 254;
const RTN_UNICAST: u8 = 1;
const SCOPE_NOWHERE: u8 = 255;
/// Metric of IPv6 routes that name none (`IP6_RT_PRIO_USER`).
const METRIC_V6: u32 = 1024;

fn byte(body: &[u8], at: usize) -> u8 {
    body.get(at).copied().unwrap_or(0)
}

/// An address of a family; `EINVAL` when it is short.
fn ip_of(family: u16, raw: &[u8]) -> Result<IpAddr> {
    let ip = match family {
        AF_INET => raw.first_chunk::<4>().map(|b| IpAddr::from(*b)),
        _ => raw.first_chunk::<16>().map(|b| IpAddr::from(*b)),
    };
    ip.ok_or(Errno::EINVAL)
}

fn ip_attr(cx: &Cx<'_>, from: usize, kind: u16) -> Result<Option<IpAddr>> {
    let raw = find(cx.body, from, kind);
    raw.map(|raw| ip_of(family(cx.body), raw)).transpose()
}

/// `EAFNOSUPPORT` for a family without addresses, `EINVAL` for a short request.
fn check(cx: &Cx<'_>, len: usize) -> Result<()> {
    if cx.body.len() < len {
        return Err(Errno::EINVAL);
    }
    match family(cx.body) {
        AF_INET | AF_INET6 => Ok(()),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

fn delete_address(cx: &Cx<'_>, index: u32, ip: IpAddr, prefix: Option<u8>) -> Result<()> {
    let there = cx.net.outside.look(|stack| {
        let link = stack.topology.link(index)?;
        link.addresses.iter().find(|a| a.ip == ip).copied()
    });
    cx.net.reconfigure(cx.kernel(), |stack| {
        config::remove_address(stack, index, ip, prefix)
    })?;
    if let Some(a) = there {
        cx.net.tell_address(cx.req, index, &a, true);
    }
    Ok(())
}

/// `RTM_NEWADDR`, `RTM_DELADDR`.
pub(super) fn address(cx: &Cx<'_>, gone: bool) -> Result<()> {
    const IFA_ADDRESS: u16 = 1;
    const IFA_LOCAL: u16 = 2;
    const IFA_BROADCAST: u16 = 4;
    check(cx, IFADDR)?;
    let local = ip_attr(cx, IFADDR, IFA_LOCAL)?;
    let peer = ip_attr(cx, IFADDR, IFA_ADDRESS)?;
    let v4 = family(cx.body) == AF_INET;
    let (prefix, scope, index) = (byte(cx.body, 1), byte(cx.body, 3), u32_at(cx.body, 4));
    // For IPv4 the local address has to be named.
    let ip = match (local, peer) {
        (Some(ip), _) => ip,
        (None, Some(ip)) if !v4 || gone => ip,
        _ => return Err(Errno::EINVAL),
    };
    if gone {
        let prefix = Some(prefix).filter(|_| peer.is_some());
        return delete_address(cx, index, ip, prefix);
    }
    let broadcast = match ip_attr(cx, IFADDR, IFA_BROADCAST)? {
        Some(IpAddr::V4(ip)) => Some(ip),
        _ => None,
    };
    let mut a = Address {
        ip,
        prefix,
        broadcast,
        scope,
    };
    if let IpAddr::V6(ip) = ip {
        a.scope = match ip {
            ip if ip.is_loopback() => 254,
            ip if ip.is_unicast_link_local() => 253,
            _ => 0,
        };
    }
    // Another address at the far end is not kept.
    if peer.is_some_and(|p| p != ip) {
        return Err(Errno::EOPNOTSUPP);
    }
    let replace = cx.has(NLM_F_REPLACE);
    let added = cx
        .net
        .reconfigure(cx.kernel(), |stack| config::add_address(stack, index, a));
    match added {
        Err(Errno::EEXIST) if replace => return Ok(()),
        other => other?,
    }
    cx.net.tell_address(cx.req, index, &a, false);
    Ok(())
}

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_TABLE: u16 = 15;
const RTPROT_UNSPEC: u8 = 0;

/// What every request about a route names.
struct RouteAsked {
    network: IpAddr,
    prefix: u8,
    gateway: Option<IpAddr>,
    link: Option<u32>,
    metric: Option<u32>,
    protocol: u8,
}

/// `RTM_NEWROUTE`, `RTM_DELROUTE`: unicast routes of the main table.
pub(super) fn route(cx: &Cx<'_>, gone: bool) -> Result<()> {
    check(cx, RTMSG)?;
    let v4 = family(cx.body) == AF_INET;
    let word = |kind| find(cx.body, RTMSG, kind).map(|raw| u32_at(raw, 0));
    let prefix = byte(cx.body, 1);
    if prefix > if v4 { 32 } else { 128 } {
        return Err(Errno::EINVAL);
    }
    let table = word(RTA_TABLE).unwrap_or(u32::from(byte(cx.body, 4)));
    let kind = byte(cx.body, 7);
    if !matches!(table, 0 | RT_TABLE_MAIN) || !matches!(kind, 0 | RTN_UNICAST) {
        return Err(if gone {
            Errno::ESRCH
        } else {
            Errno::EOPNOTSUPP
        });
    }
    let any = ip_of(family(cx.body), &[0; 16])?;
    let asked = RouteAsked {
        network: ip_attr(cx, RTMSG, RTA_DST)?.unwrap_or(any),
        prefix,
        gateway: ip_attr(cx, RTMSG, RTA_GATEWAY)?,
        link: word(RTA_OIF),
        metric: word(RTA_PRIORITY),
        protocol: byte(cx.body, 5),
    };
    match gone {
        true => delete_route(cx, &asked),
        false => new_route(cx, &asked, v4),
    }
}

fn delete_route(cx: &Cx<'_>, asked: &RouteAsked) -> Result<()> {
    let which = WhichRoute {
        network: asked.network,
        prefix: asked.prefix,
        gateway: asked.gateway,
        link: asked.link,
        metric: asked.metric.filter(|m| *m != 0),
        protocol: Some(asked.protocol).filter(|p| *p != RTPROT_UNSPEC),
    };
    let route = cx
        .net
        .reconfigure(cx.kernel(), |stack| config::remove_route(stack, which))?;
    cx.net.tell_route(cx.req, &route, true);
    Ok(())
}

fn new_route(cx: &Cx<'_>, asked: &RouteAsked, v4: bool) -> Result<()> {
    if asked.gateway.is_none() && asked.link.is_none() {
        return Err(Errno::ENODEV);
    }
    let metric = asked.metric.unwrap_or(0);
    let scope = byte(cx.body, 6);
    if v4 && scope == SCOPE_NOWHERE {
        return Err(Errno::EINVAL);
    }
    let route = Route {
        network: asked.network,
        prefix: asked.prefix,
        gateway: asked.gateway,
        link: asked.link.unwrap_or(0),
        source: ip_attr(cx, RTMSG, RTA_PREFSRC)?,
        metric: if v4 || metric != 0 { metric } else { METRIC_V6 },
        protocol: asked.protocol,
        scope: if v4 { scope } else { 0 },
    };
    let how = How {
        create: cx.has(NLM_F_CREATE),
        excl: cx.has(NLM_F_EXCL),
        replace: cx.has(NLM_F_REPLACE),
        append: cx.has(NLM_F_APPEND),
    };
    let added = cx
        .net
        .reconfigure(cx.kernel(), |stack| config::add_route(stack, route, how))?;
    cx.net.tell_route(cx.req, &added, false);
    Ok(())
}

/// `RTM_NEWNEIGH`, `RTM_DELNEIGH`.
pub(super) fn neighbour(cx: &Cx<'_>, gone: bool) -> Result<()> {
    const NDA_DST: u16 = 1;
    const NDA_LLADDR: u16 = 2;
    const NUD_PERMANENT: u8 = 0x80;
    check(cx, NDMSG)?;
    let ip = ip_attr(cx, NDMSG, NDA_DST)?.ok_or(Errno::EINVAL)?;
    let index = u32_at(cx.body, 4);
    let kind = cx
        .net
        .outside
        .look(|s| s.topology.link(index).map(|l| l.kind));
    let kind = kind.ok_or(if index == 0 {
        Errno::EINVAL
    } else {
        Errno::ENODEV
    })?;
    if gone {
        let was = cx
            .net
            .change(cx.kernel(), |stack, _| stack.neighbours.remove(index, ip));
        return was.then_some(()).ok_or(Errno::ENOENT);
    }
    let raw = find(cx.body, NDMSG, NDA_LLADDR);
    let mac = raw
        .map(|raw| raw.first_chunk::<6>().copied().ok_or(Errno::EINVAL))
        .transpose()?;
    // A neighbour is known by its address; what has none is not entered by hand.
    let (Some(mac), true) = (mac, kind != Kind::Tun) else {
        return Err(Errno::EINVAL);
    };
    let permanent = byte(cx.body, 8) & NUD_PERMANENT != 0;
    let known = cx
        .net
        .outside
        .look(|s| s.neighbours.all().any(|(l, i, _)| (l, i) == (index, ip)));
    if known && cx.has(NLM_F_EXCL) {
        return Err(Errno::EEXIST);
    }
    if !known && !cx.has(NLM_F_CREATE) {
        return Err(Errno::ENOENT);
    }
    cx.net.change(cx.kernel(), |stack, _| {
        stack.set_neighbour(index, ip, mac, permanent)
    });
    Ok(())
}
