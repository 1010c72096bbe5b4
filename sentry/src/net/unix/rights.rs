//! Descriptors in flight (`SCM_RIGHTS`).
//!
//! A socket may hold descriptors of sockets that hold descriptors in turn. Their number in
//! flight is limited for the whole kernel, which bounds what cycles can keep alive, and
//! dropping a queue hands its descriptors to a list drained in a loop, so that chains of
//! them are not dropped by recursion.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use abi::Errno;

use crate::fs::File;
use crate::sync::Mutex;
use crate::{Kernel, Result};

/// Most descriptors of one message (`SCM_MAX_FD`).
pub const SCM_MAX_FD: usize = 253;
/// Most descriptors in flight.
const MAX_IN_FLIGHT: usize = 16 * 1024;

/// The descriptors of one packet.
#[derive(Default)]
pub(super) struct Rights {
    files: Vec<Arc<File>>,
    kernel: Weak<Kernel>,
}

impl Rights {
    /// Takes descriptions into flight; `ETOOMANYREFS`.
    pub(super) fn new(kernel: &Weak<Kernel>, files: Vec<Arc<File>>) -> Result<Rights> {
        if files.is_empty() {
            return Ok(Rights::default());
        }
        if let Some(k) = kernel.upgrade() {
            let count = &k.in_flight.count;
            let before = count.fetch_add(files.len(), Ordering::SeqCst);
            if before.saturating_add(files.len()) > MAX_IN_FLIGHT {
                count.fetch_sub(files.len(), Ordering::SeqCst);
                return Err(Errno::ETOOMANYREFS);
            }
        }
        Ok(Rights {
            files,
            kernel: kernel.clone(),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub(super) fn files(&self) -> &[Arc<File>] {
        &self.files
    }

    /// Takes them out of flight, for the receiver.
    pub(super) fn take(&mut self) -> Vec<Arc<File>> {
        let files = std::mem::take(&mut self.files);
        if let Some(k) = self.kernel.upgrade().filter(|_| !files.is_empty()) {
            k.in_flight.count.fetch_sub(files.len(), Ordering::SeqCst);
        }
        files
    }

    /// Closes them, in a loop with whatever that closes in turn.
    pub(super) fn discard(mut self) {
        let kernel = self.kernel.upgrade();
        let files = self.take();
        let Some(kernel) = kernel.filter(|_| !files.is_empty()) else {
            return;
        };
        let grave = &kernel.in_flight.grave;
        {
            let mut g = grave.lock();
            g.files.extend(files);
            if std::mem::replace(&mut g.draining, true) {
                return;
            }
        }
        loop {
            let mut g = grave.lock();
            match g.files.pop() {
                Some(file) => {
                    drop(g);
                    drop(file);
                }
                None => {
                    g.draining = false;
                    return;
                }
            }
        }
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        if !self.files.is_empty() {
            std::mem::take(self).discard();
        }
    }
}

/// How many descriptors are in flight, and those that have fallen. Lock rank: leaf.
#[derive(Default)]
pub struct InFlight {
    count: AtomicUsize,
    grave: Mutex<Grave>,
}

/// Descriptions about to be closed.
#[derive(Default)]
struct Grave {
    files: Vec<Arc<File>>,
    draining: bool,
}
