//! `name_to_handle_at(2)`, `open_by_handle_at(2)`: file systems here export no handles.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::Cap;
use sentry::fs::vfs::{WalkCx, WalkFlags, lookup};
use sentry::{SysResult, Task};

use super::at::{self, AT_EMPTY_PATH, AT_SYMLINK_FOLLOW};
use crate::arg::{DirFd, In, UserBuf, UserCStr, UserPtr};

/// `AT_HANDLE_FID` and `AT_HANDLE_MNT_ID_UNIQUE`.
const HANDLE_FLAGS: u32 = 0x201;

/// `name_to_handle_at(2)`: `EOPNOTSUPP` for whatever the path leads to.
pub fn name_to_handle_at(
    t: &Arc<Task>,
    dirfd: DirFd,
    path: UserCStr,
    _handle: UserBuf,
    _mount_id: UserBuf,
    flags: u32,
) -> SysResult<()> {
    at::check(flags, AT_SYMLINK_FOLLOW | AT_EMPTY_PATH | HANDLE_FLAGS)?;
    let name = at::read_path(t, path, flags)?;
    let start = at::start(t, dirfd, &name)?;
    let mut walk = WalkFlags::default();
    walk.set(WalkFlags::FOLLOW, flags & AT_SYMLINK_FOLLOW != 0);
    walk.set(WalkFlags::EMPTY_PATH, flags & AT_EMPTY_PATH != 0);
    lookup(&WalkCx::of(t), &start, &name, walk)?;
    Err(Errno::EOPNOTSUPP.into())
}

/// Longest handle (`MAX_HANDLE_SZ`).
const MAX_HANDLE: u32 = 128;

/// `open_by_handle_at(2)`: no handle was ever given out.
pub fn open_by_handle_at(
    t: &Arc<Task>,
    mount: DirFd,
    handle: UserPtr<[u32; 2], In>,
    _flags: u32,
) -> SysResult<()> {
    let [bytes, _kind] = handle.read(t)?;
    if bytes == 0 || bytes > MAX_HANDLE {
        return Err(Errno::EINVAL.into());
    }
    if mount != DirFd::CWD {
        t.files().get(mount.0)?;
    }
    if !t.creds().capable(Cap::DacReadSearch) {
        return Err(Errno::EPERM.into());
    }
    Err(Errno::ESTALE.into())
}
