//! `execve(2)`, `execveat(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::fs::vfs::{WalkCx, WalkFlags};
use sentry::load::{MAX_ARG_STRLEN, open_exec};
use sentry::task::exec::ExecRequest;
use sentry::task::limits::Resource;
use sentry::{Result, SysResult, Task};

use crate::arg::{DirFd, UserAddr, UserCStr};
use crate::fs::at;

/// Most strings of one array.
const MAX_STRINGS: usize = 0x7fff_ffff / 8;

/// `execve(2)`.
pub fn execve(t: &Arc<Task>, path: UserCStr, argv: UserAddr, envp: UserAddr) -> SysResult<i64> {
    execveat(t, DirFd::CWD, path, argv, envp, 0)
}

/// `execveat(2)`.
pub fn execveat(
    t: &Arc<Task>,
    dirfd: DirFd,
    path: UserCStr,
    argv: UserAddr,
    envp: UserAddr,
    flags: u32,
) -> SysResult<i64> {
    if path.is_null() {
        return Err(Errno::EFAULT.into());
    }
    let name = at::read_path(t, path, flags)?;
    if flags & !(at::AT_SYMLINK_NOFOLLOW | at::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let start = at::start(t, dirfd, &name)?;
    let mut walk = WalkFlags::empty();
    walk.set(WalkFlags::EMPTY_PATH, flags & at::AT_EMPTY_PATH != 0);
    if flags & at::AT_SYMLINK_NOFOLLOW != 0 {
        refuse_link(t, &start, &name)?;
    }
    let file = open_exec(&WalkCx::of(t), &start, &name, walk)?;

    let mut budget = budget(t);
    let argv = read_strings(t, argv.0, &mut budget)?;
    let envp = read_strings(t, envp.0, &mut budget)?;
    let by_fd = dirfd != DirFd::CWD && name.first() != Some(&b'/');
    let vanishes = by_fd && t.files().cloexec(dirfd.0).unwrap_or(false);
    t.exec(ExecRequest {
        file,
        vanishes,
        name: shown_name(dirfd, name),
        argv,
        envp,
    })
}

/// `AT_SYMLINK_NOFOLLOW`: a final symbolic link is `ELOOP`.
fn refuse_link(t: &Arc<Task>, start: &sentry::fs::vfs::Path, name: &[u8]) -> Result<()> {
    let cx = WalkCx::of(t);
    let path = sentry::fs::vfs::lookup(&cx, start, name, WalkFlags::EMPTY_PATH)?;
    if path.inode()?.kind() == sentry::fs::vfs::FileType::Symlink {
        return Err(Errno::ELOOP);
    }
    Ok(())
}

/// The name the program sees: a descriptor's is made up.
fn shown_name(dirfd: DirFd, name: Vec<u8>) -> Vec<u8> {
    if dirfd == DirFd::CWD || name.first() == Some(&b'/') {
        return name;
    }
    let mut shown = format!("/dev/fd/{}", dirfd.0).into_bytes();
    if !name.is_empty() {
        shown.push(b'/');
        shown.extend(name);
    }
    shown
}

/// Bytes arguments and environment may take together: a quarter of the stack limit, at
/// least 128 KiB and at most 6 MiB (`execve(2)`).
fn budget(t: &Arc<Task>) -> usize {
    let stack = t.limit(Resource::Stack) / 4;
    usize::try_from(stack)
        .unwrap_or(usize::MAX)
        .clamp(128 << 10, 6 << 20)
}

/// Copies a NULL-terminated array of strings in; `NULL` is an empty one.
fn read_strings(t: &Arc<Task>, array: u64, budget: &mut usize) -> Result<Vec<Vec<u8>>> {
    let mut list = Vec::new();
    if array == 0 {
        return Ok(list);
    }
    let mm = t.mm();
    for i in 0..MAX_STRINGS {
        let mut word = [0u8; 8];
        let at = array.wrapping_add((i as u64).wrapping_mul(8));
        mm.copy_in(at, &mut word)?;
        let pointer = u64::from_ne_bytes(word);
        if pointer == 0 {
            return Ok(list);
        }
        let string = match mm.copy_in_cstr(pointer, MAX_ARG_STRLEN - 1) {
            Err(Errno::ENAMETOOLONG) => return Err(Errno::E2BIG),
            other => other?,
        };
        let size = string.len().saturating_add(1 + 8);
        *budget = budget.checked_sub(size).ok_or(Errno::E2BIG)?;
        list.push(string);
    }
    Err(Errno::E2BIG)
}
