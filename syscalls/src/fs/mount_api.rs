//! `fsopen(2)`, `fsconfig(2)`, `fsmount(2)`, `fspick(2)`, `open_tree(2)`, `move_mount(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::Cap;
use sentry::fs::fs_config::{FsConfig, Param};
use sentry::fs::vfs::open::{path_file, tree_file};
use sentry::fs::vfs::{Path, lookup};
use sentry::fs::{File, OpenFlags};
use sentry::landlock;
use sentry::task::limits::Resource;
use sentry::{Result, SysResult, Task};

use super::at::{self, AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_SYMLINK_NOFOLLOW};
use super::mount::may_mount;
use super::mount_attr::new_flags;
use crate::arg::{DirFd, Fd, UserBuf, UserCStr};

/// `FSOPEN_CLOEXEC`, `FSMOUNT_CLOEXEC`, `FSPICK_CLOEXEC`.
const CLOEXEC: u32 = 1;
/// Longest name of a type with its NUL: one page.
const NAME_MAX: usize = 4095;
/// Longest key or text of a parameter.
const PARAM_MAX: usize = 255;
/// Longest blob of a parameter.
const BLOB_MAX: i32 = 1 << 20;

/// A text of the caller; `EINVAL` for one that is too long.
fn text(t: &Arc<Task>, s: UserCStr, max: usize) -> Result<Vec<u8>> {
    match s.read(t, max) {
        Err(Errno::ENAMETOOLONG) => Err(Errno::EINVAL),
        read => read,
    }
}

/// Gives `file` a number.
pub fn install(t: &Arc<Task>, file: Arc<File>, cloexec: bool) -> SysResult<Fd> {
    let limit = t.limit(Resource::Nofile);
    Ok(Fd(t.files().install(file, 0, cloexec, limit)?))
}

/// `fsopen(2)`.
pub fn fsopen(t: &Arc<Task>, name: UserCStr, flags: u32) -> SysResult<Fd> {
    may_mount(t)?;
    at::check(flags, CLOEXEC)?;
    let name = text(t, name, NAME_MAX)?;
    let kind = t.kernel.fs_types.find(&name)?;
    install(t, FsConfig::open(kind), flags & CLOEXEC != 0)
}

const FSPICK_SYMLINK_NOFOLLOW: u32 = 2;
const FSPICK_NO_AUTOMOUNT: u32 = 4;
const FSPICK_EMPTY_PATH: u32 = 8;

/// `fspick(2)`.
pub fn fspick(t: &Arc<Task>, dirfd: DirFd, path: UserCStr, flags: u32) -> SysResult<Fd> {
    may_mount(t)?;
    let known = CLOEXEC | FSPICK_SYMLINK_NOFOLLOW | FSPICK_NO_AUTOMOUNT | FSPICK_EMPTY_PATH;
    at::check(flags, known)?;
    let follow = flags & FSPICK_SYMLINK_NOFOLLOW == 0;
    let place = find(t, (dirfd, path), follow, flags & FSPICK_EMPTY_PATH != 0)?;
    if !place.is_mount_root() {
        return Err(Errno::EINVAL.into());
    }
    install(t, FsConfig::pick(t, &place.mount.sb), flags & CLOEXEC != 0)
}

fn find(
    t: &Arc<Task>,
    (dirfd, path): (DirFd, UserCStr),
    follow: bool,
    empty: bool,
) -> Result<Path> {
    let mut walk = if follow { 0 } else { AT_SYMLINK_NOFOLLOW };
    if empty {
        walk |= AT_EMPTY_PATH;
    }
    at::find(t, dirfd, path, walk)
}

const SET_FLAG: u32 = 0;
const SET_STRING: u32 = 1;
const SET_BINARY: u32 = 2;
const SET_PATH: u32 = 3;
const SET_PATH_EMPTY: u32 = 4;
const SET_FD: u32 = 5;
const CMD_CREATE: u32 = 6;
const CMD_RECONFIGURE: u32 = 7;
const CMD_CREATE_EXCL: u32 = 8;

/// Whether the arguments are those of the command.
fn check_config(cmd: u32, key: UserCStr, value: UserBuf, aux: i32) -> Result<()> {
    let (key, value) = (!key.is_null(), value.0 != 0);
    let fits = match cmd {
        SET_FLAG => key && !value && aux == 0,
        SET_STRING => key && value && aux == 0,
        SET_BINARY => key && value && (1..=BLOB_MAX).contains(&aux),
        SET_PATH | SET_PATH_EMPTY => key && value && (aux >= 0 || DirFd(aux) == DirFd::CWD),
        SET_FD => key && !value && aux >= 0,
        CMD_CREATE | CMD_CREATE_EXCL | CMD_RECONFIGURE => !key && !value && aux == 0,
        _ => return Err(Errno::EOPNOTSUPP),
    };
    if fits { Ok(()) } else { Err(Errno::EINVAL) }
}

/// The configuration behind a descriptor: `EBADF`, and `EINVAL` for another kind of file.
fn with_config<R>(t: &Arc<Task>, fd: Fd, f: impl FnOnce(&FsConfig) -> Result<R>) -> Result<R> {
    let file = t.files().get(fd.0)?;
    if file.flags().contains(OpenFlags::PATH) {
        return Err(Errno::EBADF);
    }
    f(file.downcast::<FsConfig>().ok_or(Errno::EINVAL)?)
}

/// `fsconfig(2)`.
pub fn fsconfig(
    t: &Arc<Task>,
    fd: Fd,
    cmd: u32,
    key: UserCStr,
    value: UserBuf,
    aux: i32,
) -> SysResult<()> {
    if fd.0 < 0 {
        return Err(Errno::EINVAL.into());
    }
    check_config(cmd, key, value, aux)?;
    let done = with_config(t, fd, |config| {
        let key = if key.is_null() {
            Vec::new()
        } else {
            text(t, key, PARAM_MAX)?
        };
        match cmd {
            CMD_CREATE | CMD_CREATE_EXCL => config.create(t),
            CMD_RECONFIGURE => config.reconfigure(t),
            SET_FLAG => config.set(&key, Param::Flag),
            SET_STRING => {
                let value = text(t, UserCStr(value.0), PARAM_MAX)?;
                config.set(&key, Param::Text(&value))
            }
            SET_BINARY => {
                value.read(t, usize::try_from(aux).map_err(|_| Errno::EINVAL)?)?;
                config.set(&key, Param::Object)
            }
            SET_FD => {
                t.files().get(aux)?;
                config.set(&key, Param::Object)
            }
            _ => {
                let empty = if cmd == SET_PATH_EMPTY {
                    AT_EMPTY_PATH
                } else {
                    0
                };
                at::read_path(t, UserCStr(value.0), empty)?;
                config.set(&key, Param::Object)
            }
        }
    });
    Ok(done?)
}

/// `fsmount(2)`.
pub fn fsmount(t: &Arc<Task>, fd: Fd, flags: u32, attr: u32) -> SysResult<Fd> {
    let ns = may_mount(t)?;
    at::check(flags, CLOEXEC)?;
    let attr = new_flags(attr)?;
    let tree = with_config(t, fd, |config| config.mount(&ns, attr))?;
    install(t, tree_file(tree), flags & CLOEXEC != 0)
}

const OPEN_TREE_CLONE: u32 = 1;
/// `OPEN_TREE_CLOEXEC`.
pub const OPEN_TREE_CLOEXEC: u32 = 0o2_000_000;
/// `AT_RECURSIVE`.
pub const AT_RECURSIVE: u32 = 0x8000;

/// What `open_tree(2)` opens.
pub fn tree(t: &Arc<Task>, dirfd: DirFd, path: UserCStr, flags: u32) -> Result<Arc<File>> {
    let known = OPEN_TREE_CLONE
        | OPEN_TREE_CLOEXEC
        | AT_RECURSIVE
        | AT_EMPTY_PATH
        | AT_NO_AUTOMOUNT
        | AT_SYMLINK_NOFOLLOW;
    at::check(flags, known)?;
    let clone = flags & OPEN_TREE_CLONE != 0;
    let recursive = flags & AT_RECURSIVE != 0;
    if recursive && !clone {
        return Err(Errno::EINVAL);
    }
    let ns = if clone { Some(may_mount(t)?) } else { None };
    let place = at::find(t, dirfd, path, flags)?;
    match ns {
        Some(ns) => Ok(tree_file(ns.detached_copy(&place, recursive)?)),
        None => Ok(path_file(place)),
    }
}

/// `open_tree(2)`.
pub fn open_tree(t: &Arc<Task>, dirfd: DirFd, path: UserCStr, flags: u32) -> SysResult<Fd> {
    let file = tree(t, dirfd, path, flags)?;
    install(t, file, flags & OPEN_TREE_CLOEXEC != 0)
}

const F_SYMLINKS: u32 = 1;
const F_EMPTY_PATH: u32 = 4;
const T_SYMLINKS: u32 = 0x10;
const T_EMPTY_PATH: u32 = 0x40;
const SET_GROUP: u32 = 0x100;
const BENEATH: u32 = 0x200;
/// All that can be said, automounts among it.
const MOVE_MASK: u32 = 0x377;

/// `move_mount(2)`.
pub fn move_mount(
    t: &Arc<Task>,
    from_dir: DirFd,
    from_path: UserCStr,
    to_dir: DirFd,
    to_path: UserCStr,
    flags: u32,
) -> SysResult<()> {
    let ns = may_mount(t)?;
    landlock::check_mount(&t.creds())?;
    at::check(flags, MOVE_MASK)?;
    let has = |bit| flags & bit != 0;
    if has(SET_GROUP) && has(BENEATH) {
        return Err(Errno::EINVAL.into());
    }
    let from_name = at::read_path(
        t,
        from_path,
        if has(F_EMPTY_PATH) { AT_EMPTY_PATH } else { 0 },
    )?;
    let to = find(t, (to_dir, to_path), has(T_SYMLINKS), has(T_EMPTY_PATH))?;
    let mut walk = if has(F_SYMLINKS) {
        0
    } else {
        AT_SYMLINK_NOFOLLOW
    };
    if has(F_EMPTY_PATH) {
        walk |= AT_EMPTY_PATH;
    }
    let start = at::start(t, from_dir, &from_name)?;
    let from = at::with(t, |cx| lookup(cx, &start, &from_name, at::walk_flags(walk)))?;
    if has(SET_GROUP) {
        for place in [&from, &to] {
            let home = place.mount.namespace().ok_or(Errno::EINVAL)?;
            if !t.creds().ns_capable(home.owner(), Cap::SysAdmin) {
                return Err(Errno::EPERM.into());
            }
        }
        return Ok(ns.set_group(&from, &to)?);
    }
    if has(BENEATH) && Arc::ptr_eq(&to.mount, &t.fs().root().mount) {
        return Err(Errno::EINVAL.into());
    }
    Ok(ns.move_mount(&from, &to, has(BENEATH))?)
}
