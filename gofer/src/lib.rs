//! The gofer: the one process of a sandbox that can name host files.
//!
//! One gofer serves one container. It sees that container's mounts and nothing else, opens
//! files on behalf of the Sentry and hands it descriptors; the Sentry can name nothing but
//! handles it was given plus one path component. Neither side trusts the other.
//!
//! [`proto`] is the wire format, [`server`] runs in the gofer process (forked by `runsc`),
//! [`jail`] locks that process down, [`client`] is what the `sentry` crate calls.
//! `sys` holds the few host calls that no safe crate offers.

pub mod attr;
pub mod client;
pub mod jail;
pub mod proto;
pub mod server;
mod sys;

pub use attr::{Attr, FileKind, FsStat, SetAttr, SetTime, Time};
pub use client::{Client, Created, Dirent, Made, OpenMode, WatchEvent, WatchKind};
pub use proto::Handle;
pub use server::{Exports, MountRoot};

/// A connected pair of sockets for [`server::serve`] and [`Client::new`].
pub fn pair() -> std::io::Result<(std::os::fd::OwnedFd, std::os::fd::OwnedFd)> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    let flags = SocketFlags::CLOEXEC;
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags,
        None,
    )?)
}

/// The host's error as the guest's; the numbers are the same.
pub(crate) fn errno(e: rustix::io::Errno) -> abi::Errno {
    abi::Errno::from_raw(e.raw_os_error())
}
