//! Workers: the threads of the reactor.
//!
//! A worker waits on the platform for the next event of the guests dealt to it, lets the
//! task act, then drains its run list (tasks claimed by wake-ups, without recursion) and
//! fires its due timers. It never blocks for a guest; one that the host blocks is relieved
//! by another thread (`seat`).

mod seat;

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;

use platform::{Event, WorkerId};

use crate::kernel::Kernel;
use crate::sync::Mutex;
use crate::task::Task;
pub use seat::Holder;
use seat::Seats;

thread_local! {
    /// The seat this thread took last.
    static CURRENT: Cell<Option<Holder>> = const { Cell::new(None) };
}

/// The worker this thread is, if it is one.
pub fn current() -> Option<WorkerId> {
    CURRENT.get().map(|holder| holder.worker)
}

/// Run lists of the workers: tasks whose `Parked` state was claimed by a waker.
pub struct Workers {
    lists: Vec<Mutex<VecDeque<Arc<Task>>>>,
    seats: Seats,
}

impl Workers {
    /// Lists for `n` workers.
    pub fn new(n: usize) -> Workers {
        Workers {
            lists: (0..n.max(1)).map(|_| Mutex::default()).collect(),
            seats: Seats::new(n.max(1)),
        }
    }

    /// Queues a claimed task on the current worker, or on worker 0 with a kick when the
    /// caller is no worker.
    pub fn push(&self, kernel: &Kernel, task: Arc<Task>) {
        let holder = CURRENT.get();
        let worker = holder.map_or(WorkerId(0), |holder| holder.worker);
        if let Some(list) = self.lists.get(worker.0) {
            list.lock().push_back(task);
        }
        if holder.is_none_or(|holder| !self.seats.is_held(holder)) {
            kernel.platform.kick(worker);
        }
    }

    fn pop(&self, worker: WorkerId) -> Option<Arc<Task>> {
        self.lists.get(worker.0)?.lock().pop_front()
    }
}

impl Kernel {
    /// Serves events as worker `id`, later also as another, until the kernel stops.
    pub fn run_worker(self: &Arc<Kernel>, id: WorkerId) {
        self.run_standby(self.workers.seats.first(id));
    }

    /// Serves events as a relieved worker's successor, until the kernel stops.
    pub fn run_standby(self: &Arc<Kernel>, first: Holder) {
        let mut next = Some(first);
        while let Some(holder) = next {
            self.serve(holder);
            if self.stopping() {
                return;
            }
            // What was queued and armed since the successor looked is not its to find.
            self.platform.kick(holder.worker);
            next = if self.platform.is_bound(holder.worker) {
                self.workers.seats.reclaim(holder.worker)
            } else {
                self.workers.seats.next_offer()
            };
        }
    }

    /// Looks for workers that the host blocks, and has each relieved by a standby thread,
    /// until the kernel stops. `start` starts a thread that calls
    /// [`Kernel::run_standby`] with what it is given; whether it could.
    pub fn run_watcher(&self, start: &dyn Fn(Holder) -> bool) {
        self.workers.seats.watch(start);
    }

    /// Lets the threads that wait for a seat end.
    pub(crate) fn stop_standbys(&self) {
        self.workers.seats.stop();
    }

    /// Serves a worker until the kernel stops or the calling thread is relieved.
    fn serve(self: &Arc<Kernel>, holder: Holder) {
        CURRENT.set(Some(holder));
        let seats = &self.workers.seats;
        seats.sit(holder);
        let id = holder.worker;
        self.platform.take_over(id);
        let mut event = Event::Kick;
        loop {
            seats.begin(holder);
            match event {
                Event::Guest { cookie, exit } => {
                    if let Some(task) = self.task_by_cookie(cookie) {
                        task.on_event(exit);
                    }
                }
                Event::Ready(token) => self.host_watch.ready(token),
                Event::Kick | Event::Timeout => {}
            }
            self.drain(holder);
            if !seats.end(holder) || self.stopping() {
                return;
            }
            let timeout = self.timers.next_timeout(id, self.clock.monotonic());
            event = self.platform.next(id, timeout);
        }
    }

    /// Does what nobody waits for, and frees the memory of address spaces that have ended.
    pub fn run_keeper(self: &Arc<Kernel>) {
        while !self.stopping() {
            self.platform.keep();
            self.frames.tidy();
        }
    }

    /// Steps claimed tasks and fires due timers until there are none, or until another
    /// thread does.
    fn drain(self: &Arc<Kernel>, holder: Holder) {
        loop {
            self.timers.fire(holder.worker, self.clock.monotonic());
            self.nets.work(self);
            if !self.workers.seats.is_held(holder) {
                return;
            }
            let Some(task) = self.workers.pop(holder.worker) else {
                return;
            };
            task.run_claimed();
        }
    }
}
