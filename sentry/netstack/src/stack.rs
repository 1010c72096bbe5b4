//! The stack: frames in, and to whom they go.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

use crate::frag::Reassembly;
use crate::link::{Kind, LOOPBACK, Link, Route, Topology};
use crate::neigh::Neighbours;
use crate::output::Frame;
use crate::tcp::Tuple;
use crate::tcp::listen::Path;
use crate::tcp::table::Table;
use crate::wire::ip::{self, Packet};
use crate::wire::tcp::{parse, sum_is_good};
use crate::wire::{
    ETH_ARP, ETH_IPV4, ETH_IPV6, ETH_LEN, ICMP, ICMPV6, Mac, TCP, UDP, array_at, u16_at, vnet,
};
use crate::{Datagram, Event, Time};

/// Most events waiting for the owner; datagrams beyond are dropped.
const MAX_EVENTS: usize = 16_384;
/// Most packets we sent to ourselves and have not taken yet.
const MAX_LOOPED: usize = 1024;
/// A learned path MTU is forgotten after this time.
const PATH_MTU_LIFE: Time = 600_000_000;
const MAX_PATH_MTUS: usize = 4096;

/// What a stack is made with.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Random bytes that key sequence numbers, cookies and identifications.
    pub secret: [u8; 16],
}

/// Counters of the IP layer.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "plain counters")]
pub struct Totals {
    pub in_receives: u64,
    pub in_header_errors: u64,
    pub in_address_errors: u64,
    pub in_delivers: u64,
    pub no_routes: u64,
    pub checksum_errors: u64,
    pub icmp_in: u64,
    pub icmp_out: u64,
}

/// A network stack.
pub struct Stack {
    /// Links and routes.
    pub topology: Topology,
    /// Neighbours.
    pub neighbours: Neighbours,
    /// TCP.
    pub tcp: Table,
    /// Groups joined, by link, and by how many.
    pub groups: HashMap<(u32, IpAddr), usize>,
    /// Protocols whose packets raw sockets want.
    pub raw: HashSet<u8>,
    /// Answers `echo` itself (`icmp_echo_ignore_all` is 0).
    pub answers_echo: bool,
    /// Ports the owner leaves to others: packets to them are ignored.
    pub foreign_ports: Option<(u16, u16)>,
    /// Whether the owner wants to see what goes over `lo`.
    pub tap_loopback: bool,
    /// Counters.
    pub totals: Totals,
    tapped: Vec<Vec<u8>>,
    pub(crate) now: Time,
    pub(crate) frames: Vec<Frame>,
    pub(crate) events: Vec<Event>,
    pub(crate) path_mtus: HashMap<IpAddr, (u16, Time)>,
    pub(crate) icmp_tokens: (Time, u32),
    reassembly: Reassembly,
    looped: VecDeque<Vec<u8>>,
    ip_id: u16,
}

impl Stack {
    /// A stack with `lo` as its only link.
    pub fn new(config: Config) -> Stack {
        let [a, b, ..] = config.secret;
        Stack {
            topology: Topology::default(),
            neighbours: Neighbours::default(),
            tcp: Table::new(config.secret),
            groups: HashMap::new(),
            raw: HashSet::new(),
            answers_echo: true,
            foreign_ports: None,
            tap_loopback: false,
            totals: Totals::default(),
            tapped: Vec::new(),
            now: 0,
            frames: Vec::new(),
            events: Vec::new(),
            path_mtus: HashMap::new(),
            icmp_tokens: (0, 0),
            reassembly: Reassembly::default(),
            looped: VecDeque::new(),
            ip_id: u16::from_be_bytes([a, b]),
        }
    }

    /// Adds or replaces a link; counters of a known one are kept.
    pub fn set_link(&mut self, mut link: Link) {
        if let Some(old) = self.topology.link_mut(link.index) {
            link.counters = old.counters;
            *old = link;
        } else {
            self.topology.links.push(link);
        }
    }

    /// A link is gone.
    pub fn remove_link(&mut self, index: u32) {
        self.topology.links.retain(|l| l.index != index);
        self.neighbours.forget_link(index);
        self.groups.retain(|(l, _), _| *l != index);
    }

    /// Replaces the routing table.
    pub fn set_routes(&mut self, routes: Vec<Route>) {
        self.topology.set_routes(routes);
    }

    /// Whether packets to an address come back to us.
    pub fn is_for_us(&self, ip: IpAddr) -> bool {
        self.topology.is_local(ip)
    }

    /// The source address towards `dst`; `None` without a route.
    pub fn source_for(&self, dst: IpAddr, link: Option<u32>) -> Option<IpAddr> {
        self.way(dst, link).ok().map(|w| w.source)
    }

    /// The largest packet towards `dst`.
    pub fn mtu_for(&self, dst: IpAddr) -> Option<u16> {
        self.way(dst, None).ok().map(|w| w.mtu)
    }

    /// What a connection to `dst` may use.
    pub fn path_for(&self, dst: IpAddr) -> Option<Path> {
        let way = self.way(dst, None).ok()?;
        let header = if dst.is_ipv4() { 40 } else { 60 };
        Some(Path {
            mss: way.mtu.saturating_sub(header).max(88),
            gso: way.offload,
        })
    }

    /// Takes packets to a group from now on. The link is the one named, the one that has
    /// `own`, or the one a packet to the group would leave by; which one it is.
    pub fn join(&mut self, group: IpAddr, link: u32, own: Option<IpAddr>) -> Option<u32> {
        let has = |l: &&Link| l.addresses.iter().any(|a| Some(a.ip) == own);
        let named = match link {
            0 => own
                .and_then(|_| self.topology.links.iter().find(has))
                .map(|l| l.index),
            n => Some(n).filter(|n| self.topology.link(*n).is_some()),
        };
        let index = match named {
            None if link == 0 && own.is_none() => self.topology.way(group, None).map(|w| w.link),
            named => named,
        }?;
        *self.groups.entry((index, group)).or_default() += 1;
        Some(index)
    }

    /// Takes back one [`Stack::join`].
    pub fn leave(&mut self, group: IpAddr, link: u32) {
        if let Some(n) = self.groups.get_mut(&(link, group)) {
            *n = n.saturating_sub(1);
            if *n == 0 {
                self.groups.remove(&(link, group));
            }
        }
    }

    pub(crate) fn next_ip_id(&mut self) -> u16 {
        self.ip_id = self.ip_id.wrapping_add(1);
        self.ip_id
    }

    pub(crate) fn loop_back(&mut self, packet: Vec<u8>) {
        if self.looped.len() < MAX_LOOPED {
            self.looped.push_back(packet);
        }
    }

    /// Takes a frame from a link.
    pub fn input(&mut self, index: u32, frame: &[u8], now: Time) {
        self.now = self.now.max(now);
        let Some(link) = self.topology.link_mut(index) else {
            return;
        };
        if !link.up {
            link.counters.rx_dropped += 1;
            return;
        }
        let (how, frame) = match link.offload {
            true => match vnet::parse(frame) {
                Some(split) => split,
                None => return,
            },
            false => (vnet::Received::default(), frame),
        };
        link.counters.rx_packets += 1;
        link.counters.rx_bytes += frame.len() as u64;
        if link.kind == Kind::Tun {
            return self.on_ip(index, frame, how, false);
        }
        let own = link.mac;
        let (Some(to), Some(kind)) = (array_at::<6>(frame, 0), u16_at(frame, 12)) else {
            link.counters.rx_errors += 1;
            return;
        };
        let group = to.first().is_some_and(|b| b & 1 != 0);
        if !group && to != own {
            return;
        }
        if group {
            link.counters.multicast += 1;
        }
        let body = frame.get(ETH_LEN..).unwrap_or_default();
        match kind {
            ETH_ARP => self.on_arp(index, body),
            ETH_IPV4 | ETH_IPV6 => self.on_ip(index, body, how, group),
            _ => {}
        }
    }

    fn on_arp(&mut self, index: u32, b: &[u8]) {
        let ethernet = b.get(..6) == Some(&[0, 1, 8, 0, 6, 4]);
        let (Some(op), Some(mac), Some(from), Some(to)) = (
            u16_at(b, 6),
            array_at::<6>(b, 8),
            array_at::<4>(b, 14),
            array_at::<4>(b, 24),
        ) else {
            return;
        };
        let group = mac.first().is_some_and(|m| m & 1 != 0);
        let (from, to) = (IpAddr::from(from), IpAddr::from(to));
        if !ethernet || group || self.topology.is_local(from) {
            return;
        }
        let ours = self
            .topology
            .link(index)
            .is_some_and(|l| l.addresses.iter().any(|a| a.ip == to));
        if !from.is_unspecified() {
            self.heard(index, from, mac, ours);
        }
        if op == 1 && ours {
            self.send_arp(index, 2, from, Some(mac), Some(to));
        }
    }

    /// A neighbour said where it is: what waited for it goes out.
    pub(crate) fn heard(&mut self, index: u32, ip: IpAddr, mac: Mac, create: bool) {
        let waiting = self.neighbours.learn(index, ip, mac, create, self.now);
        for frame in waiting {
            self.frame_out(frame, mac);
        }
    }

    pub(crate) fn on_ip(&mut self, index: u32, b: &[u8], how: vnet::Received, group: bool) {
        self.totals.in_receives += 1;
        let Some(p) = ip::parse(b) else {
            self.totals.in_header_errors += 1;
            return;
        };
        let looped = index == LOOPBACK;
        let spoofed = !looped && (p.src.is_loopback() || p.dst.is_loopback());
        if spoofed || p.src.is_multicast() {
            self.totals.in_address_errors += 1;
            return;
        }
        let many = p.dst.is_multicast() || self.topology.is_broadcast(p.dst);
        if !many && (group || !self.is_for_us(p.dst)) {
            self.totals.in_address_errors += 1;
            return;
        }
        if p.dst.is_multicast() && !self.takes_group(index, p.dst) {
            return;
        }
        match p.fragment {
            None => self.on_packet(index, &p, how, many),
            Some(f) => {
                let Some((mut header, data)) = self.reassembly.take(&p, f, self.now) else {
                    return;
                };
                let len = header.len();
                header.extend_from_slice(&data);
                let whole = Packet {
                    fragment: None,
                    header: header.get(..len).unwrap_or_default(),
                    payload: header.get(len..).unwrap_or_default(),
                    ..p
                };
                self.on_packet(index, &whole, vnet::Received::default(), many);
            }
        }
    }

    /// Whether packets to a group are ours to take.
    fn takes_group(&self, index: u32, ip: IpAddr) -> bool {
        let always = match ip {
            IpAddr::V4(ip) => ip.octets() == [224, 0, 0, 1],
            IpAddr::V6(ip) => ip.octets().starts_with(&[0xff, 2]),
        };
        always || self.groups.contains_key(&(index, ip))
    }

    fn on_packet(&mut self, index: u32, p: &Packet<'_>, how: vnet::Received, many: bool) {
        self.totals.in_delivers += 1;
        if self.raw.contains(&p.proto) {
            let at = if p.dst.is_ipv4() { 0 } else { p.header.len() };
            let reply = match p.proto {
                ICMP => p.payload.first() == Some(&0),
                ICMPV6 => p.payload.first() == Some(&129),
                _ => false,
            };
            let id = u16_at(p.payload, 4).filter(|_| reply).unwrap_or(0);
            if let Some(d) = self.datagram(index, p, (0, id), at) {
                self.push(Event::Raw(d));
            }
        }
        let transport_summed = matches!(p.proto, TCP | UDP | ICMPV6);
        let no_sum = p.proto == UDP && p.dst.is_ipv4() && u16_at(p.payload, 6) == Some(0);
        if transport_summed
            && !how.checked
            && !no_sum
            && !sum_is_good(p.src, p.dst, p.proto, p.payload)
        {
            self.totals.checksum_errors += 1;
            return;
        }
        match p.proto {
            TCP if !many => self.on_tcp(p, how.gso_size),
            UDP => self.on_udp(index, p),
            ICMP if p.dst.is_ipv4() => self.on_icmp(index, p, many),
            ICMPV6 if p.dst.is_ipv6() => self.on_icmp_v6(index, p, many),
            TCP => {}
            proto => {
                if !self.raw.contains(&proto) && !many {
                    self.unreachable(p, if p.dst.is_ipv4() { (3, 2) } else { (4, 1) });
                }
            }
        }
    }

    /// A packet for the socket layer; `message`: bytes of its transport header.
    pub(crate) fn datagram(
        &self,
        index: u32,
        p: &Packet<'_>,
        ports: (u16, u16),
        payload: usize,
    ) -> Option<Datagram> {
        let mut packet = Vec::with_capacity(p.header.len() + p.payload.len());
        packet.extend_from_slice(p.header);
        packet.extend_from_slice(p.payload);
        Some(Datagram {
            link: index,
            src: SocketAddr::new(p.src, ports.0),
            dst: SocketAddr::new(p.dst, ports.1),
            proto: p.proto,
            ttl: p.ttl,
            tos: p.tos,
            packet,
            transport: p.header.len(),
            payload,
        })
    }

    pub(crate) fn push(&mut self, event: Event) {
        if self.events.len() < MAX_EVENTS {
            self.events.push(event);
        }
    }

    fn is_foreign(&self, port: u16) -> bool {
        self.foreign_ports
            .is_some_and(|(a, b)| (a..=b).contains(&port))
    }

    fn on_tcp(&mut self, p: &Packet<'_>, glued: u16) {
        let Some(seg) = parse(p.payload) else {
            return;
        };
        let tuple = Tuple {
            local: SocketAddr::new(p.dst, seg.dst),
            peer: SocketAddr::new(p.src, seg.src),
        };
        if self.tcp.on_segment(tuple, &seg, glued, self.now) || self.is_foreign(seg.dst) {
            return;
        }
        if let Some(path) = self.path_for(p.src) {
            self.tcp.on_stranger(tuple, &seg, path, self.now);
        }
    }

    fn on_udp(&mut self, index: u32, p: &Packet<'_>) {
        let (Some(src), Some(dst), Some(len)) = (
            u16_at(p.payload, 0),
            u16_at(p.payload, 2),
            u16_at(p.payload, 4),
        ) else {
            return;
        };
        let len = usize::from(len);
        let Some(payload) = p.payload.get(..len).filter(|_| len >= 8) else {
            return;
        };
        if self.is_foreign(dst) {
            return;
        }
        let p = Packet { payload, ..*p };
        let at = p.header.len() + 8;
        if let Some(d) = self.datagram(index, &p, (src, dst), at) {
            self.push(Event::Udp(d));
        }
    }

    /// The path to `dst` takes packets of `mtu` bytes only.
    pub(crate) fn learn_mtu(&mut self, dst: IpAddr, mtu: u16) {
        let least = if dst.is_ipv4() { 552 } else { 1280 };
        let mtu = mtu.max(least);
        if self.path_mtus.len() >= MAX_PATH_MTUS {
            let now = self.now;
            self.path_mtus.retain(|_, (_, until)| *until > now);
        }
        if self.path_mtus.len() < MAX_PATH_MTUS {
            let until = self.now.saturating_add(PATH_MTU_LIFE);
            self.path_mtus.insert(dst, (mtu, until));
        }
    }

    /// The earliest deadline.
    pub fn deadline(&self) -> Option<Time> {
        let both = [self.tcp.deadline(), self.neighbours.deadline()];
        both.into_iter().flatten().min()
    }

    /// Finishes a batch: acts on deadlines, lets connections send, takes what we sent to
    /// ourselves.
    pub fn flush(&mut self, now: Time) {
        self.now = self.now.max(now);
        self.tcp.on_time(self.now);
        let (questions, dead) = self.neighbours.on_time(self.now);
        for q in questions {
            self.ask(q);
        }
        for (_, ip) in dead {
            self.on_dead_neighbour(ip);
        }
        // What comes back may make more; a bound keeps two of our own from talking for ever.
        for _ in 0..MAX_LOOPED {
            self.tcp.flush(self.now);
            let segments = std::mem::take(&mut self.tcp.out);
            for seg in segments {
                self.send_tcp(seg);
            }
            let Some(packet) = self.looped.pop_front() else {
                break;
            };
            let how = vnet::Received {
                checked: true,
                gso_size: 0,
            };
            if let Some(lo) = self.topology.link_mut(LOOPBACK) {
                let len = packet.len() as u64;
                let c = &mut lo.counters;
                (c.rx_packets, c.tx_packets) = (c.rx_packets + 1, c.tx_packets + 1);
                (c.rx_bytes, c.tx_bytes) = (c.rx_bytes + len + 14, c.tx_bytes + len + 14);
            }
            self.on_ip(LOOPBACK, &packet, how, false);
            if self.tap_loopback && self.tapped.len() < MAX_LOOPED {
                self.tapped.push(packet);
            }
        }
        let events = std::mem::take(&mut self.tcp.events);
        self.events.extend(events);
    }

    fn on_dead_neighbour(&mut self, hop: IpAddr) {
        self.tcp.on_unreachable(hop);
        // Connections through a gateway that is not there fail alike.
        let behind: Vec<IpAddr> = self
            .tcp
            .all()
            .map(|c| c.tuple.peer.ip())
            .filter(|ip| *ip != hop && self.way(*ip, None).is_ok_and(|w| w.hop == hop))
            .collect();
        for ip in behind {
            self.tcp.on_unreachable(ip);
        }
    }

    /// Frames to send.
    pub fn frames(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.frames)
    }

    /// Packets that went over `lo`, if the owner wants to see them.
    pub fn tapped(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.tapped)
    }

    /// Takes a packet in over `lo`, where somebody has put it.
    pub fn take_from_loopback(&mut self, packet: &[u8]) {
        // What we send ourselves has been routed; of what others put there, addresses of our
        // own are not believed (RFC 1812, 5.3.7).
        let martian = ip::parse(packet).is_some_and(|p| {
            let v4 = p.dst.is_ipv4();
            v4 && (p.dst.is_loopback() || p.src.is_loopback() || self.is_for_us(p.src))
        });
        if martian {
            self.totals.in_address_errors += 1;
            return;
        }
        self.on_ip(LOOPBACK, packet, vnet::Received::default(), false);
    }

    /// What the owner should know.
    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}
