//! `kill(2)`, `tkill(2)`, `tgkill(2)`, `rt_sigqueueinfo(2)`, `rt_tgsigqueueinfo(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::signal::{SigInfo, Signal};
use sentry::creds::Cap;
use sentry::landlock::Scopes;
use sentry::signal::{info, send};
use sentry::task::ThreadGroup;
use sentry::{Result, SysResult, Task};
use zerocopy::{FromBytes, IntoBytes};

use crate::arg::{In, UserPtr};

/// Checks the permission of `kill(2)`: same user, same session for SIGCONT, or `CAP_KILL`.
pub fn may_signal(t: &Arc<Task>, target: &Arc<ThreadGroup>, signal: Option<Signal>) -> Result<()> {
    if Arc::ptr_eq(target, t.thread_group()) {
        return Ok(());
    }
    let me = t.creds();
    if let Some(other) = target.main_task()
        && me
            .landlock
            .scoped_from(&other.creds().landlock, Scopes::SIGNAL)
    {
        return Err(Errno::EPERM);
    }
    let (uid, suid) = match target.main_task() {
        Some(other) => {
            let c = other.creds();
            if me.ns_capable(&c.user_ns, Cap::Kill) {
                return Ok(());
            }
            (c.uid, c.suid)
        }
        None => {
            let uid = target.owner().0;
            (uid, uid)
        }
    };
    let same_session =
        signal == Some(Signal::SIGCONT) && target.session().is(&t.thread_group().session());
    let same_user = [me.euid, me.uid].iter().any(|&u| u == uid || u == suid);
    if same_user || same_session || me.capable(Cap::Kill) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// The sender's user id as `target` sees it (`si_uid`).
pub fn uid_for(t: &Arc<Task>, target: &ThreadGroup) -> u32 {
    let uid = t.creds().uid;
    target
        .main_task()
        .map_or(uid, |to| to.creds().user_ns.shown_uid(uid))
}

/// The sender's process number as `target` is told it (`si_pid`): that in the sender's own
/// namespace, 0 where `target` does not see the sender.
pub fn pid_for(t: &Arc<Task>, target: &ThreadGroup) -> i32 {
    match t.pid_in(&target.ns) {
        0 => 0,
        _ => t.pid(),
    }
}

/// Number 0 only checks.
fn decode(nr: i32) -> Result<Option<Signal>> {
    match u64::try_from(nr) {
        Ok(0) => Ok(None),
        Ok(n) => Signal::new(n).map(Some).ok_or(Errno::EINVAL),
        Err(_) => Err(Errno::EINVAL),
    }
}

fn send_one(t: &Arc<Task>, target: &Arc<ThreadGroup>, signal: Option<Signal>) -> Result<()> {
    may_signal(t, target, signal)?;
    match signal {
        None => Ok(()),
        Some(s) => {
            let info = info::user(s, pid_for(t, target), uid_for(t, target));
            send::to_group(target, info, send::Origin::of(t.thread_group(), target))
        }
    }
}

/// A process by the number of any of its threads, zombies included.
fn process(t: &Arc<Task>, pid: i32) -> Result<Arc<ThreadGroup>> {
    let ns = t.pid_ns();
    let found = ns.group(pid);
    found
        .or_else(|| ns.task(pid).map(|t| t.thread_group().clone()))
        .ok_or(Errno::ESRCH)
}

/// `kill(2)`.
pub fn kill(t: &Arc<Task>, pid: i32, signal: i32) -> SysResult<()> {
    if pid > 0 {
        return Ok(send_one(t, &process(t, pid)?, decode(signal)?)?);
    }
    if pid == i32::MIN {
        return Err(Errno::ESRCH.into());
    }
    let targets: Vec<_> = match pid {
        -1 => {
            let ns = t.pid_ns();
            let all = ns.groups().into_iter();
            all.filter(|g| g.pid_in(ns) > 1 && !Arc::ptr_eq(g, t.thread_group()))
                .collect()
        }
        0 => t.thread_group().pgrp().members(),
        p => {
            let pgrp = t.pid_ns().pgrp(p.saturating_neg()).ok_or(Errno::ESRCH)?;
            pgrp.members()
        }
    };
    if targets.is_empty() {
        return Err(Errno::ESRCH.into());
    }
    let signal = decode(signal)?;
    // Success if any could be signalled; the caller's own turn comes last, because it may
    // not survive it.
    let (own, others): (Vec<_>, Vec<_>) = targets
        .iter()
        .partition(|g| Arc::ptr_eq(g, t.thread_group()));
    let results: Vec<_> = others
        .into_iter()
        .chain(own)
        .map(|g| send_one(t, g, signal))
        .collect();
    if pid == -1 {
        // Those that may not be signalled do not count.
        let refused = |r: &&Result<()>| !matches!(r, Err(Errno::EPERM));
        return Ok(results.iter().rfind(refused).copied().unwrap_or(Ok(()))?);
    }
    match results.iter().find(|r| r.is_ok()) {
        Some(_) => Ok(()),
        None => Err(results
            .first()
            .and_then(|r| r.err())
            .unwrap_or(Errno::ESRCH)
            .into()),
    }
}

/// A thread, of that process; `ESRCH`.
fn thread(t: &Arc<Task>, tgid: Option<i32>, tid: i32) -> Result<Arc<Task>> {
    let target = t.pid_ns().task(tid).ok_or(Errno::ESRCH)?;
    if tgid.is_some_and(|g| g != target.pid_in(t.pid_ns())) {
        return Err(Errno::ESRCH);
    }
    Ok(target)
}

fn send_thread(
    t: &Arc<Task>,
    tgid: Option<i32>,
    tid: i32,
    signal: Option<Signal>,
    info: Option<SigInfo>,
) -> Result<()> {
    let target = thread(t, tgid, tid)?;
    if info.is_none_or(|i| i.code != info::SI_QUEUE) || signal.is_none() {
        may_signal(t, target.thread_group(), signal)?;
    }
    let Some(s) = signal else { return Ok(()) };
    let group = target.thread_group();
    let made = SigInfo::new(s, info::SI_TKILL).with_sender(pid_for(t, group), uid_for(t, group));
    let info = info.map_or(made, |i| from_sender(t, group, i));
    send::to_task(&target, info, send::Origin::of(t.thread_group(), group))
}

/// `tkill(2)`.
pub fn tkill(t: &Arc<Task>, tid: i32, signal: i32) -> SysResult<()> {
    if tid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    thread(t, None, tid)?;
    Ok(send_thread(t, None, tid, decode(signal)?, None)?)
}

/// `tgkill(2)`.
pub fn tgkill(t: &Arc<Task>, tgid: i32, tid: i32, signal: i32) -> SysResult<()> {
    if tgid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    thread(t, Some(tgid), tid)?;
    Ok(send_thread(t, Some(tgid), tid, decode(signal)?, None)?)
}

/// Reads a siginfo; its code must not claim to come from the kernel, `kill` or `tkill`,
/// unless it goes to the sender itself.
fn read_info(
    t: &Arc<Task>,
    at: UserPtr<[u8; 128], In>,
    signal: i32,
    to_self: bool,
) -> Result<SigInfo> {
    let bytes = at.read(t)?;
    let mut info = SigInfo::read_from_bytes(&bytes).map_err(|_| Errno::EINVAL)?;
    info.as_mut_bytes()[..4].copy_from_slice(&signal.to_ne_bytes());
    if !to_self && (info.code >= 0 || info.code == info::SI_TKILL) {
        return Err(Errno::EPERM);
    }
    Ok(info)
}

/// What a sender has made up, to a target that does not see it: it comes from nobody.
pub fn from_sender(t: &Arc<Task>, target: &ThreadGroup, info: SigInfo) -> SigInfo {
    match t.pid_in(&target.ns) {
        0 if info.code <= 0 => info.with_sender(0, uid_for(t, target)),
        _ => info,
    }
}

/// `rt_sigqueueinfo(2)`.
pub fn rt_sigqueueinfo(
    t: &Arc<Task>,
    pid: i32,
    signal: i32,
    info: UserPtr<[u8; 128], In>,
) -> SysResult<()> {
    let info = read_info(t, info, signal, pid == t.pid())?;
    let target = process(t, pid)?;
    let signal = decode(signal)?;
    may_signal(t, &target, signal)?;
    match signal {
        None => Ok(()),
        Some(_) => {
            let origin = send::Origin::of(t.thread_group(), &target);
            Ok(send::to_group(
                &target,
                from_sender(t, &target, info),
                origin,
            )?)
        }
    }
}

/// `rt_tgsigqueueinfo(2)`.
pub fn rt_tgsigqueueinfo(
    t: &Arc<Task>,
    tgid: i32,
    tid: i32,
    signal: i32,
    info: UserPtr<[u8; 128], In>,
) -> SysResult<()> {
    let allowed = read_info(t, info, signal, tid == t.tid());
    if allowed.as_ref().is_err_and(|e| *e == Errno::EFAULT) {
        return Err(Errno::EFAULT.into());
    }
    if tgid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let info = allowed?;
    let target = t.pid_ns().task(tid).ok_or(Errno::ESRCH)?;
    let signal = decode(signal)?;
    may_signal(t, target.thread_group(), signal)?;
    Ok(send_thread(t, Some(tgid), tid, signal, Some(info))?)
}
