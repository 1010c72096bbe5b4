//! What an acknowledgement says: progress, the SACK scoreboard (RFC 6675), loss by time
//! (RACK, RFC 8985) and how fast to go on (proportional rate reduction, RFC 6937).

use super::{Conn, Fate, Recovery, Sent, State};
use crate::Time;
use crate::wire::tcp::{Flags, Segment};

/// Most ranges the scoreboard is split into.
const MAX_RANGES: usize = 8192;
/// Duplicate acknowledgements that mean a loss where there is no SACK.
const DUP_THRESHOLD: u32 = 3;

/// What one acknowledgement delivered.
#[derive(Default)]
struct Delivered {
    acked: u64,
    sacked: u64,
    dsack: bool,
    /// Round trip of a range that was sent once.
    rtt: Option<Time>,
}

impl Conn {
    /// Takes the acknowledgement of a segment; whether the segment goes on.
    pub(crate) fn on_ack(&mut self, seg: &Segment<'_>, now: Time) -> bool {
        if !seg.flags.has(Flags::ACK) {
            return false;
        }
        let diff = seg
            .ack
            .wrapping_sub(self.wire_seq(self.tx.una))
            .cast_signed();
        let Some(ack) = self.tx.una.checked_add_signed(i64::from(diff)) else {
            self.rx.ack_now = true;
            return false;
        };
        if ack > self.tx.nxt {
            self.rx.ack_now = true;
            return false;
        }
        let mut d = Delivered::default();
        if self.sack_ok {
            self.take_sacks(seg, ack, now, &mut d);
        }
        let old_una = self.tx.una;
        if ack > old_una {
            self.advance(ack, now, &mut d);
        }
        let window_moved = self.take_window(seg, ack);
        if ack < old_una {
            return true;
        }
        let waits = !self.tx.queue.is_empty();
        let dup = ack == old_una && waits && seg.is_empty() && !window_moved;
        self.tx.dupacks = if ack > old_una {
            0
        } else {
            self.tx.dupacks + u32::from(dup)
        };
        if let Some(rtt) = d.rtt {
            self.rtt.sample(rtt);
        }
        self.recover(&d, now, ack > old_una);
        self.after_progress(&d, now, ack > old_una);
        true
    }

    /// RFC 9293's rule for which window is the latest.
    fn take_window(&mut self, seg: &Segment<'_>, ack: u64) -> bool {
        let at = self.rx.offset(seg.seq).unwrap_or(self.rx.nxt);
        let newer = self.tx.wl1 < at || (self.tx.wl1 == at && self.tx.wl2 <= ack);
        if !newer {
            return false;
        }
        let wnd = u64::from(seg.window) << self.tx.wscale;
        let moved = wnd != self.tx.wnd;
        self.tx.wnd = wnd;
        self.tx.max_wnd = self.tx.max_wnd.max(wnd);
        self.tx.wl1 = at;
        self.tx.wl2 = ack;
        if wnd > 0 && self.due.is_persist {
            self.due.is_persist = false;
            self.due.retransmit = None;
            self.backoff = 0;
        }
        moved
    }

    /// Everything before `ack` has arrived.
    fn advance(&mut self, ack: u64, now: Time, d: &mut Delivered) {
        while let Some(first) = self.tx.queue.front().copied() {
            if first.start >= ack {
                break;
            }
            let done = first.end.min(ack);
            let len = done.saturating_sub(first.start);
            self.account(first.fate, len);
            if first.fate != Fate::Sacked {
                d.acked += len;
                self.delivered(&Sent { end: done, ..first }, now, d);
            }
            if first.end <= ack {
                self.tx.queue.pop_front();
            } else if let Some(front) = self.tx.queue.front_mut() {
                front.start = ack;
            }
        }
        self.tx.una = ack;
        let data = ack.min(self.data_end()).saturating_sub(self.tx.buf_at);
        let n = usize::try_from(data).unwrap_or(0).min(self.tx.buf.len());
        self.tx.buf.drain(..n);
        self.tx.buf_at = self.tx.buf_at.saturating_add(n as u64);
        self.counters.bytes_acked += n as u64;
        if self.tx.buf.is_empty() && self.tx.buf.capacity() > 256 * 1024 {
            self.tx.buf = Default::default();
        }
        if n > 0 && self.tx.want_room && self.has_room() {
            self.tx.want_room = false;
            self.signals.writable = true;
        }
    }

    /// Takes bytes out of the counts of their fate.
    fn account(&mut self, fate: Fate, len: u64) {
        match fate {
            Fate::InFlight => self.tx.pipe = self.tx.pipe.saturating_sub(len),
            Fate::Sacked => self.tx.sacked = self.tx.sacked.saturating_sub(len),
            Fate::Lost => self.tx.lost = self.tx.lost.saturating_sub(len),
        }
    }

    /// A range has arrived: what it says of time and order (RFC 8985, 6.2 steps 1 to 3).
    fn delivered(&mut self, range: &Sent, now: Time, d: &mut Delivered) {
        let rtt = now.saturating_sub(range.at);
        if !range.again {
            d.rtt = Some(d.rtt.map_or(rtt, |r| r.min(rtt)));
            if range.end < self.rack.fack {
                self.rack.reordered = true;
            }
        } else if rtt < self.rtt.min {
            return;
        }
        self.rack.fack = self.rack.fack.max(range.end);
        if (range.at, range.end) > (self.rack.sent, self.rack.end) {
            (self.rack.sent, self.rack.end) = (range.at, range.end);
            self.rack.rtt = rtt;
        }
    }

    fn take_sacks(&mut self, seg: &Segment<'_>, ack: u64, now: Time, d: &mut Delivered) {
        let o = seg.options;
        for (i, (start, end)) in o.sack.iter().take(o.sacks.min(4)).enumerate() {
            let near = |w: u32| {
                let diff = w.wrapping_sub(self.wire_seq(self.tx.una)).cast_signed();
                self.tx.una.checked_add_signed(i64::from(diff))
            };
            let (Some(start), Some(end)) = (near(*start), near(*end)) else {
                continue;
            };
            if start >= end || end > self.tx.nxt {
                continue;
            }
            if i == 0 && end <= ack {
                d.dsack = true;
            }
            if end > ack {
                self.mark_sacked(start.max(ack), end, now, d);
            }
        }
        if d.dsack {
            self.rack.window_steps = (self.rack.window_steps + 1).min(16);
        }
    }

    fn mark_sacked(&mut self, start: u64, end: u64, now: Time, d: &mut Delivered) {
        self.split_at(start);
        self.split_at(end);
        let mut i = self.tx.queue.partition_point(|s| s.start < start);
        while let Some(range) = self.tx.queue.get_mut(i) {
            if range.end > end {
                break;
            }
            i += 1;
            if range.fate == Fate::Sacked {
                continue;
            }
            let (was, copy) = (range.fate, *range);
            range.fate = Fate::Sacked;
            let len = copy.end.saturating_sub(copy.start);
            self.account(was, len);
            self.tx.sacked += len;
            d.sacked += len;
            self.delivered(&copy, now, d);
        }
    }

    /// Makes `at` a border between ranges.
    pub(crate) fn split_at(&mut self, at: u64) {
        let i = self.tx.queue.partition_point(|s| s.end <= at);
        let Some(range) = self.tx.queue.get_mut(i) else {
            return;
        };
        if range.start >= at || self.tx.queue.len() >= MAX_RANGES {
            return;
        }
        if let Some(range) = self.tx.queue.get_mut(i) {
            let second = Sent {
                start: at,
                ..*range
            };
            range.end = at;
            self.tx.queue.insert(i + 1, second);
        }
    }

    /// Marks ranges lost that were sent long enough before one that has arrived; arms the
    /// reorder timer for those that may yet turn out to be (RFC 8985, 6.2 steps 4 and 5).
    pub(crate) fn detect_loss(&mut self, now: Time) -> bool {
        self.due.reorder = None;
        let window = self.reorder_window();
        let mut wait: Time = 0;
        let mut found = false;
        for i in 0..self.tx.queue.len() {
            let Some(range) = self.tx.queue.get(i).copied() else {
                break;
            };
            if range.fate != Fate::InFlight {
                continue;
            }
            if (range.at, range.end) >= (self.rack.sent, self.rack.end) {
                continue;
            }
            let limit = range
                .at
                .saturating_add(self.rack.rtt)
                .saturating_add(window);
            if limit <= now {
                self.mark_lost(i);
                found = true;
            } else {
                wait = wait.max(limit - now);
            }
        }
        if wait > 0 {
            self.due.reorder = Some(now.saturating_add(wait));
        }
        found
    }

    fn reorder_window(&self) -> Time {
        let recovering = self.tx.recovery != Recovery::Open;
        let enough = self.tx.sacked >= u64::from(DUP_THRESHOLD) * self.tx.mss;
        if !self.rack.reordered && (recovering || enough) {
            return 0;
        }
        let steps = self.rack.window_steps.max(1);
        (self.rtt.min / 4).saturating_mul(steps).min(self.rtt.srtt)
    }

    fn mark_lost(&mut self, i: usize) {
        let Some(range) = self.tx.queue.get_mut(i) else {
            return;
        };
        if range.fate != Fate::InFlight {
            return;
        }
        range.fate = Fate::Lost;
        let (start, len) = (range.start, range.end.saturating_sub(range.start));
        self.tx.pipe = self.tx.pipe.saturating_sub(len);
        self.tx.lost += len;
        self.tx.lost_from = self.tx.lost_from.min(start);
    }

    /// After a timeout everything not known to have arrived is taken for lost.
    pub(crate) fn lose_all(&mut self) {
        for i in 0..self.tx.queue.len() {
            self.mark_lost(i);
        }
        self.tx.lost_from = self.tx.una;
    }

    /// Looks for losses and enters, goes on with, or leaves recovery.
    fn recover(&mut self, d: &Delivered, now: Time, progress: bool) {
        match self.tx.recovery {
            Recovery::Fast { high, .. } | Recovery::Loss { high } if self.tx.una >= high => {
                if matches!(self.tx.recovery, Recovery::Fast { .. }) {
                    self.cc.cwnd = self.cc.ssthresh;
                }
                self.tx.recovery = Recovery::Open;
            }
            _ => {}
        }
        let mut lost = false;
        if self.sack_ok {
            if self.tx.sacked > 0 || self.tx.recovery != Recovery::Open {
                lost = self.detect_loss(now);
            } else {
                self.due.reorder = None;
            }
        } else {
            lost = self.detect_without_sack(progress);
        }
        if lost && self.tx.recovery == Recovery::Open {
            self.enter_recovery();
        }
        self.reduce(d);
    }

    /// NewReno: the third duplicate, and each partial acknowledgement in recovery.
    fn detect_without_sack(&mut self, progress: bool) -> bool {
        let fast = matches!(self.tx.recovery, Recovery::Fast { .. });
        let hole = (fast && progress) || (!fast && self.tx.dupacks == DUP_THRESHOLD);
        if !hole || self.tx.queue.is_empty() {
            return false;
        }
        self.split_at(self.tx.una.saturating_add(self.segment_size()));
        self.mark_lost(0);
        true
    }

    pub(crate) fn enter_recovery(&mut self) {
        self.cc.on_loss();
        self.tx.recovery = Recovery::Fast {
            high: self.tx.nxt,
            flight: self.tx.nxt.saturating_sub(self.tx.una).max(1),
            delivered: 0,
            out: 0,
        };
    }

    /// Proportional rate reduction.
    fn reduce(&mut self, d: &Delivered) {
        let mss = self.segment_size();
        let Recovery::Fast {
            flight,
            delivered,
            out,
            ..
        } = &mut self.tx.recovery
        else {
            return;
        };
        let now_delivered = d.acked.saturating_add(d.sacked);
        *delivered = delivered.saturating_add(now_delivered);
        let send = if self.tx.pipe > self.cc.ssthresh {
            let due = u128::from(*delivered) * u128::from(self.cc.ssthresh);
            let due = due.div_ceil(u128::from((*flight).max(1)));
            u64::try_from(due).unwrap_or(u64::MAX).saturating_sub(*out)
        } else {
            let room = self.cc.ssthresh - self.tx.pipe;
            let bound = delivered.saturating_sub(*out).max(now_delivered);
            room.min(bound.saturating_add(mss))
        };
        let send = if *out == 0 { send.max(mss) } else { send };
        self.cc.cwnd = self.tx.pipe.saturating_add(send);
    }

    fn after_progress(&mut self, d: &Delivered, now: Time, progress: bool) {
        if progress {
            self.backoff = 0;
            self.stalled_since = None;
            let grows = !matches!(self.tx.recovery, Recovery::Fast { .. });
            let slow = self.cc.cwnd < self.cc.ssthresh;
            let used =
                self.tx.cwnd_limited || (slow && self.tx.pipe.saturating_mul(2) > self.cc.cwnd);
            if grows && used && d.acked > 0 {
                self.cc.on_ack(d.acked, now, self.rtt.srtt);
                self.grow_sndbuf();
            }
        }
        if self.rack.probe_end.is_some_and(|end| self.tx.una >= end) {
            self.rack.probe_end = None;
        }
        if progress || d.sacked > 0 {
            self.arm_retransmit(now);
        }
        if self.state == State::SynReceived {
            self.due.retransmit = None;
        }
    }

    /// The send buffer follows the congestion window.
    fn grow_sndbuf(&mut self) {
        let want = usize::try_from(self.cc.cwnd.saturating_mul(2)).unwrap_or(usize::MAX);
        if !self.settings.sndbuf_fixed && want > self.settings.sndbuf {
            self.settings.sndbuf = want.min(super::MAX_SNDBUF);
            if self.tx.want_room && self.has_room() {
                self.tx.want_room = false;
                self.signals.writable = true;
            }
        }
    }
}
