//! `getpriority(2)`, `setpriority(2)`, `ioprio_get(2)`, `ioprio_set(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::Cap;
use sentry::task::limits::Resource;
use sentry::{Result, SysResult, Task};

use super::may_change;

/// The threads `which` and `who` mean.
fn chosen(t: &Arc<Task>, which: u32, who: i32) -> Result<Vec<Arc<Task>>> {
    let ns = t.pid_ns();
    let list: Vec<Arc<Task>> = match (which, who) {
        (0, 0) => vec![t.clone()],
        (0, tid) => ns.task(tid).into_iter().collect(),
        (1, 0) => members(&t.thread_group().pgrp().members()),
        (1, pgid) => ns
            .pgrp(pgid)
            .map(|p| members(&p.members()))
            .unwrap_or_default(),
        (2, uid) => {
            let uid = match uid {
                0 => t.creds().uid,
                n => n.cast_unsigned(),
            };
            let all = members(&ns.groups()).into_iter();
            all.filter(|t| t.creds().uid == uid).collect()
        }
        _ => return Err(Errno::EINVAL),
    };
    if list.is_empty() {
        return Err(Errno::ESRCH);
    }
    Ok(list)
}

fn members(groups: &[Arc<sentry::task::ThreadGroup>]) -> Vec<Arc<Task>> {
    groups.iter().flat_map(|g| g.tasks()).collect()
}

/// `getpriority(2)`: 20 minus the lowest nice value.
pub fn getpriority(t: &Arc<Task>, which: u32, who: i32) -> SysResult<i32> {
    let list = chosen(t, which, who)?;
    let nice = list.iter().map(|t| t.sched.lock().nice).min();
    Ok(20 - nice.unwrap_or(0))
}

/// `setpriority(2)`.
pub fn setpriority(t: &Arc<Task>, which: u32, who: i32, nice: i32) -> SysResult<()> {
    let nice = nice.clamp(-20, 19);
    for task in chosen(t, which, who)? {
        set_nice(t, &task, nice)?;
    }
    Ok(())
}

/// Sets a nice value: `EPERM` for another user's thread, `EACCES` to raise it beyond
/// `RLIMIT_NICE`.
pub(super) fn set_nice(t: &Arc<Task>, task: &Arc<Task>, nice: i32) -> Result<()> {
    if !may_change(t, task) {
        return Err(Errno::EPERM);
    }
    let old = task.sched.lock().nice;
    if nice < old && !can_nice(t, task, nice) {
        return Err(Errno::EACCES);
    }
    task.sched.lock().nice = nice;
    Ok(())
}

/// Whether a nice value is within `RLIMIT_NICE` or the caller may go beyond it.
pub(super) fn can_nice(t: &Arc<Task>, task: &Arc<Task>, nice: i32) -> bool {
    let wanted = 20i64 - i64::from(nice);
    let limit = i64::try_from(task.limit(Resource::Nice)).unwrap_or(i64::MAX);
    wanted <= limit || t.creds().capable(Cap::SysNice)
}

/// `ioprio_get(2)`.
pub fn ioprio_get(t: &Arc<Task>, which: i32, who: i32) -> SysResult<i32> {
    let list = chosen(t, kind(which)?, who)?;
    let best = list.iter().map(|t| t.sched.lock().ioprio).min();
    Ok(i32::from(best.unwrap_or(0)))
}

/// `ioprio_set(2)`.
pub fn ioprio_set(t: &Arc<Task>, which: i32, who: i32, prio: i32) -> SysResult<()> {
    let (class, level) = (prio >> 13, prio & 0x1fff);
    let prio = u16::try_from(prio).map_err(|_| Errno::EINVAL)?;
    match class {
        1 if !t.creds().capable(Cap::SysAdmin) && !t.creds().capable(Cap::SysNice) => {
            return Err(Errno::EPERM.into());
        }
        0 if level != 0 => return Err(Errno::EINVAL.into()),
        0..=3 => {}
        _ => return Err(Errno::EINVAL.into()),
    }
    for task in chosen(t, kind(which)?, who)? {
        if !may_change(t, &task) {
            return Err(Errno::EPERM.into());
        }
        task.sched.lock().ioprio = prio;
    }
    Ok(())
}

/// `IOPRIO_WHO_*` count from 1 where `PRIO_*` count from 0.
fn kind(which: i32) -> Result<u32> {
    match which {
        1..=3 => Ok(which.cast_unsigned() - 1),
        _ => Err(Errno::EINVAL),
    }
}
