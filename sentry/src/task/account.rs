//! What a thread has used besides CPU time: counters of its own, and their sums.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of a thread.
#[derive(Debug, Default)]
pub struct Account {
    faults: AtomicU64,
    waits: AtomicU64,
    reads: AtomicU64,
    writes: AtomicU64,
    read_bytes: AtomicU64,
    written_bytes: AtomicU64,
}

/// Their values, of one thread or of many (`getrusage(2)`, `proc_pid_io(5)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Page faults this kernel resolved; those the host resolves are not seen.
    pub faults: u64,
    /// Times it waited in a call (voluntary context switches).
    pub waits: u64,
    /// Calls that read.
    pub reads: u64,
    /// Calls that wrote.
    pub writes: u64,
    /// Bytes they read.
    pub read_bytes: u64,
    /// Bytes they wrote.
    pub written_bytes: u64,
}

impl Counts {
    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Counts) -> Counts {
        Counts {
            faults: self.faults.saturating_add(other.faults),
            waits: self.waits.saturating_add(other.waits),
            reads: self.reads.saturating_add(other.reads),
            writes: self.writes.saturating_add(other.writes),
            read_bytes: self.read_bytes.saturating_add(other.read_bytes),
            written_bytes: self.written_bytes.saturating_add(other.written_bytes),
        }
    }
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl Account {
    /// A page fault was resolved.
    pub fn fault(&self) {
        add(&self.faults, 1);
    }

    /// The thread waits in a call.
    pub fn wait(&self) {
        add(&self.waits, 1);
    }

    /// A call read so many bytes.
    pub fn read(&self, bytes: usize) {
        add(&self.reads, 1);
        add(&self.read_bytes, bytes as u64);
    }

    /// A call wrote so many bytes.
    pub fn write(&self, bytes: usize) {
        add(&self.writes, 1);
        add(&self.written_bytes, bytes as u64);
    }

    /// The values now.
    pub fn counts(&self) -> Counts {
        let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
        Counts {
            faults: get(&self.faults),
            waits: get(&self.waits),
            reads: get(&self.reads),
            writes: get(&self.writes),
            read_bytes: get(&self.read_bytes),
            written_bytes: get(&self.written_bytes),
        }
    }
}
