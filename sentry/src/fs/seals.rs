//! Seals of memory files (`fcntl(2)`, "File Sealing"; `memfd_create(2)`).

use std::sync::atomic::{AtomicU32, Ordering};

use abi::{Errno, PAGE_SIZE};

use crate::Result;

/// No further seals.
pub const F_SEAL_SEAL: u32 = 1;
/// The size cannot be reduced.
pub const F_SEAL_SHRINK: u32 = 2;
/// The size cannot be increased.
pub const F_SEAL_GROW: u32 = 4;
/// The content cannot be changed.
pub const F_SEAL_WRITE: u32 = 8;
/// The content cannot be changed but through mappings there already.
pub const F_SEAL_FUTURE_WRITE: u32 = 0x10;
/// The executable bits cannot be changed.
pub const F_SEAL_EXEC: u32 = 0x20;

/// A set of seals that only grows. Changed under the file's write lock.
#[derive(Debug)]
pub struct Seals(AtomicU32);

impl Seals {
    /// The seals of an ordinary file: none, and none can be added.
    pub fn sealed() -> Seals {
        Seals(AtomicU32::new(F_SEAL_SEAL))
    }

    /// The given seals.
    pub fn new(seals: u32) -> Seals {
        Seals(AtomicU32::new(seals))
    }

    /// The set.
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    /// Adds seals: `EPERM` when sealed, `EINVAL` for unknown ones, `EBUSY` for
    /// `F_SEAL_WRITE` with `writers` shared writable mappings. Sealing the executable bits
    /// of an executable file seals its content too.
    pub fn add(&self, mut seals: u32, writers: i32, executable: bool) -> Result<()> {
        if seals & !0x3f != 0 {
            return Err(Errno::EINVAL);
        }
        if self.get() & F_SEAL_SEAL != 0 {
            return Err(Errno::EPERM);
        }
        if seals & F_SEAL_EXEC != 0 && executable {
            seals |= F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
        }
        if seals & F_SEAL_WRITE != 0 && self.get() & F_SEAL_WRITE == 0 && writers > 0 {
            return Err(Errno::EBUSY);
        }
        self.0.fetch_or(seals, Ordering::SeqCst);
        Ok(())
    }

    /// How many of `len` bytes may be written at `pos` of a file of `size` bytes; `EPERM`.
    pub fn check_write(&self, pos: u64, len: u64, size: u64) -> Result<u64> {
        let seals = self.get();
        if seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) != 0 {
            return Err(Errno::EPERM);
        }
        if seals & F_SEAL_GROW != 0 && pos.saturating_add(len) > size {
            // Whole pages below the end may still be written.
            let whole = (size - size % PAGE_SIZE).saturating_sub(pos);
            return if whole == 0 {
                Err(Errno::EPERM)
            } else {
                Ok(whole)
            };
        }
        Ok(len)
    }

    /// Whether the size may change so; `EPERM`.
    pub fn check_resize(&self, old: u64, new: u64) -> Result<()> {
        let seals = self.get();
        let shrinks = new < old && seals & F_SEAL_SHRINK != 0;
        let grows = new > old && seals & F_SEAL_GROW != 0;
        if shrinks || grows {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    /// Whether a shared writable mapping may be made; `EPERM`.
    pub fn check_map_write(&self) -> Result<()> {
        if self.get() & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) != 0 {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    /// Whether permission bits may change so; `EPERM`.
    pub fn check_perm(&self, old: u32, new: u32) -> Result<()> {
        if self.get() & F_SEAL_EXEC != 0 && (old ^ new) & 0o111 != 0 {
            return Err(Errno::EPERM);
        }
        Ok(())
    }
}
