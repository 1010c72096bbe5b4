//! `setsid(2)`, `getsid(2)`, `setpgid(2)`, `getpgid(2)`, `getpgrp(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::task::ThreadGroup;
use sentry::{Result, SysResult, Task};

fn find(t: &Arc<Task>, pid: i32) -> Result<Arc<ThreadGroup>> {
    if pid == 0 {
        return Ok(t.thread_group().clone());
    }
    let task = t.pid_ns().task(pid).map(|t| t.thread_group().clone());
    task.or_else(|| t.pid_ns().group(pid)).ok_or(Errno::ESRCH)
}

/// `getpgrp(2)`.
pub fn getpgrp(t: &Arc<Task>) -> SysResult<i32> {
    Ok(t.thread_group().pgrp().id.nr_in(t.pid_ns()))
}

/// `getpgid(2)`.
pub fn getpgid(t: &Arc<Task>, pid: i32) -> SysResult<i32> {
    Ok(find(t, pid)?.pgrp().id.nr_in(t.pid_ns()))
}

/// `getsid(2)`.
pub fn getsid(t: &Arc<Task>, pid: i32) -> SysResult<i32> {
    Ok(find(t, pid)?.session().id.nr_in(t.pid_ns()))
}

/// `setsid(2)`.
pub fn setsid(t: &Arc<Task>) -> SysResult<i32> {
    Ok(t.thread_group().new_session()?)
}

/// `setpgid(2)`.
pub fn setpgid(t: &Arc<Task>, pid: i32, pgid: i32) -> SysResult<()> {
    let me = t.thread_group();
    let pid = if pid == 0 { me.pid() } else { pid };
    let pgid = if pgid == 0 { pid } else { pgid };
    if pgid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let group = t.pid_ns().group(pid).ok_or(Errno::ESRCH)?;
    Ok(me.move_to_pgrp(&group, pgid)?)
}
