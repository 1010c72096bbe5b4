//! TCP endpoints in memory (`tcp(7)`): connections, listening, closing. [`super::tcp_io`]
//! moves the bytes.
//!
//! Each endpoint owns the bytes it will read; the two ends refer to each other weakly.
//! Lock rule: of `state` and `rx` at most one lock of one socket is held at a time.

use std::any::Any;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::fs::PollEvents;

use super::errors::ErrorQueue;
use super::option::{IPV6_V6ONLY, IpOptions, Owner, SOL_IPV6, SOL_TCP, What};
use super::ports::{Binding, Rules};
use super::rows::SocketRow;
use super::stream::Stream;
use super::{Target, canonical, check_bindable, check_port, destination, of_family, shown, source};
use crate::io::{IoDst, IoSrc};
use crate::net::options::SOL_SOCKET;
use crate::net::{
    Common, MsgFlags, NetNs, OptCall, OptValue, READABLE, Received, SendArgs, Shut, SockAddr,
    SockType, Socket, WRITABLE,
};
use crate::sync::Mutex;
use crate::task::Task;
use crate::{Kernel, Result};

/// `SO_SNDBUF` and `SO_RCVBUF` of a new socket (`tcp_wmem`, `tcp_rmem`).
const SNDBUF: i32 = 16_384;
const RCVBUF: i32 = 131_072;
/// `SO_SNDBUF` once connected over the loopback.
const SNDBUF_CONNECTED: i32 = 2_626_560;

/// A TCP socket.
pub struct TcpSocket {
    pub(super) me: Weak<TcpSocket>,
    pub(super) kernel: Weak<Kernel>,
    pub(super) common: Common,
    pub(super) ip: IpOptions,
    pub(super) state: Mutex<State>,
    pub(super) rx: Mutex<Stream>,
    /// What our stack knows it by.
    pub(super) owner: u64,
    /// Its connection in our stack, 0 for none.
    pub(super) conn: AtomicU64,
    /// What became of sends without a copy.
    pub(super) errors: ErrorQueue,
    /// How many of them there were.
    pub(super) copied: AtomicU32,
    /// Bytes read that the stack has not been told of.
    pub(super) unreported_reads: AtomicUsize,
}

/// Where a socket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Neither connected nor listening.
    Closed,
    /// Waits for room in the listener's queue.
    Connecting,
    /// Connected, or half closed.
    Connected,
    /// Listening.
    Listening,
}

pub(super) struct State {
    pub(super) phase: Phase,
    /// Bound address, canonical.
    pub(super) local: Option<SocketAddr>,
    /// Bound by connect, not by the guest: a connect that fails gives it back.
    pub(super) auto: bool,
    pub(super) peer_addr: Option<SocketAddr>,
    pub(super) peer: Weak<TcpSocket>,
    /// A connect has been started whose outcome no call has reported.
    pub(super) unreported: bool,
    /// `read`: no more will come (FIN, or shut); `write`: our FIN is sent.
    pub(super) shut: Shut,
    /// Never handed out by accept: its end is a reset.
    pub(super) embryo: bool,
    pub(super) queue: VecDeque<Arc<TcpSocket>>,
    pub(super) backlog: usize,
    /// Connects that found the queue full.
    blocked: Vec<Weak<TcpSocket>>,
}

impl TcpSocket {
    /// A new socket.
    pub fn create(kernel: &Arc<Kernel>, net: &Arc<NetNs>, domain: u16) -> Arc<TcpSocket> {
        let common = Common::new(kernel, net, domain, SockType::Stream, 6);
        {
            let mut o = common.options.lock();
            (o.sndbuf, o.rcvbuf) = (SNDBUF, RCVBUF);
        }
        Arc::new_cyclic(|me| TcpSocket {
            me: me.clone(),
            kernel: Arc::downgrade(kernel),
            common,
            ip: IpOptions::default(),
            state: Mutex::new(State {
                phase: Phase::Closed,
                local: None,
                auto: false,
                peer_addr: None,
                peer: Weak::new(),
                unreported: false,
                shut: Shut {
                    read: false,
                    write: false,
                },
                embryo: false,
                queue: VecDeque::new(),
                backlog: 0,
                blocked: Vec::new(),
            }),
            rx: Mutex::default(),
            owner: net.outside.new_owner(),
            conn: AtomicU64::new(0),
            errors: ErrorQueue::default(),
            copied: AtomicU32::new(0),
            unreported_reads: AtomicUsize::new(0),
        })
    }

    pub(super) fn v6only(&self) -> bool {
        self.ip.value(SOL_IPV6, IPV6_V6ONLY) != 0
    }

    fn binding(&self, ip: std::net::IpAddr) -> Binding<TcpSocket> {
        let o = self.common.options.lock();
        Binding {
            ip,
            v6only: self.v6only(),
            reuseaddr: o.reuseaddr,
            reuseport: o.reuseport,
            listening: false,
            peer: None,
            link: o.link,
            socket: self.me.clone(),
        }
    }

    fn bind_to(&self, addr: SocketAddr) -> Result<SocketAddr> {
        let new = self.binding(addr.ip());
        let port = self
            .common
            .net
            .inet
            .tcp
            .bind(Rules::Tcp, addr.port(), new)?;
        let bound = SocketAddr::new(addr.ip(), port);
        self.state.lock().local = Some(bound);
        Ok(bound)
    }

    /// The address it is bound to towards `to`, binding now if it is not.
    fn local_towards(&self, to: Target) -> Result<SocketAddr> {
        let local = self.state.lock().local;
        let local = match local {
            Some(l) if !l.ip().is_unspecified() => l,
            Some(l) => SocketAddr::new(source(&self.common.net, to), l.port()),
            None => {
                let bound = self.bind_to(SocketAddr::new(source(&self.common.net, to), 0))?;
                self.state.lock().auto = true;
                bound
            }
        };
        self.state.lock().local = Some(local);
        Ok(local)
    }

    /// Takes another ephemeral port instead of the one it has.
    pub(super) fn rebind(&self) -> Result<()> {
        let old = self.state.lock().local.take().ok_or(Errno::EINVAL)?;
        self.common.net.inet.tcp.release(old.port(), &self.me);
        self.bind_to(SocketAddr::new(old.ip(), 0))?;
        self.state.lock().auto = true;
        Ok(())
    }

    /// One try of the handshake with whoever listens at the peer address. `EAGAIN` when
    /// the queue there is full.
    fn establish(&self, kernel: &Arc<Kernel>) -> Result<()> {
        let (local, to) = {
            let s = self.state.lock();
            match (s.local, s.peer_addr) {
                (Some(l), Some(p)) => (l, p),
                _ => return Err(Errno::EINVAL),
            }
        };
        let ports = &self.common.net.inet.tcp;
        let listener = ports
            .find(to, local, super::LO_INDEX, true)
            .ok_or(Errno::ECONNREFUSED)?;
        let server = TcpSocket::create(kernel, &self.common.net, listener.common.domain);
        *server.common.options.lock() = listener.common.options.lock().clone();
        {
            let mut s = server.state.lock();
            s.phase = Phase::Connected;
            s.local = Some(to);
            s.peer_addr = Some(local);
            s.peer = self.me.clone();
            s.embryo = true;
        }
        server.grow_buffer();
        {
            let mut l = listener.state.lock();
            if l.phase != Phase::Listening {
                return Err(Errno::ECONNREFUSED);
            }
            if l.queue.len() > l.backlog {
                l.blocked.push(self.me.clone());
                return Err(Errno::EAGAIN);
            }
            let held = server.binding(to.ip());
            ports.add(
                to.port(),
                Binding {
                    peer: Some(local),
                    ..held
                },
            );
            l.queue.push_back(server.clone());
        }
        self.grow_buffer();
        {
            let mut s = self.state.lock();
            s.phase = Phase::Connected;
            s.peer = Arc::downgrade(&server);
        }
        listener.common.pollee.notify(READABLE);
        self.common.pollee.notify(WRITABLE);
        Ok(())
    }

    /// Goes on with a connect that waited for room.
    fn retry_establish(&self, kernel: &Arc<Kernel>) {
        if self.state.lock().phase != Phase::Connecting {
            return;
        }
        match self.establish(kernel) {
            Ok(()) | Err(Errno::EAGAIN) => {}
            Err(e) => self.fail_connect(e),
        }
    }

    pub(super) fn fail_connect(&self, e: Errno) {
        let given_back = {
            let mut s = self.state.lock();
            s.phase = Phase::Closed;
            let auto = std::mem::take(&mut s.auto);
            if auto { s.local.take() } else { None }
        };
        if let Some(local) = given_back {
            self.common.net.inet.tcp.release(local.port(), &self.me);
        }
        self.common.set_error(e);
        self.common.pollee.notify(PollEvents::all());
    }

    /// The send buffer of a connected socket is tuned up unless it was set.
    fn grow_buffer(&self) {
        let mut o = self.common.options.lock();
        if o.sndbuf == SNDBUF {
            o.sndbuf = SNDBUF_CONNECTED;
        }
    }

    /// The peer is gone without a proper end.
    pub(super) fn reset(&self, e: Errno) {
        {
            let mut s = self.state.lock();
            s.shut = Shut {
                read: true,
                write: true,
            };
            s.phase = Phase::Closed;
        }
        self.common.set_error(e);
        self.common.pollee.notify(PollEvents::all());
    }

    /// The peer sends no more.
    fn fin(&self) {
        self.state.lock().shut.read = true;
        self.common
            .pollee
            .notify(READABLE | PollEvents::RDHUP | PollEvents::HUP);
    }

    /// Stops listening: queued connections are reset, waiting ones refused.
    fn stop_listening(&self) {
        let (queue, blocked) = {
            let mut s = self.state.lock();
            s.phase = Phase::Closed;
            s.shut.read = true;
            (std::mem::take(&mut s.queue), std::mem::take(&mut s.blocked))
        };
        drop(queue);
        self.unlisten_outside();
        for waiting in blocked.iter().filter_map(Weak::upgrade) {
            waiting.fail_connect(Errno::ECONNREFUSED);
        }
        self.common.pollee.notify(PollEvents::all());
    }
}

impl Socket for TcpSocket {
    fn common(&self) -> &Common {
        &self.common
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn bind(&self, t: &Arc<Task>, addr: &SockAddr) -> Result<()> {
        let addr = match addr {
            SockAddr::Unspec if self.common.domain == super::super::AF_INET => {
                return Err(Errno::EAFNOSUPPORT);
            }
            _ => canonical(of_family(self.common.domain, addr)?),
        };
        check_bindable(&self.common.net, addr.ip(), &self.ip)?;
        check_port(&self.common.net, t, addr.port())?;
        {
            let s = self.state.lock();
            if s.local.is_some() || s.phase != Phase::Closed {
                return Err(Errno::EINVAL);
            }
        }
        self.bind_to(addr)?;
        // An address of IPv6 alone keeps it to that family.
        if addr.is_ipv6() && !addr.ip().is_unspecified() {
            self.ip.put(SOL_IPV6, IPV6_V6ONLY, 1);
        }
        Ok(())
    }

    fn listen(&self, _t: &Arc<Task>, backlog: i32) -> Result<()> {
        let backlog = usize::try_from(backlog).unwrap_or(0);
        let (phase, local) = {
            let s = self.state.lock();
            (s.phase, s.local)
        };
        match phase {
            Phase::Listening => {
                self.state.lock().backlog = backlog;
                self.listen_outside(backlog);
                return Ok(());
            }
            Phase::Closed => {}
            _ => return Err(Errno::EINVAL),
        }
        let local = match local {
            Some(l) => l,
            None => {
                let any = super::unspecified(self.common.domain);
                self.bind_to(SocketAddr::new(any, 0))?
            }
        };
        self.common.net.inet.tcp.listen(local.port(), &self.me)?;
        let mut s = self.state.lock();
        s.phase = Phase::Listening;
        s.shut.read = false;
        s.backlog = backlog;
        drop(s);
        self.listen_outside(backlog);
        Ok(())
    }

    fn accept(&self, t: &Arc<Task>) -> Result<Arc<dyn Socket>> {
        let (new, blocked) = {
            let mut s = self.state.lock();
            if s.phase != Phase::Listening {
                return Err(Errno::EINVAL);
            }
            let Some(new) = s.queue.pop_front() else {
                drop(s);
                return self.accept_outside(&t.kernel);
            };
            (new, std::mem::take(&mut s.blocked))
        };
        new.state.lock().embryo = false;
        for waiting in blocked.iter().filter_map(Weak::upgrade) {
            waiting.retry_establish(&t.kernel);
        }
        Ok(new)
    }

    fn connect(&self, t: &Arc<Task>, addr: &SockAddr) -> Result<()> {
        if *addr == SockAddr::Unspec {
            return Err(Errno::EAFNOSUPPORT);
        }
        let to = of_family(self.common.domain, addr)?;
        {
            let mut s = self.state.lock();
            match s.phase {
                Phase::Connecting => return Err(Errno::EALREADY),
                Phase::Connected if s.unreported => {
                    s.unreported = false;
                    return Ok(());
                }
                Phase::Connected | Phase::Listening => return Err(Errno::EISCONN),
                Phase::Closed if s.unreported => {
                    s.unreported = false;
                    drop(s);
                    return Err(self.common.take_error().unwrap_or(Errno::ECONNABORTED));
                }
                Phase::Closed => {}
            }
        }
        let target = destination(&self.common.net, to, self.common.options.lock().link)?;
        let to = target.addr();
        self.local_towards(target)?;
        {
            let mut s = self.state.lock();
            s.peer_addr = Some(to);
            s.phase = Phase::Connecting;
            s.unreported = true;
            s.shut = Shut {
                read: false,
                write: false,
            };
        }
        let done = match target {
            Target::Here(_) if !self.common.net.taps.is_on() => self.establish(&t.kernel),
            Target::Here(_) => self.open_outside(&t.kernel),
            Target::Outside(_) => self.open_outside(&t.kernel),
        };
        match done {
            Ok(()) | Err(Errno::EAGAIN) => {}
            Err(e) => self.fail_connect(e),
        }
        Err(Errno::EINPROGRESS)
    }

    fn connected(&self) -> Result<()> {
        let phase = {
            let mut s = self.state.lock();
            if s.phase == Phase::Connecting {
                return Err(Errno::EAGAIN);
            }
            s.unreported = false;
            s.phase
        };
        if phase == Phase::Closed {
            return Err(self.common.take_error().unwrap_or(Errno::ECONNABORTED));
        }
        Ok(())
    }

    fn send(&self, src: &mut dyn IoSrc, args: SendArgs<'_>) -> Result<usize> {
        let n = self.send_bytes(src, args.flags)?;
        if args.flags.contains(MsgFlags::ZEROCOPY) && n > 0 {
            self.tell_copied();
        }
        Ok(n)
    }

    fn recv(&self, dst: &mut dyn IoDst, flags: MsgFlags) -> Result<Received> {
        self.recv_bytes(dst, flags)
    }

    fn shutdown(&self, how: Shut) -> Result<()> {
        let (phase, peer) = {
            let mut s = self.state.lock();
            if s.phase == Phase::Connected {
                s.shut.read |= how.read;
                s.shut.write |= how.write;
            }
            (s.phase, s.peer.upgrade())
        };
        match phase {
            Phase::Listening if how.read => self.stop_listening(),
            Phase::Listening => {}
            Phase::Connected if self.conn().is_some() => {
                self.shutdown_outside(how);
                self.common.pollee.notify(PollEvents::all());
            }
            Phase::Connected => {
                if let Some(peer) = peer.filter(|_| how.write) {
                    peer.fin();
                }
                self.common.pollee.notify(PollEvents::all());
            }
            _ => return Err(Errno::ENOTCONN),
        }
        Ok(())
    }

    fn local_addr(&self) -> Result<SockAddr> {
        let local = self.state.lock().local;
        Ok(super::shown_local(self.common.domain, local))
    }

    fn peer_addr(&self) -> Result<SockAddr> {
        let s = self.state.lock();
        match (s.phase, s.peer_addr) {
            (Phase::Connected, Some(a)) => Ok(shown(self.common.domain, a)),
            _ => Err(Errno::ENOTCONN),
        }
    }

    fn poll(&self) -> PollEvents {
        let (phase, shut, pending) = {
            let s = self.state.lock();
            (s.phase, s.shut, !s.queue.is_empty())
        };
        if phase == Phase::Listening {
            return if pending || self.can_accept_outside() {
                READABLE
            } else {
                PollEvents::empty()
            };
        }
        let mut ready = PollEvents::empty();
        if self.common.has_error() || !self.errors.is_empty() {
            ready |= PollEvents::ERR;
        }
        if phase == Phase::Connecting {
            return ready;
        }
        if let Some(id) = self.conn().filter(|_| phase == Phase::Connected) {
            return ready | self.poll_outside(id, shut);
        }
        if phase == Phase::Closed || (shut.read && shut.write) {
            ready |= PollEvents::HUP;
        }
        if shut.read {
            ready |= READABLE | PollEvents::RDHUP;
        }
        let inline = self.inline();
        {
            let rx = self.rx.lock();
            if rx.is_readable(inline) && self.reaches_low(rx.len()) {
                ready |= READABLE;
            }
            if rx.has_urgent() {
                ready |= PollEvents::PRI;
            }
        }
        if shut.write || self.has_room() {
            ready |= WRITABLE;
        }
        ready
    }

    fn queued(&self) -> Result<(usize, usize)> {
        if self.state.lock().phase == Phase::Listening {
            return Err(Errno::EINVAL);
        }
        if let Some(id) = self.conn() {
            return Ok(self.queued_outside(id));
        }
        let inline = self.inline();
        Ok((self.rx.lock().queued(inline), 0))
    }

    fn at_mark(&self) -> bool {
        self.rx.lock().is_at_mark()
    }

    fn get_option(&self, c: &OptCall<'_>) -> Option<Result<OptValue>> {
        const TCP_INFO: i32 = 11;
        const SO_ACCEPTCONN: i32 = 30;
        Some(match (c.level, c.name) {
            (SOL_TCP, TCP_INFO) => c.room().map(|_| {
                let info = self.info_outside();
                OptValue::Bytes(info.unwrap_or_else(|| self.info()))
            }),
            (SOL_SOCKET, SO_ACCEPTCONN) => {
                let listening = self.state.lock().phase == Phase::Listening;
                Ok(OptValue::flag(listening))
            }
            (SOL_SOCKET, _) => return None,
            _ => self.ip.get(c, self.owner()),
        })
    }

    fn set_option(&self, c: &OptCall<'_>) -> Result<()> {
        self.ip.set(c, self.owner())?;
        self.apply_outside();
        Ok(())
    }

    fn options_changed(&self) {
        let local = self.state.lock().local;
        if let Some(local) = local {
            let link = self.common.options.lock().link;
            let ports = &self.common.net.inet.tcp;
            ports.change(local.port(), &self.me, |b| b.link = link);
        }
        self.apply_outside();
    }
}

impl TcpSocket {
    /// What options may depend on.
    fn owner(&self) -> Owner {
        let s = self.state.lock();
        let connected = s.phase == Phase::Connected;
        Owner {
            what: What::Tcp,
            domain: self.common.domain,
            number: s.local.map_or(0, |a| a.port()),
            peer: s.peer_addr.filter(|_| connected).map(|a| a.ip()),
            open: matches!(s.phase, Phase::Connected | Phase::Connecting),
            listening: s.phase == Phase::Listening,
            lite: false,
        }
    }

    /// Its row in the socket tables.
    pub(super) fn row(&self) -> SocketRow {
        let state = self.outside_state().unwrap_or_else(|| self.state_number());
        let (local, peer) = {
            let s = self.state.lock();
            (s.local, s.peer_addr)
        };
        let queued = self.queued().unwrap_or_default();
        SocketRow::new(&self.common, local, peer, state, queued)
    }

    /// The state a loopback connection has, in Linux's numbers.
    fn state_number(&self) -> u8 {
        const ESTABLISHED: u8 = 1;
        const CLOSE_WAIT: u8 = 8;
        const FIN_WAIT2: u8 = 5;
        const CLOSE: u8 = 7;
        const LISTEN: u8 = 10;
        const SYN_SENT: u8 = 2;
        let (phase, shut) = {
            let s = self.state.lock();
            (s.phase, s.shut)
        };
        match (phase, shut.read, shut.write) {
            (Phase::Listening, ..) => LISTEN,
            (Phase::Connecting, ..) => SYN_SENT,
            (Phase::Connected, false, false) => ESTABLISHED,
            (Phase::Connected, true, false) => CLOSE_WAIT,
            (Phase::Connected, false, true) => FIN_WAIT2,
            _ => CLOSE,
        }
    }

    /// `struct tcp_info`: the state and sizes a loopback connection has.
    fn info(&self) -> Vec<u8> {
        let state = self.state_number();
        let mut raw = vec![0; 232];
        if let Some(b) = raw.first_mut() {
            *b = state;
        }
        // tcpi_snd_mss, tcpi_rcv_mss.
        for at in [16, 20] {
            if let Some(b) = raw.get_mut(at..at + 4) {
                b.copy_from_slice(&65_483u32.to_ne_bytes());
            }
        }
        raw
    }
}

impl Drop for TcpSocket {
    fn drop(&mut self) {
        let linger = self.common.options.get_mut().linger;
        let unread = !self.rx.get_mut().is_empty();
        let (peer, embryo, local, listening) = {
            let s = self.state.get_mut();
            let peer = std::mem::take(&mut s.peer).upgrade();
            (peer, s.embryo, s.local, s.phase == Phase::Listening)
        };
        if let Some(local) = local {
            self.common.net.inet.tcp.release(local.port(), &self.me);
        }
        if listening {
            self.stop_listening();
        }
        self.close_outside(unread || linger == Some(0));
        if let Some(peer) = peer {
            if unread || embryo || linger == Some(0) {
                peer.reset(Errno::ECONNRESET);
            } else {
                peer.fin();
            }
        }
    }
}
