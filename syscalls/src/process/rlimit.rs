//! `getrlimit(2)`, `setrlimit(2)`, `prlimit64(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::Cap;
use sentry::task::ThreadGroup;
use sentry::task::limits::{RLimit, Resource};
use sentry::{Result, SysResult, Task};

use crate::arg::{In, Out, UserPtr};

/// Most `RLIMIT_NOFILE` may be raised to (`/proc/sys/fs/nr_open`).
const NR_OPEN: u64 = 1_048_576;

/// `getrlimit(2)`.
pub fn getrlimit(t: &Arc<Task>, resource: u32, limit: UserPtr<RLimit, Out>) -> SysResult<()> {
    let r = Resource::from_raw(resource).ok_or(Errno::EINVAL)?;
    Ok(limit.write(t, &t.thread_group().limit(r))?)
}

/// `setrlimit(2)`.
pub fn setrlimit(t: &Arc<Task>, resource: u32, limit: UserPtr<RLimit, In>) -> SysResult<()> {
    let new = limit.read(t)?;
    let r = Resource::from_raw(resource).ok_or(Errno::EINVAL)?;
    Ok(set(t, t.thread_group(), r, new)?)
}

/// `prlimit64(2)`.
pub fn prlimit64(
    t: &Arc<Task>,
    pid: i32,
    resource: u32,
    new: UserPtr<RLimit, In>,
    old: UserPtr<RLimit, Out>,
) -> SysResult<()> {
    let new = new.non_null().map(|p| p.read(t)).transpose()?;
    let group = target(t, pid)?;
    let r = Resource::from_raw(resource).ok_or(Errno::EINVAL)?;
    let before = group.limit(r);
    if let Some(new) = new {
        set(t, &group, r, new)?;
    }
    old.write_opt(t, &before)?;
    Ok(())
}

fn target(t: &Arc<Task>, pid: i32) -> Result<Arc<ThreadGroup>> {
    if pid == 0 || pid == t.pid() {
        return Ok(t.thread_group().clone());
    }
    let task = t.pid_ns().task(pid).ok_or(Errno::ESRCH)?;
    let (me, other) = (t.creds(), task.creds());
    let same_user = [other.uid, other.euid, other.suid]
        .iter()
        .all(|&u| u == me.uid);
    let same_group = [other.gid, other.egid, other.sgid]
        .iter()
        .all(|&g| g == me.gid);
    if !(me.ns_capable(&other.user_ns, Cap::SysResource) || same_user && same_group) {
        return Err(Errno::EPERM);
    }
    Ok(task.thread_group().clone())
}

fn set(t: &Arc<Task>, group: &ThreadGroup, r: Resource, new: RLimit) -> Result<()> {
    if new.soft > new.hard {
        return Err(Errno::EINVAL);
    }
    if r == Resource::Nofile && new.hard > NR_OPEN {
        return Err(Errno::EPERM);
    }
    let may_raise = t.creds().capable(Cap::SysResource);
    group.set_limit(r, new, may_raise)
}
