//! Reads the links, addresses and routes of the network namespace.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use super::netlink::{Netlink, attributes, int};
use super::{Address, Link, Network, Route};

const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
const RTM_GETROUTE: u16 = 26;
/// `ARPHRD_ETHER`.
const ETHERNET: u16 = 1;
const RT_TABLE_MAIN: u32 = 254;
const RTN_UNICAST: u8 = 1;
const IFF_UP: u32 = 1;

fn word(b: &[u8]) -> Option<u32> {
    b.first_chunk::<4>().copied().map(u32::from_ne_bytes)
}

fn ip(b: &[u8]) -> Option<IpAddr> {
    match b.len() {
        4 => b.first_chunk::<4>().copied().map(IpAddr::from),
        16 => b.first_chunk::<16>().copied().map(IpAddr::from),
        _ => None,
    }
}

/// All there is, without descriptors.
pub fn read(netlink: &Netlink) -> io::Result<Network> {
    let mut network = Network::default();
    for (_, body) in netlink.dump(RTM_GETLINK, &[0; 16])? {
        network.links.extend(link(&body));
    }
    for (_, body) in netlink.dump(RTM_GETADDR, &[0; 8])? {
        let index = int(&body, 4).and_then(|n| u32::try_from(n).ok());
        let found = network.links.iter_mut().find(|l| Some(l.index) == index);
        if let (Some(link), Some(address)) = (found, address(&body)) {
            link.addresses.push(address);
        }
    }
    for (_, body) in netlink.dump(RTM_GETROUTE, &[0; 12])? {
        let known = |r: &Route| network.links.iter().any(|l| l.index == r.link);
        if let Some(route) = route(&body).filter(known) {
            network.routes.push(route);
        }
    }
    Ok(network)
}

/// An Ethernet link from its `struct ifinfomsg`.
fn link(body: &[u8]) -> Option<Link> {
    let kind = u16::from_ne_bytes(body.get(2..4)?.try_into().ok()?);
    if kind != ETHERNET {
        return None;
    }
    let mut link = Link {
        index: u32::try_from(int(body, 4)?).ok()?,
        name: String::new(),
        mac: [0; 6],
        mtu: 1500,
        up: word(body.get(8..)?)? & IFF_UP != 0,
        addresses: Vec::new(),
        fresh: false,
    };
    for (kind, data) in attributes(body, 16) {
        match kind {
            1 => link.mac = data.first_chunk::<6>().copied()?,
            3 => {
                let name = data.split(|b| *b == 0).next().unwrap_or_default();
                link.name = String::from_utf8_lossy(name).into_owned();
            }
            4 => link.mtu = word(data)?,
            _ => {}
        }
    }
    Some(link)
}

fn address(body: &[u8]) -> Option<Address> {
    let mut found = None;
    let mut broadcast: Option<Ipv4Addr> = None;
    for (kind, data) in attributes(body, 8) {
        match kind {
            // IFA_LOCAL is the link's own where both are given.
            2 => found = ip(data),
            1 if found.is_none() => found = ip(data),
            4 => broadcast = data.first_chunk::<4>().copied().map(Ipv4Addr::from),
            _ => {}
        }
    }
    Some(Address {
        ip: found?,
        prefix: *body.get(1)?,
        broadcast,
        scope: *body.get(3)?,
    })
}

/// A unicast route of the main table.
fn route(body: &[u8]) -> Option<Route> {
    let family = *body.first()?;
    let mut table = u32::from(*body.get(4)?);
    let unspecified: IpAddr = if family == 2 {
        [0u8; 4].into()
    } else {
        [0u8; 16].into()
    };
    let mut route = Route {
        network: unspecified,
        prefix: *body.get(1)?,
        gateway: None,
        link: 0,
        source: None,
        metric: 0,
        protocol: *body.get(5)?,
        scope: *body.get(6)?,
    };
    for (kind, data) in attributes(body, 12) {
        match kind {
            1 => route.network = ip(data)?,
            4 => route.link = word(data)?,
            5 => route.gateway = ip(data),
            6 => route.metric = word(data)?,
            7 => route.source = ip(data),
            15 => table = word(data)?,
            _ => {}
        }
    }
    let ours = *body.get(7)? == RTN_UNICAST && table == RT_TABLE_MAIN && matches!(family, 2 | 10);
    ours.then_some(route)
}
