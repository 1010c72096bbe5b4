//! Options of level IP that are more than an int to keep (`ip(7)`).

use abi::Errno;

use super::super::membership;
use super::{FOREIGN, IpOptions, Owner, SOL_IP, What, find, policy, rows};
use crate::Result;
use crate::net::view::View;
use crate::net::{AF_INET6, OptCall, OptValue};

const IP_TOS: i32 = 1;
/// `IP_OPTIONS`.
pub(super) const IP_OPTIONS: i32 = 4;
const IP_ROUTER_ALERT: i32 = 5;
const IP_MTU: i32 = 14;
const IP_TRANSPARENT: i32 = 19;
const IP_MULTICAST_ALL: i32 = 49;
const IP_UNICAST_IF: i32 = 50;
const IP_LOCAL_PORT_RANGE: i32 = 51;
const IP_PROTOCOL: i32 = 52;
/// Longest options of a packet.
const OPTIONS_MAX: usize = 40;
/// Largest packet of IPv4 (`IP_MAX_MTU`).
const MTU_MAX: i32 = 65_535;

pub(super) fn get(all: &IpOptions, c: &OptCall<'_>, o: Owner) -> Result<OptValue> {
    match c.name {
        IP_OPTIONS => Ok(OptValue::Bytes(all.bytes(SOL_IP, IP_OPTIONS))),
        // IP_PKTOPTIONS: of streams alone.
        9 if o.what == What::Tcp => Ok(OptValue::Bytes(Vec::new())),
        IP_MTU => {
            let peer = o.peer.ok_or(Errno::ENOTCONN)?;
            let mtu = super::super::mtu_towards(&c.net, peer);
            let v4 = o.domain != AF_INET6;
            Ok(OptValue::Byte(if v4 { mtu.min(MTU_MAX) } else { mtu }))
        }
        32 => Ok(OptValue::Byte(0)),
        // The source filters of a group want their structure to say which.
        41 | 48 => Err(Errno::EINVAL),
        IP_MULTICAST_ALL if o.domain == AF_INET6 && !all.is_set(SOL_IP, c.name) => {
            Ok(OptValue::Byte(0))
        }
        IP_PROTOCOL => Ok(OptValue::Byte(o.number.into())),
        name => {
            find(rows::IP, name).ok_or(Errno::ENOPROTOOPT)?;
            Ok(OptValue::Byte(all.value(SOL_IP, name)))
        }
    }
}

/// An int of four bytes or one; 0 for an empty value.
fn number(c: &OptCall<'_>) -> Result<i32> {
    match c.len {
        0 => Ok(0),
        1..4 => Ok(c.exact::<1>()?.first().copied().unwrap_or(0).into()),
        _ => c.int(),
    }
}

pub(super) fn set(all: &IpOptions, c: &OptCall<'_>, o: Owner) -> Result<()> {
    match c.name {
        IP_OPTIONS => return set_options(all, c),
        16 | 17 => return policy(c),
        // Memberships and the link of packets to groups are not a connection's.
        35 | 36 if o.what == What::Tcp => return Err(Errno::EPROTO),
        32 => return Err(Errno::EINVAL),
        35..=48 => return Err(membership::refusal(o.domain, c)),
        _ => {}
    }
    let row = find(rows::IP, c.name).ok_or(Errno::ENOPROTOOPT)?;
    let n = number(c)?;
    if !(row.of)(o.what) {
        let refused = row.refused || c.name == IP_ROUTER_ALERT;
        return Err(if refused {
            Errno::EINVAL
        } else {
            Errno::ENOPROTOOPT
        });
    }
    if row.long && c.len == 0 {
        return Err(Errno::EINVAL);
    }
    let n = match c.name {
        // A connection's own bits of congestion are not to be set.
        IP_TOS if o.what == What::Tcp => n & !3,
        IP_ROUTER_ALERT => return router_alert(all, o, n != 0),
        IP_TRANSPARENT if n != 0 => {
            c.need(FOREIGN)?;
            n
        }
        IP_UNICAST_IF => unicast_link(c, n)?,
        IP_LOCAL_PORT_RANGE => port_range(c, n)?,
        _ => n,
    };
    all.set_row(SOL_IP, row, n)
}

/// `IP_ROUTER_ALERT`: packets are not routed here, so no socket is handed any on their way.
fn router_alert(all: &IpOptions, o: Owner, on: bool) -> Result<()> {
    const RAW: u16 = 255;
    if o.number == RAW {
        return Err(Errno::EINVAL);
    }
    let was = all.value(SOL_IP, IP_ROUTER_ALERT) != 0;
    match (was, on) {
        (true, true) => return Err(Errno::EADDRINUSE),
        (false, false) => return Err(Errno::ENOBUFS),
        _ => all.put(SOL_IP, IP_ROUTER_ALERT, i32::from(on)),
    }
    Ok(())
}

/// `IP_UNICAST_IF`: a link's number in the network's order.
fn unicast_link(c: &OptCall<'_>, n: i32) -> Result<i32> {
    if c.len != 4 {
        return Err(Errno::EINVAL);
    }
    let index = i32::from_be(n);
    if index != 0 && View::of(&c.net).by_index(index).is_none() {
        return Err(Errno::EADDRNOTAVAIL);
    }
    Ok(n)
}

/// `IP_LOCAL_PORT_RANGE`: the lowest port below the highest, 0 for either's usual value.
fn port_range(c: &OptCall<'_>, n: i32) -> Result<i32> {
    let (low, high) = (n & 0xffff, (n >> 16) & 0xffff);
    if c.len != 4 || (low != 0 && high != 0 && low > high) {
        return Err(Errno::EINVAL);
    }
    Ok(n)
}

/// `IP_OPTIONS`: only those without effect, the end and the empty one, are taken.
fn set_options(all: &IpOptions, c: &OptCall<'_>) -> Result<()> {
    const NOP: u8 = 1;
    if c.len > OPTIONS_MAX {
        return Err(Errno::EINVAL);
    }
    let mut value = c.bytes(c.len)?;
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    if value.iter().take(end).any(|b| *b != NOP) {
        return Err(Errno::EINVAL);
    }
    for rest in value.iter_mut().skip(end) {
        *rest = 0;
    }
    value.resize(value.len().next_multiple_of(4), 0);
    all.put_bytes(SOL_IP, IP_OPTIONS, value);
    Ok(())
}
