//! Links, addresses, routes, neighbours and rules as netlink shows them (`rtnetlink(7)`).

use std::net::IpAddr;

use netstack::{Address, Kind, Route};

use super::message::attribute;
use crate::net::view::{IFF_RUNNING, IFF_UP, LOOPBACK, LinkView, NeighbourView, SCOPE_HOST, View};
use crate::net::{AF_INET, AF_INET6};

const RT_TABLE_MAIN: u8 = 254;
const RT_TABLE_LOCAL: u8 = 255;
const RTN_UNICAST: u8 = 1;
const RTN_LOCAL: u8 = 2;
const RTN_BROADCAST: u8 = 3;
const RTPROT_KERNEL: u8 = 2;
const SCOPE_LINK: u8 = 253;

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn family(ip: IpAddr) -> u8 {
    let family = if ip.is_ipv4() { AF_INET } else { AF_INET6 };
    u8::try_from(family).unwrap_or(0)
}

/// Whether an object of an address is wanted by a dump of `wanted`.
pub(super) fn is_of(wanted: u16, ip: IpAddr) -> bool {
    wanted == 0 || wanted == u16::from(family(ip))
}

/// `struct ifinfomsg` with its attributes.
pub(super) fn link(l: &LinkView) -> Vec<u8> {
    let lo = l.kind == LOOPBACK;
    let mut body = vec![0, 0];
    body.extend_from_slice(&l.kind.to_ne_bytes());
    body.extend_from_slice(&l.index.to_ne_bytes());
    body.extend_from_slice(&l.flags.to_ne_bytes());
    body.extend_from_slice(&0u32.to_ne_bytes());
    let mut name = l.name.as_bytes().to_vec();
    name.push(0);
    let up = l.flags & 1 != 0;
    let runs = l.flags & IFF_RUNNING != 0;
    // IF_OPER_UNKNOWN for links that have no state, IF_OPER_UP, IF_OPER_LOWERLAYERDOWN,
    // IF_OPER_DOWN.
    let state = match l.device {
        Kind::Loopback => 0,
        Kind::Tun | Kind::Tap | Kind::Dummy if runs => 0,
        _ if runs => 6,
        Kind::Veth if up => 3,
        _ => 2,
    };
    attribute(&mut body, 3, &name);
    let queue: u32 = if l.device == Kind::Tun { 500 } else { 1000 };
    attribute(&mut body, 13, &queue.to_ne_bytes());
    attribute(&mut body, 16, &[state]);
    attribute(&mut body, 17, &[0]);
    attribute(&mut body, 4, &l.mtu.to_ne_bytes());
    attribute(&mut body, 27, &0u32.to_ne_bytes());
    attribute(&mut body, 30, &0u32.to_ne_bytes());
    attribute(&mut body, 31, &1u32.to_ne_bytes());
    attribute(&mut body, 32, &1u32.to_ne_bytes());
    attribute(&mut body, 33, &[u8::from(runs)]);
    attribute(&mut body, 6, b"noqueue\0");
    if l.device != Kind::Tun {
        attribute(&mut body, 1, &l.mac);
        let broadcast = if lo { [0; 6] } else { [0xff; 6] };
        attribute(&mut body, 2, &broadcast);
    }
    attribute(&mut body, 23, &stats(l));
    if let Some(kind) = kind(l.device) {
        let mut info = Vec::new();
        attribute(&mut info, 1, kind);
        attribute(&mut body, 18, &info);
    }
    body
}

/// What a link that was made by its kind is called (`IFLA_INFO_KIND`).
fn kind(device: Kind) -> Option<&'static [u8]> {
    match device {
        Kind::Loopback | Kind::Ethernet => None,
        Kind::Dummy => Some(b"dummy\0"),
        Kind::Veth => Some(b"veth\0"),
        Kind::Tun | Kind::Tap => Some(b"tun\0"),
    }
}

/// `struct rtnl_link_stats64`.
fn stats(l: &LinkView) -> Vec<u8> {
    let c = &l.counters;
    let mut words = [0u64; 24];
    let known = [
        c.rx_packets,
        c.tx_packets,
        c.rx_bytes,
        c.tx_bytes,
        c.rx_errors,
        0,
        c.rx_dropped,
        c.tx_dropped,
        c.multicast,
    ];
    for (to, from) in words.iter_mut().zip(known) {
        *to = from;
    }
    words.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

/// `struct ifaddrmsg` with its attributes.
pub(super) fn address(l: &LinkView, a: &Address) -> Vec<u8> {
    const PERMANENT: u8 = 0x80;
    let mut body = vec![family(a.ip), a.prefix, PERMANENT, a.scope];
    body.extend_from_slice(&l.index.to_ne_bytes());
    let ip = octets(a.ip);
    attribute(&mut body, 1, &ip);
    if a.ip.is_ipv4() {
        attribute(&mut body, 2, &ip);
        if let Some(broadcast) = a.broadcast {
            attribute(&mut body, 4, &broadcast.octets());
        }
        let mut name = l.name.as_bytes().to_vec();
        name.push(0);
        attribute(&mut body, 3, &name);
    }
    attribute(&mut body, 8, &u32::from(PERMANENT).to_ne_bytes());
    // For ever valid and preferred.
    let cache: Vec<u8> = [u32::MAX, u32::MAX, 0, 0]
        .iter()
        .flat_map(|w| w.to_ne_bytes())
        .collect();
    attribute(&mut body, 6, &cache);
    body
}

struct Row {
    dst: Option<(IpAddr, u8)>,
    table: u8,
    protocol: u8,
    scope: u8,
    kind: u8,
    link: u32,
    gateway: Option<IpAddr>,
    source: Option<IpAddr>,
    metric: u32,
    family: u8,
}

impl Row {
    fn body(&self) -> Vec<u8> {
        let prefix = self.dst.map_or(0, |(_, p)| p);
        let mut body = vec![
            self.family,
            prefix,
            0,
            0,
            self.table,
            self.protocol,
            self.scope,
            self.kind,
            0,
            0,
            0,
            0,
        ];
        attribute(&mut body, 15, &u32::from(self.table).to_ne_bytes());
        if let Some((ip, _)) = self.dst {
            attribute(&mut body, 1, &octets(ip));
        }
        if self.metric > 0 {
            attribute(&mut body, 6, &self.metric.to_ne_bytes());
        }
        if let Some(source) = self.source {
            attribute(&mut body, 7, &octets(source));
        }
        if let Some(gateway) = self.gateway {
            attribute(&mut body, 5, &octets(gateway));
        }
        attribute(&mut body, 4, &self.link.to_ne_bytes());
        body
    }
}

/// `struct rtmsg` of a route of the main table.
pub(super) fn route(r: &Route) -> Vec<u8> {
    Row {
        dst: (r.prefix > 0).then_some((r.network, r.prefix)),
        table: RT_TABLE_MAIN,
        protocol: r.protocol,
        scope: r.scope,
        kind: RTN_UNICAST,
        link: r.link,
        gateway: r.gateway,
        source: r.source,
        metric: r.metric,
        family: family(r.network),
    }
    .body()
}

/// The routes of the local table: addresses of our own and broadcasts.
pub(super) fn local_routes(view: &View, wanted: u16) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for (l, a) in view
        .links
        .iter()
        .flat_map(|l| l.addresses.iter().map(move |a| (l, a)))
    {
        if !is_of(wanted, a.ip) {
            continue;
        }
        let row = |dst, kind, scope| Row {
            dst: Some(dst),
            table: RT_TABLE_LOCAL,
            protocol: RTPROT_KERNEL,
            scope,
            kind,
            link: l.index.cast_unsigned(),
            gateway: None,
            source: a.ip.is_ipv4().then_some(a.ip),
            metric: 0,
            family: family(a.ip),
        };
        let bits = if a.ip.is_ipv4() { 32 } else { 128 };
        if l.kind == LOOPBACK && a.ip.is_ipv4() {
            let net = IpAddr::from([127, 0, 0, 0]);
            out.push(row((net, 8), RTN_LOCAL, SCOPE_HOST).body());
            let last = IpAddr::from([127, 255, 255, 255]);
            if l.flags & IFF_UP != 0 {
                out.push(row((last, 32), RTN_BROADCAST, SCOPE_LINK).body());
            }
        }
        out.push(
            row(
                (a.ip, bits),
                RTN_LOCAL,
                if bits == 32 { SCOPE_HOST } else { 0 },
            )
            .body(),
        );
        if let Some(broadcast) = a.broadcast {
            out.push(row((IpAddr::V4(broadcast), 32), RTN_BROADCAST, SCOPE_LINK).body());
        }
    }
    out
}

/// The answer to "which way to `dst`".
pub(super) fn way(dst: IpAddr, link: u32, hop: IpAddr, source: IpAddr, here: bool) -> Vec<u8> {
    Row {
        dst: Some((dst, if dst.is_ipv4() { 32 } else { 128 })),
        table: if here { RT_TABLE_LOCAL } else { RT_TABLE_MAIN },
        protocol: 0,
        scope: 0,
        kind: if here { RTN_LOCAL } else { RTN_UNICAST },
        link,
        gateway: (hop != dst && !here).then_some(hop),
        source: Some(source),
        metric: 0,
        family: family(dst),
    }
    .body()
}

/// `struct ndmsg`.
pub(super) fn neighbour(n: &NeighbourView) -> Vec<u8> {
    const INCOMPLETE: u16 = 1;
    const REACHABLE: u16 = 2;
    const PERMANENT: u16 = 0x80;
    let state = match n.mac {
        Some(_) if n.permanent => PERMANENT,
        Some(_) => REACHABLE,
        None => INCOMPLETE,
    };
    let mut body = vec![family(n.ip), 0, 0, 0];
    body.extend_from_slice(&n.link.to_ne_bytes());
    body.extend_from_slice(&state.to_ne_bytes());
    body.extend_from_slice(&[0, RTN_UNICAST]);
    attribute(&mut body, 1, &octets(n.ip));
    if let Some(mac) = n.mac {
        attribute(&mut body, 2, &mac);
    }
    attribute(&mut body, 4, &0u32.to_ne_bytes());
    body
}

/// The rules every namespace starts with.
pub(super) fn rules(wanted: u16) -> Vec<Vec<u8>> {
    const TO_TABLE: u8 = 1;
    let mut out = Vec::new();
    for (f, tables) in [
        (
            AF_INET,
            &[
                (0u32, RT_TABLE_LOCAL),
                (32_766, RT_TABLE_MAIN),
                (32_767, 253),
            ][..],
        ),
        (
            AF_INET6,
            &[(0, RT_TABLE_LOCAL), (32_766, RT_TABLE_MAIN)][..],
        ),
    ] {
        if wanted != 0 && wanted != f {
            continue;
        }
        for (priority, table) in tables {
            let mut body = vec![
                u8::try_from(f).unwrap_or(0),
                0,
                0,
                0,
                *table,
                0,
                0,
                TO_TABLE,
                0,
                0,
                0,
                0,
            ];
            attribute(&mut body, 15, &u32::from(*table).to_ne_bytes());
            attribute(&mut body, 14, &u32::MAX.to_ne_bytes());
            if *priority > 0 {
                attribute(&mut body, 6, &priority.to_ne_bytes());
            }
            attribute(&mut body, 21, &[RTPROT_KERNEL]);
            out.push(body);
        }
    }
    out
}
