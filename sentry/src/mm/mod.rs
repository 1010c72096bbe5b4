//! Guest memory: what is mapped where ([`Mm`]) and copies to and from it.
//!
//! VMAs say what should be; file ranges of the one memory file say where it stands; host
//! mappings of the guest are derived from both and are only a cache.
//!
//! Lock rank: the map lock of an `Mm` is below object locks (pipe, inode data): a copy may
//! run with one of those held, because it never waits for the guest.

pub mod advise;
pub mod brk;
mod cow;
mod derive;
pub mod dump;
pub mod fault;
mod file_map;
mod fork;
pub mod frames;
pub mod lock;
pub mod map;
pub mod patch;
pub mod policy;
pub mod protect;
pub mod remap;
pub mod report;
mod rseq;
mod seal;
mod spans;
pub mod state;
mod user;
pub mod vma;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use abi::Errno;

use crate::Result;

pub use file_map::{FileMap, Mappers, SharedMemory, Zeroes};
pub use frames::{FrameRange, Frames};
pub use state::{Made, Mm, MmLimits};
pub use vma::{MapProt, VmaFlags, VmaName};

/// A copy that stopped early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserFault {
    /// Bytes copied before the fault.
    pub done: usize,
    /// `EFAULT`, or `ENOMEM` when a page could not be made.
    pub errno: Errno,
}

impl From<UserFault> for Errno {
    fn from(f: UserFault) -> Errno {
        f.errno
    }
}

/// What `mmap(2)` can map: the data of a file.
pub trait Mappable: Send + Sync + 'static {
    /// Called with an address space's map lock held, and in the middle of copies to and from
    /// guest memory: `frames` and `size` take no lock that is held over such a copy.
    ///
    /// Where `len` bytes at page-aligned `offset` stand, for a mapping that may be written
    /// when `write` (a shared writable one). The answer may cover less than `len`.
    fn frames(&self, offset: u64, len: u64, write: bool) -> Result<Backing>;
    /// Size of the file in bytes now: pages wholly past it raise `SIGBUS`.
    fn size(&self) -> u64;
    /// Name for `/proc/PID/maps`, device and inode.
    fn identity(&self) -> MapIdentity;
    /// The place it was opened by, if it was.
    fn place(&self) -> Option<crate::fs::vfs::Path> {
        None
    }
    /// A mapping of it was made or went away (`+1`/`-1`); shared writable ones only when
    /// `shared_write`.
    fn mapped(&self, _delta: i32, _shared_write: bool) {}
    /// Whether a shared mapping that may be written can be made (seals); `EPERM`.
    fn may_write(&self) -> Result<()> {
        Ok(())
    }
    /// Whether mapping it means anonymous memory (`/dev/zero`).
    fn anonymous(&self) -> bool {
        false
    }
    /// Where address spaces that map it are noted, for a file whose `frames` may change.
    fn mappers(&self) -> Option<&Mappers> {
        None
    }
    /// Makes a range read as zero and frees its memory (`MADV_REMOVE`); `EOPNOTSUPP`.
    fn discard(&self, _offset: u64, _len: u64) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }
    /// Writes a range back to the disk (`msync(2)`).
    fn sync(&self, _offset: u64, _len: u64) -> Result<()> {
        Ok(())
    }
}

/// Where file data stands on the host.
#[derive(Clone, Debug)]
pub enum Backing {
    /// In the memory file at this offset, for this many bytes.
    Memory {
        /// Offset in the memory file.
        offset: u64,
        /// Bytes.
        len: u64,
    },
    /// In a donated host file at this offset, for this many bytes.
    Host {
        /// The file.
        file: Arc<OwnedFd>,
        /// Offset in it.
        offset: u64,
        /// Bytes.
        len: u64,
    },
}

/// What `/proc/PID/maps` tells of a mapped file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "plain fields")]
pub struct MapIdentity {
    pub path: Vec<u8>,
    pub dev: u64,
    pub ino: u64,
}
