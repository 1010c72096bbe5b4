//! Requests that change something (`rtnetlink(7)`): links. Addresses, routes and neighbours
//! are in [`super::entry`].

use std::sync::Arc;

use abi::Errno;
use netstack::Kind;

use super::message::{HEADER, Request, find, u16_at, u32_at};
use super::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, entry};
use crate::creds::Cap;
use crate::net::outside::device::Plan;
use crate::net::{NetNs, config};
use crate::task::Task;
use crate::task::namespace::{Namespace, NsFile, NsKind};
use crate::{Kernel, Result};

/// Bytes of `struct ifinfomsg`.
const IFINFO: usize = 16;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_PID: u16 = 19;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;

/// A request of somebody who may make it.
pub(super) struct Cx<'a> {
    pub(super) task: &'a Arc<Task>,
    pub(super) net: &'a Arc<NetNs>,
    pub(super) req: Request,
    pub(super) body: &'a [u8],
}

impl Cx<'_> {
    pub(super) fn kernel(&self) -> &Arc<Kernel> {
        &self.task.kernel
    }

    pub(super) fn has(&self, flag: u16) -> bool {
        self.req.flags & flag != 0
    }
}

/// Does what a request asks for. `EOPNOTSUPP` for kinds not known.
pub(super) fn change(task: &Arc<Task>, net: &Arc<NetNs>, req: Request, whole: &[u8]) -> Result<()> {
    let body = whole.get(HEADER..).unwrap_or_default();
    let cx = Cx {
        task,
        net,
        req,
        body,
    };
    match req.kind {
        // RTM_NEWLINK, RTM_DELLINK, RTM_SETLINK.
        16 => new_link(&cx),
        17 => del_link(&cx),
        19 => set_link(&cx, found(&cx)?.ok_or(Errno::ENODEV)?),
        20 | 21 => entry::address(&cx, req.kind == 21),
        24 | 25 => entry::route(&cx, req.kind == 25),
        28 | 29 => entry::neighbour(&cx, req.kind == 29),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// A name among attributes; `EINVAL` when it is too long.
fn name_of(body: &[u8], from: usize) -> Result<Option<String>> {
    let Some(raw) = find(body, from, IFLA_IFNAME) else {
        return Ok(None);
    };
    let name = raw.split(|b| *b == 0).next().unwrap_or_default();
    if name.len() > 15 {
        return Err(Errno::ERANGE);
    }
    let name = std::str::from_utf8(name).map_err(|_| Errno::EINVAL)?;
    Ok(Some(name.to_owned()).filter(|n| !n.is_empty()))
}

fn mac_of(body: &[u8], from: usize) -> Result<Option<[u8; 6]>> {
    find(body, from, IFLA_ADDRESS)
        .map(|raw| raw.first_chunk::<6>().copied().ok_or(Errno::EINVAL))
        .transpose()
}

fn mtu_of(body: &[u8], from: usize) -> Option<u32> {
    find(body, from, IFLA_MTU).map(|raw| u32_at(raw, 0))
}

/// The link a request is about; `ENODEV` for a number that is none.
fn found(cx: &Cx<'_>) -> Result<Option<u32>> {
    if cx.body.len() < IFINFO {
        return Err(Errno::EINVAL);
    }
    let index = u32_at(cx.body, 4);
    if i32::try_from(index).is_err() {
        return Err(Errno::EINVAL);
    }
    let name = name_of(cx.body, IFINFO)?;
    Ok(cx.net.outside.look(|stack| match (index, name) {
        (0, Some(name)) => config::by_name(stack, name.as_bytes()),
        (0, None) => None,
        (index, _) => stack.topology.link(index).map(|l| l.index),
    }))
}

/// The namespace that attributes name, where the asker may put links; `EPERM`, `ESRCH`,
/// `EINVAL`.
fn target_ns(cx: &Cx<'_>, body: &[u8], from: usize) -> Result<Option<Arc<NetNs>>> {
    let net = if let Some(raw) = find(body, from, IFLA_NET_NS_PID) {
        let pid = i32::try_from(u32_at(raw, 0)).map_err(|_| Errno::ESRCH)?;
        let task = cx.task.pid_ns().task(pid).ok_or(Errno::ESRCH)?;
        task.net()
    } else if let Some(raw) = find(body, from, IFLA_NET_NS_FD) {
        let fd = i32::try_from(u32_at(raw, 0)).map_err(|_| Errno::EBADF)?;
        let file = cx.task.files().get(fd)?;
        match NsFile::namespace_of(&file) {
            Some(Namespace::Net(net)) => net,
            _ => return Err(Errno::EINVAL),
        }
    } else {
        return Ok(None);
    };
    debug_assert_eq!(Namespace::Net(net.clone()).kind(), NsKind::Net);
    match net.allows(&cx.task.creds(), Cap::NetAdmin) {
        true => Ok(Some(net)),
        false => Err(Errno::EPERM),
    }
}

fn new_link(cx: &Cx<'_>) -> Result<()> {
    if let Some(index) = found(cx)? {
        if cx.has(NLM_F_EXCL) {
            return Err(Errno::EEXIST);
        }
        if cx.has(NLM_F_REPLACE) {
            return Err(Errno::EOPNOTSUPP);
        }
        return set_link(cx, index);
    }
    if !cx.has(NLM_F_CREATE) {
        return Err(Errno::ENODEV);
    }
    let info = find(cx.body, IFINFO, IFLA_LINKINFO).unwrap_or_default();
    let kind = find(info, 0, IFLA_INFO_KIND).unwrap_or_default();
    let kind = kind.split(|b| *b == 0).next().unwrap_or_default();
    let (kind, pattern) = match kind {
        b"dummy" => (Kind::Dummy, "dummy%d"),
        b"veth" => (Kind::Veth, "veth%d"),
        _ => return Err(Errno::EOPNOTSUPP),
    };
    let plan = plan(cx.body, kind, pattern)?;
    let home = target_ns(cx, cx.body, IFINFO)?;
    let home = home.as_ref().unwrap_or(cx.net);
    let index = match kind {
        Kind::Veth => new_pair(cx, home, &plan, info)?,
        _ => home.make_link(cx.kernel(), &plan)?,
    };
    set_flags(cx, home, index)
}

fn plan(body: &[u8], kind: Kind, pattern: &str) -> Result<Plan> {
    let mac = mac_of(body, IFINFO)?;
    if mac.is_some_and(|[first, ..]| first & 1 != 0) {
        return Err(Errno::EADDRNOTAVAIL);
    }
    Ok(Plan {
        kind,
        name: name_of(body, IFINFO)?.unwrap_or_else(|| pattern.to_owned()),
        index: u32_at(body, 4),
        mac,
        mtu: mtu_of(body, IFINFO),
    })
}

fn new_pair(cx: &Cx<'_>, home: &Arc<NetNs>, plan_here: &Plan, info: &[u8]) -> Result<u32> {
    let data = find(info, 0, IFLA_INFO_DATA).unwrap_or_default();
    let peer = find(data, 0, VETH_INFO_PEER);
    if peer.is_some_and(|p| p.len() < IFINFO) {
        return Err(Errno::EINVAL);
    }
    let empty = [0; IFINFO];
    let peer = peer.unwrap_or(&empty);
    let plan_there = plan(peer, Kind::Veth, "veth%d")?;
    let far = target_ns(cx, peer, IFINFO)?;
    let far = far.as_ref().unwrap_or(home);
    let (here, _) = home.make_pair(cx.kernel(), plan_here, far, &plan_there)?;
    Ok(here)
}

/// Sets a link up or down as the flags of a request say.
fn set_flags(cx: &Cx<'_>, net: &Arc<NetNs>, index: u32) -> Result<()> {
    let (flags, mask) = (u32_at(cx.body, 8), u32_at(cx.body, 12));
    let mask = match (flags, mask) {
        (0, 0) => return Ok(()),
        (_, 0) => u32::MAX,
        (_, mask) => mask,
    };
    net.set_link_flags(cx.kernel(), index, flags, mask)
}

fn set_link(cx: &Cx<'_>, mut index: u32) -> Result<()> {
    let by_number = u32_at(cx.body, 4) != 0;
    let name = name_of(cx.body, IFINFO)?.filter(|_| by_number);
    let target = target_ns(cx, cx.body, IFINFO)?;
    let mut net = cx.net.clone();
    if let Some(to) = target {
        index = net.move_link(cx.kernel(), index, &to, name.as_deref())?;
        net = to;
    }
    if find(cx.body, IFINFO, IFLA_MASTER).is_some_and(|raw| u32_at(raw, 0) != 0) {
        return Err(Errno::EOPNOTSUPP);
    }
    let mac = mac_of(cx.body, IFINFO)?;
    let mtu = mtu_of(cx.body, IFINFO);
    net.reconfigure(cx.kernel(), |stack| {
        if let Some(mac) = mac {
            config::set_mac(stack, index, mac)?;
        }
        if let Some(mtu) = mtu {
            config::set_mtu(stack, index, mtu)?;
        }
        match &name {
            Some(name) => config::rename(stack, index, name.as_bytes()),
            None => Ok(()),
        }
    })?;
    if mac.is_some() || mtu.is_some() || name.is_some() {
        net.tell_link(index);
    }
    set_flags(cx, &net, index)
}

fn del_link(cx: &Cx<'_>) -> Result<()> {
    let index = found(cx)?;
    let named = u32_at(cx.body, 4) != 0 || name_of(cx.body, IFINFO)?.is_some();
    match index {
        Some(index) => cx.net.delete_link(cx.kernel(), index),
        None if named => Err(Errno::ENODEV),
        None => Err(Errno::EINVAL),
    }
}

/// Whether the family at the start of a request is that of its addresses.
pub(super) fn family(body: &[u8]) -> u16 {
    u16_at(body, 0) & 0xff
}
