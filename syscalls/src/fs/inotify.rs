//! `inotify_init(2)`, `inotify_add_watch(2)`, `inotify_rm_watch(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::fs::inotify::{InotifyFile, Mask};
use sentry::fs::vfs::{Access, WalkCx, WalkFlags, lookup, perm};
use sentry::fs::{File, OpenFlags};
use sentry::task::limits::Resource;
use sentry::{Result, SysResult, Task};

use super::at;
use crate::arg::{DirFd, Fd, UserCStr};
use crate::io;

/// `inotify_init(2)`.
pub fn inotify_init(t: &Arc<Task>) -> SysResult<Fd> {
    inotify_init1(t, 0)
}

/// `inotify_init1(2)`.
pub fn inotify_init1(t: &Arc<Task>, flags: u32) -> SysResult<Fd> {
    let flags = OpenFlags::from_bits_retain(flags);
    if !(OpenFlags::CLOEXEC | OpenFlags::NONBLOCK).contains(flags) {
        return Err(Errno::EINVAL.into());
    }
    let file = InotifyFile::open(flags);
    let cloexec = flags.contains(OpenFlags::CLOEXEC);
    let limit = t.limit(Resource::Nofile);
    Ok(Fd(t.files().install(file, 0, cloexec, limit)?))
}

fn instance(file: &File) -> Result<&InotifyFile> {
    file.downcast::<InotifyFile>().ok_or(Errno::EINVAL)
}

/// `inotify_add_watch(2)`.
pub fn inotify_add_watch(t: &Arc<Task>, fd: Fd, path: UserCStr, mask: u32) -> SysResult<i32> {
    let mask = Mask::from_bits(mask).ok_or(Errno::EINVAL)?;
    if mask.is_empty() {
        return Err(Errno::EINVAL.into());
    }
    let file = io::file(t, fd)?;
    if mask.contains(Mask::MASK_ADD | Mask::MASK_CREATE) {
        return Err(Errno::EINVAL.into());
    }
    let instance = instance(&file)?;
    let mut walk = WalkFlags::default();
    walk.set(WalkFlags::FOLLOW, !mask.contains(Mask::DONT_FOLLOW));
    walk.set(WalkFlags::DIRECTORY, mask.contains(Mask::ONLYDIR));
    let name = at::read_path(t, path, 0)?;
    let start = at::start(t, DirFd::CWD, &name)?;
    let cx = WalkCx::of(t);
    let place = lookup(&cx, &start, &name, walk)?;
    perm::check(&cx.creds, &*place.inode()?, Access::R)?;
    Ok(instance.add(&place, mask)?)
}

/// `inotify_rm_watch(2)`.
pub fn inotify_rm_watch(t: &Arc<Task>, fd: Fd, wd: i32) -> SysResult<()> {
    let file = io::file(t, fd)?;
    Ok(instance(&file)?.remove(wd)?)
}
