//! The network outside the sandbox: our stack ([`netstack`]) on links whose descriptors the
//! host hands in.
//!
//! [`Outside`] owns the one [`Stack`]. Everything that changes it goes through
//! [`Outside::with`], which afterwards sends the frames it made, tells sockets what happened
//! and arms the next deadline, with the stack unlocked. A worker that learns of frames or of
//! a deadline only marks work; [`Outside::work`] does it in the worker's own loop.
//! [`link`] is a link's descriptor, [`dns`] the relay to a resolver of the host,
//! [`pcap`] the record of all frames.
//!
//! Lock rank: the stack is a leaf but for the outbox, which is a leaf below it.

pub mod dns;
pub mod link;
pub mod pcap;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

pub use netstack::{Address, Route};
use netstack::{Config, Event, Frame, Stack, Time};
use platform::WorkerId;

use self::link::{LinkFd, Mark};
use super::inet::raw::RawSocket;
use super::inet::tcp::TcpSocket;
use crate::Kernel;
use crate::sync::{Mutex, RwLock};
use crate::time::timers::Timer;
use crate::wait::Waker;

/// Ports the host's kernel may use in the network namespace (its resolver asks others from
/// there); the guest's own ephemeral ports end below them.
pub const HOST_PORTS: (u16, u16) = (64_512, 65_534);
/// Frames read in one go before others have their turn.
const BATCH: usize = 64;
/// Frames that wait to be sent.
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
            sockets: Mutex::default(),
            next_owner: AtomicU64::new(1),
            timer: Mutex::default(),
            pcap: pcap::Pcap::default(),
            raw: Mutex::default(),
            dns: dns::Relay::default(),
        }
    }
}

/// A moment as the stack counts it.
fn time(now: Duration) -> Time {
    Time::try_from(now.as_micros()).unwrap_or(Time::MAX)
}

impl Outside {
    /// Whether there are links: without any nothing here costs anything.
    pub fn is_attached(&self) -> bool {
        self.attached.load(Ordering::Acquire)
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

    /// Changes the stack, then does what follows from it.
    pub fn with<R>(&self, kernel: &Arc<Kernel>, f: impl FnOnce(&mut Stack, Time) -> R) -> R {
        let now = time(kernel.clock.monotonic());
        let mut stack = self.stack.lock();
        let result = f(&mut stack, now);
        stack.flush(now);
        let frames = stack.frames();
        let events = stack.events();
        let deadline = stack.deadline();
        if !frames.is_empty() {
            let mut outbox = self.outbox.lock();
            let room = MAX_OUTBOX.saturating_sub(outbox.len());
            outbox.extend(frames.into_iter().take(room));
        }
        drop(stack);
        self.send(kernel);
        self.arm(kernel, deadline);
        for event in events {
            self.dispatch(kernel, event);
        }
        result
    }

    /// Sends what waits, in order, whoever put it there.
    fn send(&self, kernel: &Arc<Kernel>) {
        loop {
            if self.outbox.lock().is_empty() {
                return;
            }
            // Whoever holds this looks again after letting go.
            let Some(turn) = self.sending.try_lock() else {
                return;
            };
            let links = self.links.read().clone();
            loop {
                let Some(frame) = self.outbox.lock().pop_front() else {
                    break;
                };
                if let Some(link) = links.iter().find(|l| l.index == frame.link) {
                    link.send(frame.bytes());
                    let ethernet = frame.bytes().get(frame.prefix()..);
                    self.pcap.frame(kernel, ethernet.unwrap_or_default());
                }
            }
            drop(turn);
        }
    }

    /// Sees to it that a worker comes back at `deadline` or before.
    fn arm(&self, kernel: &Arc<Kernel>, deadline: Option<Time>) {
        let Some(deadline) = deadline else {
            return;
        };
        let mut timer = self.timer.lock();
        if timer.as_ref().is_some_and(|(at, _)| *at <= deadline) {
            return;
        }
        let waker = Waker::Other(Arc::new(Mark::timer(kernel)));
        let at = Duration::from_micros(deadline);
        let new = kernel.timers.arm(at, waker);
        let old = timer.replace((deadline, new));
        drop(timer);
        drop(old);
        if crate::worker::current().is_none() {
            kernel.platform.kick(WorkerId(0));
        }
    }

    /// Marks that there is something to do, for the worker that is about to look.
    pub(crate) fn mark(&self) {
        self.pending.store(true, Ordering::Release);
    }

    /// The deadline that was armed has passed.
    pub(crate) fn timer_fired(&self) {
        *self.timer.lock() = None;
        self.mark();
    }

    /// Does what was marked. Called by workers between events.
    pub fn work(&self, kernel: &Arc<Kernel>) {
        if !self.pending.load(Ordering::Relaxed) || !self.pending.swap(false, Ordering::AcqRel) {
            return;
        }
        self.dns.work(kernel);
        let links = self.links.read().clone();
        self.with(kernel, |stack, now| {
            for link in links.iter().filter(|l| l.take_ready()) {
                let more = link.receive(BATCH, |frame| {
                    self.pcap.frame(
                        kernel,
                        frame.get(netstack::wire::vnet::LEN..).unwrap_or_default(),
                    );
                    stack.input(link.index, frame, now);
                });
                if more {
                    link.set_ready();
                    self.mark();
                }
            }
        });
        for link in links.iter().filter(|l| !l.is_ready()) {
            link.arm();
        }
    }

    fn dispatch(&self, kernel: &Arc<Kernel>, event: Event) {
        match event {
            Event::Tcp { owner, signals } => {
                if let Some(socket) = self.socket(owner) {
                    socket.on_outside(signals);
                }
            }
            Event::Accept { owner } => {
                if let Some(socket) = self.socket(owner) {
                    socket.on_accept_ready();
                }
            }
            Event::Udp(datagram) => super::inet::udp::UdpSocket::arrived(kernel, datagram),
            Event::Raw(datagram) => RawSocket::arrived(self, &datagram),
            Event::Error(error) => super::inet::udp::UdpSocket::failed(kernel, &error),
        }
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

    /// Takes over what the host says of the network.
    pub fn update(&self, kernel: &Arc<Kernel>, spec: NetSpec) {
        if let Some(fd) = spec.resolver {
            self.dns.open(kernel, fd);
        }
        let mut links = self.links.write();
        links.retain(|l| {
            spec.links
                .iter()
                .any(|s| s.index == l.index && s.fd.is_none())
        });
        let mut stack = self.stack.lock();
        let gone: Vec<u32> = stack.topology.links.iter().map(|l| l.index).collect();
        for index in gone {
            if !spec.links.iter().any(|s| s.index == index) {
                stack.remove_link(index);
            }
        }
        for s in spec.links {
            stack.set_link(netstack::Link {
                index: s.index,
                name: s.name,
                mac: s.mac,
                mtu: u16::try_from(s.mtu).unwrap_or(u16::MAX),
                offload: true,
                up: s.up,
                addresses: s.addresses,
                counters: Default::default(),
            });
            if let Some(fd) = s.fd {
                links.push(LinkFd::new(kernel, s.index, fd));
            }
        }
        stack.set_routes(spec.routes);
        let attached = !stack.topology.links.is_empty();
        drop(stack);
        for link in links.iter() {
            link.arm();
        }
        drop(links);
        self.attached.store(attached, Ordering::Release);
        // Whatever waits to be sent may have found a way.
        self.with(kernel, |_, _| ());
    }

    /// Whether an address belongs to the sandbox.
    pub fn is_local(&self, ip: IpAddr) -> bool {
        self.is_attached() && self.stack.lock().topology.is_local(ip)
    }
}
