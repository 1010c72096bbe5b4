//! What the Sentry does with a donated descriptor of a regular file, besides reading and
//! writing it. None of it names anything on the host.

use std::os::fd::BorrowedFd;

use abi::Errno;
use rustix::fs::{FallocateFlags, SeekFrom};

use crate::attr::{Attr, Time};
use crate::errno;

/// Attributes now (`fstat(2)`); the creation time is not among them.
pub fn attr(fd: BorrowedFd<'_>) -> Result<Attr, Errno> {
    let s = rustix::fs::fstat(fd).map_err(errno)?;
    let time = |sec: i64, nsec: u64| Time {
        sec,
        nsec: u32::try_from(nsec).unwrap_or(0),
    };
    let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
    Ok(Attr {
        dev: s.st_dev,
        ino: s.st_ino,
        mode: s.st_mode,
        nlink: u32::try_from(s.st_nlink).unwrap_or(u32::MAX),
        uid: s.st_uid,
        gid: s.st_gid,
        rdev: s.st_rdev,
        size: unsigned(s.st_size),
        blocks: unsigned(s.st_blocks),
        blksize: u32::try_from(s.st_blksize).unwrap_or(4096),
        atime: time(s.st_atime, s.st_atime_nsec),
        mtime: time(s.st_mtime, s.st_mtime_nsec),
        ctime: time(s.st_ctime, s.st_ctime_nsec),
        btime: Time::default(),
    })
}

/// `fallocate(2)` with its own mode bits; `EOPNOTSUPP` for unknown ones.
pub fn allocate(fd: BorrowedFd<'_>, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
    let known = FallocateFlags::KEEP_SIZE
        | FallocateFlags::PUNCH_HOLE
        | FallocateFlags::COLLAPSE_RANGE
        | FallocateFlags::ZERO_RANGE
        | FallocateFlags::INSERT_RANGE
        | FallocateFlags::UNSHARE_RANGE;
    let flags = FallocateFlags::from_bits_retain(mode);
    if !known.contains(flags) {
        return Err(Errno::EOPNOTSUPP);
    }
    rustix::fs::fallocate(fd, flags, offset, len).map_err(errno)
}

/// `ftruncate(2)`.
pub fn truncate(fd: BorrowedFd<'_>, len: u64) -> Result<(), Errno> {
    rustix::fs::ftruncate(fd, len).map_err(errno)
}

/// `fsync(2)` or `fdatasync(2)`.
pub fn sync(fd: BorrowedFd<'_>, data_only: bool) -> Result<(), Errno> {
    let synced = if data_only {
        rustix::fs::fdatasync(fd)
    } else {
        rustix::fs::fsync(fd)
    };
    synced.map_err(errno)
}

/// The next data (or hole) from `offset` on; `ENXIO` past the end.
pub fn next_extent(fd: BorrowedFd<'_>, offset: u64, hole: bool) -> Result<u64, Errno> {
    let from = if hole {
        SeekFrom::Hole(offset)
    } else {
        SeekFrom::Data(offset)
    };
    rustix::fs::seek(fd, from).map_err(errno)
}
