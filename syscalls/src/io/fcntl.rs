//! `fcntl(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::fs::Flock;
use sentry::fs::file::Owner;
use sentry::fs::pipe::PipeEnd;
use sentry::fs::vfs::perm;
use sentry::fs::{File, OpenFlags, dnotify, lease};
use sentry::task::limits::Resource;
use sentry::{Result, SysResult, Task};

use super::lock;
use crate::arg::{Fd, In, Out, UserPtr};

const F_DUPFD: u32 = 0;
const F_GETFD: u32 = 1;
const F_SETFD: u32 = 2;
const F_GETFL: u32 = 3;
const F_SETFL: u32 = 4;
const F_GETLK: u32 = 5;
const F_SETLK: u32 = 6;
const F_SETLKW: u32 = 7;
pub(super) const F_SETOWN: u32 = 8;
pub(super) const F_GETOWN: u32 = 9;
const F_SETSIG: u32 = 10;
const F_GETSIG: u32 = 11;
const F_SETOWN_EX: u32 = 15;
const F_GETOWN_EX: u32 = 16;
const F_OFD_GETLK: u32 = 36;
const F_OFD_SETLK: u32 = 37;
const F_OFD_SETLKW: u32 = 38;
const F_SETLEASE: u32 = 1024;
const F_GETLEASE: u32 = 1025;
const F_DUPFD_QUERY: u32 = 1027;
const F_DUPFD_CLOEXEC: u32 = 1030;
const F_NOTIFY: u32 = 1026;
const F_SETPIPE_SZ: u32 = 1031;
const F_GETPIPE_SZ: u32 = 1032;
const F_GET_RW_HINT: u32 = 1035;

/// `fcntl(2)`.
pub fn fcntl(t: &Arc<Task>, fd: Fd, cmd: u32, arg: u64) -> SysResult<i64> {
    let file = t.files().get(fd.0)?;
    match cmd {
        F_DUPFD | F_DUPFD_CLOEXEC => return dup(t, file, arg, cmd == F_DUPFD_CLOEXEC),
        F_GETFD => return Ok(i64::from(t.files().cloexec(fd.0)?)),
        F_SETFD => {
            t.files().set_cloexec(fd.0, arg & 1 != 0)?;
            return Ok(0);
        }
        F_GETFL => return Ok(i64::from(file.flags().bits())),
        F_DUPFD_QUERY => {
            let other = i32::try_from(arg).map_err(|_| Errno::EBADF)?;
            let same = Arc::ptr_eq(&file, &t.files().get(other)?);
            return Ok(i64::from(same));
        }
        _ if file.flags().contains(OpenFlags::PATH) => return Err(Errno::EBADF.into()),
        _ => {}
    }
    match cmd {
        F_SETFL => set_flags(t, fd, &file, arg).map(|()| 0).map_err(Into::into),
        F_GETLK | F_OFD_GETLK => {
            let raw = UserPtr::<Flock, In>::at(arg).read(t)?;
            let found = lock::get(t, &file, &raw, cmd == F_OFD_GETLK)?;
            UserPtr::<Flock, Out>::at(arg).write(t, &found)?;
            Ok(0)
        }
        F_SETLK | F_SETLKW | F_OFD_SETLK | F_OFD_SETLKW => {
            let raw = UserPtr::<Flock, In>::at(arg).read(t)?;
            let wait = matches!(cmd, F_SETLKW | F_OFD_SETLKW);
            let ofd = matches!(cmd, F_OFD_SETLK | F_OFD_SETLKW);
            lock::set(t, fd, file, &raw, ofd, wait)
        }
        F_SETOWN | F_GETOWN | F_SETSIG | F_GETSIG | F_SETOWN_EX | F_GETOWN_EX => {
            signal_owner(t, &file, cmd, arg)
        }
        F_GETPIPE_SZ | F_SETPIPE_SZ => {
            let pipe = file.downcast::<PipeEnd>().ok_or(Errno::EBADF)?;
            let size = match cmd {
                F_GETPIPE_SZ => pipe.capacity(),
                _ => pipe.set_capacity(arg & 0xffff_ffff, &t.creds())?,
            };
            Ok(size as i64)
        }
        F_NOTIFY => {
            dnotify::notify(t, fd.0, &file, arg)?;
            Ok(0)
        }
        // Hints about the life of data: there is nothing to do with them.
        F_GET_RW_HINT if file.inode().is_some() => {
            UserPtr::<u64, Out>::at(arg).write(t, &0)?;
            Ok(0)
        }
        F_SETLEASE => {
            lease::set(t, fd.0, &file, arg)?;
            Ok(0)
        }
        F_GETLEASE => Ok(lease::get(t, &file)),
        _ => file.ops.fcntl(&file.cx(Some(t)), cmd, arg),
    }
}

fn dup(t: &Arc<Task>, file: Arc<File>, min: u64, cloexec: bool) -> SysResult<i64> {
    let limit = t.limit(Resource::Nofile);
    let min = (min & 0xffff_ffff) as u32;
    let min = i32::try_from(min).map_err(|_| Errno::EINVAL)?;
    if u64::try_from(min).map_or(true, |m| m >= limit) {
        return Err(Errno::EINVAL.into());
    }
    let fd = t.files().install(file, min, cloexec, limit)?;
    Ok(i64::from(fd))
}

fn set_flags(t: &Arc<Task>, fd: Fd, file: &Arc<File>, arg: u64) -> Result<()> {
    let changeable = OpenFlags::APPEND
        | OpenFlags::NONBLOCK
        | OpenFlags::ASYNC
        | OpenFlags::DIRECT
        | OpenFlags::NOATIME;
    let wanted = OpenFlags::from_bits_retain((arg & 0xffff_ffff) as u32);
    let gains = wanted - file.flags();
    if gains.contains(OpenFlags::NOATIME)
        && let Some(inode) = file.inode()
        && !perm::owns(&t.creds(), &inode.attr()?)
    {
        return Err(Errno::EPERM);
    }
    let flags = (file.flags() - changeable) | (wanted & changeable);
    file.ops.set_flags(flags)?;
    // What does no signal-driven I/O does not show the flag either.
    let on = wanted.contains(OpenFlags::ASYNC);
    let toggled = on != file.flags().contains(OpenFlags::ASYNC);
    let wanted = if toggled && !file.set_async(fd.0, on) {
        wanted - OpenFlags::ASYNC
    } else {
        wanted
    };
    file.set_status(changeable, wanted);
    Ok(())
}

/// The owner a number means; `ESRCH` for one that there is not; 0 takes the owner off.
fn owner(t: &Arc<Task>, kind: i32, id: i32) -> Result<Owner> {
    let ns = t.pid_ns();
    let found = match kind {
        _ if id == 0 => Some(Owner::Nobody),
        0 => ns.task(id).map(|t| Owner::Thread(t.weak())),
        1 => ns.group(id).map(|g| Owner::Process(g.weak())),
        _ => ns.pgrp(id).map(|p| Owner::Group(Arc::downgrade(&p))),
    };
    // A number that is in use for something else passes, and means nobody.
    let used = || ns.task(id).is_some() || ns.group(id).is_some() || ns.pgrp(id).is_some();
    let found = found.or_else(|| used().then_some(Owner::Nobody));
    found.ok_or(Errno::ESRCH)
}

/// `F_SETOWN`, `F_SETOWN_EX`.
fn set_owner(t: &Arc<Task>, file: &Arc<File>, kind: i32, id: i32) -> Result<()> {
    let who = owner(t, kind, id)?;
    let creds = t.creds();
    {
        let mut now = file.signal_owner.lock();
        (now.kind, now.who) = (kind, who);
        now.set_by = (creds.uid, creds.euid);
    }
    file.tell_urgent();
    Ok(())
}

/// Who is told by a signal; stored and given back.
pub(super) fn signal_owner(t: &Arc<Task>, file: &Arc<File>, cmd: u32, arg: u64) -> SysResult<i64> {
    let now = file.signal_owner.lock().clone();
    let shown = now.who.nr_in(t.pid_ns());
    match cmd {
        F_SETOWN => {
            let raw = (arg & 0xffff_ffff) as u32 as i32;
            let (kind, id) = if raw < 0 {
                (2, raw.checked_neg().ok_or(Errno::EINVAL)?)
            } else {
                (1, raw)
            };
            set_owner(t, file, kind, id)?;
        }
        F_GETOWN => {
            let id = i64::from(shown);
            return Ok(if now.kind == 2 { -id } else { id });
        }
        F_SETSIG => {
            let signal = i32::try_from(arg).map_err(|_| Errno::EINVAL)?;
            if !(0..=64).contains(&signal) {
                return Err(Errno::EINVAL.into());
            }
            file.signal_owner.lock().signal = signal;
        }
        F_GETSIG => return Ok(i64::from(now.signal)),
        F_SETOWN_EX => {
            let [kind, id] = UserPtr::<[i32; 2], In>::at(arg).read(t)?;
            if !(0..=2).contains(&kind) {
                return Err(Errno::EINVAL.into());
            }
            set_owner(t, file, kind, id)?;
        }
        _ => {
            let pair = [now.kind, shown];
            UserPtr::<[i32; 2], Out>::at(arg).write(t, &pair)?;
        }
    }
    Ok(0)
}
