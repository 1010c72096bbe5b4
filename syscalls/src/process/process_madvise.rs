//! `process_madvise(2)`, `process_mrelease(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::Cap;
use sentry::mm::advise::Advice;
use sentry::task::pidfd::PidFd;
use sentry::{SysResult, Task};

use crate::arg::{Fd, In, UserIoVec, UserPtr};

const WILLNEED: i32 = 3;
const COLD: i32 = 20;
const PAGEOUT: i32 = 21;

/// `process_madvise(2)`: how many bytes were advised about.
pub fn process_madvise(
    t: &Arc<Task>,
    pidfd: Fd,
    vec: UserIoVec,
    count: u64,
    advice: i32,
    flags: u32,
) -> SysResult<i64> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    if count > abi::UIO_MAXIOV {
        return Err(Errno::EINVAL.into());
    }
    let ranges = UserPtr::<[u64; 2], In>::at(vec.0).read_array(t, count)?;
    let group = PidFd::group_of(&*t.files().get(pidfd.0)?)?;
    let task = group.main_task().ok_or(Errno::ESRCH)?;
    let advice = match advice {
        WILLNEED => Advice::WillNeed,
        COLD | PAGEOUT => Advice::Hint,
        _ => return Err(Errno::EINVAL.into()),
    };
    t.may_inspect(&task)?;
    let mm = task.mm();
    let own = Arc::ptr_eq(&mm, &t.mm());
    if !own && !t.creds().capable(Cap::SysNice) {
        return Err(Errno::EPERM.into());
    }
    let mut done = 0i64;
    for [addr, len] in ranges {
        match mm.advise(addr, len, advice) {
            Ok(()) => done = done.saturating_add(i64::try_from(len).unwrap_or(i64::MAX)),
            Err(e) if done == 0 => return Err(e.into()),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// `process_mrelease(2)`: memory of a process that is ending goes at once anyway.
pub fn process_mrelease(t: &Arc<Task>, pidfd: Fd, flags: u32) -> SysResult<()> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let group = PidFd::group_of(&*t.files().get(pidfd.0)?)?;
    // One that still runs is not to be released; one that has ended has nothing left.
    let alive = group.main_task().is_some_and(|m| m.context().is_ok());
    Err(if alive { Errno::EINVAL } else { Errno::ESRCH }.into())
}
