//! `mprotect(2)` and protection keys (`pkeys(7)`), of which there are none.

use std::sync::Arc;

use abi::{Errno, PAGE_SIZE};
use sentry::{SysResult, Task};

use super::limits;
use super::mmap::{Prot, made_by};
use crate::arg::UserAddr;

/// `mprotect(2)`.
pub fn mprotect(t: &Arc<Task>, addr: UserAddr, len: u64, prot: Prot) -> SysResult<()> {
    let (down, up) = (Prot::PROT_GROWSDOWN, Prot::PROT_GROWSUP);
    if prot.contains(down | up) || !addr.0.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL.into());
    }
    if len == 0 {
        return Ok(());
    }
    let pages = len.checked_next_multiple_of(PAGE_SIZE);
    let end = pages.and_then(|len| addr.0.checked_add(len));
    if end.is_none_or(|end| end <= addr.0) {
        return Err(Errno::ENOMEM.into());
    }
    if !Prot::all().contains(prot) {
        return Err(Errno::EINVAL.into());
    }
    // No mapping grows up on this machine: none of those found will do.
    if prot.contains(up) {
        let mapped = t.mm().policy_at(addr.0).is_ok();
        return Err(if mapped { Errno::EINVAL } else { Errno::ENOMEM }.into());
    }
    let grows_down = prot.contains(down);
    let limits = limits::of(t);
    let mm = t.mm();
    let prot = (prot.map_prot(), grows_down);
    let made = mm.protect_by(Some(&*t.context()?), addr.0, len, prot, &limits)?;
    made_by(made)
}

/// `pkey_mprotect(2)`: only the key -1, which means none, is valid.
pub fn pkey_mprotect(
    t: &Arc<Task>,
    addr: UserAddr,
    len: u64,
    prot: Prot,
    key: i32,
) -> SysResult<()> {
    if key != -1 && len != 0 {
        return Err(Errno::EINVAL.into());
    }
    mprotect(t, addr, len, prot)
}

/// `pkey_alloc(2)` on a machine without keys.
pub fn pkey_alloc(_t: &Arc<Task>, flags: u64, rights: u64) -> SysResult<i32> {
    if flags != 0 || rights > 3 {
        return Err(Errno::EINVAL.into());
    }
    Err(Errno::ENOSPC.into())
}

/// `pkey_free(2)`: no key was ever allocated.
pub fn pkey_free(_t: &Arc<Task>, _key: i32) -> SysResult<()> {
    Err(Errno::EINVAL.into())
}
