//! `kcmp(2)`.

use std::cmp::Ordering;
use std::sync::Arc;

use abi::Errno;
use sentry::fs::epoll;
use sentry::{Result, SysResult, Task};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::arg::{In, UserPtr};

const KCMP_FILE: i32 = 0;
const KCMP_VM: i32 = 1;
const KCMP_FILES: i32 = 2;
const KCMP_FS: i32 = 3;
const KCMP_SIGHAND: i32 = 4;
const KCMP_IO: i32 = 5;
const KCMP_SYSVSEM: i32 = 6;
const KCMP_EPOLL_TFD: i32 = 7;

/// `struct kcmp_epoll_slot`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct EpollSlot {
    efd: u32,
    tfd: u32,
    toff: u32,
}

/// The order of two objects: equal, less, greater are 0, 1, 2.
fn order<T: ?Sized>(a: &Arc<T>, b: &Arc<T>) -> i64 {
    match Arc::as_ptr(a).addr().cmp(&Arc::as_ptr(b).addr()) {
        Ordering::Equal => 0,
        Ordering::Less => 1,
        Ordering::Greater => 2,
    }
}

fn fd_of(index: u64) -> Result<i32> {
    i32::try_from(index & 0xffff_ffff).map_err(|_| Errno::EBADF)
}

/// `kcmp(2)`.
pub fn kcmp(
    t: &Arc<Task>,
    pid1: i32,
    pid2: i32,
    kind: i32,
    index1: u64,
    index2: u64,
) -> SysResult<i64> {
    let ns = t.pid_ns();
    let one = ns.task(pid1).ok_or(Errno::ESRCH)?;
    let two = ns.task(pid2).ok_or(Errno::ESRCH)?;
    t.may_inspect(&one)?;
    t.may_inspect(&two)?;
    Ok(match kind {
        KCMP_FILE => {
            let file = one.files().get(fd_of(index1)?)?;
            order(&file, &two.files().get(fd_of(index2)?)?)
        }
        KCMP_VM => order(&one.mm(), &two.mm()),
        KCMP_FILES => order(&one.files(), &two.files()),
        KCMP_FS => order(&one.fs(), &two.fs()),
        KCMP_SIGHAND => order(&one.thread_group().sighand(), &two.thread_group().sighand()),
        // There are no I/O contexts.
        KCMP_IO => 0,
        // Undo lists are of processes.
        KCMP_SYSVSEM if Arc::ptr_eq(one.thread_group(), two.thread_group()) => 0,
        KCMP_SYSVSEM => {
            let used = |t: &Arc<Task>| t.ipc().has_undo(t.thread_group());
            if used(&one) || used(&two) {
                order(one.thread_group(), two.thread_group())
            } else {
                0
            }
        }
        KCMP_EPOLL_TFD => {
            let slot: EpollSlot = UserPtr::<EpollSlot, In>::at(index2).read(t)?;
            let file = one.files().get(fd_of(index1)?)?;
            let set = two.files().get(fd_of(slot.efd.into())?)?;
            let set = epoll::of_file(&set)?;
            let target = fd_of(slot.tfd.into())?;
            let nth = usize::try_from(slot.toff).unwrap_or(usize::MAX);
            let watched = set.watched(target, nth).ok_or(Errno::ENOENT)?;
            order(&file, &watched)
        }
        _ => return Err(Errno::EINVAL.into()),
    })
}
