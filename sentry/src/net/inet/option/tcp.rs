//! Options of level TCP that are more than an int to keep (`tcp(7)`).

use abi::Errno;

use super::{IpOptions, Owner, SOL_TCP, find, rows};
use crate::Result;
use crate::creds::Cap;
use crate::net::{AF_INET6, OptCall, OptValue};

const TCP_MAXSEG: i32 = 2;
const TCP_LINGER2: i32 = 8;
const TCP_DEFER_ACCEPT: i32 = 9;
const TCP_WINDOW_CLAMP: i32 = 10;
/// `TCP_CONGESTION`; 1 is kept for Reno.
pub(super) const CONGESTION: i32 = 13;
const TCP_THIN_DUPACK: i32 = 17;
const TCP_REPAIR: i32 = 19;
const TCP_FASTOPEN: i32 = 23;
const TCP_TIMESTAMP: i32 = 24;
const TCP_CC_INFO: i32 = 26;
const TCP_SAVED_SYN: i32 = 28;
const TCP_FASTOPEN_CONNECT: i32 = 30;
const TCP_ULP: i32 = 31;
const TCP_FASTOPEN_KEY: i32 = 33;
const TCP_FASTOPEN_NO_COOKIE: i32 = 34;
const TCP_ZEROCOPY_RECEIVE: i32 = 35;
/// Longest name of an algorithm.
const NAME_MAX: usize = 15;
/// Segment of a socket without a peer.
const MSS_DEFAULT: i32 = 536;
/// Segments over the loopback: half of the first window.
const MSS_V4: i32 = 32_741;
const MSS_V6: i32 = 32_732;
/// Most seconds of `TCP_LINGER2`.
const FIN_TIMEOUT_MAX: i32 = 120;
/// First time a handshake is said again, and the most of it, in seconds.
const SYN_TIMEOUT: i32 = 1;
const SYN_TIMEOUT_MAX: i32 = 120;
const MSS_MIN: i32 = 88;
const MSS_MAX: i32 = 32_767;
/// Half of the least receive buffer.
const WINDOW_MIN: i32 = 1152;

pub(super) fn get(all: &IpOptions, c: &OptCall<'_>, o: Owner) -> Result<OptValue> {
    match c.name {
        TCP_MAXSEG => Ok(OptValue::Int(segment(all, o))),
        TCP_LINGER2 => {
            let n = all.value(SOL_TCP, TCP_LINGER2);
            Ok(OptValue::Int(n))
        }
        TCP_DEFER_ACCEPT => {
            let tries = all.value(SOL_TCP, TCP_DEFER_ACCEPT);
            Ok(OptValue::Int(seconds(tries)))
        }
        TCP_WINDOW_CLAMP if o.peer.is_some() && !all.is_set(SOL_TCP, c.name) => {
            Ok(OptValue::Int(65_536))
        }
        CONGESTION => {
            let name: &[u8] = if all.is_reno() { b"reno" } else { b"cubic" };
            let mut raw = name.to_vec();
            raw.resize(NAME_MAX + 1, 0);
            Ok(OptValue::Bytes(raw))
        }
        // Only the algorithms that have something to say do: neither of ours.
        TCP_CC_INFO => Ok(OptValue::Bytes(Vec::new())),
        TCP_SAVED_SYN | TCP_ULP => Ok(OptValue::Bytes(Vec::new())),
        TCP_FASTOPEN_KEY => Ok(OptValue::Bytes(all.bytes(SOL_TCP, TCP_FASTOPEN_KEY))),
        TCP_TIMESTAMP => {
            let now = c.t.kernel.clock.monotonic().as_millis();
            let low = u32::try_from(now & 0xffff_ffff).unwrap_or(0);
            Ok(OptValue::Int(low.cast_signed()))
        }
        // Repair: what only a socket under repair tells.
        TCP_REPAIR | TCP_THIN_DUPACK => Ok(OptValue::Int(0)),
        20 | 21 | 29 | TCP_ZEROCOPY_RECEIVE => Err(Errno::EINVAL),
        // TCP_AO_REPAIR: there are no keys.
        42 if o.listening => Err(Errno::EPERM),
        42 => match c.need(&[Cap::NetAdmin]) {
            Ok(()) => Err(Errno::ENOPROTOOPT),
            e => e.map(|()| OptValue::Int(0)),
        },
        name => {
            find(rows::TCP, name).ok_or(Errno::ENOPROTOOPT)?;
            Ok(OptValue::Int(all.value(SOL_TCP, name)))
        }
    }
}

/// `TCP_MAXSEG`.
fn segment(all: &IpOptions, o: Owner) -> i32 {
    match (o.peer, all.value(SOL_TCP, TCP_MAXSEG), o.domain) {
        (None, 0, _) => MSS_DEFAULT,
        (None, n, _) => n,
        (Some(_), _, AF_INET6) => MSS_V6,
        (Some(_), ..) => MSS_V4,
    }
}

pub(super) fn set(all: &IpOptions, c: &OptCall<'_>, o: Owner) -> Result<()> {
    match c.name {
        CONGESTION => return set_congestion(all, c),
        // No upper protocol can be put over a connection.
        TCP_ULP => {
            name(c)?;
            return Err(Errno::ENOENT);
        }
        TCP_FASTOPEN_KEY => {
            if !matches!(c.len, 16 | 32) {
                return Err(Errno::EINVAL);
            }
            all.put_bytes(SOL_TCP, TCP_FASTOPEN_KEY, c.bytes(c.len)?);
            return Ok(());
        }
        _ => {}
    }
    let n = c.int()?;
    match c.name {
        // TCP_MD5SIG, TCP_MD5SIG_EXT, TCP_REPAIR_OPTIONS.
        14 | 32 | 22 => return Err(Errno::EINVAL),
        TCP_REPAIR | 20 | 21 | 29 | TCP_TIMESTAMP => return repair(c, o),
        TCP_THIN_DUPACK if (0..=1).contains(&n) => return Ok(()),
        TCP_THIN_DUPACK => return Err(Errno::EINVAL),
        42 if o.listening => return Err(Errno::EPERM),
        42 => return c.need(&[Cap::NetAdmin]).and(Err(Errno::ENOPROTOOPT)),
        _ => {}
    }
    let row = find(rows::TCP, c.name).ok_or(Errno::ENOPROTOOPT)?;
    let n = match c.name {
        TCP_MAXSEG if n != 0 && !(MSS_MIN..=MSS_MAX).contains(&n) => return Err(Errno::EINVAL),
        TCP_LINGER2 => match n {
            ..0 => -1,
            0 => 60,
            n => n.min(FIN_TIMEOUT_MAX),
        },
        TCP_DEFER_ACCEPT => tries(n),
        TCP_WINDOW_CLAMP if n == 0 && (o.open || o.listening) => return Err(Errno::EINVAL),
        TCP_WINDOW_CLAMP if n != 0 => n.max(WINDOW_MIN),
        TCP_FASTOPEN if o.open => return Err(Errno::EINVAL),
        TCP_FASTOPEN => n.min(super::super::SOMAXCONN),
        TCP_FASTOPEN_CONNECT if o.open || o.listening => return Err(Errno::EINVAL),
        TCP_FASTOPEN_NO_COOKIE if o.open => return Err(Errno::EINVAL),
        _ => n,
    };
    all.set_row(SOL_TCP, row, n)
}

/// Moving a connection (`TCP_REPAIR`) needs the right, and is not done here.
fn repair(c: &OptCall<'_>, o: Owner) -> Result<()> {
    match c.name {
        TCP_REPAIR => {
            c.need(&[Cap::NetAdmin])?;
            Err(Errno::EPERM)
        }
        21 if !o.open && !o.listening => Err(Errno::EINVAL),
        _ => Err(Errno::EPERM),
    }
}

/// A name as a value.
fn name(c: &OptCall<'_>) -> Result<Vec<u8>> {
    if c.len == 0 {
        return Err(Errno::EINVAL);
    }
    let raw = c.bytes(c.len.min(NAME_MAX))?;
    let name = raw.split(|b| *b == 0).next().unwrap_or_default();
    Ok(name.to_vec())
}

fn set_congestion(all: &IpOptions, c: &OptCall<'_>) -> Result<()> {
    match name(c)?.as_slice() {
        b"cubic" => all.put(SOL_TCP, CONGESTION, 0),
        b"reno" => all.put(SOL_TCP, CONGESTION, 1),
        _ => return Err(Errno::ENOENT),
    }
    Ok(())
}

/// How often a handshake is said again within some seconds.
fn tries(seconds: i32) -> i32 {
    let (mut tries, mut span, mut wait) = (0, SYN_TIMEOUT, SYN_TIMEOUT);
    if seconds <= 0 {
        return 0;
    }
    tries += 1;
    while seconds > span && tries < 255 {
        tries += 1;
        wait = wait.saturating_mul(2).min(SYN_TIMEOUT_MAX);
        span = span.saturating_add(wait);
    }
    tries
}

/// The seconds that many tries take.
fn seconds(tries: i32) -> i32 {
    let (mut span, mut wait) = (0, SYN_TIMEOUT);
    for n in 0..tries {
        if n > 0 {
            wait = wait.saturating_mul(2).min(SYN_TIMEOUT_MAX);
        }
        span += wait;
    }
    span
}
