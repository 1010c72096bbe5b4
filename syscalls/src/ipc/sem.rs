//! `semget(2)`, `semop(2)`, `semtimedop(2)`, `semctl(2)`.

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;
use abi::time::Timespec;
use sentry::ipc::sem::{self, SEMMNI, SEMMSL, SEMOPM, SEMVMX, SemBuf, SemDs, SemOp, SemWait, Set};
use sentry::ipc::table::{Object, READ, WRITE};
use sentry::retry::retry;
use sentry::{SysResult, Task};

use super::shm::{IPC_64, IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT};
use crate::arg::{In, Out, UserPtr};

/// `semget(2)`.
pub fn semget(t: &Arc<Task>, key: i32, n: i32, flags: u32) -> SysResult<i32> {
    Ok(sem::get(t, key, n, flags)?)
}

/// `semop(2)`.
pub fn semop(t: &Arc<Task>, id: i32, ops: UserPtr<SemBuf, In>, n: u32) -> SysResult<i64> {
    run(t, id, ops, n, None)
}

/// `semtimedop(2)`.
pub fn semtimedop(
    t: &Arc<Task>,
    id: i32,
    ops: UserPtr<SemBuf, In>,
    n: u32,
    timeout: UserPtr<Timespec, In>,
) -> SysResult<i64> {
    let span = match timeout.non_null() {
        Some(p) => Some(p.read(t)?.to_duration()?),
        None => None,
    };
    run(t, id, ops, n, span)
}

fn run(
    t: &Arc<Task>,
    id: i32,
    ops: UserPtr<SemBuf, In>,
    n: u32,
    timeout: Option<Duration>,
) -> SysResult<i64> {
    let n = usize::try_from(n).map_err(|_| Errno::EINVAL)?;
    if n > SEMOPM {
        return Err(Errno::E2BIG.into());
    }
    if n == 0 || id < 0 {
        return Err(Errno::EINVAL.into());
    }
    if n > SEMOPM {
        return Err(Errno::E2BIG.into());
    }
    let ops = ops.read_array(t, n)?;
    let op = SemOp::new(t, id, ops)?;
    let deadline = timeout.map(|d| t.kernel.clock.monotonic().saturating_add(d));
    retry(t, SemWait(op), deadline)
}

/// `semctl(2)`: the fourth argument is a value or an address, by command.
pub fn semctl(t: &Arc<Task>, id: i32, num: i32, cmd: i32, arg: u64) -> SysResult<i32> {
    const SEM_STAT: i32 = 18;
    const SEM_INFO: i32 = 19;
    const SEM_STAT_ANY: i32 = 20;
    let table = &t.ipc().sem;
    let cmd = cmd & !IPC_64;
    match cmd {
        IPC_INFO | SEM_INFO => {
            let used = table.all();
            let sems: usize = used.iter().map(|(_, s)| s.len()).sum();
            let info = [
                SEMMNI as i32,
                SEMMNI as i32,
                1_024_000_000,
                1_024_000_000,
                SEMMSL as i32,
                SEMOPM as i32,
                SEMOPM as i32,
                if cmd == SEM_INFO {
                    used.len() as i32
                } else {
                    20
                },
                SEMVMX,
                if cmd == SEM_INFO { sems as i32 } else { SEMVMX },
            ];
            UserPtr::<[i32; 10], Out>::at(arg).write(t, &info)?;
            return Ok(table.highest().0);
        }
        SEM_STAT | SEM_STAT_ANY => {
            let (id, set) = table.at(id)?;
            if cmd == SEM_STAT {
                set.perm().check(&t.creds(), READ)?;
            }
            UserPtr::<SemDs, Out>::at(arg).write(t, &set.stat())?;
            return Ok(id);
        }
        _ => {}
    }
    let set = table.find(id)?;
    match cmd {
        IPC_RMID => {
            set.remove(t)?;
            drop(table.remove(id));
        }
        IPC_SET => {
            let new = UserPtr::<SemDs, In>::at(arg).read(t)?;
            set.change(t, &new)?;
        }
        IPC_STAT => {
            set.perm().check(&t.creds(), READ)?;
            UserPtr::<SemDs, Out>::at(arg).write(t, &set.stat())?;
        }
        _ => return values(t, &set, num, cmd, arg),
    }
    Ok(0)
}

/// Commands on the values.
fn values(t: &Arc<Task>, set: &Set, num: i32, cmd: i32, arg: u64) -> SysResult<i32> {
    const GETPID: i32 = 11;
    const GETVAL: i32 = 12;
    const GETALL: i32 = 13;
    const GETNCNT: i32 = 14;
    const GETZCNT: i32 = 15;
    const SETVAL: i32 = 16;
    const SETALL: i32 = 17;
    let want = match cmd {
        GETPID | GETVAL | GETALL | GETNCNT | GETZCNT => READ,
        SETVAL | SETALL => WRITE,
        _ => return Err(Errno::EINVAL.into()),
    };
    set.perm().check(&t.creds(), want)?;
    match cmd {
        GETALL => {
            UserPtr::<u16, Out>::at(arg).write_array(t, &set.values())?;
        }
        SETALL => {
            let raw = UserPtr::<u16, In>::at(arg).read_array(t, set.len())?;
            let new: Vec<i32> = raw.iter().map(|v| i32::from(*v)).collect();
            set.set_values(t, 0, &new)?;
        }
        SETVAL => {
            let at = usize::try_from(num).map_err(|_| Errno::EINVAL)?;
            #[expect(clippy::cast_possible_truncation, reason = "the argument is an int")]
            let value = arg as i32;
            set.set_values(t, at, &[value])?;
        }
        _ => {
            let (value, pid, ncnt, zcnt) = set.one(t, num)?;
            return Ok(match cmd {
                GETPID => pid,
                GETVAL => value,
                GETNCNT => i32::try_from(ncnt).unwrap_or(i32::MAX),
                _ => i32::try_from(zcnt).unwrap_or(i32::MAX),
            });
        }
    }
    Ok(0)
}
