//! Options of level IPv6 that are more than an int to keep (`ipv6(7)`, RFC 3542).

use std::net::{IpAddr, Ipv6Addr};

use abi::Errno;
use zerocopy::IntoBytes;

use super::super::membership;
use super::{FOREIGN, IPV6_V6ONLY, IpOptions, Owner, SOL_IPV6, What, find, policy, rows};
use crate::Result;
use crate::creds::Cap;
use crate::net::view::View;
use crate::net::{AF_INET6, OptCall, OptValue};

const IPV6_ADDRFORM: i32 = 1;
const IPV6_2292PKTOPTIONS: i32 = 6;
const IPV6_ROUTER_ALERT: i32 = 22;
const IPV6_MTU: i32 = 24;
/// `IPV6_HOPOPTS`, `IPV6_RTHDRDSTOPTS`, `IPV6_RTHDR`, `IPV6_DSTOPTS`.
const HEADERS: [i32; 4] = [54, 55, 57, 59];
const IPV6_RTHDR: i32 = 57;
const IPV6_PKTINFO: i32 = 50;
const IPV6_PATHMTU: i32 = 61;
const IPV6_TCLASS: i32 = 67;
const IPV6_ADDR_PREFERENCES: i32 = 72;
const IPV6_TRANSPARENT: i32 = 75;
const IPV6_UNICAST_IF: i32 = 76;
/// Least MTU of IPv6.
const MTU_MIN: i32 = 1280;
/// `IPV6_PREFER_SRC_PUBTMP_DEFAULT` and `IPV6_PREFER_SRC_HOME`.
const PREFER_PUBLIC_TEMPORARY: i32 = 0x100;
const PREFER_HOME: i32 = 0x400;

pub(super) fn get(all: &IpOptions, c: &OptCall<'_>, o: Owner) -> Result<OptValue> {
    match c.name {
        IPV6_ADDRFORM if matches!(o.what, What::Raw | What::Ping) => Err(Errno::ENOPROTOOPT),
        IPV6_ADDRFORM => match o.peer {
            Some(_) => Ok(OptValue::Int(AF_INET6.into())),
            None => Err(Errno::ENOTCONN),
        },
        IPV6_2292PKTOPTIONS if o.what == What::Tcp => Ok(OptValue::Bytes(Vec::new())),
        17 => Ok(OptValue::Int(0)),
        IPV6_MTU => {
            let peer = o.peer.ok_or(Errno::ENOTCONN)?;
            Ok(OptValue::Int(super::super::mtu_towards(&c.net, peer)))
        }
        IPV6_PATHMTU => path_mtu(c, o),
        // IPV6_FLOWLABEL_MGR, and the source filters of a group.
        32 | 48 => Err(Errno::EINVAL),
        IPV6_ADDR_PREFERENCES => {
            let n = all.value(SOL_IPV6, IPV6_ADDR_PREFERENCES);
            let choice = if n & 7 == 0 {
                PREFER_PUBLIC_TEMPORARY
            } else {
                0
            };
            let home = if n & 0x408 == 0 { PREFER_HOME } else { 0 };
            Ok(OptValue::Int(n | choice | home))
        }
        name if HEADERS.contains(&name) => Ok(OptValue::Bytes(all.bytes(SOL_IPV6, name))),
        name => {
            find(rows::IPV6, name).ok_or(Errno::ENOPROTOOPT)?;
            Ok(OptValue::Int(all.value(SOL_IPV6, name)))
        }
    }
}

/// `IPV6_PATHMTU`: `struct ip6_mtuinfo`, which is all zeros but for the number.
fn path_mtu(c: &OptCall<'_>, o: Owner) -> Result<OptValue> {
    let room = c.wide_room()?;
    if room < 32 {
        return Err(Errno::EINVAL);
    }
    let peer = o.peer.ok_or(Errno::ENOTCONN)?;
    let mtu = super::super::mtu_towards(&c.net, peer);
    let mut raw = vec![0; 28];
    raw.extend_from_slice(mtu.as_bytes());
    Ok(OptValue::Bytes(raw))
}

pub(super) fn set(all: &IpOptions, c: &OptCall<'_>, o: Owner) -> Result<()> {
    // Linux looks at the value before the number; no place at all counts as 0.
    let n = match c.len {
        4.. if !c.is_null() => c.int()?,
        _ => 0,
    };
    let short = c.len < 4;
    match c.name {
        IPV6_ADDRFORM => return address_form(c, o, n),
        IPV6_2292PKTOPTIONS => return sticky_control(c),
        17 if o.what == What::Tcp => return Err(Errno::ENOPROTOOPT),
        17 | 32 => return Err(Errno::EINVAL),
        20 | 21 | 42..=48 => return Err(membership::refusal(o.domain, c)),
        IPV6_ROUTER_ALERT if short => return Err(Errno::EINVAL),
        IPV6_ROUTER_ALERT => return Err(Errno::ENOPROTOOPT),
        IPV6_MTU if short || (n != 0 && n < MTU_MIN) => return Err(Errno::EINVAL),
        IPV6_MTU => {
            all.put(SOL_IPV6, IPV6_MTU, n);
            return Ok(());
        }
        27 | 28 => return anycast(c),
        34 | 35 => return policy(c),
        IPV6_PKTINFO => return packet_info(all, c),
        IPV6_ADDR_PREFERENCES if short => return Err(Errno::EINVAL),
        IPV6_ADDR_PREFERENCES => return preferences(all, n),
        name if HEADERS.contains(&name) => return header(all, c),
        _ => {}
    }
    let row = find(rows::IPV6, c.name).ok_or(Errno::ENOPROTOOPT)?;
    if !(row.of)(o.what) {
        return Err(Errno::ENOPROTOOPT);
    }
    if short && !row.long {
        return Err(Errno::EINVAL);
    }
    let n = match c.name {
        IPV6_V6ONLY if o.number != 0 || o.open => return Err(Errno::EINVAL),
        IPV6_TCLASS if o.what == What::Tcp && (0..=255).contains(&n) => n & !3,
        IPV6_TRANSPARENT if n != 0 => {
            c.need(FOREIGN)?;
            n
        }
        IPV6_UNICAST_IF if c.len != 4 => return Err(Errno::EINVAL),
        IPV6_UNICAST_IF => {
            let index = i32::from_be(n);
            if index != 0 && View::of(&c.net).by_index(index).is_none() {
                return Err(Errno::EADDRNOTAVAIL);
            }
            n
        }
        _ => n,
    };
    all.set_row(SOL_IPV6, row, n)
}

/// `IPV6_ADDRFORM`: turns a socket whose peer is an IPv4 one into one of IPv4, which no
/// socket here can be.
fn address_form(c: &OptCall<'_>, o: Owner, n: i32) -> Result<()> {
    const PF_INET: i32 = 2;
    if c.len < 4 || n != PF_INET {
        return Err(Errno::EINVAL);
    }
    match (o.what, o.peer) {
        (What::Raw | What::Ping, _) => Err(Errno::ENOPROTOOPT),
        (_, None) => Err(Errno::ENOTCONN),
        (_, Some(_)) => Err(Errno::EADDRNOTAVAIL),
    }
}

/// `IPV6_2292PKTOPTIONS`: control messages that stay; none here does.
fn sticky_control(c: &OptCall<'_>) -> Result<()> {
    if c.len == 0 {
        return Ok(());
    }
    let raw = c.bytes(c.len.min(4096))?;
    let len = raw.first_chunk::<8>().map_or(0, |b| u64::from_ne_bytes(*b));
    match raw.len() {
        16.. if len < 16 || len > raw.len() as u64 => Err(Errno::EINVAL),
        _ => Ok(()),
    }
}

/// Anycast groups are for routers, or for those with the right.
fn anycast(c: &OptCall<'_>) -> Result<()> {
    const IPV6_LEAVE_ANYCAST: i32 = 28;
    let raw = c.exact::<20>()?;
    if c.name == IPV6_LEAVE_ANYCAST {
        return Err(Errno::ENOENT);
    }
    c.need(&[Cap::NetAdmin])?;
    let ip = raw
        .first_chunk::<16>()
        .map_or(Ipv6Addr::UNSPECIFIED, |b| Ipv6Addr::from(*b));
    Err(match ip.is_multicast() {
        true => Errno::EINVAL,
        false => Errno::EADDRNOTAVAIL,
    })
}

/// `IPV6_PKTINFO`: the source address and link of what is sent.
fn packet_info(all: &IpOptions, c: &OptCall<'_>) -> Result<()> {
    if c.is_null() {
        return Err(Errno::EINVAL);
    }
    let raw = c.exact::<20>()?;
    let ip = raw
        .first_chunk::<16>()
        .map_or(Ipv6Addr::UNSPECIFIED, |b| Ipv6Addr::from(*b));
    if !ip.is_unspecified() {
        super::super::check_bindable(&c.net, IpAddr::V6(ip), all)?;
    }
    all.put_bytes(SOL_IPV6, IPV6_PKTINFO, raw.to_vec());
    Ok(())
}

/// `IPV6_ADDR_PREFERENCES` (RFC 5014): one of each pair at most.
fn preferences(all: &IpOptions, n: i32) -> Result<()> {
    const COA_OR_HOME: i32 = 0x404;
    const CGA_OR_NOT: i32 = 0x808;
    let pairs = [COA_OR_HOME, CGA_OR_NOT];
    let both = pairs.iter().any(|pair| n & pair == *pair);
    if both || matches!(n & 0x103, 3 | 0x101 | 0x102 | 0x103) {
        return Err(Errno::EINVAL);
    }
    all.put(SOL_IPV6, IPV6_ADDR_PREFERENCES, n & 7);
    Ok(())
}

/// An extension header for what is sent: only ones that are nothing but padding.
fn header(all: &IpOptions, c: &OptCall<'_>) -> Result<()> {
    const MAX: usize = 255 * 8 + 8;
    if c.name != IPV6_RTHDR {
        c.need(&[Cap::NetRaw])?;
    }
    if c.len == 0 {
        all.put_bytes(SOL_IPV6, c.name, Vec::new());
        return Ok(());
    }
    if c.is_null() {
        return Err(Errno::EINVAL);
    }
    if c.len < 2 || !c.len.is_multiple_of(8) || c.len > MAX {
        return Err(Errno::EINVAL);
    }
    let mut raw = c.bytes(c.len)?;
    let len = raw.get(1).map_or(0, |n| (usize::from(*n) + 1) * 8);
    if len > raw.len() || c.name == IPV6_RTHDR || raw.iter().skip(2).any(|b| *b != 0) {
        return Err(Errno::EINVAL);
    }
    raw.truncate(len);
    all.put_bytes(SOL_IPV6, c.name, raw);
    Ok(())
}
