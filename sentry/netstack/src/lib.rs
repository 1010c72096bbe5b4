//! A network stack as a pure state machine: frames, user calls and the time go in; frames,
//! events and the next deadline come out.
//!
//! Nothing here touches a descriptor, a thread or a clock. A [`Stack`] holds links,
//! addresses, routes and neighbours ([`link`], [`neigh`]) and all TCP connections
//! ([`tcp::table`]); [`wire`] reads and writes packets. Its owner feeds received frames to
//! [`Stack::input`], calls [`Stack::flush`] after a batch of anything, and takes frames and
//! events from [`Stack::frames`] and [`Stack::events`]. Datagrams are handed up as events:
//! which socket they are for is the socket layer's to know.
#![forbid(unsafe_code)]

mod frag;
mod icmp;
pub mod link;
pub mod neigh;
mod output;
mod stack;
pub mod tcp;
pub mod wire;

use std::net::{IpAddr, SocketAddr};

pub use link::{Address, Kind, Link, Route};
pub use output::{Frame, Manner, SendError};
pub use stack::{Config, Stack, Totals};

/// Microseconds on the owner's monotonic clock.
pub type Time = u64;

/// A datagram or raw packet that has arrived.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// Number of the link it came in on.
    pub link: u32,
    /// Sender; port 0 where the protocol has none.
    pub src: SocketAddr,
    /// Destination.
    pub dst: SocketAddr,
    /// Protocol.
    pub proto: u8,
    /// Hop limit it arrived with.
    pub ttl: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// The whole packet, from the IP header on.
    pub packet: Vec<u8>,
    /// Where the transport header starts in it.
    pub transport: usize,
    /// Where the payload starts in it.
    pub payload: usize,
}

impl Datagram {
    /// The payload.
    pub fn data(&self) -> &[u8] {
        self.packet.get(self.payload..).unwrap_or_default()
    }

    /// Transport header and payload.
    pub fn message(&self) -> &[u8] {
        self.packet.get(self.transport..).unwrap_or_default()
    }
}

/// An ICMP error about a packet of ours.
#[derive(Clone, Debug)]
pub struct IcmpError {
    /// Protocol of the packet.
    pub proto: u8,
    /// Its source, ours.
    pub local: SocketAddr,
    /// Its destination.
    pub peer: SocketAddr,
    /// Who says so.
    pub offender: IpAddr,
    /// ICMP type and code.
    pub kind: (u8, u8),
    /// MTU of a packet that was too big.
    pub mtu: u32,
    /// Its payload, as far as it was quoted.
    pub payload: Vec<u8>,
}

/// What the owner should know.
#[derive(Clone, Debug)]
pub enum Event {
    /// Something happened to a connection.
    Tcp {
        /// Its owner.
        owner: u64,
        /// What.
        signals: tcp::Signals,
    },
    /// A listener has a connection to be accepted.
    Accept {
        /// The listener's owner.
        owner: u64,
    },
    /// A UDP datagram.
    Udp(Datagram),
    /// An ICMP message that ping and raw sockets may want, or a packet of a protocol that
    /// raw sockets asked for.
    Raw(Datagram),
    /// An ICMP error for a datagram socket.
    Error(IcmpError),
}
