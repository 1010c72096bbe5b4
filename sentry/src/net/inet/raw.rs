//! Raw sockets (`raw(7)`) and ping sockets (`icmp(7)`): messages of one protocol, with or
//! without the IP header.

use std::any::Any;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::fs::PollEvents;
use netstack::{Datagram, IcmpError, Manner, SendError};

use super::errors::{ErrorQueue, errno};
use super::membership::Groups;
use super::multicast::Via;
use super::option::{IpOptions, Owner, SOL_IP, SOL_IPV6, What};
use super::rows::SocketRow;
use super::{canonical, check_bindable, of_family, shown};
use crate::creds::Cap;
use crate::io::{IoDst, IoSrc};
use crate::net::options::SOL_SOCKET;
use crate::net::outside::Outside;
use crate::net::{
    AF_INET6, Common, MsgFlags, OptCall, OptValue, READABLE, Received, SendArgs, Shut, SockAddr,
    SockType, Socket, WRITABLE,
};
use crate::sync::Mutex;
use crate::task::Task;
use crate::{Kernel, Result};

const SOL_RAW: i32 = 255;
const SOL_ICMPV6: i32 = 58;
const IP_HDRINCL: i32 = 3;
const IPV6_CHECKSUM: i32 = 7;
const IPV6_HDRINCL: i32 = 36;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const RAW: i32 = 255;
/// What a queued packet is charged beyond its bytes.
const OVERHEAD: usize = 512;
const MAX_PACKET: usize = 65_535;

/// A raw or ping socket.
pub struct RawSocket {
    common: Common,
    ip: IpOptions,
    proto: u8,
    ping: bool,
    state: Mutex<State>,
    rx: Mutex<Rx>,
    errors: ErrorQueue,
}

#[derive(Default)]
struct State {
    local: Option<IpAddr>,
    peer: Option<IpAddr>,
    /// The identification a ping socket uses.
    id: u16,
    hdrincl: bool,
    shut: (bool, bool),
    /// ICMP types not wanted (`ICMP_FILTER`, inverted for ICMPv6).
    filter: [u32; 8],
    /// `IPV6_CHECKSUM`: where the kernel puts a checksum, if it does.
    checksum: Option<i32>,
    /// How multicast packets leave.
    via: Via,
    /// Groups joined.
    groups: Groups,
}

struct Packet {
    from: IpAddr,
    to: IpAddr,
    link: i32,
    ttl: u8,
    tos: u8,
    data: Vec<u8>,
}

#[derive(Default)]
struct Rx {
    queue: VecDeque<Packet>,
    used: usize,
}

impl RawSocket {
    /// A raw socket; `EPERM` without `CAP_NET_RAW`.
    pub fn raw(t: &Arc<Task>, domain: u16, protocol: i32) -> Result<Arc<dyn Socket>> {
        if !t.net().allows(&t.creds(), Cap::NetRaw) {
            return Err(Errno::EPERM);
        }
        RawSocket::create(t, domain, protocol, SockType::Raw)
    }

    /// A ping socket; `EACCES` for groups outside `ping_group_range`.
    pub fn ping(t: &Arc<Task>, domain: u16, protocol: i32) -> Result<Arc<dyn Socket>> {
        let range = t.net().sysctl("net/ipv4/ping_group_range");
        let range = range.unwrap_or_default();
        let mut bounds = range
            .split_whitespace()
            .map_while(|n| n.parse::<u32>().ok());
        let (low, high) = (bounds.next().unwrap_or(1), bounds.next().unwrap_or(0));
        let creds = t.creds();
        let groups = creds.groups.iter().copied().chain([creds.egid]);
        if !groups.into_iter().any(|g| (low..=high).contains(&g)) {
            return Err(Errno::EACCES);
        }
        RawSocket::create(t, domain, protocol, SockType::Dgram)
    }

    fn create(
        t: &Arc<Task>,
        domain: u16,
        protocol: i32,
        kind: SockType,
    ) -> Result<Arc<dyn Socket>> {
        let (kernel, net) = (&t.kernel, &t.net());
        let proto = u8::try_from(protocol).map_err(|_| Errno::EPROTONOSUPPORT)?;
        let socket = Arc::new(RawSocket {
            common: Common::new(kernel, net, domain, kind, protocol),
            ip: IpOptions::default(),
            proto,
            ping: kind == SockType::Dgram,
            state: Mutex::new(State {
                hdrincl: protocol == RAW,
                checksum: (proto == ICMPV6).then_some(2),
                ..State::default()
            }),
            rx: Mutex::default(),
            errors: ErrorQueue::default(),
        });
        // As bind(2) has it for sockets whose number is not a port.
        socket.common.options.lock().reuseaddr = kind == SockType::Raw;
        let outside = &net.outside;
        let mut raw = outside.raw.lock();
        raw.retain(|s| s.strong_count() > 0);
        raw.push(Arc::downgrade(&socket));
        drop(raw);
        if kind == SockType::Raw {
            outside.look(|s| s.raw.insert(proto));
        }
        Ok(socket)
    }

    fn all(outside: &Outside) -> Vec<Arc<RawSocket>> {
        let raw = outside.raw.lock();
        raw.iter().filter_map(Weak::upgrade).collect()
    }

    /// A packet that raw or ping sockets may want.
    pub(in crate::net) fn arrived(outside: &Outside, d: &Datagram) {
        for socket in RawSocket::all(outside) {
            if socket.wants(d) {
                socket.deliver(d);
            }
        }
    }

    /// Rows of the socket tables.
    pub(super) fn rows(outside: &Outside, ping: bool) -> Vec<SocketRow> {
        let all = RawSocket::all(outside)
            .into_iter()
            .filter(|s| s.ping == ping);
        let row = |s: Arc<RawSocket>| {
            let (local, peer, id) = {
                let state = s.state.lock();
                (state.local, state.peer, state.id)
            };
            let port = if ping { id } else { u16::from(s.proto) };
            let any = super::unspecified(s.common.domain);
            let local = SocketAddr::new(local.unwrap_or(any), port);
            let peer = peer.map(|ip| SocketAddr::new(ip, 0));
            let used = s.rx.lock().used;
            SocketRow::new(&s.common, Some(local), peer, 7, (used, 0))
        };
        all.map(row).collect()
    }

    /// A packet of ours could not be delivered.
    pub(in crate::net) fn failed(outside: &Outside, e: &IcmpError) {
        for socket in RawSocket::all(outside) {
            let (peer, id) = {
                let s = socket.state.lock();
                (s.peer, s.id)
            };
            let mine = socket.proto == e.proto && (!socket.ping || id == e.local.port());
            if !mine || peer.is_some_and(|p| p != e.peer.ip()) {
                continue;
            }
            let wanted = match e.peer.ip() {
                IpAddr::V4(_) => socket.ip.value(SOL_IP, 11) != 0,
                IpAddr::V6(_) => socket.ip.value(SOL_IPV6, 25) != 0,
            };
            let (code, fatal) = errno(e);
            if wanted {
                socket.errors.push_icmp(e);
            }
            if wanted || (fatal && peer.is_some()) {
                socket.common.set_error(code);
                socket.common.pollee.notify(PollEvents::ERR | READABLE);
            }
        }
    }

    fn wants(&self, d: &Datagram) -> bool {
        let v6 = d.dst.is_ipv6();
        if self.proto != d.proto || v6 != (self.common.domain == AF_INET6) {
            return false;
        }
        let s = self.state.lock();
        let kind = d.message().first().copied().unwrap_or(0);
        if self.ping {
            let reply = if v6 { 129 } else { 0 };
            return kind == reply && d.dst.port() == s.id && s.id != 0;
        }
        // Ping sockets' answers carry a number where others have none.
        let bit = s.filter.get(usize::from(kind / 32)).copied().unwrap_or(0) >> (kind % 32) & 1;
        let filtered = matches!(self.proto, ICMP | ICMPV6) && bit != 0;
        !filtered
            && s.local.is_none_or(|ip| ip == d.dst.ip())
            && s.peer.is_none_or(|ip| ip == d.src.ip())
    }

    fn deliver(&self, d: &Datagram) {
        // IPv4 raw sockets see the IP header.
        let whole = !self.ping && d.dst.is_ipv4();
        let data = if whole {
            d.packet.clone()
        } else {
            d.message().to_vec()
        };
        let charge = data.len() + OVERHEAD;
        {
            let mut rx = self.rx.lock();
            if rx.used.saturating_add(charge) > self.common.rcvbuf() && rx.used > 0 {
                return;
            }
            rx.used += charge;
            rx.queue.push_back(Packet {
                from: d.src.ip(),
                to: d.dst.ip(),
                link: i32::try_from(d.link).unwrap_or(0),
                ttl: d.ttl,
                tos: d.tos,
                data,
            });
        }
        self.common.pollee.notify(READABLE);
    }

    fn target(&self, args: &SendArgs<'_>) -> Result<IpAddr> {
        let ip = match args.to {
            None | Some(SockAddr::Unspec) => self.state.lock().peer.ok_or(Errno::EDESTADDRREQ)?,
            Some(to) => of_family(self.common.domain, to)?.ip(),
        };
        Ok(match ip {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
            ip => ip,
        })
    }

    fn manner(&self, v6: bool) -> Manner {
        let byte = |level, name| u8::try_from(self.ip.value(level, name)).unwrap_or(0);
        Manner {
            ttl: if v6 {
                byte(SOL_IPV6, 16)
            } else {
                byte(SOL_IP, 2)
            },
            tos: if v6 {
                byte(SOL_IPV6, 67)
            } else {
                byte(SOL_IP, 1)
            },
            df: matches!(self.ip.value(SOL_IP, 10), 2 | 3) && !v6,
            link: None,
        }
    }

    /// Gives a ping socket its number.
    fn bind_id(&self, outside: &Outside, wanted: u16) -> Result<u16> {
        let own = self.state.lock().id;
        if own != 0 {
            return Ok(own);
        }
        let used: Vec<u16> = RawSocket::all(outside)
            .iter()
            .filter(|s| s.ping && s.common.domain == self.common.domain)
            .filter(|s| !std::ptr::eq(s.as_ref(), self))
            .map(|s| s.state.lock().id)
            .collect();
        if wanted != 0 && used.contains(&wanted) {
            return Err(Errno::EADDRINUSE);
        }
        let mut id = wanted;
        let mut seed = [0; 2];
        // Without random bytes the number is only easier to guess.
        let _ = platform::host::random(&mut seed);
        let mut next = u16::from_ne_bytes(seed);
        for _ in 0..=u16::MAX {
            if id != 0 && !used.contains(&id) {
                break;
            }
            next = next.wrapping_add(1);
            id = next;
        }
        self.state.lock().id = id;
        Ok(id)
    }

    /// Numbers an echo request as its socket; `EINVAL` for any other message.
    fn stamp(&self, outside: &Outside, data: &mut [u8]) -> Result<()> {
        let request = if self.common.domain == AF_INET6 {
            128
        } else {
            8
        };
        if data.len() < 8 || data.first() != Some(&request) || data.get(1) != Some(&0) {
            return Err(Errno::EINVAL);
        }
        let id = self.bind_id(outside, 0)?;
        netstack::wire::put(data, 4, &id.to_be_bytes());
        if self.proto == ICMP {
            netstack::wire::put(data, 2, &[0, 0]);
            let sum = netstack::wire::sum::Sum::default().with(data).finish();
            netstack::wire::put(data, 2, &sum);
        }
        Ok(())
    }
}

impl Socket for RawSocket {
    fn common(&self) -> &Common {
        &self.common
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn bind(&self, _t: &Arc<Task>, addr: &SockAddr) -> Result<()> {
        let addr = canonical(of_family(self.common.domain, addr)?);
        check_bindable(&self.common.net, addr.ip(), &self.ip)?;
        if self.ping {
            self.bind_id(&self.common.net.outside, addr.port())?;
        }
        self.state.lock().local = Some(addr.ip()).filter(|ip| !ip.is_unspecified());
        Ok(())
    }

    fn connect(&self, _t: &Arc<Task>, addr: &SockAddr) -> Result<()> {
        if *addr == SockAddr::Unspec {
            self.state.lock().peer = None;
            return Ok(());
        }
        let to = of_family(self.common.domain, addr)?;
        let source = self
            .common
            .net
            .outside
            .look(|s| s.source_for(to.ip(), None));
        let source = source.ok_or(Errno::ENETUNREACH)?;
        if self.ping {
            self.bind_id(&self.common.net.outside, 0)?;
        }
        let mut s = self.state.lock();
        s.peer = Some(to.ip());
        s.local.get_or_insert(source);
        Ok(())
    }

    fn send(&self, src: &mut dyn IoSrc, args: SendArgs<'_>) -> Result<usize> {
        if args.flags.contains(MsgFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let to = self.target(&args)?;
        self.common.check_error()?;
        let len = src.remaining();
        if len > MAX_PACKET {
            return Err(Errno::EMSGSIZE);
        }
        let mut data = vec![0; len];
        if src.take(&mut data)? < len {
            return Err(Errno::EFAULT);
        }
        let kernel = &args.task.kernel;
        let outside = &self.common.net.outside;
        if self.ping {
            self.stamp(outside, &mut data)?;
        }
        let (local, hdrincl, checksum) = {
            let s = self.state.lock();
            (s.local, s.hdrincl, s.checksum)
        };
        let manner = self.manner(to.is_ipv6());
        let any = super::unspecified(self.common.domain);
        if to.is_ipv6() && hdrincl {
            return self.send_headed(kernel, to, &data);
        }
        let own = checksum.filter(|_| to.is_ipv6() && self.proto != ICMPV6);
        if let Some(at) = own {
            let own = outside.look(|s| s.source_for(to, None));
            let from = local.or(own).ok_or(Errno::ENETUNREACH)?;
            self.sum(from, to, at, &mut data)?;
        }
        let sent = self.common.net.change(kernel, |stack, _| {
            if hdrincl && to.is_ipv4() {
                return stack.send_with_header(to, data);
            }
            stack.send_raw(local.unwrap_or(any), to, self.proto, &data, manner)
        });
        match sent {
            Ok(()) => Ok(len),
            Err(SendError::NoRoute) => Err(Errno::ENETUNREACH),
            Err(SendError::TooBig) => Err(Errno::EMSGSIZE),
        }
    }

    fn recv(&self, dst: &mut dyn IoDst, flags: MsgFlags) -> Result<Received> {
        if flags.contains(MsgFlags::ERRQUEUE) {
            return self.errors.take(dst, self.common.domain);
        }
        self.common.check_error()?;
        if flags.contains(MsgFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut rx = self.rx.lock();
        let Some(first) = rx.queue.front() else {
            let shut = self.state.lock().shut.0;
            return if shut {
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
            from: Some(shown(self.common.domain, SocketAddr::new(first.from, 0))),
            cmsgs: self.cmsgs(first),
            ..Received::default()
        };
        if bytes < full {
            got.flags |= MsgFlags::TRUNC;
        }
        if !flags.contains(MsgFlags::PEEK) {
            rx.queue.pop_front();
            rx.used = rx.used.saturating_sub(full + OVERHEAD);
        }
        Ok(got)
    }

    fn shutdown(&self, how: Shut) -> Result<()> {
        let mut s = self.state.lock();
        s.shut.0 |= how.read;
        s.shut.1 |= how.write;
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
        let s = self.state.lock();
        let port = if self.ping {
            s.id
        } else {
            u16::from(self.proto)
        };
        let any = super::unspecified(self.common.domain);
        let addr = SocketAddr::new(s.local.unwrap_or(any), port);
        Ok(SockAddr::Inet(addr))
    }

    fn peer_addr(&self) -> Result<SockAddr> {
        let peer = self.state.lock().peer.ok_or(Errno::ENOTCONN)?;
        Ok(shown(self.common.domain, SocketAddr::new(peer, 0)))
    }

    fn poll(&self) -> PollEvents {
        let mut ready = WRITABLE;
        if self.common.has_error() || !self.errors.is_empty() {
            ready |= PollEvents::ERR;
        }
        if !self.rx.lock().queue.is_empty() || self.state.lock().shut.0 {
            ready |= READABLE;
        }
        ready
    }

    fn queued(&self) -> Result<(usize, usize)> {
        let rx = self.rx.lock();
        Ok((rx.queue.front().map_or(0, |d| d.data.len()), 0))
    }

    fn get_option(&self, c: &OptCall<'_>) -> Option<Result<OptValue>> {
        Some(match (c.level, c.name) {
            (SOL_SOCKET, _) => return None,
            (SOL_RAW, _) if !self.ping => self.get_raw(c),
            (SOL_ICMPV6, _) if self.is_raw6() => self.get_icmp6(c),
            (SOL_IPV6, IPV6_CHECKSUM | IPV6_HDRINCL) if self.is_raw6() => self.get_raw6(c),
            (SOL_IP, IP_HDRINCL) if !self.is_raw6() => {
                let on = self.state.lock().hdrincl;
                c.room().map(|_| OptValue::Byte(i32::from(on)))
            }
            _ => {
                let own = match self.common.domain {
                    AF_INET6 => c.level == SOL_IPV6 || self.ping,
                    _ => c.level == SOL_IP,
                };
                let kept = match own {
                    true => self.group_option(c),
                    false => None,
                };
                kept.unwrap_or_else(|| self.ip.get(c, self.owner()))
            }
        })
    }

    fn set_option(&self, c: &OptCall<'_>) -> Result<()> {
        let v6 = self.is_raw6();
        if v6 {
            IpOptions::look(c)?;
        }
        match (c.level, c.name) {
            (SOL_RAW, _) if !self.ping => return self.set_raw(c),
            (SOL_ICMPV6, _) if v6 => return self.set_icmp6(c),
            (SOL_IPV6, IPV6_CHECKSUM | IPV6_HDRINCL) if v6 => return self.set_raw6(c),
            (SOL_IP, _) if v6 => return Err(Errno::ENOPROTOOPT),
            _ => {}
        }
        if c.level == SOL_IP || self.common.domain == AF_INET6 {
            let mut via = self.state.lock().via;
            if via.set(c)? {
                self.state.lock().via = via;
                return Ok(());
            }
            if self.state.lock().groups.set(self.common.domain, c)? {
                return Ok(());
            }
        }
        self.ip.set(c, self.owner())?;
        if (c.level, c.name) == (SOL_IP, IP_HDRINCL) {
            self.state.lock().hdrincl = self.ip.value(SOL_IP, IP_HDRINCL) != 0;
        }
        Ok(())
    }
}

impl RawSocket {
    fn is_raw6(&self) -> bool {
        !self.ping && self.common.domain == AF_INET6
    }

    /// An option of groups, or of the link to them.
    fn group_option(&self, c: &OptCall<'_>) -> Option<Result<OptValue>> {
        let s = self.state.lock();
        if let Some(value) = s.via.get(c.level, c.name) {
            return Some(c.checked(value));
        }
        s.groups.get(c)
    }

    /// Puts the checksum where `IPV6_CHECKSUM` says; `EINVAL` beyond the message's end.
    fn sum(&self, from: IpAddr, to: IpAddr, at: i32, data: &mut [u8]) -> Result<()> {
        let at = usize::try_from(at).map_err(|_| Errno::EINVAL)?;
        if at + 2 > data.len() {
            return Err(Errno::EINVAL);
        }
        netstack::wire::put(data, at, &[0; 2]);
        let sum = netstack::wire::sum::Sum::default();
        let sum = sum.pseudo(from, to, self.proto, data.len()).with(data);
        netstack::wire::put(data, at, &sum.finish());
        Ok(())
    }

    /// Sends a packet that brings its own IPv6 header (`IPV6_HDRINCL`).
    fn send_headed(&self, kernel: &Arc<Kernel>, to: IpAddr, data: &[u8]) -> Result<usize> {
        const HEADER: usize = 40;
        let (head, message) = data.split_at_checked(HEADER).ok_or(Errno::EINVAL)?;
        let byte = |at: usize| head.get(at).copied().unwrap_or(0);
        let from = head.get(8..).and_then(|b| b.first_chunk::<16>());
        let from = from.map_or(super::unspecified(AF_INET6), |b| IpAddr::from(*b));
        let manner = Manner {
            ttl: byte(7),
            tos: byte(0) << 4 | byte(1) >> 4,
            ..self.manner(true)
        };
        let sent = self.common.net.change(kernel, |stack, _| {
            stack.send_raw(from, to, byte(6), message, manner)
        });
        match sent {
            Ok(()) => Ok(data.len()),
            Err(SendError::NoRoute) => Err(Errno::ENETUNREACH),
            Err(SendError::TooBig) => Err(Errno::EMSGSIZE),
        }
    }

    /// What options may depend on.
    fn owner(&self) -> Owner {
        let s = self.state.lock();
        Owner {
            what: if self.ping { What::Ping } else { What::Raw },
            domain: self.common.domain,
            number: if self.ping { s.id } else { self.proto.into() },
            peer: s.peer,
            open: s.peer.is_some(),
            listening: false,
            lite: false,
        }
    }

    /// An option of level RAW: the filter of ICMP types, and those of IPv6's raw sockets.
    fn get_raw(&self, c: &OptCall<'_>) -> Result<OptValue> {
        match c.name {
            _ if self.is_raw6() => self.get_raw6(c),
            1 if self.proto == ICMP => {
                c.room()?;
                let [word, ..] = self.state.lock().filter;
                Ok(OptValue::Bytes(word.to_ne_bytes().to_vec()))
            }
            1 => Err(Errno::EOPNOTSUPP),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn set_raw(&self, c: &OptCall<'_>) -> Result<()> {
        match c.name {
            _ if self.is_raw6() => self.set_raw6(c),
            1 if self.proto == ICMP => {
                let filter = self.filter_with::<4>(c)?;
                self.state.lock().filter = filter;
                Ok(())
            }
            1 => Err(Errno::EOPNOTSUPP),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    /// The filter with its first bytes, `N` at most, replaced by those of a value.
    fn filter_with<const N: usize>(&self, c: &OptCall<'_>) -> Result<[u32; 8]> {
        let new = c.bytes(c.len.min(N))?;
        let mut filter = self.state.lock().filter;
        let mut raw: Vec<u8> = filter.iter().flat_map(|w| w.to_ne_bytes()).collect();
        netstack::wire::put(&mut raw, 0, &new);
        for (to, from) in filter.iter_mut().zip(raw.chunks_exact(4)) {
            *to = <[u8; 4]>::try_from(from).map_or(0, u32::from_ne_bytes);
        }
        Ok(filter)
    }

    fn get_icmp6(&self, c: &OptCall<'_>) -> Result<OptValue> {
        match c.name {
            _ if self.proto != ICMPV6 => Err(Errno::EOPNOTSUPP),
            1 => {
                c.room()?;
                let filter = self.state.lock().filter;
                let raw = filter.iter().flat_map(|w| w.to_ne_bytes());
                Ok(OptValue::Bytes(raw.collect()))
            }
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn set_icmp6(&self, c: &OptCall<'_>) -> Result<()> {
        match c.name {
            _ if self.proto != ICMPV6 => Err(Errno::EOPNOTSUPP),
            1 => {
                let filter = self.filter_with::<32>(c)?;
                self.state.lock().filter = filter;
                Ok(())
            }
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    /// `IPV6_CHECKSUM` and `IPV6_HDRINCL`.
    fn get_raw6(&self, c: &OptCall<'_>) -> Result<OptValue> {
        c.raw_room()?;
        let s = self.state.lock();
        match c.name {
            IPV6_CHECKSUM => Ok(OptValue::Int(s.checksum.unwrap_or(-1))),
            IPV6_HDRINCL => Ok(OptValue::flag(s.hdrincl)),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn set_raw6(&self, c: &OptCall<'_>) -> Result<()> {
        let n = c.int()?;
        match c.name {
            // ICMPv6 has its checksum at the place it has.
            IPV6_CHECKSUM if self.proto == ICMPV6 && c.level == SOL_IPV6 => Err(Errno::EINVAL),
            IPV6_CHECKSUM if n > 0 && n & 1 != 0 => Err(Errno::EINVAL),
            IPV6_CHECKSUM => {
                self.state.lock().checksum = Some(n).filter(|n| *n >= 0);
                Ok(())
            }
            IPV6_HDRINCL => {
                self.state.lock().hdrincl = n != 0;
                Ok(())
            }
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn cmsgs(&self, p: &Packet) -> Vec<(i32, i32, Vec<u8>)> {
        let on = |level, name| self.ip.value(level, name) != 0;
        let int = |n: u8| i32::from(n).to_ne_bytes().to_vec();
        let mut out = Vec::new();
        match p.to {
            IpAddr::V4(ip) => {
                if on(SOL_IP, 8) {
                    let mut raw = p.link.to_ne_bytes().to_vec();
                    raw.extend_from_slice(&ip.octets());
                    raw.extend_from_slice(&ip.octets());
                    out.push((SOL_IP, 8, raw));
                }
                if on(SOL_IP, 12) {
                    out.push((SOL_IP, 2, int(p.ttl)));
                }
                if on(SOL_IP, 13) {
                    out.push((SOL_IP, 1, vec![p.tos]));
                }
            }
            IpAddr::V6(ip) => {
                if on(SOL_IPV6, 49) {
                    let mut raw = ip.octets().to_vec();
                    raw.extend_from_slice(&p.link.to_ne_bytes());
                    out.push((SOL_IPV6, 50, raw));
                }
                if on(SOL_IPV6, 51) {
                    out.push((SOL_IPV6, 52, int(p.ttl)));
                }
                if on(SOL_IPV6, 66) {
                    out.push((SOL_IPV6, 67, int(p.tos)));
                }
            }
        }
        out
    }
}

impl Drop for RawSocket {
    fn drop(&mut self) {
        let outside = &self.common.net.outside;
        let left = RawSocket::all(outside);
        let state = self.state.get_mut();
        state.groups.clear(&self.common.net);
        let wanted = left.iter().any(|s| !s.ping && s.proto == self.proto);
        if !self.ping && !wanted {
            outside.look(|s| s.raw.remove(&self.proto));
        }
    }
}
