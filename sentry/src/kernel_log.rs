//! The kernel's log: what `syslog(2)` and `/dev/kmsg` show (`dmesg(1)`).
//!
//! A ring of records with numbers of their own; the oldest give way. Lock rank: leaf.

use std::collections::VecDeque;
use std::time::Duration;

use abi::fs::PollEvents;

use crate::sync::Mutex;
use crate::wait::Pollee;

/// Bytes kept.
const ROOM: usize = 1 << 17;
/// What a record is charged beyond its text.
const OVERHEAD: usize = 64;
/// Most bytes of a record's text, as Linux has it (`LOG_LINE_MAX`).
pub const LINE: usize = 1024 - 48;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number, from 0.
    pub seq: u64,
    /// Facility times 8, and level.
    pub priority: u32,
    /// Since boot.
    pub time: Duration,
    /// What it says, without the newline.
    pub text: Vec<u8>,
}

impl Record {
    fn charge(&self) -> usize {
        self.text.len().saturating_add(OVERHEAD)
    }

    /// As `syslog(2)` prints it.
    pub fn line(&self) -> Vec<u8> {
        let (s, us) = (self.time.as_secs(), self.time.subsec_micros());
        let mut line = format!("<{}>[{s:5}.{us:06}] ", self.priority).into_bytes();
        line.extend_from_slice(&self.text);
        line.push(b'\n');
        line
    }

    /// As a read of `/dev/kmsg` returns it (Documentation/ABI/testing/dev-kmsg): what could
    /// be taken for structure is escaped.
    pub fn extended(&self) -> Vec<u8> {
        let (priority, seq, us) = (self.priority, self.seq, self.time.as_micros());
        let mut line = format!("{priority},{seq},{us},-;").into_bytes();
        for &byte in &self.text {
            if !(b' '..0x7f).contains(&byte) || byte == b'\\' {
                line.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
            } else {
                line.push(byte);
            }
        }
        line.push(b'\n');
        line
    }
}

/// How far readers of `syslog(2)`'s stream are.
#[derive(Clone, Copy, Debug, Default)]
struct Readers {
    /// Next record of `SYSLOG_ACTION_READ`, and bytes of it that were read.
    next: (u64, usize),
    /// First record after the last `SYSLOG_ACTION_CLEAR`.
    cleared: u64,
}

#[derive(Default)]
struct Inner {
    records: VecDeque<Record>,
    next: u64,
    bytes: usize,
    readers: Readers,
}

/// The log.
#[derive(Default)]
pub struct KernelLog {
    inner: Mutex<Inner>,
    pollee: Pollee,
}

impl KernelLog {
    /// Adds a message; text beyond [`LINE`] is cut.
    pub fn add(&self, priority: u32, time: Duration, text: &[u8]) {
        let text = text.get(..LINE).unwrap_or(text).to_vec();
        let mut inner = self.inner.lock();
        let seq = inner.next;
        inner.next = seq.saturating_add(1);
        let record = Record {
            seq,
            priority,
            time,
            text,
        };
        inner.bytes = inner.bytes.saturating_add(record.charge());
        inner.records.push_back(record);
        while inner.bytes > ROOM {
            let Some(old) = inner.records.pop_front() else {
                break;
            };
            inner.bytes = inner.bytes.saturating_sub(old.charge());
        }
        drop(inner);
        self.pollee.notify(PollEvents::IN | PollEvents::RDNORM);
    }

    /// Is notified when there is more to read.
    pub fn pollee(&self) -> &Pollee {
        &self.pollee
    }

    /// The first record from number `seq` on; whether older ones than it were lost.
    pub fn from(&self, seq: u64) -> Option<(Record, bool)> {
        let inner = self.inner.lock();
        let found = inner.records.iter().find(|r| r.seq >= seq)?;
        let lost = found.seq > seq;
        Some((found.clone(), lost))
    }

    /// The number of the oldest record, and of the one that comes next.
    pub fn range(&self) -> (u64, u64) {
        let inner = self.inner.lock();
        let first = inner.records.front().map_or(inner.next, |r| r.seq);
        (first, inner.next)
    }

    /// The first record after the last clearing.
    pub fn cleared(&self) -> u64 {
        self.inner.lock().readers.cleared
    }

    /// Forgets, for readers of all, what is there now.
    pub fn clear(&self) {
        let mut inner = self.inner.lock();
        inner.readers.cleared = inner.next;
    }

    /// The newest whole lines since the last clearing that fit into `room` bytes.
    pub fn newest(&self, room: usize) -> Vec<u8> {
        let inner = self.inner.lock();
        let cleared = inner.readers.cleared;
        let mut lines: Vec<Vec<u8>> = Vec::new();
        let mut left = room;
        for record in inner.records.iter().rev().take_while(|r| r.seq >= cleared) {
            let line = record.line();
            match left.checked_sub(line.len()) {
                Some(rest) => left = rest,
                None => break,
            }
            lines.push(line);
        }
        lines.reverse();
        lines.concat()
    }

    /// Takes up to `room` bytes of the stream, which each byte is read from once.
    pub fn take(&self, room: usize) -> Vec<u8> {
        let mut inner = self.inner.lock();
        let (mut next, mut done) = inner.readers.next;
        let mut taken = Vec::new();
        for record in &inner.records {
            if record.seq < next {
                continue;
            }
            if record.seq > next {
                (next, done) = (record.seq, 0);
            }
            let line = record.line();
            let rest = line.get(done..).unwrap_or_default();
            let n = rest.len().min(room.saturating_sub(taken.len()));
            taken.extend_from_slice(rest.get(..n).unwrap_or_default());
            if n < rest.len() {
                done = done.saturating_add(n);
                break;
            }
            (next, done) = (record.seq.saturating_add(1), 0);
        }
        inner.readers.next = (next, done);
        taken
    }

    /// Bytes of the stream that were not read.
    pub fn unread(&self) -> usize {
        let inner = self.inner.lock();
        let (next, done) = inner.readers.next;
        let lines = inner.records.iter().filter(|r| r.seq >= next);
        let all: usize = lines.map(|r| r.line().len()).sum();
        let begun = inner.records.iter().any(|r| r.seq == next);
        all.saturating_sub(if begun { done } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_records_give_way_and_streams_go_on() {
        let log = KernelLog::default();
        log.add(5, Duration::from_micros(1_000_002), b"one\n");
        log.add(6, Duration::ZERO, b"two");
        assert_eq!(log.unread(), 23 + 22);
        assert_eq!(log.take(4), b"<5>[");
        assert_eq!(
            log.take(100),
            b"    1.000002] one\n\n<6>[    0.000000] two\n"
        );
        assert_eq!(log.unread(), 0);
        assert_eq!(log.newest(25), b"<6>[    0.000000] two\n");
        let (first, lost) = log.from(0).expect("a record");
        assert_eq!(first.extended(), b"5,0,1000002,-;one\\x0a\n");
        assert!(!lost);
        log.clear();
        assert!(log.newest(1000).is_empty());
        for _ in 0..200 {
            log.add(6, Duration::ZERO, &[b'x'; 2000]);
        }
        let (first, next) = log.range();
        assert!(first > 0 && next == 202);
        assert!(log.from(0).expect("a record").1);
        for _ in 0..10_000 {
            log.add(6, Duration::ZERO, b"");
        }
        let (first, next) = log.range();
        assert!(next - first <= (ROOM / OVERHEAD) as u64);
    }
}
