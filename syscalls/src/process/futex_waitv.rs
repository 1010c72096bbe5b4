//! `futex_waitv(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::time::Timespec;
use sentry::futex::{Scope, waitv};
use sentry::{Result, SysResult, Task};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::arg::{In, UserPtr};

/// `struct futex_waitv`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct WaitV {
    value: u64,
    addr: u64,
    flags: u32,
    reserved: u32,
}

/// `FUTEX2_SIZE_U32`, the only size there is.
const SIZE_U32: u32 = 2;
/// `FUTEX2_PRIVATE`.
const PRIVATE: u32 = 128;

fn entry(raw: &WaitV) -> Result<waitv::Entry> {
    if raw.flags & !PRIVATE != SIZE_U32 || raw.reserved != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(waitv::Entry {
        addr: raw.addr,
        value: u32::try_from(raw.value).map_err(|_| Errno::EINVAL)?,
        scope: if raw.flags & PRIVATE != 0 {
            Scope::Private
        } else {
            Scope::Shared
        },
    })
}

/// `futex_waitv(2)`.
pub fn futex_waitv(
    t: &Arc<Task>,
    waiters: UserPtr<WaitV, In>,
    count: u32,
    flags: u32,
    timeout: UserPtr<Timespec, In>,
    clock: i32,
) -> SysResult<i64> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if flags != 0 || count == 0 || count > waitv::MAX || waiters.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let timeout = match timeout.non_null() {
        None => None,
        Some(_) if clock != 0 && clock != 1 => return Err(Errno::EINVAL.into()),
        Some(p) => Some(p.read(t)?.to_duration()?),
    };
    let now = t.kernel.clock.monotonic();
    let deadline = timeout.map(|at| match clock {
        0 => now.saturating_add(at.saturating_sub(t.kernel.clock.realtime())),
        _ => at,
    });
    let raw = waiters.read_array(t, count)?;
    let entries: Vec<_> = raw.iter().map(entry).collect::<Result<_>>()?;
    waitv::wait(t, &entries, deadline)
}
