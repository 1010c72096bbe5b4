//! Signals as a file (`signalfd(2)`).

use std::any::Any;
use std::sync::Arc;

use abi::Errno;
use abi::fs::PollEvents;
use abi::signal::{SigInfo, SigSet};

use crate::Result;
use crate::fs::file::{FileOps, IoCx, Whence};
use crate::io::IoDst;
use crate::sync::Mutex;
use crate::task::{Task, ThreadGroup};
use crate::wait::Pollee;

/// Size of `struct signalfd_siginfo`.
const RECORD: usize = 128;

/// A signalfd. It reads the signals of whoever reads it; readiness is that of the process
/// that made it.
pub struct SignalFd {
    mask: Mutex<SigSet>,
    maker: Arc<ThreadGroup>,
}

impl SignalFd {
    /// For signals of `mask`.
    pub fn new(maker: &Arc<ThreadGroup>, mask: SigSet) -> SignalFd {
        SignalFd {
            mask: Mutex::new(mask.difference(SigSet::UNBLOCKABLE)),
            maker: maker.clone(),
        }
    }

    /// Replaces the mask.
    pub fn set_mask(&self, mask: SigSet) {
        *self.mask.lock() = mask.difference(SigSet::UNBLOCKABLE);
        self.maker.signal_event.notify(PollEvents::IN);
    }

    fn ready(&self, t: Option<&Arc<Task>>) -> bool {
        let mask = *self.mask.lock();
        let set = match t {
            Some(t) => {
                let (own, shared) = t.pending_signals();
                own.union(shared)
            }
            None => self.maker.signals.lock().pending.set(),
        };
        !set.intersection(mask).is_empty()
    }
}

impl FileOps for SignalFd {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read(&self, cx: &IoCx<'_>, dst: &mut dyn IoDst, _pos: u64) -> Result<usize> {
        let t = cx.task.ok_or(Errno::EINVAL)?;
        if dst.remaining() < RECORD {
            return Err(Errno::EINVAL);
        }
        let mask = *self.mask.lock();
        let mut done = 0;
        while dst.remaining() >= RECORD {
            let Some(mut info) = t.take_signal(mask) else {
                break;
            };
            crate::time::posix_timer::taken(t.thread_group(), &mut info);
            match dst.put(&record(&info)) {
                Ok(n) => done += n,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        if done == 0 {
            Err(Errno::EAGAIN)
        } else {
            Ok(done)
        }
    }

    fn poll(&self, cx: &IoCx<'_>) -> PollEvents {
        if self.ready(cx.task) {
            PollEvents::IN | PollEvents::RDNORM
        } else {
            PollEvents::empty()
        }
    }

    fn seek(&self, _cx: &IoCx<'_>, cur: u64, _offset: i64, _whence: Whence) -> Result<u64> {
        // Accepted and without effect, as in Linux.
        Ok(cur)
    }
    fn pollee(&self) -> Option<&Pollee> {
        Some(&self.maker.signal_event)
    }

    fn description(&self) -> String {
        "anon_inode:[signalfd]".to_owned()
    }

    fn fdinfo(&self, _pids: &crate::task::PidNamespace) -> String {
        format!("sigmask:\t{:016x}\n", self.mask.lock().0)
    }
}

/// `struct signalfd_siginfo` of a signal (`signalfd(2)`).
fn record(info: &SigInfo) -> [u8; RECORD] {
    let mut out = [0u8; RECORD];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(dst) = out.get_mut(at..at + bytes.len()) {
            dst.copy_from_slice(bytes);
        }
    };
    let field = |at: usize, len: usize| info.fields.get(at..at + len).unwrap_or_default();
    put(0, &info.signo.to_ne_bytes());
    put(4, &info.errno.to_ne_bytes());
    put(8, &info.code.to_ne_bytes());
    match (info.signo, info.code) {
        // A timer: tid, overrun, int, ptr.
        (_, super::info::SI_TIMER) => {
            put(24, field(0, 4));
            put(32, field(4, 4));
            put(44, field(8, 4));
            put(48, field(8, 8));
        }
        // A child (SIGCHLD from the kernel): pid, uid, status, utime, stime.
        (17, 1..=6) => {
            put(12, field(0, 4));
            put(16, field(4, 4));
            put(40, field(8, 4));
            put(56, field(16, 8));
            put(64, field(24, 8));
        }
        // A fault: address.
        (4 | 5 | 7 | 8 | 11, 1..) => put(72, field(0, 8)),
        // SIGIO and SIGPOLL: band, fd.
        (29, 1..=6) => {
            put(28, field(0, 4));
            put(20, field(8, 4));
        }
        // Sent with a value: pid, uid, int, ptr.
        (_, ..=-1) => {
            put(12, field(0, 4));
            put(16, field(4, 4));
            put(44, field(8, 4));
            put(48, field(8, 8));
        }
        _ => {
            put(12, field(0, 4));
            put(16, field(4, 4));
        }
    }
    out
}
