//! UDP sockets (`udp(7)`): to sockets of the same sandbox in memory, to others over our
//! stack.

use std::any::Any;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::fs::PollEvents;

use super::errors::ErrorQueue;
use super::membership::{self, Membership};
use super::multicast::Via;
use super::option::{IP_PKTINFO, IPV6_RECVPKTINFO, IPV6_V6ONLY, IpOptions, SOL_IP, SOL_IPV6};
use super::ports::{Binding, Rules};
use super::rows::SocketRow;
use super::{Target, canonical, check_bindable, check_port, destination, of_family, shown, source};
use crate::io::{IoDst, IoSrc};
use crate::net::{
    AF_INET6, Common, MsgFlags, NetNs, OptValue, READABLE, Received, SendArgs, Shut, SockAddr,
    SockType, Socket, WRITABLE,
};
use netstack::{Manner, SendError};

use crate::net::outside::dns::RESOLVER;
use crate::sync::Mutex;
use crate::task::Task;
use crate::{Kernel, Result};

/// Most bytes of a datagram over IPv4; IPv6 takes 20 more.
const MAX_V4: usize = 65_507;
/// What a queued datagram is charged beyond its bytes.
const OVERHEAD: usize = 512;

/// The link of multicast inside the sandbox.
const LO: i32 = super::LO_INDEX;

/// A socket leaves a group on a link.
fn leave(net: &NetNs, link: u32, group: IpAddr) {
    if link == LO as u32 {
        return net.inet.lo_groups.leave(group);
    }
    net.outside.look(|stack| stack.leave(group, link));
}

/// A UDP socket.
pub struct UdpSocket {
    me: Weak<UdpSocket>,
    common: Common,
    ip: IpOptions,
    state: Mutex<State>,
    rx: Mutex<Rx>,
    errors: ErrorQueue,
}

#[derive(Default)]
struct State {
    local: Option<SocketAddr>,
    peer: Option<SocketAddr>,
    shut_read: bool,
    shut_write: bool,
    /// Groups joined: link and group.
    groups: Vec<(u32, IpAddr)>,
    /// How multicast packets leave.
    via: Via,
}

struct Datagram {
    from: SocketAddr,
    to: IpAddr,
    link: i32,
    ttl: u8,
    tos: u8,
    data: Vec<u8>,
}

#[derive(Default)]
struct Rx {
    queue: VecDeque<Datagram>,
    used: usize,
}

impl UdpSocket {
    /// A new socket.
    pub fn create(kernel: &Arc<Kernel>, net: &Arc<NetNs>, domain: u16) -> Arc<UdpSocket> {
        Arc::new_cyclic(|me| UdpSocket {
            me: me.clone(),
            common: Common::new(kernel, net, domain, SockType::Dgram, 17),
            ip: IpOptions::default(),
            state: Mutex::default(),
            rx: Mutex::default(),
            errors: ErrorQueue::default(),
        })
    }

    fn bind_to(&self, addr: SocketAddr) -> Result<SocketAddr> {
        let (reuseaddr, reuseport) = {
            let o = self.common.options.lock();
            (o.reuseaddr, o.reuseport)
        };
        let new = Binding {
            ip: addr.ip(),
            v6only: self.ip.value(SOL_IPV6, IPV6_V6ONLY) != 0,
            reuseaddr,
            reuseport,
            listening: false,
            peer: None,
            socket: self.me.clone(),
        };
        let port = self
            .common
            .net
            .inet
            .udp
            .bind(Rules::Udp, addr.port(), new)?;
        let bound = SocketAddr::new(addr.ip(), port);
        self.state.lock().local = Some(bound);
        Ok(bound)
    }

    /// The bound address, binding to an ephemeral port if there is none.
    fn bound(&self) -> Result<SocketAddr> {
        let local = self.state.lock().local;
        match local {
            Some(l) => Ok(l),
            None => {
                let any = super::unspecified(self.common.domain);
                self.bind_to(SocketAddr::new(any, 0))
            }
        }
    }

    /// Where a message goes.
    fn target(&self, args: &SendArgs<'_>) -> Result<Target> {
        match args.to {
            Some(SockAddr::Unspec) | None => {
                let peer = self.state.lock().peer;
                destination(&self.common.net, peer.ok_or(Errno::EDESTADDRREQ)?)
            }
            // An IPv6 socket takes an IPv4 address too.
            Some(SockAddr::Inet(to @ SocketAddr::V4(_))) => self.reachable(*to),
            Some(to) => self.reachable(of_family(self.common.domain, to)?),
        }
    }

    fn reachable(&self, to: SocketAddr) -> Result<Target> {
        if to.port() == 0 {
            return Err(Errno::EINVAL);
        }
        let outside = &self.common.net.outside;
        let ip = to.ip().to_canonical();
        let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast())
            || (outside.is_attached() && outside.look(|s| s.topology.is_broadcast(ip)));
        if broadcast && !self.common.options.lock().broadcast {
            return Err(Errno::EACCES);
        }
        if ip.is_multicast() {
            return self.multicast(canonical(to));
        }
        destination(&self.common.net, to)
    }

    /// Where a packet to a group goes: by the link that was chosen, or that of the address
    /// bound to.
    fn multicast(&self, to: SocketAddr) -> Result<Target> {
        let by_lo = match (to.ip(), self.via(to.ip())) {
            (IpAddr::V6(_), LO) => return Err(Errno::ENETUNREACH),
            (IpAddr::V4(_), 0) => {
                let local = self.state.lock().local;
                local.is_some_and(|local| local.ip().is_loopback())
            }
            (_, via) => via == LO,
        };
        match by_lo {
            true => Ok(Target::Here(to)),
            false => destination(&self.common.net, to),
        }
    }

    /// The source address of packets to an IPv4 group.
    fn multicast_source(&self, to: Target) -> IpAddr {
        let via = self.state.lock().via;
        match to {
            // What Linux makes of a link whose only address is the host's own: none.
            _ if via.v4 == LO || !via.own.is_unspecified() => IpAddr::V4(via.own),
            Target::Here(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Target::Outside(_) => source(&self.common.net, to),
        }
    }

    /// The link that was chosen for packets to a group; 0 for none.
    fn via(&self, group: IpAddr) -> i32 {
        let via = self.state.lock().via;
        match group {
            IpAddr::V4(_) => via.v4,
            IpAddr::V6(_) => via.v6,
        }
    }

    /// How its packets are sent.
    fn manner(&self, to: IpAddr) -> Manner {
        let byte = |level, name| u8::try_from(self.ip.value(level, name)).unwrap_or(0);
        let many = to.is_multicast();
        let link = match many {
            true => u32::try_from(self.via(to)).ok().filter(|&link| link != 0),
            false => None,
        };
        match to {
            IpAddr::V4(_) => Manner {
                ttl: byte(SOL_IP, if many { 33 } else { 2 }),
                tos: byte(SOL_IP, 1),
                // IP_PMTUDISC_DO and IP_PMTUDISC_PROBE.
                df: matches!(self.ip.value(SOL_IP, 10), 2 | 3),
                link,
            },
            IpAddr::V6(_) => Manner {
                ttl: byte(SOL_IPV6, if many { 18 } else { 16 }),
                tos: byte(SOL_IPV6, 67),
                df: matches!(self.ip.value(SOL_IPV6, 23), 2 | 3),
                link,
            },
        }
    }

    /// A datagram has come over a link.
    pub(in crate::net) fn arrived(net: &Arc<NetNs>, kernel: &Arc<Kernel>, d: netstack::Datagram) {
        let (to, from) = (d.dst, d.src);
        let datagram = |d: &netstack::Datagram| Datagram {
            from,
            to: to.ip(),
            link: i32::try_from(d.link).unwrap_or(0),
            ttl: d.ttl,
            tos: d.tos,
            data: d.data().to_vec(),
        };
        let outside = &net.outside;
        let many = to.ip().is_multicast() || outside.look(|s| s.topology.is_broadcast(to.ip()));
        let table = &net.inet.udp;
        if many {
            for socket in table.find_all(to, from) {
                if !to.ip().is_multicast() || socket.takes(d.link, to.ip()) {
                    socket.deliver(datagram(&d));
                }
            }
            return;
        }
        match table.find(to, from, false) {
            Some(socket) => socket.deliver(datagram(&d)),
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
        if let Some(socket) = net.inet.udp.find(to, from, false) {
            socket.deliver(Datagram {
                from,
                to: to.ip(),
                link: super::LO_INDEX,
                ttl: 64,
                tos: 0,
                data,
            });
        }
    }

    /// A datagram of ours could not be delivered.
    pub(in crate::net) fn failed(net: &NetNs, e: &netstack::IcmpError) {
        const UDP: u8 = 17;
        if e.proto != UDP {
            super::raw::RawSocket::failed(&net.outside, e);
            return;
        }
        let Some(socket) = net.inet.udp.find(e.local, e.peer, false) else {
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
    fn wants_errors(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(_) => self.ip.value(SOL_IP, 11) != 0,
            IpAddr::V6(_) => self.ip.value(SOL_IPV6, 25) != 0,
        }
    }

    /// Sends over a link.
    fn send_outside(
        &self,
        kernel: &Arc<Kernel>,
        from: SocketAddr,
        to: SocketAddr,
        data: &[u8],
    ) -> Result<()> {
        let manner = self.manner(to.ip());
        let sent = self
            .common
            .net
            .change(kernel, |stack, _| stack.send_udp(from, to, data, manner));
        match sent {
            Ok(()) => Ok(()),
            Err(SendError::NoRoute) => Err(Errno::ENETUNREACH),
            Err(SendError::TooBig) => {
                if self.wants_errors(to.ip()) {
                    let mtu = self.common.net.outside.look(|s| s.mtu_for(to.ip()));
                    self.errors.push_too_big(to, mtu.unwrap_or(1500).into());
                }
                Err(Errno::EMSGSIZE)
            }
        }
    }

    /// Sends to a socket of this sandbox.
    fn send_here(&self, kernel: &Kernel, from: SocketAddr, to: SocketAddr, data: Vec<u8>) {
        if to.ip().is_multicast() {
            return self.send_to_group(from, to, &data);
        }
        match self.common.net.inet.udp.find(to, from, false) {
            Some(target) => target.deliver(Datagram {
                from,
                to: to.ip(),
                link: super::LO_INDEX,
                ttl: self.manner(to.ip()).ttl,
                tos: self.manner(to.ip()).tos,
                data,
            }),
            None if to == RESOLVER && self.common.net.outside.dns.ask(kernel, from, &data) => {}
            None => self.refused(from, to, &data),
        }
    }

    /// Over `lo`: to every socket that takes the group's packets, if any host is in it.
    fn send_to_group(&self, from: SocketAddr, to: SocketAddr, data: &[u8]) {
        let inet = &self.common.net.inet;
        if !inet.lo_groups.has(to.ip()) {
            return;
        }
        let manner = self.manner(to.ip());
        for target in inet.udp.find_all(to, from) {
            if target.takes(LO as u32, to.ip()) {
                target.deliver(Datagram {
                    from,
                    to: to.ip(),
                    link: LO,
                    ttl: manner.ttl,
                    tos: manner.tos,
                    data: data.to_vec(),
                });
            }
        }
    }

    /// Whether packets to a group are for this socket: it is in it, or takes those of groups
    /// that others are in (`IP_MULTICAST_ALL`).
    fn takes(&self, link: u32, group: IpAddr) -> bool {
        let all = match group {
            IpAddr::V4(_) => self.ip.value(SOL_IP, 49),
            IpAddr::V6(_) => self.ip.value(SOL_IPV6, 29),
        };
        all != 0 || self.state.lock().groups.contains(&(link, group))
    }

    /// Nobody is there. The ICMP port unreachable reaches connected senders, and those who
    /// want all errors.
    fn refused(&self, from: SocketAddr, to: SocketAddr, data: &[u8]) {
        let connected = self.state.lock().peer == Some(to);
        let wanted = self.wants_errors(to.ip());
        if wanted {
            self.errors.push_icmp(&netstack::IcmpError {
                proto: 17,
                local: from,
                peer: to,
                offender: to.ip(),
                kind: if to.is_ipv4() { (3, 3) } else { (1, 4) },
                mtu: 0,
                payload: data.to_vec(),
            });
        }
        if connected || wanted {
            self.common.set_error(Errno::ECONNREFUSED);
            self.common.pollee.notify(PollEvents::ERR | READABLE);
        }
    }

    fn deliver(&self, datagram: Datagram) {
        let charge = datagram.data.len() + OVERHEAD;
        {
            let mut rx = self.rx.lock();
            // A full receiver loses datagrams.
            if rx.used.saturating_add(charge) > self.common.rcvbuf() && rx.used > 0 {
                return;
            }
            rx.used += charge;
            rx.queue.push_back(datagram);
        }
        self.common.pollee.notify(READABLE);
    }

    /// `IP_PKTINFO` and `IPV6_PKTINFO` of a datagram, if asked for.
    fn packet_info(&self, to: IpAddr, index: i32) -> Option<(i32, i32, Vec<u8>)> {
        match to {
            IpAddr::V4(ip) if self.ip.value(SOL_IP, IP_PKTINFO) != 0 => {
                let mut raw = index.to_ne_bytes().to_vec();
                raw.extend_from_slice(&ip.octets());
                raw.extend_from_slice(&ip.octets());
                Some((SOL_IP, IP_PKTINFO, raw))
            }
            _ if self.ip.value(SOL_IPV6, IPV6_RECVPKTINFO) != 0 => {
                let ip = match to {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                    IpAddr::V6(ip) => ip,
                };
                let mut raw = ip.octets().to_vec();
                raw.extend_from_slice(&index.to_ne_bytes());
                Some((SOL_IPV6, 50, raw))
            }
            _ => None,
        }
    }
}

impl UdpSocket {
    /// Joins or leaves a group. `ENODEV` without such a link, `EADDRINUSE` when it is in,
    /// `EADDRNOTAVAIL` when it is not.
    fn change_membership(&self, m: Membership) -> Result<()> {
        let outside = &self.common.net.outside;
        let mut s = self.state.lock();
        if m.join {
            let lo = m.link == LO as u32 || m.link == 0 && m.own.is_some_and(|ip| ip.is_loopback());
            if lo {
                let place = (LO as u32, m.group);
                if s.groups.contains(&place) {
                    return Err(Errno::EADDRINUSE);
                }
                s.groups.push(place);
                self.common.net.inet.lo_groups.join(m.group);
                return Ok(());
            }
            let link = outside.look(|stack| stack.join(m.group, m.link, m.own));
            let link = link.ok_or(Errno::ENODEV)?;
            if s.groups.contains(&(link, m.group)) {
                outside.look(|stack| stack.leave(m.group, link));
                return Err(Errno::EADDRINUSE);
            }
            s.groups.push((link, m.group));
            return Ok(());
        }
        let fits =
            |(link, group): &(u32, IpAddr)| *group == m.group && (m.link == 0 || *link == m.link);
        let at = s.groups.iter().position(fits).ok_or(Errno::EADDRNOTAVAIL)?;
        let (link, group) = s.groups.swap_remove(at);
        leave(&self.common.net, link, group);
        Ok(())
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

    /// Hop limit and type of service of a datagram, as far as they are asked for.
    fn hop_info(&self, d: &Datagram) -> Vec<(i32, i32, Vec<u8>)> {
        let on = |level, name| self.ip.value(level, name) != 0;
        let int = |n: u8| i32::from(n).to_ne_bytes().to_vec();
        let mut out = Vec::new();
        if d.to.is_ipv4() {
            if on(SOL_IP, 12) {
                out.push((SOL_IP, 2, int(d.ttl)));
            }
            if on(SOL_IP, 13) {
                out.push((SOL_IP, 1, vec![d.tos]));
            }
        } else {
            if on(SOL_IPV6, 51) {
                out.push((SOL_IPV6, 52, int(d.ttl)));
            }
            if on(SOL_IPV6, 66) {
                out.push((SOL_IPV6, 67, int(d.tos)));
            }
        }
        out
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
            check_bindable(&self.common.net, addr.ip())?;
        }
        check_port(&self.common.net, t, addr.port())?;
        if self.state.lock().local.is_some() {
            return Err(Errno::EINVAL);
        }
        self.bind_to(addr).map(drop)
    }

    fn connect(&self, _t: &Arc<Task>, addr: &SockAddr) -> Result<()> {
        let udp = &self.common.net.inet.udp;
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
        let target = destination(&self.common.net, of_family(self.common.domain, addr)?)?;
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
        if args.flags.contains(MsgFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let target = self.target(&args)?;
        let to = target.addr();
        self.common.check_error()?;
        if self.state.lock().shut_write {
            return Err(Errno::EPIPE);
        }
        let len = src.remaining();
        if len > MAX_V4 + if to.is_ipv6() { 20 } else { 0 } {
            return Err(Errno::EMSGSIZE);
        }
        let kernel = &args.task.kernel;
        let local = self.bound()?;
        let from = if local.ip().is_unspecified() {
            let own = match to.ip() {
                IpAddr::V4(ip) if ip.is_multicast() => self.multicast_source(target),
                _ => source(&self.common.net, target),
            };
            SocketAddr::new(own, local.port())
        } else {
            local
        };
        let mut data = vec![0; len];
        if src.take(&mut data)? < len {
            return Err(Errno::EFAULT);
        }
        match target {
            Target::Here(_)
                if !self.common.net.taps.is_on() || to.ip().is_multicast() || to == RESOLVER =>
            {
                self.send_here(kernel, from, to, data);
            }
            Target::Here(_) => self.send_outside(kernel, from, to, &data)?,
            Target::Outside(_) => self.send_outside(kernel, from, to, &data)?,
        }
        Ok(len)
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
        let Some(first) = rx.queue.front() else {
            drop(rx);
            return if self.state.lock().shut_read {
                Ok(Received::default())
            } else {
                Err(Errno::EAGAIN)
            };
        };
        let full = first.data.len();
        let want = full.min(dst.remaining());
        let bytes = dst.put(first.data.get(..want).unwrap_or_default())?;
        let mut got = Received {
            bytes,
            full,
            from: Some(shown(self.common.domain, first.from)),
            ..Received::default()
        };
        let (to, link) = (first.to, first.link);
        let hops = self.hop_info(first);
        if bytes < full {
            got.flags |= MsgFlags::TRUNC;
        }
        if !flags.contains(MsgFlags::PEEK) {
            rx.queue.pop_front();
            rx.used = rx.used.saturating_sub(full + OVERHEAD);
        }
        drop(rx);
        got.cmsgs.extend(self.packet_info(to, link));
        got.cmsgs.extend(hops);
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

    fn get_option(&self, _t: &Arc<Task>, level: i32, name: i32) -> Result<OptValue> {
        if level == 1 {
            return Err(Errno::ENOPROTOOPT);
        }
        let via = self.state.lock().via;
        match via.get(level, name) {
            Some(value) if level == SOL_IP || self.common.domain == AF_INET6 => Ok(value),
            _ => self.ip.get(self.common.domain, 17, level, name),
        }
    }

    fn set_option(&self, _t: &Arc<Task>, level: i32, name: i32, value: &[u8]) -> Result<()> {
        if level == 1 {
            return Err(Errno::ENOPROTOOPT);
        }
        if level == SOL_IP || self.common.domain == AF_INET6 {
            let mut via = self.state.lock().via;
            if via.set(&self.common.net, level, name, value)? {
                self.state.lock().via = via;
                return Ok(());
            }
        }
        let v6only = (level, name) == (SOL_IPV6, IPV6_V6ONLY);
        if v6only && self.common.domain == AF_INET6 && self.state.lock().local.is_some() {
            return Err(Errno::EINVAL);
        }
        if let Some(m) = membership::parse(self.common.domain, level, name, value)? {
            return self.change_membership(m);
        }
        self.ip.set(self.common.domain, 17, level, name, value)
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        let local = state.local;
        let groups = std::mem::take(&mut state.groups);
        for (link, group) in groups {
            leave(&self.common.net, link, group);
        }
        if let Some(local) = local {
            self.common.net.inet.udp.release(local.port(), &self.me);
        }
    }
}
