//! `socket(2)`, `socketpair(2)`, `bind(2)`, `listen(2)`, `shutdown(2)`, `getsockname(2)`,
//! `getpeername(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::fs::OpenFlags;
use sentry::landlock::NetRights;
use sentry::net::{self, AF_UNIX, Shut, SockType, SocketFile, unix};
use sentry::{SysResult, Task};

use super::addr;
use crate::arg::{Fd, Out, UserPtr};

/// Low bits of the type argument.
const TYPE_MASK: i32 = 0xf;

/// Splits the type argument; `EINVAL`.
/// `SOCK_CLOEXEC` and `SOCK_NONBLOCK`.
const FLAGS: i32 = 0o2004000;

fn split(kind: i32) -> sentry::Result<(SockType, OpenFlags)> {
    let flags = OpenFlags::from_bits_retain((kind & !TYPE_MASK) as u32);
    if !(OpenFlags::CLOEXEC | OpenFlags::NONBLOCK).contains(flags) {
        return Err(Errno::EINVAL);
    }
    Ok((SockType::from_raw(kind & TYPE_MASK)?, flags))
}

/// `socket(2)`.
pub fn socket(t: &Arc<Task>, domain: i32, kind: i32, protocol: i32) -> SysResult<Fd> {
    // One past the highest family there can be (`AF_MAX`).
    if kind & !(TYPE_MASK | FLAGS) == 0 && !(0..46).contains(&domain) {
        return Err(Errno::EAFNOSUPPORT.into());
    }
    let (kind, flags) = split(kind)?;
    let socket = net::create(t, domain, kind, protocol)?;
    Ok(Fd(SocketFile::install(t, socket, flags)?))
}

/// `socketpair(2)`: unix sockets only.
pub fn socketpair(
    t: &Arc<Task>,
    domain: i32,
    kind: i32,
    protocol: i32,
    fds: UserPtr<[i32; 2], Out>,
) -> SysResult<()> {
    let (kind, flags) = split(kind)?;
    // Linux notes the numbers before it makes anything: a bad place is told first.
    let mut place = [0; 8];
    t.mm()
        .copy_in(fds.addr(), &mut place)
        .map_err(Errno::from)?;
    t.mm().copy_out(fds.addr(), &place).map_err(Errno::from)?;
    match u16::try_from(domain) {
        Ok(AF_UNIX) => {}
        Ok(net::AF_INET | net::AF_INET6 | net::AF_NETLINK) => {
            return Err(Errno::EOPNOTSUPP.into());
        }
        _ => return Err(Errno::EAFNOSUPPORT.into()),
    }
    let (a, b) = unix::pair(t, kind, protocol)?;
    let first = SocketFile::install(t, a, flags)?;
    let files = t.files();
    let second = match SocketFile::install(t, b, flags) {
        Ok(fd) => fd,
        Err(e) => {
            drop(files.remove(first));
            return Err(e.into());
        }
    };
    if let Err(e) = fds.write(t, &[first, second]) {
        drop(files.remove(first));
        drop(files.remove(second));
        return Err(e.into());
    }
    Ok(())
}

/// `bind(2)`.
pub fn bind(t: &Arc<Task>, fd: Fd, addr: u64, len: u32) -> SysResult<()> {
    let (_file, socket) = SocketFile::of(t, fd.0)?;
    let addr = addr::read(t, addr, len)?;
    addr::check_port(t, &*socket, &addr, NetRights::BIND_TCP)?;
    Ok(socket.bind(t, &addr)?)
}

/// `listen(2)`.
pub fn listen(t: &Arc<Task>, fd: Fd, backlog: i32) -> SysResult<()> {
    let (_file, socket) = SocketFile::of(t, fd.0)?;
    // `/proc/sys/net/core/somaxconn`; a negative number counts as a large one.
    let backlog = if (0..=4096).contains(&backlog) {
        backlog
    } else {
        4096
    };
    Ok(socket.listen(t, backlog)?)
}

/// `shutdown(2)`.
pub fn shutdown(t: &Arc<Task>, fd: Fd, how: i32) -> SysResult<()> {
    let (_file, socket) = SocketFile::of(t, fd.0)?;
    let (read, write) = match how {
        0 => (true, false),
        1 => (false, true),
        2 => (true, true),
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok(socket.shutdown(Shut { read, write })?)
}

/// `getsockname(2)`.
pub fn getsockname(t: &Arc<Task>, fd: Fd, addr: u64, len: u64) -> SysResult<()> {
    let (_file, socket) = SocketFile::of(t, fd.0)?;
    let name = socket.local_addr()?.to_bytes();
    let room = addr::room(t, len)?;
    Ok(addr::write(t, addr, room, len, &name)?)
}

/// `getpeername(2)`.
pub fn getpeername(t: &Arc<Task>, fd: Fd, addr: u64, len: u64) -> SysResult<()> {
    let (_file, socket) = SocketFile::of(t, fd.0)?;
    let name = socket.peer_addr()?.to_bytes();
    let room = addr::room(t, len)?;
    Ok(addr::write(t, addr, room, len, &name)?)
}
