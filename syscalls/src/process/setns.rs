//! `setns(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::raw::general as raw;
use sentry::creds::Cap;
use sentry::fs::FsContext;
use sentry::task::namespace::{Namespace, NsFile, NsKind};
use sentry::task::pidfd::PidFd;
use sentry::{Result, SysResult, Task};

use crate::arg::Fd;

/// What may be asked of a pidfd.
const KNOWN: u32 = raw::CLONE_NEWNS
    | raw::CLONE_NEWUTS
    | raw::CLONE_NEWIPC
    | raw::CLONE_NEWNET
    | raw::CLONE_NEWUSER
    | raw::CLONE_NEWPID
    | raw::CLONE_NEWCGROUP
    | raw::CLONE_NEWTIME;

/// `setns(2)`.
pub fn setns(t: &Arc<Task>, fd: Fd, flags: u32) -> SysResult<()> {
    let file = t.files().get(fd.0)?;
    if let Some(ns) = NsFile::namespace_of(&file) {
        if flags != 0 && flags != ns.kind().flag() {
            return Err(Errno::EINVAL.into());
        }
        check(t, &ns)?;
        return Ok(enter(t, ns)?);
    }
    let group = PidFd::group_of(&file).map_err(|_| Errno::EINVAL)?;
    if flags == 0 || flags & !KNOWN != 0 {
        return Err(Errno::EINVAL.into());
    }
    let task = group.main_task().ok_or(Errno::ESRCH)?;
    t.may_inspect(&task)?;
    // All or nothing.
    let wanted: Vec<Namespace> = NsKind::ALL
        .iter()
        .filter(|k| flags & k.flag() != 0)
        .map(|k| Namespace::of(&task, *k))
        .collect::<Result<_>>()?;
    wanted.iter().try_for_each(|ns| check(t, ns))?;
    Ok(wanted.into_iter().try_for_each(|ns| enter(t, ns))?)
}

/// Whether `t` may enter: `EPERM`, and the `EINVAL` and `EUSERS` of each kind.
fn check(t: &Arc<Task>, ns: &Namespace) -> Result<()> {
    let creds = t.creds();
    match ns.kind() {
        // Nobody gains capabilities by entering where he is.
        NsKind::User => return Err(Errno::EINVAL),
        NsKind::Time if t.thread_group().thread_count() > 1 => return Err(Errno::EUSERS),
        _ => {}
    }
    if !creds.capable(Cap::SysAdmin) {
        return Err(Errno::EPERM);
    }
    if ns.kind() == NsKind::Mnt {
        if !creds.capable(Cap::SysChroot) {
            return Err(Errno::EPERM);
        }
        // One reference is the task's, one this function's.
        if Arc::strong_count(&t.fs()) > 2 {
            return Err(Errno::EINVAL);
        }
    }
    Ok(())
}

fn enter(t: &Arc<Task>, ns: Namespace) -> Result<()> {
    match ns {
        Namespace::Uts(uts) => t.set_uts(uts),
        Namespace::Mnt(mounts) => {
            let root = mounts.root();
            let umask = t.fs().umask();
            t.set_fs(Arc::new(FsContext::new(root.clone(), root, umask)));
        }
        Namespace::Only(_) => {}
    }
    Ok(())
}
