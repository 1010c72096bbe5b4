//! What the guest sees of its network: links with the loopback first, addresses, routes and
//! neighbours, at one moment. Netlink, interface requests and `/proc/net` print it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netstack::link::Counters;
use netstack::{Address, Route};

use crate::Kernel;

/// Interface number of `lo`.
pub const LO_INDEX: i32 = 1;
/// MTU of `lo`.
pub const LO_MTU: i32 = 65_536;
/// `ARPHRD_LOOPBACK`.
pub const LOOPBACK: u16 = 772;
/// `ARPHRD_ETHER`.
pub const ETHERNET: u16 = 1;
const LO_FLAGS: u32 = 0x1_0049;
/// Up, broadcast, running, multicast, lower up.
const LINK_FLAGS: u32 = 0x1_1043;
/// Broadcast, multicast.
const DOWN_FLAGS: u32 = 0x1002;
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

fn loopback() -> LinkView {
    let address = |ip, prefix| Address {
        ip,
        prefix,
        broadcast: None,
        scope: SCOPE_HOST,
    };
    LinkView {
        index: LO_INDEX,
        name: "lo".to_owned(),
        kind: LOOPBACK,
        flags: LO_FLAGS,
        mtu: LO_MTU.cast_unsigned(),
        mac: [0; 6],
        addresses: vec![
            address(IpAddr::V4(Ipv4Addr::LOCALHOST), 8),
            address(IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
        ],
        counters: Counters::default(),
    }
}

fn signed(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(0)
}

impl View {
    /// As it is now.
    pub fn of(kernel: &Kernel) -> View {
        let mut view = View {
            links: vec![loopback()],
            routes: Vec::new(),
            neighbours: Vec::new(),
        };
        if !kernel.net.outside.is_attached() {
            return view;
        }
        kernel.net.outside.look(|stack| {
            for l in &stack.topology.links {
                view.links.push(LinkView {
                    index: signed(l.index),
                    name: l.name.clone(),
                    kind: ETHERNET,
                    flags: if l.up { LINK_FLAGS } else { DOWN_FLAGS },
                    mtu: l.mtu.into(),
                    mac: l.mac,
                    addresses: l.addresses.clone(),
                    counters: l.counters,
                });
            }
            view.routes = stack.topology.routes().to_vec();
            let all = stack.neighbours.all();
            view.neighbours
                .extend(all.map(|(link, ip, e)| NeighbourView {
                    link: signed(link),
                    ip,
                    mac: e.mac,
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
