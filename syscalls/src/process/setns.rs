//! `setns(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::raw::general as raw;
use sentry::creds::{Cap, Creds};
use sentry::fs::FsContext;
use sentry::task::NsProxy;
use sentry::task::namespace::{Namespace, NsFile, NsKind};
use sentry::task::pidfd::PidFd;
use sentry::userns::UserNs;
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
        check(t, &t.creds(), &ns)?;
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
    let joined = wanted.iter().find_map(|ns| match ns {
        Namespace::User(user) => Some(t.creds().entering(user.clone())),
        _ => None,
    });
    let creds = joined.map_or_else(|| t.creds(), Arc::new);
    wanted.iter().try_for_each(|ns| check(t, &creds, ns))?;
    Ok(wanted.into_iter().try_for_each(|ns| enter(t, ns))?)
}

/// Whether `t` may enter: `EPERM`, and the `EINVAL` and `EUSERS` of each kind.
fn check(t: &Arc<Task>, creds: &Creds, ns: &Namespace) -> Result<()> {
    match ns.kind() {
        NsKind::Time if t.thread_group().thread_count() > 1 => return Err(Errno::EUSERS),
        _ => {}
    }
    if let Namespace::User(user) = ns {
        return check_user(t, user);
    }
    let owner = ns.owner().unwrap_or_default();
    if !creds.ns_capable(&owner, Cap::SysAdmin) || !creds.own_capable(Cap::SysAdmin) {
        return Err(Errno::EPERM);
    }
    // Only into the own one and those below it.
    if let Namespace::Pid(pids) = ns
        && !pids.within(t.pid_ns())
    {
        return Err(Errno::EINVAL);
    }
    if ns.kind() == NsKind::Mnt {
        if !creds.own_capable(Cap::SysChroot) {
            return Err(Errno::EPERM);
        }
        // One reference is the task's, one this function's.
        if Arc::strong_count(&t.fs()) > 2 {
            return Err(Errno::EINVAL);
        }
    }
    Ok(())
}

/// The same for a user namespace: not the caller's own, whom nothing is shared with.
fn check_user(t: &Arc<Task>, user: &UserNs) -> Result<()> {
    let creds = t.creds();
    let alone = t.thread_group().thread_count() == 1 && Arc::strong_count(&t.fs()) <= 2;
    // Nobody gains capabilities by entering where he is.
    if *user == creds.user_ns || !alone {
        return Err(Errno::EINVAL);
    }
    if !creds.ns_capable(user, Cap::SysAdmin) {
        return Err(Errno::EPERM);
    }
    Ok(())
}

fn enter(t: &Arc<Task>, ns: Namespace) -> Result<()> {
    match ns {
        Namespace::User(user) => t.set_creds(t.creds().entering(user)),
        Namespace::Uts(uts) => t.set_namespaces(NsProxy {
            uts,
            ..t.namespaces()
        }),
        Namespace::Ipc(ipc) => {
            t.ipc().exit(t.thread_group());
            t.set_namespaces(NsProxy {
                ipc,
                ..t.namespaces()
            });
        }
        Namespace::Net(net) => t.set_namespaces(NsProxy {
            net,
            ..t.namespaces()
        }),
        Namespace::Cgroup(cgroup) => t.set_namespaces(NsProxy {
            cgroup,
            ..t.namespaces()
        }),
        Namespace::Mnt(mounts) => {
            let root = mounts.root();
            let umask = t.fs().umask();
            t.set_fs(Arc::new(FsContext::new(root.clone(), root, umask)));
        }
        Namespace::Pid(pid_for_children) => t.set_namespaces(NsProxy {
            pid_for_children,
            ..t.namespaces()
        }),
        Namespace::Time(time) => t.join_time(time)?,
    }
    Ok(())
}
