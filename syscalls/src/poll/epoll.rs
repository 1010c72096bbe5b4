//! `epoll_create(2)`, `epoll_ctl(2)`, `epoll_wait(2)` and their variants.

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;
use abi::fs::PollEvents;
use abi::signal::SigSet;
use abi::time::Timespec;
use sentry::fs::epoll::{Epoll, EpollEvent, EpollFile, of_file};
use sentry::fs::{File, OpenFlags};
use sentry::retry::{Attempt, Registrations, retry, watch_one};
use sentry::task::limits::Resource;
use sentry::wait::Waker;
use sentry::{OnSignal, SysResult, Task};

use super::mask;
use crate::arg::{Fd, In, Out, UserPtr};
use crate::io;

/// Most events of one wait (`EP_MAX_EVENTS`).
const MAX_EVENTS: i32 = i32::MAX / 12;

/// `epoll_create(2)`: the size is only checked.
pub fn epoll_create(t: &Arc<Task>, size: i32) -> SysResult<Fd> {
    if size <= 0 {
        return Err(Errno::EINVAL.into());
    }
    epoll_create1(t, 0)
}

/// `epoll_create1(2)`.
pub fn epoll_create1(t: &Arc<Task>, flags: u32) -> SysResult<Fd> {
    let flags = OpenFlags::from_bits_retain(flags);
    if !OpenFlags::CLOEXEC.contains(flags) {
        return Err(Errno::EINVAL.into());
    }
    let cloexec = !flags.is_empty();
    let limit = t.limit(Resource::Nofile);
    Ok(Fd(t.files().install(
        EpollFile::open(),
        0,
        cloexec,
        limit,
    )?))
}

/// `epoll_ctl(2)`.
pub fn epoll_ctl(
    t: &Arc<Task>,
    epfd: Fd,
    op: i32,
    fd: Fd,
    event: UserPtr<EpollEvent, In>,
) -> SysResult<()> {
    const ADD: i32 = 1;
    const DEL: i32 = 2;
    const MOD: i32 = 3;
    let event = if op == DEL {
        EpollEvent::default()
    } else {
        event.read(t)?
    };
    let epoll_file = io::file(t, epfd)?;
    let target = io::file(t, fd)?;
    if target.ops.pollee().is_none() {
        return Err(Errno::EPERM.into());
    }
    let set = of_file(&epoll_file)?;
    if Arc::ptr_eq(&epoll_file, &target) {
        return Err(Errno::EINVAL.into());
    }
    match op {
        ADD => set.add(&t.kernel, t, fd.0, &target, event)?,
        MOD => set.modify(t, fd.0, &target, event)?,
        DEL => set.remove(fd.0, &target)?,
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(())
}

struct EpollWait {
    /// Keeps the description open while it waits.
    _file: Arc<File>,
    set: Arc<Epoll>,
    events: u64,
    max: usize,
}

impl Attempt for EpollWait {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        let got = self.set.collect(Some(t), self.max);
        if got.is_empty() {
            return Err(Errno::EAGAIN.into());
        }
        UserPtr::<EpollEvent, Out>::at(self.events).write_array(t, &got)?;
        Ok(i64::try_from(got.len()).unwrap_or(i64::MAX))
    }

    fn watch(&self, waker: Waker) -> Registrations {
        watch_one(self.set.pollee(), PollEvents::IN, waker)
    }

    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        OnSignal::Eintr
    }

    fn timed_out(&mut self, _t: &Arc<Task>) -> SysResult<i64> {
        Ok(0)
    }

    fn name(&self) -> &'static str {
        "ep_poll"
    }
}

fn wait(
    t: &Arc<Task>,
    epfd: Fd,
    events: u64,
    max: i32,
    deadline: Option<Duration>,
) -> SysResult<i64> {
    let file = io::file(t, epfd)?;
    if max <= 0 || max > MAX_EVENTS {
        return Err(Errno::EINVAL.into());
    }
    let bytes = u64::from(max.unsigned_abs()) * size_of::<EpollEvent>() as u64;
    if events
        .checked_add(bytes)
        .is_none_or(|end| end > abi::TASK_SIZE)
    {
        return Err(Errno::EFAULT.into());
    }
    let set = of_file(&file)?;
    let max = usize::try_from(max).unwrap_or(1);
    let wait = EpollWait {
        _file: file,
        set,
        events,
        max,
    };
    retry(t, wait, deadline)
}

/// `epoll_wait(2)`.
pub fn epoll_wait(
    t: &Arc<Task>,
    epfd: Fd,
    events: UserPtr<EpollEvent, Out>,
    max: i32,
    timeout: i32,
) -> SysResult<i64> {
    wait(t, epfd, events.addr(), max, mask::after_ms(t, timeout))
}

/// `epoll_pwait(2)`.
pub fn epoll_pwait(
    t: &Arc<Task>,
    epfd: Fd,
    events: UserPtr<EpollEvent, Out>,
    max: i32,
    timeout: i32,
    sigmask: UserPtr<SigSet, In>,
    size: usize,
) -> SysResult<i64> {
    mask::apply(t, sigmask, size)?;
    wait(t, epfd, events.addr(), max, mask::after_ms(t, timeout))
}

/// `epoll_pwait2(2)`.
pub fn epoll_pwait2(
    t: &Arc<Task>,
    epfd: Fd,
    events: UserPtr<EpollEvent, Out>,
    max: i32,
    timeout: UserPtr<Timespec, In>,
    sigmask: UserPtr<SigSet, In>,
    size: usize,
) -> SysResult<i64> {
    let deadline = mask::deadline(t, timeout)?;
    mask::apply(t, sigmask, size)?;
    wait(t, epfd, events.addr(), max, deadline)
}
