//! `sched_setscheduler(2)` and relatives. The host schedules guest threads as ordinary ones;
//! what a guest sets is kept and reported, and real-time policies are refused.

use std::sync::Arc;

use abi::Errno;
use abi::time::Timespec;
use sentry::creds::Cap;
use sentry::{Result, SysResult, Task};

use super::{find, may_change};
use crate::arg::{In, Out, UserBuf, UserPtr};

const FIFO: i32 = 1;
const RR: i32 = 2;
const BATCH: i32 = 3;
const IDLE: i32 = 5;
const RESET_ON_FORK: i32 = 0x4000_0000;

/// `sched_setscheduler(2)`.
pub fn sched_setscheduler(
    t: &Arc<Task>,
    tid: i32,
    policy: i32,
    param: UserPtr<i32, In>,
) -> SysResult<()> {
    if policy < 0 || tid < 0 || param.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let priority = param.read(t)?;
    let task = find(t, tid)?;
    Ok(set(t, &task, policy, priority)?)
}

/// `sched_setparam(2)`.
pub fn sched_setparam(t: &Arc<Task>, tid: i32, param: UserPtr<i32, In>) -> SysResult<()> {
    if tid < 0 || param.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let priority = param.read(t)?;
    let task = find(t, tid)?;
    let policy = task.sched.lock().policy;
    Ok(set(t, &task, policy, priority)?)
}

fn set(t: &Arc<Task>, task: &Arc<Task>, policy: i32, priority: i32) -> Result<()> {
    let (policy, reset) = (policy & !RESET_ON_FORK, policy & RESET_ON_FORK != 0);
    match policy {
        0 | BATCH | IDLE if priority == 0 => {}
        FIFO | RR if (1..=99).contains(&priority) => {
            if !t.creds().capable(Cap::SysNice) {
                return Err(Errno::EPERM);
            }
        }
        _ => return Err(Errno::EINVAL),
    }
    if !may_change(t, task) {
        return Err(Errno::EPERM);
    }
    let old = *task.sched.lock();
    if old.policy == IDLE && policy != IDLE && !super::priority::can_nice(t, task, old.nice)
        || old.reset_on_fork && !reset && !t.creds().capable(Cap::SysNice)
    {
        return Err(Errno::EPERM);
    }
    let mut s = task.sched.lock();
    s.policy = policy;
    s.priority = priority;
    s.reset_on_fork = reset;
    Ok(())
}

/// `sched_getscheduler(2)`.
pub fn sched_getscheduler(t: &Arc<Task>, tid: i32) -> SysResult<i32> {
    let s = *find(t, tid)?.sched.lock();
    Ok(s.policy | if s.reset_on_fork { RESET_ON_FORK } else { 0 })
}

/// `sched_getparam(2)`.
pub fn sched_getparam(t: &Arc<Task>, tid: i32, param: UserPtr<i32, Out>) -> SysResult<()> {
    if param.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let priority = find(t, tid)?.sched.lock().priority;
    Ok(param.write(t, &priority)?)
}

/// `sched_get_priority_max(2)`.
pub fn sched_get_priority_max(_t: &Arc<Task>, policy: i32) -> SysResult<i32> {
    match policy {
        FIFO | RR => Ok(99),
        // Deadline, and a policy by BPF, which this kernel could know.
        0 | BATCH | IDLE | 6 | 7 => Ok(0),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `sched_get_priority_min(2)`.
pub fn sched_get_priority_min(t: &Arc<Task>, policy: i32) -> SysResult<i32> {
    sched_get_priority_max(t, policy).map(|max| max.min(1))
}

/// `sched_rr_get_interval(2)`.
pub fn sched_rr_get_interval(
    t: &Arc<Task>,
    tid: i32,
    interval: UserPtr<Timespec, Out>,
) -> SysResult<()> {
    let policy = find(t, tid)?.sched.lock().policy;
    let nsec = match policy {
        RR => 100_000_000,
        FIFO => 0,
        _ => 4_000_000,
    };
    Ok(interval.write(t, &Timespec { sec: 0, nsec })?)
}

/// Size of the first `struct sched_attr`.
const ATTR_SIZE: usize = 48;

/// `sched_getattr(2)`.
pub fn sched_getattr(
    t: &Arc<Task>,
    tid: i32,
    attr: UserBuf,
    size: u32,
    flags: u32,
) -> SysResult<()> {
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    if tid < 0 || flags != 0 || !(ATTR_SIZE..=4096).contains(&size) {
        return Err(Errno::EINVAL.into());
    }
    let s = *find(t, tid)?.sched.lock();
    let mut out = [0u8; ATTR_SIZE];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(dst) = out.get_mut(at..at + bytes.len()) {
            dst.copy_from_slice(bytes);
        }
    };
    put(0, &48u32.to_ne_bytes());
    put(4, &s.policy.to_ne_bytes());
    put(8, &u64::from(s.reset_on_fork).to_ne_bytes());
    put(16, &s.nice.to_ne_bytes());
    put(20, &s.priority.to_ne_bytes());
    attr.write(t, &out)?;
    Ok(())
}

/// `sched_setattr(2)`.
pub fn sched_setattr(t: &Arc<Task>, tid: i32, attr: UserBuf, flags: u32) -> SysResult<()> {
    if tid < 0 || flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let bytes = attr.read(t, ATTR_SIZE)?;
    let word = |at: usize| {
        let b = bytes.get(at..).and_then(|b| b.first_chunk::<4>());
        b.map_or(0, |b| i32::from_ne_bytes(*b))
    };
    let size = usize::try_from(word(0)).map_err(|_| Errno::EINVAL)?;
    if size != 0 && size < ATTR_SIZE {
        return Err(Errno::E2BIG.into());
    }
    let policy = word(4);
    let task = find(t, tid)?;
    let reset = if word(8) & 1 != 0 { RESET_ON_FORK } else { 0 };
    let nice = word(16).clamp(-20, 19);
    let sets_nice = policy == 0 || policy == BATCH;
    let lower = nice < task.sched.lock().nice;
    if sets_nice && lower && !super::priority::can_nice(t, &task, nice) {
        return Err(Errno::EPERM.into());
    }
    set(t, &task, policy | reset, word(20))?;
    if sets_nice {
        task.sched.lock().nice = nice;
    }
    Ok(())
}
