//! Workers: the threads of the reactor.
//!
//! A worker waits on the platform for the next event of the guests dealt to it, lets the
//! task act, then drains its run list (tasks claimed by wake-ups, without recursion) and
//! fires its due timers. It never blocks for a guest.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;

use platform::{Event, WorkerId};

use crate::kernel::Kernel;
use crate::sync::Mutex;
use crate::task::Task;

thread_local! {
    /// Which worker this thread is; set once by `run`.
    static CURRENT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The worker this thread is, if it is one.
pub fn current() -> Option<WorkerId> {
    CURRENT.get().map(WorkerId)
}

/// Run lists of the workers: tasks whose `Parked` state was claimed by a waker.
pub struct Workers {
    lists: Vec<Mutex<VecDeque<Arc<Task>>>>,
}

impl Workers {
    /// Lists for `n` workers.
    pub fn new(n: usize) -> Workers {
        Workers {
            lists: (0..n.max(1)).map(|_| Mutex::default()).collect(),
        }
    }

    /// Queues a claimed task on the current worker, or on worker 0 with a kick when the
    /// caller is no worker.
    pub fn push(&self, kernel: &Kernel, task: Arc<Task>) {
        let current = current();
        let at = current.map_or(0, |w| w.0);
        if let Some(list) = self.lists.get(at) {
            list.lock().push_back(task);
        }
        if current.is_none() {
            kernel.platform.kick(WorkerId(0));
        }
    }

    fn pop(&self, worker: WorkerId) -> Option<Arc<Task>> {
        self.lists.get(worker.0)?.lock().pop_front()
    }
}

impl Kernel {
    /// Serves events as worker `id` until the kernel stops.
    pub fn run_worker(self: &Arc<Kernel>, id: WorkerId) {
        CURRENT.set(Some(id.0));
        while !self.stopping() {
            let timeout = self.timers.next_timeout(id, self.clock.monotonic());
            match self.platform.next(id, timeout) {
                Event::Guest { cookie, exit } => {
                    if let Some(task) = self.task_by_cookie(cookie) {
                        task.on_event(exit);
                    }
                }
                Event::Ready(token) => self.host_watch.ready(token),
                Event::Kick | Event::Timeout => {}
            }
            self.drain(id);
        }
    }

    /// Does what nobody waits for, and frees the memory of address spaces that have ended.
    pub fn run_keeper(self: &Arc<Kernel>) {
        while !self.stopping() {
            self.platform.keep();
            self.frames.tidy();
        }
    }

    /// Steps claimed tasks and fires due timers until there are none.
    fn drain(self: &Arc<Kernel>, id: WorkerId) {
        loop {
            self.timers.fire(id, self.clock.monotonic());
            let Some(task) = self.workers.pop(id) else {
                return;
            };
            task.run_claimed();
        }
    }
}
