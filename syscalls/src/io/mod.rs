//! Calls on open descriptions: transfer of data, position, descriptors, locks.

pub mod aio;
pub mod cachestat;
pub mod copy;
pub mod fcntl;
pub mod fds;
pub mod ioctl;
pub mod lock;
pub mod offset;
pub mod rw;
pub mod splice;
pub mod transfer;

use std::sync::Arc;

use abi::Errno;
use sentry::fs::{File, OpenFlags};
use sentry::{Result, Task};

use crate::arg::Fd;

/// The description of `fd`; `EBADF`, also for `O_PATH` ones, which have no operations.
pub fn file(t: &Arc<Task>, fd: Fd) -> Result<Arc<File>> {
    let file = t.files().get(fd.0)?;
    if file.flags().contains(OpenFlags::PATH) {
        return Err(Errno::EBADF);
    }
    Ok(file)
}

/// The description of `fd` if it is open for reading; `EBADF`.
pub fn readable(t: &Arc<Task>, fd: Fd) -> Result<Arc<File>> {
    let file = file(t, fd)?;
    check_readable(&file)?;
    Ok(file)
}

/// The description of `fd` if it is open for writing; `EBADF`.
pub fn writable(t: &Arc<Task>, fd: Fd) -> Result<Arc<File>> {
    let file = file(t, fd)?;
    check_writable(&file)?;
    Ok(file)
}

/// `EBADF` unless the access mode allows reads.
pub fn check_readable(file: &File) -> Result<()> {
    let mode = file.flags().bits() & 3;
    if mode == 1 || mode == 3 {
        return Err(Errno::EBADF);
    }
    Ok(())
}

/// `EBADF` unless the access mode allows writes.
pub fn check_writable(file: &File) -> Result<()> {
    let mode = file.flags().bits() & 3;
    if mode == 0 || mode == 3 {
        return Err(Errno::EBADF);
    }
    Ok(())
}
