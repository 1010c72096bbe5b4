//! [`MemoryFile`]: the sparse file all guest RAM stands in.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use crate::slice::Slice;
use crate::window::map_shared;
use crate::{CopyFault, HostError, PAGE_SIZE};

/// The smallest size worth having; below it the host is taken to refuse.
const MIN_LEN: u64 = 1 << 32;

/// A memfd mapped whole in this process. Sparse: what was never touched costs nothing, and
/// reads as zero.
#[derive(Debug)]
pub struct MemoryFile {
    fd: Arc<OwnedFd>,
    base: *mut u8,
    len: u64,
}

// SAFETY: the mapping belongs to the value and is used through `Slice` alone.
unsafe impl Send for MemoryFile {}
// SAFETY: as above; host calls on the descriptor may run concurrently.
unsafe impl Sync for MemoryFile {}

impl MemoryFile {
    /// A memory file of `len` bytes (rounded up to pages) of address range, or the largest
    /// power-of-two fraction of it that the host maps.
    pub fn new(len: u64) -> Result<Self, HostError> {
        // SAFETY: the name is a NUL-terminated constant.
        let raw = unsafe { libc::memfd_create(c"guest-memory".as_ptr(), libc::MFD_CLOEXEC) };
        if raw < 0 {
            return Err(HostError::last());
        }
        // SAFETY: the descriptor was made just above and has no other owner.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        let mut len = len
            .checked_next_multiple_of(PAGE_SIZE)
            .ok_or(HostError(libc::EINVAL))?
            .min(file_size_limit());
        loop {
            match Self::size_and_map(&fd, len) {
                Ok(base) => {
                    let fd = Arc::new(fd);
                    return Ok(Self { fd, base, len });
                }
                Err(e) if len / 2 < MIN_LEN => return Err(e),
                Err(_) => len = (len / 2).next_multiple_of(PAGE_SIZE),
            }
        }
    }

    /// Gives the file its size and maps it.
    fn size_and_map(fd: &OwnedFd, len: u64) -> Result<*mut u8, HostError> {
        let bytes = usize::try_from(len).map_err(|_| HostError(libc::ENOMEM))?;
        let size = libc::off_t::try_from(len).map_err(|_| HostError(libc::EFBIG))?;
        // SAFETY: an ordinary call on our own descriptor.
        if unsafe { libc::ftruncate(fd.as_raw_fd(), size) } != 0 {
            return Err(HostError::last());
        }
        map_shared(fd.as_fd(), 0, bytes, true)
    }

    /// The descriptor, for mapping the file into guests.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The descriptor, shared.
    pub fn fd_arc(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.fd)
    }

    /// Size of the address range in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Never true.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes `offset..offset+len`, or `None` beyond the end.
    pub fn slice(&self, offset: u64, len: u64) -> Option<Slice<'_>> {
        let whole = usize::try_from(self.len).ok()?;
        let (offset, len) = (usize::try_from(offset).ok()?, usize::try_from(len).ok()?);
        // SAFETY: base..base+len is one mapping that stays until `self` is dropped, which
        // the borrow prevents.
        unsafe { Slice::from_raw(self.base, whole) }.sub(offset, len)
    }

    /// Offset and length as the host takes them; EINVAL beyond the end.
    fn host_range(&self, offset: u64, len: u64) -> Result<(libc::off_t, libc::off_t), HostError> {
        let bad = HostError(libc::EINVAL);
        let end = offset.checked_add(len).ok_or(bad)?;
        if end > self.len {
            return Err(bad);
        }
        let offset = libc::off_t::try_from(offset).map_err(|_| bad)?;
        Ok((offset, libc::off_t::try_from(len).map_err(|_| bad)?))
    }

    /// fallocate(2), repeated while interrupted.
    fn allocate(&self, mode: libc::c_int, offset: u64, len: u64) -> Result<(), HostError> {
        let (offset, len) = self.host_range(offset, len)?;
        if len == 0 {
            return Ok(());
        }
        loop {
            // SAFETY: an ordinary call on our own descriptor; memory it drops is only
            // reached through slices, which see zeroes afterwards.
            if unsafe { libc::fallocate(self.fd.as_raw_fd(), mode, offset, len) } == 0 {
                return Ok(());
            }
            let e = HostError::last();
            if e.0 != libc::EINTR {
                return Err(e);
            }
        }
    }

    /// Gives the memory of the range back to the host; it reads as zero afterwards, here
    /// and in every guest mapping of it.
    pub fn punch(&self, offset: u64, len: u64) -> Result<(), HostError> {
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        self.allocate(mode, offset, len)
    }

    /// Gives every page of the range memory now. ENOSPC or ENOMEM when the host has none.
    pub fn populate(&self, offset: u64, len: u64) -> Result<(), HostError> {
        self.allocate(libc::FALLOC_FL_KEEP_SIZE, offset, len)
    }

    /// lseek(2) with `SEEK_DATA` or `SEEK_HOLE`; `None` when there is none behind.
    fn seek(&self, offset: u64, whence: libc::c_int) -> Option<u64> {
        let at = libc::off_t::try_from(offset).ok()?;
        // SAFETY: an ordinary call on our own descriptor; nobody uses its file position.
        u64::try_from(unsafe { libc::lseek(self.fd.as_raw_fd(), at, whence) }).ok()
    }

    /// The first run of pages with memory in `offset..offset+len`: its offset and length.
    pub fn next_data(&self, offset: u64, len: u64) -> Option<(u64, u64)> {
        let end = offset.checked_add(len)?.min(self.len);
        if offset >= end {
            return None;
        }
        let start = self.seek(offset, libc::SEEK_DATA).filter(|s| *s < end)?;
        let stop = self.seek(start, libc::SEEK_HOLE).unwrap_or(end).min(end);
        Some((start, stop.saturating_sub(start)))
    }

    /// Bytes with memory in the range.
    pub fn data_bytes(&self, offset: u64, len: u64) -> u64 {
        let end = offset.saturating_add(len);
        let (mut at, mut sum) = (offset, 0u64);
        while let Some((start, n)) = self.next_data(at, end.saturating_sub(at)) {
            sum = sum.saturating_add(n);
            at = start.saturating_add(n.max(1));
        }
        sum
    }

    /// Whether the page at `offset` has no memory (and reads as zero).
    pub fn is_hole(&self, offset: u64) -> bool {
        let page = offset - offset % PAGE_SIZE;
        self.next_data(page, PAGE_SIZE).is_none()
    }

    /// Copies `len` bytes from `src` to `dst` (page multiples, ranges disjoint). Holes of
    /// the source are skipped: they get no memory, and the destination must be a hole there
    /// to read the same.
    pub fn copy_sparse(&self, src: u64, dst: u64, len: u64) -> Result<(), CopyFault> {
        let end = src.saturating_add(len);
        let mut at = src;
        while let Some((start, n)) = self.next_data(at, end.saturating_sub(at)) {
            let done = usize::try_from(start.saturating_sub(src)).unwrap_or(usize::MAX);
            let fault = CopyFault { done };
            let from = self.slice(start, n).ok_or(fault)?;
            let to = dst
                .checked_add(start.saturating_sub(src))
                .and_then(|to| self.slice(to, n))
                .ok_or(fault)?;
            from.copy_to_slice(to).map_err(|e| CopyFault {
                done: done.saturating_add(e.done),
            })?;
            at = start.saturating_add(n.max(1));
        }
        Ok(())
    }

    /// Bytes of memory the whole file has now (swapped-out pages included).
    pub fn resident_bytes(&self) -> u64 {
        // SAFETY: all-zero is a valid stat buffer.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: `stat` is writable and of the type the call fills.
        if unsafe { libc::fstat(self.fd.as_raw_fd(), &raw mut stat) } != 0 {
            return 0;
        }
        u64::try_from(stat.st_blocks)
            .unwrap_or(0)
            .saturating_mul(512)
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and no slice of it is left (they borrow `self`).
        unsafe { libc::munmap(self.base.cast(), self.len as usize) };
    }
}

/// RLIMIT_FSIZE, beyond which ftruncate would raise SIGXFSZ.
fn file_size_limit() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: `limit` is writable and of the type the call fills.
    unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) };
    limit.rlim_cur - limit.rlim_cur % PAGE_SIZE
}
