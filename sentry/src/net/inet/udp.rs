//! UDP sockets on the loopback (`udp(7)`).

use std::any::Any;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::fs::PollEvents;

use super::option::{IP_PKTINFO, IPV6_RECVPKTINFO, IPV6_V6ONLY, IpOptions, SOL_IP, SOL_IPV6};
use super::ports::{Binding, Rules};
use super::{canonical, check_bindable, check_port, destination, of_family, shown, source};
use crate::io::{IoDst, IoSrc};
use crate::net::{
    AF_INET6, Common, MsgFlags, OptValue, READABLE, Received, SendArgs, Shut, SockAddr, SockType,
    Socket, WRITABLE,
};
use crate::sync::Mutex;
use crate::task::Task;
use crate::{Kernel, Result};

/// Most bytes of a datagram over IPv4; IPv6 takes 20 more.
const MAX_V4: usize = 65_507;
/// What a queued datagram is charged beyond its bytes.
const OVERHEAD: usize = 512;

/// A UDP socket.
pub struct UdpSocket {
    me: Weak<UdpSocket>,
    kernel: Weak<Kernel>,
    common: Common,
    ip: IpOptions,
    state: Mutex<State>,
    rx: Mutex<Rx>,
}

#[derive(Default)]
struct State {
    local: Option<SocketAddr>,
    peer: Option<SocketAddr>,
    shut_read: bool,
    shut_write: bool,
}

struct Datagram {
    from: SocketAddr,
    to: IpAddr,
    data: Vec<u8>,
}

#[derive(Default)]
struct Rx {
    queue: VecDeque<Datagram>,
    used: usize,
}

impl UdpSocket {
    /// A new socket.
    pub fn create(kernel: &Arc<Kernel>, domain: u16) -> Arc<UdpSocket> {
        Arc::new_cyclic(|me| UdpSocket {
            me: me.clone(),
            kernel: Arc::downgrade(kernel),
            common: Common::new(kernel, domain, SockType::Dgram, 17),
            ip: IpOptions::default(),
            state: Mutex::default(),
            rx: Mutex::default(),
        })
    }

    fn bind_to(&self, kernel: &Kernel, addr: SocketAddr) -> Result<SocketAddr> {
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
        let port = kernel.net.inet.udp.bind(Rules::Udp, addr.port(), new)?;
        let bound = SocketAddr::new(addr.ip(), port);
        self.state.lock().local = Some(bound);
        Ok(bound)
    }

    /// The bound address, binding to an ephemeral port if there is none.
    fn bound(&self, kernel: &Kernel) -> Result<SocketAddr> {
        let local = self.state.lock().local;
        match local {
            Some(l) => Ok(l),
            None => {
                let any = super::unspecified(self.common.domain);
                self.bind_to(kernel, SocketAddr::new(any, 0))
            }
        }
    }

    /// Where a message goes.
    fn target(&self, args: &SendArgs<'_>) -> Result<SocketAddr> {
        match args.to {
            Some(SockAddr::Unspec) | None => {
                let peer = self.state.lock().peer;
                peer.ok_or(Errno::EDESTADDRREQ)
            }
            // An IPv6 socket takes an IPv4 address too.
            Some(SockAddr::Inet(to @ SocketAddr::V4(_))) => self.reachable(*to),
            Some(to) => self.reachable(of_family(self.common.domain, to)?),
        }
    }

    fn reachable(&self, to: SocketAddr) -> Result<SocketAddr> {
        if to.port() == 0 {
            return Err(Errno::EINVAL);
        }
        if let IpAddr::V4(ip) = to.ip()
            && ip.is_broadcast()
            && !self.common.options.lock().broadcast
        {
            return Err(Errno::EACCES);
        }
        destination(to)
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
    fn packet_info(&self, to: IpAddr) -> Option<(i32, i32, Vec<u8>)> {
        let index = super::LO_INDEX;
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

impl Socket for UdpSocket {
    fn common(&self) -> &Common {
        &self.common
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn bind(&self, t: &Arc<Task>, addr: &SockAddr) -> Result<()> {
        let addr = canonical(of_family(self.common.domain, addr)?);
        check_bindable(addr.ip())?;
        check_port(t, addr.port())?;
        if self.state.lock().local.is_some() {
            return Err(Errno::EINVAL);
        }
        self.bind_to(&t.kernel, addr).map(drop)
    }

    fn connect(&self, t: &Arc<Task>, addr: &SockAddr) -> Result<()> {
        let udp = &t.kernel.net.inet.udp;
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
        let mut to = of_family(self.common.domain, addr)?;
        to = destination(to)?;
        let bound = self.bound(&t.kernel)?;
        let ip = if bound.ip().is_unspecified() {
            source(to.ip())
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
        let to = self.target(&args)?;
        self.common.check_error()?;
        if self.state.lock().shut_write {
            return Err(Errno::EPIPE);
        }
        let len = src.remaining();
        if len > MAX_V4 + if to.is_ipv6() { 20 } else { 0 } {
            return Err(Errno::EMSGSIZE);
        }
        let kernel = &args.task.kernel;
        let local = self.bound(kernel)?;
        let from = if local.ip().is_unspecified() {
            SocketAddr::new(source(to.ip()), local.port())
        } else {
            local
        };
        let mut data = vec![0; len];
        if src.take(&mut data)? < len {
            return Err(Errno::EFAULT);
        }
        match kernel.net.inet.udp.find(to, from, false) {
            Some(target) => target.deliver(Datagram {
                from,
                to: to.ip(),
                data,
            }),
            // The ICMP port unreachable reaches connected senders only.
            None if self.state.lock().peer == Some(to) => {
                self.common.set_error(Errno::ECONNREFUSED);
                self.common.pollee.notify(PollEvents::ERR | READABLE);
            }
            None => {}
        }
        Ok(len)
    }

    fn recv(&self, dst: &mut dyn IoDst, flags: MsgFlags) -> Result<Received> {
        self.common.check_error()?;
        if flags.intersects(MsgFlags::OOB | MsgFlags::ERRQUEUE) {
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
        let to = first.to;
        if bytes < full {
            got.flags |= MsgFlags::TRUNC;
        }
        if !flags.contains(MsgFlags::PEEK) {
            rx.queue.pop_front();
            rx.used = rx.used.saturating_sub(full + OVERHEAD);
        }
        drop(rx);
        got.cmsgs.extend(self.packet_info(to));
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
        if self.common.has_error() {
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
        self.ip.get(self.common.domain, 17, level, name)
    }

    fn set_option(&self, _t: &Arc<Task>, level: i32, name: i32, value: &[u8]) -> Result<()> {
        if level == 1 {
            return Err(Errno::ENOPROTOOPT);
        }
        let v6only = (level, name) == (SOL_IPV6, IPV6_V6ONLY);
        if v6only && self.common.domain == AF_INET6 && self.state.lock().local.is_some() {
            return Err(Errno::EINVAL);
        }
        self.ip.set(self.common.domain, 17, level, name, value)
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        let local = self.state.get_mut().local;
        if let (Some(kernel), Some(local)) = (self.kernel.upgrade(), local) {
            kernel.net.inet.udp.release(local.port(), &self.me);
        }
    }
}
