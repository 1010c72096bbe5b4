//! `wait4(2)`, `waitid(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::fs::PollEvents;
use abi::signal::{SigInfo, Signal};
use sentry::retry::{Attempt, Registrations, retry, watch_one};
use sentry::signal::info;
use sentry::task::pidfd::PidFd;
use sentry::task::reap::{WaitFor, Waited, Which};
use sentry::wait::Waker;
use sentry::{Stop, SysResult, Task};
use zerocopy::IntoBytes;

use super::rusage::RUsage;
use crate::arg::{Out, UserPtr};

const WNOHANG: u32 = 1;
const WUNTRACED: u32 = 2;
const WEXITED: u32 = 4;
const WCONTINUED: u32 = 8;
const WNOWAIT: u32 = 0x0100_0000;
const WNOTHREAD: u32 = 0x2000_0000;
const WALL: u32 = 0x4000_0000;
const WCLONE: u32 = 0x8000_0000;

/// A parked wait: what for, and where the results go (0: nowhere).
struct Wait {
    what: WaitFor,
    nohang: bool,
    status_at: u64,
    info_at: u64,
    usage_at: u64,
    by_id: bool,
    group: Arc<sentry::task::ThreadGroup>,
}

impl Wait {
    fn give(&self, t: &Arc<Task>, w: &Waited) -> SysResult<i64> {
        if self.usage_at != 0 {
            UserPtr::<RUsage, Out>::at(self.usage_at).write(t, &RUsage::of(w.times, w.max_rss))?;
        }
        if self.status_at != 0 {
            UserPtr::<i32, Out>::at(self.status_at).write(t, &w.status)?;
        }
        if self.info_at != 0 {
            let i = info::child(Signal::SIGCHLD, w.code, w.pid, w.uid, w.value, (0, 0));
            write_info(t, self.info_at, &i)?;
        }
        Ok(if self.by_id { 0 } else { i64::from(w.pid) })
    }
}

/// `waitid` fills only these fields of the caller's `siginfo_t`.
fn write_info(t: &Arc<Task>, at: u64, info: &SigInfo) -> SysResult<()> {
    let bytes = info.as_bytes();
    let mm = t.mm();
    for range in [0..12, 16..28] {
        let part = bytes.get(range.clone()).ok_or(Errno::EFAULT)?;
        mm.copy_out(at.wrapping_add(range.start as u64), part)
            .map_err(|f| f.errno)?;
    }
    Ok(())
}

impl Attempt for Wait {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        match t.try_wait(&self.what) {
            Ok(waited) => self.give(t, &waited),
            Err(Errno::EAGAIN) if !self.nohang => Err(Stop::Errno(Errno::EAGAIN)),
            Err(e) => {
                if self.info_at != 0 {
                    // "No child" is told by a pid of 0, beside an error too.
                    let mm = t.mm();
                    mm.copy_out(self.info_at, &[0; 12]).map_err(|f| f.errno)?;
                    mm.copy_out(self.info_at.wrapping_add(16), &[0; 12])
                        .map_err(|f| f.errno)?;
                }
                match e {
                    Errno::EAGAIN => Ok(0),
                    e => Err(Stop::Errno(e)),
                }
            }
        }
    }
    fn watch(&self, waker: Waker) -> Registrations {
        watch_one(&self.group.child_events, PollEvents::IN, waker)
    }
    fn name(&self) -> &'static str {
        if self.by_id { "waitid" } else { "wait4" }
    }
}

/// `wait4(2)`.
pub fn wait4(
    t: &Arc<Task>,
    pid: i32,
    status: UserPtr<i32, Out>,
    options: u32,
    usage: UserPtr<RUsage, Out>,
) -> SysResult<i64> {
    let known = WNOHANG | WUNTRACED | WCONTINUED | WNOTHREAD | WCLONE | WALL;
    if options & !known != 0 {
        return Err(Errno::EINVAL.into());
    }
    if pid == i32::MIN {
        return Err(Errno::ESRCH.into());
    }
    let which = match pid {
        -1 => Which::Any,
        0 => Which::Pgrp(Some(t.thread_group().pgrp())),
        p if p > 0 => Which::Pid(p),
        p => Which::Pgrp(t.pid_ns().pgrp(p.saturating_neg())),
    };
    let wait = Wait {
        what: WaitFor {
            which,
            exited: true,
            stopped: options & WUNTRACED != 0,
            continued: options & WCONTINUED != 0,
            nowait: false,
            clone_only: options & WCLONE != 0,
            all: options & WALL != 0,
        },
        nohang: options & WNOHANG != 0,
        status_at: status.addr(),
        info_at: 0,
        usage_at: usage.addr(),
        by_id: false,
        group: t.thread_group().clone(),
    };
    retry(t, wait, None)
}

/// `waitid(2)`.
pub fn waitid(
    t: &Arc<Task>,
    kind: u32,
    id: i32,
    info: UserPtr<[u8; 128], Out>,
    options: u32,
    usage: UserPtr<RUsage, Out>,
) -> SysResult<i64> {
    let at = info.addr();
    let result = wait_id(t, kind, id, info, options, usage);
    // Even an error is told with an empty result.
    if at != 0 && matches!(result, Err(Stop::Errno(e)) if e != Errno::EFAULT) {
        UserPtr::<[u8; 28], Out>::at(at).write(t, &[0; 28])?;
    }
    result
}

fn wait_id(
    t: &Arc<Task>,
    kind: u32,
    id: i32,
    info: UserPtr<[u8; 128], Out>,
    options: u32,
    usage: UserPtr<RUsage, Out>,
) -> SysResult<i64> {
    let known = WNOHANG | WUNTRACED | WEXITED | WCONTINUED | WNOWAIT | WNOTHREAD | WCLONE | WALL;
    if options & !known != 0 || options & (WEXITED | WUNTRACED | WCONTINUED) == 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut nohang = options & WNOHANG != 0;
    let which = match kind {
        0 => Which::Any,
        1 if id > 0 => Which::Pid(id),
        2 if id > 0 => Which::Pgrp(t.pid_ns().pgrp(id)),
        2 if id == 0 => Which::Pgrp(Some(t.thread_group().pgrp())),
        3 if id >= 0 => {
            let file = t.files().get(id)?;
            nohang |= file.flags().contains(sentry::fs::OpenFlags::NONBLOCK);
            Which::Group(PidFd::group_of(&file)?)
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    let by_nonblocking_fd = kind == 3 && options & WNOHANG == 0 && nohang;
    let mut wait = Wait {
        what: WaitFor {
            which,
            exited: options & WEXITED != 0,
            stopped: options & WUNTRACED != 0,
            continued: options & WCONTINUED != 0,
            nowait: options & WNOWAIT != 0,
            clone_only: options & WCLONE != 0,
            all: options & WALL != 0,
        },
        nohang,
        status_at: 0,
        info_at: info.addr(),
        usage_at: usage.addr(),
        by_id: true,
        group: t.thread_group().clone(),
    };
    if by_nonblocking_fd {
        wait.nohang = false;
        return wait.attempt(t);
    }
    retry(t, wait, None)
}
