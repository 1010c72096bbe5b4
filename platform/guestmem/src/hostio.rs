//! Host I/O straight into and out of guest memory.
//!
//! The host kernel copies, so a bad page is its EFAULT, never a signal.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::HostError;
use crate::slice::Slice;

/// Most slices one host call takes (`UIO_MAXIOV`).
const IOV_MAX: usize = 1024;

/// Turns the return value of a host call into a result.
fn count(ret: isize) -> Result<usize, HostError> {
    usize::try_from(ret).map_err(|_| HostError::last())
}

/// A file position as the host takes it; EINVAL beyond `i64`.
fn position(offset: u64) -> Result<libc::off_t, HostError> {
    libc::off_t::try_from(offset).map_err(|_| HostError(libc::EINVAL))
}

impl Slice<'_> {
    /// pread(2) into the slice.
    pub fn pread(self, fd: BorrowedFd<'_>, offset: u64) -> Result<usize, HostError> {
        let offset = position(offset)?;
        // SAFETY: the host writes only within the slice, which no Rust object lives in.
        count(unsafe { libc::pread(fd.as_raw_fd(), self.as_ptr().cast(), self.len(), offset) })
    }

    /// pwrite(2) from the slice.
    pub fn pwrite(self, fd: BorrowedFd<'_>, offset: u64) -> Result<usize, HostError> {
        let offset = position(offset)?;
        // SAFETY: the host only reads within the slice.
        count(unsafe { libc::pwrite(fd.as_raw_fd(), self.as_ptr().cast(), self.len(), offset) })
    }

    /// read(2) into the slice.
    pub fn read(self, fd: BorrowedFd<'_>) -> Result<usize, HostError> {
        // SAFETY: as in `pread`.
        count(unsafe { libc::read(fd.as_raw_fd(), self.as_ptr().cast(), self.len()) })
    }

    /// write(2) from the slice.
    pub fn write(self, fd: BorrowedFd<'_>) -> Result<usize, HostError> {
        // SAFETY: as in `pwrite`.
        count(unsafe { libc::write(fd.as_raw_fd(), self.as_ptr().cast(), self.len()) })
    }
}

/// The slices as host vectors, the first `IOV_MAX` of them.
fn vectors(slices: &[Slice<'_>]) -> (Vec<libc::iovec>, libc::c_int) {
    let list: Vec<_> = slices
        .iter()
        .take(IOV_MAX)
        .map(|s| libc::iovec {
            iov_base: s.as_ptr().cast(),
            iov_len: s.len(),
        })
        .collect();
    let n = libc::c_int::try_from(list.len()).unwrap_or(0);
    (list, n)
}

/// preadv(2) into the slices. At most the first 1,024 are used; a short count is normal.
pub fn preadv(fd: BorrowedFd<'_>, offset: u64, to: &[Slice<'_>]) -> Result<usize, HostError> {
    let offset = position(offset)?;
    let (list, n) = vectors(to);
    // SAFETY: each vector is a slice; `list` outlives the call.
    count(unsafe { libc::preadv(fd.as_raw_fd(), list.as_ptr(), n, offset) })
}

/// pwritev(2) from the slices. At most the first 1,024 are used; a short count is normal.
pub fn pwritev(fd: BorrowedFd<'_>, offset: u64, from: &[Slice<'_>]) -> Result<usize, HostError> {
    let offset = position(offset)?;
    let (list, n) = vectors(from);
    // SAFETY: as in `preadv`.
    count(unsafe { libc::pwritev(fd.as_raw_fd(), list.as_ptr(), n, offset) })
}

/// readv(2) into the slices, at the file's own position.
pub fn readv(fd: BorrowedFd<'_>, to: &[Slice<'_>]) -> Result<usize, HostError> {
    let (list, n) = vectors(to);
    // SAFETY: as in `preadv`.
    count(unsafe { libc::readv(fd.as_raw_fd(), list.as_ptr(), n) })
}

/// writev(2) from the slices, at the file's own position.
pub fn writev(fd: BorrowedFd<'_>, from: &[Slice<'_>]) -> Result<usize, HostError> {
    let (list, n) = vectors(from);
    // SAFETY: as in `pwritev`.
    count(unsafe { libc::writev(fd.as_raw_fd(), list.as_ptr(), n) })
}
