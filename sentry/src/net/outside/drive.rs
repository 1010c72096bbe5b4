//! Who drives a namespace's stack: changes and what follows from them, work of the workers,
//! and what the host says of its network.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use netstack::link::LOOPBACK;
use netstack::{Event, Kind, Stack, Time};
use platform::WorkerId;

use super::link::{LinkFd, Mark};
use super::{MAX_OUTBOX, NetSpec};
use crate::Kernel;
use crate::net::inet::raw::RawSocket;
use crate::net::inet::udp::UdpSocket;
use crate::net::packet::{Direction, Sender};
use crate::net::{NetNs, view};
use crate::wait::Waker;

/// Frames read in one go before others have their turn.
const BATCH: usize = 64;

/// A moment as the stack counts it.
fn time(now: Duration) -> Time {
    Time::try_from(now.as_micros()).unwrap_or(Time::MAX)
}

impl NetNs {
    /// Changes the stack, then does what follows from it.
    pub fn change<R>(
        self: &Arc<NetNs>,
        kernel: &Arc<Kernel>,
        f: impl FnOnce(&mut Stack, Time) -> R,
    ) -> R {
        let outside = &self.outside;
        let now = time(kernel.clock.monotonic());
        let mut stack = outside.stack.lock();
        let result = f(&mut stack, now);
        stack.flush(now);
        let frames = stack.frames();
        let events = stack.events();
        let deadline = stack.deadline();
        let tapped = stack.tapped();
        if !frames.is_empty() {
            let mut outbox = outside.outbox.lock();
            let room = MAX_OUTBOX.saturating_sub(outbox.len());
            outbox.extend(frames.into_iter().take(room));
        }
        drop(stack);
        for packet in &tapped {
            self.taps.over_loopback(packet);
        }
        self.send(kernel);
        self.arm(kernel, deadline);
        for event in events {
            self.dispatch(kernel, event);
        }
        result
    }

    /// The same for links, addresses and routes.
    pub fn reconfigure<R>(
        self: &Arc<NetNs>,
        kernel: &Arc<Kernel>,
        f: impl FnOnce(&mut Stack) -> R,
    ) -> R {
        self.change(kernel, |stack, _| {
            let result = f(stack);
            self.outside.note(stack);
            result
        })
    }

    /// Sends what waits, in order, whoever put it there.
    fn send(&self, kernel: &Arc<Kernel>) {
        let outside = &self.outside;
        loop {
            if outside.outbox.lock().is_empty() {
                return;
            }
            // Whoever holds this looks again after letting go.
            let Some(turn) = outside.sending.try_lock() else {
                return;
            };
            let links = outside.links.read().clone();
            loop {
                let Some(frame) = outside.outbox.lock().pop_front() else {
                    break;
                };
                let ethernet = frame.bytes().get(frame.prefix()..).unwrap_or_default();
                if self.taps.is_on() && !frame.own {
                    self.tap(frame.link, ethernet, Direction::Out, None);
                }
                if let Some(link) = links.iter().find(|l| l.index == frame.link) {
                    link.send(frame.bytes());
                    outside.pcap.frame(kernel, ethernet);
                } else {
                    outside.devices.send(kernel, frame.link, ethernet);
                }
            }
            drop(turn);
        }
    }

    /// A frame that a packet socket puts on the loopback: it is seen, and comes in.
    pub(in crate::net) fn send_over_loopback(
        self: &Arc<NetNs>,
        kernel: &Arc<Kernel>,
        frame: &[u8],
        sender: Sender<'_>,
    ) {
        self.tap(LOOPBACK, frame, Direction::Out, Some(sender));
        self.tap(LOOPBACK, frame, Direction::In, None);
        let to_us = frame.get(..6) == Some(&[0; 6]);
        let is_ip = matches!(frame.get(12..14), Some([0x08, 0x00] | [0x86, 0xdd]));
        let packet = frame.get(14..).unwrap_or_default();
        if to_us && is_ip {
            self.change(kernel, |stack, _| stack.take_from_loopback(packet));
        }
    }

    /// Shows a frame to packet sockets, if it is sent not to its sender.
    pub(in crate::net) fn tap(
        &self,
        index: u32,
        frame: &[u8],
        direction: Direction,
        sender: Option<Sender<'_>>,
    ) {
        let link = self
            .outside
            .look(|stack| stack.topology.link(index).map(|l| (l.kind, l.mac)));
        if let Some((kind, mac)) = link {
            let link = (index, kind, mac);
            self.taps.frame(link, frame, direction, sender);
        }
    }

    /// Sees to it that a worker comes back at `deadline` or before.
    fn arm(self: &Arc<NetNs>, kernel: &Arc<Kernel>, deadline: Option<Time>) {
        let Some(deadline) = deadline else {
            return;
        };
        let mut timer = self.outside.timer.lock();
        if timer.as_ref().is_some_and(|(at, _)| *at <= deadline) {
            return;
        }
        let waker = Waker::Other(Arc::new(Mark::timer(kernel, self)));
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
    pub(crate) fn mark(&self, kernel: &Kernel) {
        self.outside.pending.store(true, Ordering::Release);
        kernel.nets.mark();
    }

    /// A frame for one of its links, from another namespace.
    pub(crate) fn hand_in(&self, kernel: &Kernel, link: u32, frame: Vec<u8>) {
        {
            let mut inbox = self.outside.inbox.lock();
            if inbox.len() >= MAX_OUTBOX {
                return;
            }
            inbox.push_back((link, frame));
        }
        self.mark(kernel);
    }

    /// Does what was marked. Called by workers between events.
    pub(crate) fn work(self: &Arc<NetNs>, kernel: &Arc<Kernel>) {
        let outside = &self.outside;
        if !outside.pending.swap(false, Ordering::AcqRel) {
            return;
        }
        outside.dns.work(self);
        let links = outside.links.read().clone();
        let inbox = std::mem::take(&mut *outside.inbox.lock());
        let taps = self.taps.is_on();
        let mut seen = Vec::new();
        self.change(kernel, |stack, now| {
            for (link, frame) in &inbox {
                stack.input(*link, frame, now);
                if taps {
                    seen.push((*link, frame.clone()));
                }
            }
            for link in links.iter().filter(|l| l.take_ready()) {
                let more = link.receive(BATCH, |frame| {
                    let ethernet = frame.get(netstack::wire::vnet::LEN..).unwrap_or_default();
                    outside.pcap.frame(kernel, ethernet);
                    stack.input(link.index, frame, now);
                    if taps {
                        seen.push((link.index, ethernet.to_vec()));
                    }
                });
                if more {
                    link.set_ready();
                    self.mark(kernel);
                }
            }
        });
        for (link, frame) in &seen {
            self.tap(*link, frame, Direction::In, None);
        }
        for link in links.iter().filter(|l| !l.is_ready()) {
            link.arm();
        }
    }

    fn dispatch(self: &Arc<NetNs>, kernel: &Arc<Kernel>, event: Event) {
        let outside = &self.outside;
        match event {
            Event::Tcp { owner, signals } => {
                if let Some(socket) = outside.socket(owner) {
                    socket.on_outside(signals);
                }
            }
            Event::Accept { owner } => {
                if let Some(socket) = outside.socket(owner) {
                    socket.on_accept_ready();
                }
            }
            Event::Udp(datagram) => UdpSocket::arrived(self, kernel, datagram),
            Event::Raw(datagram) => RawSocket::arrived(outside, &datagram),
            Event::Error(error) => UdpSocket::failed(self, &error),
        }
    }

    /// Takes over what the host says of the network.
    pub fn update(self: &Arc<NetNs>, kernel: &Arc<Kernel>, spec: NetSpec) {
        let outside = &self.outside;
        if let Some(fd) = spec.resolver {
            outside.dns.open(kernel, self, fd);
        }
        let mut links = outside.links.write();
        links.retain(|l| {
            spec.links
                .iter()
                .any(|s| s.index == l.index && s.fd.is_none())
        });
        let mut stack = outside.stack.lock();
        let of_host = |l: &&netstack::Link| l.kind == Kind::Ethernet;
        let gone: Vec<u32> = {
            let all = stack.topology.links.iter().filter(of_host);
            all.map(|l| l.index).collect()
        };
        for index in gone {
            if !spec.links.iter().any(|s| s.index == index) {
                stack.remove_link(index);
            }
        }
        for s in spec.links {
            stack.set_link(netstack::Link {
                index: s.index,
                name: s.name,
                kind: Kind::Ethernet,
                carrier: true,
                mac: s.mac,
                mtu: s.mtu,
                offload: true,
                up: s.up,
                soft: view::soft_flags(Kind::Ethernet),
                addresses: s.addresses,
                counters: Default::default(),
            });
            if let Some(fd) = s.fd {
                links.push(LinkFd::new(kernel, self, s.index, fd));
            }
        }
        take_routes(&mut stack, spec.routes);
        outside.note(&stack);
        drop(stack);
        for link in links.iter() {
            link.arm();
        }
        drop(links);
        // Whatever waits to be sent may have found a way.
        self.change(kernel, |_, _| ());
    }
}

/// Replaces the host's routes; those over links of the guest's own making are none of its.
fn take_routes(stack: &mut Stack, routes: Vec<netstack::Route>) {
    let topology = &stack.topology;
    let own = |r: &&netstack::Route| {
        let link = topology.link(r.link);
        link.is_some_and(|l| l.kind != Kind::Ethernet)
    };
    let mut all: Vec<_> = topology.routes().iter().filter(own).copied().collect();
    all.extend(routes);
    stack.set_routes(all);
}
