//! What all sockets share: options of level `SOL_SOCKET` (`socket(7)`), the pending error,
//! the wait queue. [`call`] is one call that asks for or sets an option, [`socket`] answers
//! those of this level.

pub mod call;
mod socket;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use abi::Errno;
use zerocopy::FromBytes;

pub use call::{OptCall, OptValue};
pub use socket::{get, set};

use super::filter::Filter;
use super::{AF_INET, AF_INET6, AF_UNIX, MsgFlags, NetNs, SockType};
use crate::sync::Mutex;
use crate::wait::Pollee;
use crate::{Kernel, Result};

/// `SOL_SOCKET`.
pub const SOL_SOCKET: i32 = 1;
/// `SO_SELECT_ERR_QUEUE`.
pub const SO_SELECT_ERR_QUEUE: i32 = 45;
/// Default of `SO_SNDBUF` and `SO_RCVBUF` (`rmem_default`).
const BUF_DEFAULT: i32 = 212_992;

/// Options of `SOL_SOCKET`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "named as in socket(7)")]
pub struct Options {
    pub reuseaddr: bool,
    pub reuseport: bool,
    pub keepalive: bool,
    pub broadcast: bool,
    pub dontroute: bool,
    pub oobinline: bool,
    pub passcred: bool,
    pub passpidfd: bool,
    /// Descriptors may be received (`SO_PASSRIGHTS`).
    pub passrights: bool,
    /// `SO_ZEROCOPY`.
    pub zerocopy: bool,
    /// Which of the options that stamp what is received is on (`SO_TIMESTAMP` and its kin),
    /// by its number; 0 for none.
    pub stamp: i32,
    /// `SOF_TIMESTAMPING_*`.
    pub timestamping: u32,
    /// `SO_TIMESTAMPING_NEW` was the one that set them.
    pub timestamping_new: bool,
    pub priority: i32,
    pub mark: i32,
    pub sndbuf: i32,
    pub rcvbuf: i32,
    pub rcvlowat: i32,
    /// Where the next `MSG_PEEK` looks; negative for the front.
    pub peek_off: i32,
    /// Number of the link it is bound to, 0 for any.
    pub link: i32,
    /// Seconds to linger at close.
    pub linger: Option<u32>,
    pub rcvtimeo: Option<Duration>,
    pub sndtimeo: Option<Duration>,
    /// `SO_ATTACH_FILTER`.
    pub filter: Option<Arc<Filter>>,
    /// Others that are set, by number.
    rare: BTreeMap<i32, i64>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            reuseaddr: false,
            reuseport: false,
            keepalive: false,
            broadcast: false,
            dontroute: false,
            oobinline: false,
            passcred: false,
            passpidfd: false,
            passrights: true,
            zerocopy: false,
            stamp: 0,
            timestamping: 0,
            timestamping_new: false,
            priority: 0,
            mark: 0,
            sndbuf: BUF_DEFAULT,
            rcvbuf: BUF_DEFAULT,
            rcvlowat: 1,
            peek_off: -1,
            link: 0,
            linger: None,
            rcvtimeo: None,
            sndtimeo: None,
            filter: None,
            rare: BTreeMap::new(),
        }
    }
}

impl Options {
    /// Whether one of the rarer options is on, by its number.
    pub fn is_on(&self, name: i32) -> bool {
        self.rare.get(&name).is_some_and(|n| *n != 0)
    }
}

/// Shared part of every socket.
pub struct Common {
    /// `AF_*`.
    pub domain: u16,
    /// Type.
    pub kind: SockType,
    /// Protocol number.
    pub protocol: i32,
    /// Inode number (`socket:[ino]`).
    pub ino: u64,
    /// The network namespace it was made in.
    pub net: Arc<NetNs>,
    /// Wait queue.
    pub pollee: Pollee,
    /// Options. Lock rank: leaf.
    pub options: Mutex<Options>,
    /// Pending error, 0 for none.
    error: AtomicI32,
}

impl Common {
    /// Of a new socket.
    pub fn new(
        kernel: &Kernel,
        net: &Arc<NetNs>,
        domain: u16,
        kind: SockType,
        protocol: i32,
    ) -> Common {
        Common {
            domain,
            kind,
            protocol,
            ino: kernel.next_anon_ino(),
            net: net.clone(),
            pollee: Pollee::new(),
            options: Mutex::default(),
            error: AtomicI32::new(0),
        }
    }

    /// Bytes that may be under way to the peer.
    pub fn sndbuf(&self) -> usize {
        usize::try_from(self.options.lock().sndbuf).unwrap_or(0)
    }

    /// Bytes that may wait to be read.
    pub fn rcvbuf(&self) -> usize {
        usize::try_from(self.options.lock().rcvbuf).unwrap_or(0)
    }

    /// Leaves an error for the next call.
    pub fn set_error(&self, e: Errno) {
        self.error.store(e.raw(), Ordering::SeqCst);
    }

    /// Takes the pending error.
    pub fn take_error(&self) -> Option<Errno> {
        match self.error.swap(0, Ordering::SeqCst) {
            0 => None,
            e => Some(Errno::from_raw(e)),
        }
    }

    /// Fails with the pending error, if there is one.
    pub fn check_error(&self) -> Result<()> {
        self.take_error().map_or(Ok(()), Err)
    }

    /// Whether an error is pending.
    pub fn has_error(&self) -> bool {
        self.error.load(Ordering::SeqCst) != 0
    }

    /// Where a receive starts in a message of `whole` bytes: a peek goes on where the last
    /// one ended (`SO_PEEK_OFF`), and whatever is taken moves that place.
    pub fn peek_start(&self, flags: MsgFlags, whole: usize) -> usize {
        let o = self.options.lock();
        match usize::try_from(o.peek_off) {
            Ok(at) if flags.contains(MsgFlags::PEEK) => at.min(whole),
            _ => 0,
        }
    }

    /// `n` bytes were received: where the next peek starts.
    pub fn peek_moved(&self, flags: MsgFlags, n: usize) {
        let mut o = self.options.lock();
        if o.peek_off < 0 {
            return;
        }
        let n = i32::try_from(n).unwrap_or(i32::MAX);
        o.peek_off = match flags.contains(MsgFlags::PEEK) {
            true => o.peek_off.saturating_add(n),
            false => o.peek_off.saturating_sub(n).max(0),
        };
    }

    /// Whether a message may be peeked at past its start; what is taken starts there.
    pub fn peeks_on(&self) -> bool {
        self.options.lock().peek_off >= 0
    }

    /// Whether it is a TCP socket.
    pub fn is_tcp(&self) -> bool {
        self.is_inet() && self.kind == SockType::Stream
    }

    /// Whether it is of one of the internet families.
    pub fn is_inet(&self) -> bool {
        matches!(self.domain, AF_INET | AF_INET6)
    }

    /// Whether it is a unix socket.
    pub fn is_unix(&self) -> bool {
        self.domain == AF_UNIX
    }
}

/// An int option; `EINVAL` when shorter.
pub fn int(value: &[u8]) -> Result<i32> {
    let (n, _) = i32::read_from_prefix(value).map_err(|_| Errno::EINVAL)?;
    Ok(n)
}
