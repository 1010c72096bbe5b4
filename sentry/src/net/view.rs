//! What the guest sees of its network: links with the loopback first, addresses, routes and
//! neighbours, at one moment. Netlink, interface requests and `/proc/net` print it.

use std::net::{IpAddr, Ipv4Addr};

use netstack::link::Counters;
use netstack::{Address, Kind, Link, Route};

use super::NetNs;

/// Interface number of `lo`.
pub const LO_INDEX: i32 = 1;
/// MTU of `lo`.
pub const LO_MTU: i32 = 65_536;
/// `ARPHRD_LOOPBACK`.
pub const LOOPBACK: u16 = 772;
/// `ARPHRD_ETHER`.
pub const ETHERNET: u16 = 1;
/// `ARPHRD_NONE`.
const NO_HARDWARE: u16 = 0xfffe;
/// `IFF_UP`.
pub const IFF_UP: u32 = 1;
const IFF_BROADCAST: u32 = 2;
const IFF_LOOPBACK: u32 = 8;
const IFF_POINTOPOINT: u32 = 0x10;
/// `IFF_RUNNING`.
pub const IFF_RUNNING: u32 = 0x40;
const IFF_NOARP: u32 = 0x80;
const IFF_MULTICAST: u32 = 0x1000;
/// `IFF_DEBUG`, `IFF_NOTRAILERS`, `IFF_NOARP`, `IFF_MULTICAST`, `IFF_PORTSEL`,
/// `IFF_AUTOMEDIA`, `IFF_DYNAMIC`: what users may set besides.
pub const SOFT_FLAGS: u32 = 0xf0a4;
const IFF_LOWER_UP: u32 = 0x1_0000;
/// `RT_SCOPE_HOST`.
pub const SCOPE_HOST: u8 = 254;

/// A link.
#[derive(Clone, Debug)]
pub struct LinkView {
    /// Number.
    pub index: i32,
    /// Name.
    pub name: String,
    /// `ARPHRD_*`.
    pub kind: u16,
    /// What it is.
    pub device: Kind,
    /// `IFF_*`.
    pub flags: u32,
    /// MTU.
    pub mtu: u32,
    /// Hardware address.
    pub mac: [u8; 6],
    /// Addresses.
    pub addresses: Vec<Address>,
    /// Counters.
    pub counters: Counters,
}

impl LinkView {
    /// Of a link.
    pub fn of(l: &Link) -> LinkView {
        LinkView {
            index: signed(l.index),
            name: l.name.clone(),
            kind: hardware(l.kind),
            device: l.kind,
            flags: flags(l),
            mtu: l.mtu,
            mac: l.mac,
            addresses: l.addresses.clone(),
            counters: l.counters,
        }
    }

    /// Its first IPv4 address.
    pub fn v4(&self) -> Option<(Ipv4Addr, &Address)> {
        self.addresses.iter().find_map(|a| match a.ip {
            IpAddr::V4(ip) => Some((ip, a)),
            IpAddr::V6(_) => None,
        })
    }
}

/// A neighbour.
#[derive(Clone, Debug)]
pub struct NeighbourView {
    /// Link number.
    pub link: i32,
    /// Its address.
    pub ip: IpAddr,
    /// Its hardware address, if it has answered.
    pub mac: Option<[u8; 6]>,
    /// Entered by hand.
    pub permanent: bool,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct View {
    /// Links.
    pub links: Vec<LinkView>,
    /// Routes of the main table.
    pub routes: Vec<Route>,
    /// Neighbours.
    pub neighbours: Vec<NeighbourView>,
}

/// `ARPHRD_*` of a link.
pub fn hardware(kind: Kind) -> u16 {
    match kind {
        Kind::Loopback => LOOPBACK,
        Kind::Tun => NO_HARDWARE,
        _ => ETHERNET,
    }
}

/// `IFF_*` of a link.
pub fn flags(l: &Link) -> u32 {
    let base = match l.kind {
        Kind::Loopback => IFF_LOOPBACK,
        Kind::Tun => IFF_POINTOPOINT,
        _ => IFF_BROADCAST,
    };
    let up = if l.up { IFF_UP } else { 0 };
    let runs = if l.up && l.carrier {
        IFF_RUNNING | IFF_LOWER_UP
    } else {
        0
    };
    base | up | runs | l.soft
}

/// The flags a new link has of those that users may change.
pub fn soft_flags(kind: Kind) -> u32 {
    match kind {
        Kind::Loopback => 0,
        Kind::Tun => IFF_NOARP | IFF_MULTICAST,
        Kind::Dummy => IFF_NOARP,
        _ => IFF_MULTICAST,
    }
}

fn signed(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(0)
}

impl View {
    /// As it is now.
    pub fn of(net: &NetNs) -> View {
        let mut view = View {
            links: Vec::new(),
            routes: Vec::new(),
            neighbours: Vec::new(),
        };
        net.outside.look(|stack| {
            view.links = stack.topology.links.iter().map(LinkView::of).collect();
            view.routes = stack.topology.routes().to_vec();
            let all = stack.neighbours.all();
            view.neighbours
                .extend(all.map(|(link, ip, e)| NeighbourView {
                    link: signed(link),
                    ip,
                    mac: e.mac,
                    permanent: e.is_permanent(),
                }));
        });
        view
    }

    /// A link by number.
    pub fn by_index(&self, index: i32) -> Option<&LinkView> {
        self.links.iter().find(|l| l.index == index)
    }

    /// A link by name.
    pub fn by_name(&self, name: &[u8]) -> Option<&LinkView> {
        self.links.iter().find(|l| l.name.as_bytes() == name)
    }
}
