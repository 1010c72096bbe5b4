//! `recvfrom(2)`, `recvmsg(2)`, `recvmmsg(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::time::Timespec;
use sentry::net::{MsgFlags, Received, SocketFile, wait};
use sentry::{SysResult, Task};

use super::cmsg::{self, MsgHdr};
use super::{addr, batch};
use crate::arg::{Fd, In, InOut, UserBuf, UserIoVec, UserPtr};

/// The value of a receive: what was copied, or with `MSG_TRUNC` the real length.
fn value(r: &Received, flags: MsgFlags) -> i64 {
    let n = if flags.contains(MsgFlags::TRUNC) {
        r.full
    } else {
        r.bytes
    };
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// `recvfrom(2)`; `recv(2)` is it without an address.
pub fn recvfrom(
    t: &Arc<Task>,
    fd: Fd,
    buf: UserBuf,
    len: usize,
    flags: u32,
    src: u64,
    src_len: u64,
) -> SysResult<i64> {
    let io = buf.io(t, len.min(abi::MAX_RW_COUNT))?;
    let (file, socket) = SocketFile::of(t, fd.0)?;
    let flags = MsgFlags::from_bits_retain(flags);
    let then = move |t: &Arc<Task>, r: Received| -> SysResult<i64> {
        if src != 0 {
            let name = r.from.as_ref().map(|a| a.to_bytes()).unwrap_or_default();
            addr::write_back(t, src, src_len, &name)?;
        }
        Ok(value(&r, flags))
    };
    wait::recv(t, file, socket, io, flags, Box::new(then))
}

/// Writes back what came with a message into its `msghdr` at `at`.
pub(super) fn write_msg(
    t: &Arc<Task>,
    at: u64,
    hdr: &MsgHdr,
    flags: MsgFlags,
    mut r: Received,
) -> SysResult<i64> {
    let mm = t.mm();
    if hdr.name != 0 {
        let name = r.from.as_ref().map(|a| a.to_bytes()).unwrap_or_default();
        let room = usize::try_from(hdr.namelen).unwrap_or(0);
        addr::write(t, hdr.name, room, at.wrapping_add(cmsg::OFF_NAMELEN), &name)?;
    }
    let files = std::mem::take(&mut r.files);
    let room = match hdr.control {
        0 => 0,
        _ => usize::try_from(hdr.controllen).unwrap_or(0),
    };
    let (used, cut) = cmsg::write(t, hdr.control, room, &r, files, flags)?;
    let shown = (r.flags | cut | (flags & MsgFlags::CMSG_CLOEXEC)).bits();
    let used = (used as u64).to_ne_bytes();
    mm.copy_out(at.wrapping_add(cmsg::OFF_FLAGS), &shown.to_ne_bytes())
        .map_err(Errno::from)?;
    mm.copy_out(at.wrapping_add(cmsg::OFF_CONTROLLEN), &used)
        .map_err(Errno::from)?;
    Ok(value(&r, flags))
}

/// `recvmsg(2)`.
pub fn recvmsg(t: &Arc<Task>, fd: Fd, msg: UserPtr<MsgHdr, InOut>, flags: u32) -> SysResult<i64> {
    let (file, socket) = SocketFile::of(t, fd.0)?;
    let at = msg.addr();
    let hdr = msg.read(t)?;
    if i32::try_from(hdr.namelen).is_err() {
        return Err(Errno::EINVAL.into());
    }
    if hdr.iovlen > abi::UIO_MAXIOV as u64 {
        return Err(Errno::EMSGSIZE.into());
    }
    let io = UserIoVec(hdr.iov).read(t, hdr.iovlen)?;
    let flags = MsgFlags::from_bits_retain(flags);
    let then = move |t: &Arc<Task>, r: Received| write_msg(t, at, &hdr, flags, r);
    wait::recv(t, file, socket, io, flags, Box::new(then))
}

/// `recvmmsg(2)`.
pub fn recvmmsg(
    t: &Arc<Task>,
    fd: Fd,
    vec: u64,
    n: u32,
    flags: u32,
    timeout: UserPtr<Timespec, In>,
) -> SysResult<i64> {
    let deadline = match timeout.non_null() {
        Some(p) => {
            let span = p.read(t)?.to_duration()?;
            Some(t.kernel.clock.monotonic().saturating_add(span))
        }
        None => None,
    };
    let (file, socket) = SocketFile::of(t, fd.0)?;
    let batch = batch::Batch {
        file,
        socket,
        vec,
        n: u64::from(n).min(abi::UIO_MAXIOV as u64),
        flags: MsgFlags::from_bits_retain(flags),
        deadline,
    };
    batch::recv(t, batch)
}
