//! Ports in use, and which socket a packet is for.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use abi::Errno;

use crate::Result;
use crate::sync::Mutex;

/// `/proc/sys/net/ipv4/ip_local_port_range`.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;

/// In place of a link: whichever.
pub(super) const ANY_LINK: i32 = -1;

/// A socket's hold on a port.
pub(super) struct Binding<T> {
    /// Bound address, canonical; unspecified for any.
    pub(super) ip: IpAddr,
    /// An IPv6 wildcard that takes no IPv4.
    pub(super) v6only: bool,
    pub(super) reuseaddr: bool,
    pub(super) reuseport: bool,
    pub(super) listening: bool,
    /// Link whose packets alone it takes; 0 for any.
    pub(super) link: i32,
    /// Connected: takes packets of this peer only.
    pub(super) peer: Option<SocketAddr>,
    pub(super) socket: Weak<T>,
}

impl<T> Binding<T> {
    /// Whether packets to `ip` are for it.
    fn covers(&self, ip: IpAddr) -> bool {
        match self.ip {
            IpAddr::V4(own) if own.is_unspecified() => ip.is_ipv4(),
            IpAddr::V6(own) if own.is_unspecified() => ip.is_ipv6() || !self.v6only,
            own => own == ip,
        }
    }

    fn overlaps(&self, other: &Binding<T>) -> bool {
        let apart = self.link != 0 && other.link != 0 && self.link != other.link;
        !apart && (self.covers(other.ip) || other.covers(self.ip))
    }

    /// Whether packets that came over a link are for it.
    fn takes_link(&self, link: i32) -> bool {
        self.link == 0 || link == ANY_LINK || self.link == link
    }
}

/// Which rules two sockets of one port obey.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// `SO_REUSEADDR` shares a port unless one listens.
    Tcp,
    /// `SO_REUSEADDR` shares a port.
    Udp,
}

fn conflict<T>(rules: Rules, a: &Binding<T>, b: &Binding<T>) -> bool {
    if !a.overlaps(b) || (a.reuseport && b.reuseport) {
        return false;
    }
    let shared = a.reuseaddr && b.reuseaddr;
    !(shared && (rules == Rules::Udp || !(a.listening || b.listening)))
}

/// The ports of one protocol. Lock rank: leaf.
pub(super) struct Table<T> {
    ports: Mutex<HashMap<u16, Vec<Binding<T>>>>,
    next: AtomicU32,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        let mut seed = [0; 4];
        // Without random bytes the numbers are only easier to guess.
        let _ = platform::host::random(&mut seed);
        Table {
            ports: Mutex::default(),
            next: AtomicU32::new(u32::from_ne_bytes(seed)),
        }
    }
}

impl<T> Table<T> {
    /// Binds to `port`, or to a free ephemeral one for 0; `EADDRINUSE`.
    pub(super) fn bind(&self, rules: Rules, port: u16, new: Binding<T>) -> Result<u16> {
        let mut ports = self.ports.lock();
        if port != 0 {
            let there = ports.entry(port).or_default();
            there.retain(|b| b.socket.strong_count() > 0);
            if there.iter().any(|b| conflict(rules, b, &new)) {
                return Err(Errno::EADDRINUSE);
            }
            there.push(new);
            return Ok(port);
        }
        let span = u32::from(EPHEMERAL.end() - EPHEMERAL.start()) + 1;
        for _ in 0..span {
            let n = self.next.fetch_add(1, Ordering::Relaxed) % span;
            let port = EPHEMERAL.start() + u16::try_from(n).unwrap_or(0);
            let there = ports.entry(port).or_default();
            there.retain(|b| b.socket.strong_count() > 0);
            if !there.iter().any(|b| b.overlaps(&new)) {
                there.push(new);
                return Ok(port);
            }
        }
        Err(Errno::EADDRINUSE)
    }

    /// Adds a hold that conflicts with nothing (an accepted connection).
    pub(super) fn add(&self, port: u16, new: Binding<T>) {
        self.ports.lock().entry(port).or_default().push(new);
    }

    /// Changes the hold of `socket`.
    pub(super) fn change(&self, port: u16, socket: &Weak<T>, f: impl FnOnce(&mut Binding<T>)) {
        let mut ports = self.ports.lock();
        let held = ports.get_mut(&port);
        let held = held.and_then(|l| l.iter_mut().find(|b| b.socket.ptr_eq(socket)));
        if let Some(b) = held {
            f(b);
        }
    }

    /// Marks the hold of `socket` as listening; `EADDRINUSE` when another does.
    pub(super) fn listen(&self, port: u16, socket: &Weak<T>) -> Result<()> {
        let mut ports = self.ports.lock();
        let there = ports.get_mut(&port).ok_or(Errno::EINVAL)?;
        there.retain(|b| b.socket.strong_count() > 0);
        let at = there.iter().position(|b| b.socket.ptr_eq(socket));
        let at = at.ok_or(Errno::EINVAL)?;
        let (own, rest) = (at, there.iter().enumerate());
        let taken = rest
            .filter(|(i, b)| *i != own && b.listening)
            .any(|(_, b)| {
                there
                    .get(own)
                    .is_some_and(|o| o.overlaps(b) && !(o.reuseport && b.reuseport))
            });
        if taken {
            return Err(Errno::EADDRINUSE);
        }
        if let Some(b) = there.get_mut(at) {
            b.listening = true;
        }
        Ok(())
    }

    /// Gives up the hold of `socket`.
    pub(super) fn release(&self, port: u16, socket: &Weak<T>) {
        let mut ports = self.ports.lock();
        if let Some(there) = ports.get_mut(&port) {
            there.retain(|b| !b.socket.ptr_eq(socket));
            if there.is_empty() {
                ports.remove(&port);
            }
        }
    }

    /// All sockets with a port.
    pub(super) fn all(&self) -> Vec<Arc<T>> {
        let ports = self.ports.lock();
        let all = ports.values().flatten();
        all.filter_map(|b| b.socket.upgrade()).collect()
    }

    /// All sockets that a packet for many goes to.
    pub(super) fn find_all(&self, to: SocketAddr, from: SocketAddr, link: i32) -> Vec<Arc<T>> {
        let ports = self.ports.lock();
        let there = ports.get(&to.port()).into_iter().flatten();
        there
            .filter(|b| b.covers(to.ip()) && b.takes_link(link))
            .filter(|b| b.peer.is_none_or(|p| p == from))
            .filter_map(|b| b.socket.upgrade())
            .collect()
    }

    /// The socket a packet from `from` to `to` is for: connected before bound before
    /// wildcard; sockets that share a port by `SO_REUSEPORT` are dealt to by the source.
    pub(super) fn find(
        &self,
        to: SocketAddr,
        from: SocketAddr,
        link: i32,
        listening: bool,
    ) -> Option<Arc<T>> {
        let ports = self.ports.lock();
        let mut best: Vec<&Binding<T>> = Vec::new();
        let mut best_score = 0;
        for b in ports.get(&to.port())? {
            if !b.covers(to.ip()) || !b.takes_link(link) || (listening && !b.listening) {
                continue;
            }
            if b.peer.is_some_and(|p| p != from) || b.socket.strong_count() == 0 {
                continue;
            }
            let exact = u8::from(b.ip == to.ip());
            let family = u8::from(b.ip.is_ipv4() == to.ip().is_ipv4());
            let bound = u8::from(b.link != 0);
            let score = 1 + u8::from(b.peer.is_some()) * 8 + exact * 4 + bound * 2 + family;
            if score > best_score {
                best_score = score;
                best.clear();
            }
            if score == best_score {
                best.push(b);
            }
        }
        let shared = best.len() > 1 && best.iter().all(|b| b.reuseport);
        let at = if shared {
            usize::from(from.port()) % best.len()
        } else {
            best.len().checked_sub(1)?
        };
        best.get(at).and_then(|b| b.socket.upgrade())
    }
}
