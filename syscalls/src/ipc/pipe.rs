//! `pipe(2)`, `pipe2(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::fs::{OpenFlags, pipe};
use sentry::{SysResult, Task};

use crate::arg::{Out, UserPtr};

/// `pipe(2)`.
pub fn pipe(t: &Arc<Task>, fds: UserPtr<[i32; 2], Out>) -> SysResult<()> {
    make(t, &fds, OpenFlags::empty())
}

/// `pipe2(2)`.
pub fn pipe2(t: &Arc<Task>, fds: UserPtr<[i32; 2], Out>, flags: u32) -> SysResult<()> {
    let flags = OpenFlags::from_bits_retain(flags);
    let known = OpenFlags::CLOEXEC | OpenFlags::NONBLOCK | OpenFlags::DIRECT;
    if !known.contains(flags) {
        return Err(Errno::EINVAL.into());
    }
    make(t, &fds, flags)
}

fn make(t: &Arc<Task>, fds: &UserPtr<[i32; 2], Out>, flags: OpenFlags) -> SysResult<()> {
    let (r, w) = pipe::pipe2(t, flags)?;
    if let Err(e) = fds.write(t, &[r, w]) {
        let files = t.files();
        drop(files.remove(r));
        drop(files.remove(w));
        return Err(e.into());
    }
    Ok(())
}
