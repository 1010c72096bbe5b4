//! What all sockets share: options of level `SOL_SOCKET` (`socket(7)`), the pending error,
//! the wait queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use abi::Errno;
use abi::time::Timeval;
use zerocopy::{FromBytes, IntoBytes};

use super::{NetNs, SockType};
use crate::creds::Cap;
use crate::sync::Mutex;
use crate::task::Task;
use crate::wait::Pollee;
use crate::{Kernel, Result};

/// `SOL_SOCKET`.
pub const SOL_SOCKET: i32 = 1;
/// Default and largest buffer size of `SO_SNDBUF` and `SO_RCVBUF` before doubling.
const BUF_MAX: i32 = 212_992;
const MIN_SNDBUF: i32 = 4608;
const MIN_RCVBUF: i32 = 2304;

/// Value of an option towards the guest; cut to the length given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptValue {
    /// An int, of which one byte is given when only one is asked for.
    Int(i32),
    /// Anything else.
    Bytes(Vec<u8>),
}

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
    pub timestamp: bool,
    pub timestampns: bool,
    pub priority: i32,
    pub mark: i32,
    pub sndbuf: i32,
    pub rcvbuf: i32,
    pub rcvlowat: i32,
    /// Seconds to linger at close.
    pub linger: Option<u32>,
    pub rcvtimeo: Option<Duration>,
    pub sndtimeo: Option<Duration>,
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
            timestamp: false,
            timestampns: false,
            priority: 0,
            mark: 0,
            sndbuf: BUF_MAX,
            rcvbuf: BUF_MAX,
            rcvlowat: 1,
            linger: None,
            rcvtimeo: None,
            sndtimeo: None,
        }
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

    /// An option of `SOL_SOCKET`; `ENOPROTOOPT` for those the family must answer.
    pub fn get(&self, name: i32) -> Result<OptValue> {
        let o = self.options.lock();
        let flag = |b: bool| Ok(OptValue::Int(i32::from(b)));
        match name {
            2 => flag(o.reuseaddr),
            3 => Ok(OptValue::Int(self.kind as i32)),
            4 => Ok(OptValue::Int(self.take_error().map_or(0, Errno::raw))),
            1 | 11 | 14 | 40 => Ok(OptValue::Int(0)),
            5 => flag(o.dontroute),
            6 => flag(o.broadcast),
            7 => Ok(OptValue::Int(o.sndbuf)),
            8 => Ok(OptValue::Int(o.rcvbuf)),
            9 => flag(o.keepalive),
            10 => flag(o.oobinline),
            12 => Ok(OptValue::Int(o.priority)),
            13 => {
                let raw = [i32::from(o.linger.is_some()), linger_secs(o.linger)];
                Ok(OptValue::Bytes(raw.as_bytes().to_vec()))
            }
            15 => flag(o.reuseport),
            16 => flag(o.passcred),
            18 => Ok(OptValue::Int(o.rcvlowat)),
            19 => Ok(OptValue::Int(1)),
            20 | 66 => Ok(timeout_value(o.rcvtimeo)),
            21 | 67 => Ok(timeout_value(o.sndtimeo)),
            25 => Ok(OptValue::Bytes(Vec::new())),
            29 => flag(o.timestamp),
            35 => flag(o.timestampns),
            36 => Ok(OptValue::Int(o.mark)),
            38 => Ok(OptValue::Int(self.protocol)),
            39 => Ok(OptValue::Int(i32::from(self.domain))),
            49 => Ok(OptValue::Int(-1)),
            57 => Ok(OptValue::Bytes(self.ino.to_ne_bytes().to_vec())),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    /// Sets an option of `SOL_SOCKET`.
    pub fn set(&self, t: &Arc<Task>, name: i32, value: &[u8]) -> Result<()> {
        match name {
            13 => return self.set_linger(value),
            20 | 66 => {
                self.options.lock().rcvtimeo = read_timeout(value)?;
                return Ok(());
            }
            21 | 67 => {
                self.options.lock().sndtimeo = read_timeout(value)?;
                return Ok(());
            }
            _ => {}
        }
        let n = int(value)?;
        let admin = t.creds().capable(Cap::NetAdmin);
        let mut o = self.options.lock();
        match name {
            2 => o.reuseaddr = n != 0,
            5 => o.dontroute = n != 0,
            6 => o.broadcast = n != 0,
            7 => o.sndbuf = buffer_size(n, MIN_SNDBUF, BUF_MAX),
            8 => o.rcvbuf = buffer_size(n, MIN_RCVBUF, BUF_MAX),
            32 if admin => o.sndbuf = buffer_size(n, MIN_SNDBUF, 8 << 20),
            33 if admin => o.rcvbuf = buffer_size(n, MIN_RCVBUF, 8 << 20),
            1 | 32 | 33 | 36 if !admin => return Err(Errno::EPERM),
            1 => {}
            9 => o.keepalive = n != 0,
            10 => o.oobinline = n != 0,
            12 if (0..=6).contains(&n) || admin => o.priority = n,
            12 => return Err(Errno::EPERM),
            15 => o.reuseport = n != 0,
            16 => o.passcred = n != 0,
            18 => o.rcvlowat = if n < 0 { i32::MAX } else { n.max(1) },
            29 => o.timestamp = n != 0,
            35 => o.timestampns = n != 0,
            36 => o.mark = n,
            // Accepted for their effect on speed alone.
            11 | 14 | 46 => {}
            27 => return Err(Errno::ENOENT),
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    fn set_linger(&self, value: &[u8]) -> Result<()> {
        let raw = <[i32; 2]>::read_from_prefix(value).map_err(|_| Errno::EINVAL)?;
        let [on, secs] = raw.0;
        let secs = u32::try_from(secs).unwrap_or(u32::MAX);
        self.options.lock().linger = (on != 0).then_some(secs);
        Ok(())
    }
}

fn linger_secs(linger: Option<u32>) -> i32 {
    i32::try_from(linger.unwrap_or(0)).unwrap_or(i32::MAX)
}

fn buffer_size(n: i32, min: i32, max: i32) -> i32 {
    n.clamp(0, max).saturating_mul(2).max(min)
}

fn timeout_value(timeout: Option<Duration>) -> OptValue {
    let tv = timeout.map_or(Timeval::default(), Timeval::from);
    OptValue::Bytes(tv.as_bytes().to_vec())
}

/// A `struct timeval` option; zero means no timeout, `EDOM` for bad microseconds.
fn read_timeout(value: &[u8]) -> Result<Option<Duration>> {
    let (tv, _) = Timeval::read_from_prefix(value).map_err(|_| Errno::EINVAL)?;
    if !(0..1_000_000).contains(&tv.usec) {
        return Err(Errno::EDOM);
    }
    let Ok(sec) = u64::try_from(tv.sec) else {
        return Ok(Some(Duration::ZERO));
    };
    let span = Duration::from_secs(sec)
        .saturating_add(Duration::from_micros(u64::try_from(tv.usec).unwrap_or(0)));
    Ok((!span.is_zero()).then_some(span))
}

/// An int option; `EINVAL` when shorter.
pub fn int(value: &[u8]) -> Result<i32> {
    let (n, _) = i32::read_from_prefix(value).map_err(|_| Errno::EINVAL)?;
    Ok(n)
}
