//! Packet sockets (`packet(7)`): frames of the links of a namespace, as they come and go.
//!
//! [`Taps`] are a namespace's packet sockets; while there are any, what goes over its
//! loopback goes through its stack, so that there are packets to show. [`filter`] has the
//! filters. Lock rank: the list is a leaf above a socket's queue, a leaf.

mod filter;
mod socket;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use abi::Errno;
use netstack::Kind;

pub use socket::PacketSocket;

use super::{AF_PACKET, Common, NetNs, SockType, Socket};
use crate::Result;
use crate::creds::Cap;
use crate::sync::RwLock;
use crate::task::Task;

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// Packet types (`sll_pkttype`).
const HOST: u8 = 0;
const BROADCAST: u8 = 1;
const MULTICAST: u8 = 2;
const OTHER: u8 = 3;
const OUTGOING: u8 = 4;

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// It has come.
    In,
    /// It is sent.
    Out,
}

/// Who sends a frame, and which protocol he calls it.
pub(crate) type Sender<'a> = (&'a PacketSocket, u16);

/// A frame as it is shown to sockets.
struct Seen<'a> {
    index: u32,
    hardware: u16,
    /// Bytes of the link header.
    header: usize,
    protocol: u16,
    kind: u8,
    source: [u8; 6],
    frame: &'a [u8],
}

/// The packet sockets of a namespace.
#[derive(Default)]
pub struct Taps {
    on: AtomicBool,
    sockets: RwLock<Vec<Weak<PacketSocket>>>,
}

impl Taps {
    /// Whether there is any.
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    fn add(&self, socket: &Arc<PacketSocket>) {
        let mut all = self.sockets.write();
        all.push(Arc::downgrade(socket));
        self.on.store(true, Ordering::Release);
    }

    /// A socket goes; whether it was the last.
    fn remove(&self, socket: *const PacketSocket) -> bool {
        let mut all = self.sockets.write();
        all.retain(|s| !std::ptr::eq(s.as_ptr(), socket));
        let none = all.is_empty();
        self.on.store(!none, Ordering::Release);
        none
    }

    fn show(&self, seen: &Seen<'_>, sender: Option<Sender<'_>>) {
        let all: Vec<_> = self
            .sockets
            .read()
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        let others = all
            .iter()
            .filter(|s| sender.is_none_or(|(own, _)| !std::ptr::eq(own, s.as_ref())));
        for socket in others {
            socket.take_in(seen);
        }
    }

    /// A packet goes over the loopback: out, and in again.
    pub(super) fn over_loopback(&self, packet: &[u8]) {
        let protocol: u16 = match packet.first().map(|b| b >> 4) {
            Some(6) => 0x86dd,
            _ => 0x0800,
        };
        let mut frame = vec![0; 12];
        frame.extend_from_slice(&protocol.to_be_bytes());
        frame.extend_from_slice(packet);
        let lo = (1, Kind::Loopback, [0; 6]);
        self.frame(lo, &frame, Direction::Out, None);
        self.frame(lo, &frame, Direction::In, None);
    }

    /// A frame of a link with hardware address `own`.
    pub(super) fn frame(
        &self,
        (index, kind, own): (u32, Kind, [u8; 6]),
        frame: &[u8],
        direction: Direction,
        sender: Option<Sender<'_>>,
    ) {
        let header = if kind == Kind::Tun { 0 } else { ETHERNET };
        let word = |at: usize| frame.get(at..).and_then(|b| b.first_chunk::<2>()).copied();
        let mac = |at: usize| frame.get(at..).and_then(|b| b.first_chunk::<6>()).copied();
        let protocol = match (header, frame.first().map(|b| b >> 4)) {
            (0, Some(6)) => 0x86dd,
            (0, _) => 0x0800,
            _ => word(12).map_or(0, u16::from_be_bytes),
        };
        let named = sender.map_or(0, |(_, named)| named);
        let protocol = match named {
            0 | socket::ALL => protocol,
            named => named,
        };
        let to = mac(0).unwrap_or_default();
        let [first, ..] = to;
        let of = match to {
            _ if direction == Direction::Out => OUTGOING,
            _ if header == 0 || to == own => HOST,
            // The loopback has no such address.
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] if kind != Kind::Loopback => BROADCAST,
            _ if first & 1 != 0 => MULTICAST,
            _ => OTHER,
        };
        let seen = Seen {
            index,
            hardware: super::view::hardware(kind),
            header,
            protocol,
            kind: of,
            source: if header == 0 {
                [0; 6]
            } else {
                mac(6).unwrap_or_default()
            },
            frame,
        };
        self.show(&seen, sender);
    }
}

/// A new socket. `EPERM` without `CAP_NET_RAW`, `ESOCKTNOSUPPORT`.
pub fn create(
    t: &Arc<Task>,
    net: &Arc<NetNs>,
    kind: SockType,
    protocol: i32,
) -> Result<Arc<dyn Socket>> {
    if !net.allows(&t.creds(), Cap::NetRaw) {
        return Err(Errno::EPERM);
    }
    if !matches!(kind, SockType::Raw | SockType::Dgram) {
        return Err(Errno::ESOCKTNOSUPPORT);
    }
    let [a, b, ..] = protocol.to_ne_bytes();
    let socket = PacketSocket::new(
        Common::new(&t.kernel, net, AF_PACKET, kind, 0),
        u16::from_be_bytes([a, b]),
    );
    net.taps.add(&socket);
    net.outside.tap_loopback(true);
    Ok(socket)
}
