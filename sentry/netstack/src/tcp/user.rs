//! What the owner of a connection asks of it.

use super::{Conn, Error, MAX_RCVBUF, Outgoing, State};
use crate::Time;

/// How a connection stands towards its owner.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// State.
    pub state: State,
    /// Bytes that can be read.
    pub readable: usize,
    /// The peer sends no more.
    pub finished: bool,
    /// Writing makes sense: a third of the buffer is free.
    pub has_room: bool,
    /// Bytes not yet acknowledged.
    pub unacked: usize,
    /// Bytes of them not yet sent.
    pub unsent: usize,
}

impl Conn {
    /// Bytes the send buffer still takes.
    pub fn room(&self) -> usize {
        self.settings.sndbuf.saturating_sub(self.tx.buf.len())
    }

    pub(crate) fn has_room(&self) -> bool {
        let used = self.tx.buf.len();
        used.saturating_mul(3) <= self.settings.sndbuf.saturating_mul(2)
    }

    /// How it stands. Whoever is told that there is no room hears when there is.
    pub fn status(&mut self) -> Status {
        let has_room = self.has_room();
        self.tx.want_room |= !has_room;
        Status {
            state: self.state,
            readable: self.rx.ready.iter().map(Vec::len).sum(),
            finished: self.rx.fin_seen,
            has_room,
            unacked: self.tx.buf.len(),
            unsent: usize::try_from(self.data_end().saturating_sub(self.tx.nxt)).unwrap_or(0),
        }
    }

    /// Queues data; how much was taken. `more`: a partial segment may wait.
    pub fn write(&mut self, data: &[u8], more: bool) -> usize {
        let sends = matches!(self.state, State::Established | State::CloseWait);
        if !sends || self.tx.fin {
            return 0;
        }
        let n = data.len().min(self.room());
        if n < data.len() {
            self.tx.want_room = true;
        }
        self.tx.buf.extend(data.get(..n).unwrap_or_default());
        self.tx.more = more;
        n
    }

    /// Bytes the send buffer takes; whoever hears that there is no room hears when there is.
    /// `None` when nothing can be written any more.
    pub fn room_or_wait(&mut self) -> Option<usize> {
        let sends = matches!(self.state, State::Established | State::CloseWait);
        if !sends || self.tx.fin {
            return None;
        }
        let room = self.room();
        self.tx.want_room |= room == 0;
        Some(room)
    }

    /// Queues all of the data, even beyond the buffer's size; 0 when none can be.
    pub fn write_all(&mut self, data: &[u8], more: bool) -> usize {
        if self.room_or_wait().is_none() {
            return 0;
        }
        self.tx.buf.extend(data);
        self.tx.more = more;
        data.len()
    }

    /// Whether an acknowledgement or a window update is due.
    pub fn wants_to_send(&self) -> bool {
        self.rx.ack_now
    }

    /// Takes all received data that is in order.
    pub fn take_ready(&mut self) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.rx.ready.drain(..)
    }

    /// The user has read `n` bytes of what was taken.
    pub fn consumed(&mut self, n: usize, now: Time) {
        let fixed = self.settings.rcvbuf_fixed;
        self.rx.consumed(n, now, fixed, self.rtt.srtt);
        self.settings.rcvbuf = self.rx.buf;
        if self.is_synchronized() && !self.rx.fin_seen && self.window_update_due() {
            self.rx.ack_now = true;
        }
    }

    /// Whether its owner is gone.
    pub fn is_orphan(&self) -> bool {
        self.orphan
    }

    /// Whether data can flow.
    pub fn is_established(&self) -> bool {
        matches!(self.state, State::Established | State::CloseWait)
    }

    /// Bytes delivered and not read.
    pub fn unread(&self) -> usize {
        self.rx.held
    }

    /// No more will be written.
    pub fn shutdown_write(&mut self) {
        match self.state {
            State::Established => self.state = State::FinWait1,
            State::CloseWait => self.state = State::LastAck,
            _ => return,
        }
        self.tx.fin = true;
        self.tx.more = false;
    }

    /// No more will be read.
    pub fn shutdown_read(&mut self) {
        self.rx.shut = true;
    }

    /// The owner is gone. `abort`: unread data or a zero linger time make it a reset.
    pub(crate) fn close(&mut self, abort: bool, now: Time, out: &mut Vec<Outgoing>) {
        self.orphan = true;
        match self.state {
            State::SynSent => self.fail(None),
            State::SynReceived => {
                self.send_reset(now, out);
                self.fail(None);
            }
            State::Closed | State::TimeWait => {}
            _ if abort => {
                self.send_reset(now, out);
                self.fail(None);
            }
            State::FinWait2 => {
                self.due.end = Some(now.saturating_add(self.settings.fin_timeout));
            }
            _ => self.shutdown_write(),
        }
        self.due.keep = None;
    }

    /// New settings; buffers set by the user stop growing by themselves.
    pub fn apply(&mut self, settings: Settings, now: Time) {
        self.rx.buf = settings.rcvbuf.min(MAX_RCVBUF);
        if self.cc.algorithm != settings.algorithm {
            self.cc.algorithm = settings.algorithm;
        }
        let keep = settings.keepalive != self.settings.keepalive
            || settings.keep_idle != self.settings.keep_idle;
        self.settings = settings;
        if keep {
            self.arm_keepalive(now);
        }
    }

    /// The path takes packets of `mtu` bytes only.
    pub(crate) fn on_mtu(&mut self, mtu: u16, header: u16) {
        let mss = u64::from(mtu.saturating_sub(header)).max(88);
        if mss >= self.tx.mss {
            return;
        }
        self.tx.mss = mss;
        self.cc.set_mss(self.segment_size());
        self.lose_all();
    }

    /// A router or the peer's host says that packets do not arrive.
    pub(crate) fn on_unreachable(&mut self, error: Error) {
        if matches!(self.state, State::SynSent | State::SynReceived) {
            self.fail(Some(error));
        }
    }
}

use super::Settings;

/// Numbers for `TCP_INFO` and the socket tables.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "named as in struct tcp_info")]
pub struct Info {
    pub retransmits: u32,
    pub probes: u32,
    pub backoff: u32,
    pub timestamps: bool,
    pub sack: bool,
    pub snd_wscale: u8,
    pub rcv_wscale: u8,
    pub rto: Time,
    pub snd_mss: u32,
    pub rcv_mss: u32,
    pub unacked: u32,
    pub sacked: u32,
    pub lost: u32,
    pub rtt: Time,
    pub rttvar: Time,
    pub min_rtt: Time,
    pub ssthresh: u32,
    pub cwnd: u32,
    pub rcv_space: u32,
    pub total_retrans: u32,
    pub notsent: u32,
    pub snd_wnd: u32,
    pub recovery: u8,
    pub counters: super::Counters,
}

fn u32_of(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Conn {
    /// What is known of the connection.
    pub fn info(&self) -> Info {
        let mss = self.segment_size();
        let segments = |bytes: u64| u32_of(bytes.div_ceil(mss));
        let unsent = self.data_end().saturating_sub(self.tx.nxt);
        Info {
            retransmits: self.backoff,
            probes: self.keep_probes,
            backoff: self.backoff,
            timestamps: self.ts_ok,
            sack: self.sack_ok,
            snd_wscale: self.tx.wscale,
            rcv_wscale: self.rx.shift,
            rto: self.rtt.rto(),
            snd_mss: u32_of(mss),
            rcv_mss: u32_of(self.rx.mss),
            unacked: segments(self.tx.nxt.saturating_sub(self.tx.una)),
            sacked: segments(self.tx.sacked),
            lost: segments(self.tx.lost),
            rtt: self.rtt.srtt,
            rttvar: self.rtt.var,
            min_rtt: self.rtt.min,
            ssthresh: u32_of(self.cc.ssthresh / mss),
            cwnd: u32_of(self.cc.cwnd / mss),
            rcv_space: u32_of(self.rx.buf as u64),
            total_retrans: u32_of(self.counters.retransmits),
            notsent: u32_of(unsent),
            snd_wnd: u32_of(self.tx.wnd),
            recovery: match self.tx.recovery {
                super::Recovery::Open => 0,
                super::Recovery::Fast { .. } => 3,
                super::Recovery::Loss { .. } => 4,
            },
            counters: self.counters,
        }
    }
}
