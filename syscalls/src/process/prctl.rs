//! `prctl(2)`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::raw::prctl as raw;
use abi::signal::Signal;
use sentry::creds::{Cap, CapSet, SECBIT_KEEP_CAPS, SECBIT_NO_CAP_AMBIENT_RAISE};
use sentry::task::user_dispatch::UserDispatch;
use sentry::{SysResult, Task};

use crate::arg::{Out, UserBuf, UserCStr, UserPtr};

/// Default timer slack in ns.
const DEFAULT_SLACK: u64 = 50_000;

/// Newer than the list of constants.
const PR_SET_SYSCALL_USER_DISPATCH: u32 = 59;

/// `prctl(2)`.
pub fn prctl(t: &Arc<Task>, option: u32, a2: u64, a3: u64, a4: u64, a5: u64) -> SysResult<i64> {
    match option {
        raw::PR_SET_PDEATHSIG => {
            if a2 > 64 {
                return Err(Errno::EINVAL.into());
            }
            let nr = Signal::new(a2).map_or(0, |s| i32::from(s.raw()));
            t.pdeathsig.store(nr, Ordering::Relaxed);
            Ok(0)
        }
        raw::PR_GET_PDEATHSIG => put(t, a2, t.pdeathsig.load(Ordering::Relaxed)),
        raw::PR_SET_NAME => {
            // Longer names are cut: read up to 16 bytes, whatever ends them.
            let name = read_name(t, a2)?;
            t.set_comm(&name);
            Ok(0)
        }
        raw::PR_GET_NAME => {
            let mut name = t.comm();
            name.resize(16, 0);
            UserBuf(a2).write(t, &name)?;
            Ok(0)
        }
        raw::PR_GET_DUMPABLE => Ok(i64::from(t.thread_group().dumpable())),
        raw::PR_SET_DUMPABLE => {
            if a2 > 1 {
                return Err(Errno::EINVAL.into());
            }
            t.thread_group().set_dumpable(a2 == 1);
            Ok(0)
        }
        raw::PR_SET_CHILD_SUBREAPER => {
            t.thread_group().set_subreaper(a2 != 0);
            Ok(0)
        }
        raw::PR_GET_CHILD_SUBREAPER => put(t, a2, i32::from(t.thread_group().is_subreaper())),
        raw::PR_SET_TIMERSLACK => {
            let slack = if a2 == 0 { DEFAULT_SLACK } else { a2 };
            t.timer_slack.store(slack, Ordering::Relaxed);
            Ok(0)
        }
        raw::PR_GET_TIMERSLACK => {
            Ok(i64::try_from(t.timer_slack.load(Ordering::Relaxed)).unwrap_or(i64::MAX))
        }
        raw::PR_SET_TIMING if a2 == 0 => Ok(0),
        raw::PR_GET_TIMING => Ok(0),
        raw::PR_GET_TSC => put(t, a2, 1),
        raw::PR_SET_TSC if a2 == 1 => Ok(0),
        raw::PR_GET_SECCOMP => Ok(i64::from(t.seccomp().number())),
        raw::PR_SET_SECCOMP => super::seccomp::set_mode(t, a2, a3),
        raw::PR_SET_MM if !t.creds().capable(Cap::SysResource) => Err(Errno::EPERM.into()),
        raw::PR_MCE_KILL_GET if a2 | a3 | a4 | a5 == 0 => Ok(i64::from(raw::PR_MCE_KILL_DEFAULT)),
        raw::PR_GET_THP_DISABLE if a2 | a3 | a4 | a5 == 0 => Ok(0),
        raw::PR_GET_TID_ADDRESS => {
            let at = t.clear_child_tid.load(Ordering::SeqCst);
            UserPtr::<u64, Out>::at(a2).write(t, &at)?;
            Ok(0)
        }
        PR_SET_SYSCALL_USER_DISPATCH => user_dispatch(t, a2, [a3, a4, a5]),
        _ => credentials(t, option, a2, a3, (a4, a5)),
    }
}

/// `PR_SET_SYSCALL_USER_DISPATCH`.
fn user_dispatch(t: &Arc<Task>, mode: u64, args: [u64; 3]) -> SysResult<i64> {
    const OFF: u64 = 0;
    const ON: u64 = 1;
    let [offset, len, selector] = args;
    let wanted = match mode {
        OFF if args == [0; 3] => None,
        ON => Some(UserDispatch {
            offset,
            len,
            selector,
        }),
        _ => return Err(Errno::EINVAL.into()),
    };
    t.set_user_dispatch(wanted)?;
    Ok(0)
}

fn put(t: &Arc<Task>, at: u64, value: i32) -> SysResult<i64> {
    UserPtr::<i32, Out>::at(at).write(t, &value)?;
    Ok(0)
}

/// Reads a thread name: at most 15 bytes count.
fn read_name(t: &Arc<Task>, at: u64) -> sentry::Result<Vec<u8>> {
    match UserCStr(at).read(t, 15) {
        Err(Errno::ENAMETOOLONG) => UserBuf(at).read(t, 15),
        name => name,
    }
}

/// The options on credentials.
fn credentials(
    t: &Arc<Task>,
    option: u32,
    a2: u64,
    a3: u64,
    (a4, a5): (u64, u64),
) -> SysResult<i64> {
    let old = t.creds();
    let mut new = (*old).clone();
    match option {
        raw::PR_SET_NO_NEW_PRIVS => {
            if a2 != 1 || a3 | a4 | a5 != 0 {
                return Err(Errno::EINVAL.into());
            }
            new.no_new_privs = true;
        }
        raw::PR_GET_NO_NEW_PRIVS => {
            if a2 | a3 | a4 | a5 != 0 {
                return Err(Errno::EINVAL.into());
            }
            return Ok(i64::from(old.no_new_privs));
        }
        raw::PR_GET_KEEPCAPS => return Ok(i64::from(old.securebits & SECBIT_KEEP_CAPS != 0)),
        raw::PR_SET_KEEPCAPS => {
            if a2 > 1 {
                return Err(Errno::EINVAL.into());
            }
            if old.securebits & (SECBIT_KEEP_CAPS << 1) != 0 {
                return Err(Errno::EPERM.into());
            }
            new.securebits &= !SECBIT_KEEP_CAPS;
            if a2 == 1 {
                new.securebits |= SECBIT_KEEP_CAPS;
            }
        }
        raw::PR_GET_SECUREBITS => return Ok(i64::from(old.securebits)),
        raw::PR_SET_SECUREBITS => {
            new.securebits = checked_securebits(old.securebits, a2, old.own_capable(Cap::Setpcap))?;
        }
        raw::PR_CAPBSET_READ => return Ok(i64::from(old.bounding.0 & bit(a2)? != 0)),
        raw::PR_CAPBSET_DROP => {
            if !old.own_capable(Cap::Setpcap) {
                return Err(Errno::EPERM.into());
            }
            new.bounding = CapSet(old.bounding.0 & !bit(a2)?);
        }
        raw::PR_CAP_AMBIENT => return ambient(t, a2, a3, (a4, a5)),
        _ => return Err(Errno::EINVAL.into()),
    }
    t.set_creds(new);
    Ok(0)
}

fn bit(cap: u64) -> sentry::Result<u64> {
    if cap > 40 {
        return Err(Errno::EINVAL);
    }
    Ok(1 << cap)
}

/// Locked bits stay, unknown ones are refused.
fn checked_securebits(old: u32, wanted: u64, capable: bool) -> sentry::Result<u32> {
    let wanted = u32::try_from(wanted).map_err(|_| Errno::EPERM)?;
    let locked = (old & 0xaa) >> 1;
    if (old ^ wanted) & locked != 0 || old & 0xaa & !wanted != 0 || wanted & !0xff != 0 || !capable
    {
        return Err(Errno::EPERM);
    }
    Ok(wanted)
}

/// `PR_CAP_AMBIENT`.
fn ambient(t: &Arc<Task>, what: u64, cap: u64, (a4, a5): (u64, u64)) -> SysResult<i64> {
    let old = t.creds();
    let mut new = (*old).clone();
    if a4 | a5 != 0 {
        return Err(Errno::EINVAL.into());
    }
    let what = u32::try_from(what).map_err(|_| Errno::EINVAL)?;
    if what == raw::PR_CAP_AMBIENT_CLEAR_ALL {
        if cap != 0 {
            return Err(Errno::EINVAL.into());
        }
        new.ambient = CapSet::default();
        t.set_creds(new);
        return Ok(0);
    }
    let bit = bit(cap)?;
    match what {
        raw::PR_CAP_AMBIENT_IS_SET => return Ok(i64::from(old.ambient.0 & bit != 0)),
        raw::PR_CAP_AMBIENT_RAISE => {
            if old.permitted.0 & old.inheritable.0 & bit == 0
                || old.securebits & SECBIT_NO_CAP_AMBIENT_RAISE != 0
            {
                return Err(Errno::EPERM.into());
            }
            new.ambient = CapSet(old.ambient.0 | bit);
        }
        raw::PR_CAP_AMBIENT_LOWER => new.ambient = CapSet(old.ambient.0 & !bit),
        _ => return Err(Errno::EINVAL.into()),
    }
    t.set_creds(new);
    Ok(0)
}
