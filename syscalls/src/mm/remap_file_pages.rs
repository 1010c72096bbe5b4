//! `remap_file_pages(2)`, as Linux has it since 4.0: a mapping of another part of the file.

use std::sync::Arc;

use abi::{Errno, PAGE_SIZE};
use sentry::mm::remap::FilePart;
use sentry::{SysResult, Task};

use super::{limits, mmap::MapFlags};
use crate::arg::UserAddr;

/// `remap_file_pages(2)`. Of `flags` only `MAP_NONBLOCK` means something.
pub fn remap_file_pages(
    t: &Arc<Task>,
    addr: UserAddr,
    size: u64,
    prot: u64,
    pgoff: u64,
    flags: u64,
) -> SysResult<()> {
    let (start, len) = (addr.0 & !(PAGE_SIZE - 1), size & !(PAGE_SIZE - 1));
    let pages = len / PAGE_SIZE;
    let end = start.checked_add(len).filter(|end| *end > start);
    if prot != 0 || end.is_none() || pgoff.checked_add(pages).is_none() {
        return Err(Errno::EINVAL.into());
    }
    let part = FilePart {
        start,
        len,
        offset: pgoff.checked_mul(PAGE_SIZE).ok_or(Errno::EOVERFLOW)?,
        populate: flags & MapFlags::MAP_NONBLOCK.bits() == 0,
    };
    t.mm().remap_file_pages(&part, &limits::of(t))?;
    Ok(())
}
