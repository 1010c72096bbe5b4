//! Spare stubs: empty address spaces forked ahead, for exec and for forks of small spaces.
//!
//! Each has a guest thread already, held before its first instruction. Taking one costs
//! nothing; the keeper, or an idle worker where there is none, makes its successor. The pool
//! stays empty until a second space is asked for: a container of one process needs none.
//! Neighbours: `space` (stubs), `Systrap::keep` and `Systrap::next` (fill it).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::space::Stub;
use crate::PlatformError;

/// How many spare stubs are kept.
const SPARES: usize = 3;

/// The zygote and its spare children.
pub struct Pool {
    zygote: Arc<Stub>,
    spares: Mutex<Vec<Arc<Stub>>>,
    low: AtomicBool,
    used: AtomicBool,
}

impl Pool {
    /// A pool of children of this stub, which never runs guest code.
    pub fn new(zygote: Arc<Stub>) -> Self {
        Self {
            zygote,
            spares: Mutex::default(),
            low: AtomicBool::new(false),
            used: AtomicBool::new(false),
        }
    }

    /// An empty stub, if there is one at hand.
    pub fn spare(&self) -> Option<Arc<Stub>> {
        if self.used.swap(true, Ordering::Relaxed) && !self.low.swap(true, Ordering::Relaxed) {
            self.zygote.wake_keeper();
        }
        loop {
            let stub = self.spares.lock().pop()?;
            if !stub.is_killed() {
                return Some(stub);
            }
        }
    }

    /// An empty stub.
    pub fn take(&self) -> Result<Arc<Stub>, PlatformError> {
        match self.spare() {
            Some(stub) => Ok(stub),
            None => self.zygote.fork(),
        }
    }

    /// Whether a spare should be made.
    pub fn is_low(&self) -> bool {
        self.low.load(Ordering::Relaxed)
    }

    /// Makes one spare, or finds that there are enough or can be none.
    pub fn fill_one(&self) {
        self.low.store(false, Ordering::Relaxed);
        if self.spares.lock().len() >= SPARES {
            return;
        }
        // Where it fails, the next `take` tries itself and says why.
        if let Ok(stub) = self.zygote.fork() {
            // Without a thread of its own it is a spare all the same.
            let _ = stub.prepare();
            let mut spares = self.spares.lock();
            // The one made last is the warmest.
            spares.push(stub);
            if spares.len() < SPARES {
                self.low.store(true, Ordering::Relaxed);
            }
        }
    }
}
