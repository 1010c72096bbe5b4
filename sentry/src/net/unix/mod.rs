//! Unix sockets (`unix(7)`).
//!
//! A [`UnixSocket`] owns the queue it receives into ([`queue`]); a connected pair refers to
//! each other weakly, so that a close is seen. [`transfer`] sends and receives, [`names`]
//! binds and finds, [`rights`] guards descriptors in flight.
//!
//! Lock order: `state` and `rx` are both leaves; neither is held over the other or over a
//! notification. User memory is copied out under `rx`.

mod connect;
pub mod list;
mod names;
mod option;
mod queue;
mod rights;
mod transfer;

use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::fs::PollEvents;

use super::addr::UnixAddr;
use super::{
    AF_UNIX, Common, MsgFlags, NetNs, OptCall, OptValue, READABLE, Received, SendArgs, Shut,
    SockAddr, SockType, Socket, WRITABLE,
};
use crate::io::{IoDst, IoSrc};
use crate::landlock::Domain;
use crate::sync::Mutex;
use crate::task::Task;
use crate::{Kernel, Result};
pub use connect::pair;
pub use names::Names;
use option::Identity;
use queue::Rx;
pub use rights::{InFlight, SCM_MAX_FD};

/// Messages an unconnected receiver takes before senders wait (`max_dgram_qlen`).
const DGRAM_QLEN: usize = 10;

/// A unix socket.
pub struct UnixSocket {
    me: Weak<UnixSocket>,
    kernel: Weak<Kernel>,
    common: Common,
    state: Mutex<State>,
    rx: Mutex<Rx>,
    /// Bytes sent by a message socket and not yet taken.
    in_flight: AtomicUsize,
}

struct State {
    local: UnixAddr,
    /// The domain of who gave it its name.
    domain: Domain,
    peer: Option<Weak<UnixSocket>>,
    /// Name and identity of the peer when the connection was made.
    peer_name: UnixAddr,
    peer_identity: Option<Identity>,
    /// Whether it ever was connected.
    connected: bool,
    listener: Option<Listener>,
    shut: Shut,
}

struct Listener {
    queue: VecDeque<Arc<UnixSocket>>,
    max: usize,
    identity: Identity,
}

impl UnixSocket {
    /// A new socket; `EPROTONOSUPPORT`, `ESOCKTNOSUPPORT`.
    pub fn create(
        kernel: &Arc<Kernel>,
        net: &Arc<NetNs>,
        kind: SockType,
        protocol: i32,
    ) -> Result<Arc<UnixSocket>> {
        if protocol != 0 && protocol != i32::from(AF_UNIX) {
            return Err(Errno::EPROTONOSUPPORT);
        }
        // Linux makes a datagram socket of a raw one.
        let kind = if kind == SockType::Raw {
            SockType::Dgram
        } else {
            kind
        };
        let socket = Arc::new_cyclic(|me| UnixSocket {
            me: me.clone(),
            kernel: Arc::downgrade(kernel),
            common: Common::new(kernel, net, AF_UNIX, kind, 0),
            state: Mutex::new(State {
                local: UnixAddr::Unnamed,
                domain: Domain::default(),
                peer: None,
                peer_name: UnixAddr::Unnamed,
                peer_identity: None,
                connected: false,
                listener: None,
                shut: Shut {
                    read: false,
                    write: false,
                },
            }),
            rx: Mutex::default(),
            in_flight: AtomicUsize::new(0),
        });
        net.unix.all.add(&socket);
        Ok(socket)
    }

    /// Whether it carries connections rather than single messages.
    fn connection_based(&self) -> bool {
        self.common.kind != SockType::Dgram
    }

    fn peer(&self) -> Option<Arc<UnixSocket>> {
        self.state.lock().peer.as_ref().and_then(Weak::upgrade)
    }

    /// Whether it would take more: at most a quarter of the send buffer is under way.
    fn writable(&self) -> bool {
        let limit = self.common.sndbuf();
        let peer = self.peer();
        let under_way = match (&peer, self.common.kind) {
            (Some(p), SockType::Stream) => p.rx.lock().used,
            (None, SockType::Stream) => 0,
            _ => self.in_flight.load(Ordering::SeqCst),
        };
        if under_way.saturating_mul(4) > limit {
            return false;
        }
        match peer {
            Some(p) if self.common.kind == SockType::Dgram => !p.is_full_for(self),
            _ => true,
        }
    }

    /// Whether messages of `from` have to wait for the reader of this socket.
    fn is_full_for(&self, from: &UnixSocket) -> bool {
        let paired = {
            let s = self.state.lock();
            let back = s.peer.as_ref().map(Weak::as_ptr);
            back.is_some_and(|p| std::ptr::eq(p, from))
        };
        !paired && self.rx.lock().packets.len() > DGRAM_QLEN
    }

    /// Both directions end, as when the peer is closed.
    fn hang_up(&self, reset: bool) {
        self.state.lock().shut = Shut {
            read: true,
            write: true,
        };
        if reset {
            self.common.set_error(Errno::ECONNRESET);
        }
        self.common.pollee.notify(PollEvents::all());
    }
}

impl Socket for UnixSocket {
    fn common(&self) -> &Common {
        &self.common
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn bind(&self, t: &Arc<Task>, addr: &SockAddr) -> Result<()> {
        match addr {
            SockAddr::Unix(name) => self.bind_name(t, name),
            _ => Err(Errno::EINVAL),
        }
    }

    fn listen(&self, t: &Arc<Task>, backlog: i32) -> Result<()> {
        if !self.connection_based() {
            return Err(Errno::EOPNOTSUPP);
        }
        let max = usize::try_from(backlog).unwrap_or(4096).min(4096);
        let mut s = self.state.lock();
        if s.local == UnixAddr::Unnamed || s.connected {
            return Err(Errno::EINVAL);
        }
        match &mut s.listener {
            Some(l) => l.max = max,
            None => {
                s.listener = Some(Listener {
                    queue: VecDeque::new(),
                    max,
                    identity: Identity::of(t),
                });
            }
        }
        drop(s);
        self.common.pollee.notify(WRITABLE);
        Ok(())
    }

    fn accept(&self, _t: &Arc<Task>) -> Result<Arc<dyn Socket>> {
        if !self.connection_based() {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut s = self.state.lock();
        let down = s.shut.read;
        let listener = s.listener.as_mut().ok_or(Errno::EINVAL)?;
        let Some(new) = listener.queue.pop_front() else {
            return Err(if down { Errno::EINVAL } else { Errno::EAGAIN });
        };
        drop(s);
        // Connects waiting for room in the queue.
        self.common.pollee.notify(WRITABLE);
        let blocked = self.rx.lock().take_blocked();
        queue::wake(blocked);
        Ok(new)
    }

    fn connect(&self, t: &Arc<Task>, addr: &SockAddr) -> Result<()> {
        self.connect_to(t, addr)
    }

    fn send(&self, src: &mut dyn IoSrc, args: SendArgs<'_>) -> Result<usize> {
        match self.common.kind {
            SockType::Stream => self.send_stream(src, args),
            _ => self.send_message(src, args),
        }
    }

    fn recv(&self, dst: &mut dyn IoDst, flags: MsgFlags) -> Result<Received> {
        match self.common.kind {
            SockType::Stream if flags.contains(MsgFlags::OOB) => self.recv_urgent(dst, flags),
            _ if flags.contains(MsgFlags::OOB) => Err(Errno::EOPNOTSUPP),
            SockType::Stream => self.recv_stream(dst, flags),
            _ => self.recv_message(dst, flags),
        }
    }

    fn shutdown(&self, how: Shut) -> Result<()> {
        let peer = {
            let mut s = self.state.lock();
            s.shut.read |= how.read;
            s.shut.write |= how.write;
            s.peer.as_ref().and_then(Weak::upgrade)
        };
        if let Some(peer) = peer.filter(|_| self.connection_based()) {
            {
                let mut s = peer.state.lock();
                s.shut.read |= how.write;
                s.shut.write |= how.read;
            }
            peer.common.pollee.notify(PollEvents::all());
        }
        self.common.pollee.notify(PollEvents::all());
        Ok(())
    }

    fn local_addr(&self) -> Result<SockAddr> {
        Ok(SockAddr::Unix(self.state.lock().local.clone()))
    }

    fn peer_addr(&self) -> Result<SockAddr> {
        let s = self.state.lock();
        if s.peer.is_none() {
            return Err(Errno::ENOTCONN);
        }
        Ok(SockAddr::Unix(s.peer_name.clone()))
    }

    fn poll(&self) -> PollEvents {
        let mut ready = PollEvents::empty();
        if self.common.has_error() {
            ready |= PollEvents::ERR;
        }
        let (shut, idle, listening, pending) = {
            let s = self.state.lock();
            let pending = s.listener.as_ref().is_some_and(|l| !l.queue.is_empty());
            let idle = self.connection_based() && s.listener.is_none() && !s.connected;
            (s.shut, idle, s.listener.is_some(), pending)
        };
        if (shut.read && shut.write) || idle {
            ready |= PollEvents::HUP;
        }
        if shut.read {
            ready |= PollEvents::RDHUP | READABLE;
        }
        {
            let rx = self.rx.lock();
            if pending || !rx.packets.is_empty() {
                ready |= READABLE;
            }
            if rx.packets.iter().any(|p| p.urgent) {
                ready |= PollEvents::PRI;
            }
        }
        if !listening && self.writable() {
            ready |= WRITABLE | PollEvents::WRBAND;
        }
        ready
    }

    fn queued(&self) -> Result<(usize, usize)> {
        if self.state.lock().listener.is_some() {
            return Err(Errno::EINVAL);
        }
        let input = {
            let rx = self.rx.lock();
            match self.common.kind {
                SockType::Stream | SockType::SeqPacket => rx.bytes(),
                _ => rx.packets.front().map_or(0, |p| p.data().len()),
            }
        };
        let output = match self.common.kind {
            SockType::Stream => self.peer().map_or(0, |p| p.rx.lock().used),
            _ => self.in_flight.load(Ordering::SeqCst),
        };
        Ok((input, output))
    }

    fn get_option(&self, c: &OptCall<'_>) -> Option<Result<OptValue>> {
        match c.level {
            super::options::SOL_SOCKET => self.own_option(c),
            _ => Some(Err(Errno::EOPNOTSUPP)),
        }
    }

    fn set_option(&self, _c: &OptCall<'_>) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let s = self.state.get_mut();
        let peer = s.peer.take().and_then(|p| p.upgrade());
        let pending = s.listener.take();
        let local = std::mem::replace(&mut s.local, UnixAddr::Unnamed);
        let rx = std::mem::take(self.rx.get_mut());
        if let UnixAddr::Abstract(name) = &local {
            self.common.net.unix.release(name, &self.me);
        }
        let unread = !rx.packets.is_empty();
        if let Some(peer) = peer.filter(|_| self.connection_based()) {
            peer.hang_up(unread);
        }
        // Connections nobody will accept are reset.
        for embryo in pending.into_iter().flat_map(|l| l.queue) {
            let client = embryo.state.lock().peer.as_ref().and_then(Weak::upgrade);
            if let Some(client) = client {
                client.common.set_error(Errno::ECONNRESET);
            }
        }
        rx.discard();
    }
}
