//! `signalfd(2)`, `signalfd4(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::signal::SigSet;
use sentry::fs::{File, OpenFlags};
use sentry::signal::signalfd::SignalFd;
use sentry::task::limits::Resource;
use sentry::{SysResult, Task};

use crate::arg::{Fd, In, UserPtr};

/// `signalfd(2)` of old: no flags.
pub fn signalfd(t: &Arc<Task>, fd: Fd, mask: UserPtr<SigSet, In>, size: usize) -> SysResult<Fd> {
    signalfd4(t, fd, mask, size, 0)
}

/// `signalfd4(2)`.
pub fn signalfd4(
    t: &Arc<Task>,
    fd: Fd,
    mask: UserPtr<SigSet, In>,
    size: usize,
    flags: u32,
) -> SysResult<Fd> {
    let known = OpenFlags::CLOEXEC | OpenFlags::NONBLOCK;
    if size != size_of::<SigSet>() || flags & !known.bits() != 0 {
        return Err(Errno::EINVAL.into());
    }
    let mask = mask.read(t)?;
    let flags = OpenFlags::from_bits_truncate(flags);

    if fd.0 != -1 {
        let file = t.files().get(fd.0)?;
        let old = file.downcast::<SignalFd>().ok_or(Errno::EINVAL)?;
        old.set_mask(mask);
        return Ok(fd);
    }
    let ops = Arc::new(SignalFd::new(t.thread_group(), mask));
    let file = File::anonymous(ops, OpenFlags::RDWR | (flags & OpenFlags::NONBLOCK));
    let limit = t.limit(Resource::Nofile);
    let cloexec = flags.contains(OpenFlags::CLOEXEC);
    Ok(Fd(t.files().install(file, 0, cloexec, limit)?))
}
