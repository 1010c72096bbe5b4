//! The one atomic state of a task: who may act on it.
//!
//! `Guest`: the guest runs (or its event is on the way). `Running`: exactly one worker acts
//! on it. `Parked`: its operation lies in the slot. Only the one whose compare-and-swap
//! turns `Parked` into `Running` may step it. A wake-up during `Running` sets the notified
//! bit, which forces one more step before it parks, so no wake-up is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::sync::Mutex;
use crate::task::Task;
use crate::wait::Operation;

const GUEST: u8 = 0;
const RUNNING: u8 = 1;
const PARKED: u8 = 2;
const STATE: u8 = 3;
const NOTIFIED: u8 = 4;

/// State and operation slot of a task.
#[derive(Debug)]
pub struct Park {
    state: AtomicU8,
    slot: Mutex<Option<Box<dyn Operation>>>,
}

impl Default for Park {
    fn default() -> Park {
        Park {
            state: AtomicU8::new(RUNNING),
            slot: Mutex::new(None),
        }
    }
}

impl Park {
    /// A worker took an event of the guest: it now runs the task.
    pub fn enter(&self) {
        self.state.store(RUNNING, Ordering::SeqCst);
    }

    /// The guest is about to be resumed. Test for pending signals after this and before the
    /// resume; a poster that finds `Guest` interrupts the context instead.
    pub fn leave(&self) {
        self.state.store(GUEST, Ordering::SeqCst);
    }

    /// Takes the task back from `Guest` if nobody has it (undoing [`Park::leave`]).
    pub fn reenter(&self) -> bool {
        self.state
            .compare_exchange(GUEST, RUNNING, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// Whether the guest runs natively.
    pub fn in_guest(&self) -> bool {
        self.state.load(Ordering::SeqCst) & STATE == GUEST
    }

    /// Whether an operation lies parked.
    pub fn is_parked(&self) -> bool {
        self.state.load(Ordering::SeqCst) & STATE == PARKED
    }

    /// Parks `op`. If a wake-up came meanwhile the operation is handed back to be stepped
    /// once more.
    pub fn park(&self, op: Box<dyn Operation>) -> Option<Box<dyn Operation>> {
        *self.slot.lock() = Some(op);
        let parked =
            self.state
                .compare_exchange(RUNNING, PARKED, Ordering::SeqCst, Ordering::SeqCst);
        if parked.is_ok() {
            return None;
        }
        self.state.store(RUNNING, Ordering::SeqCst);
        self.slot.lock().take()
    }

    /// Name of the parked operation.
    pub fn waits_in(&self) -> Option<&'static str> {
        self.slot.lock().as_ref().map(|op| op.name())
    }

    /// Takes the operation out; only for the worker that claimed the task.
    pub fn take(&self) -> Option<Box<dyn Operation>> {
        self.slot.lock().take()
    }

    /// Marks a wake-up. `Claim::Run` obliges the caller to have the task stepped.
    pub fn notify(&self) -> Claim {
        let mut now = self.state.load(Ordering::SeqCst);
        loop {
            let (next, claim) = match now & STATE {
                PARKED => (RUNNING, Claim::Run),
                RUNNING if now & NOTIFIED == 0 => (RUNNING | NOTIFIED, Claim::Noted),
                _ => return Claim::Nothing,
            };
            match self
                .state
                .compare_exchange(now, next, Ordering::SeqCst, Ordering::SeqCst)
            {
                Ok(_) => return claim,
                Err(seen) => now = seen,
            }
        }
    }
}

/// Result of [`Park::notify`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The caller owns the task now and must queue it for stepping.
    Run,
    /// Its worker will step it once more.
    Noted,
    /// It was awake already, or does not wait.
    Nothing,
}

impl Task {
    /// Wakes the task's parked operation; whether that found it asleep.
    pub fn wake(self: &Arc<Task>) -> bool {
        match self.park.notify() {
            Claim::Run => {
                self.kernel.workers.push(&self.kernel, self.clone());
                true
            }
            Claim::Noted => true,
            Claim::Nothing => false,
        }
    }
}
