//! All connections of a stack: found by a hash of both ends, so that a packet's cost does
//! not grow with their number; listeners by port; deadlines in one ordered list.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use super::listen::{Listener, Path, Request, Secret, stamp, unstamp};
use super::{Conn, Error, Outgoing, Settings, State, Tuple};
use crate::wire::HEADROOM;
use crate::wire::tcp::{Flags, Header, Options, Segment};
use crate::{Event, Time};

/// Most half-open connections of all listeners.
const MAX_HALF_OPEN: usize = 65_536;
/// First wait for the third step of a handshake.
const SYNACK_WAIT: Time = 1_000_000;
const SYNACK_RETRIES: u32 = 5;

/// Names a connection; of a dead one it names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    index: u32,
    generation: u32,
}

impl ConnId {
    /// As one number, never 0.
    pub fn raw(self) -> u64 {
        (u64::from(self.generation) << 32) | (u64::from(self.index) + 1)
    }

    /// From [`ConnId::raw`]; `None` for 0.
    pub fn from_raw(raw: u64) -> Option<ConnId> {
        Some(ConnId {
            index: u32::try_from((raw & 0xffff_ffff).checked_sub(1)?).ok()?,
            generation: u32::try_from(raw >> 32).ok()?,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Conn(u32),
    Request(Tuple),
}

#[derive(Default)]
struct Slot {
    generation: u32,
    conn: Option<Box<Conn>>,
}

/// Counters of all connections (`/proc/net/snmp`).
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "named as in /proc/net/snmp")]
pub struct Totals {
    pub active_opens: u64,
    pub passive_opens: u64,
    pub attempt_fails: u64,
    pub in_segs: u64,
    pub out_segs: u64,
    pub retrans_segs: u64,
    pub out_rsts: u64,
    pub cookies_sent: u64,
    pub cookies_received: u64,
    pub listen_drops: u64,
}

/// The table.
pub struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_tuple: HashMap<Tuple, u32>,
    listeners: HashMap<u16, Vec<Listener>>,
    requests: HashMap<Tuple, Request>,
    timers: BTreeSet<(Time, Key)>,
    dirty: Vec<u32>,
    secret: Secret,
    /// Counters.
    pub totals: Totals,
    pub(crate) out: Vec<Outgoing>,
    pub(crate) events: Vec<Event>,
}

impl Table {
    /// An empty table; `secret` keys sequence numbers and cookies.
    pub fn new(secret: [u8; 16]) -> Table {
        Table {
            slots: Vec::new(),
            free: Vec::new(),
            by_tuple: HashMap::new(),
            listeners: HashMap::new(),
            requests: HashMap::new(),
            timers: BTreeSet::new(),
            dirty: Vec::new(),
            secret: Secret(secret),
            totals: Totals::default(),
            out: Vec::new(),
            events: Vec::new(),
        }
    }

    fn insert(&mut self, conn: Conn) -> ConnId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        self.by_tuple.insert(conn.tuple, index);
        let generation = match self.slots.get_mut(index as usize) {
            Some(slot) => {
                slot.conn = Some(Box::new(conn));
                slot.generation
            }
            None => 0,
        };
        ConnId { index, generation }
    }

    fn at(&mut self, index: u32) -> Option<&mut Conn> {
        self.slots.get_mut(index as usize)?.conn.as_deref_mut()
    }

    /// A connection. Whoever changes it calls [`Table::touch`].
    pub fn get(&mut self, id: ConnId) -> Option<&mut Conn> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        slot.conn.as_deref_mut()
    }

    /// The connection has something to send, a new deadline or news for its owner.
    pub fn touch(&mut self, id: ConnId) {
        self.dirty.push(id.index);
    }

    /// All connections, for the socket tables.
    pub fn all(&self) -> impl Iterator<Item = &Conn> {
        self.slots.iter().filter_map(|s| s.conn.as_deref())
    }

    /// How many half-open connections there are.
    pub fn half_open(&self) -> usize {
        self.requests.len()
    }

    /// Whether both ends are taken.
    pub fn is_taken(&self, tuple: &Tuple) -> bool {
        self.by_tuple.contains_key(tuple)
    }

    /// Opens a connection; `None` when both ends are taken.
    pub fn connect(
        &mut self,
        tuple: Tuple,
        owner: u64,
        settings: Settings,
        path: Path,
        now: Time,
    ) -> Option<ConnId> {
        if let Some(&old) = self.by_tuple.get(&tuple) {
            // RFC 6191: a finished connection makes room once its timestamps have moved.
            let done = self.at(old).is_some_and(|c| {
                c.state == State::TimeWait
                    && c.ts_ok
                    && now.saturating_sub(c.rx.ts_recent_at) > 1_000_000
            });
            if !done {
                return None;
            }
            self.remove(old);
        }
        let iss = self.secret.isn(&tuple, now);
        let mut conn = Conn::new(tuple, owner, settings, iss, path.mss);
        conn.gso = path.gso;
        self.totals.active_opens += 1;
        let id = self.insert(conn);
        self.touch(id);
        Some(id)
    }

    /// Listens at a port, on one address or on all of the families.
    pub fn listen(
        &mut self,
        owner: u64,
        ip: Option<IpAddr>,
        port: u16,
        families: (bool, bool),
        backlog: usize,
        settings: Settings,
    ) {
        let there = self.listeners.entry(port).or_default();
        if let Some(own) = there.iter_mut().find(|l| l.owner == owner) {
            own.backlog = backlog;
            return;
        }
        there.push(Listener {
            owner,
            ip,
            families,
            backlog,
            accept: Default::default(),
            half_open: 0,
            settings,
        });
    }

    /// Stops listening: what was not accepted is reset.
    pub fn unlisten(&mut self, owner: u64, port: u16, now: Time) {
        let Some(there) = self.listeners.get_mut(&port) else {
            return;
        };
        let mut queued = Vec::new();
        there.retain_mut(|l| {
            if l.owner == owner {
                queued.extend(l.accept.drain(..));
            }
            l.owner != owner
        });
        if there.is_empty() {
            self.listeners.remove(&port);
        }
        for id in queued {
            self.close(id, true, now);
        }
        let gone: Vec<Tuple> = self
            .requests
            .iter()
            .filter(|(_, r)| r.owner == owner)
            .map(|(t, _)| *t)
            .collect();
        for tuple in gone {
            self.drop_request(&tuple);
        }
    }

    fn listener(&mut self, owner: u64, port: u16) -> Option<&mut Listener> {
        let there = self.listeners.get_mut(&port)?;
        there.iter_mut().find(|l| l.owner == owner)
    }

    /// Whether a listener has a connection to be accepted.
    pub fn can_accept(&mut self, owner: u64, port: u16) -> bool {
        self.listener(owner, port)
            .is_some_and(|l| !l.accept.is_empty())
    }

    /// The next connection of a listener, which gets a new owner.
    pub fn accept(&mut self, owner: u64, port: u16, new_owner: u64) -> Option<(ConnId, Tuple)> {
        loop {
            let id = self.listener(owner, port)?.accept.pop_front()?;
            if let Some(conn) = self.get(id) {
                conn.owner = new_owner;
                let tuple = conn.tuple;
                return Some((id, tuple));
            }
        }
    }

    /// The owner of a connection is gone.
    pub fn close(&mut self, id: ConnId, abort: bool, now: Time) {
        let mut out = std::mem::take(&mut self.out);
        if let Some(conn) = self.get(id) {
            conn.close(abort, now, &mut out);
        }
        self.out = out;
        self.touch(id);
    }

    /// Takes a segment if it belongs to a connection or a half-open one.
    pub fn on_segment(&mut self, tuple: Tuple, seg: &Segment<'_>, glued: u16, now: Time) -> bool {
        self.totals.in_segs += 1;
        if let Some(&index) = self.by_tuple.get(&tuple) {
            return self.on_conn(index, seg, glued, now);
        }
        let Some(request) = self.requests.get(&tuple) else {
            return false;
        };
        let request = request.clone();
        self.on_request(tuple, request, seg, glued, now);
        true
    }

    fn on_conn(&mut self, index: u32, seg: &Segment<'_>, glued: u16, now: Time) -> bool {
        let Some(conn) = self.at(index) else {
            return false;
        };
        let syn = seg.flags.has(Flags::SYN) && !seg.flags.has(Flags::ACK);
        if conn.state == State::TimeWait && syn && !seg.flags.has(Flags::RST) {
            let later = seg.seq.wrapping_sub(conn.rx.wire_ack()).cast_signed() > 0;
            let newer = seg.options.ts.is_some_and(|(v, _)| {
                conn.ts_ok && v.wrapping_sub(conn.rx.ts_recent).cast_signed() > 0
            });
            if later || newer {
                self.remove(index);
                return false;
            }
        }
        let bad_ack = seg.flags.has(Flags::ACK) && seg.ack != conn.wire_seq(1);
        let opening = matches!(conn.state, State::SynSent | State::SynReceived);
        let old_reset = opening && bad_ack && !seg.flags.has(Flags::RST);
        let tuple = conn.tuple;
        conn.on_segment(seg, glued, now);
        self.dirty.push(index);
        if old_reset {
            self.reset_for(tuple, seg);
        }
        true
    }

    fn drop_request(&mut self, tuple: &Tuple) {
        if let Some(r) = self.requests.remove(tuple) {
            self.timers.remove(&(r.due, Key::Request(*tuple)));
            if let Some(l) = self.listener(r.owner, tuple.local.port()) {
                l.half_open = l.half_open.saturating_sub(1);
            }
        }
    }

    fn on_request(
        &mut self,
        tuple: Tuple,
        request: Request,
        seg: &Segment<'_>,
        glued: u16,
        now: Time,
    ) {
        if seg.flags.has(Flags::RST) {
            if seg.seq == request.irs.wrapping_add(1) {
                self.totals.attempt_fails += 1;
                self.drop_request(&tuple);
            }
            return;
        }
        if seg.flags.has(Flags::SYN) {
            if seg.seq == request.irs {
                self.answer(tuple, &request, now);
            }
            return;
        }
        if !seg.flags.has(Flags::ACK) {
            return;
        }
        if seg.ack != request.iss.wrapping_add(1) {
            self.reset_for(tuple, seg);
            return;
        }
        let port = tuple.local.port();
        let Some(listener) = self.listener(request.owner, port) else {
            self.drop_request(&tuple);
            self.reset_for(tuple, seg);
            return;
        };
        if listener.is_full() {
            // The peer thinks it is connected; its data will come again.
            self.totals.listen_drops += 1;
            return;
        }
        self.drop_request(&tuple);
        let mut conn = request.conn(tuple, now);
        self.totals.passive_opens += 1;
        conn.tx.nxt = 1;
        if request.retries == 0 {
            conn.rtt.sample(now.saturating_sub(request.sent));
        }
        self.admit(conn, seg, glued, now);
    }

    /// A handshake has come to its end: into the accept queue.
    fn admit(&mut self, mut conn: Conn, seg: &Segment<'_>, glued: u16, now: Time) {
        let (owner, port) = (conn.owner, conn.tuple.local.port());
        conn.on_segment(seg, glued, now);
        if conn.state == State::SynReceived || conn.state == State::Closed {
            return;
        }
        let id = self.insert(conn);
        if let Some(l) = self.listener(owner, port) {
            l.accept.push_back(id);
        }
        self.events.push(Event::Accept { owner });
        self.touch(id);
    }

    /// Takes a segment that belongs to nothing yet: a SYN or a cookie for a listener; all
    /// else is reset.
    pub fn on_stranger(&mut self, tuple: Tuple, seg: &Segment<'_>, path: Path, now: Time) {
        if seg.flags.has(Flags::RST) {
            return;
        }
        let ip = tuple.local.ip();
        let Some((owner, settings)) = self.pick(tuple, ip) else {
            self.reset_for(tuple, seg);
            return;
        };
        if seg.flags.has(Flags::ACK) {
            if !self.on_cookie(tuple, owner, settings, seg, path, now) {
                self.reset_for(tuple, seg);
            }
            return;
        }
        if seg.flags.has(Flags::SYN) {
            self.on_syn(tuple, owner, settings, seg, path, now);
        }
    }

    /// The listener for a destination; several equal ones are dealt to by the source.
    fn pick(&self, tuple: Tuple, ip: IpAddr) -> Option<(u64, Settings)> {
        let there = self.listeners.get(&tuple.local.port())?;
        let best = there.iter().map(|l| l.score(ip)).max().filter(|s| *s > 0)?;
        let fit: Vec<&Listener> = there.iter().filter(|l| l.score(ip) == best).collect();
        let turn = usize::try_from(self.secret.isn(&tuple, 0)).unwrap_or(0);
        let l = fit.get(turn.checked_rem(fit.len())?)?;
        Some((l.owner, l.settings.clone()))
    }

    fn on_syn(
        &mut self,
        tuple: Tuple,
        owner: u64,
        settings: Settings,
        seg: &Segment<'_>,
        path: Path,
        now: Time,
    ) {
        let total = self.requests.len();
        let Some(listener) = self.listener(owner, tuple.local.port()) else {
            return;
        };
        if listener.is_full() {
            self.totals.listen_drops += 1;
            return;
        }
        let crowded = listener.half_open >= listener.backlog.max(16) || total >= MAX_HALF_OPEN;
        let mut request = Request {
            owner,
            iss: 0,
            irs: seg.seq,
            window: seg.window,
            options: seg.options,
            path,
            retries: 0,
            due: now.saturating_add(SYNACK_WAIT),
            sent: now,
            settings,
        };
        if crowded {
            let mss = seg.options.mss.unwrap_or(536);
            request.iss = self.secret.cookie(&tuple, seg.seq, mss, now);
            self.totals.cookies_sent += 1;
            self.answer_with_cookie(tuple, &request, now);
            return;
        }
        listener.half_open += 1;
        request.iss = self.secret.isn(&tuple, now);
        self.answer(tuple, &request, now);
        self.timers.insert((request.due, Key::Request(tuple)));
        self.requests.insert(tuple, request);
    }

    fn answer(&mut self, tuple: Tuple, request: &Request, now: Time) {
        let mut conn = request.conn(tuple, now);
        conn.output(now, &mut self.out);
    }

    fn answer_with_cookie(&mut self, tuple: Tuple, request: &Request, now: Time) {
        let mut conn = request.conn(tuple, now);
        if conn.ts_ok {
            let ts = stamp(conn.ts_now(now), &request.options);
            conn.ts_offset = conn
                .ts_offset
                .wrapping_add(ts.wrapping_sub(conn.ts_now(now)));
        } else {
            // Nothing could remember these.
            conn.sack_ok = false;
            conn.rx.shift = 0;
            conn.tx.wscale = 0;
        }
        conn.output(now, &mut self.out);
    }

    fn on_cookie(
        &mut self,
        tuple: Tuple,
        owner: u64,
        settings: Settings,
        seg: &Segment<'_>,
        path: Path,
        now: Time,
    ) -> bool {
        let irs = seg.seq.wrapping_sub(1);
        let iss = seg.ack.wrapping_sub(1);
        if self.totals.cookies_sent == 0 {
            return false;
        }
        let Some(mss) = self.secret.check(&tuple, irs, iss, now) else {
            return false;
        };
        let options = match seg.options.ts {
            Some(ts) => unstamp(ts.1, mss, ts),
            None => Options {
                mss: Some(mss),
                ..Options::default()
            },
        };
        let full = self
            .listener(owner, tuple.local.port())
            .is_none_or(|l| l.is_full());
        if full {
            self.totals.listen_drops += 1;
            return true;
        }
        self.totals.cookies_received += 1;
        self.totals.passive_opens += 1;
        let request = Request {
            owner,
            iss,
            irs,
            window: seg.window,
            options,
            path,
            retries: 1,
            due: now,
            sent: now,
            settings,
        };
        let mut conn = request.conn(tuple, now);
        conn.tx.nxt = 1;
        self.admit(conn, seg, 0, now);
        true
    }

    /// Answers a segment that belongs to nothing.
    fn reset_for(&mut self, tuple: Tuple, seg: &Segment<'_>) {
        if seg.flags.has(Flags::RST) {
            return;
        }
        let acks = seg.flags.has(Flags::ACK);
        let (seq, ack, flags) = if acks {
            (seg.ack, 0, Flags::RST)
        } else {
            let ack = seg.seq.wrapping_add(seg.len());
            (0, ack, Flags::RST.with(Flags::ACK))
        };
        let header = Header {
            src: tuple.local.port(),
            dst: tuple.peer.port(),
            seq,
            ack,
            flags,
            ..Header::default()
        };
        let mut buf = vec![0; HEADROOM];
        let header = header.emit(&mut buf);
        self.totals.out_rsts += 1;
        self.out.push(Outgoing {
            tuple,
            buf,
            header,
            gso: 0,
            ttl: 64,
            tos: 0,
        });
    }

    /// An ICMP error about a segment of ours that carried `seq`.
    pub fn on_error(&mut self, tuple: Tuple, seq: u32, error: Error) {
        let Some(&index) = self.by_tuple.get(&tuple) else {
            return;
        };
        if let Some(conn) = self.at(index) {
            let ours = seq.wrapping_sub(conn.wire_seq(conn.tx.una));
            let sent = conn.tx.nxt.saturating_sub(conn.tx.una);
            if u64::from(ours) <= sent {
                conn.on_unreachable(error);
            }
        }
        self.dirty.push(index);
    }

    /// The path of a connection takes smaller packets only.
    pub fn on_mtu(&mut self, tuple: Tuple, mtu: u16) {
        let header = if tuple.peer.is_ipv4() { 40 } else { 60 };
        let Some(&index) = self.by_tuple.get(&tuple) else {
            return;
        };
        if let Some(conn) = self.at(index) {
            conn.on_mtu(mtu, header);
        }
        self.dirty.push(index);
    }

    /// Packets to `ip` do not arrive: opening connections fail.
    pub fn on_unreachable(&mut self, ip: IpAddr) {
        let hit = |c: &Conn| {
            c.tuple.peer.ip() == ip && matches!(c.state, State::SynSent | State::SynReceived)
        };
        for (index, slot) in (0u32..).zip(&mut self.slots) {
            if let Some(conn) = slot.conn.as_deref_mut().filter(|c| hit(c)) {
                conn.on_unreachable(Error::HostUnreachable);
                self.dirty.push(index);
            }
        }
    }

    /// The earliest deadline.
    pub fn deadline(&self) -> Option<Time> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Acts on deadlines that have passed.
    pub fn on_time(&mut self, now: Time) {
        while let Some(&(at, key)) = self.timers.first() {
            if at > now {
                break;
            }
            self.timers.remove(&(at, key));
            match key {
                Key::Conn(index) => {
                    let mut out = std::mem::take(&mut self.out);
                    if let Some(conn) = self.at(index) {
                        conn.armed = None;
                        conn.on_time(now, &mut out);
                    }
                    self.out = out;
                    self.dirty.push(index);
                }
                Key::Request(tuple) => self.request_time(tuple, now),
            }
        }
    }

    fn request_time(&mut self, tuple: Tuple, now: Time) {
        let Some(request) = self.requests.get_mut(&tuple) else {
            return;
        };
        if request.retries >= SYNACK_RETRIES {
            self.totals.attempt_fails += 1;
            self.drop_request(&tuple);
            return;
        }
        request.retries += 1;
        let wait = SYNACK_WAIT.saturating_mul(1 << request.retries.min(6));
        request.due = now.saturating_add(wait);
        self.timers.insert((request.due, Key::Request(tuple)));
        let request = request.clone();
        self.answer(tuple, &request, now);
    }

    /// Lets every connection that was touched send, arm its deadline and tell its owner.
    pub fn flush(&mut self, now: Time) {
        while let Some(index) = self.dirty.pop() {
            self.flush_one(index, now);
        }
    }

    fn flush_one(&mut self, index: u32, now: Time) {
        let mut out = std::mem::take(&mut self.out);
        let before = out.len();
        let Some(conn) = self.at(index) else {
            self.out = out;
            return;
        };
        conn.output(now, &mut out);
        let signals = std::mem::take(&mut conn.signals);
        let (owner, orphan, state, tuple) = (conn.owner, conn.orphan, conn.state, conn.tuple);
        let (armed, deadline) = (conn.armed, conn.deadline());
        conn.armed = deadline;
        self.totals.out_segs += (out.len() - before) as u64;
        self.out = out;
        if armed != deadline {
            if let Some(at) = armed {
                self.timers.remove(&(at, Key::Conn(index)));
            }
            if let Some(at) = deadline {
                self.timers.insert((at, Key::Conn(index)));
            }
        }
        if signals.any() && !orphan {
            self.events.push(Event::Tcp { owner, signals });
        }
        if state == State::Closed {
            if self.by_tuple.get(&tuple) == Some(&index) {
                self.by_tuple.remove(&tuple);
            }
            if orphan {
                self.remove(index);
            }
        }
    }

    fn remove(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        let Some(conn) = slot.conn.take() else {
            return;
        };
        slot.generation = slot.generation.wrapping_add(1);
        if let Some(at) = conn.armed {
            self.timers.remove(&(at, Key::Conn(index)));
        }
        if self.by_tuple.get(&conn.tuple) == Some(&index) {
            self.by_tuple.remove(&conn.tuple);
        }
        self.free.push(index);
    }

    /// Whether a local port has connections that are not over (for `bind` without
    /// `SO_REUSEADDR`).
    pub fn port_in_use(&self, local: SocketAddr) -> bool {
        self.by_tuple.keys().any(|t| {
            t.local.port() == local.port()
                && (local.ip().is_unspecified() || t.local.ip() == local.ip())
        })
    }
}
