//! A segment arrives (RFC 9293, 3.10.7).

use super::{Conn, Error, Signals, State, WINDOW_SHIFT};
use crate::Time;
use crate::wire::tcp::{Flags, Segment};

/// Challenge acknowledgements a second and connection (RFC 5961).
const MAX_CHALLENGES: u32 = 10;
/// `TIME-WAIT`.
pub(crate) const TIME_WAIT: Time = 60_000_000;
/// Timestamps this old say nothing (24 days).
const PAWS_IDLE: Time = 24 * 86_400_000_000;

impl Conn {
    /// Takes a segment of this connection. `glued`: size of the segments it was made from.
    pub(crate) fn on_segment(&mut self, seg: &Segment<'_>, glued: u16, now: Time) {
        self.counters.segments_in += 1;
        if !seg.payload.is_empty() {
            self.counters.data_segments_in += 1;
            let size = if glued > 0 {
                usize::from(glued)
            } else {
                seg.payload.len()
            };
            let size = (size as u64).min(self.tx.mss.max(536));
            self.rx.mss = self.rx.mss.max(size);
        }
        if self.state == State::SynSent {
            self.on_syn_sent(seg, now);
            return;
        }
        if self.state == State::Closed || !self.check(seg, now) {
            return;
        }
        self.keep_probes = 0;
        self.arm_keepalive(now);
        if self.state == State::SynReceived && !self.complete(seg) {
            return;
        }
        if !self.on_ack(seg, now) {
            return;
        }
        self.after_ack(now);
        self.on_data(seg, now);
    }

    fn on_syn_sent(&mut self, seg: &Segment<'_>, now: Time) {
        let acks = seg.flags.has(Flags::ACK);
        let good = acks && seg.ack == self.wire_seq(1);
        if acks && !good {
            // Its reset is the table's to send.
            return;
        }
        if seg.flags.has(Flags::RST) {
            if good {
                self.fail(Some(Error::Refused));
            }
            return;
        }
        if !seg.flags.has(Flags::SYN) {
            return;
        }
        self.take_syn(seg, now);
        if good {
            self.tx.una = 1;
            self.tx.queue.clear();
            self.tx.pipe = 0;
            self.establish(seg, now);
            self.rx.ack_now = true;
            self.on_data(seg, now);
        } else {
            // Simultaneous open.
            self.state = State::SynReceived;
            self.tx.nxt = 0;
            self.tx.queue.clear();
            self.tx.pipe = 0;
            self.backoff = 0;
        }
    }

    /// What a SYN says of its sender.
    pub(crate) fn take_syn(&mut self, seg: &Segment<'_>, now: Time) {
        self.rx.irs = seg.seq;
        self.rx.nxt = 1;
        self.rx.acked = 1;
        let o = &seg.options;
        let peer_mss = u64::from(o.mss.unwrap_or(536)).max(88);
        self.tx.mss = self.tx.mss.min(peer_mss);
        self.sack_ok &= o.sack_ok;
        self.ts_ok &= o.ts.is_some();
        if let Some((val, _)) = o.ts {
            self.rx.ts_recent = val;
            self.rx.ts_recent_at = now;
        }
        match o.wscale {
            Some(shift) => {
                self.tx.wscale = shift;
                self.rx.shift = WINDOW_SHIFT;
            }
            None => self.rx.shift = 0,
        }
        // The window of a SYN is not shifted.
        self.tx.wnd = u64::from(seg.window);
        self.tx.max_wnd = self.tx.wnd;
        self.tx.wl1 = 0;
        self.cc.set_mss(self.segment_size());
        self.rx.edge = 1 + self.rx.room().min(65_535);
    }

    /// The handshake is done.
    pub(crate) fn establish(&mut self, seg: &Segment<'_>, now: Time) {
        self.state = State::Established;
        self.tx.wl1 = self.rx.nxt;
        self.tx.wl2 = self.tx.una;
        if !seg.flags.has(Flags::SYN) {
            self.tx.wnd = u64::from(seg.window) << self.tx.wscale;
            self.tx.max_wnd = self.tx.max_wnd.max(self.tx.wnd);
        }
        if self.backoff == 0 && self.tx.last_sent > 0 {
            self.rtt.sample(now.saturating_sub(self.tx.last_sent));
        }
        self.backoff = 0;
        self.stalled_since = None;
        self.due.retransmit = None;
        self.signals.connected = true;
        self.signals.writable = true;
        self.arm_keepalive(now);
    }

    /// The third step of a handshake; whether the segment goes on.
    fn complete(&mut self, seg: &Segment<'_>) -> bool {
        if !seg.flags.has(Flags::ACK) {
            return false;
        }
        if seg.ack != self.wire_seq(1) {
            return false;
        }
        self.state = State::Established;
        self.tx.una = 1;
        self.tx.queue.clear();
        self.tx.pipe = 0;
        self.due.retransmit = None;
        self.backoff = 0;
        self.tx.wnd = u64::from(seg.window) << self.tx.wscale;
        self.tx.wl1 = self.rx.nxt;
        self.tx.wl2 = 1;
        self.signals.connected = true;
        self.signals.writable = true;
        true
    }

    /// Timestamps, sequence number, RST and SYN; whether the segment goes on.
    fn check(&mut self, seg: &Segment<'_>, now: Time) -> bool {
        let Some(at) = self.rx.offset(seg.seq) else {
            return false;
        };
        let reset = seg.flags.has(Flags::RST);
        if self.ts_ok && !reset && self.is_old(seg, now) {
            self.rx.ack_now = true;
            return false;
        }
        let end = at.saturating_add(u64::from(seg.len()));
        let edge = self.rx.edge.max(self.rx.nxt);
        let in_window = at <= edge && end >= self.rx.nxt;
        if reset {
            if at == self.rx.nxt {
                self.on_reset();
            } else if in_window {
                self.challenge(now);
            }
            return false;
        }
        if !in_window {
            if self.state == State::TimeWait {
                self.due.end = Some(now.saturating_add(TIME_WAIT));
            }
            if !seg.payload.is_empty() && end <= self.rx.nxt {
                self.rx.dsack = Some((at, end));
            }
            self.rx.ack_now = true;
            return false;
        }
        if seg.flags.has(Flags::SYN) {
            if self.state == State::SynReceived && at == 0 {
                // Our answer was lost, or both opened at once.
                if !seg.flags.has(Flags::ACK) {
                    self.rx.ack_now = true;
                    return false;
                }
                return true;
            }
            self.challenge(now);
            return false;
        }
        if let Some((val, _)) = seg.options.ts
            && at <= self.rx.acked
        {
            self.rx.ts_recent = val;
            self.rx.ts_recent_at = now;
        }
        true
    }

    fn is_old(&self, seg: &Segment<'_>, now: Time) -> bool {
        let Some((val, _)) = seg.options.ts else {
            return false;
        };
        let behind = val.wrapping_sub(self.rx.ts_recent).cast_signed() < 0;
        behind && now.saturating_sub(self.rx.ts_recent_at) < PAWS_IDLE
    }

    fn on_reset(&mut self) {
        let error = match self.state {
            State::SynReceived => Some(Error::Refused),
            State::TimeWait | State::LastAck | State::Closing => None,
            _ => Some(Error::Reset),
        };
        self.fail(error);
    }

    fn challenge(&mut self, now: Time) {
        let (since, n) = self.challenges;
        if now.saturating_sub(since) > 1_000_000 {
            self.challenges = (now, 0);
        } else if n >= MAX_CHALLENGES {
            return;
        }
        self.challenges.1 += 1;
        self.rx.ack_now = true;
    }

    /// States that an acknowledgement of everything moves on.
    fn after_ack(&mut self, now: Time) {
        let all = self.tx.fin && self.tx.una > self.data_end();
        if !all {
            return;
        }
        match self.state {
            State::FinWait1 => {
                self.state = State::FinWait2;
                if self.orphan {
                    self.due.end = Some(now.saturating_add(self.settings.fin_timeout));
                }
            }
            State::Closing => self.time_wait(now),
            State::LastAck => self.fail(None),
            _ => {}
        }
    }

    fn time_wait(&mut self, now: Time) {
        self.state = State::TimeWait;
        self.due.retransmit = None;
        self.due.keep = None;
        self.due.end = Some(now.saturating_add(TIME_WAIT));
        self.signals.finished = true;
    }

    fn on_data(&mut self, seg: &Segment<'_>, now: Time) {
        if matches!(self.state, State::Closed | State::SynReceived) {
            return;
        }
        let Some(at) = self.rx.offset(seg.seq) else {
            return;
        };
        let at = at.saturating_add(u64::from(seg.flags.has(Flags::SYN)));
        let len = seg.payload.len() as u64;
        if len > 0 {
            self.on_payload(at, seg.payload, now);
        }
        if seg.flags.has(Flags::FIN) {
            self.rx.fin = Some(at.saturating_add(len));
        }
        if self.rx.fin == Some(self.rx.nxt) && !self.rx.fin_seen {
            self.on_fin(now);
        } else if seg.flags.has(Flags::FIN) && self.rx.fin_seen {
            self.rx.ack_now = true;
        }
    }

    fn on_payload(&mut self, at: u64, data: &[u8], now: Time) {
        if self.rx.fin_seen {
            self.rx.ack_now = true;
            return;
        }
        let reads = matches!(
            self.state,
            State::Established | State::FinWait1 | State::FinWait2
        );
        if !reads {
            return;
        }
        let before = self.rx.nxt;
        let moved = self.rx.take(at, data, now);
        if !moved {
            if at > before {
                self.counters.out_of_order += 1;
            }
            return;
        }
        let got = self.rx.nxt.saturating_sub(before);
        self.counters.bytes_received += got;
        self.rx.measure(now);
        self.signals.readable = true;
        if self.orphan && got > 0 {
            // Nobody will ever read it: say so.
            self.fail(Some(Error::Reset));
            self.signals = Signals::default();
            return;
        }
        self.schedule_ack(now);
    }

    fn schedule_ack(&mut self, now: Time) {
        let waiting = self.rx.nxt.saturating_sub(self.rx.acked);
        if waiting > self.rx.mss || self.rx.quick > 0 {
            self.rx.quick = self.rx.quick.saturating_sub(1);
            self.rx.ack_now = true;
        } else if self.due.ack.is_none() {
            self.due.ack = Some(now.saturating_add(super::output::DELAYED_ACK));
        }
    }

    fn on_fin(&mut self, now: Time) {
        self.rx.fin_seen = true;
        self.rx.nxt = self.rx.nxt.saturating_add(1);
        self.rx.ack_now = true;
        self.signals.readable = true;
        match self.state {
            State::Established | State::SynReceived => self.state = State::CloseWait,
            State::FinWait1 => self.state = State::Closing,
            State::FinWait2 => self.time_wait(now),
            _ => {}
        }
    }
}
