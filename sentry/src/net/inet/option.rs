//! Options of the levels IP, IPv6, TCP and UDP (`ip(7)`, `ipv6(7)`, `tcp(7)`, `udp(7)`).
//!
//! Those that act on packets a loopback does not make are kept and given back, as they have
//! no effect there on Linux either.

use std::collections::HashMap;

use abi::Errno;

use crate::Result;
use crate::net::options::int;
use crate::net::{AF_INET6, OptValue};
use crate::sync::Mutex;

/// `IPPROTO_IP`.
pub(super) const SOL_IP: i32 = 0;
/// `IPPROTO_TCP`.
pub(super) const SOL_TCP: i32 = 6;
/// `IPPROTO_UDP`.
const SOL_UDP: i32 = 17;
/// `IPPROTO_IPV6`.
pub(super) const SOL_IPV6: i32 = 41;
/// `IPV6_V6ONLY`.
pub(super) const IPV6_V6ONLY: i32 = 26;
/// `IP_PKTINFO`.
pub(super) const IP_PKTINFO: i32 = 8;
/// `IPV6_RECVPKTINFO`.
pub(super) const IPV6_RECVPKTINFO: i32 = 49;

/// Level, name, value of a new socket; an int each.
const INTS: &[(i32, i32, i32)] = &[
    (SOL_IP, 1, 0),  // IP_TOS
    (SOL_IP, 2, 64), // IP_TTL
    (SOL_IP, 6, 0),  // IP_RECVOPTS
    (SOL_IP, 7, 0),  // IP_RETOPTS
    (SOL_IP, IP_PKTINFO, 0),
    (SOL_IP, 10, 1),    // IP_MTU_DISCOVER
    (SOL_IP, 11, 0),    // IP_RECVERR
    (SOL_IP, 12, 0),    // IP_RECVTTL
    (SOL_IP, 13, 0),    // IP_RECVTOS
    (SOL_IP, 15, 0),    // IP_FREEBIND
    (SOL_IP, 24, 0),    // IP_BIND_ADDRESS_NO_PORT
    (SOL_IP, 33, 1),    // IP_MULTICAST_TTL
    (SOL_IP, 34, 1),    // IP_MULTICAST_LOOP
    (SOL_IP, 49, 1),    // IP_MULTICAST_ALL
    (SOL_IPV6, 16, 64), // IPV6_UNICAST_HOPS
    (SOL_IPV6, 18, 1),  // IPV6_MULTICAST_HOPS
    (SOL_IPV6, 19, 1),  // IPV6_MULTICAST_LOOP
    (SOL_IPV6, 23, 1),  // IPV6_MTU_DISCOVER
    (SOL_IPV6, 25, 0),  // IPV6_RECVERR
    (SOL_IPV6, IPV6_V6ONLY, 0),
    (SOL_IPV6, 29, 1), // IPV6_MULTICAST_ALL
    (SOL_IPV6, IPV6_RECVPKTINFO, 0),
    (SOL_IPV6, 51, 0),    // IPV6_RECVHOPLIMIT
    (SOL_IPV6, 66, 0),    // IPV6_RECVTCLASS
    (SOL_IPV6, 67, 0),    // IPV6_TCLASS
    (SOL_IPV6, 70, 0),    // IPV6_AUTOFLOWLABEL
    (SOL_TCP, 1, 0),      // TCP_NODELAY
    (SOL_TCP, 2, 65_483), // TCP_MAXSEG
    (SOL_TCP, 3, 0),      // TCP_CORK
    (SOL_TCP, 4, 7200),   // TCP_KEEPIDLE
    (SOL_TCP, 5, 75),     // TCP_KEEPINTVL
    (SOL_TCP, 6, 9),      // TCP_KEEPCNT
    (SOL_TCP, 7, 6),      // TCP_SYNCNT
    (SOL_TCP, 8, 60),     // TCP_LINGER2
    (SOL_TCP, 9, 0),      // TCP_DEFER_ACCEPT
    (SOL_TCP, 10, 0),     // TCP_WINDOW_CLAMP
    (SOL_TCP, 12, 1),     // TCP_QUICKACK
    (SOL_TCP, 18, 0),     // TCP_USER_TIMEOUT
    (SOL_TCP, 23, 0),     // TCP_FASTOPEN
    (SOL_TCP, 25, -1),    // TCP_NOTSENT_LOWAT
    (SOL_TCP, 30, 0),     // TCP_FASTOPEN_CONNECT
    (SOL_UDP, 1, 0),      // UDP_CORK
    (SOL_UDP, 103, 0),    // UDP_SEGMENT
    (SOL_UDP, 104, 0),    // UDP_GRO
];

/// Options of level IP whose value is a structure longer than those here: source filters and
/// memberships, the policies of IPsec, the ports to choose from.
const BY_STRUCTURE: &[i32] = &[17, 37, 38, 39, 40, 41, 43, 44, 46, 47, 48];

/// The options of one socket. Lock rank: leaf.
#[derive(Default)]
pub(super) struct IpOptions(Mutex<HashMap<(i32, i32), i32>>);

fn known(level: i32, name: i32) -> Option<i32> {
    let found = INTS.iter().find(|(l, n, _)| (*l, *n) == (level, name));
    found.map(|(_, _, value)| *value)
}

/// Whether a socket of `domain` and main level `proto` has options of `level`.
fn has_level(domain: u16, proto: i32, level: i32) -> bool {
    level == SOL_IP || level == proto || (level == SOL_IPV6 && domain == AF_INET6)
}

/// Whether an option takes this value.
fn in_range(level: i32, name: i32, n: i32) -> bool {
    match (level, name) {
        (SOL_IP, 2) => n == -1 || (1..=255).contains(&n),
        (SOL_IP, 10) => (0..=5).contains(&n),
        (SOL_IP, 33) => (-1..=255).contains(&n),
        (SOL_IP, 49) => (0..=1).contains(&n),
        (SOL_IPV6, 18) => (-1..=255).contains(&n),
        (SOL_IPV6, 19 | 29) => (0..=1).contains(&n),
        (SOL_IPV6, 23) => (0..=5).contains(&n),
        (SOL_IPV6, 67) => (-1..=255).contains(&n),
        (SOL_IPV6, 16) => (-1..=255).contains(&n),
        (SOL_TCP, 4 | 5) => (1..=32_767).contains(&n),
        (SOL_TCP, 6 | 7) => (1..=127).contains(&n),
        (SOL_TCP, 18) => n >= 0,
        _ => true,
    }
}

/// Where the choice of Reno is kept.
const RENO: (i32, i32) = (SOL_TCP, 13);

impl IpOptions {
    /// Takes over the options of a listener.
    pub(super) fn copy_from(&self, other: &IpOptions) {
        let all = other.0.lock().clone();
        *self.0.lock() = all;
    }

    /// Whether `TCP_CONGESTION` chose Reno.
    pub(super) fn is_reno(&self) -> bool {
        self.value(RENO.0, RENO.1) != 0
    }

    /// The value of an int option; 0 for one not known.
    pub(super) fn value(&self, level: i32, name: i32) -> i32 {
        let set = self.0.lock().get(&(level, name)).copied();
        set.or_else(|| known(level, name)).unwrap_or(0)
    }

    /// `getsockopt`; `ENOPROTOOPT`, `EOPNOTSUPP` for a level it does not have.
    pub(super) fn get(&self, domain: u16, proto: i32, level: i32, name: i32) -> Result<OptValue> {
        if !has_level(domain, proto, level) {
            // Linux's two families differ here.
            return Err(match domain {
                AF_INET6 => Errno::ENOPROTOOPT,
                _ => Errno::EOPNOTSUPP,
            });
        }
        match (level, name) {
            // IP_MTU of the loopback, TCP_CONGESTION.
            (SOL_IP, 14) => Ok(OptValue::Int(super::LO_MTU)),
            (SOL_TCP, 13) => {
                let name: &[u8] = if self.is_reno() { b"reno" } else { b"cubic" };
                let mut raw = name.to_vec();
                raw.resize(16, 0);
                Ok(OptValue::Bytes(raw))
            }
            _ => {
                known(level, name).ok_or(Errno::ENOPROTOOPT)?;
                Ok(OptValue::Int(self.value(level, name)))
            }
        }
    }

    /// `setsockopt`; `ENOPROTOOPT`, `EINVAL`.
    pub(super) fn set(
        &self,
        domain: u16,
        proto: i32,
        level: i32,
        name: i32,
        value: &[u8],
    ) -> Result<()> {
        if !has_level(domain, proto, level) {
            return Err(Errno::ENOPROTOOPT);
        }
        if (level, name) == (SOL_TCP, 13) {
            return match value.split(|b| *b == 0).next() {
                Some(name @ (b"cubic" | b"reno")) => {
                    self.0.lock().insert(RENO, i32::from(name == b"reno"));
                    Ok(())
                }
                _ => Err(Errno::ENOENT),
            };
        }
        // The levels above IP look at the length first.
        if level != SOL_IP && level != SOL_IPV6 {
            int(value)?;
        }
        if level == SOL_IP && BY_STRUCTURE.contains(&name) {
            return Err(Errno::EINVAL);
        }
        known(level, name).ok_or(Errno::ENOPROTOOPT)?;
        // The IP level takes a single byte too.
        let n = match value {
            [one] if level == SOL_IP => i32::from(*one),
            _ => int(value)?,
        };
        if !in_range(level, name, n) {
            return Err(Errno::EINVAL);
        }
        let n = match (level, name) {
            (SOL_IP, 2) if n == -1 => 64,
            (SOL_IP, 33) | (SOL_IPV6, 18) if n == -1 => 1,
            (SOL_IPV6, 67) if n == -1 => 0,
            (SOL_TCP, 1 | 3) | (SOL_IPV6, IPV6_V6ONLY) => i32::from(n != 0),
            _ => n,
        };
        self.0.lock().insert((level, name), n);
        Ok(())
    }
}
