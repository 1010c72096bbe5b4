//! [`FileWindow`]: a part of a host file mapped in this process.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::slice::Slice;
use crate::{HostError, PAGE_SIZE};

/// A shared mapping of a donated host file, for reading (and writing) guest memory that
/// stands on it. The file may be truncated by others: accesses beyond its end fail, they do
/// not kill. Unmapped when dropped.
#[derive(Debug)]
pub struct FileWindow {
    base: *mut u8,
    len: usize,
}

// SAFETY: the mapping belongs to the value; it is used through `Slice` alone.
unsafe impl Send for FileWindow {}
// SAFETY: as above; no method changes the value.
unsafe impl Sync for FileWindow {}

/// Maps `len` bytes of `fd` at `offset`, shared.
pub(crate) fn map_shared(
    fd: BorrowedFd<'_>,
    offset: u64,
    len: usize,
    writable: bool,
) -> Result<*mut u8, HostError> {
    let offset = libc::off_t::try_from(offset).map_err(|_| HostError(libc::EOVERFLOW))?;
    let prot = if writable {
        libc::PROT_READ | libc::PROT_WRITE
    } else {
        libc::PROT_READ
    };
    // SAFETY: the host chooses an unused address, so no memory of ours is replaced.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            len,
            prot,
            libc::MAP_SHARED | libc::MAP_NORESERVE,
            fd.as_raw_fd(),
            offset,
        )
    };
    if base == libc::MAP_FAILED {
        return Err(HostError::last());
    }
    for advice in [libc::MADV_DONTDUMP, libc::MADV_DONTFORK] {
        // SAFETY: the range was mapped just above; the advice changes no contents. Failure
        // only costs a larger core file or fork.
        unsafe { libc::madvise(base, len, advice) };
    }
    Ok(base.cast())
}

impl FileWindow {
    /// Maps `offset..offset+len` of `fd`; `offset` is a multiple of the page size.
    pub fn new(
        fd: BorrowedFd<'_>,
        offset: u64,
        len: u64,
        writable: bool,
    ) -> Result<Self, HostError> {
        if len == 0 || !offset.is_multiple_of(PAGE_SIZE) {
            return Err(HostError(libc::EINVAL));
        }
        let len = usize::try_from(len).map_err(|_| HostError(libc::ENOMEM))?;
        let base = map_shared(fd, offset, len, writable)?;
        Ok(Self { base, len })
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len as u64
    }

    /// Never true; a window has at least one byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The part `offset..offset+len` of the window, or `None` beyond its end.
    pub fn slice(&self, offset: u64, len: u64) -> Option<Slice<'_>> {
        let (offset, len) = (usize::try_from(offset).ok()?, usize::try_from(len).ok()?);
        // SAFETY: base..base+len is one mapping that stays until `self` is dropped, which
        // the borrow prevents.
        unsafe { Slice::from_raw(self.base, self.len) }.sub(offset, len)
    }
}

impl Drop for FileWindow {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and no slice of it is left (they borrow `self`).
        unsafe { libc::munmap(self.base.cast(), self.len) };
    }
}
