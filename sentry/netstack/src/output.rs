//! Packets out: IP header, offload header, Ethernet header, neighbour.

use std::net::{IpAddr, SocketAddr};

use crate::link::{Kind, LOOPBACK, Way, multicast_mac, solicited_node};
use crate::neigh::{Lookup, Question};
use crate::stack::Stack;
use crate::tcp::Outgoing;
use crate::wire::ip::{Header, fix_v4_sum, header_len};
use crate::wire::sum::Sum;
use crate::wire::vnet::{GSO_TCPV4, GSO_TCPV6, LEN as VNET, Offload};
use crate::wire::{
    ETH_ARP, ETH_IPV4, ETH_IPV6, ETH_LEN, HEADROOM, ICMP, ICMPV6, Mac, TCP, UDP, len16, put,
};

/// A frame for a link: with the offload header where the link has one.
#[derive(Debug)]
pub struct Frame {
    /// Link number.
    pub link: u32,
    /// The owner made it ([`Stack::send_frame`]).
    pub own: bool,
    buf: Vec<u8>,
    start: usize,
    offload: bool,
}

impl Frame {
    /// Length of the offload header before the Ethernet header.
    pub fn prefix(&self) -> usize {
        if self.offload { VNET } else { 0 }
    }

    /// The bytes to send.
    pub fn bytes(&self) -> &[u8] {
        self.buf.get(self.start..).unwrap_or_default()
    }
}

/// Why a packet could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// `ENETUNREACH`.
    NoRoute,
    /// `EMSGSIZE`.
    TooBig,
}

/// How a packet is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Hops; 0 for the default.
    pub ttl: u8,
    /// Type of service.
    pub tos: u8,
    /// May not be fragmented, not even here.
    pub df: bool,
    /// Link it must leave by.
    pub link: Option<u32>,
}

impl Default for Manner {
    fn default() -> Manner {
        Manner {
            ttl: 64,
            tos: 0,
            df: false,
            link: None,
        }
    }
}

/// Where a transport's checksum lies in its header.
fn checksum_at(proto: u8) -> Option<usize> {
    match proto {
        TCP => Some(16),
        UDP => Some(6),
        ICMPV6 => Some(2),
        _ => None,
    }
}

impl Stack {
    /// Sends a UDP datagram. `src.ip()` unspecified: the route's.
    pub fn send_udp(
        &mut self,
        src: SocketAddr,
        dst: SocketAddr,
        data: &[u8],
        manner: Manner,
    ) -> Result<(), SendError> {
        let mut buf = Vec::with_capacity(HEADROOM + 8 + data.len());
        buf.resize(HEADROOM, 0);
        buf.extend_from_slice(&src.port().to_be_bytes());
        buf.extend_from_slice(&dst.port().to_be_bytes());
        buf.extend_from_slice(&len16(data.len().saturating_add(8)).to_be_bytes());
        buf.extend_from_slice(&[0, 0]);
        buf.extend_from_slice(data);
        self.send_packet(src.ip(), dst.ip(), UDP, buf, manner)
    }

    /// Sends the message of some protocol, which is complete but for a checksum the
    /// protocol is known to have.
    pub fn send_raw(
        &mut self,
        src: IpAddr,
        dst: IpAddr,
        proto: u8,
        message: &[u8],
        manner: Manner,
    ) -> Result<(), SendError> {
        let mut buf = Vec::with_capacity(HEADROOM + message.len());
        buf.resize(HEADROOM, 0);
        buf.extend_from_slice(message);
        self.send_packet(src, dst, proto, buf, manner)
    }

    /// Sends an IPv4 packet that brings its own header (`IP_HDRINCL`).
    pub fn send_with_header(&mut self, dst: IpAddr, mut packet: Vec<u8>) -> Result<(), SendError> {
        let way = self.way(dst, None)?;
        let total = len16(packet.len());
        put(&mut packet, 2, &total.to_be_bytes());
        if let (Some([0, 0, 0, 0]), IpAddr::V4(src)) =
            (crate::wire::array_at::<4>(&packet, 12), way.source)
        {
            put(&mut packet, 12, &src.octets());
        }
        fix_v4_sum(&mut packet);
        if packet.len() > usize::from(way.mtu) {
            return Err(SendError::TooBig);
        }
        if self.is_for_us(dst) {
            self.loop_back(packet);
            return Ok(());
        }
        let mut buf = vec![0; HEADROOM - 20];
        buf.extend_from_slice(&packet);
        self.link_out(&way, dst, buf, HEADROOM - 20, Offload::default());
        Ok(())
    }

    /// The way to a destination; addresses of our own are reached over the loopback.
    pub(crate) fn way(&self, dst: IpAddr, link: Option<u32>) -> Result<Way, SendError> {
        if self.is_for_us(dst) {
            let source = if dst.is_loopback() {
                loopback(dst)
            } else {
                dst
            };
            return Ok(Way {
                link: LOOPBACK,
                hop: dst,
                source,
                mtu: u16::MAX,
                offload: false,
            });
        }
        let mut way = self.topology.way(dst, link).ok_or(SendError::NoRoute)?;
        if let Some((mtu, _)) = self.path_mtus.get(&dst) {
            way.mtu = way.mtu.min(*mtu);
        }
        Ok(way)
    }

    fn send_packet(
        &mut self,
        src: IpAddr,
        dst: IpAddr,
        proto: u8,
        mut buf: Vec<u8>,
        manner: Manner,
    ) -> Result<(), SendError> {
        let way = self.way(dst, manner.link)?;
        let src = if src.is_unspecified() {
            way.source
        } else {
            src
        };
        let len = buf.len().saturating_sub(HEADROOM);
        let header = header_len(dst);
        let too_big = len.saturating_add(header) > usize::from(way.mtu);
        if too_big && manner.df {
            return Err(SendError::TooBig);
        }
        fill_checksum(&mut buf, src, dst, proto, false);
        let ip = Header {
            src,
            dst,
            proto,
            ttl: if manner.ttl == 0 { 64 } else { manner.ttl },
            tos: manner.tos,
            df: manner.df || (!too_big && proto != ICMP),
            id: self.next_ip_id(),
        };
        if too_big && !self.is_for_us(dst) {
            self.fragment(&way, ip, &buf);
            return Ok(());
        }
        self.packet_out(&way, ip, buf, Offload::default());
        Ok(())
    }

    /// Sends a TCP segment.
    pub(crate) fn send_tcp(&mut self, mut seg: Outgoing) {
        let (src, dst) = (seg.tuple.local.ip(), seg.tuple.peer.ip());
        let Ok(way) = self.way(dst, None) else {
            self.totals.no_routes += 1;
            return;
        };
        let partial = way.offload;
        fill_checksum(&mut seg.buf, src, dst, TCP, partial);
        let mut offload = Offload::default();
        if partial {
            let start = ETH_LEN + header_len(dst);
            offload.csum = Some((len16(start), 16));
            if seg.gso > 0 {
                let kind = if dst.is_ipv4() { GSO_TCPV4 } else { GSO_TCPV6 };
                offload.gso = (kind, seg.gso, len16(start + seg.header));
            }
        }
        let ip = Header {
            src,
            dst,
            proto: TCP,
            ttl: seg.ttl,
            tos: seg.tos,
            df: true,
            id: self.next_ip_id(),
        };
        self.packet_out(&way, ip, seg.buf, offload);
    }

    /// Cuts a packet whose transport part starts behind the headroom.
    fn fragment(&mut self, way: &Way, ip: Header, buf: &[u8]) {
        let v4 = ip.dst.is_ipv4();
        let header = if v4 { 20 } else { 48 };
        let step = usize::from(way.mtu).saturating_sub(header) / 8 * 8;
        let data = buf.get(HEADROOM..).unwrap_or_default();
        let id = u32::from(ip.id) | (u32::from(self.next_ip_id()) << 16);
        let mut at = 0;
        for piece in data.chunks(step.max(8)) {
            let more = at + piece.len() < data.len();
            let mut out = vec![0; HEADROOM];
            if v4 {
                out.extend_from_slice(piece);
                let mut out_ip = ip;
                out_ip.df = false;
                out_ip.emit(
                    out.get_mut(HEADROOM - 20..).unwrap_or_default(),
                    piece.len(),
                );
                let word = len16(at / 8) | if more { 0x2000 } else { 0 };
                let raw = out.get_mut(HEADROOM - 20..).unwrap_or_default();
                put(raw, 6, &word.to_be_bytes());
                fix_v4_sum(raw);
                self.link_out(way, ip.dst, out, HEADROOM - 20, Offload::default());
            } else {
                let word = len16(at) | u16::from(more);
                out.extend_from_slice(&[ip.proto, 0]);
                out.extend_from_slice(&word.to_be_bytes());
                out.extend_from_slice(&id.to_be_bytes());
                out.extend_from_slice(piece);
                let out_ip = Header { proto: 44, ..ip };
                self.packet_out(way, out_ip, out, Offload::default());
            }
            at += piece.len();
        }
    }

    /// Puts the IP header before the transport part and hands on.
    fn packet_out(&mut self, way: &Way, ip: Header, mut buf: Vec<u8>, offload: Offload) {
        let start = HEADROOM.saturating_sub(header_len(ip.dst));
        let len = buf.len().saturating_sub(HEADROOM);
        ip.emit(buf.get_mut(start..).unwrap_or_default(), len);
        if self.is_for_us(ip.dst) {
            buf.drain(..start);
            self.loop_back(buf);
            return;
        }
        let looped = ip.dst.is_multicast() && self.groups.contains_key(&(way.link, ip.dst));
        if looped {
            self.loop_back(buf.get(start..).unwrap_or_default().to_vec());
        }
        self.link_out(way, ip.dst, buf, start, offload);
    }

    /// Puts link headers before the packet at `start` and finds its receiver.
    fn link_out(
        &mut self,
        way: &Way,
        dst: IpAddr,
        mut buf: Vec<u8>,
        start: usize,
        offload: Offload,
    ) {
        let Some(link) = self.topology.link(way.link) else {
            return;
        };
        let (device, mac, has_vnet) = (link.kind, link.mac, link.offload);
        match device {
            Kind::Loopback => return,
            Kind::Tun => {
                let frame = Frame {
                    link: way.link,
                    buf,
                    start,
                    own: false,
                    offload: false,
                };
                return self.queue(frame);
            }
            _ => {}
        }
        let kind = if dst.is_ipv4() { ETH_IPV4 } else { ETH_IPV6 };
        let start = start.saturating_sub(ETH_LEN);
        put(&mut buf, start + 6, &mac);
        put(&mut buf, start + 12, &kind.to_be_bytes());
        let start = if has_vnet {
            put(&mut buf, start - VNET, &offload.emit());
            start - VNET
        } else {
            start
        };
        let frame = Frame {
            link: way.link,
            buf,
            start,
            own: false,
            offload: has_vnet,
        };
        if dst.is_multicast() {
            self.frame_out(frame, multicast_mac(dst));
        } else if self.topology.is_broadcast(dst) {
            self.frame_out(frame, [0xff; 6]);
        } else if device == Kind::Dummy {
            self.frame_out(frame, mac);
        } else {
            self.send_to_neighbour(way.link, way.hop, frame);
        }
    }

    fn send_to_neighbour(&mut self, link: u32, hop: IpAddr, frame: Frame) {
        let (found, ask) = self.neighbours.lookup(link, hop, frame, self.now);
        if let Some(q) = ask {
            self.ask(q);
        }
        if let Lookup::Known(mac, frame) = found {
            self.frame_out(frame, mac);
        }
    }

    /// Enters a neighbour by hand; `forever`: whatever is heard of it.
    pub fn set_neighbour(&mut self, index: u32, ip: IpAddr, mac: Mac, forever: bool) {
        let now = self.now;
        let waiting = self.neighbours.set((index, ip), mac, forever, now);
        for frame in waiting {
            self.frame_out(frame, mac);
        }
    }

    /// Fills in the receiver and queues the frame.
    pub(crate) fn frame_out(&mut self, mut frame: Frame, to: Mac) {
        let Some(link) = self.topology.link(frame.link) else {
            return;
        };
        let at = frame.start + if link.offload { VNET } else { 0 };
        put(&mut frame.buf, at, &to);
        self.queue(frame);
    }

    /// Counts a frame and queues it.
    fn queue(&mut self, frame: Frame) {
        let Some(link) = self.topology.link_mut(frame.link) else {
            return;
        };
        if !link.up || !link.carrier {
            link.counters.tx_dropped += 1;
            return;
        }
        let len = frame.bytes().len().saturating_sub(frame.prefix());
        link.counters.tx_packets += 1;
        link.counters.tx_bytes += len as u64;
        self.frames.push(frame);
    }

    /// Sends a frame of the owner's, link header and all.
    pub fn send_frame(&mut self, index: u32, frame: Vec<u8>) {
        let Some(link) = self.topology.link(index) else {
            return;
        };
        let offload = link.offload;
        let mut buf = vec![0; if offload { VNET } else { 0 }];
        buf.extend_from_slice(&frame);
        self.queue(Frame {
            link: index,
            buf,
            start: 0,
            own: true,
            offload,
        });
    }

    /// Asks who has an address.
    pub(crate) fn ask(&mut self, q: Question) {
        match q.ip {
            IpAddr::V4(_) => self.send_arp(q.link, 1, q.ip, q.to, None),
            IpAddr::V6(ip) => {
                let to = if q.to.is_some() {
                    ip
                } else {
                    solicited_node(ip)
                };
                self.solicit(q.link, ip, to);
            }
        }
    }

    /// Sends an ARP packet (1 question, 2 answer) about `ip` from `own` or the link's
    /// address.
    pub(crate) fn send_arp(
        &mut self,
        index: u32,
        operation: u16,
        ip: IpAddr,
        to: Option<Mac>,
        own: Option<IpAddr>,
    ) {
        let Some(link) = self.topology.link(index) else {
            return;
        };
        let own = own.or_else(|| {
            let near = link.addresses.iter().filter(|a| a.ip.is_ipv4());
            let in_net = near
                .clone()
                .find(|a| crate::link::contains(a.ip, a.prefix, ip));
            in_net.or_else(|| near.clone().next()).map(|a| a.ip)
        });
        let (Some(IpAddr::V4(own)), IpAddr::V4(ip)) = (own, ip) else {
            return;
        };
        let mac = link.mac;
        let offload = link.offload;
        let start = if offload { 0 } else { VNET };
        let mut buf = vec![0; VNET + ETH_LEN];
        put(&mut buf, VNET + 6, &mac);
        put(&mut buf, VNET + 12, &ETH_ARP.to_be_bytes());
        buf.extend_from_slice(&[0, 1, 8, 0, 6, 4]);
        buf.extend_from_slice(&operation.to_be_bytes());
        buf.extend_from_slice(&mac);
        buf.extend_from_slice(&own.octets());
        buf.extend_from_slice(&to.unwrap_or_default());
        buf.extend_from_slice(&ip.octets());
        let frame = Frame {
            link: index,
            buf,
            start,
            own: false,
            offload,
        };
        self.frame_out(frame, to.unwrap_or([0xff; 6]));
    }
}

/// The loopback address of a family.
fn loopback(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
    }
}

/// Computes the checksum of the transport part behind the headroom; `partial`: only the
/// pseudo header's, for a device that goes on.
fn fill_checksum(buf: &mut [u8], src: IpAddr, dst: IpAddr, proto: u8, partial: bool) {
    let Some(at) = checksum_at(proto) else {
        return;
    };
    let part = buf.get_mut(HEADROOM..).unwrap_or_default();
    let sum = Sum::default().pseudo(src, dst, proto, part.len());
    let sum = if partial {
        sum.partial()
    } else {
        put(part, at, &[0, 0]);
        match sum.with(part).finish() {
            [0, 0] if proto == UDP => [0xff, 0xff],
            sum => sum,
        }
    };
    put(part, at, &sum);
}
