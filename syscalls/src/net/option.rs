//! `getsockopt(2)`, `setsockopt(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::net::options::SOL_SOCKET;
use sentry::net::{OptValue, SocketFile};
use sentry::{SysResult, Task};

use crate::arg::{Fd, UserBuf};

/// Longest option value looked at.
const MAX: usize = 4096;

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
    let value = value.read(t, len.min(MAX))?;
    if level == SOL_SOCKET {
        match socket.set_option(t, level, name, &value) {
            Err(Errno::ENOPROTOOPT) => {
                socket.common().set(t, name, &value)?;
                socket.options_changed();
            }
            done => done?,
        }
    } else {
        socket.set_option(t, level, name, &value)?;
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
    let room = super::addr::room(t, len_ptr)?;
    let got = if level == SOL_SOCKET {
        match socket.get_option(t, level, name) {
            Err(Errno::ENOPROTOOPT) => socket.common().get(name)?,
            got => got?,
        }
    } else {
        socket.get_option(t, level, name)?
    };
    let bytes = match got {
        OptValue::Int(n) => n.to_ne_bytes().to_vec(),
        OptValue::Bytes(b) => b,
    };
    let n = bytes.len().min(room);
    value.write(t, bytes.get(..n).unwrap_or_default())?;
    let len = u32::try_from(n).unwrap_or(0);
    t.mm()
        .copy_out(len_ptr, &len.to_ne_bytes())
        .map_err(Errno::from)?;
    Ok(())
}
