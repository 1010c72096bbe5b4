//! `sendto(2)`, `sendmsg(2)`, `sendmmsg(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::net::wait::{self, Outgoing};
use sentry::net::{Control, MsgFlags, SocketFile};
use sentry::{SysResult, Task};

use super::cmsg::{self, MsgHdr};
use super::{addr, batch};
use crate::arg::{Fd, In, UserBuf, UserIoVec, UserPtr};

/// `sendto(2)`; `send(2)` is it without an address.
pub fn sendto(
    t: &Arc<Task>,
    fd: Fd,
    buf: UserBuf,
    len: usize,
    flags: u32,
    dest: u64,
    dest_len: u32,
) -> SysResult<i64> {
    let io = buf.io(t, len.min(abi::MAX_RW_COUNT))?;
    let (file, socket) = SocketFile::of(t, fd.0)?;
    let to = match dest {
        0 => None,
        _ => Some(addr::read(t, dest, dest_len)?),
    };
    let msg = Outgoing {
        io,
        to,
        control: Control::default(),
        flags: MsgFlags::from_bits_retain(flags),
    };
    wait::send(t, file, socket, msg)
}

/// Copies in everything of a message but its bytes.
pub(super) fn read_msg(t: &Arc<Task>, hdr: &MsgHdr, flags: MsgFlags) -> SysResult<Outgoing> {
    let to = if hdr.name == 0 || hdr.namelen == 0 {
        None
    } else {
        Some(addr::read(t, hdr.name, hdr.namelen.min(128))?)
    };
    if hdr.iovlen > abi::UIO_MAXIOV as u64 {
        return Err(Errno::EMSGSIZE.into());
    }
    let io = UserIoVec(hdr.iov).read(t, hdr.iovlen)?;
    let control = cmsg::read(t, hdr)?;
    Ok(Outgoing {
        io,
        to,
        control,
        flags,
    })
}

/// `sendmsg(2)`.
pub fn sendmsg(t: &Arc<Task>, fd: Fd, msg: UserPtr<MsgHdr, In>, flags: u32) -> SysResult<i64> {
    let (file, socket) = SocketFile::of(t, fd.0)?;
    let hdr = msg.read(t)?;
    let msg = read_msg(t, &hdr, MsgFlags::from_bits_retain(flags))?;
    wait::send(t, file, socket, msg)
}

/// `sendmmsg(2)`.
pub fn sendmmsg(t: &Arc<Task>, fd: Fd, vec: u64, n: u32, flags: u32) -> SysResult<i64> {
    let (file, socket) = SocketFile::of(t, fd.0)?;
    let batch = batch::Batch {
        file,
        socket,
        vec,
        n: u64::from(n).min(abi::UIO_MAXIOV as u64),
        flags: MsgFlags::from_bits_retain(flags),
        deadline: None,
    };
    batch::send(t, batch)
}
