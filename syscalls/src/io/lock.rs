//! File locks: `flock(2)` and the lock commands of `fcntl(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::fs::{Flock, PollEvents};
use sentry::fs::File;
use sentry::fs::locks::{FileLocks, LockOwner, RecordLock};
use sentry::retry::{Attempt, Registrations, retry, watch_one};
use sentry::wait::Waker;
use sentry::{OnSignal, Result, SysResult, Task};

use super::file;
use crate::arg::Fd;

const F_RDLCK: i16 = 0;
const F_WRLCK: i16 = 1;
const F_UNLCK: i16 = 2;

const LOCK_SH: u32 = 1;
const LOCK_EX: u32 = 2;
const LOCK_NB: u32 = 4;
const LOCK_UN: u32 = 8;

/// The range of a `struct flock` as first and last byte: `EINVAL`, `EOVERFLOW`.
fn range(file: &File, raw: &Flock) -> Result<(u64, u64)> {
    let base = match raw.whence {
        0 => 0,
        1 => i64::try_from(*file.offset.lock()).map_err(|_| Errno::EOVERFLOW)?,
        2 => match file.inode() {
            Some(inode) => i64::try_from(inode.attr()?.size).map_err(|_| Errno::EOVERFLOW)?,
            None => 0,
        },
        _ => return Err(Errno::EINVAL),
    };
    let start = base.checked_add(raw.start).ok_or(Errno::EOVERFLOW)?;
    let (start, end) = match raw.len {
        0 => (start, i64::MAX),
        n if n > 0 => (start, start.checked_add(n - 1).ok_or(Errno::EOVERFLOW)?),
        n => (start.checked_add(n).ok_or(Errno::EINVAL)?, start - 1),
    };
    let first = u64::try_from(start).map_err(|_| Errno::EINVAL)?;
    let last = u64::try_from(end).map_err(|_| Errno::EINVAL)?;
    Ok((first, last))
}

fn wanted(t: &Arc<Task>, file: &Arc<File>, raw: &Flock, ofd: bool) -> Result<RecordLock> {
    if ofd && raw.pid != 0 {
        return Err(Errno::EINVAL);
    }
    let (start, end) = range(file, raw)?;
    Ok(RecordLock {
        owner: if ofd {
            LockOwner::of_file(file)
        } else {
            LockOwner::Table(t.files().owner_id())
        },
        holder: (!ofd).then(|| t.thread_group().id.clone()),
        start,
        end,
        exclusive: raw.kind == F_WRLCK,
    })
}

/// `F_GETLK`, `F_OFD_GETLK`: the lock in the way, or `F_UNLCK`.
pub fn get(t: &Arc<Task>, file: &Arc<File>, raw: &Flock, ofd: bool) -> Result<Flock> {
    if !matches!(raw.kind, F_RDLCK | F_WRLCK) {
        return Err(Errno::EINVAL);
    }
    let lock = wanted(t, file, raw, ofd)?;
    let Some(there) = file.locks().blocker(&lock) else {
        return Ok(Flock {
            kind: F_UNLCK,
            ..*raw
        });
    };
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let to_end = there.end == i64::MAX.unsigned_abs();
    Ok(Flock {
        kind: if there.exclusive { F_WRLCK } else { F_RDLCK },
        whence: 0,
        start: signed(there.start),
        len: if to_end {
            0
        } else {
            signed(there.end - there.start + 1)
        },
        pid: there.holder.map_or(-1, |id| id.nr_in(t.pid_ns())),
        ..*raw
    })
}

struct SetRecord {
    file: Arc<File>,
    locks: Arc<FileLocks>,
    lock: RecordLock,
    fd: Fd,
    waits: bool,
}

impl Attempt for SetRecord {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        if self.waits {
            t.kernel.lock_waits.end(self.lock.owner);
        }
        match self.locks.set(self.lock.clone()) {
            Ok(()) => {}
            Err(Errno::EAGAIN) if self.waits => {
                if let (LockOwner::Table(_), Some(holder)) =
                    (self.lock.owner, self.locks.blocker(&self.lock))
                {
                    t.kernel.lock_waits.begin(self.lock.owner, holder.owner)?;
                }
                return Err(Errno::EAGAIN.into());
            }
            Err(e) => return Err(e.into()),
        }
        // A close by another thread meanwhile has released nothing of this lock.
        let still = t.files().get(self.fd.0);
        let of_table = matches!(self.lock.owner, LockOwner::Table(_));
        if of_table && !still.is_ok_and(|f| Arc::ptr_eq(&f, &self.file)) {
            self.locks.unset(&self.lock);
            return Err(Errno::EBADF.into());
        }
        Ok(0)
    }

    fn watch(&self, waker: Waker) -> Registrations {
        watch_one(&self.locks.pollee, PollEvents::IN, waker)
    }

    fn on_signal(&mut self, t: &Arc<Task>) -> OnSignal {
        t.kernel.lock_waits.end(self.lock.owner);
        OnSignal::Restart
    }

    fn name(&self) -> &'static str {
        "fcntl"
    }
}

/// `F_SETLK`, `F_SETLKW` and their description forms.
pub fn set(
    t: &Arc<Task>,
    fd: Fd,
    file: Arc<File>,
    raw: &Flock,
    ofd: bool,
    waits: bool,
) -> SysResult<i64> {
    let lock = wanted(t, &file, raw, ofd)?;
    match raw.kind {
        F_UNLCK => {
            file.locks().unset(&lock);
            return Ok(0);
        }
        F_RDLCK => super::check_readable(&file)?,
        F_WRLCK => super::check_writable(&file)?,
        _ => return Err(Errno::EINVAL.into()),
    }
    let mut set = SetRecord {
        locks: file.locks(),
        file,
        lock,
        fd,
        waits,
    };
    if waits {
        return retry(t, set, None);
    }
    set.attempt(t)
}

struct Whole {
    file: Arc<File>,
    locks: Arc<FileLocks>,
    exclusive: bool,
}

impl Attempt for Whole {
    fn attempt(&mut self, _t: &Arc<Task>) -> SysResult<i64> {
        let id = Arc::as_ptr(&self.file).addr();
        self.locks.lock_whole(id, self.exclusive)?;
        Ok(0)
    }

    fn watch(&self, waker: Waker) -> Registrations {
        watch_one(&self.locks.pollee, PollEvents::IN, waker)
    }

    fn name(&self) -> &'static str {
        "flock"
    }
}

const LOCK_MAND: u32 = 32;

/// `flock(2)`.
pub fn flock(t: &Arc<Task>, fd: Fd, operation: u32) -> SysResult<i64> {
    // Mandatory locks are no more; they seem to be taken.
    if operation & LOCK_MAND != 0 {
        return Ok(0);
    }
    let kind = operation & !LOCK_NB;
    if !matches!(kind, LOCK_SH | LOCK_EX | LOCK_UN) {
        return Err(Errno::EINVAL.into());
    }
    let file = file(t, fd)?;
    let locks = file.locks();
    if kind == LOCK_UN {
        locks.unlock_whole(Arc::as_ptr(&file).addr());
        return Ok(0);
    }
    let mut whole = Whole {
        file,
        locks,
        exclusive: kind == LOCK_EX,
    };
    if operation & LOCK_NB != 0 {
        return whole.attempt(t);
    }
    retry(t, whole, None)
}
