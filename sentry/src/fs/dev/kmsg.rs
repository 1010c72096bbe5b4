//! `/dev/kmsg`: the kernel's log record by record (Documentation/ABI/testing/dev-kmsg).

use std::any::Any;
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::fs::PollEvents;

use crate::Result;
use crate::fs::file::{FileOps, IoCx, OpenFlags, Whence};
use crate::fs::vfs::{Device, FileType, Inode};
use crate::io::{IoDst, IoSrc};
use crate::kernel::Kernel;
use crate::kernel_log::LINE;
use crate::sync::Mutex;
use crate::task::Task;

/// Facility `LOG_USER` of syslog(3): what is written from user space without one.
const USER: u32 = 1 << 3;
/// The level of a message that names none.
const WARNING: u32 = 4;

/// The device.
struct Kmsg(Weak<Kernel>);

/// Registers the device.
pub fn register(kernel: &Arc<Kernel>) {
    let device = Arc::new(Kmsg(Arc::downgrade(kernel)));
    kernel.devices.register(FileType::CharDevice, 1, 11, device);
}

impl Device for Kmsg {
    /// `EPERM` for readers who may not.
    fn open(
        &self,
        _minor: u32,
        _inode: &Arc<dyn Inode>,
        flags: OpenFlags,
        t: Option<&Arc<Task>>,
    ) -> Result<Arc<dyn FileOps>> {
        let kernel = self.0.upgrade().ok_or(Errno::ENXIO)?;
        if flags.readable() && !t.is_none_or(|t| t.creds().may_read_log()) {
            return Err(Errno::EPERM);
        }
        let next = Mutex::new(kernel.log.range().0);
        Ok(Arc::new(Reader { kernel, next }))
    }
}

/// An open device: the number of the record it reads next.
struct Reader {
    kernel: Arc<Kernel>,
    next: Mutex<u64>,
}

impl FileOps for Reader {
    fn as_any(&self) -> &dyn Any {
        self
    }

    /// One record; `EPIPE` when the next one was lost, `EINVAL` when it does not fit.
    fn read(&self, _cx: &IoCx<'_>, dst: &mut dyn IoDst, _pos: u64) -> Result<usize> {
        let mut next = self.next.lock();
        let (record, lost) = self.kernel.log.from(*next).ok_or(Errno::EAGAIN)?;
        if lost {
            *next = record.seq;
            return Err(Errno::EPIPE);
        }
        let line = record.extended();
        if line.len() > dst.remaining() {
            return Err(Errno::EINVAL);
        }
        *next = record.seq.saturating_add(1);
        drop(next);
        dst.put(&line)
    }

    /// One message, `<PRIORITY>` before it if it has one; `EINVAL` when it is too long.
    fn write(&self, _cx: &IoCx<'_>, src: &mut dyn IoSrc, _pos: u64) -> Result<usize> {
        let len = src.remaining();
        if len > LINE {
            return Err(Errno::EINVAL);
        }
        let mut text = vec![0; len];
        let n = src.take(&mut text)?;
        text.truncate(n);
        let (priority, rest) = prefix(&text).unwrap_or((USER | WARNING, &text));
        let rest = rest.strip_suffix(b"\n").unwrap_or(rest);
        let since = self.kernel.since_boot();
        self.kernel.log.add(priority, since, rest);
        Ok(n)
    }

    fn seek(&self, _cx: &IoCx<'_>, _cur: u64, offset: i64, whence: Whence) -> Result<u64> {
        if offset != 0 {
            return Err(Errno::ESPIPE);
        }
        let (first, end) = self.kernel.log.range();
        *self.next.lock() = match whence {
            Whence::Set => first,
            Whence::Data => self.kernel.log.cleared(),
            Whence::End => end,
            Whence::Cur | Whence::Hole => return Err(Errno::EINVAL),
        };
        Ok(0)
    }

    fn poll(&self, _cx: &IoCx<'_>) -> PollEvents {
        let mut ready = PollEvents::empty();
        match self.kernel.log.from(*self.next.lock()) {
            Some((_, false)) => ready |= PollEvents::IN | PollEvents::RDNORM,
            Some((_, true)) => {
                ready |= PollEvents::IN | PollEvents::RDNORM | PollEvents::ERR | PollEvents::PRI;
            }
            None => {}
        }
        ready
    }

    fn pollee(&self) -> Option<&crate::wait::Pollee> {
        Some(self.kernel.log.pollee())
    }
}

/// `<N>` at the start, and what follows. Only the kernel itself speaks as the kernel.
fn prefix(text: &[u8]) -> Option<(u32, &[u8])> {
    let rest = text.strip_prefix(b"<")?;
    let end = rest.iter().position(|&b| b == b'>')?;
    let digits = rest.get(..end).filter(|d| !d.is_empty())?;
    let number: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let priority = match number >> 3 {
        0 => USER | number & 7,
        _ => number,
    };
    Some((priority, rest.get(end.saturating_add(1)..)?))
}
