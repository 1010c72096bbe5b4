//! A link's descriptor: a packet socket, read and written like a file.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use abi::fs::PollEvents;

use crate::Kernel;
use crate::fs::host_watch::WatchedFd;
use crate::net::NetNs;
use crate::sync::Mutex;
use crate::wait::Wake;

/// Largest frame: 64 KiB of packet, its Ethernet and its offload header.
const FRAME: usize = 65_536 + 64;

/// Marks work for the worker that hears of it.
pub(crate) struct Mark {
    kernel: Weak<Kernel>,
    net: Weak<NetNs>,
    /// The link that became readable; none for a timer.
    link: Option<Arc<AtomicBool>>,
    is_timer: bool,
}

impl Mark {
    pub(crate) fn timer(kernel: &Arc<Kernel>, net: &Arc<NetNs>) -> Mark {
        Mark {
            kernel: Arc::downgrade(kernel),
            net: Arc::downgrade(net),
            link: None,
            is_timer: true,
        }
    }

    pub(crate) fn flag(kernel: &Arc<Kernel>, net: &Arc<NetNs>, flag: &Arc<AtomicBool>) -> Mark {
        Mark {
            kernel: Arc::downgrade(kernel),
            net: Arc::downgrade(net),
            link: Some(flag.clone()),
            is_timer: false,
        }
    }
}

impl Wake for Mark {
    fn wake(&self, _events: PollEvents) -> bool {
        if let Some(flag) = &self.link {
            flag.store(true, Ordering::Release);
        }
        if let (Some(kernel), Some(net)) = (self.kernel.upgrade(), self.net.upgrade()) {
            if self.is_timer {
                net.outside.timer_fired();
            }
            net.mark(&kernel);
        }
        true
    }
}

/// A link.
pub(crate) struct LinkFd {
    /// Its number.
    pub(crate) index: u32,
    watched: WatchedFd,
    ready: Arc<AtomicBool>,
    _mark: Arc<dyn Wake>,
    buf: Mutex<Vec<u8>>,
    /// Frames the host did not take.
    pub(crate) refused: AtomicU64,
}

impl LinkFd {
    /// Watches a packet socket that does not block.
    pub(crate) fn new(
        kernel: &Arc<Kernel>,
        net: &Arc<NetNs>,
        index: u32,
        fd: OwnedFd,
    ) -> Arc<LinkFd> {
        let ready = Arc::new(AtomicBool::new(false));
        let mark: Arc<dyn Wake> = Arc::new(Mark::flag(kernel, net, &ready));
        Arc::new(LinkFd {
            index,
            watched: WatchedFd::new(kernel, fd, Arc::downgrade(&mark)),
            ready,
            _mark: mark,
            buf: Mutex::new(vec![0; FRAME]),
            refused: AtomicU64::new(0),
        })
    }

    /// Has the mark set when a frame comes.
    pub(crate) fn arm(&self) {
        self.watched.arm();
    }

    pub(crate) fn take_ready(&self) -> bool {
        self.ready.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub(crate) fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// Reads up to `most` frames; whether there may be more.
    pub(crate) fn receive(&self, most: usize, mut take: impl FnMut(&[u8])) -> bool {
        let mut buf = self.buf.lock();
        for _ in 0..most {
            match platform::host::read_at(self.watched.fd().as_fd(), None, &mut buf) {
                Ok(n) => take(buf.get(..n).unwrap_or_default()),
                Err(_) => return false,
            }
        }
        true
    }

    /// Sends a frame; one the host has no room for is lost, as on any wire.
    pub(crate) fn send(&self, frame: &[u8]) {
        if platform::host::write_at(self.watched.fd().as_fd(), None, frame).is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}
