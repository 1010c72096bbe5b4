//! The network outside the sandbox: our stack ([`netstack`]) on links whose descriptors the
//! host hands in.
//!
//! [`Outside`] owns the one [`Stack`]. Everything that changes it goes through
//! [`NetNs::change`] ([`drive`]), which afterwards sends the frames it made, tells sockets
//! what happened and arms the next deadline, with the stack unlocked. A worker that learns of
//! frames or of a deadline only marks work, and does it in its own loop.
//! [`link`] is a link's descriptor, [`device`] a link that guests have made, [`dns`] the
//! relay to a resolver of the host, [`pcap`] the record of all frames.
//!
//! Lock rank: the stack is a leaf but for the outbox, which is a leaf below it.

pub mod device;
pub mod dns;
mod drive;
pub mod link;
pub mod pcap;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use abi::Errno;
pub use netstack::{Address, Route};
use netstack::{Config, Frame, Stack, Time};

use self::device::Devices;
use self::link::LinkFd;
use super::inet::raw::RawSocket;
use super::inet::tcp::TcpSocket;
use crate::sync::{Mutex, RwLock};
use crate::time::timers::Timer;

/// Ports the host's kernel may use in the network namespace (its resolver asks others from
/// there); the guest's own ephemeral ports end below them.
pub const HOST_PORTS: (u16, u16) = (64_512, 65_534);
/// Numbers of links that guests make beside the host's, which come with theirs.
const FIRST_INDEX: u32 = 1000;
/// Frames that wait to be sent, or to be taken in.
const MAX_OUTBOX: usize = 4096;

/// A link as the host describes it.
#[derive(Debug)]
pub struct LinkSpec {
    /// Number in its network namespace.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Hardware address.
    pub mac: [u8; 6],
    /// Largest packet.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
    /// Addresses.
    pub addresses: Vec<Address>,
    /// A packet socket with an offload header, where the link is new.
    pub fd: Option<OwnedFd>,
}

/// The network as the host describes it: replaces what was known before.
#[derive(Debug, Default)]
pub struct NetSpec {
    /// Links but the loopback.
    pub links: Vec<LinkSpec>,
    /// Routes.
    pub routes: Vec<Route>,
    /// A datagram socket connected to a resolver on the host's loopback.
    pub resolver: Option<OwnedFd>,
}

/// The stack and its links.
pub struct Outside {
    stack: Mutex<Stack>,
    links: RwLock<Vec<Arc<LinkFd>>>,
    outbox: Mutex<VecDeque<Frame>>,
    sending: Mutex<()>,
    pending: AtomicBool,
    attached: AtomicBool,
    /// Whether the loopback is up and has the addresses it has by default, by family.
    loopback: [AtomicBool; 2],
    /// Whether no address was ever there: Linux takes any for its own then.
    fresh: AtomicBool,
    next_index: AtomicU32,
    /// Whether a packet socket was ever made here.
    seen: AtomicBool,
    /// Links that guests have made.
    pub(crate) devices: Devices,
    /// Frames that came from other namespaces, by link.
    inbox: Mutex<VecDeque<(u32, Vec<u8>)>>,
    sockets: Mutex<HashMap<u64, Weak<TcpSocket>>>,
    next_owner: AtomicU64,
    timer: Mutex<Option<(Time, Timer)>>,
    pcap: pcap::Pcap,
    /// Raw and ping sockets.
    pub raw: Mutex<Vec<Weak<RawSocket>>>,
    /// The relay to the host's resolver.
    pub dns: dns::Relay,
}

impl Default for Outside {
    fn default() -> Outside {
        let mut secret = [0; 16];
        // Without random bytes sequence numbers are only easier to guess.
        let _ = platform::host::random(&mut secret);
        let mut stack = Stack::new(Config { secret });
        stack.foreign_ports = Some(HOST_PORTS);
        Outside {
            stack: Mutex::new(stack),
            links: RwLock::default(),
            outbox: Mutex::default(),
            sending: Mutex::default(),
            pending: AtomicBool::new(false),
            attached: AtomicBool::new(false),
            loopback: [AtomicBool::new(true), AtomicBool::new(true)],
            fresh: AtomicBool::new(false),
            next_index: AtomicU32::new(FIRST_INDEX),
            seen: AtomicBool::new(false),
            devices: Devices::default(),
            inbox: Mutex::default(),
            sockets: Mutex::default(),
            next_owner: AtomicU64::new(1),
            timer: Mutex::default(),
            pcap: pcap::Pcap::default(),
            raw: Mutex::default(),
            dns: dns::Relay::default(),
        }
    }
}

impl Outside {
    /// Of a new namespace: the loopback is down, there is no host below.
    pub(super) fn isolated() -> Outside {
        let outside = Outside::default();
        outside.next_index.store(2, Ordering::Relaxed);
        outside.fresh.store(true, Ordering::Relaxed);
        {
            let mut stack = outside.stack.lock();
            stack.foreign_ports = None;
            if let Some(lo) = stack.topology.link_mut(netstack::link::LOOPBACK) {
                lo.up = false;
                lo.addresses.clear();
            }
            outside.note(&stack);
        }
        outside
    }

    /// Notes what is asked often, after links or addresses have changed.
    fn note(&self, stack: &Stack) {
        let links = &stack.topology.links;
        if links.iter().any(|l| !l.addresses.is_empty()) {
            self.fresh.store(false, Ordering::Release);
        }
        let lo = stack.topology.link(netstack::link::LOOPBACK);
        let has = |own: IpAddr| lo.is_some_and(|lo| lo.addresses.iter().any(|a| a.ip == own));
        let defaults = netstack::Link::loopback_addresses();
        for (noted, default) in self.loopback.iter().zip(defaults) {
            noted.store(has(default.ip), Ordering::Release);
        }
        let more = lo.is_some_and(|lo| lo.addresses.iter().any(|a| !defaults.contains(a)));
        let seen = self.seen.load(Ordering::Acquire);
        let attached = more || seen || links.len() > 1;
        self.attached.store(attached, Ordering::Release);
    }

    /// Why there is no way to an address: without any IPv6 address there is not even one to
    /// send from.
    pub fn unreachable(&self, ip: IpAddr) -> Errno {
        match ip {
            IpAddr::V6(_) if !self.has_loopback(ip) && !self.is_attached() => Errno::EADDRNOTAVAIL,
            _ => Errno::ENETUNREACH,
        }
    }

    /// A link is gone with what it led to.
    pub(super) fn forget_link(&self, index: u32) -> Option<netstack::Link> {
        let mut stack = self.stack.lock();
        let link = super::config::remove_link(&mut stack, index);
        self.note(&stack);
        link
    }

    /// A number for a new link.
    fn next_index(&self, stack: &Stack) -> u32 {
        loop {
            let index = self.next_index.fetch_add(1, Ordering::Relaxed).max(2);
            if stack.topology.link(index).is_none() {
                return index;
            }
        }
    }

    /// Whether no address was ever there.
    pub fn is_fresh(&self) -> bool {
        self.fresh.load(Ordering::Acquire)
    }

    /// Whether a loopback address can be reached.
    pub fn has_loopback(&self, ip: IpAddr) -> bool {
        let [v4, v6] = &self.loopback;
        let noted = if ip.is_ipv4() { v4 } else { v6 };
        noted.load(Ordering::Acquire)
    }

    /// Whether there are links, or somebody looks at the loopback: without any nothing here
    /// costs anything.
    pub fn is_attached(&self) -> bool {
        self.attached.load(Ordering::Acquire)
    }

    /// From now on connections over the loopback are made by the stack, so that there are
    /// packets to be seen; or no more.
    pub(super) fn tap_loopback(&self, on: bool) {
        let mut stack = self.stack.lock();
        stack.tap_loopback = on;
        if on {
            self.seen.store(true, Ordering::Release);
        }
        self.note(&stack);
    }

    /// Records all frames in a file from now on.
    pub fn record(&self, file: OwnedFd) {
        self.pcap.open(file);
    }

    /// A number for a socket to be known by.
    pub fn new_owner(&self) -> u64 {
        self.next_owner.fetch_add(1, Ordering::Relaxed)
    }

    /// Whose events go where.
    pub fn set_owner(&self, owner: u64, socket: Weak<TcpSocket>) {
        self.sockets.lock().insert(owner, socket);
    }

    /// The socket is gone.
    pub fn forget_owner(&self, owner: u64) {
        self.sockets.lock().remove(&owner);
    }

    /// Looks at the stack without changing it.
    pub fn look<R>(&self, f: impl FnOnce(&mut Stack) -> R) -> R {
        f(&mut self.stack.lock())
    }

    /// The deadline that was armed has passed.
    pub(crate) fn timer_fired(&self) {
        *self.timer.lock() = None;
    }

    /// All sockets the stack may tell something.
    pub(in crate::net) fn sockets(&self) -> Vec<Arc<TcpSocket>> {
        self.sockets
            .lock()
            .values()
            .filter_map(Weak::upgrade)
            .collect()
    }

    fn socket(&self, owner: u64) -> Option<Arc<TcpSocket>> {
        self.sockets.lock().get(&owner)?.upgrade()
    }

    /// Whether a socket may bind to an address: it belongs to the namespace.
    pub fn is_local(&self, ip: IpAddr) -> bool {
        if ip.is_ipv4() && self.is_fresh() {
            return true;
        }
        if ip.is_loopback() {
            return self.has_loopback(ip);
        }
        self.is_attached() && self.stack.lock().topology.is_local(ip)
    }
}
