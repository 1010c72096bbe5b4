//! The relay to a resolver that listens on the loopback of the host's network namespace
//! (Docker's, at 127.0.0.11:53): questions that guests send there go out over a socket the
//! host handed in, answers come back to whoever asked.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::link::Mark;
use crate::Kernel;
use crate::fs::host_watch::WatchedFd;
use crate::net::NetNs;
use crate::net::inet::udp::UdpSocket;
use crate::sync::Mutex;
use crate::wait::Wake;

/// Where Docker's resolver is.
pub const RESOLVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11)), 53);
/// Questions under way.
const MAX_ASKED: usize = 1024;
/// An answer is waited for this long.
const PATIENCE: Duration = Duration::from_secs(30);
const MAX_MESSAGE: usize = 65_535;

struct Asked {
    /// Who asked, and how the question was numbered.
    from: SocketAddr,
    id: [u8; 2],
    at: Duration,
}

struct Open {
    watched: WatchedFd,
    ready: Arc<AtomicBool>,
    _mark: Arc<dyn Wake>,
    asked: HashMap<u16, Asked>,
    next: u16,
}

/// The relay. Lock rank: leaf.
#[derive(Default)]
pub struct Relay(Mutex<Option<Open>>);

impl Relay {
    /// Starts relaying over a connected datagram socket that does not block.
    pub(super) fn open(&self, kernel: &Arc<Kernel>, net: &Arc<NetNs>, fd: OwnedFd) {
        let ready = Arc::new(AtomicBool::new(false));
        let mark: Arc<dyn Wake> = Arc::new(Mark::flag(kernel, net, &ready));
        let watched = WatchedFd::new(kernel, fd, Arc::downgrade(&mark));
        let mut seed = [0; 2];
        // Without random bytes the numbers are only easier to guess.
        let _ = platform::host::random(&mut seed);
        let open = Open {
            watched,
            ready,
            _mark: mark,
            asked: HashMap::new(),
            next: u16::from_ne_bytes(seed),
        };
        *self.0.lock() = Some(open);
    }

    /// Whether there is a resolver to relay to.
    pub fn is_open(&self) -> bool {
        self.0.lock().is_some()
    }

    /// Sends a question on; whether there was somebody to send it to.
    pub fn ask(&self, kernel: &Kernel, from: SocketAddr, question: &[u8]) -> bool {
        let now = kernel.clock.monotonic();
        let mut relay = self.0.lock();
        let Some(open) = relay.as_mut() else {
            return false;
        };
        let Some((&[a, b], rest)) = question.split_first_chunk::<2>() else {
            return true;
        };
        if open.asked.len() >= MAX_ASKED {
            open.asked
                .retain(|_, q| now.saturating_sub(q.at) < PATIENCE);
        }
        if open.asked.len() >= MAX_ASKED {
            return true;
        }
        while open.asked.contains_key(&open.next) {
            open.next = open.next.wrapping_add(1);
        }
        let id = open.next;
        open.next = id.wrapping_mul(75).wrapping_add(74);
        let mut message = id.to_be_bytes().to_vec();
        message.extend_from_slice(rest);
        let asked = Asked {
            from,
            id: [a, b],
            at: now,
        };
        open.asked.insert(id, asked);
        if platform::host::write_at(open.watched.fd().as_fd(), None, &message).is_err() {
            // Lost, as a datagram may be: the guest asks again.
            open.asked.remove(&id);
        }
        open.watched.arm();
        true
    }

    /// Brings answers that have come.
    pub(super) fn work(&self, net: &NetNs) {
        let mut answers = Vec::new();
        {
            let mut relay = self.0.lock();
            let Some(open) = relay.as_mut() else {
                return;
            };
            if !open.ready.swap(false, Ordering::AcqRel) {
                return;
            }
            let mut buf = vec![0; MAX_MESSAGE];
            while let Ok(n) = platform::host::read_at(open.watched.fd().as_fd(), None, &mut buf) {
                let answer = buf.get(..n).unwrap_or_default();
                let Some((&id, rest)) = answer.split_first_chunk::<2>() else {
                    continue;
                };
                if let Some(asked) = open.asked.remove(&u16::from_be_bytes(id)) {
                    let mut message = asked.id.to_vec();
                    message.extend_from_slice(rest);
                    answers.push((asked.from, message));
                }
            }
            open.watched.arm();
        }
        for (to, message) in answers {
            UdpSocket::local_answer(net, RESOLVER, to, message);
        }
    }
}
