//! What time does to a connection: retransmission, tail loss probes, reordering, delayed
//! acknowledgements, probes of closed windows and of silent peers, `TIME-WAIT`.

use super::output::DELAYED_ACK;
use super::{Conn, Error, Fate, Outgoing, Recovery, State};
use crate::Time;

/// Timeouts in a row after which a connection is given up (`tcp_retries2`).
const MAX_RETRIES: u32 = 15;
/// The same for one nobody holds any more (`tcp_orphan_retries`).
const MAX_ORPHAN_RETRIES: u32 = 8;
/// Retries of a SYN-ACK (`tcp_synack_retries`).
const SYNACK_RETRIES: u32 = 5;

impl Conn {
    /// Acts on every deadline that has passed.
    pub(crate) fn on_time(&mut self, now: Time, out: &mut Vec<Outgoing>) {
        let due = |at: Option<Time>| at.is_some_and(|t| t <= now);
        if due(self.due.end) {
            self.due.end = None;
            self.fail(None);
            return;
        }
        if due(self.due.reorder) {
            self.due.reorder = None;
            if self.detect_loss(now) && self.tx.recovery == Recovery::Open {
                self.enter_recovery();
            }
        }
        if due(self.due.retransmit) {
            self.due.retransmit = None;
            self.on_retransmit_time(now, out);
        }
        if due(self.due.cork) {
            self.due.cork = None;
            self.flush_small(now, out);
        }
        if due(self.due.ack) {
            self.due.ack = None;
            self.rx.ack_now = true;
        }
        if due(self.due.keep) {
            self.due.keep = None;
            self.on_keepalive(now, out);
        }
    }

    fn flush_small(&mut self, now: Time, out: &mut Vec<Outgoing>) {
        let left = self.data_end().saturating_sub(self.tx.nxt);
        let window = self
            .tx
            .una
            .saturating_add(self.tx.wnd)
            .saturating_sub(self.tx.nxt);
        let len = left.min(window).min(self.segment_size());
        if len > 0 && self.tx.pipe <= self.cc.cwnd {
            self.send_new(len, false, now, out);
        }
    }

    /// New data was sent: the probe waits for it anew, the timeout of the oldest does not.
    pub(crate) fn arm_on_send(&mut self, now: Time) {
        let oldest = self.tx.queue.front().map_or(now, |s| s.at);
        self.arm(now, oldest);
    }

    /// Arms the timeout of the oldest range, or a tail loss probe before it.
    pub(crate) fn arm_retransmit(&mut self, now: Time) {
        self.arm(now, now);
    }

    fn arm(&mut self, now: Time, since: Time) {
        self.due.is_probe = false;
        if self.tx.queue.is_empty() {
            if !self.due.is_persist {
                self.due.retransmit = None;
            }
            return;
        }
        self.due.is_persist = false;
        let rto = self.rtt.backed_off(self.backoff);
        let probes = self.sack_ok
            && self.tx.recovery == Recovery::Open
            && self.tx.lost == 0
            && self.rack.probe_end.is_none()
            && self.rtt.srtt > 0;
        let mut at = since.saturating_add(rto);
        if probes {
            let single = self.tx.pipe <= self.segment_size();
            let extra = if single {
                DELAYED_ACK.saturating_mul(5)
            } else {
                2000
            };
            let probe = self.rtt.srtt.saturating_mul(2).saturating_add(extra);
            let probe_at = now.saturating_add(probe);
            if probe_at < at {
                at = probe_at;
                self.due.is_probe = true;
            }
        }
        self.due.retransmit = Some(at);
    }

    /// With data but no window and nothing in flight, only probes can bring news.
    pub(crate) fn arm_persist(&mut self, now: Time) {
        let waits =
            self.data_end() > self.tx.nxt || (self.tx.fin && self.tx.nxt <= self.data_end());
        if !waits || !self.tx.queue.is_empty() || self.due.retransmit.is_some() {
            return;
        }
        if self.tx.wnd >= self.segment_size().min(self.tx.max_wnd / 2).max(1) {
            return;
        }
        self.due.is_persist = true;
        self.due.is_probe = false;
        let wait = self.rtt.backed_off(self.backoff);
        self.due.retransmit = Some(now.saturating_add(wait));
    }

    fn on_retransmit_time(&mut self, now: Time, out: &mut Vec<Outgoing>) {
        match self.state {
            State::SynSent | State::SynReceived => self.syn_timeout(now, out),
            _ if self.due.is_persist => self.persist(now, out),
            _ if self.due.is_probe => self.tail_probe(now, out),
            _ => self.timeout(now),
        }
    }

    fn syn_timeout(&mut self, now: Time, out: &mut Vec<Outgoing>) {
        let most = match self.state {
            State::SynReceived => SYNACK_RETRIES,
            _ => self.settings.syn_retries,
        };
        if self.backoff >= most || self.user_timed_out(now) {
            self.fail(Some(Error::TimedOut));
            return;
        }
        self.backoff += 1;
        self.counters.retransmits += 1;
        self.rx.ack_now = true;
        self.output(now, out);
    }

    fn user_timed_out(&mut self, now: Time) -> bool {
        let since = *self.stalled_since.get_or_insert(now);
        let limit = self.settings.user_timeout;
        limit > 0 && now.saturating_sub(since) >= limit
    }

    fn gives_up(&mut self, now: Time) -> bool {
        let most = if self.orphan {
            MAX_ORPHAN_RETRIES
        } else {
            MAX_RETRIES
        };
        if self.settings.user_timeout > 0 {
            return self.user_timed_out(now);
        }
        self.backoff >= most
    }

    fn persist(&mut self, now: Time, out: &mut Vec<Outgoing>) {
        let orphaned = self.orphan && self.backoff >= MAX_ORPHAN_RETRIES;
        if orphaned || (self.settings.user_timeout > 0 && self.user_timed_out(now)) {
            self.fail(Some(Error::TimedOut));
            return;
        }
        if self.tx.wnd > 0 && self.data_end() > self.tx.nxt {
            // A window too small for a whole segment, and nothing else is coming.
            let len = self.tx.wnd.min(self.data_end() - self.tx.nxt);
            let len = len.min(self.segment_size());
            self.due.is_persist = false;
            self.send_new(len, false, now, out);
            return;
        }
        self.backoff = self.backoff.saturating_add(1);
        self.send_probe(now, out);
        let wait = self.rtt.backed_off(self.backoff);
        self.due.retransmit = Some(now.saturating_add(wait));
    }

    /// RFC 8985, 7: something new if there is, else the last segment again.
    fn tail_probe(&mut self, now: Time, out: &mut Vec<Outgoing>) {
        self.due.is_probe = false;
        self.rack.probe_end = Some(self.tx.nxt);
        let size = self.segment_size();
        let left = self.data_end().saturating_sub(self.tx.nxt);
        let window = self
            .tx
            .una
            .saturating_add(self.tx.wnd)
            .saturating_sub(self.tx.nxt);
        let len = left.min(size).min(window);
        if len > 0 {
            self.send_new(len, false, now, out);
            self.rack.probe_end = Some(self.tx.nxt);
        } else if let Some(last) = self.tx.queue.back().copied() {
            self.split_at(last.end.saturating_sub(size).max(last.start));
            let i = self.tx.queue.len().saturating_sub(1);
            if self
                .tx
                .queue
                .get(i)
                .is_some_and(|r| r.fate == Fate::InFlight)
            {
                self.send_again(i, now, out);
            }
        }
        let wait = self.rtt.backed_off(self.backoff);
        self.due.retransmit = Some(now.saturating_add(wait));
    }

    fn timeout(&mut self, now: Time) {
        if self.tx.queue.is_empty() {
            return;
        }
        if self.gives_up(now) {
            self.fail(Some(Error::TimedOut));
            return;
        }
        let _ = self.user_timed_out(now);
        self.backoff += 1;
        if !matches!(self.tx.recovery, Recovery::Loss { .. }) {
            self.cc.on_timeout();
        }
        self.cc.cwnd = self.segment_size();
        self.tx.recovery = Recovery::Loss { high: self.tx.nxt };
        self.rack.probe_end = None;
        self.due.reorder = None;
        // SACKed data may have been thrown away by a peer that is short of memory.
        self.forget_sacks();
        self.lose_all();
        self.arm_retransmit(now);
    }

    fn forget_sacks(&mut self) {
        if self.backoff < 3 {
            return;
        }
        let mut pipe = 0;
        for range in &mut self.tx.queue {
            if range.fate == Fate::Sacked {
                range.fate = Fate::InFlight;
                pipe += range.end.saturating_sub(range.start);
            }
        }
        self.tx.sacked = 0;
        self.tx.pipe = self.tx.pipe.saturating_add(pipe);
    }

    /// Restarts the silence.
    pub(crate) fn arm_keepalive(&mut self, now: Time) {
        let on = self.settings.keepalive && self.is_synchronized();
        let on = on && self.state != State::TimeWait;
        self.due.keep = on.then(|| now.saturating_add(self.settings.keep_idle));
    }

    fn on_keepalive(&mut self, now: Time, out: &mut Vec<Outgoing>) {
        if !self.tx.queue.is_empty() {
            self.due.keep = Some(now.saturating_add(self.settings.keep_interval));
            return;
        }
        if self.keep_probes >= self.settings.keep_count {
            self.send_reset(now, out);
            self.fail(Some(Error::TimedOut));
            return;
        }
        self.keep_probes += 1;
        self.send_probe(now, out);
        self.due.keep = Some(now.saturating_add(self.settings.keep_interval));
    }
}
