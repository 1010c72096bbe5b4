//! ICMP (RFC 792, RFC 1122), ICMPv6 (RFC 4443) and neighbour discovery (RFC 4861).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::link::multicast_mac;
use crate::output::Manner;
use crate::stack::Stack;
use crate::tcp::{Error, Tuple};
use crate::wire::ip::Packet;
use crate::wire::sum::Sum;
use crate::wire::{ICMP, ICMPV6, TCP, array_at, put, u16_at, u32_at};
use crate::{Datagram, Event, IcmpError, Time};

/// Errors sent a second.
const RATE: u32 = 1000;
const SECOND: Time = 1_000_000;

/// The start of a packet of ours that an error quotes.
struct Quoted<'a> {
    src: IpAddr,
    dst: IpAddr,
    proto: u8,
    transport: &'a [u8],
}

fn quoted(b: &[u8]) -> Option<Quoted<'_>> {
    match b.first()? >> 4 {
        4 => {
            let len = usize::from(b.first()? & 0xf) * 4;
            if u16_at(b, 6)? & 0x1fff != 0 {
                return None;
            }
            Some(Quoted {
                src: IpAddr::V4(Ipv4Addr::from(array_at::<4>(b, 12)?)),
                dst: IpAddr::V4(Ipv4Addr::from(array_at::<4>(b, 16)?)),
                proto: *b.get(9)?,
                transport: b.get(len.max(20)..)?,
            })
        }
        6 => Some(Quoted {
            src: IpAddr::V6(Ipv6Addr::from(array_at::<16>(b, 8)?)),
            dst: IpAddr::V6(Ipv6Addr::from(array_at::<16>(b, 24)?)),
            proto: *b.get(6)?,
            transport: b.get(40..)?,
        }),
        _ => None,
    }
}

fn with_sum(mut message: Vec<u8>) -> Vec<u8> {
    put(&mut message, 2, &[0, 0]);
    let sum = Sum::default().with(&message).finish();
    put(&mut message, 2, &sum);
    message
}

impl Stack {
    pub(crate) fn on_icmp(&mut self, index: u32, p: &Packet<'_>, many: bool) {
        self.totals.icmp_in += 1;
        if !Sum::default().with(p.payload).is_good() {
            self.totals.checksum_errors += 1;
            return;
        }
        let (Some(&kind), Some(&code)) = (p.payload.first(), p.payload.get(1)) else {
            return;
        };
        match kind {
            8 if !many && self.answers_echo && code == 0 => self.echo(p, ICMP, 0),
            0 => self.ping_reply(index, p),
            3 | 11 | 12 => {
                let mtu = match (kind, code) {
                    (3, 4) => u32::from(u16_at(p.payload, 6).unwrap_or(0)),
                    _ => 0,
                };
                self.on_error(p, (kind, code), mtu, p.payload.get(8..).unwrap_or_default());
            }
            _ => {}
        }
    }

    fn echo(&mut self, p: &Packet<'_>, proto: u8, kind: u8) {
        let mut reply = p.payload.to_vec();
        put(&mut reply, 0, &[kind]);
        if proto == ICMP {
            reply = with_sum(reply);
        }
        self.totals.icmp_out += 1;
        let manner = Manner {
            tos: p.tos,
            ..Manner::default()
        };
        // Without a way back there is nobody to tell.
        let _ = self.send_raw(p.dst, p.src, proto, &reply, manner);
    }

    fn ping_reply(&mut self, index: u32, p: &Packet<'_>) {
        let id = u16_at(p.payload, 4).unwrap_or(0);
        let raw = self.raw.contains(&p.proto);
        if let Some(d) = self
            .datagram(index, p, (0, id), p.header.len())
            .filter(|_| !raw)
        {
            self.push(Event::Raw(d));
        }
    }

    /// An error about a packet of ours.
    fn on_error(&mut self, p: &Packet<'_>, kind: (u8, u8), mtu: u32, body: &[u8]) {
        let Some(q) = quoted(body) else {
            return;
        };
        if !self.is_for_us(q.src) {
            return;
        }
        let v4 = q.dst.is_ipv4();
        let too_big = if v4 { kind == (3, 4) } else { kind.0 == 2 };
        let ports = (u16_at(q.transport, 0), u16_at(q.transport, 2));
        let (Some(from), Some(to)) = ports else {
            return;
        };
        let (from, to) = if matches!(q.proto, ICMP | ICMPV6) {
            (u16_at(q.transport, 4).unwrap_or(0), 0)
        } else {
            (from, to)
        };
        let tuple = Tuple {
            local: SocketAddr::new(q.src, from),
            peer: SocketAddr::new(q.dst, to),
        };
        if too_big {
            let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
            if q.proto != TCP || self.tcp.is_taken(&tuple) {
                self.learn_mtu(q.dst, mtu);
            }
        }
        if q.proto == TCP {
            if too_big {
                let least = if v4 { 552 } else { 1280 };
                self.tcp
                    .on_mtu(tuple, u16::try_from(mtu).unwrap_or(u16::MAX).max(least));
            } else if let Some(seq) = u32_at(q.transport, 4) {
                self.tcp.on_error(tuple, seq, tcp_error(v4, kind));
            }
            return;
        }
        self.push(Event::Error(IcmpError {
            proto: q.proto,
            local: tuple.local,
            peer: tuple.peer,
            offender: p.src,
            kind,
            mtu,
            payload: q.transport.get(8..).unwrap_or_default().to_vec(),
        }));
    }

    /// Tells the sender of a packet that it cannot be delivered.
    pub(crate) fn unreachable(&mut self, p: &Packet<'_>, kind: (u8, u8)) {
        let mut whole = p.header.to_vec();
        whole.extend_from_slice(p.payload);
        self.send_error(p.src, p.dst, &whole, kind);
    }

    /// Tells the sender of a datagram that nobody listens at its port.
    pub fn port_unreachable(&mut self, d: &Datagram) {
        if d.dst.ip().is_multicast() || self.topology.is_broadcast(d.dst.ip()) {
            return;
        }
        let kind = if d.dst.is_ipv4() { (3, 3) } else { (1, 4) };
        self.send_error(d.src.ip(), d.dst.ip(), &d.packet, kind);
    }

    fn send_error(&mut self, to: IpAddr, from: IpAddr, packet: &[u8], kind: (u8, u8)) {
        if to.is_unspecified() || to.is_multicast() || self.topology.is_broadcast(to) {
            return;
        }
        let (since, used) = self.icmp_tokens;
        if self.now.saturating_sub(since) > SECOND {
            self.icmp_tokens = (self.now, 0);
        } else if used >= RATE {
            return;
        }
        self.icmp_tokens.1 += 1;
        let (proto, most) = if to.is_ipv4() {
            (ICMP, 548)
        } else {
            (ICMPV6, 1232)
        };
        let mut message = vec![kind.0, kind.1, 0, 0, 0, 0, 0, 0];
        message.extend_from_slice(packet.get(..packet.len().min(most)).unwrap_or_default());
        if proto == ICMP {
            message = with_sum(message);
        }
        self.totals.icmp_out += 1;
        // Control of the network (RFC 1812, 4.3.2.5).
        let tos = if to.is_ipv4() { 0xc0 } else { 0 };
        let manner = Manner {
            tos,
            ..Manner::default()
        };
        let _ = self.send_raw(from, to, proto, &message, manner);
    }

    pub(crate) fn on_icmp_v6(&mut self, index: u32, p: &Packet<'_>, many: bool) {
        self.totals.icmp_in += 1;
        let (Some(&kind), Some(&code)) = (p.payload.first(), p.payload.get(1)) else {
            return;
        };
        match kind {
            128 if !many && self.answers_echo => self.echo(p, ICMPV6, 129),
            129 => self.ping_reply(index, p),
            1..=4 => {
                let mtu = if kind == 2 {
                    u32_at(p.payload, 4).unwrap_or(0)
                } else {
                    0
                };
                self.on_error(p, (kind, code), mtu, p.payload.get(8..).unwrap_or_default());
            }
            // Only neighbours can send these.
            135 if p.ttl == 255 => self.on_solicitation(index, p),
            136 if p.ttl == 255 => self.on_advertisement(index, p),
            _ => {}
        }
    }

    fn on_solicitation(&mut self, index: u32, p: &Packet<'_>) {
        let Some(target) = array_at::<16>(p.payload, 8).map(Ipv6Addr::from) else {
            return;
        };
        let Some(link) = self.topology.link(index) else {
            return;
        };
        if !link.addresses.iter().any(|a| a.ip == IpAddr::V6(target)) {
            return;
        }
        let mac = link.mac;
        if let Some(from) = link_option(p.payload, 1)
            && !p.src.is_unspecified()
        {
            self.heard(index, p.src, from, true);
        }
        // Solicited, override; to all when the asker has no address yet.
        let asked = !p.src.is_unspecified();
        let to = if asked { p.src } else { IpAddr::V6(ALL_NODES) };
        let mut message = vec![136, 0, 0, 0, if asked { 0x60 } else { 0x20 }, 0, 0, 0];
        message.extend_from_slice(&target.octets());
        message.extend_from_slice(&[2, 1]);
        message.extend_from_slice(&mac);
        self.send_near(index, IpAddr::V6(target), to, &message);
    }

    fn on_advertisement(&mut self, index: u32, p: &Packet<'_>) {
        let Some(target) = array_at::<16>(p.payload, 8).map(Ipv6Addr::from) else {
            return;
        };
        let ip = IpAddr::V6(target);
        if self.topology.is_local(ip) {
            return;
        }
        if let Some(mac) = link_option(p.payload, 2) {
            self.heard(index, ip, mac, false);
        }
    }

    /// Asks who has an IPv6 address.
    pub(crate) fn solicit(&mut self, index: u32, target: Ipv6Addr, to: Ipv6Addr) {
        let Some(link) = self.topology.link(index) else {
            return;
        };
        let mac = link.mac;
        let near = target.is_unicast_link_local();
        let own = link.addresses.iter().filter_map(|a| match a.ip {
            IpAddr::V6(ip) => Some(ip),
            IpAddr::V4(_) => None,
        });
        let source = own
            .clone()
            .find(|ip| ip.is_unicast_link_local() == near)
            .or_else(|| own.clone().next());
        let Some(source) = source else {
            return;
        };
        let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
        message.extend_from_slice(&target.octets());
        message.extend_from_slice(&[1, 1]);
        message.extend_from_slice(&mac);
        self.send_near(index, IpAddr::V6(source), IpAddr::V6(to), &message);
    }

    fn send_near(&mut self, index: u32, src: IpAddr, dst: IpAddr, message: &[u8]) {
        let manner = Manner {
            ttl: 255,
            link: Some(index),
            ..Manner::default()
        };
        debug_assert!(!dst.is_multicast() || multicast_mac(dst)[0] & 1 == 1);
        // A link that is gone has no neighbours to tell.
        let _ = self.send_raw(src, dst, ICMPV6, message, manner);
    }
}

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A link-layer address option of a discovery message.
fn link_option(b: &[u8], kind: u8) -> Option<[u8; 6]> {
    let mut at = 24usize;
    for _ in 0..16 {
        let len = usize::from(*b.get(at.checked_add(1)?)?) * 8;
        if len == 0 {
            return None;
        }
        if *b.get(at)? == kind && len == 8 {
            return array_at::<6>(b, at + 2);
        }
        at = at.checked_add(len)?;
    }
    None
}

/// What an error means to a connection being opened.
fn tcp_error(v4: bool, kind: (u8, u8)) -> Error {
    match (v4, kind) {
        (true, (3, 3 | 2)) | (false, (1, 4)) => Error::Refused,
        (true, (3, 0)) | (false, (1, 0)) => Error::NetUnreachable,
        _ => Error::HostUnreachable,
    }
}
