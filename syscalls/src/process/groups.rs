//! `getgroups(2)`, `setgroups(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::Cap;
use sentry::{SysResult, Task};

use crate::arg::{In, Out, UserPtr};

/// Most supplementary groups (`NGROUPS_MAX`).
const MAX: usize = 65_536;

/// `getgroups(2)`.
pub fn getgroups(t: &Arc<Task>, size: i32, list: UserPtr<u32, Out>) -> SysResult<usize> {
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    let creds = t.creds();
    let shown = |g: &u32| creds.user_ns.shown_gid(*g);
    let groups: Vec<u32> = creds.groups.iter().map(shown).collect();
    if size != 0 {
        if size < groups.len() {
            return Err(Errno::EINVAL.into());
        }
        if !groups.is_empty() {
            list.write_array(t, &groups)?;
        }
    }
    Ok(groups.len())
}

/// `setgroups(2)`.
pub fn setgroups(t: &Arc<Task>, size: i32, list: UserPtr<u32, In>) -> SysResult<()> {
    let old = t.creds();
    if !old.own_capable(Cap::Setgid) || !old.user_ns.may_setgroups() {
        return Err(Errno::EPERM.into());
    }
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    if size > MAX {
        return Err(Errno::EINVAL.into());
    }
    let mut groups = list.read_array(t, size)?;
    for group in &mut groups {
        *group = old.user_ns.gid_to_kernel(*group).ok_or(Errno::EINVAL)?;
    }
    groups.sort_unstable();
    let mut new = (*old).clone();
    new.groups = Arc::from(groups);
    t.set_creds(new);
    Ok(())
}
