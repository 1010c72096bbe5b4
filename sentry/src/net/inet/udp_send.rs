//! Sending of UDP sockets: to sockets of the same sandbox in memory, to others over our stack.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use abi::Errno;
use abi::fs::PollEvents;
use netstack::{Manner, SendError};

use super::ancillary::{Arrival, Said};
use super::option::{SOL_IP, SOL_IPV6, SOL_UDP, SOL_UDPLITE};
use super::udp::UdpSocket;
use super::{Target, canonical, destination, of_family, source};
use crate::io::IoSrc;
use crate::net::outside::dns::RESOLVER;
use crate::net::{MsgFlags, OptCall, READABLE, SendArgs, SockAddr};
use crate::{Kernel, Result};

/// Most bytes of a datagram over IPv4; IPv6 takes 20 more.
const MAX_V4: usize = 65_507;
/// Most segments of one send (`UDP_SEGMENT`).
const MAX_SEGMENTS: usize = 128;
/// The link of multicast inside the sandbox.
const LO: i32 = super::LO_INDEX;
const UDP_CORK: i32 = 1;
const UDP_SEGMENT: i32 = 103;
/// `UDPLITE_SEND_CSCOV` and `UDPLITE_RECV_CSCOV`.
const SEND_COVERAGE: i32 = 10;
const RECV_COVERAGE: i32 = 11;
const HEADER: usize = 8;

/// A datagram that is held back to grow.
pub(super) struct Corked {
    target: Target,
    said: Said,
    data: Vec<u8>,
}

impl UdpSocket {
    /// Where a message goes.
    fn target(&self, args: &SendArgs<'_>, link: i32) -> Result<Target> {
        match args.to {
            Some(SockAddr::Unspec) | None => {
                let peer = self.state.lock().peer;
                destination(&self.common.net, peer.ok_or(Errno::EDESTADDRREQ)?, link)
            }
            // An IPv6 socket takes an IPv4 address too.
            Some(SockAddr::Inet(to @ SocketAddr::V4(_))) => self.reachable(*to, link),
            Some(to) => {
                let to = of_family(self.common.domain, to)?;
                self.reachable(to, link)
            }
        }
    }

    fn reachable(&self, to: SocketAddr, link: i32) -> Result<Target> {
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
            return self.multicast(canonical(to), link);
        }
        destination(&self.common.net, to, link)
    }

    /// Where a packet to a group goes: by the link that was chosen, or that of the address
    /// bound to.
    fn multicast(&self, to: SocketAddr, link: i32) -> Result<Target> {
        let by_lo = match (to.ip(), if link != 0 { link } else { self.via(to.ip()) }) {
            (IpAddr::V6(_), LO) => return Err(Errno::ENETUNREACH),
            (IpAddr::V4(_), 0) => {
                let local = self.state.lock().local;
                local.is_some_and(|local| local.ip().is_loopback())
            }
            (_, via) => via == LO,
        };
        match by_lo {
            true => Ok(Target::Here(to)),
            false => destination(&self.common.net, to, link),
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
    fn manner(&self, to: IpAddr, said: &Said) -> Manner {
        let byte = |level, name| u8::try_from(self.ip.value(level, name)).unwrap_or(0);
        let many = to.is_multicast();
        let link = match self.link_for(said) {
            0 if many => self.via(to),
            link => link,
        };
        let link = u32::try_from(link).ok().filter(|&link| link != 0);
        let (ttl, tos, df) = match to {
            IpAddr::V4(_) => (
                byte(SOL_IP, if many { 33 } else { 2 }),
                byte(SOL_IP, 1),
                // IP_PMTUDISC_DO and IP_PMTUDISC_PROBE.
                matches!(self.ip.value(SOL_IP, 10), 2 | 3),
            ),
            IpAddr::V6(_) => (
                byte(SOL_IPV6, if many { 18 } else { 16 }),
                byte(SOL_IPV6, 67),
                matches!(self.ip.value(SOL_IPV6, 23), 2 | 3),
            ),
        };
        Manner {
            ttl: said.ttl.unwrap_or(ttl),
            tos: said.tos.unwrap_or(tos),
            df,
            link,
        }
    }

    /// The link it is bound to, or that packets to single hosts are to leave by; 0 for none.
    pub(super) fn link(&self) -> i32 {
        let bound = self.common.options.lock().link;
        match bound {
            0 => i32::from_be(self.ip.value(SOL_IP, 50) | self.ip.value(SOL_IPV6, 76)),
            bound => bound,
        }
    }

    fn link_for(&self, said: &Said) -> i32 {
        if said.link != 0 {
            said.link
        } else {
            self.link()
        }
    }

    /// How a datagram arrives at a socket of this sandbox.
    fn arrival(&self, from: SocketAddr, to: SocketAddr, said: &Said) -> Arrival {
        let manner = self.manner(to.ip(), said);
        let (mark, priority) = {
            let o = self.common.options.lock();
            (o.mark, o.priority)
        };
        Arrival {
            ttl: manner.ttl,
            tos: manner.tos,
            mark: said.mark.unwrap_or(mark),
            priority: said.priority.unwrap_or(priority),
            segment: self.segment(said),
            ..Arrival::new(from, to, LO)
        }
    }

    /// The size that what is sent is cut into; 0 for none.
    fn segment(&self, said: &Said) -> u16 {
        let own = || u16::try_from(self.ip.value(SOL_UDP, UDP_SEGMENT)).unwrap_or(0);
        said.segment.unwrap_or_else(own)
    }

    /// `sendmsg(2)`.
    pub(super) fn send_datagram(&self, src: &mut dyn IoSrc, args: SendArgs<'_>) -> Result<usize> {
        if args.flags.contains(MsgFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let said = Said::read(&args.control.others, self.common.domain)?;
        let corked = self.state.lock().corked.take();
        let target = match &corked {
            Some(corked) => corked.target,
            None => self.target(&args, self.link_for(&said))?,
        };
        self.common.check_error()?;
        if self.state.lock().shut_write {
            return Err(Errno::EPIPE);
        }
        let len = src.remaining();
        let (said, mut data) = match corked {
            Some(corked) => (corked.said, corked.data),
            None => (said, Vec::new()),
        };
        let before = data.len();
        let most = MAX_V4 + if target.addr().is_ipv6() { 20 } else { 0 };
        if before.saturating_add(len) > most {
            return Err(Errno::EMSGSIZE);
        }
        data.resize(before + len, 0);
        if src.take(data.get_mut(before..).unwrap_or_default())? < len {
            return Err(Errno::EFAULT);
        }
        let kernel = &args.task.kernel;
        self.bound()?;
        let more = args.flags.contains(MsgFlags::MORE) || self.ip.value(SOL_UDP, UDP_CORK) != 0;
        let corked = Corked { target, said, data };
        if more {
            self.state.lock().corked = Some(corked);
        } else {
            self.flush(kernel, &corked)?;
        }
        if args.flags.contains(MsgFlags::ZEROCOPY) && len > 0 {
            self.tell_copied();
        }
        Ok(len)
    }

    /// A send that was to be without a copy was made with one: the sender may use its bytes.
    fn tell_copied(&self) {
        if !self.common.options.lock().zerocopy {
            return;
        }
        let n = {
            let mut s = self.state.lock();
            let n = s.copied;
            s.copied = n.wrapping_add(1);
            n
        };
        self.errors.push_copied(n, self.common.domain);
        self.common.pollee.notify(PollEvents::ERR | READABLE);
    }

    /// `UDP_CORK` taken away: what was held back is sent.
    pub(super) fn uncork(&self, c: &OptCall<'_>) -> Result<()> {
        let cork = matches!(c.level, SOL_UDP | SOL_UDPLITE) && c.name == UDP_CORK;
        if !cork || self.ip.value(SOL_UDP, UDP_CORK) != 0 {
            return Ok(());
        }
        let corked = self.state.lock().corked.take();
        match corked {
            Some(corked) => self.flush(&c.t.kernel, &corked),
            None => Ok(()),
        }
    }

    /// Sends a datagram.
    fn flush(&self, kernel: &Arc<Kernel>, d: &Corked) -> Result<()> {
        let size = usize::from(self.segment(&d.said));
        if size != 0 && d.data.len() > size * MAX_SEGMENTS {
            return Err(Errno::EINVAL);
        }
        let local = self.bound()?;
        let to = d.target.addr();
        let own = match (d.said.own, to.ip()) {
            (Some(own), _) => {
                super::check_bindable(&self.common.net, own, &self.ip)
                    .map_err(|_| Errno::ENETUNREACH)?;
                own
            }
            _ if !local.ip().is_unspecified() => local.ip(),
            (None, IpAddr::V4(ip)) if ip.is_multicast() => self.multicast_source(d.target),
            (None, _) => source(&self.common.net, d.target),
        };
        let from = SocketAddr::new(own, local.port());
        match d.target {
            // A packet socket sees what goes over the stack alone.
            Target::Here(_)
                if self.is_lite()
                    || !self.common.net.taps.is_on()
                    || to.ip().is_multicast()
                    || to == RESOLVER =>
            {
                self.send_here(kernel, from, to, d);
            }
            // UDP-Lite does not leave the sandbox.
            Target::Outside(_) if self.is_lite() => return Err(Errno::ENETUNREACH),
            _ if size != 0 => {
                for segment in d.data.chunks(size) {
                    self.send_outside(kernel, from, to, segment, &d.said)?;
                }
            }
            _ => self.send_outside(kernel, from, to, &d.data, &d.said)?,
        }
        Ok(())
    }

    /// Whether a receiver takes a datagram whose checksum covers no more than it does.
    fn covered(&self, by: &UdpSocket, len: usize) -> bool {
        if !self.is_lite() {
            return true;
        }
        let whole = len + HEADER;
        let sent = match usize::try_from(by.ip.value(SOL_UDP, SEND_COVERAGE)).unwrap_or(0) {
            0 => whole,
            n => n.min(whole),
        };
        let wanted = usize::try_from(self.ip.value(SOL_UDP, RECV_COVERAGE)).unwrap_or(0);
        let chosen = self.ip.is_set(SOL_UDP, RECV_COVERAGE);
        sent >= whole || !chosen || (wanted != 0 && sent >= wanted)
    }

    /// Sends over a link.
    fn send_outside(
        &self,
        kernel: &Arc<Kernel>,
        from: SocketAddr,
        to: SocketAddr,
        data: &[u8],
        said: &Said,
    ) -> Result<()> {
        let manner = self.manner(to.ip(), said);
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
    fn send_here(&self, kernel: &Kernel, from: SocketAddr, to: SocketAddr, d: &Corked) {
        let arrival = self.arrival(from, to, &d.said);
        if to.ip().is_multicast() {
            return self.send_to_group(arrival, &d.data);
        }
        match self.table().find(to, from, LO, false) {
            Some(target) if target.covered(self, d.data.len()) => target.deliver(arrival, &d.data),
            Some(_) => {}
            None if to == RESOLVER && self.common.net.outside.dns.ask(kernel, from, &d.data) => {}
            None => self.refused(from, to, &d.data),
        }
    }

    /// Over `lo`: to every socket that takes the group's packets, if any host is in it.
    fn send_to_group(&self, arrival: Arrival, data: &[u8]) {
        let (from, to) = (arrival.from, arrival.to);
        if !self.common.net.inet.lo_groups.has(to.ip()) {
            return;
        }
        for target in self.table().find_all(to, from, LO) {
            if target.takes(LO as u32, to.ip(), from.ip()) {
                target.deliver(arrival, data);
            }
        }
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
}
