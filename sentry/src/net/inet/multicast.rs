//! Multicast over `lo`, and the link that multicast packets leave by (`ip(7)`, `ipv6(7)`).
//!
//! Groups on other links are our stack's; those joined on `lo` are counted here. IPv6 has no
//! multicast route over `lo`, as on Linux.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use abi::Errno;

use super::option::{SOL_IP, SOL_IPV6};
use crate::Result;
use crate::net::view::{LO_INDEX, View};
use crate::net::{NetNs, OptCall, OptValue};
use crate::sync::Mutex;

/// `IP_MULTICAST_IF`.
const IP_MULTICAST_IF: i32 = 32;
/// `IPV6_MULTICAST_IF`.
const IPV6_MULTICAST_IF: i32 = 17;
/// Every host is in it (RFC 1112).
const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);

/// How many sockets are in each group on `lo`. Lock rank: leaf.
#[derive(Default)]
pub struct LoGroups(Mutex<HashMap<IpAddr, usize>>);

impl LoGroups {
    /// A socket joins.
    pub(super) fn join(&self, group: IpAddr) {
        let mut groups = self.0.lock();
        let count = groups.entry(group).or_default();
        *count = count.saturating_add(1);
    }

    /// A socket leaves.
    pub(super) fn leave(&self, group: IpAddr) {
        let mut groups = self.0.lock();
        if let Some(count) = groups.get_mut(&group) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                groups.remove(&group);
            }
        }
    }

    /// Whether packets to a group are received on `lo`.
    pub(super) fn has(&self, group: IpAddr) -> bool {
        group == IpAddr::V4(ALL_HOSTS) || self.0.lock().contains_key(&group)
    }
}

/// The links that a socket's multicast packets leave by; 0 where the route decides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Via {
    pub(super) v4: i32,
    /// The source address that goes with it.
    pub(super) own: Ipv4Addr,
    pub(super) v6: i32,
}

impl Default for Via {
    fn default() -> Via {
        Via {
            v4: 0,
            own: Ipv4Addr::UNSPECIFIED,
            v6: 0,
        }
    }
}

impl Via {
    /// `getsockopt` of the two options; `None` for any other.
    pub(super) fn get(&self, level: i32, name: i32) -> Option<OptValue> {
        match (level, name) {
            (SOL_IP, IP_MULTICAST_IF) => {
                let raw = u32::from_ne_bytes(self.own.octets());
                Some(OptValue::Byte(raw.cast_signed()))
            }
            (SOL_IPV6, IPV6_MULTICAST_IF) => Some(OptValue::Int(self.v6)),
            _ => None,
        }
    }

    /// `setsockopt` of the two options; whether it was one. `EADDRNOTAVAIL`, `ENODEV` without
    /// such a link, `EINVAL` for a short value.
    pub(super) fn set(&mut self, c: &OptCall<'_>) -> Result<bool> {
        let net = &c.net;
        match (c.level, c.name) {
            (SOL_IP, IP_MULTICAST_IF) if c.len < 4 => return Err(Errno::EINVAL),
            (SOL_IP, IP_MULTICAST_IF) => self.set_v4(net, &c.bytes(c.len.min(12))?)?,
            (SOL_IPV6, IPV6_MULTICAST_IF) => {
                let index = if c.is_null() && c.len >= 4 {
                    0
                } else {
                    c.int()?
                };
                if index != 0 && View::of(net).by_index(index).is_none() {
                    return Err(Errno::ENODEV);
                }
                self.v6 = index;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// `struct in_addr`, `struct ip_mreq` or `struct ip_mreqn`.
    fn set_v4(&mut self, net: &NetNs, value: &[u8]) -> Result<()> {
        let at = if value.len() >= 8 { 4 } else { 0 };
        let word = |at: usize| value.get(at..).and_then(|v| v.first_chunk::<4>()).copied();
        let own = Ipv4Addr::from(word(at).ok_or(Errno::EINVAL)?);
        let index = word(8).map_or(0, i32::from_ne_bytes);
        let view = View::of(net);
        let found = match (index, own.is_unspecified()) {
            (0, true) => Some(0),
            (0, false) => link_of(&view, own),
            (index, _) => view.by_index(index).map(|link| link.index),
        };
        self.v4 = found.ok_or(Errno::EADDRNOTAVAIL)?;
        self.own = own;
        Ok(())
    }
}

/// The link that has an address.
fn link_of(view: &View, own: Ipv4Addr) -> Option<i32> {
    if own.is_loopback() {
        return Some(LO_INDEX);
    }
    let has = |link: &&crate::net::view::LinkView| {
        let mut addresses = link.addresses.iter();
        addresses.any(|a| a.ip == IpAddr::V4(own))
    };
    view.links.iter().find(has).map(|link| link.index)
}
