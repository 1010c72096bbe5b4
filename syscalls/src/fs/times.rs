//! `utime(2)`, `utimes(2)`, `futimesat(2)`, `utimensat(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::time::{Timespec, Timeval};
use sentry::fs::vfs::{FileTime, Path, TimeSet, setattr};
use sentry::{Result, SysResult, Task};

use super::at::{self, AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW};
use crate::arg::{DirFd, Fd, In, UserCStr, UserPtr};
use crate::io;

/// Set to the current time.
const UTIME_NOW: i64 = (1 << 30) - 1;
/// Leave as it is.
const UTIME_OMIT: i64 = (1 << 30) - 2;

/// Both times, each a change or none.
type Times = (Option<TimeSet>, Option<TimeSet>);

/// Both to now.
const NOW: Times = (Some(TimeSet::Now), Some(TimeSet::Now));

fn set(t: &Arc<Task>, path: &Path, (atime, mtime): Times) -> Result<()> {
    at::with(t, |cx| setattr::utimes(cx, path, atime, mtime))
}

fn from_timespec(ts: Timespec) -> Result<Option<TimeSet>> {
    match ts.nsec {
        UTIME_NOW => Ok(Some(TimeSet::Now)),
        UTIME_OMIT => Ok(None),
        n @ 0..=999_999_999 => Ok(Some(TimeSet::To(FileTime {
            sec: ts.sec,
            nsec: n as u32,
        }))),
        _ => Err(Errno::EINVAL),
    }
}

fn from_timeval(tv: Timeval) -> Result<Option<TimeSet>> {
    match tv.usec {
        u @ 0..=999_999 => Ok(Some(TimeSet::To(FileTime {
            sec: tv.sec,
            nsec: u as u32 * 1000,
        }))),
        _ => Err(Errno::EINVAL),
    }
}

/// `utimensat(2)`: a `NULL` path means the descriptor.
pub fn utimensat(
    t: &Arc<Task>,
    dirfd: DirFd,
    path: UserCStr,
    times: UserPtr<[Timespec; 2], In>,
    flags: u32,
) -> SysResult<()> {
    let times = match times.non_null() {
        None => NOW,
        Some(ptr) => {
            let [atime, mtime] = ptr.read(t)?;
            let omitted = atime.nsec == UTIME_OMIT && mtime.nsec == UTIME_OMIT;
            if omitted {
                return Ok(());
            }
            (from_timespec(atime)?, from_timespec(mtime)?)
        }
    };
    if path.is_null() && dirfd != DirFd::CWD {
        if flags != 0 {
            return Err(Errno::EINVAL.into());
        }
        io::file(t, Fd(dirfd.0))?;
        return Ok(set(t, &at::of_fd(t, dirfd.0)?, times)?);
    }
    at::check(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    if path.is_null() && flags & AT_EMPTY_PATH == 0 {
        return Err(Errno::EFAULT.into());
    }
    let path = at::find(t, dirfd, path, flags)?;
    Ok(set(t, &path, times)?)
}

/// `futimesat(2)`.
pub fn futimesat(
    t: &Arc<Task>,
    dirfd: DirFd,
    path: UserCStr,
    times: UserPtr<[Timeval; 2], In>,
) -> SysResult<()> {
    let times = match times.non_null() {
        None => NOW,
        Some(ptr) => {
            let [atime, mtime] = ptr.read(t)?;
            (from_timeval(atime)?, from_timeval(mtime)?)
        }
    };
    if path.is_null() && dirfd != DirFd::CWD {
        io::file(t, Fd(dirfd.0))?;
        return Ok(set(t, &at::of_fd(t, dirfd.0)?, times)?);
    }
    Ok(set(t, &at::find(t, dirfd, path, 0)?, times)?)
}

/// `utimes(2)`.
pub fn utimes(t: &Arc<Task>, path: UserCStr, times: UserPtr<[Timeval; 2], In>) -> SysResult<()> {
    futimesat(t, DirFd::CWD, path, times)
}

/// `utime(2)`: seconds only.
pub fn utime(t: &Arc<Task>, path: UserCStr, times: UserPtr<[i64; 2], In>) -> SysResult<()> {
    let times = match times.non_null() {
        None => NOW,
        Some(ptr) => {
            let to = |sec| Some(TimeSet::To(FileTime { sec, nsec: 0 }));
            let [atime, mtime] = ptr.read(t)?;
            (to(atime), to(mtime))
        }
    };
    Ok(set(t, &at::follow(t, path)?, times)?)
}
