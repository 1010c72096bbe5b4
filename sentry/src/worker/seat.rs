//! Seats: who serves a worker's events, and how a blocked one is relieved.
//!
//! A worker's events are served by the one thread that has its [`Seat`]. A host call may
//! block that thread (a request to the gofer, a cold page, a slow disk); the guests dealt to
//! the worker must not wait for it. A watcher looks at the seats while there is anything to
//! look at: one whose holder is in the same event as a tick ago, without having used the CPU
//! time, is given to a standby thread. The relieved thread finishes the event it is in and
//! becomes a standby. Nothing is taken from it but the right to ask for the next event.
//!
//! Neighbours: `worker` (the loop of a holder), `runsc` (starts the threads).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Condvar;
use platform::WorkerId;
use platform::host::ThreadClock;

use crate::sync::Mutex;

/// How often the seats are looked at while events are served.
const TICK: Duration = Duration::from_millis(1);
/// Ticks without an event after which the watcher sleeps until the next one.
const QUIET: u32 = 8;
/// Most standby threads. Past them a blocked worker's events wait.
const STANDBYS: usize = 64;

/// The low half of a seat's word counts turns, odd while an event is served; the high half
/// counts holders.
const TURN: u64 = 0xffff_ffff;

fn holders(word: u64) -> u64 {
    word & !TURN
}

fn next_turn(word: u64) -> u64 {
    holders(word) | (word.wrapping_add(1) & TURN)
}

fn is_serving(word: u64) -> bool {
    word & 1 == 1
}

/// The right to serve a worker, as its holder keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The worker.
    pub worker: WorkerId,
    number: u64,
}

#[derive(Default)]
struct Seat {
    word: AtomicU64,
    clock: Mutex<Option<ThreadClock>>,
}

impl Seat {
    fn cpu_time(&self) -> Option<Duration> {
        self.clock.lock().and_then(ThreadClock::read)
    }
}

/// Threads that have no seat.
#[derive(Default)]
struct Pool {
    threads: usize,
    idle: usize,
    offers: Vec<Holder>,
    stopped: bool,
}

/// The seats of all workers and the threads beside them.
#[derive(Default)]
pub struct Seats {
    seats: Vec<Seat>,
    asleep: AtomicBool,
    pool: Mutex<Pool>,
    wake_watcher: Condvar,
    wake_standby: Condvar,
}

/// What the watcher saw of a seat a tick ago.
#[derive(Clone, Copy, Default)]
struct Seen {
    word: u64,
    cpu: Option<Duration>,
}

impl Seats {
    /// Seats for `n` workers.
    pub fn new(n: usize) -> Seats {
        Seats {
            seats: (0..n).map(|_| Seat::default()).collect(),
            ..Seats::default()
        }
    }

    fn seat(&self, worker: WorkerId) -> Option<&Seat> {
        self.seats.get(worker.0)
    }

    /// The first holder of a worker's seat.
    pub fn first(&self, worker: WorkerId) -> Holder {
        Holder { worker, number: 0 }
    }

    /// The calling thread sits down.
    pub fn sit(&self, holder: Holder) {
        if let Some(seat) = self.seat(holder.worker) {
            *seat.clock.lock() = ThreadClock::mine();
        }
    }

    /// Whether the holder has not been relieved.
    pub fn is_held(&self, holder: Holder) -> bool {
        self.seat(holder.worker)
            .is_none_or(|seat| holders(seat.word.load(Ordering::SeqCst)) == holder.number)
    }

    /// The holder begins to serve an event. It must not be in one.
    pub fn begin(&self, holder: Holder) {
        let Some(seat) = self.seat(holder.worker) else {
            return;
        };
        // Between events only one who reclaims the seat writes the word.
        let word = seat.word.load(Ordering::Relaxed);
        let (order, failed) = (Ordering::SeqCst, Ordering::Relaxed);
        if holders(word) != holder.number
            || seat
                .word
                .compare_exchange(word, next_turn(word), order, failed)
                .is_err()
        {
            return;
        }
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            // The watcher sleeps or is about to, under the lock.
            drop(self.pool.lock());
            self.wake_watcher.notify_one();
        }
    }

    /// The holder is done with the event; whether it still has the seat.
    pub fn end(&self, holder: Holder) -> bool {
        let Some(seat) = self.seat(holder.worker) else {
            return true;
        };
        let word = seat.word.load(Ordering::Relaxed);
        holders(word) == holder.number
            && seat
                .word
                .compare_exchange(word, next_turn(word), Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
    }

    /// A relieved thread waits for a seat; `None` when the kernel stops.
    pub fn next_offer(&self) -> Option<Holder> {
        let mut pool = self.pool.lock();
        pool.idle += 1;
        let offer = loop {
            if pool.stopped {
                break None;
            }
            if let Some(offer) = pool.offers.pop() {
                break Some(offer);
            }
            self.wake_standby.wait(&mut pool);
        };
        pool.idle -= 1;
        offer
    }

    /// The calling thread, relieved before, takes the seat back from whoever has it.
    pub fn reclaim(&self, worker: WorkerId) -> Option<Holder> {
        let seat = self.seat(worker)?;
        loop {
            let word = seat.word.load(Ordering::SeqCst);
            let number = holders(word).wrapping_add(TURN + 1);
            let order = Ordering::SeqCst;
            if seat
                .word
                .compare_exchange(word, number, order, order)
                .is_ok()
            {
                return Some(Holder { worker, number });
            }
        }
    }

    /// Lets all threads without a seat end.
    pub fn stop(&self) {
        self.pool.lock().stopped = true;
        self.wake_standby.notify_all();
        self.wake_watcher.notify_all();
    }

    /// Watches the seats until the kernel stops. `start` starts a thread that serves.
    pub fn watch(&self, start: &dyn Fn(Holder) -> bool) {
        let mut seen = vec![Seen::default(); self.seats.len()];
        let mut quiet = 0;
        while self.wait(&mut quiet) {
            for (id, (seat, seen)) in self.seats.iter().zip(&mut seen).enumerate() {
                let word = seat.word.load(Ordering::SeqCst);
                if word != seen.word {
                    quiet = 0;
                }
                let cpu = is_serving(word).then(|| seat.cpu_time()).flatten();
                let blocked = is_serving(word) && word == seen.word && is_idle(seen.cpu, cpu);
                *seen = Seen { word, cpu };
                if blocked {
                    self.relieve(WorkerId(id), word, start);
                }
            }
        }
    }

    /// Waits for a tick, or for the next event when all has been quiet; false at the end.
    fn wait(&self, quiet: &mut u32) -> bool {
        let mut pool = self.pool.lock();
        *quiet = quiet.saturating_add(1);
        if *quiet < QUIET {
            self.wake_watcher.wait_for(&mut pool, TICK);
            return !pool.stopped;
        }
        self.asleep.store(true, Ordering::SeqCst);
        let words = || self.seats.iter().map(|s| s.word.load(Ordering::SeqCst));
        while !words().any(is_serving) && self.asleep.load(Ordering::SeqCst) && !pool.stopped {
            self.wake_watcher.wait(&mut pool);
        }
        self.asleep.store(false, Ordering::SeqCst);
        *quiet = 0;
        !pool.stopped
    }

    /// Gives the seat of a blocked holder to a standby, if there is one to be had.
    fn relieve(&self, worker: WorkerId, word: u64, start: &dyn Fn(Holder) -> bool) {
        let Some(seat) = self.seat(worker) else {
            return;
        };
        let mut pool = self.pool.lock();
        let waiting = pool.idle > pool.offers.len();
        if !waiting && pool.threads >= STANDBYS {
            return;
        }
        let number = holders(word).wrapping_add(TURN + 1);
        if seat
            .word
            .compare_exchange(word, number, Ordering::SeqCst, Ordering::SeqCst)
            .is_err()
        {
            return;
        }
        let holder = Holder { worker, number };
        if !waiting && start(holder) {
            pool.threads += 1;
            return;
        }
        // If no thread could be made, the next that is relieved sits down.
        pool.offers.push(holder);
        drop(pool);
        self.wake_standby.notify_one();
    }
}

/// Whether a thread used less than half of a tick's CPU time.
fn is_idle(before: Option<Duration>, now: Option<Duration>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => now.saturating_sub(before) < TICK / 2,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn a_blocked_holder_is_relieved() {
        let seats = Arc::new(Seats::new(1));
        let started = Arc::new(AtomicUsize::new(0));
        let watcher = {
            let (seats, started) = (seats.clone(), started.clone());
            std::thread::spawn(move || {
                seats.watch(&|holder| {
                    assert!(seats.is_held(holder));
                    started.fetch_add(1, Ordering::SeqCst);
                    true
                });
            })
        };
        let first = seats.first(WorkerId(0));
        seats.sit(first);
        std::thread::sleep(TICK * 20);
        seats.begin(first);
        std::thread::sleep(TICK * 300);
        assert!(!seats.end(first) && !seats.is_held(first));
        assert!(started.load(Ordering::SeqCst) == 1);
        seats.stop();
        let _ = watcher.join();
    }

    #[test]
    fn a_seat_is_reclaimed() {
        let seats = Seats::new(1);
        let first = seats.first(WorkerId(0));
        let second = seats.reclaim(WorkerId(0)).expect("a seat");
        assert!(!seats.is_held(first) && seats.is_held(second));
        // The first may finish what it does, and no more.
        seats.begin(first);
        assert!(!seats.end(first) && seats.is_held(second));
        seats.begin(second);
        assert!(seats.end(second));
    }

    #[test]
    fn a_busy_holder_keeps_its_seat() {
        let seats = Seats::new(1);
        let holder = seats.first(WorkerId(0));
        seats.begin(holder);
        let word = seats.seats.first().map(|s| s.word.load(Ordering::SeqCst));
        assert!(word.is_some_and(is_serving));
        assert!(!is_idle(Some(Duration::ZERO), Some(TICK)));
        assert!(seats.end(holder));
        for _ in 0..1000 {
            seats.begin(holder);
            assert!(seats.end(holder) && seats.is_held(holder));
        }
    }
}
