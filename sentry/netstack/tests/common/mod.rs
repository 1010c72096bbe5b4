//! A simulated network: hosts with stacks of ours on one link, packets lost, doubled and
//! reordered by a seeded generator, time that jumps from event to event.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use netstack::tcp::table::ConnId;
use netstack::tcp::{Settings, Tuple};
use netstack::{Address, Config, Event, Link, Route, Stack, Time};

/// A small generator (xorshift), so that a seed means one run.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.next() % 1000 < per_mille
    }
}

/// What the wire does.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    pub loss: u64,
    pub duplicate: u64,
    pub reorder: u64,
    pub delay: Time,
    /// Bytes a second, 0 for no limit.
    pub rate: u64,
    /// Bytes that wait for a limited wire.
    pub queue: u64,
}

pub const CLEAN: Wire = Wire {
    loss: 0,
    duplicate: 0,
    reorder: 0,
    delay: 500,
    rate: 0,
    queue: 0,
};

pub fn ip(host: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, host])
}

pub fn stack(host: u8, offload: bool, mtu: u16) -> Stack {
    let mut s = Stack::new(Config { secret: [host; 16] });
    s.set_link(Link {
        kind: netstack::Kind::Ethernet,
        carrier: true,
        soft: 0,
        index: 2,
        name: "eth0".into(),
        mac: [2, 0, 0, 0, 0, host],
        mtu: mtu.into(),
        offload,
        up: true,
        addresses: vec![
            Address {
                ip: ip(host),
                prefix: 24,
                broadcast: None,
                scope: 0,
            },
            Address {
                ip: v6(host),
                prefix: 64,
                broadcast: None,
                scope: 0,
            },
        ],
        counters: Default::default(),
    });
    let route = |network, prefix| Route {
        network,
        prefix,
        gateway: None,
        link: 2,
        source: None,
        metric: 0,
        protocol: 2,
        scope: 253,
    };
    s.set_routes(vec![route(ip(0), 24), route(v6(0), 64)]);
    s
}

pub fn v6(host: u8) -> IpAddr {
    IpAddr::from([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host])
}

/// Two hosts and the wire between them.
pub struct Net {
    pub hosts: [Stack; 2],
    pub now: Time,
    pub wire: Wire,
    pub rng: Rng,
    flying: BTreeMap<(Time, u64), (usize, Vec<u8>)>,
    serial: u64,
    free_at: [Time; 2],
    pub dropped: u64,
    pub events: [Vec<Event>; 2],
    pub log: Vec<(Time, usize, Vec<u8>)>,
    pub keep_log: bool,
}

impl Net {
    pub fn new(wire: Wire, seed: u64, offload: bool) -> Net {
        Net {
            hosts: [stack(1, offload, 1500), stack(2, offload, 1500)],
            now: 1_000_000,
            wire,
            rng: Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            flying: BTreeMap::new(),
            serial: 0,
            free_at: [0; 2],
            dropped: 0,
            events: [Vec::new(), Vec::new()],
            log: Vec::new(),
            keep_log: false,
        }
    }

    /// Flushes a host and puts its frames on the wire.
    pub fn flush(&mut self, host: usize) {
        self.hosts[host].flush(self.now);
        for frame in self.hosts[host].frames() {
            let bytes = frame.bytes().to_vec();
            if self.keep_log {
                self.log.push((self.now, host, bytes.clone()));
            }
            self.launch(1 - host, bytes);
        }
        let events = self.hosts[host].events();
        self.events[host].extend(events);
    }

    fn launch(&mut self, to: usize, bytes: Vec<u8>) {
        let w = self.wire;
        if self.rng.chance(w.loss) {
            self.dropped += 1;
            return;
        }
        let mut at = self.now;
        if w.rate > 0 {
            let start = self.free_at[to].max(self.now);
            let backlog = (start - self.now) * w.rate / 1_000_000;
            if backlog > w.queue {
                self.dropped += 1;
                return;
            }
            at = start + bytes.len() as u64 * 1_000_000 / w.rate;
            self.free_at[to] = at;
        }
        at += w.delay;
        if self.rng.chance(w.reorder) {
            at += w.delay / 2 + self.rng.next() % (w.delay + 1);
        }
        if self.rng.chance(w.duplicate) {
            self.serial += 1;
            self.flying
                .insert((at + 10, self.serial), (to, bytes.clone()));
        }
        self.serial += 1;
        self.flying.insert((at, self.serial), (to, bytes));
    }

    fn next(&self) -> Option<Time> {
        let arrival = self.flying.first_key_value().map(|((at, _), _)| *at);
        let timers = self.hosts.iter().filter_map(Stack::deadline).min();
        [arrival, timers].into_iter().flatten().min()
    }

    /// Goes on to the next thing that happens; `false` when nothing will.
    pub fn step(&mut self) -> bool {
        let Some(next) = self.next() else {
            return false;
        };
        self.now = self.now.max(next);
        while let Some(entry) = self.flying.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (to, bytes) = entry.remove();
            self.hosts[to].input(2, &bytes, self.now);
        }
        self.flush(0);
        self.flush(1);
        true
    }

    /// Runs until `done` or for `limit` of simulated time.
    pub fn run(&mut self, limit: Time, mut done: impl FnMut(&mut Net) -> bool) -> bool {
        let end = self.now + limit;
        while self.now < end {
            if done(self) {
                return true;
            }
            if self.next().is_none_or(|at| at > end) || !self.step() {
                self.now = end;
                return done(self);
            }
        }
        false
    }

    pub fn listen(&mut self, host: usize, port: u16, backlog: usize) {
        let settings = Settings::default();
        self.hosts[host]
            .tcp
            .listen(u64::from(port), None, port, (true, true), backlog, settings);
    }

    pub fn connect_as(
        &mut self,
        host: usize,
        local: SocketAddr,
        peer: SocketAddr,
        settings: Settings,
    ) -> ConnId {
        let now = self.now;
        let stack = &mut self.hosts[host];
        let path = stack.path_for(peer.ip()).expect("path");
        let id = stack
            .tcp
            .connect(Tuple { local, peer }, 1, settings, path, now)
            .expect("free");
        self.flush(host);
        id
    }

    /// Connects host 0 to host 1; both ends.
    pub fn pair(&mut self, settings: Settings) -> (ConnId, ConnId) {
        self.listen(1, 80, 10);
        let a = self.connect_as(0, (ip(1), 40_000).into(), (ip(2), 80).into(), settings);
        let mut b = None;
        let ok = self.run(60_000_000, |n| {
            b = b.or_else(|| n.hosts[1].tcp.accept(80, 80, 2));
            b.is_some()
        });
        assert!(ok, "handshake");
        (a, b.expect("accepted").0)
    }
}

pub fn pattern(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// Sends `total` bytes from one end to the other, closing behind them; time it took.
pub fn transfer(net: &mut Net, from: (usize, ConnId), to: (usize, ConnId), total: u64) -> Time {
    let start = net.now;
    let (mut sent, mut got) = (0u64, 0u64);
    let (mut closed, mut finished) = (false, false);
    let ok = net.run(3_600_000_000, |n| {
        let now = n.now;
        let tcp = &mut n.hosts[from.0].tcp;
        if let Some(c) = tcp.get(from.1) {
            while sent < total && c.room() > 0 {
                let len = (c.room() as u64).min(total - sent).min(65_536);
                let data: Vec<u8> = (sent..sent + len).map(pattern).collect();
                let n = c.write(&data, false);
                if n == 0 {
                    break;
                }
                sent += n as u64;
            }
            if sent == total && !closed {
                c.shutdown_write();
                closed = true;
            }
        }
        tcp.touch(from.1);
        let tcp = &mut n.hosts[to.0].tcp;
        if let Some(c) = tcp.get(to.1) {
            let mut read = 0;
            for chunk in c.take_ready() {
                for b in &chunk {
                    assert_eq!(*b, pattern(got), "byte {got}");
                    got += 1;
                }
                read += chunk.len();
            }
            if read > 0 {
                c.consumed(read, now);
            }
            finished = c.status().finished;
        }
        tcp.touch(to.1);
        n.flush(0);
        n.flush(1);
        got == total && finished
    });
    assert!(ok, "sent {sent} got {got} of {total} finished {finished}");
    net.now - start
}
