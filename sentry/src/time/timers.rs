//! Timers of the reactor: one ordered list a worker, fired by that worker between events.
//!
//! Deadlines are on the monotonic clock. Arming is done on the current worker's list, so no
//! other thread has to be woken. Lock rank: leaf; wakers run after the list is unlocked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use abi::fs::PollEvents;
use platform::WorkerId;

use crate::sync::Mutex;
use crate::wait::Waker;
use crate::worker;

type List = Mutex<BTreeMap<(Duration, u64), Waker>>;

/// All armed timers.
pub struct Timers {
    lists: Arc<[List]>,
    next_id: AtomicU64,
}

/// An armed timer; dropping it disarms.
pub struct Timer {
    lists: Arc<[List]>,
    worker: usize,
    key: (Duration, u64),
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timer({:?})", self.key.0)
    }
}

impl Timer {
    /// The deadline on the monotonic clock.
    pub fn deadline(&self) -> Duration {
        self.key.0
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(list) = self.lists.get(self.worker) {
            list.lock().remove(&self.key);
        }
    }
}

impl Timers {
    /// Lists for `workers` workers.
    pub fn new(workers: usize) -> Timers {
        let lists = (0..workers.max(1)).map(|_| List::default()).collect();
        Timers {
            lists,
            next_id: AtomicU64::new(0),
        }
    }

    /// Arms a timer that wakes `waker` once at `deadline` (monotonic) or soon after.
    /// A caller that is no worker must kick worker 0 afterwards.
    #[must_use]
    pub fn arm(&self, deadline: Duration, waker: Waker) -> Timer {
        let worker = worker::current()
            .map_or(0, |w| w.0)
            .min(self.lists.len() - 1);
        let key = (deadline, self.next_id.fetch_add(1, Ordering::Relaxed));
        if let Some(list) = self.lists.get(worker) {
            list.lock().insert(key, waker);
        }
        Timer {
            lists: self.lists.clone(),
            worker,
            key,
        }
    }

    /// How long worker `id` may sleep; `None` when it has no timer.
    pub fn next_timeout(&self, id: WorkerId, now: Duration) -> Option<Duration> {
        let list = self.lists.get(id.0)?.lock();
        list.keys()
            .next()
            .map(|(deadline, _)| deadline.saturating_sub(now))
    }

    /// Wakes everything of worker `id` that is due.
    pub fn fire(&self, id: WorkerId, now: Duration) {
        let Some(list) = self.lists.get(id.0) else {
            return;
        };
        loop {
            let due = {
                let mut list = list.lock();
                match list.first_entry() {
                    Some(e) if e.key().0 <= now => e.remove(),
                    _ => return,
                }
            };
            due.wake(PollEvents::IN);
        }
    }
}
