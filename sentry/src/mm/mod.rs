//! Guest memory: what is mapped where ([`Mm`]) and copies to and from it.
//!
//! VMAs say what should be; file ranges of the one memory file say where it stands; host
//! mappings of the guest are derived from both and are only a cache.
//!
//! Lock rank: the map lock of an `Mm` is below object locks (pipe, inode data): a copy may
//! run with one of those held, because it never waits for the guest.

pub mod frames;

use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use abi::Errno;
use guestmem::Slice;

use crate::Result;

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
    /// Where `len` bytes at page-aligned `offset` stand, for a mapping that may be written
    /// when `write` (a shared writable one). The answer may cover less than `len`.
    fn frames(&self, offset: u64, len: u64, write: bool) -> Result<Backing>;
    /// Size of the file in bytes now: pages wholly past it raise `SIGBUS`.
    fn size(&self) -> u64;
    /// Name for `/proc/PID/maps`, device and inode.
    fn identity(&self) -> MapIdentity;
    /// A mapping of it was made or went away (`+1`/`-1`); shared writable ones only when
    /// `shared_write`.
    fn mapped(&self, _delta: i32, _shared_write: bool) {}
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

/// A guest address space.
pub struct Mm {
    _private: (),
}

impl fmt::Debug for Mm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mm")
    }
}

impl Mm {
    /// Copies guest memory to `dst`.
    pub fn copy_in(&self, _addr: u64, _dst: &mut [u8]) -> Result<(), UserFault> {
        Err(UserFault {
            done: 0,
            errno: Errno::EFAULT,
        })
    }
    /// Copies `src` to guest memory.
    pub fn copy_out(&self, _addr: u64, _src: &[u8]) -> Result<(), UserFault> {
        Err(UserFault {
            done: 0,
            errno: Errno::EFAULT,
        })
    }
    /// Copies guest memory to memory frames.
    pub fn copy_in_slice(&self, _addr: u64, _dst: Slice<'_>) -> Result<(), UserFault> {
        Err(UserFault {
            done: 0,
            errno: Errno::EFAULT,
        })
    }
    /// Copies memory frames to guest memory.
    pub fn copy_out_slice(&self, _addr: u64, _src: Slice<'_>) -> Result<(), UserFault> {
        Err(UserFault {
            done: 0,
            errno: Errno::EFAULT,
        })
    }
    /// Fills guest memory with zeros.
    pub fn zero_out(&self, _addr: u64, _len: usize) -> Result<(), UserFault> {
        Err(UserFault {
            done: 0,
            errno: Errno::EFAULT,
        })
    }
    /// Reads a host file into guest memory in one copy; how many bytes.
    pub fn read_host(
        &self,
        _addr: u64,
        _len: usize,
        _fd: BorrowedFd<'_>,
        _offset: Option<u64>,
    ) -> Result<usize> {
        Err(Errno::EFAULT)
    }
    /// Writes guest memory to a host file in one copy; how many bytes.
    pub fn write_host(
        &self,
        _addr: u64,
        _len: usize,
        _fd: BorrowedFd<'_>,
        _offset: Option<u64>,
    ) -> Result<usize> {
        Err(Errno::EFAULT)
    }
    /// Copies a NUL-terminated string of at most `max` bytes (without the NUL);
    /// `ENAMETOOLONG` if it is longer, `EFAULT`.
    pub fn copy_in_cstr(&self, _addr: u64, _max: usize) -> Result<Vec<u8>> {
        Err(Errno::EFAULT)
    }
    /// Loads the futex word at `addr`, making its page present; `EFAULT`.
    pub fn load_u32(&self, _addr: u64) -> Result<u32> {
        Err(Errno::EFAULT)
    }
    /// Compares and swaps the word at `addr`; the value that was there; `EFAULT`.
    pub fn compare_exchange_u32(&self, _addr: u64, _old: u32, _new: u32) -> Result<u32> {
        Err(Errno::EFAULT)
    }
    /// What identifies the word at `addr` for a futex shared between address spaces:
    /// the memory object and the offset in it. `EFAULT`.
    pub fn shared_key(&self, _addr: u64) -> Result<(u64, u64)> {
        Err(Errno::EFAULT)
    }
}
