//! Interrupts that a guest thread does not answer.
//!
//! Guest code can block the interrupt signal by a forged `rt_sigreturn`. A thread that was
//! signalled and has not rung the doorbell although its process used its share of CPU time
//! since costs the process its life. Nothing is done while no interrupt is outstanding.
//! Neighbours: `context` (arms it), `Systrap::next` (looks from time to time).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::context::Thread;

/// How often outstanding interrupts are looked at.
pub const PERIOD: Duration = Duration::from_millis(50);
/// CPU time each thread of a process may use before an interrupt counts as unanswered.
const BUDGET: Duration = Duration::from_millis(100);

/// What was seen of an outstanding interrupt at the first look.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    interrupt: u64,
    cpu: Duration,
}

struct Entry {
    thread: Arc<Thread>,
    seen: Option<Seen>,
}

#[derive(Default)]
struct Inner {
    entries: Vec<Entry>,
    looked: Option<Instant>,
}

/// The outstanding interrupts.
#[derive(Default)]
pub struct Watchdog {
    count: AtomicUsize,
    inner: Mutex<Inner>,
}

impl Watchdog {
    /// Whether any interrupt is outstanding.
    pub fn is_armed(&self) -> bool {
        self.count.load(Ordering::Relaxed) != 0
    }

    /// Adds a thread that has just been signalled and is not on the list.
    pub fn add(&self, thread: Arc<Thread>) {
        self.inner.lock().entries.push(Entry { thread, seen: None });
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Looks at the outstanding interrupts, if it is time to and nobody else does.
    pub fn look(&self) {
        let Some(mut inner) = self.inner.try_lock() else {
            return;
        };
        let now = Instant::now();
        if inner
            .looked
            .is_some_and(|at| now.duration_since(at) < PERIOD)
        {
            return;
        }
        inner.looked = Some(now);
        let entries = std::mem::take(&mut inner.entries);
        drop(inner);
        let before = entries.len();
        let mut keep: Vec<Entry> = entries.into_iter().filter_map(judge).collect();
        self.count
            .fetch_sub(before.saturating_sub(keep.len()), Ordering::Relaxed);
        self.inner.lock().entries.append(&mut keep);
    }
}

/// The entry, if its interrupt is still outstanding.
fn judge(mut entry: Entry) -> Option<Entry> {
    let interrupt = entry.thread.unanswered()?;
    let stub = entry.thread.stub();
    let (cpu, threads) = stub.use_of_cpu();
    match entry.seen {
        Some(seen) if seen.interrupt == interrupt => {
            if cpu.saturating_sub(seen.cpu) > BUDGET * threads.max(1) {
                stub.kill();
            }
        }
        _ => entry.seen = Some(Seen { interrupt, cpu }),
    }
    Some(entry)
}
