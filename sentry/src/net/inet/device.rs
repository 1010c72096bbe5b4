//! Interface requests (`netdevice(7)`).

use std::net::Ipv4Addr;
use std::sync::Arc;

use abi::Errno;

use super::device_set::{self, SIOCADDRT, SIOCDELRT};
use crate::SysResult;
use crate::fs::IoCx;
use crate::net::NetNs;
use crate::net::view::{LinkView, View};
use crate::task::Task;

/// Bytes of an interface name with its NUL.
const IFNAMSIZ: usize = 16;
/// Bytes of `struct ifreq`.
const IFREQ: usize = 40;

const SIOCGIFNAME: u32 = 0x8910;
const SIOCGIFCONF: u32 = 0x8912;
const SIOCGIFFLAGS: u32 = 0x8913;
const SIOCGIFADDR: u32 = 0x8915;
const SIOCGIFDSTADDR: u32 = 0x8917;
const SIOCGIFBRDADDR: u32 = 0x8919;
const SIOCGIFNETMASK: u32 = 0x891b;
const SIOCGIFMETRIC: u32 = 0x891d;
const SIOCGIFMTU: u32 = 0x8921;
const SIOCGIFHWADDR: u32 = 0x8927;
const SIOCGIFINDEX: u32 = 0x8933;
const SIOCGIFTXQLEN: u32 = 0x8942;
const SIOCETHTOOL: u32 = 0x8946;
const SIOCGIFMAP: u32 = 0x8970;

/// A `sockaddr_in` in the union of an `ifreq`.
fn address(ip: Ipv4Addr) -> [u8; 16] {
    let mut raw = [0; 16];
    raw[0] = 2;
    raw[4..8].copy_from_slice(&ip.octets());
    raw
}

fn first(bytes: &[u8]) -> [u8; 16] {
    let mut raw = [0; 16];
    for (to, from) in raw.iter_mut().zip(bytes) {
        *to = *from;
    }
    raw
}

/// The mask of a prefix.
pub(super) fn mask(prefix: u8) -> Ipv4Addr {
    let bits = u32::MAX.checked_shl(32u32.saturating_sub(prefix.into()));
    Ipv4Addr::from_bits(bits.unwrap_or(0))
}

/// Interface requests (`netdevice(7)`). `ENODEV` for a name that is not there, `ENOTTY`
/// for a request not known; changes are [`device_set`]'s.
pub fn device_ioctl(net: &Arc<NetNs>, cx: &IoCx<'_>, request: u32, arg: u64) -> SysResult<i64> {
    let t = cx.task.ok_or(Errno::ENOTTY)?;
    let mm = t.mm();
    let view = View::of(net);
    if request == SIOCGIFCONF {
        return conf(cx, &view, arg);
    }
    if matches!(request, SIOCADDRT | SIOCDELRT) {
        return route(t, net, request == SIOCDELRT, arg);
    }
    if !(0x8910..=SIOCETHTOOL).contains(&request) && request != SIOCGIFMAP {
        return Err(Errno::ENOTTY.into());
    }
    let mut req = [0; IFREQ];
    mm.copy_in(arg, &mut req).map_err(Errno::from)?;
    let (name, rest) = req.split_at(IFNAMSIZ);
    if request == SIOCGIFNAME {
        let [a, b, c, d, ..] = first(rest);
        let index = i32::from_ne_bytes([a, b, c, d]);
        let link = view.by_index(index).ok_or(Errno::ENODEV)?;
        let name = first(link.name.as_bytes());
        mm.copy_out(arg, &name).map_err(Errno::from)?;
        return Ok(0);
    }
    let name = name.split(|b| *b == 0).next().unwrap_or_default();
    // An alias means its link.
    let name = name.split(|b| *b == b':').next().unwrap_or_default();
    if device_set::changes(request) {
        let body = rest.first_chunk().ok_or(Errno::EINVAL)?;
        device_set::set(t, net, request, name, body)?;
        return Ok(0);
    }
    let link = view.by_name(name).ok_or(Errno::ENODEV)?;
    let body = answer(link, request)?;
    let at = arg.wrapping_add(IFNAMSIZ as u64);
    mm.copy_out(at, &body).map_err(Errno::from)?;
    Ok(0)
}

/// `SIOCADDRT`, `SIOCDELRT`.
fn route(t: &Arc<Task>, net: &Arc<NetNs>, gone: bool, arg: u64) -> SysResult<i64> {
    let mm = t.mm();
    let mut raw = [0; 120];
    mm.copy_in(arg, &mut raw).map_err(Errno::from)?;
    let at = raw.get(88..).and_then(|b| b.first_chunk::<8>());
    let at = at.map_or(0, |b| u64::from_ne_bytes(*b));
    let mut name = [0; IFNAMSIZ];
    if at != 0 {
        mm.copy_in(at, &mut name).map_err(Errno::from)?;
    }
    let device = name.split(|b| *b == 0).next().filter(|_| at != 0);
    device_set::route(t, net, gone, &raw, device)?;
    Ok(0)
}

fn answer(link: &LinkView, request: u32) -> Result<[u8; 16], Errno> {
    let v4 = || link.v4().ok_or(Errno::EADDRNOTAVAIL);
    Ok(match request {
        SIOCGIFFLAGS => first(&link.flags.to_ne_bytes()[..2]),
        SIOCGIFADDR | SIOCGIFDSTADDR => address(v4()?.0),
        SIOCGIFBRDADDR => address(v4()?.1.broadcast.unwrap_or(Ipv4Addr::UNSPECIFIED)),
        SIOCGIFNETMASK => address(mask(v4()?.1.prefix)),
        SIOCGIFMETRIC | SIOCGIFMAP => [0; 16],
        SIOCGIFMTU => first(&link.mtu.to_ne_bytes()),
        SIOCGIFHWADDR => {
            let mut raw = first(&link.kind.to_ne_bytes());
            raw[2..8].copy_from_slice(&link.mac);
            raw
        }
        SIOCGIFINDEX => first(&link.index.to_ne_bytes()),
        SIOCGIFTXQLEN => first(&1000u32.to_ne_bytes()),
        SIOCETHTOOL => return Err(Errno::EOPNOTSUPP),
        _ => return Err(Errno::EOPNOTSUPP),
    })
}

/// `SIOCGIFCONF`: all interfaces with an IPv4 address.
fn conf(cx: &IoCx<'_>, view: &View, arg: u64) -> SysResult<i64> {
    let t = cx.task.ok_or(Errno::ENOTTY)?;
    let mm = t.mm();
    let mut raw = [0; 16];
    mm.copy_in(arg, &mut raw).map_err(Errno::from)?;
    let [l0, l1, l2, l3, _, _, _, _, p @ ..] = raw;
    let len = usize::try_from(i32::from_ne_bytes([l0, l1, l2, l3])).unwrap_or(0);
    let buf = u64::from_ne_bytes(p);
    let mut out = Vec::new();
    for (link, ip) in view.links.iter().filter_map(|l| Some((l, l.v4()?.0))) {
        if buf != 0 && out.len() + IFREQ > len {
            break;
        }
        out.extend_from_slice(&first(link.name.as_bytes()));
        out.extend_from_slice(&address(ip));
        out.extend_from_slice(&[0; 8]);
    }
    if buf != 0 {
        mm.copy_out(buf, &out).map_err(Errno::from)?;
    }
    let used = i32::try_from(out.len()).unwrap_or(0);
    mm.copy_out(arg, &used.to_ne_bytes()).map_err(Errno::from)?;
    Ok(0)
}
