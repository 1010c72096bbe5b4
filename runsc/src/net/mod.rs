//! The host's side of the guest's network.
//!
//! A [`helper`] stays in the container's network namespace when the Sentry has locked
//! itself in. When the container starts it looks which links there are ([`routes`] reads
//! them by [`netlink`]), opens a packet socket on each, keeps the host's kernel from
//! answering in the guest's place ([`quiet`]), and hands all that in; later it does the same
//! for links that come and go. [`client`] is the Sentry's end.

pub mod client;
pub mod helper;
mod netlink;
mod quiet;
mod routes;

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

/// Ports that stay the host kernel's own in the network namespace: Docker's resolver asks
/// other resolvers from there.
pub const HOST_PORTS: (u16, u16) = sentry::net::outside::HOST_PORTS;

/// What the Sentry asks of the helper.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// Look, hand in what there is, and go on telling of changes.
    Start,
}

/// The network as the helper sees it. Descriptors ride along: one for each fresh link, in
/// order, then one for the resolver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Ethernet links.
    pub links: Vec<Link>,
    /// Routes over them.
    pub routes: Vec<Route>,
    /// Whether a resolver's socket comes with this.
    pub resolver: bool,
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Number.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Hardware address.
    pub mac: [u8; 6],
    /// Largest packet.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
    /// Addresses.
    pub addresses: Vec<Address>,
    /// Whether its descriptor comes with this.
    pub fresh: bool,
}

/// An address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// Bits of its network.
    pub prefix: u8,
    /// Broadcast address.
    pub broadcast: Option<Ipv4Addr>,
    /// Scope.
    pub scope: u8,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Network.
    pub network: IpAddr,
    /// Its bits.
    pub prefix: u8,
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// Link number.
    pub link: u32,
    /// Preferred source.
    pub source: Option<IpAddr>,
    /// Metric.
    pub metric: u32,
    /// `RTPROT_*`.
    pub protocol: u8,
    /// `RT_SCOPE_*`.
    pub scope: u8,
}
