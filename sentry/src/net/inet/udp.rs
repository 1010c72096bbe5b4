//! UDP and UDP-Lite sockets (`udp(7)`, `udplite(7)`): binding, receiving. [`super::udp_send`]
//! sends.

use std::any::Any;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::fs::PollEvents;

use super::ancillary::{self, Arrival, UDP_GRO};
use super::errors::ErrorQueue;
use super::membership::Groups;
use super::multicast::Via;
use super::option::{IPV6_V6ONLY, IpOptions, Owner, SOL_IP, SOL_IPV6, SOL_UDP, SOL_UDPLITE, What};
use super::ports::{ANY_LINK, Binding, Rules, Table};
use super::rows::SocketRow;
use super::udp_send::Corked;
use super::{canonical, check_bindable, check_port, destination, of_family, shown, source};
use crate::io::{IoDst, IoSrc};
use crate::net::filter::{Facts, Filter};
use crate::net::options::{SO_SELECT_ERR_QUEUE, SOL_SOCKET};
use crate::net::{
    AF_INET6, Common, MsgFlags, NetNs, OptCall, OptValue, READABLE, Received, SendArgs, Shut,
    SockAddr, SockType, Socket, WRITABLE,
};
use crate::sync::Mutex;
use crate::task::Task;
use crate::{Kernel, Result};

/// What a queued datagram is charged beyond its bytes.
const OVERHEAD: usize = 512;

/// A UDP socket.
pub struct UdpSocket {
    pub(super) me: Weak<UdpSocket>,
    pub(super) kernel: Weak<Kernel>,
    pub(super) common: Common,
    pub(super) ip: IpOptions,
    pub(super) state: Mutex<State>,
    rx: Mutex<Rx>,
    pub(super) errors: ErrorQueue,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) local: Option<SocketAddr>,
    pub(super) peer: Option<SocketAddr>,
    shut_read: bool,
    pub(super) shut_write: bool,
    /// Groups joined.
    groups: Groups,
    /// How multicast packets leave.
    pub(super) via: Via,
    /// What is held back (`UDP_CORK`, `MSG_MORE`).
    pub(super) corked: Option<Corked>,
    /// How many zero-copy sends were told of, and how many stamps.
    pub(super) copied: u32,
    pub(super) sent: u32,
}

struct Datagram {
    arrival: Arrival,
    data: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Rx {
    queue: VecDeque<Datagram>,
    used: usize,
    /// How many found no room.
    drops: u32,
}

impl Rx {
    /// The datagram that is next, and where in it: a peek may look further on.
    fn place(&self, common: &Common, flags: MsgFlags) -> (usize, usize) {
        if !flags.contains(MsgFlags::PEEK) {
            return (0, 0);
        }
        let mut left = common.peek_start(flags, usize::MAX);
        for (at, d) in self.queue.iter().enumerate() {
            if left < d.data.len() || left == 0 {
                return (at, left);
            }
            left -= d.data.len();
        }
        (self.queue.len(), 0)
    }
}

impl UdpSocket {
    /// A new socket.
    pub fn create(
        kernel: &Arc<Kernel>,
        net: &Arc<NetNs>,
        domain: u16,
        protocol: i32,
    ) -> Arc<UdpSocket> {
        Arc::new_cyclic(|me| UdpSocket {
            me: me.clone(),
            kernel: Arc::downgrade(kernel),
            common: Common::new(kernel, net, domain, SockType::Dgram, protocol),
            ip: IpOptions::default(),
            state: Mutex::default(),
            rx: Mutex::default(),
            errors: ErrorQueue::default(),
        })
    }

    /// The ports of its protocol.
    pub(super) fn table(&self) -> &Table<UdpSocket> {
        match self.is_lite() {
            true => &self.common.net.inet.udplite,
            false => &self.common.net.inet.udp,
        }
    }

    /// Whether its checksums may cover a part only (RFC 3828).
    pub(super) fn is_lite(&self) -> bool {
        self.common.protocol == SOL_UDPLITE
    }

    fn bind_to(&self, addr: SocketAddr) -> Result<SocketAddr> {
        let (reuseaddr, reuseport, link) = {
            let o = self.common.options.lock();
            (o.reuseaddr, o.reuseport, o.link)
        };
        let new = Binding {
            ip: addr.ip(),
            v6only: self.ip.value(SOL_IPV6, IPV6_V6ONLY) != 0,
            reuseaddr,
            reuseport,
            listening: false,
            peer: None,
            link,
            socket: self.me.clone(),
        };
        let port = self.table().bind(Rules::Udp, addr.port(), new)?;
        let bound = SocketAddr::new(addr.ip(), port);
        self.state.lock().local = Some(bound);
        Ok(bound)
    }

    /// The bound address, binding to an ephemeral port if there is none.
    pub(super) fn bound(&self) -> Result<SocketAddr> {
        let local = self.state.lock().local;
        match local {
            Some(l) => Ok(l),
            None => {
                let any = super::unspecified(self.common.domain);
                self.bind_to(SocketAddr::new(any, 0))
            }
        }
    }

    /// A datagram has come over a link.
    pub(in crate::net) fn arrived(net: &Arc<NetNs>, kernel: &Arc<Kernel>, d: netstack::Datagram) {
        let (to, from) = (d.dst, d.src);
        let link = i32::try_from(d.link).unwrap_or(0);
        let arrival = Arrival {
            ttl: d.ttl,
            tos: d.tos,
            ..Arrival::new(from, to, link)
        };
        let outside = &net.outside;
        let many = to.ip().is_multicast() || outside.look(|s| s.topology.is_broadcast(to.ip()));
        let table = &net.inet.udp;
        if many {
            for socket in table.find_all(to, from, link) {
                if !to.ip().is_multicast() || socket.takes(d.link, to.ip(), from.ip()) {
                    socket.deliver(arrival, d.data());
                }
            }
            return;
        }
        match table.find(to, from, link, false) {
            Some(socket) => socket.deliver(arrival, d.data()),
            None => net.change(kernel, |stack, _| stack.port_unreachable(&d)),
        }
    }

    /// A datagram from a relay, as if a socket at `from` had sent it.
    pub(in crate::net) fn local_answer(
        net: &NetNs,
        from: SocketAddr,
        to: SocketAddr,
        data: Vec<u8>,
    ) {
        let link = super::LO_INDEX;
        if let Some(socket) = net.inet.udp.find(to, from, link, false) {
            socket.deliver(Arrival::new(from, to, link), &data);
        }
    }

    /// A datagram of ours could not be delivered.
    pub(in crate::net) fn failed(net: &NetNs, e: &netstack::IcmpError) {
        const UDP: u8 = 17;
        if e.proto != UDP {
            super::raw::RawSocket::failed(&net.outside, e);
            return;
        }
        let Some(socket) = net.inet.udp.find(e.local, e.peer, ANY_LINK, false) else {
            return;
        };
        let connected = socket.state.lock().peer == Some(e.peer);
        let wanted = socket.wants_errors(e.peer.ip());
        if wanted {
            socket.errors.push_icmp(e);
        }
        if connected || wanted {
            let (errno, fatal) = super::errors::errno(e);
            if fatal || wanted {
                socket.common.set_error(errno);
            }
            socket.common.pollee.notify(PollEvents::ERR | READABLE);
        }
    }

    /// Whether `IP_RECVERR` is on for a family.
    pub(super) fn wants_errors(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(_) => self.ip.value(SOL_IP, 11) != 0,
            IpAddr::V6(_) => self.ip.value(SOL_IPV6, 25) != 0,
        }
    }

    /// Whether packets to a group are for this socket: it is in it and wants the source, or
    /// takes those of groups that others are in (`IP_MULTICAST_ALL`).
    pub(super) fn takes(&self, link: u32, group: IpAddr, source: IpAddr) -> bool {
        let joined = self.state.lock().groups.takes(link, group, source);
        joined.unwrap_or_else(|| match group {
            IpAddr::V4(_) => self.ip.value(SOL_IP, 49) != 0,
            IpAddr::V6(_) => self.ip.value(SOL_IPV6, 29) != 0,
        })
    }

    /// Takes a datagram, in its segments unless it wants them together.
    pub(super) fn deliver(&self, arrival: Arrival, data: &[u8]) {
        let size = usize::from(arrival.segment);
        if size == 0 || size >= data.len() || self.ip.value(SOL_UDP, UDP_GRO) != 0 {
            return self.deliver_one(arrival, data);
        }
        for segment in data.chunks(size) {
            self.deliver_one(
                Arrival {
                    segment: 0,
                    ..arrival
                },
                segment,
            );
        }
    }

    fn deliver_one(&self, mut arrival: Arrival, data: &[u8]) {
        let (room, filter, timed) = {
            let o = self.common.options.lock();
            let room = usize::try_from(o.rcvbuf).unwrap_or(0);
            (room, o.filter.clone(), ancillary::wants_time(&o))
        };
        let mut kept = data;
        if let Some(filter) = filter {
            match filtered(&filter, &arrival, data) {
                Some(n) => kept = data.get(..n).unwrap_or(data),
                None => return,
            }
        }
        if timed && let Some(kernel) = self.kernel.upgrade() {
            arrival.at = Some(kernel.clock.realtime());
        }
        let charge = kept.len() + OVERHEAD;
        {
            let mut rx = self.rx.lock();
            // A full receiver loses datagrams.
            if rx.used.saturating_add(charge) > room && rx.used > 0 {
                rx.drops = rx.drops.wrapping_add(1);
                return;
            }
            arrival.drops = rx.drops;
            rx.used += charge;
            rx.queue.push_back(Datagram {
                arrival,
                data: kept.to_vec(),
            });
        }
        self.common.pollee.notify(READABLE);
    }
}

/// How many bytes of a datagram's data a filter lets through; it sees the header too.
fn filtered(filter: &Filter, a: &Arrival, data: &[u8]) -> Option<usize> {
    const HEADER: usize = 8;
    let len = u16::try_from(data.len() + HEADER).unwrap_or(u16::MAX);
    let mut packet = Vec::with_capacity(data.len() + HEADER);
    packet.extend_from_slice(&a.from.port().to_be_bytes());
    packet.extend_from_slice(&a.to.port().to_be_bytes());
    packet.extend_from_slice(&len.to_be_bytes());
    packet.extend_from_slice(&[0; 2]);
    packet.extend_from_slice(data);
    let facts = Facts {
        protocol: if a.to.is_ipv4() { 0x0800 } else { 0x86dd },
        link: a.link,
        mark: a.mark,
    };
    match filter.run(&packet, facts) {
        0 => None,
        n => Some(n.saturating_sub(HEADER)),
    }
}

impl UdpSocket {
    /// What options may depend on.
    fn owner(&self) -> Owner {
        let s = self.state.lock();
        Owner {
            what: What::Udp,
            domain: self.common.domain,
            number: s.local.map_or(0, |a| a.port()),
            peer: s.peer.map(|a| a.ip()),
            open: s.peer.is_some(),
            listening: false,
            lite: self.is_lite(),
        }
    }

    /// Its row in the socket tables.
    pub(super) fn row(&self) -> SocketRow {
        const ESTABLISHED: u8 = 1;
        const CLOSE: u8 = 7;
        let (local, peer) = {
            let s = self.state.lock();
            (s.local, s.peer)
        };
        let state = if peer.is_some() { ESTABLISHED } else { CLOSE };
        let used = self.rx.lock().used;
        SocketRow::new(&self.common, local, peer, state, (used, 0))
    }
}

impl Socket for UdpSocket {
    fn common(&self) -> &Common {
        &self.common
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn bind(&self, t: &Arc<Task>, addr: &SockAddr) -> Result<()> {
        let addr = canonical(of_family(self.common.domain, addr)?);
        if !addr.ip().is_multicast() && !matches!(addr.ip(), IpAddr::V4(ip) if ip.is_broadcast()) {
            check_bindable(&self.common.net, addr.ip(), &self.ip)?;
        }
        check_port(&self.common.net, t, addr.port())?;
        if self.state.lock().local.is_some() {
            return Err(Errno::EINVAL);
        }
        self.bind_to(addr)?;
        // An address of IPv6 alone keeps it to that family.
        if addr.is_ipv6() && !addr.ip().is_unspecified() {
            self.ip.put(SOL_IPV6, IPV6_V6ONLY, 1);
        }
        Ok(())
    }

    fn connect(&self, _t: &Arc<Task>, addr: &SockAddr) -> Result<()> {
        let udp = self.table();
        if *addr == SockAddr::Unspec {
            let local = {
                let mut s = self.state.lock();
                s.peer = None;
                s.local
            };
            if let Some(local) = local {
                udp.change(local.port(), &self.me, |b| b.peer = None);
            }
            return Ok(());
        }
        let to = of_family(self.common.domain, addr)?;
        let target = destination(&self.common.net, to, self.link())?;
        let to = target.addr();
        let bound = self.bound()?;
        let ip = if bound.ip().is_unspecified() {
            source(&self.common.net, target)
        } else {
            bound.ip()
        };
        udp.change(bound.port(), &self.me, |b| {
            b.peer = Some(to);
            b.ip = ip;
        });
        let mut s = self.state.lock();
        s.local = Some(SocketAddr::new(ip, bound.port()));
        s.peer = Some(to);
        Ok(())
    }

    fn send(&self, src: &mut dyn IoSrc, args: SendArgs<'_>) -> Result<usize> {
        self.send_datagram(src, args)
    }

    fn recv(&self, dst: &mut dyn IoDst, flags: MsgFlags) -> Result<Received> {
        if flags.contains(MsgFlags::ERRQUEUE) {
            return self.errors.take(dst, self.common.domain);
        }
        self.common.check_error()?;
        if flags.contains(MsgFlags::OOB) {
            return Err(Errno::EAGAIN);
        }
        let mut rx = self.rx.lock();
        let (at, start) = rx.place(&self.common, flags);
        let Some(first) = rx.queue.get(at) else {
            drop(rx);
            return if self.state.lock().shut_read {
                Ok(Received::default())
            } else {
                Err(Errno::EAGAIN)
            };
        };
        let whole = first.data.len();
        let rest = first.data.get(start..).unwrap_or_default();
        let full = rest.len();
        let want = full.min(dst.remaining());
        let bytes = dst.put(rest.get(..want).unwrap_or_default())?;
        let mut got = Received {
            bytes,
            full,
            from: Some(shown(self.common.domain, first.arrival.from)),
            ..Received::default()
        };
        let arrival = first.arrival;
        self.common.peek_moved(flags, bytes);
        if bytes < full {
            got.flags |= MsgFlags::TRUNC;
        }
        if !flags.contains(MsgFlags::PEEK) {
            rx.queue.pop_front();
            rx.used = rx.used.saturating_sub(whole + OVERHEAD);
        }
        drop(rx);
        got.cmsgs = ancillary::tell(&self.common, &self.ip, &arrival);
        Ok(got)
    }

    fn shutdown(&self, how: Shut) -> Result<()> {
        let mut s = self.state.lock();
        s.shut_read |= how.read;
        s.shut_write |= how.write;
        let connected = s.peer.is_some();
        drop(s);
        self.common.pollee.notify(PollEvents::all());
        if connected {
            Ok(())
        } else {
            Err(Errno::ENOTCONN)
        }
    }

    fn local_addr(&self) -> Result<SockAddr> {
        let local = self.state.lock().local;
        Ok(super::shown_local(self.common.domain, local))
    }

    fn peer_addr(&self) -> Result<SockAddr> {
        let peer = self.state.lock().peer.ok_or(Errno::ENOTCONN)?;
        Ok(shown(self.common.domain, peer))
    }

    fn poll(&self) -> PollEvents {
        let mut ready = WRITABLE;
        if self.common.has_error() || !self.errors.is_empty() {
            ready |= PollEvents::ERR;
            if self.common.options.lock().is_on(SO_SELECT_ERR_QUEUE) {
                ready |= PollEvents::PRI;
            }
        }
        let (read, write) = {
            let s = self.state.lock();
            (s.shut_read, s.shut_write)
        };
        if read && write {
            ready |= PollEvents::HUP;
        }
        if read {
            ready |= READABLE | PollEvents::RDHUP;
        }
        if !self.rx.lock().queue.is_empty() {
            ready |= READABLE;
        }
        ready
    }

    fn queued(&self) -> Result<(usize, usize)> {
        let rx = self.rx.lock();
        Ok((rx.queue.front().map_or(0, |d| d.data.len()), 0))
    }

    fn get_option(&self, c: &OptCall<'_>) -> Option<Result<OptValue>> {
        if c.level == SOL_SOCKET {
            return None;
        }
        if c.level == SOL_IP || self.common.domain == AF_INET6 {
            let s = self.state.lock();
            if let Some(value) = s.via.get(c.level, c.name) {
                return Some(c.checked(value));
            }
            if let Some(value) = s.groups.get(c) {
                return Some(value);
            }
        }
        Some(self.ip.get(c, self.owner()))
    }

    fn set_option(&self, c: &OptCall<'_>) -> Result<()> {
        if self.common.domain == AF_INET6 {
            IpOptions::look(c)?;
        }
        if c.level == SOL_IP || self.common.domain == AF_INET6 {
            let mut via = self.state.lock().via;
            if via.set(c)? {
                self.state.lock().via = via;
                return Ok(());
            }
        }
        if self.state.lock().groups.set(self.common.domain, c)? {
            return Ok(());
        }
        self.ip.set(c, self.owner())?;
        self.uncork(c)
    }

    fn options_changed(&self) {
        let local = self.state.lock().local;
        if let Some(local) = local {
            let link = self.common.options.lock().link;
            self.table()
                .change(local.port(), &self.me, |b| b.link = link);
        }
    }

    fn drops(&self) -> u32 {
        self.rx.lock().drops
    }

    fn count_stamps_anew(&self) {
        self.state.lock().sent = 0;
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        let local = state.local;
        state.groups.clear(&self.common.net);
        if let Some(local) = local {
            self.table().release(local.port(), &self.me);
        }
    }
}
