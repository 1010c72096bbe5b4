//! Sockets (`socket(2)`): the layer every protocol family sits below.
//!
//! A description's operations are a [`SocketFile`] around an `Arc<dyn Socket>`. A protocol
//! implements [`Socket`]; nothing in it blocks: `EAGAIN` means "wait on the pollee". What
//! all sockets share (options, pending error, wait queue) is a [`Common`]. [`wait`] holds
//! the waiting forms of accept, connect, send and receive. [`NetNs`] is a network
//! namespace ([`ns`]): the names sockets are found by.
//!
//! [`tun`] has links that end in a file. Families: [`unix`], [`inet`], [`netlink`], [`packet`]. [`outside`] is the network beyond the sandbox.

pub mod addr;
mod config;
pub mod file;
pub mod filter;
pub mod inet;
pub mod msg;
pub mod netlink;
pub mod ns;
pub mod options;
pub mod outside;
pub mod packet;
pub mod tables;
pub mod tun;
pub mod unix;
pub mod view;
pub mod wait;

use std::sync::Arc;

use abi::Errno;
use abi::fs::PollEvents;

pub use addr::SockAddr;
pub use file::SocketFile;
pub use msg::{Control, MsgFlags, PeerCreds, Received, Ucred};
pub use ns::{NetNamespaces, NetNs};
pub use options::{Common, OptCall, OptValue};

use crate::io::{IoDst, IoSrc};
use crate::task::Task;
use crate::{Kernel, Result};

/// Readable, as `poll(2)` tells it.
pub const READABLE: PollEvents = PollEvents::IN.union(PollEvents::RDNORM);
/// Writable, as `poll(2)` tells it.
pub const WRITABLE: PollEvents = PollEvents::OUT.union(PollEvents::WRNORM);

/// `AF_UNIX`.
pub const AF_UNIX: u16 = 1;
/// `AF_INET`.
pub const AF_INET: u16 = 2;
/// `AF_INET6`.
pub const AF_INET6: u16 = 10;
/// `AF_NETLINK`.
pub const AF_NETLINK: u16 = 16;

/// `AF_PACKET`.
pub const AF_PACKET: u16 = 17;

/// Type of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as in socket(2)")]
pub enum SockType {
    Stream = 1,
    Dgram = 2,
    Raw = 3,
    SeqPacket = 5,
}

impl SockType {
    /// From the low bits of the type argument; `EINVAL`.
    pub fn from_raw(raw: i32) -> Result<SockType> {
        Ok(match raw {
            1 => SockType::Stream,
            2 => SockType::Dgram,
            3 => SockType::Raw,
            5 => SockType::SeqPacket,
            // Types no family here has.
            4 | 6 | 10 => return Err(Errno::ESOCKTNOSUPPORT),
            _ => return Err(Errno::EINVAL),
        })
    }
}

/// Which directions to shut (`shutdown(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "plain pair")]
pub struct Shut {
    pub read: bool,
    pub write: bool,
}

/// What a send carries besides its bytes.
pub struct SendArgs<'a> {
    /// Who sends.
    pub task: &'a Arc<Task>,
    /// Destination, if one was named.
    pub to: Option<&'a SockAddr>,
    /// Ancillary data; taken by the first packet.
    pub control: &'a mut Control,
    /// `MSG_*`.
    pub flags: MsgFlags,
}

/// A socket of some family. Methods return `EAGAIN` where a blocking call would wait.
pub trait Socket: Send + Sync + 'static {
    /// Options, pending error, wait queue.
    fn common(&self) -> &Common;
    /// For families to recognise their own.
    fn as_any(&self) -> &dyn std::any::Any;
    /// Whether the reader stands where the urgent byte is (`SIOCATMARK`).
    fn at_mark(&self) -> bool {
        false
    }
    /// `bind(2)`.
    fn bind(&self, _t: &Arc<Task>, _addr: &SockAddr) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }
    /// `listen(2)`.
    fn listen(&self, _t: &Arc<Task>, _backlog: i32) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }
    /// `accept(2)`.
    fn accept(&self, _t: &Arc<Task>) -> Result<Arc<dyn Socket>> {
        Err(Errno::EOPNOTSUPP)
    }
    /// `connect(2)`. `EAGAIN`: try again when woken; `EINPROGRESS`: under way, ask
    /// [`Socket::connected`] when woken.
    fn connect(&self, _t: &Arc<Task>, _addr: &SockAddr) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }
    /// How a connection under way stands; `EAGAIN` while it is.
    fn connected(&self) -> Result<()> {
        Ok(())
    }
    /// Sends; how many bytes were taken.
    fn send(&self, src: &mut dyn IoSrc, args: SendArgs<'_>) -> Result<usize>;
    /// Receives.
    fn recv(&self, dst: &mut dyn IoDst, flags: MsgFlags) -> Result<Received>;
    /// `shutdown(2)`.
    fn shutdown(&self, _how: Shut) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }
    /// `getsockname(2)`.
    fn local_addr(&self) -> Result<SockAddr>;
    /// `getpeername(2)`.
    fn peer_addr(&self) -> Result<SockAddr> {
        Err(Errno::ENOTCONN)
    }
    /// Readiness.
    fn poll(&self) -> PollEvents;
    /// Bytes that can be read (`SIOCINQ`) and that the peer has not taken (`SIOCOUTQ`).
    fn queued(&self) -> Result<(usize, usize)> {
        Ok((0, 0))
    }
    /// Options of other levels than `SOL_SOCKET`; of that one, those that the family answers
    /// for itself, `None` for all others.
    fn get_option(&self, _c: &OptCall<'_>) -> Option<Result<OptValue>> {
        None
    }
    /// Sets an option of another level than `SOL_SOCKET`.
    fn set_option(&self, _c: &OptCall<'_>) -> Result<()> {
        Err(Errno::ENOPROTOOPT)
    }
    /// Sets an option of level `SOL_SOCKET` that the family answers for itself.
    fn set_general(&self, _c: &OptCall<'_>) -> Option<Result<()>> {
        None
    }
    /// Messages that found no room (`SO_MEMINFO`).
    fn drops(&self) -> u32 {
        0
    }
    /// What is sent is numbered from 0 on again (`SOF_TIMESTAMPING_OPT_ID`).
    fn count_stamps_anew(&self) {}
    /// An option of [`Common`] was set.
    fn options_changed(&self) {}
    /// Whether each receive is one message (no partial sends, no glueing).
    fn is_message(&self) -> bool {
        self.common().kind != SockType::Stream
    }
}

/// A new socket. `EAFNOSUPPORT`, `EPROTONOSUPPORT`, `ESOCKTNOSUPPORT`, `EINVAL`.
pub fn create(
    t: &Arc<Task>,
    domain: i32,
    kind: SockType,
    protocol: i32,
) -> Result<Arc<dyn Socket>> {
    let kernel: &Arc<Kernel> = &t.kernel;
    let net = &t.net();
    match u16::try_from(domain).map_err(|_| Errno::EAFNOSUPPORT)? {
        AF_UNIX => Ok(unix::UnixSocket::create(kernel, net, kind, protocol)?),
        d @ (AF_INET | AF_INET6) => inet::create(t, net, d, kind, protocol),
        AF_PACKET => packet::create(t, net, kind, protocol),
        AF_NETLINK => netlink::create(kernel, net, kind, protocol),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}
