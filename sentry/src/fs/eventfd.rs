//! Event counters (`eventfd(2)`).

use std::any::Any;
use std::sync::Arc;

use abi::Errno;
use abi::fs::PollEvents;

use super::file::{File, FileOps, IoCx, OpenFlags, Whence};
use crate::Result;
use crate::io::{IoDst, IoSrc};
use crate::sync::Mutex;
use crate::wait::Pollee;

/// A counter reports these alone, without the `NORM` bits other files add.
const READABLE: PollEvents = PollEvents::IN;
const WRITABLE: PollEvents = PollEvents::OUT;

/// A counter that can be read, written and polled. Lock rank: leaf.
pub struct EventFd {
    count: Mutex<u64>,
    semaphore: bool,
    pollee: Pollee,
}

impl EventFd {
    /// A description of a new counter; `flags`: `O_NONBLOCK` or nothing.
    pub fn open(count: u64, semaphore: bool, flags: OpenFlags) -> Arc<File> {
        let ops = EventFd {
            count: Mutex::new(count),
            semaphore,
            pollee: Pollee::new(),
        };
        File::anonymous(Arc::new(ops), flags | OpenFlags::RDWR)
    }

    /// Adds to the counter from within the kernel; it saturates below the error value.
    pub fn signal(&self, n: u64) {
        let mut count = self.count.lock();
        *count = count.saturating_add(n).min(u64::MAX - 1);
        drop(count);
        self.pollee.notify(READABLE);
    }
}

impl FileOps for EventFd {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read(&self, _cx: &IoCx<'_>, dst: &mut dyn IoDst, _pos: u64) -> Result<usize> {
        if dst.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        let mut count = self.count.lock();
        let taken = match (*count, self.semaphore) {
            (0, _) => return Err(Errno::EAGAIN),
            (_, true) => 1,
            (n, false) => n,
        };
        *count -= taken;
        drop(count);
        self.pollee.notify(WRITABLE);
        dst.put(&taken.to_ne_bytes())
    }

    fn write(&self, _cx: &IoCx<'_>, src: &mut dyn IoSrc, _pos: u64) -> Result<usize> {
        if src.remaining() != 8 {
            return Err(Errno::EINVAL);
        }
        let mut bytes = [0; 8];
        if src.take(&mut bytes)? < bytes.len() {
            return Err(Errno::EFAULT);
        }
        let add = u64::from_ne_bytes(bytes);
        if add == u64::MAX {
            return Err(Errno::EINVAL);
        }
        let mut count = self.count.lock();
        match count.checked_add(add) {
            Some(sum) if sum < u64::MAX => *count = sum,
            _ => return Err(Errno::EAGAIN),
        }
        drop(count);
        self.pollee.notify(READABLE);
        Ok(bytes.len())
    }

    fn seek(&self, _cx: &IoCx<'_>, cur: u64, _offset: i64, _whence: Whence) -> Result<u64> {
        Ok(cur)
    }

    fn poll(&self, _cx: &IoCx<'_>) -> PollEvents {
        let count = *self.count.lock();
        let mut ready = PollEvents::empty();
        if count > 0 {
            ready |= PollEvents::IN;
        }
        if count < u64::MAX - 1 {
            ready |= PollEvents::OUT;
        }
        ready
    }

    fn pollee(&self) -> Option<&Pollee> {
        Some(&self.pollee)
    }

    fn description(&self) -> String {
        "anon_inode:[eventfd]".to_owned()
    }

    fn fdinfo(&self, _pids: &crate::task::PidNamespace) -> String {
        format!("eventfd-count: {:16x}\n", *self.count.lock())
    }
}
