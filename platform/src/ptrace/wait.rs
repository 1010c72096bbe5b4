//! How a worker that traces waits, and how others serve it meanwhile.
//!
//! The tracer waits in `wait4(2)`, which tells of its guest threads only. Whatever else there
//! may be for the worker stands in its wait set, which one thread for all, the bell, looks
//! after: it ends the wait by a signal. Requests and kicks do that themselves. Timeouts are a
//! timer in the set. A thread that serves the worker in the tracer's place waits on the set,
//! as does a tracer of nothing.
//!
//! Neighbours: `tracer`, `systrap::core` (the sets).

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::raw;
use super::tracer::Tracer;
use crate::systrap::core::{Source, Worker};
use crate::systrap::raw as host;
use crate::{Event, PlatformError};

const READABLE: u32 = libc::EPOLLIN as u32;
const EDGE: u32 = libc::EPOLLET as u32;

impl Tracer {
    /// The next event of its worker, for whichever thread serves that.
    pub fn next(&self, until: Option<Instant>) -> Event {
        let Ok(worker) = self.core.worker(self.worker) else {
            return Event::Timeout;
        };
        if self.serves() {
            self.next_own(worker, until)
        } else {
            self.next_away(worker, until)
        }
    }

    /// The same for the tracer.
    fn next_own(&self, worker: &Worker, until: Option<Instant>) -> Event {
        self.come_back(worker);
        loop {
            self.serve();
            let ready = self.ready.lock().pop_front();
            if let Some(event) = ready.or_else(|| worker.take_queued()) {
                return event;
            }
            if worker.take_noted() {
                return Event::Kick;
            }
            if self.rang.load(Ordering::Relaxed) {
                // What comes from here on rings again.
                self.rang.store(false, Ordering::SeqCst);
                if let Ok(Some((_, data))) = host::epoll_wait(worker.epoll(), Some(NOW)) {
                    self.rang.store(true, Ordering::SeqCst);
                    if let Some(event) = self.found(worker, data) {
                        return event;
                    }
                    continue;
                }
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                let Some((tid, status)) = raw::changed() else {
                    return Event::Timeout;
                };
                self.changed(tid, status);
                continue;
            }
            self.sleep(worker, until);
        }
    }

    /// Waits until there is something to look for.
    fn sleep(&self, worker: &Worker, until: Option<Instant>) {
        if self.threads.lock().is_empty() {
            // A signal may come before this wait begins; what is written to the set stays.
            self.away.store(true, Ordering::SeqCst);
            if !self.is_asked() && !worker.is_noted() {
                let left = until.map(|until| until.saturating_duration_since(Instant::now()));
                let _ = host::epoll_wait(worker.epoll(), left);
            }
            self.away.store(false, Ordering::SeqCst);
            self.rang.store(true, Ordering::SeqCst);
            return;
        }
        self.arm(until);
        self.asleep.store(1, Ordering::SeqCst);
        let busy = self.is_asked() || worker.is_noted() || self.rang.load(Ordering::SeqCst);
        let found = if busy {
            None
        } else {
            raw::wait_any(&self.asleep).ok()
        };
        self.asleep.store(0, Ordering::SeqCst);
        if let Some((tid, status)) = found {
            self.changed(tid, status);
        }
    }

    /// Has the bell ring at a time, or before.
    fn arm(&self, until: Option<Instant>) {
        let Some(until) = until else { return };
        let mut armed = self.armed.lock();
        if armed.is_none_or(|armed| until < armed) {
            *armed = Some(until);
            let after = until.saturating_duration_since(Instant::now());
            raw::set_timer(self.timer.as_fd(), after);
        }
    }

    /// The event that an entry of the wait set stands for.
    fn found(&self, worker: &Worker, data: u64) -> Option<Event> {
        match Source::from_data(data) {
            Source::Stub(key) => {
                let stub = self.core.stubs.read().get(key);
                stub.map(|stub| stub.reap());
                None
            }
            Source::Kick => worker.take_kick().then_some(Event::Kick),
            Source::Watch(number) if number == self.timer.as_raw_fd() => {
                let mut armed = self.armed.lock();
                let _ = host::read(self.timer.as_fd(), &mut [0; 8]);
                *armed = None;
                None
            }
            Source::Watch(number) => worker.watched(number).map(Event::Ready),
            Source::Thread(_) => None,
        }
    }

    /// The tracer serves the worker: one that does in its place finds out.
    pub fn come_back(&self, worker: &Worker) {
        if self.away.load(Ordering::SeqCst) && self.away.swap(false, Ordering::SeqCst) {
            worker.wake();
        }
    }

    /// The next event for a thread in the tracer's place.
    fn next_away(&self, worker: &Worker, until: Option<Instant>) -> Event {
        self.away.store(true, Ordering::SeqCst);
        loop {
            let ready = self.ready.lock().pop_front();
            if let Some(event) = ready.or_else(|| worker.take_queued()) {
                return event;
            }
            if worker.take_noted() || !self.away.load(Ordering::SeqCst) {
                return Event::Kick;
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            match host::epoll_wait(worker.epoll(), left) {
                Ok(Some((_, data))) => {
                    if let Some(event) = self.found(worker, data) {
                        return event;
                    }
                }
                Ok(None) if until.is_some_and(|until| Instant::now() >= until) => {
                    return Event::Timeout;
                }
                Ok(None) | Err(_) => {}
            }
        }
    }

    /// Has the worker look up, whoever serves it.
    pub fn kick(&self) {
        let Ok(worker) = self.core.worker(self.worker) else {
            return;
        };
        if worker.note_kick() {
            self.wake();
        }
    }
}

const NOW: std::time::Duration = std::time::Duration::ZERO;

/// Looks after the wait sets of all workers while these wait for their guest threads.
pub struct Bell {
    tracers: Vec<Arc<Tracer>>,
    stopped: AtomicBool,
}

impl Bell {
    /// Starts the thread.
    pub fn start(tracers: Vec<Arc<Tracer>>) -> Result<Arc<Self>, PlatformError> {
        let failed = |errno| PlatformError::Exhausted {
            what: "making the tracers' bell",
            errno,
        };
        let set = host::epoll_create().map_err(failed)?;
        for (number, tracer) in tracers.iter().enumerate() {
            let worker = tracer.core.worker(tracer.worker)?;
            let timer = Source::Watch(tracer.timer.as_raw_fd());
            worker.add(tracer.timer.as_fd(), timer).map_err(failed)?;
            let (add, events) = (libc::EPOLL_CTL_ADD, READABLE | EDGE);
            host::epoll_ctl(set.as_fd(), add, worker.epoll(), events, number as u64)
                .map_err(failed)?;
        }
        let bell = Arc::new(Self {
            tracers,
            stopped: AtomicBool::new(false),
        });
        let own = bell.clone();
        let run = move || {
            while !own.stopped.load(Ordering::SeqCst) {
                if let Ok(Some((_, number))) = host::epoll_wait(set.as_fd(), None)
                    && let Some(tracer) = own.tracers.get(number as usize)
                {
                    tracer.rang.store(true, Ordering::SeqCst);
                    tracer.wake();
                }
            }
        };
        let thread = std::thread::Builder::new().name("bell".into());
        let made = thread.spawn(run);
        made.map_err(|error| failed(error.raw_os_error().unwrap_or(libc::EAGAIN)))?;
        Ok(bell)
    }

    /// Lets the thread end.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        let first = self.tracers.first();
        if let Some(Ok(worker)) = first.map(|tracer| tracer.core.worker(tracer.worker)) {
            worker.wake();
        }
    }
}
