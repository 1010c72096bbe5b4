//! `clone(2)`, `clone3(2)`, `fork(2)`, `vfork(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::raw::general as raw;
use sentry::task::clone::CloneArgs;
use sentry::{SysResult, Task};
use zerocopy::FromBytes;

use crate::arg::{UserAddr, UserBuf};

/// `struct clone_args` of `clone3(2)`, its newest version.
#[derive(Clone, Copy, Debug, Default, FromBytes)]
#[repr(C)]
struct Clone3 {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Size of the first published version.
const SIZE_VER0: usize = 64;
/// The exit signal in the flags of `clone`.
const CSIGNAL: u64 = 0xff;

/// `fork(2)`.
pub fn fork(t: &Arc<Task>) -> SysResult<i64> {
    t.clone_task(&CloneArgs {
        exit_signal: 17,
        ..CloneArgs::default()
    })
}

/// `vfork(2)`.
pub fn vfork(t: &Arc<Task>) -> SysResult<i64> {
    t.clone_task(&CloneArgs {
        flags: u64::from(raw::CLONE_VFORK | raw::CLONE_VM),
        exit_signal: 17,
        ..CloneArgs::default()
    })
}

/// `clone(2)` in the order of x86-64: flags, stack, parent_tid, child_tid, tls.
pub fn clone(
    t: &Arc<Task>,
    flags: u64,
    stack: UserAddr,
    parent_tid: UserAddr,
    child_tid: UserAddr,
    tls: UserAddr,
) -> SysResult<i64> {
    let flags = flags & 0xffff_ffff;
    let both = u64::from(raw::CLONE_PIDFD | raw::CLONE_PARENT_SETTID);
    if flags & both == both {
        // Both results would go to the same word.
        return Err(Errno::EINVAL.into());
    }
    t.clone_task(&CloneArgs {
        flags: flags & !CSIGNAL,
        pidfd: parent_tid.0,
        child_tid: child_tid.0,
        parent_tid: parent_tid.0,
        exit_signal: i32::try_from(flags & CSIGNAL).unwrap_or(0),
        stack: stack.0,
        tls: tls.0,
        set_tid: Vec::new(),
    })
}

/// `clone3(2)`.
pub fn clone3(t: &Arc<Task>, args: UserBuf, size: usize) -> SysResult<i64> {
    let a: Clone3 = args.read_extensible(t, size, SIZE_VER0)?;
    let no_stack = a.stack == 0 && a.stack_size != 0 || a.stack != 0 && a.stack_size == 0;
    let refused = u64::from(raw::CLONE_DETACHED) | CSIGNAL & !u64::from(raw::CLONE_NEWTIME);
    let parent_or_thread = u64::from(raw::CLONE_THREAD | raw::CLONE_PARENT);
    if no_stack
        || a.flags >> 34 != 0
        || a.flags & refused != 0
        || a.exit_signal > 64
        || a.flags & parent_or_thread != 0 && a.exit_signal != 0
        || a.set_tid_size > 32
        || (a.set_tid == 0) != (a.set_tid_size == 0)
    {
        return Err(Errno::EINVAL.into());
    }
    let levels = usize::try_from(a.set_tid_size).map_err(|_| Errno::EINVAL)?;
    let raw = UserBuf(a.set_tid).read(t, 4 * levels)?;
    let set_tid = raw.as_chunks().0.iter().map(|b| i32::from_ne_bytes(*b));
    let set_tid = set_tid.collect();
    t.clone_task(&CloneArgs {
        flags: a.flags,
        pidfd: a.pidfd,
        child_tid: a.child_tid,
        parent_tid: a.parent_tid,
        exit_signal: i32::try_from(a.exit_signal).unwrap_or(0),
        stack: a.stack.wrapping_add(a.stack_size),
        tls: a.tls,
        set_tid,
    })
}
