//! The part of a TCP socket that talks to hosts outside: its connection lives in our stack,
//! which is asked and told here.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::fs::PollEvents;
use netstack::tcp::cc::Algorithm;
use netstack::tcp::table::ConnId;
use netstack::tcp::user::{Info, Status};
use netstack::tcp::{Error, Settings, Signals, State, Tuple};

use super::option::{SOL_IP, SOL_IPV6, SOL_TCP};
use super::stream::Stream;
use super::tcp::{Phase, TcpSocket};
use crate::io::IoSrc;
use crate::net::{AF_INET6, MsgFlags, READABLE, Shut, Socket, WRITABLE};
use crate::{Kernel, Result};

/// Most bytes copied in before the stack takes them.
const CHUNK: usize = 256 * 1024;
/// Reads are reported in steps of this, or when nothing is left to read.
const REPORT: usize = 32 * 1024;
/// Tries to find a free pair of ends for a connection.
const TRIES: usize = 64;
/// Numbers of `SO_SNDBUF` and `SO_RCVBUF` that the user has not chosen.
const TUNED_SNDBUF: [i32; 2] = [16_384, 2_626_560];
const TUNED_RCVBUF: i32 = 131_072;

/// The errno of a failed connection.
pub(super) fn errno(e: Error) -> Errno {
    match e {
        Error::Refused => Errno::ECONNREFUSED,
        Error::Reset => Errno::ECONNRESET,
        Error::TimedOut => Errno::ETIMEDOUT,
        Error::HostUnreachable => Errno::EHOSTUNREACH,
        Error::NetUnreachable => Errno::ENETUNREACH,
    }
}

impl TcpSocket {
    /// The connection outside, if there is one.
    pub(super) fn conn(&self) -> Option<ConnId> {
        ConnId::from_raw(self.conn.load(Ordering::Acquire))
    }

    fn settings(&self) -> Settings {
        let o = self.common.options.lock().clone();
        let tcp = |name| u64::try_from(self.ip.value(SOL_TCP, name)).unwrap_or(0);
        let byte = |level, name| u8::try_from(self.ip.value(level, name)).unwrap_or(0);
        let defaults = Settings::default();
        let v6 = self.common.domain == AF_INET6;
        let size = |n: i32| usize::try_from(n).unwrap_or(0);
        let sndbuf_fixed = !TUNED_SNDBUF.contains(&o.sndbuf);
        let rcvbuf_fixed = o.rcvbuf != TUNED_RCVBUF;
        Settings {
            nodelay: tcp(1) != 0,
            cork: tcp(3) != 0,
            keepalive: o.keepalive,
            keep_idle: tcp(4).saturating_mul(1_000_000),
            keep_interval: tcp(5).saturating_mul(1_000_000),
            keep_count: u32::try_from(tcp(6)).unwrap_or(9),
            user_timeout: tcp(18).saturating_mul(1000),
            syn_retries: u32::try_from(tcp(7)).unwrap_or(6),
            fin_timeout: tcp(8).clamp(1, 120).saturating_mul(1_000_000),
            tos: if v6 {
                byte(SOL_IPV6, 67)
            } else {
                byte(SOL_IP, 1)
            },
            ttl: if v6 {
                byte(SOL_IPV6, 16)
            } else {
                byte(SOL_IP, 2)
            }
            .max(1),
            max_segment: match tcp(2) {
                n @ 88..=32_767 => u16::try_from(n).unwrap_or(0),
                _ => 0,
            },
            algorithm: if self.ip.is_reno() {
                Algorithm::Reno
            } else {
                Algorithm::Cubic
            },
            sndbuf: if sndbuf_fixed {
                size(o.sndbuf)
            } else {
                defaults.sndbuf
            },
            sndbuf_fixed,
            rcvbuf: if rcvbuf_fixed {
                size(o.rcvbuf)
            } else {
                defaults.rcvbuf
            },
            rcvbuf_fixed,
        }
    }

    /// Tells the stack of changed options.
    pub(super) fn apply_outside(&self) {
        let (Some(id), Some(kernel)) = (self.conn(), self.kernel.upgrade()) else {
            return;
        };
        let mut settings = self.settings();
        self.common.net.change(&kernel, |stack, now| {
            if let Some(conn) = stack.tcp.get(id) {
                // What tuning has reached stays.
                if !settings.sndbuf_fixed {
                    settings.sndbuf = conn.settings.sndbuf;
                }
                if !settings.rcvbuf_fixed {
                    settings.rcvbuf = conn.settings.rcvbuf;
                }
                conn.apply(settings, now);
                stack.tcp.touch(id);
            }
        });
    }

    /// Opens the connection that `state` names. `EADDRNOTAVAIL` when its ends are taken.
    pub(super) fn open_outside(&self, kernel: &Arc<Kernel>) -> Result<()> {
        let outside = &self.common.net.outside;
        outside.set_owner(self.owner, self.me.clone());
        for _ in 0..TRIES {
            let (local, peer, auto) = {
                let s = self.state.lock();
                match (s.local, s.peer_addr) {
                    (Some(l), Some(p)) => (l, p, s.auto),
                    _ => return Err(Errno::EINVAL),
                }
            };
            let settings = self.settings();
            let tuple = Tuple { local, peer };
            let opened =
                self.common
                    .net
                    .change(kernel, |stack, now| -> Result<Option<ConnId>> {
                        let path = stack.path_for(peer.ip()).ok_or(Errno::ENETUNREACH)?;
                        let id = stack.tcp.connect(tuple, self.owner, settings, path, now);
                        // Before the stack is unlocked: nothing can happen to it unseen.
                        if let Some(id) = id {
                            self.conn.store(id.raw(), Ordering::Release);
                        }
                        Ok(id)
                    })?;
            if opened.is_some() {
                return Ok(());
            }
            if !auto {
                break;
            }
            self.rebind()?;
        }
        Err(Errno::EADDRNOTAVAIL)
    }

    /// Listens in the stack too: on the links, and for connections that somebody watches.
    pub(super) fn listen_outside(&self, backlog: usize) {
        let Some(local) = self.state.lock().local else {
            return;
        };
        let families = match local.ip() {
            IpAddr::V4(_) => (true, false),
            IpAddr::V6(_) => (!self.v6only(), true),
        };
        let ip = Some(local.ip()).filter(|ip| !ip.is_unspecified());
        let settings = self.settings();
        let outside = &self.common.net.outside;
        outside.set_owner(self.owner, self.me.clone());
        outside.look(|stack| {
            let (owner, port) = (self.owner, local.port());
            stack
                .tcp
                .listen(owner, ip, port, families, backlog, settings);
        });
    }

    /// Stops listening on the links.
    pub(super) fn unlisten_outside(&self) {
        let local = self.state.lock().local;
        let (Some(local), Some(kernel)) = (local, self.kernel.upgrade()) else {
            return;
        };
        let outside = &self.common.net.outside;
        self.common.net.change(&kernel, |stack, now| {
            stack.tcp.unlisten(self.owner, local.port(), now)
        });
        outside.forget_owner(self.owner);
    }

    /// Whether a connection from outside waits to be accepted.
    pub(super) fn can_accept_outside(&self) -> bool {
        let local = self.state.lock().local;
        let Some(local) = local else {
            return false;
        };
        let outside = &self.common.net.outside;
        outside.is_attached() && outside.look(|s| s.tcp.can_accept(self.owner, local.port()))
    }

    /// The next connection from outside; `EAGAIN`.
    pub(super) fn accept_outside(&self, kernel: &Arc<Kernel>) -> Result<Arc<dyn Socket>> {
        let outside = &self.common.net.outside;
        let local = self.state.lock().local;
        let local = local
            .filter(|_| outside.is_attached())
            .ok_or(Errno::EAGAIN)?;
        let new = TcpSocket::create(kernel, &self.common.net, self.common.domain);
        *new.common.options.lock() = self.common.options.lock().clone();
        new.ip.copy_from(&self.ip);
        outside.set_owner(new.owner, new.me.clone());
        let got = outside.look(|s| s.tcp.accept(self.owner, local.port(), new.owner));
        let Some((id, tuple)) = got else {
            outside.forget_owner(new.owner);
            return Err(Errno::EAGAIN);
        };
        {
            let mut s = new.state.lock();
            s.phase = Phase::Connected;
            s.local = Some(tuple.local);
            s.peer_addr = Some(tuple.peer);
        }
        new.conn.store(id.raw(), Ordering::Release);
        new.apply_outside();
        Ok(new)
    }

    /// The stack says that something happened.
    pub(in crate::net) fn on_outside(&self, signals: Signals) {
        if signals.error {
            self.on_error();
            return;
        }
        if signals.connected {
            let mut s = self.state.lock();
            if s.phase == Phase::Connecting {
                s.phase = Phase::Connected;
            }
        }
        let mut events = PollEvents::empty();
        if signals.readable {
            events |= READABLE | PollEvents::RDHUP;
        }
        if signals.writable || signals.connected {
            events |= WRITABLE;
        }
        if signals.finished {
            events = PollEvents::all();
        }
        self.common.pollee.notify(events);
    }

    fn on_error(&self) {
        let Some(id) = self.conn() else {
            return;
        };
        let error = self
            .common
            .net
            .outside
            .look(|s| s.tcp.get(id).and_then(|c| c.error.take()));
        let Some(e) = error.map(errno) else {
            return;
        };
        let phase = self.state.lock().phase;
        match phase {
            Phase::Connecting => {
                self.close_outside(true);
                self.fail_connect(e);
            }
            _ => {
                // What had arrived before can still be read.
                self.pull(id, &mut self.rx.lock());
                self.close_outside(true);
                self.reset(e);
            }
        }
    }

    /// A listener has a connection to be accepted.
    pub(in crate::net) fn on_accept_ready(&self) {
        self.common.pollee.notify(READABLE);
    }

    /// Moves what has arrived to the reader's queue.
    pub(super) fn pull(&self, id: ConnId, rx: &mut Stream) {
        self.common.net.outside.look(|stack| {
            if let Some(conn) = stack.tcp.get(id) {
                for chunk in conn.take_ready() {
                    rx.push(chunk);
                }
            }
        });
    }

    /// `n` bytes were read: the window may open.
    pub(super) fn consumed(&self, id: ConnId, n: usize, emptied: bool) {
        let before = self.unreported_reads.fetch_add(n, Ordering::AcqRel);
        if !emptied && before.saturating_add(n) < REPORT {
            return;
        }
        let n = self.unreported_reads.swap(0, Ordering::AcqRel);
        let Some(kernel) = self.kernel.upgrade() else {
            return;
        };
        let due = self.common.net.outside.look(|stack| {
            let now = kernel.clock.monotonic().as_micros();
            let Some(conn) = stack.tcp.get(id) else {
                return false;
            };
            conn.consumed(n, u64::try_from(now).unwrap_or(0));
            conn.wants_to_send()
        });
        if due {
            self.common
                .net
                .change(&kernel, |stack, _| stack.tcp.touch(id));
        }
    }

    /// Whether the peer has sent all it will.
    pub(super) fn ended(&self, id: ConnId) -> bool {
        self.common.net.outside.look(|stack| {
            let status = stack.tcp.get(id).map(|c| c.status());
            status.is_none_or(|s| s.readable == 0 && (s.finished || s.state == State::Closed))
        })
    }

    /// Hands bytes to the stack.
    pub(super) fn send_outside(
        &self,
        id: ConnId,
        src: &mut dyn IoSrc,
        flags: MsgFlags,
    ) -> Result<usize> {
        let kernel = self.kernel.upgrade().ok_or(Errno::EPIPE)?;
        let outside = &self.common.net.outside;
        let mut done = 0;
        while src.remaining() > 0 {
            let room = outside.look(|s| s.tcp.get(id).and_then(|c| c.room_or_wait()));
            let room = match room {
                None if done == 0 => return Err(Errno::EPIPE),
                None | Some(0) => break,
                Some(room) => room,
            };
            let want = src.remaining().min(room).min(CHUNK);
            let mut data = Vec::new();
            data.try_reserve_exact(want).map_err(|_| Errno::ENOBUFS)?;
            data.resize(want, 0);
            let got = match src.take(&mut data) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            };
            data.truncate(got);
            let more = flags.contains(MsgFlags::MORE);
            let taken = self.common.net.change(&kernel, |stack, _| {
                let n = stack.tcp.get(id).map_or(0, |c| c.write_all(&data, more));
                stack.tcp.touch(id);
                n
            });
            done += taken;
            if taken < got || got < want {
                break;
            }
        }
        match done {
            0 if src.remaining() > 0 => Err(Errno::EAGAIN),
            n => Ok(n),
        }
    }

    /// `shutdown(2)` of a connection outside.
    pub(super) fn shutdown_outside(&self, how: Shut) {
        let (Some(id), Some(kernel)) = (self.conn(), self.kernel.upgrade()) else {
            return;
        };
        self.common.net.change(&kernel, |stack, _| {
            if let Some(conn) = stack.tcp.get(id) {
                if how.write {
                    conn.shutdown_write();
                }
                if how.read {
                    conn.shutdown_read();
                }
            }
            stack.tcp.touch(id);
        });
    }

    /// Lets the connection go; `abort`: by a reset.
    pub(super) fn close_outside(&self, abort: bool) {
        let raw = self.conn.swap(0, Ordering::AcqRel);
        let (Some(id), Some(kernel)) = (ConnId::from_raw(raw), self.kernel.upgrade()) else {
            return;
        };
        let outside = &self.common.net.outside;
        self.common.net.change(&kernel, |stack, now| {
            let unread = stack.tcp.get(id).is_some_and(|c| c.status().readable > 0);
            stack.tcp.close(id, abort || unread, now);
        });
        outside.forget_owner(self.owner);
    }

    /// Readiness of a connection outside, without its error.
    pub(super) fn poll_outside(&self, id: ConnId, shut: Shut) -> PollEvents {
        let mut ready = PollEvents::empty();
        let waits = !self.rx.lock().is_empty();
        let status = self.status_outside(id);
        let Some(status) = status else {
            return READABLE | WRITABLE | PollEvents::RDHUP | PollEvents::HUP;
        };
        let closed = status.state == State::Closed || status.state == State::TimeWait;
        let ended = status.finished || shut.read || closed;
        if waits || status.readable > 0 || ended {
            ready |= READABLE;
        }
        if ended {
            ready |= PollEvents::RDHUP;
        }
        if closed || (ended && shut.write) {
            ready |= PollEvents::HUP;
        }
        if shut.write || status.has_room {
            ready |= WRITABLE;
        }
        ready
    }

    /// Bytes to be read, and not acknowledged by the peer.
    pub(super) fn queued_outside(&self, id: ConnId) -> (usize, usize) {
        let here = self.rx.lock().len();
        let status = self.status_outside(id);
        status.map_or((here, 0), |s| (here.saturating_add(s.readable), s.unacked))
    }

    fn status_outside(&self, id: ConnId) -> Option<Status> {
        let outside = &self.common.net.outside;
        outside.look(|s| s.tcp.get(id).map(|c| c.status()))
    }

    /// State of a connection outside, in Linux's numbers.
    pub(super) fn outside_state(&self) -> Option<u8> {
        let id = self.conn()?;
        let state = self
            .common
            .net
            .outside
            .look(|s| s.tcp.get(id).map(|c| c.state));
        state.map(state_number)
    }

    /// `struct tcp_info` of a connection outside.
    pub(super) fn info_outside(&self) -> Option<Vec<u8>> {
        let id = self.conn()?;
        let (state, info) = self
            .common
            .net
            .outside
            .look(|s| s.tcp.get(id).map(|c| (c.state, c.info())))?;
        Some(info_bytes(state_number(state), &info))
    }
}

/// A connection's state in Linux's numbers.
pub(in crate::net) fn state_number(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => 7,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Closing => 11,
    }
}

/// Microseconds as far as 32 bits reach.
fn micros(t: u64) -> u32 {
    u32::try_from(t).unwrap_or(u32::MAX)
}

/// The words of `struct tcp_info` from `tcpi_rto` to `tcpi_total_retrans`.
fn info_words(i: &Info) -> [u32; 24] {
    [
        micros(i.rto),
        40_000,
        i.snd_mss,
        i.rcv_mss,
        i.unacked,
        i.sacked,
        i.lost,
        i.retransmits,
        0,
        0,
        0,
        0,
        0,
        1500,
        i.rcv_space,
        micros(i.rtt),
        micros(i.rttvar),
        i.ssthresh,
        i.cwnd,
        i.snd_mss,
        3,
        0,
        i.rcv_space,
        i.total_retrans,
    ]
}

fn info_bytes(state: u8, i: &Info) -> Vec<u8> {
    let mut raw = vec![0; 232];
    let options = u8::from(i.timestamps) | u8::from(i.sack) << 1 | 4;
    let head = [
        state,
        i.recovery,
        u8::try_from(i.retransmits).unwrap_or(u8::MAX),
        u8::try_from(i.probes).unwrap_or(u8::MAX),
        u8::try_from(i.backoff).unwrap_or(u8::MAX),
        options,
        (i.rcv_wscale << 4) | (i.snd_wscale & 15),
    ];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(to) = raw.get_mut(at..at + bytes.len()) {
            to.copy_from_slice(bytes);
        }
    };
    put(0, &head);
    let words = info_words(i);
    for (n, word) in words.iter().enumerate() {
        put(8 + n * 4, &word.to_ne_bytes());
    }
    let c = &i.counters;
    put(104, &u64::MAX.to_ne_bytes());
    put(112, &u64::MAX.to_ne_bytes());
    put(120, &c.bytes_acked.to_ne_bytes());
    put(128, &c.bytes_received.to_ne_bytes());
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).to_ne_bytes();
    put(136, &small(c.segments_out));
    put(140, &small(c.segments_in));
    put(144, &i.notsent.to_ne_bytes());
    put(148, &micros(i.min_rtt).to_ne_bytes());
    put(152, &small(c.data_segments_in));
    put(156, &small(c.data_segments_out));
    put(200, &c.bytes_sent.to_ne_bytes());
    put(208, &c.bytes_retransmitted.to_ne_bytes());
    put(224, &small(c.out_of_order));
    put(228, &i.snd_wnd.to_ne_bytes());
    raw
}
