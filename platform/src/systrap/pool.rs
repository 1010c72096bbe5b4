//! Spare stubs: empty address spaces forked ahead, for exec.
//!
//! Taking one costs nothing; an idle worker forks its successor. The pool stays empty until
//! the first space was asked for. Neighbours: `space` (stubs), `Systrap::next` (fills it).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::space::Stub;
use crate::PlatformError;

/// How many spare stubs are kept.
const SPARES: usize = 2;

/// The zygote and its spare children.
pub struct Pool {
    zygote: Arc<Stub>,
    spares: Mutex<Vec<Arc<Stub>>>,
    low: AtomicBool,
}

impl Pool {
    /// A pool of children of this stub, which never runs guest code.
    pub fn new(zygote: Arc<Stub>) -> Self {
        Self {
            zygote,
            spares: Mutex::default(),
            low: AtomicBool::new(false),
        }
    }

    /// An empty stub.
    pub fn take(&self) -> Result<Arc<Stub>, PlatformError> {
        self.low.store(true, Ordering::Relaxed);
        loop {
            let spare = self.spares.lock().pop();
            match spare {
                Some(stub) if stub.is_killed() => {}
                Some(stub) => return Ok(stub),
                None => return self.zygote.fork(),
            }
        }
    }

    /// Whether a spare should be made.
    pub fn is_low(&self) -> bool {
        self.low.load(Ordering::Relaxed)
    }

    /// Makes one spare, or finds that there are enough or can be none.
    pub fn fill_one(&self) {
        if self.spares.lock().len().saturating_add(1) >= SPARES {
            self.low.store(false, Ordering::Relaxed);
        }
        match self.zygote.fork() {
            Ok(stub) => self.spares.lock().push(stub),
            // The next `take` tries itself and says why.
            Err(_) => self.low.store(false, Ordering::Relaxed),
        }
    }
}
