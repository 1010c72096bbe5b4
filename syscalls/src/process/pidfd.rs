//! `pidfd_open(2)`, `pidfd_send_signal(2)`, `pidfd_getfd(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::signal::{SigInfo, Signal};
use sentry::fs::proc::process_of;
use sentry::fs::{File, OpenFlags};
use sentry::signal::{info, send};
use sentry::task::group::ThreadGroup;
use sentry::task::limits::Resource;
use sentry::task::pidfd::PidFd;
use sentry::{Result, SysResult, Task};
use zerocopy::FromBytes;

use crate::arg::{Fd, In, UserPtr};
use crate::signal::kill::{from_sender, may_signal, pid_for, uid_for};

/// `pidfd_open(2)`.
pub fn pidfd_open(t: &Arc<Task>, pid: i32, flags: u32) -> SysResult<Fd> {
    let nonblock = OpenFlags::NONBLOCK.bits();
    if flags & !nonblock != 0 || pid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let group = match t.pid_ns().group(pid) {
        Some(g) => g,
        // A thread that is no leader has no process file.
        None if t.pid_ns().task(pid).is_some() => return Err(Errno::EINVAL.into()),
        None => return Err(Errno::ESRCH.into()),
    };
    let file = PidFd::file(&group, OpenFlags::from_bits_truncate(flags));
    let limit = t.limit(Resource::Nofile);
    Ok(Fd(t.files().install(file, 0, true, limit)?))
}

/// The process that a pidfd or a descriptor of its `/proc/PID` stands for; `EBADF`.
fn target(file: &File) -> Result<Arc<ThreadGroup>> {
    match (PidFd::group_of(file), file.inode()) {
        (Err(_), Some(inode)) => process_of(&*inode),
        (group, _) => group,
    }
}

/// `pidfd_send_signal(2)`.
pub fn pidfd_send_signal(
    t: &Arc<Task>,
    fd: Fd,
    signal: u32,
    siginfo: UserPtr<[u8; 128], In>,
    flags: u32,
) -> SysResult<()> {
    if flags & !7 != 0 || flags.count_ones() > 1 {
        return Err(Errno::EINVAL.into());
    }
    let group = target(&*t.files().get(fd.0)?)?;
    let given = match siginfo.non_null() {
        None => None,
        Some(p) => {
            let bytes = p.read(t)?;
            let i = SigInfo::read_from_bytes(&bytes).map_err(|_| Errno::EINVAL)?;
            if u32::try_from(i.signo) != Ok(signal) {
                return Err(Errno::EINVAL.into());
            }
            let myself = Arc::ptr_eq(&group, t.thread_group());
            if !myself && (i.code >= 0 || i.code == info::SI_TKILL) {
                return Err(Errno::EPERM.into());
            }
            Some(i)
        }
    };
    if signal > 64 {
        return Err(Errno::EINVAL.into());
    }
    let seen = group.pid_in(t.pid_ns());
    if seen == 0 {
        // Nobody names a process of another namespace.
        return Err(Errno::EINVAL.into());
    }
    if group.is_zombie() && group.main_task().is_none() && t.pid_ns().group(seen).is_none() {
        return Err(Errno::ESRCH.into());
    }
    let Some(signal_nr) = Signal::new(u64::from(signal)) else {
        return may_signal(t, &group, None).map_err(Into::into);
    };
    may_signal(t, &group, Some(signal_nr))?;
    let made = info::user(signal_nr, pid_for(t, &group), uid_for(t, &group));
    let info = given.map_or(made, |i| from_sender(t, &group, i));
    let origin = send::Origin::of(t.thread_group(), &group);
    Ok(send::to_group(&group, info, origin)?)
}

/// `pidfd_getfd(2)`.
pub fn pidfd_getfd(t: &Arc<Task>, fd: Fd, target: Fd, flags: u32) -> SysResult<Fd> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let group = PidFd::group_of(&*t.files().get(fd.0)?)?;
    let other = group.main_task().ok_or(Errno::ESRCH)?;
    t.may_inspect(&other)?;
    let file = other.files().get(target.0)?;
    let limit = t.limit(Resource::Nofile);
    Ok(Fd(t.files().install(file, 0, true, limit)?))
}
