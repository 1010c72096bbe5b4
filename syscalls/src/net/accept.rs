//! `accept(2)`, `accept4(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::fs::OpenFlags;
use sentry::net::{self, SocketFile};
use sentry::{SysResult, Task};

use super::addr;
use crate::arg::Fd;

/// `accept(2)`.
pub fn accept(t: &Arc<Task>, fd: Fd, addr: u64, len: u64) -> SysResult<i64> {
    accept4(t, fd, addr, len, 0)
}

/// `accept4(2)`.
pub fn accept4(t: &Arc<Task>, fd: Fd, addr: u64, len: u64, flags: u32) -> SysResult<i64> {
    crate::io::file(t, fd)?;
    let flags = OpenFlags::from_bits_retain(flags);
    if !(OpenFlags::CLOEXEC | OpenFlags::NONBLOCK).contains(flags) {
        return Err(Errno::EINVAL.into());
    }
    let (file, socket) = SocketFile::of(t, fd.0)?;
    let then = move |t: &Arc<Task>, new: Arc<dyn net::Socket>| -> SysResult<i64> {
        let name = new.peer_addr().map(|a| a.to_bytes());
        let fd = SocketFile::install(t, new, flags)?;
        if addr != 0 {
            let written = name.and_then(|name| addr::write_back(t, addr, len, &name));
            if let Err(e) = written {
                drop(t.files().remove(fd));
                return Err(if e == Errno::ENOTCONN {
                    Errno::ECONNABORTED.into()
                } else {
                    e.into()
                });
            }
        }
        Ok(i64::from(fd))
    };
    net::wait::accept(t, file, socket, Box::new(then))
}
