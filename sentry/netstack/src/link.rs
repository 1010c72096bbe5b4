//! Links, their addresses, and the routing table.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::wire::Mac;

/// An address of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// Bits of its network.
    pub prefix: u8,
    /// Broadcast address, for IPv4.
    pub broadcast: Option<Ipv4Addr>,
    /// Scope: 0 global, 253 link, 254 host.
    pub scope: u8,
}

/// Counters of a link (`/proc/net/dev`).
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "plain counters")]
pub struct Counters {
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub rx_dropped: u64,
    pub rx_errors: u64,
    pub multicast: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
    pub tx_dropped: u64,
}

/// What a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `lo`: whole networks are ours on it.
    Loopback,
    /// A device of the host.
    Ethernet,
    /// Swallows what is sent.
    Dummy,
    /// One end of a pair.
    Veth,
    /// Packets without a link header (`IFF_TUN`).
    Tun,
    /// Frames (`IFF_TAP`).
    Tap,
}

impl Kind {
    /// Whether its packets go in Ethernet frames.
    pub fn is_ethernet(self) -> bool {
        !matches!(self, Kind::Loopback | Kind::Tun)
    }
}

/// A link.
#[derive(Clone, Debug)]
pub struct Link {
    /// Number, above 0.
    pub index: u32,
    /// Name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Whether there is somebody at the other end.
    pub carrier: bool,
    /// Hardware address.
    pub mac: Mac,
    /// Largest packet.
    pub mtu: u32,
    /// Frames carry an offload header: checksums and segmentation are the device's.
    pub offload: bool,
    /// Takes and brings frames.
    pub up: bool,
    /// Flags that users may change and that change nothing here (`IFF_NOARP`,
    /// `IFF_MULTICAST`).
    pub soft: u32,
    /// Addresses.
    pub addresses: Vec<Address>,
    /// Counters.
    pub counters: Counters,
}

/// Number of `lo`.
pub const LOOPBACK: u32 = 1;

impl Link {
    /// `lo`, up, with its addresses.
    pub fn loopback() -> Link {
        Link {
            index: LOOPBACK,
            name: "lo".to_owned(),
            kind: Kind::Loopback,
            carrier: true,
            mac: [0; 6],
            mtu: 65_536,
            offload: false,
            up: true,
            soft: 0,
            addresses: Link::loopback_addresses().to_vec(),
            counters: Counters::default(),
        }
    }

    /// The addresses that `lo` gets when it is set up.
    pub fn loopback_addresses() -> [Address; 2] {
        let own = |ip, prefix| Address {
            ip,
            prefix,
            broadcast: None,
            scope: 254,
        };
        [
            own(IpAddr::V4(Ipv4Addr::LOCALHOST), 8),
            own(IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
        ]
    }

    /// Whether packets to `ip` are ours because of this link: to one of its addresses, or,
    /// on `lo`, to any of their networks; also while it is down.
    fn owns(&self, ip: IpAddr) -> bool {
        let whole = self.kind == Kind::Loopback;
        let mut own = self.addresses.iter();
        own.any(|a| a.ip == ip || whole && contains(a.ip, a.prefix, ip))
    }
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Network.
    pub network: IpAddr,
    /// Its bits.
    pub prefix: u8,
    /// Next hop, or none for neighbours.
    pub gateway: Option<IpAddr>,
    /// Link number.
    pub link: u32,
    /// Preferred source.
    pub source: Option<IpAddr>,
    /// Lower is better.
    pub metric: u32,
    /// `RTPROT_*`.
    pub protocol: u8,
    /// `RT_SCOPE_*`.
    pub scope: u8,
}

/// Whether `ip` lies in a network.
pub fn contains(network: IpAddr, prefix: u8, ip: IpAddr) -> bool {
    match (network, ip) {
        (IpAddr::V4(n), IpAddr::V4(ip)) => {
            let mask = u32::MAX
                .checked_shl(32u32.saturating_sub(prefix.into()))
                .unwrap_or(0);
            (n.to_bits() ^ ip.to_bits()) & mask == 0
        }
        (IpAddr::V6(n), IpAddr::V6(ip)) => {
            let mask = u128::MAX
                .checked_shl(128u32.saturating_sub(prefix.into()))
                .unwrap_or(0);
            (n.to_bits() ^ ip.to_bits()) & mask == 0
        }
        _ => false,
    }
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Link number.
    pub link: u32,
    /// Who gets the frame.
    pub hop: IpAddr,
    /// Source address of new packets.
    pub source: IpAddr,
    /// Largest packet.
    pub mtu: u16,
    /// The device cuts large frames.
    pub offload: bool,
}

/// Links and routes.
#[derive(Debug)]
pub struct Topology {
    /// Links.
    pub links: Vec<Link>,
    /// Routes, longest prefix first, then lowest metric.
    routes: Vec<Route>,
}

impl Default for Topology {
    /// With `lo` alone.
    fn default() -> Topology {
        Topology {
            links: vec![Link::loopback()],
            routes: Vec::new(),
        }
    }
}

impl Topology {
    /// A link by number.
    pub fn link(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|l| l.index == index)
    }

    /// A link by number.
    pub fn link_mut(&mut self, index: u32) -> Option<&mut Link> {
        self.links.iter_mut().find(|l| l.index == index)
    }

    /// Replaces the routing table.
    pub fn set_routes(&mut self, mut routes: Vec<Route>) {
        routes.sort_by_key(|r| (std::cmp::Reverse(r.prefix), r.metric));
        self.routes = routes;
    }

    /// The routing table.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Whether an address is one of ours.
    pub fn is_local(&self, ip: IpAddr) -> bool {
        self.links.iter().any(|l| l.owns(ip))
    }

    /// Whether an address is a broadcast address of ours.
    pub fn is_broadcast(&self, ip: IpAddr) -> bool {
        let IpAddr::V4(v4) = ip else { return false };
        v4.is_broadcast()
            || self
                .links
                .iter()
                .any(|l| l.addresses.iter().any(|a| is_net_broadcast(a, v4)))
    }

    /// The way to `dst`, from `source` if the sender is bound to one, over `bound` if it is
    /// bound to a link.
    pub fn way(&self, dst: IpAddr, bound: Option<u32>) -> Option<Way> {
        let link_only = match dst {
            IpAddr::V4(ip) => ip.is_broadcast(),
            IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_multicast(),
        };
        if let Some(index) = bound.filter(|_| link_only) {
            return self.way_over(self.link(index)?, dst, dst, None);
        }
        for r in &self.routes {
            if !contains(r.network, r.prefix, dst) || bound.is_some_and(|b| b != r.link) {
                continue;
            }
            let Some(link) = self.link(r.link).filter(|l| l.up) else {
                continue;
            };
            let hop = r.gateway.unwrap_or(dst);
            if let Some(way) = self.way_over(link, dst, hop, r.source) {
                return Some(way);
            }
        }
        if link_only || dst.is_multicast() {
            let fits = |l: &&Link| l.up && l.kind != Kind::Loopback && has_family(l, dst);
            let link = self.links.iter().find(fits)?;
            return self.way_over(link, dst, dst, None);
        }
        None
    }

    fn way_over(
        &self,
        link: &Link,
        dst: IpAddr,
        hop: IpAddr,
        source: Option<IpAddr>,
    ) -> Option<Way> {
        let source = source
            .or_else(|| best_source(link, hop))
            .or_else(|| best_source(link, dst))?;
        Some(Way {
            link: link.index,
            hop,
            source,
            mtu: u16::try_from(link.mtu).unwrap_or(u16::MAX),
            offload: link.offload,
        })
    }
}

fn has_family(link: &Link, ip: IpAddr) -> bool {
    link.addresses
        .iter()
        .any(|a| a.ip.is_ipv4() == ip.is_ipv4())
}

fn is_net_broadcast(a: &Address, ip: Ipv4Addr) -> bool {
    if a.broadcast == Some(ip) {
        return true;
    }
    let IpAddr::V4(own) = a.ip else { return false };
    let host = u32::MAX.checked_shr(a.prefix.into()).unwrap_or(0);
    a.prefix < 31
        && contains(a.ip, a.prefix, IpAddr::V4(ip))
        && ip.to_bits() & host == host
        && ip != own
}

/// The address of a link to send from: in the destination's network, of its scope.
fn best_source(link: &Link, dst: IpAddr) -> Option<IpAddr> {
    let near = matches!(dst, IpAddr::V6(ip) if ip.is_unicast_link_local()
        || ip.octets().starts_with(&[0xff, 2]));
    let own = link
        .addresses
        .iter()
        .filter(|a| a.ip.is_ipv4() == dst.is_ipv4());
    let fits = |a: &&Address| match a.ip {
        IpAddr::V6(ip) => ip.is_unicast_link_local() == near,
        IpAddr::V4(_) => true,
    };
    own.clone()
        .filter(fits)
        .find(|a| contains(a.ip, a.prefix, dst))
        .or_else(|| own.clone().find(fits))
        .or_else(|| own.clone().next())
        .map(|a| a.ip)
}

/// The group an IPv6 address listens to for solicitations (RFC 4291, 2.7.1).
pub fn solicited_node(ip: Ipv6Addr) -> Ipv6Addr {
    let low = ip.to_bits() & 0xff_ffff;
    Ipv6Addr::from_bits(0xff02_0000_0000_0000_0000_0001_ff00_0000 | low)
}

/// The hardware address of a group.
pub fn multicast_mac(ip: IpAddr) -> Mac {
    match ip {
        IpAddr::V4(ip) => {
            let [_, b, c, d] = ip.octets();
            [0x01, 0x00, 0x5e, b & 0x7f, c, d]
        }
        IpAddr::V6(ip) => {
            let [.., a, b, c, d] = ip.octets();
            [0x33, 0x33, a, b, c, d]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let net: IpAddr = "10.1.0.0".parse().expect("ip");
        assert!(contains(net, 16, "10.1.255.3".parse().expect("ip")));
        assert!(!contains(net, 16, "10.2.0.1".parse().expect("ip")));
        assert!(contains(net, 0, "8.8.8.8".parse().expect("ip")));
        let v6: IpAddr = "fd00::".parse().expect("ip");
        assert!(contains(v6, 64, "fd00::1".parse().expect("ip")));
        assert!(!contains(v6, 128, "fd00::1".parse().expect("ip")));
    }
}
