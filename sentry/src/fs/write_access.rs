//! Who has a file open: writing excludes executing it, and the other way round (`ETXTBSY`);
//! leases ([`super::lease`]) ask how many read and write.
//!
//! Main types: [`OpenCounts`], which hangs on an inode, and [`OpenAccess`], a place in it.
//! Lock rank: leaf.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use abi::Errno;

use super::lease::Leases;
use super::vfs::{FileType, Inode};
use crate::Result;

/// Open descriptions of an inode.
#[derive(Default)]
pub struct OpenCounts {
    /// Writers when positive, programs running from it when negative.
    pub(super) writers: AtomicI64,
    /// Descriptions that only read.
    pub(super) readers: AtomicI64,
    /// Its leases.
    pub(super) leases: Leases,
}

/// The counts of an inode.
pub fn of_inode(inode: &Arc<dyn Inode>) -> Arc<OpenCounts> {
    inode.extra().get_or_insert(OpenCounts::default)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Read,
    Write,
    DenyWrite,
}

/// A right that lasts as long as the value: to read or write an inode, or that nobody writes.
pub struct OpenAccess {
    counts: Arc<OpenCounts>,
    way: Way,
}

impl fmt::Debug for OpenAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.way)
    }
}

impl OpenAccess {
    fn take(inode: &Arc<dyn Inode>, way: Way) -> Result<Option<OpenAccess>> {
        if inode.kind() != FileType::Regular {
            return Ok(None);
        }
        let counts = of_inode(inode);
        let step = match way {
            Way::Read => {
                counts.readers.fetch_add(1, Ordering::SeqCst);
                return Ok(Some(OpenAccess { counts, way }));
            }
            Way::Write => 1,
            Way::DenyWrite => -1,
        };
        counts
            .writers
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| {
                let fits = if step > 0 { n >= 0 } else { n <= 0 };
                fits.then(|| n.saturating_add(step))
            })
            .map_err(|_| Errno::ETXTBSY)?;
        Ok(Some(OpenAccess { counts, way }))
    }

    /// To read only. `None` for other than regular files.
    pub fn read(inode: &Arc<dyn Inode>) -> Result<Option<OpenAccess>> {
        OpenAccess::take(inode, Way::Read)
    }

    /// To write; `ETXTBSY` while a program runs from it. `None` for other than regular files.
    pub fn write(inode: &Arc<dyn Inode>) -> Result<Option<OpenAccess>> {
        OpenAccess::take(inode, Way::Write)
    }

    /// That nobody writes, for as long as a program runs; `ETXTBSY` while it is open for
    /// writing.
    pub fn deny(inode: &Arc<dyn Inode>) -> Result<Option<OpenAccess>> {
        OpenAccess::take(inode, Way::DenyWrite)
    }

    /// What it is counted in, to keep.
    pub fn shared_counts(&self) -> Arc<OpenCounts> {
        self.counts.clone()
    }

    /// What it is counted in.
    pub(super) fn counts(&self) -> &OpenCounts {
        &self.counts
    }
}

impl Drop for OpenAccess {
    fn drop(&mut self) {
        match self.way {
            Way::Read => self.counts.readers.fetch_sub(1, Ordering::SeqCst),
            Way::Write => self.counts.writers.fetch_sub(1, Ordering::SeqCst),
            Way::DenyWrite => self.counts.writers.fetch_add(1, Ordering::SeqCst),
        };
    }
}
