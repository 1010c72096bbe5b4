//! `getsockopt(2)`, `setsockopt(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::net::options::{self, SOL_SOCKET};
use sentry::net::{OptCall, SocketFile};
use sentry::{SysResult, Task};

use crate::arg::{Fd, UserBuf};

/// `setsockopt(2)`.
pub fn setsockopt(
    t: &Arc<Task>,
    fd: Fd,
    level: i32,
    name: i32,
    value: UserBuf,
    len: i32,
) -> SysResult<()> {
    let (_file, socket) = SocketFile::of(t, fd.0)?;
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    let call = OptCall::set(t, &socket.common().net, (level, name), value.0, len);
    if level == SOL_SOCKET {
        options::set(&*socket, &call)?;
        socket.options_changed();
    } else {
        socket.set_option(&call)?;
    }
    Ok(())
}

/// `getsockopt(2)`: the value is cut to the length given.
pub fn getsockopt(
    t: &Arc<Task>,
    fd: Fd,
    level: i32,
    name: i32,
    value: UserBuf,
    len_ptr: u64,
) -> SysResult<()> {
    let (_file, socket) = SocketFile::of(t, fd.0)?;
    let call = OptCall::get(t, &socket.common().net, (level, name), value.0, len_ptr);
    let got = match level {
        SOL_SOCKET => options::get(&*socket, &call)?,
        _ => socket
            .get_option(&call)
            .unwrap_or(Err(Errno::ENOPROTOOPT))?,
    };
    Ok(call.put(got)?)
}
