//! Segments out: lost ranges first, then new data as windows and Nagle allow, else an
//! acknowledgement that is due.

use super::{Conn, Fate, Outgoing, Recovery, Sent, State};
use crate::Time;
use crate::wire::HEADROOM;
use crate::wire::tcp::{Flags, Header, Options};

/// How long an acknowledgement waits for data to ride on.
pub(crate) const DELAYED_ACK: Time = 40_000;
/// Most data of one frame that the device cuts.
const MAX_GSO: u64 = 64_000;
/// How long a corked or `MSG_MORE` tail waits.
const CORK: Time = 200_000;

impl Conn {
    /// Makes every segment that may be sent now.
    pub(crate) fn output(&mut self, now: Time, out: &mut Vec<Outgoing>) {
        match self.state {
            State::Closed => return,
            State::SynSent | State::SynReceived => {
                self.output_syn(now, out);
                return;
            }
            State::TimeWait => {
                if self.rx.ack_now {
                    self.send_ack(now, out);
                }
                return;
            }
            _ => {}
        }
        self.idle_restart(now);
        while self.output_lost(now, out) {}
        while self.output_new(now, out) {}
        if self.rx.ack_now {
            self.send_ack(now, out);
        }
        self.arm_persist(now);
    }

    fn output_syn(&mut self, now: Time, out: &mut Vec<Outgoing>) {
        if self.tx.nxt > 0 && !self.rx.ack_now {
            return;
        }
        self.rx.ack_now = false;
        let first = self.tx.nxt == 0;
        if first {
            self.tx.nxt = 1;
        }
        self.tx.last_sent = now;
        let flags = self.flags();
        self.push(now, out, 0, flags, 0, 0);
        let wait = self.rtt.backed_off(self.backoff);
        self.due.retransmit = Some(now.saturating_add(wait));
    }

    fn idle_restart(&mut self, now: Time) {
        let idle = now.saturating_sub(self.tx.last_sent);
        if self.tx.una == self.tx.nxt && idle > self.rtt.rto() && self.tx.recovery == Recovery::Open
        {
            self.cc.on_idle();
            self.tx.last_sent = now;
        }
    }

    /// Bytes one segment handed down may carry.
    fn burst(&self) -> u64 {
        let size = self.segment_size();
        if self.gso {
            (MAX_GSO / size).max(1).saturating_mul(size)
        } else {
            size
        }
    }

    /// Sends one lost range again; whether there may be more.
    fn output_lost(&mut self, now: Time, out: &mut Vec<Outgoing>) -> bool {
        if self.tx.lost == 0 {
            return false;
        }
        let size = self.segment_size();
        let room = self.cc.cwnd.saturating_sub(self.tx.pipe);
        if room < size && self.tx.pipe > 0 {
            return false;
        }
        let from = self.tx.lost_from;
        let mut i = self.tx.queue.partition_point(|s| s.end <= from);
        while self.tx.queue.get(i).is_some_and(|s| s.fate != Fate::Lost) {
            i += 1;
        }
        let Some(range) = self.tx.queue.get(i).copied() else {
            self.tx.lost = 0;
            return false;
        };
        let len = range.end.saturating_sub(range.start);
        let most = (room / size).max(1).saturating_mul(size).min(self.burst());
        let len = len.min(most);
        self.split_at(range.start.saturating_add(len));
        self.send_again(i, now, out);
        self.tx.lost_from = range.start;
        true
    }

    /// Sends the range at `i` once more.
    pub(crate) fn send_again(&mut self, i: usize, now: Time, out: &mut Vec<Outgoing>) {
        let Some(range) = self.tx.queue.get_mut(i) else {
            return;
        };
        let was = range.fate;
        range.fate = Fate::InFlight;
        range.at = now;
        range.again = true;
        let (start, len) = (range.start, range.end.saturating_sub(range.start));
        match was {
            Fate::Lost => {
                self.tx.lost = self.tx.lost.saturating_sub(len);
                self.tx.pipe += len;
            }
            Fate::Sacked => {
                self.tx.sacked = self.tx.sacked.saturating_sub(len);
                self.tx.pipe += len;
            }
            Fate::InFlight => {}
        }
        if let Recovery::Fast { out, .. } = &mut self.tx.recovery {
            *out = out.saturating_add(len);
        }
        self.counters.retransmits += 1;
        self.counters.bytes_retransmitted += len;
        self.transmit(start, len, now, out);
        if self.due.retransmit.is_none() {
            self.arm_retransmit(now);
        }
    }

    /// Whether a partial segment may go.
    fn may_send_small(&self) -> bool {
        if self.tx.fin {
            return true;
        }
        if self.settings.cork || self.tx.more {
            return false;
        }
        self.settings.nodelay || self.tx.una == self.tx.nxt
    }

    /// Sends one piece of new data; whether there may be more.
    fn output_new(&mut self, now: Time, out: &mut Vec<Outgoing>) -> bool {
        let end = self.data_end();
        let fin_left = self.tx.fin && self.tx.nxt <= end;
        let left = end.saturating_sub(self.tx.nxt);
        if left == 0 && !fin_left {
            self.due.cork = None;
            return false;
        }
        let size = self.segment_size();
        let window = self
            .tx
            .una
            .saturating_add(self.tx.wnd)
            .saturating_sub(self.tx.nxt);
        let room = self.cc.cwnd.saturating_sub(self.tx.pipe);
        if left > 0 && room < size.min(left) && self.tx.pipe > 0 {
            self.tx.cwnd_limited = true;
            return false;
        }
        let allowed = window.min(room.max(size));
        let mut len = left.min(allowed).min(self.burst());
        if len < left && len > size {
            len -= len % size;
        }
        let whole = len == left;
        if left > 0 && !self.worth_sending(len, size, whole, now) {
            self.tx.cwnd_limited = false;
            return false;
        }
        let takes_fin = fin_left && whole;
        if len == 0 && !takes_fin {
            return false;
        }
        self.due.cork = None;
        self.send_new(len, takes_fin, now, out);
        true
    }

    /// Silly windows and Nagle: whether a piece of `len` bytes goes now.
    fn worth_sending(&mut self, len: u64, size: u64, whole: bool, now: Time) -> bool {
        if len == 0 {
            return false;
        }
        if len >= size {
            return true;
        }
        if !whole {
            // Cut by the window, not by what there is.
            return len >= self.tx.max_wnd / 2;
        }
        if self.may_send_small() {
            return true;
        }
        if (self.settings.cork || self.tx.more) && self.due.cork.is_none() {
            self.due.cork = Some(now.saturating_add(CORK));
        }
        false
    }

    /// Sends `len` bytes of new data.
    pub(crate) fn send_new(&mut self, len: u64, fin: bool, now: Time, out: &mut Vec<Outgoing>) {
        let start = self.tx.nxt;
        let end = start.saturating_add(len).saturating_add(u64::from(fin));
        self.tx.nxt = end;
        self.tx.pipe += end - start;
        self.tx.queue.push_back(Sent {
            start,
            end,
            at: now,
            fate: Fate::InFlight,
            again: false,
        });
        if let Recovery::Fast { out, .. } = &mut self.tx.recovery {
            *out = out.saturating_add(len);
        }
        if now.saturating_sub(self.rx.last_data) < DELAYED_ACK {
            // A dialogue: acknowledgements ride on answers.
            self.rx.quick = 0;
        }
        self.counters.bytes_sent += len;
        self.tx.last_sent = now;
        self.transmit(start, end - start, now, out);
        if self.due.retransmit.is_none() || self.backoff == 0 {
            self.arm_on_send(now);
        }
    }

    /// Makes the segment of a range of sequence space, which may end in the FIN.
    fn transmit(&mut self, start: u64, len: u64, now: Time, out: &mut Vec<Outgoing>) {
        let data_end = self.data_end();
        let fin = self.tx.fin && start.saturating_add(len) > data_end;
        let data = len.saturating_sub(u64::from(fin));
        let mut flags = Flags::ACK;
        if fin {
            flags = flags.with(Flags::FIN);
        }
        if data > 0 && start.saturating_add(data) >= data_end {
            flags = flags.with(Flags::PSH);
        }
        let from = usize::try_from(start.saturating_sub(self.tx.buf_at)).unwrap_or(usize::MAX);
        let data = usize::try_from(data).unwrap_or(0);
        if data > 0 {
            self.counters.data_segments_out += 1;
        }
        self.push(now, out, start, flags, from, data);
    }

    /// Sends an acknowledgement without data.
    pub(crate) fn send_ack(&mut self, now: Time, out: &mut Vec<Outgoing>) {
        let at = self.tx.nxt;
        self.push(now, out, at, Flags::ACK, 0, 0);
    }

    /// Sends a probe that makes the peer answer: a byte it has already.
    pub(crate) fn send_probe(&mut self, now: Time, out: &mut Vec<Outgoing>) {
        let at = self.tx.una.saturating_sub(1);
        self.push(now, out, at, Flags::ACK, 0, 0);
    }

    /// Sends a reset.
    pub(crate) fn send_reset(&mut self, now: Time, out: &mut Vec<Outgoing>) {
        let at = self.tx.nxt;
        self.push(now, out, at, Flags::RST.with(Flags::ACK), 0, 0);
    }

    fn options(&mut self, now: Time, flags: Flags) -> Options {
        let syn = flags.has(Flags::SYN);
        let mut o = Options::default();
        if self.ts_ok {
            o.ts = Some((self.ts_now(now), self.rx.ts_recent));
        }
        if syn {
            o.mss = Some(crate::wire::len16(
                usize::try_from(self.tx.mss).unwrap_or(536),
            ));
            o.sack_ok = self.sack_ok;
            let answers = flags.has(Flags::ACK);
            o.wscale = (!answers || self.rx.shift > 0).then_some(super::WINDOW_SHIFT);
        } else if self.sack_ok && self.rx.blocks() > 0 {
            (o.sack, o.sacks) = self.rx.sack(if self.ts_ok { 3 } else { 4 });
        }
        o
    }

    /// Builds a segment of `len` bytes from index `from` of the buffer.
    fn push(
        &mut self,
        now: Time,
        out: &mut Vec<Outgoing>,
        seq: u64,
        flags: Flags,
        from: usize,
        len: usize,
    ) {
        let size = self.segment_size();
        let syn = flags.has(Flags::SYN);
        let options = self.options(now, flags);
        let acks = flags.has(Flags::ACK);
        let (ack, window) = if acks {
            (self.rx.wire_ack(), self.advertise(syn))
        } else {
            (0, crate::wire::len16(self.rx.buf.min(65_535)))
        };
        let header = Header {
            src: self.tuple.local.port(),
            dst: self.tuple.peer.port(),
            seq: self.wire_seq(seq),
            ack,
            flags,
            window,
            urgent: 0,
            options,
        };
        let mut buf = Vec::with_capacity(HEADROOM + 60 + len);
        buf.resize(HEADROOM, 0);
        let header = header.emit(&mut buf);
        self.copy_out(from, len, &mut buf);
        if acks {
            self.rx.acked = self.rx.nxt;
            self.rx.ack_now = false;
            self.due.ack = None;
        }
        self.counters.segments_out += 1;
        out.push(Outgoing {
            tuple: self.tuple,
            buf,
            header,
            gso: if len as u64 > size {
                crate::wire::len16(usize::try_from(size).unwrap_or(536))
            } else {
                0
            },
            ttl: self.settings.ttl,
            tos: self.settings.tos,
        });
    }

    fn copy_out(&self, from: usize, len: usize, buf: &mut Vec<u8>) {
        let (a, b) = self.tx.buf.as_slices();
        let end = from.saturating_add(len);
        if let Some(part) = a.get(from.min(a.len())..end.min(a.len())) {
            buf.extend_from_slice(part);
        }
        let (from, end) = (from.saturating_sub(a.len()), end.saturating_sub(a.len()));
        if let Some(part) = b.get(from.min(b.len())..end.min(b.len())) {
            buf.extend_from_slice(part);
        }
    }

    /// The window field; remembers the edge it promises.
    fn advertise(&mut self, syn: bool) -> u16 {
        let window = self.rx.window();
        let shift = if syn { 0 } else { self.rx.shift };
        let field = u16::try_from(window >> shift).unwrap_or(u16::MAX);
        let edge = self.rx.nxt.saturating_add(u64::from(field) << shift);
        self.rx.edge = self.rx.edge.max(edge);
        field
    }

    /// Whether the window could be opened by enough to tell the peer.
    pub(crate) fn window_update_due(&self) -> bool {
        let known = self.rx.edge.saturating_sub(self.rx.nxt);
        let window = self.rx.window();
        let step = (self.rx.mss.saturating_mul(2)).min(self.rx.buf as u64 / 2);
        window >= known.saturating_add(step) && (known < window / 2 || known < 65_536)
    }
}
