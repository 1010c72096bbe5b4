//! Writing to a file excludes executing it, and the other way round (`ETXTBSY`).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use abi::Errno;

use super::vfs::{FileType, Inode};
use crate::Result;

/// Writers of an inode when positive, programs running from it when negative.
#[derive(Default)]
struct WriteCount(AtomicI64);

/// A right that lasts as long as the value: to write to an inode, or that nobody does.
pub struct WriteAccess {
    count: Arc<WriteCount>,
    step: i64,
}

impl fmt::Debug for WriteAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.step > 0 { "Write" } else { "DenyWrite" })
    }
}

impl WriteAccess {
    fn take(inode: &Arc<dyn Inode>, step: i64) -> Result<Option<WriteAccess>> {
        if inode.kind() != FileType::Regular {
            return Ok(None);
        }
        let count = inode.extra().get_or_insert(WriteCount::default);
        count
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| {
                let fits = if step > 0 { n >= 0 } else { n <= 0 };
                fits.then(|| n.saturating_add(step))
            })
            .map_err(|_| Errno::ETXTBSY)?;
        Ok(Some(WriteAccess { count, step }))
    }

    /// To write; `ETXTBSY` while a program runs from it. `None` for other than regular files.
    pub fn write(inode: &Arc<dyn Inode>) -> Result<Option<WriteAccess>> {
        WriteAccess::take(inode, 1)
    }

    /// That nobody writes, for as long as a program runs; `ETXTBSY` while it is open for
    /// writing.
    pub fn deny(inode: &Arc<dyn Inode>) -> Result<Option<WriteAccess>> {
        WriteAccess::take(inode, -1)
    }
}

impl Drop for WriteAccess {
    fn drop(&mut self) {
        self.count.0.fetch_sub(self.step, Ordering::SeqCst);
    }
}
