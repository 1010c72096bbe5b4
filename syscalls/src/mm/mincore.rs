//! `mincore(2)`.

use std::sync::Arc;

use abi::{Errno, PAGE_SIZE};
use sentry::{SysResult, Task};

use crate::arg::{UserAddr, UserBuf};

/// Pages answered at a time.
const CHUNK: u64 = 4096;

/// `mincore(2)`.
pub fn mincore(t: &Arc<Task>, addr: UserAddr, len: u64, vec: UserBuf) -> SysResult<()> {
    if !addr.0.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL.into());
    }
    let mm = t.mm();
    let user = |e: &u64| *e <= abi::TASK_SIZE;
    let end = addr.0.checked_add(len).filter(user);
    let end = end.and_then(|e| e.checked_next_multiple_of(PAGE_SIZE));
    let end = end.ok_or(Errno::ENOMEM)?;
    let bytes = (end - addr.0) / PAGE_SIZE;
    vec.0.checked_add(bytes).filter(user).ok_or(Errno::EFAULT)?;
    if end > mm.range().1 && bytes > 0 {
        return Err(Errno::ENOMEM.into());
    }
    let (mut at, mut to) = (addr.0, vec.0);
    while at < end {
        let n = (end - at).min(CHUNK * PAGE_SIZE);
        let bits = mm.present(at, n)?;
        UserBuf(to).write(t, &bits)?;
        at += n;
        to = to.wrapping_add(bits.len() as u64);
    }
    Ok(())
}
