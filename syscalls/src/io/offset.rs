//! Position, size and space of a file: `lseek(2)`, `ftruncate(2)`, `fallocate(2)`, `fsync(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::fs::file::Whence;
use sentry::fs::inotify::Mask;
use sentry::fs::lease;
use sentry::fs::vfs::change::killed_perm;
use sentry::fs::vfs::{FileType, SetAttr, setattr};
use sentry::fs::write_access::OpenAccess;
use sentry::landlock::FsRights;
use sentry::{Result, SysResult, Task};

use super::{file, transfer};
use crate::arg::{Fd, UserCStr};
use crate::fs::at;

/// `lseek(2)`.
pub fn lseek(t: &Arc<Task>, fd: Fd, offset: i64, whence: u32) -> SysResult<u64> {
    let file = file(t, fd)?;
    let whence = match whence {
        0 => Whence::Set,
        1 => Whence::Cur,
        2 => Whence::End,
        3 => Whence::Data,
        4 => Whence::Hole,
        _ => return Err(Errno::EINVAL.into()),
    };
    if !file.ops.seekable() {
        // Anonymous inodes have a position that never moves.
        let anonymous = file.path.is_none() && file.ops.attr()?.kind == FileType::Regular;
        return if anonymous {
            Ok(0)
        } else {
            Err(Errno::ESPIPE.into())
        };
    }
    let mut pos = file.offset.lock();
    *pos = file.ops.seek(&file.cx(Some(t)), *pos, offset, whence)?;
    Ok(*pos)
}

/// `truncate(2)`.
pub fn truncate(t: &Arc<Task>, path: UserCStr, len: i64) -> SysResult<i64> {
    let len = u64::try_from(len).map_err(|_| Errno::EINVAL)?;
    let path = at::follow(t, path)?;
    if path.inode()?.kind() == FileType::Regular {
        transfer::check_size(t, len)?;
    }
    let access = at::with(t, |cx| setattr::may_truncate(cx, &path))?;
    let counts = access.as_ref().map(OpenAccess::shared_counts);
    let cut = move |t: &Arc<Task>| {
        at::with(t, |cx| setattr::cut(cx, &path, len, access))?;
        Ok(0)
    };
    match counts {
        Some(counts) => lease::wait(t, counts, true, false, Box::new(cut)),
        None => cut(t),
    }
}

/// `ftruncate(2)`.
pub fn ftruncate(t: &Arc<Task>, fd: Fd, len: i64) -> SysResult<()> {
    let len = u64::try_from(len).map_err(|_| Errno::EINVAL)?;
    let file = file(t, fd)?;
    let inode = file.inode().ok_or(Errno::EINVAL)?;
    let mode = file.flags().bits() & 3;
    if inode.kind() != FileType::Regular || mode == 0 || mode == 3 {
        return Err(Errno::EINVAL.into());
    }
    transfer::check_size(t, len)?;
    file.check_right(FsRights::TRUNCATE)?;
    file.ops.truncate(&file.cx(Some(t)), len)?;
    transfer::tell(&file, Mask::MODIFY);
    if let Some(perm) = killed_perm(&t.creds(), &inode.attr()?) {
        inode.set_attr(&SetAttr {
            perm: Some(perm),
            ..SetAttr::default()
        })?;
    }
    Ok(())
}

const FALLOC_FL_KEEP_SIZE: u32 = 1;
const FALLOC_FL_PUNCH_HOLE: u32 = 2;
const FALLOC_FL_COLLAPSE_RANGE: u32 = 8;
const FALLOC_FL_ZERO_RANGE: u32 = 0x10;
const FALLOC_FL_INSERT_RANGE: u32 = 0x20;
const FALLOC_FL_UNSHARE_RANGE: u32 = 0x40;
const FALLOC_FL_WRITE_ZEROES: u32 = 0x80;

/// Whether a mode is one of those that exist; `EOPNOTSUPP`, `EINVAL`.
fn check_mode(mode: u32) -> Result<()> {
    let keep = mode & FALLOC_FL_KEEP_SIZE != 0;
    let ok = match mode & !FALLOC_FL_KEEP_SIZE {
        0 | FALLOC_FL_UNSHARE_RANGE | FALLOC_FL_ZERO_RANGE => true,
        FALLOC_FL_PUNCH_HOLE => keep,
        FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE | FALLOC_FL_WRITE_ZEROES => !keep,
        _ => false,
    };
    if ok { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
}

/// `fallocate(2)`.
pub fn fallocate(t: &Arc<Task>, fd: Fd, mode: u32, offset: i64, len: i64) -> SysResult<()> {
    let file = file(t, fd)?;
    let (Ok(start), Ok(length @ 1..)) = (u64::try_from(offset), u64::try_from(len)) else {
        return Err(Errno::EINVAL.into());
    };
    check_mode(mode)?;
    super::check_writable(&file)?;
    match file.inode().map(|i| i.kind()) {
        Some(FileType::Directory) => return Err(Errno::EISDIR.into()),
        Some(FileType::Regular | FileType::BlockDevice) => {}
        Some(FileType::Fifo) => return Err(Errno::ESPIPE.into()),
        None if file.ops.attr()?.kind == FileType::Fifo => return Err(Errno::ESPIPE.into()),
        _ => return Err(Errno::ENODEV.into()),
    }
    let end = offset.checked_add(len).ok_or(Errno::EFBIG)?;
    if mode & FALLOC_FL_KEEP_SIZE == 0 {
        transfer::check_size(t, end.unsigned_abs())?;
    }
    file.ops.allocate(&file.cx(Some(t)), mode, start, length)?;
    transfer::tell(&file, Mask::MODIFY);
    Ok(())
}

fn sync_file(t: &Arc<Task>, fd: Fd, data_only: bool) -> SysResult<()> {
    let file = file(t, fd)?;
    Ok(file.ops.sync(&file.cx(Some(t)), data_only)?)
}

/// `fsync(2)`.
pub fn fsync(t: &Arc<Task>, fd: Fd) -> SysResult<()> {
    sync_file(t, fd, false)
}

/// `fdatasync(2)`.
pub fn fdatasync(t: &Arc<Task>, fd: Fd) -> SysResult<()> {
    sync_file(t, fd, true)
}

/// `sync(2)`: every mounted file system.
pub fn sync(t: &Arc<Task>) -> SysResult<()> {
    if let Some(ns) = t.fs().root().mount.namespace() {
        for mount in ns.list() {
            // sync(2) reports nothing.
            let _ = mount.fs.sync();
        }
    }
    Ok(())
}

/// `syncfs(2)`.
pub fn syncfs(t: &Arc<Task>, fd: Fd) -> SysResult<()> {
    let file = file(t, fd)?;
    if let Some(path) = &file.path {
        path.mount.fs.sync()?;
    }
    Ok(())
}

/// `sync_file_range(2)`: always the whole file's data.
pub fn sync_file_range(t: &Arc<Task>, fd: Fd, offset: i64, len: i64, flags: u32) -> SysResult<()> {
    let file = file(t, fd)?;
    if flags & !7 != 0 || offset < 0 || len < 0 || offset.checked_add(len).is_none() {
        return Err(Errno::EINVAL.into());
    }
    match file.inode().map(|i| i.kind()) {
        Some(FileType::Regular | FileType::BlockDevice | FileType::Directory) => {}
        _ => return Err(Errno::ESPIPE.into()),
    }
    if flags != 0 {
        file.ops.sync(&file.cx(Some(t)), true)?;
    }
    Ok(())
}

/// `fadvise64(2)`: advice is checked; it changes nothing that can be seen.
pub fn fadvise64(t: &Arc<Task>, fd: Fd, _offset: i64, len: i64, advice: u32) -> SysResult<()> {
    let file = file(t, fd)?;
    let kind = match file.inode() {
        Some(inode) => inode.kind(),
        None => file.ops.attr()?.kind,
    };
    if kind == FileType::Fifo {
        return Err(Errno::ESPIPE.into());
    }
    if len < 0 || advice > 5 {
        return Err(Errno::EINVAL.into());
    }
    Ok(())
}

/// `readahead(2)`: checked; reading ahead is the host's business.
pub fn readahead(t: &Arc<Task>, fd: Fd, _offset: i64, _count: usize) -> SysResult<()> {
    let file = super::readable(t, fd)?;
    match file.inode().map(|i| i.kind()) {
        Some(FileType::Regular | FileType::BlockDevice) => Ok(()),
        _ => Err(Errno::EINVAL.into()),
    }
}
