//! Connecting unix sockets.

use std::sync::Arc;

use abi::Errno;

use super::option::Identity;
use super::{State, UnixSocket};
use crate::net::addr::UnixAddr;
use crate::net::{READABLE, SockAddr, SockType};
use crate::task::Task;
use crate::{Kernel, Result};

/// A connected pair (`socketpair(2)`).
pub fn pair(
    t: &Arc<Task>,
    kind: SockType,
    protocol: i32,
) -> Result<(Arc<UnixSocket>, Arc<UnixSocket>)> {
    let net = &t.net();
    let a = UnixSocket::create(&t.kernel, net, kind, protocol)?;
    let b = UnixSocket::create(&t.kernel, net, kind, protocol)?;
    let own = Identity::of(t);
    a.state.lock().join(&b, UnixAddr::Unnamed, own.clone());
    b.state.lock().join(&a, UnixAddr::Unnamed, own);
    Ok((a, b))
}

impl State {
    /// Records the other side of a connection.
    fn join(&mut self, peer: &Arc<UnixSocket>, name: UnixAddr, identity: Identity) {
        self.peer = Some(Arc::downgrade(peer));
        self.peer_name = name;
        self.peer_identity = Some(identity);
        self.connected = true;
    }
}

impl UnixSocket {
    /// `connect(2)`.
    pub(super) fn connect_to(&self, t: &Arc<Task>, addr: &SockAddr) -> Result<()> {
        let name = match addr {
            SockAddr::Unix(name) => name,
            SockAddr::Unspec if !self.connection_based() => {
                self.state.lock().peer = None;
                return Ok(());
            }
            _ => return Err(Errno::EINVAL),
        };
        let target = self.find(t, name)?;
        if target.common.kind != self.common.kind {
            return Err(Errno::EPROTOTYPE);
        }
        if self.connection_based() {
            self.connect_stream(t, &target)
        } else {
            self.connect_dgram(&target)
        }
    }

    fn connect_dgram(&self, target: &Arc<UnixSocket>) -> Result<()> {
        if !target.accepts_from(self) {
            return Err(Errno::EPERM);
        }
        let name = target.state.lock().local.clone();
        let mut s = self.state.lock();
        s.peer = Some(Arc::downgrade(target));
        s.peer_name = name;
        Ok(())
    }

    /// Whether a message socket takes messages of `from`: it has no peer, or that one.
    pub(super) fn accepts_from(&self, from: &UnixSocket) -> bool {
        let s = self.state.lock();
        let peer = s.peer.as_ref();
        peer.is_none_or(|p| std::ptr::eq(p.as_ptr(), from))
    }

    fn connect_stream(&self, t: &Arc<Task>, target: &Arc<UnixSocket>) -> Result<()> {
        {
            let s = self.state.lock();
            if s.listener.is_some() {
                return Err(Errno::EINVAL);
            }
            if s.connected {
                return Err(Errno::EISCONN);
            }
        }
        let kernel: &Arc<Kernel> = &t.kernel;
        let me = self.me.upgrade().ok_or(Errno::EINVAL)?;
        let server = UnixSocket::create(kernel, &target.common.net, self.common.kind, 0)?;
        let my_name = self.state.lock().local.clone();
        let (name, identity) = {
            let mut s = target.state.lock();
            let name = s.local.clone();
            let down = s.shut.read;
            let listener = s.listener.as_mut().ok_or(Errno::ECONNREFUSED)?;
            if down {
                return Err(Errno::ECONNREFUSED);
            }
            if listener.queue.len() > listener.max {
                drop(s);
                target.rx.lock().block(&self.me);
                return Err(Errno::EAGAIN);
            }
            {
                let mut srv = server.state.lock();
                srv.join(&me, my_name, Identity::of(t));
                srv.local = name.clone();
            }
            listener.queue.push_back(server.clone());
            (name, listener.identity.clone())
        };
        self.state.lock().join(&server, name, identity);
        target.common.pollee.notify(READABLE);
        Ok(())
    }
}
