//! TCP (RFC 9293) as a pure state machine, one [`Conn`] a connection.
//!
//! Sequence numbers are 64-bit offsets from the first one of their direction, so that
//! nothing wraps inside. [`input`] takes segments, [`ack`] what they acknowledge (SACK
//! scoreboard, RACK-TLP), [`output`] makes segments, [`timer`] acts on time, [`user`] is
//! what a socket calls; [`cc`] and [`rtt`] measure, [`rx`] puts received data in order,
//! [`listen`] holds half-open connections. [`table`] finds connections by address.

pub mod ack;
pub mod cc;
pub mod input;
pub mod listen;
pub mod output;
pub mod rtt;
pub mod rx;
pub mod table;
pub mod timer;
pub mod user;

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::Time;
use crate::wire::tcp::Flags;

/// Both ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tuple {
    /// Ours.
    pub local: SocketAddr,
    /// Theirs.
    pub peer: SocketAddr,
}

/// State of a connection (RFC 9293, 3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in the RFC")]
pub enum State {
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
    Closed,
}

/// Why a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the errno they become")]
pub enum Error {
    Refused,
    Reset,
    TimedOut,
    HostUnreachable,
    NetUnreachable,
}

/// What has happened to a connection that its owner should look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "plain flags")]
pub struct Signals {
    pub readable: bool,
    pub writable: bool,
    pub connected: bool,
    pub error: bool,
    pub finished: bool,
}

impl Signals {
    /// Whether there is any.
    pub fn any(self) -> bool {
        self != Signals::default()
    }
}

/// What the user has set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `TCP_NODELAY`.
    pub nodelay: bool,
    /// `TCP_CORK`.
    pub cork: bool,
    /// `SO_KEEPALIVE`.
    pub keepalive: bool,
    /// `TCP_KEEPIDLE`.
    pub keep_idle: Time,
    /// `TCP_KEEPINTVL`.
    pub keep_interval: Time,
    /// `TCP_KEEPCNT`.
    pub keep_count: u32,
    /// `TCP_USER_TIMEOUT`, 0 for none.
    pub user_timeout: Time,
    /// `TCP_SYNCNT`.
    pub syn_retries: u32,
    /// `TCP_LINGER2`.
    pub fin_timeout: Time,
    /// `IP_TOS`.
    pub tos: u8,
    /// `IP_TTL`.
    pub ttl: u8,
    /// `TCP_MAXSEG`, 0 for the link's.
    pub max_segment: u16,
    /// Congestion control.
    pub algorithm: cc::Algorithm,
    /// Bytes that may wait to be acknowledged.
    pub sndbuf: usize,
    /// Whether `sndbuf` was set by the user and does not grow.
    pub sndbuf_fixed: bool,
    /// Bytes that may wait to be read.
    pub rcvbuf: usize,
    /// Whether `rcvbuf` was set by the user and does not grow.
    pub rcvbuf_fixed: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            nodelay: false,
            cork: false,
            keepalive: false,
            keep_idle: 7_200_000_000,
            keep_interval: 75_000_000,
            keep_count: 9,
            user_timeout: 0,
            syn_retries: 6,
            fin_timeout: 60_000_000,
            tos: 0,
            ttl: 64,
            max_segment: 0,
            algorithm: cc::Algorithm::Cubic,
            sndbuf: 87_040,
            sndbuf_fixed: false,
            rcvbuf: 131_072,
            rcvbuf_fixed: false,
        }
    }
}

/// Largest buffers that tuning grows to (`tcp_wmem`, `tcp_rmem`).
pub const MAX_SNDBUF: usize = 4 << 20;
/// See [`MAX_SNDBUF`].
pub const MAX_RCVBUF: usize = 6 << 20;
/// Shift of our windows, enough for [`MAX_RCVBUF`].
pub const WINDOW_SHIFT: u8 = 7;

/// A range of sequence space that was sent and is not yet acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) at: Time,
    pub(crate) fate: Fate,
    pub(crate) again: bool,
}

/// What is believed of a sent range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    InFlight,
    Sacked,
    Lost,
}

/// Where loss recovery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recovery {
    Open,
    /// Fast recovery until this offset is acknowledged, by proportional rate reduction.
    Fast {
        high: u64,
        flight: u64,
        delivered: u64,
        out: u64,
    },
    /// After a timeout.
    Loss {
        high: u64,
    },
}

/// The sending direction.
#[derive(Debug)]
pub(crate) struct Tx {
    pub(crate) iss: u32,
    pub(crate) una: u64,
    pub(crate) nxt: u64,
    pub(crate) wnd: u64,
    pub(crate) max_wnd: u64,
    pub(crate) wl1: u64,
    pub(crate) wl2: u64,
    pub(crate) wscale: u8,
    pub(crate) mss: u64,
    /// Bytes from offset `buf_at` on.
    pub(crate) buf: VecDeque<u8>,
    pub(crate) buf_at: u64,
    pub(crate) fin: bool,
    /// The user was told that there is no room.
    pub(crate) want_room: bool,
    /// The last byte queued was sent with more to follow.
    pub(crate) more: bool,
    pub(crate) queue: VecDeque<Sent>,
    pub(crate) pipe: u64,
    pub(crate) lost: u64,
    pub(crate) sacked: u64,
    /// No range before this offset is lost.
    pub(crate) lost_from: u64,
    pub(crate) dupacks: u32,
    pub(crate) recovery: Recovery,
    pub(crate) cwnd_limited: bool,
    pub(crate) last_sent: Time,
}

/// RACK (RFC 8985).
#[derive(Debug, Default)]
pub(crate) struct Rack {
    pub(crate) sent: Time,
    pub(crate) end: u64,
    pub(crate) rtt: Time,
    pub(crate) reordered: bool,
    pub(crate) fack: u64,
    pub(crate) window_steps: u64,
    pub(crate) probe_end: Option<u64>,
}

/// Deadlines.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    pub(crate) retransmit: Option<Time>,
    /// The retransmit deadline is one of a tail loss probe.
    pub(crate) is_probe: bool,
    /// The retransmit deadline is one of a closed window.
    pub(crate) is_persist: bool,
    pub(crate) reorder: Option<Time>,
    pub(crate) ack: Option<Time>,
    pub(crate) keep: Option<Time>,
    pub(crate) end: Option<Time>,
    pub(crate) cork: Option<Time>,
}

/// Counters of one connection.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "plain counters")]
pub struct Counters {
    pub bytes_sent: u64,
    pub bytes_acked: u64,
    pub bytes_received: u64,
    pub bytes_retransmitted: u64,
    pub segments_out: u64,
    pub segments_in: u64,
    pub data_segments_out: u64,
    pub data_segments_in: u64,
    pub retransmits: u64,
    pub out_of_order: u64,
}

/// A connection.
#[derive(Debug)]
pub struct Conn {
    /// Both ends.
    pub tuple: Tuple,
    /// What the owner knows it by.
    pub owner: u64,
    /// State.
    pub state: State,
    /// What the user has set.
    pub settings: Settings,
    /// Why it failed; taken by the owner.
    pub error: Option<Error>,
    /// The link takes segments larger than its MTU.
    pub gso: bool,
    /// Counters.
    pub counters: Counters,
    pub(crate) orphan: bool,
    pub(crate) signals: Signals,
    pub(crate) tx: Tx,
    pub(crate) rx: rx::Rx,
    pub(crate) rtt: rtt::Rtt,
    pub(crate) cc: cc::Control,
    pub(crate) rack: Rack,
    pub(crate) due: Deadlines,
    pub(crate) backoff: u32,
    pub(crate) keep_probes: u32,
    pub(crate) stalled_since: Option<Time>,
    pub(crate) ts_ok: bool,
    pub(crate) sack_ok: bool,
    pub(crate) ts_offset: u32,
    pub(crate) challenges: (Time, u32),
    /// Where the table's timer list has it.
    pub(crate) armed: Option<Time>,
}

/// A segment ready for the network layer: transport header and data behind the headroom.
#[derive(Debug)]
pub struct Outgoing {
    /// Ends.
    pub tuple: Tuple,
    /// Headroom, header, data.
    pub buf: Vec<u8>,
    /// Bytes of the TCP header.
    pub header: usize,
    /// Segment size when the data is to be cut by the device, else 0.
    pub gso: u16,
    /// `IP_TTL`.
    pub ttl: u8,
    /// `IP_TOS`.
    pub tos: u8,
}

impl Conn {
    /// A connection about to send its SYN (or SYN-ACK). `mss`: what the link carries.
    pub(crate) fn new(tuple: Tuple, owner: u64, settings: Settings, iss: u32, mss: u16) -> Conn {
        let mss = u64::from(limit_mss(&settings, mss));
        let rcvbuf = settings.rcvbuf;
        Conn {
            tuple,
            owner,
            state: State::SynSent,
            error: None,
            gso: false,
            counters: Counters::default(),
            orphan: false,
            signals: Signals::default(),
            tx: Tx {
                iss,
                una: 0,
                nxt: 0,
                wnd: 0,
                max_wnd: 0,
                wl1: 0,
                wl2: 0,
                wscale: 0,
                mss,
                buf: VecDeque::new(),
                buf_at: 1,
                fin: false,
                want_room: false,
                more: false,
                queue: VecDeque::new(),
                pipe: 0,
                lost: 0,
                sacked: 0,
                lost_from: 0,
                dupacks: 0,
                recovery: Recovery::Open,
                cwnd_limited: false,
                last_sent: 0,
            },
            rx: rx::Rx::new(rcvbuf, mss),
            rtt: rtt::Rtt::default(),
            cc: cc::Control::new(settings.algorithm, mss),
            rack: Rack::default(),
            due: Deadlines::default(),
            backoff: 0,
            keep_probes: 0,
            stalled_since: None,
            ts_ok: true,
            sack_ok: true,
            ts_offset: iss.rotate_left(13),
            challenges: (0, 0),
            armed: None,
            settings,
        }
    }

    /// One past the last offset that may ever be sent so far, without the FIN.
    pub(crate) fn data_end(&self) -> u64 {
        self.tx.buf_at.saturating_add(self.tx.buf.len() as u64)
    }

    pub(crate) fn wire_seq(&self, at: u64) -> u32 {
        // Sequence numbers are the low 32 bits by definition.
        self.tx.iss.wrapping_add((at & 0xffff_ffff) as u32)
    }

    /// The timestamp clock: milliseconds from an unguessable start.
    pub(crate) fn ts_now(&self, now: Time) -> u32 {
        self.ts_offset
            .wrapping_add(((now / 1000) & 0xffff_ffff) as u32)
    }

    /// Data bytes of a full segment.
    pub(crate) fn segment_size(&self) -> u64 {
        let stamps = if self.ts_ok { 12 } else { 0 };
        let sacks = match self.rx.blocks() {
            0 => 0,
            n => 4 + 8 * n.min(if self.ts_ok { 3 } else { 4 }) as u64,
        };
        self.tx.mss.saturating_sub(stamps + sacks).max(64)
    }

    /// The earliest deadline.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let d = &self.due;
        [d.retransmit, d.reorder, d.ack, d.keep, d.end, d.cork]
            .into_iter()
            .flatten()
            .min()
    }

    pub(crate) fn is_synchronized(&self) -> bool {
        !matches!(
            self.state,
            State::SynSent | State::SynReceived | State::Closed
        )
    }

    /// Ends it: no segment, no timer any more.
    pub(crate) fn fail(&mut self, error: Option<Error>) {
        self.state = State::Closed;
        self.due = Deadlines::default();
        self.error = error;
        self.tx.queue.clear();
        self.tx.buf = VecDeque::new();
        self.signals.error = error.is_some();
        self.signals.finished = true;
        self.signals.readable = true;
        self.signals.writable = true;
    }

    pub(crate) fn flags(&self) -> Flags {
        match self.state {
            State::SynSent => Flags::SYN,
            State::SynReceived => Flags::SYN.with(Flags::ACK),
            _ => Flags::ACK,
        }
    }
}

fn limit_mss(settings: &Settings, mss: u16) -> u16 {
    match settings.max_segment {
        0 => mss,
        most => mss.min(most.max(88)),
    }
}
