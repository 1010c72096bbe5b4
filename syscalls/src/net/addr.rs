//! Socket addresses in and out of guest memory.

use std::sync::Arc;

use abi::Errno;
use sentry::landlock::NetRights;
use sentry::net::{SockAddr, SockType, Socket};
use sentry::{Result, Task};

/// `sizeof(struct sockaddr_storage)`, the longest address.
const MAX: u32 = 128;

/// Copies an address in; `EINVAL` for a length that is negative or too long.
pub(super) fn read(t: &Arc<Task>, addr: u64, len: u32) -> Result<SockAddr> {
    if len > MAX {
        return Err(Errno::EINVAL);
    }
    let mut raw = vec![0; usize::try_from(len).unwrap_or(0)];
    t.mm().copy_in(addr, &mut raw)?;
    SockAddr::parse(&raw)
}

/// Whether the caller's domain lets a TCP socket do this with the port of an address;
/// `EACCES`.
pub(super) fn check_port(
    t: &Arc<Task>,
    socket: &dyn Socket,
    addr: &SockAddr,
    rights: NetRights,
) -> Result<()> {
    if let SockAddr::Inet(to) = addr
        && socket.common().kind == SockType::Stream
    {
        t.creds().landlock.check_port(to.port(), rights)?;
    }
    Ok(())
}

/// Reads the length word of an address to be returned; `EINVAL` when negative.
pub(super) fn room(t: &Arc<Task>, len_ptr: u64) -> Result<usize> {
    let mut raw = [0; 4];
    t.mm().copy_in(len_ptr, &mut raw)?;
    usize::try_from(i32::from_ne_bytes(raw)).map_err(|_| Errno::EINVAL)
}

/// Copies an address out, cut to `room`, and its whole length to `len_ptr`.
pub(super) fn write(
    t: &Arc<Task>,
    addr: u64,
    room: usize,
    len_ptr: u64,
    value: &[u8],
) -> Result<()> {
    let n = value.len().min(room);
    let mm = t.mm();
    mm.copy_out(addr, value.get(..n).unwrap_or_default())?;
    let len = u32::try_from(value.len()).unwrap_or(0);
    mm.copy_out(len_ptr, &len.to_ne_bytes())?;
    Ok(())
}

/// As [`write`], reading the room first; nothing for a `NULL` address.
pub(super) fn write_back(t: &Arc<Task>, addr: u64, len_ptr: u64, value: &[u8]) -> Result<()> {
    if addr == 0 {
        return Ok(());
    }
    let room = room(t, len_ptr)?;
    write(t, addr, room, len_ptr, value)
}
