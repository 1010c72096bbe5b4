//! Host descriptors the kernel waits on: from a token in a platform event to its waker.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use abi::fs::PollEvents;
use platform::WorkerId;

use crate::sync::Mutex;
use crate::wait::Wake;
use crate::{Kernel, worker};

/// Tokens given to the platform and whom each wakes. Lock rank: leaf.
#[derive(Default)]
pub struct HostWatch {
    next: AtomicU64,
    tokens: Mutex<HashMap<u64, Entry>>,
}

struct Entry {
    armed: Arc<AtomicBool>,
    wake: Weak<dyn Wake>,
}

impl HostWatch {
    /// The descriptor of `token` has become ready: wakes.
    pub fn ready(&self, token: u64) {
        let wake = {
            let tokens = self.tokens.lock();
            tokens.get(&token).and_then(|e| {
                e.armed.store(false, Ordering::SeqCst);
                e.wake.upgrade()
            })
        };
        if let Some(wake) = wake {
            wake.wake(PollEvents::all());
        }
    }
}

/// A host descriptor with its token; armed one-shot, and only while somebody waits.
pub struct WatchedFd {
    kernel: Weak<Kernel>,
    fd: OwnedFd,
    token: u64,
    armed: Arc<AtomicBool>,
    worker: AtomicUsize,
}

impl WatchedFd {
    /// Registers `fd`, not yet armed; `wake` hears when it becomes readable.
    pub fn new(kernel: &Arc<Kernel>, fd: OwnedFd, wake: Weak<dyn Wake>) -> WatchedFd {
        let token = kernel.host_watch.next.fetch_add(1, Ordering::Relaxed);
        let armed = Arc::new(AtomicBool::new(false));
        let entry = Entry {
            armed: armed.clone(),
            wake,
        };
        kernel.host_watch.tokens.lock().insert(token, entry);
        WatchedFd {
            kernel: Arc::downgrade(kernel),
            fd,
            token,
            armed,
            worker: AtomicUsize::new(0),
        }
    }

    /// The descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether the waker will be called.
    pub fn is_armed(&self) -> bool {
        self.armed.load(Ordering::SeqCst)
    }

    /// Has the waker called once when the descriptor is readable (at once if it is).
    /// Whether the host can watch such a descriptor at all.
    pub fn arm(&self) -> bool {
        if self.armed.swap(true, Ordering::SeqCst) {
            return true;
        }
        let Some(kernel) = self.kernel.upgrade() else {
            return false;
        };
        let at = worker::current().map_or(0, |w| w.0);
        let before = self.worker.swap(at, Ordering::SeqCst);
        if before != at {
            kernel.platform.unwatch(WorkerId(before), self.fd());
        }
        let done = kernel.platform.watch(WorkerId(at), self.fd(), self.token);
        if done.is_err() {
            self.armed.store(false, Ordering::SeqCst);
        }
        done.is_ok()
    }
}

impl Drop for WatchedFd {
    fn drop(&mut self) {
        if let Some(kernel) = self.kernel.upgrade() {
            kernel.host_watch.tokens.lock().remove(&self.token);
            let worker = WorkerId(self.worker.load(Ordering::SeqCst));
            kernel.platform.unwatch(worker, self.fd());
        }
    }
}
