//! `cachestat(2)`: how much of a file is in memory.

use std::sync::Arc;

use abi::{Errno, PAGE_SIZE};
use sentry::fs::File;
use sentry::fs::file::Whence;
use sentry::fs::vfs::{FileType, perm};
use sentry::{Result, SysResult, Task};

use super::file;
use crate::arg::{Fd, In, Out, UserPtr};

/// `cachestat(2)`. What is stored counts as cached; nothing counts as dirty or evicted.
pub fn cachestat(
    t: &Arc<Task>,
    fd: Fd,
    range: UserPtr<[u64; 2], In>,
    out: UserPtr<[u64; 5], Out>,
    flags: u32,
) -> SysResult<()> {
    let file = file(t, fd)?;
    let [offset, len] = range.read(t)?;
    if !may_ask(t, &file)? {
        return Err(Errno::EPERM.into());
    }
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    // The last page is computed as Linux does it, wrapping.
    let end = match len {
        0 => u64::MAX,
        _ => {
            let last = offset.wrapping_add(len).wrapping_sub(1) / PAGE_SIZE;
            (last + 1).saturating_mul(PAGE_SIZE)
        }
    };
    let cached = match file.inode() {
        Some(inode) if inode.kind() == FileType::Regular => {
            let size = inode.attr()?.size;
            stored_pages(t, &file, offset, end.min(size))?
        }
        _ => 0,
    };
    Ok(out.write(t, &[cached, 0, 0, 0, 0])?)
}

/// Whether the caller may know: he could write the file, or owns it.
fn may_ask(t: &Arc<Task>, file: &Arc<File>) -> Result<bool> {
    let Some(inode) = file.inode().filter(|_| !file.flags().writable()) else {
        return Ok(true);
    };
    let creds = t.creds();
    let owns = perm::owns(&creds, &inode.attr()?);
    Ok(owns || perm::check(&creds, &*inode, perm::Access::W).is_ok())
}

/// Pages of the range that are not holes.
fn stored_pages(t: &Arc<Task>, file: &Arc<File>, start: u64, end: u64) -> Result<u64> {
    let cx = file.cx(Some(t));
    let mut at = start - start % PAGE_SIZE;
    let mut pages = 0;
    while at < end {
        let seek = |from: u64, whence| {
            let from = i64::try_from(from).map_err(|_| Errno::EOVERFLOW)?;
            file.ops.seek(&cx, 0, from, whence)
        };
        let data = match seek(at, Whence::Data) {
            Ok(data) if data < end => data,
            Ok(_) | Err(Errno::ENXIO) => break,
            Err(e) => return Err(e),
        };
        let hole = seek(data, Whence::Hole)?.clamp(data + 1, end);
        let first = data / PAGE_SIZE;
        pages += hole.div_ceil(PAGE_SIZE) - first;
        at = hole.next_multiple_of(PAGE_SIZE);
    }
    Ok(pages)
}
