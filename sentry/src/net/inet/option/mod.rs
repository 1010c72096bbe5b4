//! Options of the levels IP, IPv6, TCP and UDP (`ip(7)`, `ipv6(7)`, `tcp(7)`, `udp(7)`).
//!
//! [`rows`] has those whose value is an int; [`ip`], [`ip6`] and [`tcp`] what is more than
//! that. Those that act on packets a loopback does not make are kept and given back, as they
//! have no effect there on Linux either.

mod ip;
mod ip6;
mod rows;
mod tcp;

use std::collections::HashMap;
use std::net::IpAddr;

use abi::Errno;

use self::rows::{Row, Rule, find};
use crate::Result;
use crate::creds::Cap;
use crate::net::{AF_INET6, OptCall, OptValue};
use crate::sync::Mutex;

/// `IPPROTO_IP`.
pub(super) const SOL_IP: i32 = 0;
/// `IPPROTO_TCP`.
pub(super) const SOL_TCP: i32 = 6;
/// `IPPROTO_UDP`.
pub(super) const SOL_UDP: i32 = 17;
/// `IPPROTO_UDPLITE`.
pub(super) const SOL_UDPLITE: i32 = 136;
/// `IPPROTO_IPV6`.
pub(super) const SOL_IPV6: i32 = 41;
/// `UDP_ENCAP`.
const UDP_ENCAP: i32 = 100;
/// `IPV6_V6ONLY`.
pub(super) const IPV6_V6ONLY: i32 = 26;
/// `IP_PKTINFO`.
pub(super) const IP_PKTINFO: i32 = 8;
/// `IPV6_RECVPKTINFO`.
pub(super) const IPV6_RECVPKTINFO: i32 = 49;
/// Rights that let a socket use addresses that are not the host's.
const FOREIGN: &[Cap] = &[Cap::NetRaw, Cap::NetAdmin];

/// What kind of socket has the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Tcp,
    Udp,
    Raw,
    Ping,
}

/// What an option's answer may depend on beside the option.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub(super) what: What,
    pub(super) domain: u16,
    /// Its port, or the protocol of a raw socket; 0 for none.
    pub(super) number: u16,
    /// Whom it is connected to.
    pub(super) peer: Option<IpAddr>,
    /// A TCP socket that is neither closed nor listening, or one that listens.
    pub(super) open: bool,
    pub(super) listening: bool,
    /// UDP-Lite.
    pub(super) lite: bool,
}

/// The options of one socket. Lock rank: leaf.
#[derive(Default)]
pub(super) struct IpOptions(Mutex<Values>);

#[derive(Clone, Default)]
struct Values {
    ints: HashMap<(i32, i32), i32>,
    /// Options whose value is a structure.
    bytes: HashMap<(i32, i32), Vec<u8>>,
}

fn known(level: i32, name: i32) -> Option<&'static Row> {
    let rows = match level {
        SOL_IP => rows::IP,
        SOL_IPV6 => rows::IPV6,
        SOL_TCP => rows::TCP,
        SOL_UDP => rows::UDP,
        _ => return None,
    };
    find(rows, name)
}

impl IpOptions {
    /// Takes over the options of a listener.
    pub(super) fn copy_from(&self, other: &IpOptions) {
        let all = other.0.lock().clone();
        *self.0.lock() = all;
    }

    /// Whether `TCP_CONGESTION` chose Reno.
    pub(super) fn is_reno(&self) -> bool {
        self.value(SOL_TCP, tcp::CONGESTION) != 0
    }

    /// The value of an int option; 0 for one not known.
    pub(super) fn value(&self, level: i32, name: i32) -> i32 {
        let set = {
            let values = self.0.lock();
            // Most sockets have none set.
            match values.ints.is_empty() {
                true => None,
                false => values.ints.get(&(level, name)).copied(),
            }
        };
        set.unwrap_or_else(|| known(level, name).map_or(0, |row| row.usual))
    }

    /// Whether addresses of others may be bound to (`IP_FREEBIND`, `IP_TRANSPARENT`).
    pub(super) fn is_foreign(&self) -> bool {
        let any = [(SOL_IP, 15), (SOL_IP, 19), (SOL_IPV6, 75), (SOL_IPV6, 78)];
        any.iter()
            .any(|(level, name)| self.value(*level, *name) != 0)
    }

    /// Whether an int option was set.
    pub(super) fn is_set(&self, level: i32, name: i32) -> bool {
        self.0.lock().ints.contains_key(&(level, name))
    }

    pub(super) fn put(&self, level: i32, name: i32, n: i32) {
        self.0.lock().ints.insert((level, name), n);
    }

    /// The value of an option that is a structure.
    pub(super) fn bytes(&self, level: i32, name: i32) -> Vec<u8> {
        let values = self.0.lock();
        values
            .bytes
            .get(&(level, name))
            .cloned()
            .unwrap_or_default()
    }

    fn put_bytes(&self, level: i32, name: i32, value: Vec<u8>) {
        let mut values = self.0.lock();
        match value.is_empty() {
            true => values.bytes.remove(&(level, name)),
            false => values.bytes.insert((level, name), value),
        };
    }

    /// `getsockopt`; `ENOPROTOOPT`, `EOPNOTSUPP` for a level it does not have.
    pub(super) fn get(&self, c: &OptCall<'_>, o: Owner) -> Result<OptValue> {
        match level(c.level, o) {
            Some(SOL_IP) => {
                c.room()?;
                ip::get(self, c, o)
            }
            Some(SOL_IPV6) => {
                c.raw_room()?;
                ip6::get(self, c, o)
            }
            Some(SOL_TCP) => {
                c.room()?;
                tcp::get(self, c, o)
            }
            Some(SOL_UDP) => {
                c.room()?;
                if c.name == UDP_ENCAP {
                    return Ok(OptValue::Int(0));
                }
                self.get_int(SOL_UDP, c.name)
            }
            // Linux's two families differ here.
            _ if o.domain == AF_INET6 => Err(Errno::ENOPROTOOPT),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    /// Linux copies an int in before it looks at the number of an option of level IPv6.
    pub(super) fn look(c: &OptCall<'_>) -> Result<()> {
        if c.level == SOL_IPV6 && c.len >= 4 && !c.is_null() {
            c.int()?;
        }
        Ok(())
    }

    /// `setsockopt`; `ENOPROTOOPT`, `EINVAL` and others.
    pub(super) fn set(&self, c: &OptCall<'_>, o: Owner) -> Result<()> {
        match level(c.level, o) {
            Some(SOL_IP) => ip::set(self, c, o),
            Some(SOL_IPV6) => ip6::set(self, c, o),
            Some(SOL_TCP) => tcp::set(self, c, o),
            Some(SOL_UDP) => self.set_udp(c, o),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn get_int(&self, level: i32, name: i32) -> Result<OptValue> {
        known(level, name).ok_or(Errno::ENOPROTOOPT)?;
        Ok(OptValue::Int(self.value(level, name)))
    }

    /// Keeps what a row makes of a value.
    fn set_row(&self, level: i32, row: &Row, n: i32) -> Result<()> {
        let n = match row.rule {
            Rule::Flag => i32::from(n != 0),
            Rule::Bool if !(0..=1).contains(&n) => return Err(Errno::EINVAL),
            Rule::Default(usual, ..) if n == -1 => usual,
            Rule::Range(low, high) | Rule::Default(_, low, high) if !(low..=high).contains(&n) => {
                return Err(Errno::EINVAL);
            }
            Rule::Bits(mask) => n & mask,
            Rule::Told => return Err(Errno::ENOPROTOOPT),
            _ => n,
        };
        self.put(level, row.name, n);
        Ok(())
    }

    fn set_udp(&self, c: &OptCall<'_>, o: Owner) -> Result<()> {
        let n = c.int()?;
        // UDP_ENCAP takes 0 alone: there are no policies of IPsec to hand packets to.
        if c.name == UDP_ENCAP {
            return if n == 0 {
                Ok(())
            } else {
                Err(Errno::ENOPROTOOPT)
            };
        }
        // UDPLITE_SEND_CSCOV, UDPLITE_RECV_CSCOV: the header at least, or all.
        if o.lite && matches!(c.name, 10 | 11) {
            let n = match n {
                0 => 0,
                ..8 => 8,
                n => n.min(0xffff),
            };
            self.put(SOL_UDP, c.name, n);
            return Ok(());
        }
        let row = known(SOL_UDP, c.name).ok_or(Errno::ENOPROTOOPT)?;
        self.set_row(SOL_UDP, row, n)
    }
}

/// The level an option is of, if the socket has it.
fn level(level: i32, o: Owner) -> Option<i32> {
    let v6 = o.domain == AF_INET6;
    match level {
        SOL_IP if !v6 || o.what != What::Raw => Some(SOL_IP),
        SOL_IPV6 if v6 => Some(SOL_IPV6),
        SOL_TCP if o.what == What::Tcp => Some(SOL_TCP),
        SOL_UDP | SOL_UDPLITE if o.what == What::Udp => Some(SOL_UDP),
        _ => None,
    }
}

/// A policy of IPsec (`IP_IPSEC_POLICY`, `IP_XFRM_POLICY` and those of IPv6): there is no
/// IPsec here.
fn policy(c: &OptCall<'_>) -> Result<()> {
    c.need(&[Cap::NetAdmin])?;
    Err(Errno::EOPNOTSUPP)
}
