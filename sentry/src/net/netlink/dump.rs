//! Answers of netlink route sockets to questions: whole tables and single objects.

use std::net::IpAddr;

use abi::Errno;

use super::message::{HEADER, Request, find, message, u32_at};
use super::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_MULTI, NLMSG_DONE, NLMSG_ERROR, RTM_GETADDR, RTM_GETLINK,
    RTM_GETNEIGH, RTM_GETROUTE, RTM_GETRULE, RTM_NEWADDR, RTM_NEWLINK, RTM_NEWNEIGH, RTM_NEWROUTE,
    RTM_NEWRULE, objects,
};
use crate::net::NetNs;
use crate::net::view::View;

/// Most bytes of one reply of a dump.
const PART: usize = 8 * 1024;

/// Answers a dump: the objects of the kind, then the end.
fn dump(view: &View, req: Request, body: &[u8]) -> Vec<Vec<u8>> {
    let family = u16::from(body.first().copied().unwrap_or(0));
    let (kind, objects) = match req.kind {
        RTM_GETLINK => (RTM_NEWLINK, view.links.iter().map(objects::link).collect()),
        RTM_GETADDR => {
            let all = view
                .links
                .iter()
                .flat_map(|l| l.addresses.iter().map(move |a| (l, a)));
            let wanted = all.filter(|(_, a)| objects::is_of(family, a.ip));
            (
                RTM_NEWADDR,
                wanted.map(|(l, a)| objects::address(l, a)).collect(),
            )
        }
        RTM_GETROUTE => {
            let main = view
                .routes
                .iter()
                .filter(|r| objects::is_of(family, r.network));
            let mut all: Vec<Vec<u8>> = main.map(objects::route).collect();
            all.extend(objects::local_routes(view, family));
            (RTM_NEWROUTE, all)
        }
        RTM_GETNEIGH => {
            let wanted = view
                .neighbours
                .iter()
                .filter(|n| objects::is_of(family, n.ip));
            (RTM_NEWNEIGH, wanted.map(objects::neighbour).collect())
        }
        RTM_GETRULE => (RTM_NEWRULE, objects::rules(family)),
        _ => (0, Vec::new()),
    };
    let mut parts = vec![Vec::new()];
    for object in objects {
        if parts.last().is_some_and(|p| p.len() + object.len() > PART) {
            parts.push(Vec::new());
        }
        if let Some(part) = parts.last_mut() {
            message(part, req, kind, NLM_F_MULTI, &object);
        }
    }
    let mut end = Vec::new();
    message(&mut end, req, NLMSG_DONE, NLM_F_MULTI, &[0; 4]);
    parts.push(end);
    parts
        .into_iter()
        .filter(|p: &Vec<u8>| !p.is_empty())
        .collect()
}

/// `NLMSG_ERROR` for a request; 0 acknowledges.
pub(super) fn error(req: Request, e: i32, header: &[u8]) -> Vec<u8> {
    let mut body = (-e).to_ne_bytes().to_vec();
    body.extend_from_slice(header);
    let mut out = Vec::new();
    message(&mut out, req, NLMSG_ERROR, 0, &body);
    out
}

/// The link a single `RTM_GETLINK` means: by number, or by name.
fn one_link(view: &View, body: &[u8]) -> Option<Vec<u8>> {
    const IFLA_IFNAME: u16 = 3;
    let index = u32_at(body, 4);
    let link = if index != 0 {
        view.by_index(i32::try_from(index).ok()?)
    } else {
        let name = find(body, 16, IFLA_IFNAME)?;
        view.by_name(name.split(|b| *b == 0).next()?)
    };
    link.map(objects::link)
}

/// The way to the destination a single `RTM_GETROUTE` names.
fn one_route(net: &NetNs, body: &[u8]) -> Option<Vec<u8>> {
    const RTA_DST: u16 = 1;
    let raw = find(body, 12, RTA_DST)?;
    let dst = match raw.len() {
        4 => IpAddr::from(*raw.first_chunk::<4>()?),
        16 => IpAddr::from(*raw.first_chunk::<16>()?),
        _ => return None,
    };
    let outside = &net.outside;
    outside.look(|stack| {
        if stack.is_for_us(dst) {
            let source = stack.source_for(dst, None)?;
            return Some(objects::way(dst, 1, dst, source, true));
        }
        let way = stack.topology.way(dst, None)?;
        Some(objects::way(dst, way.link, way.hop, way.source, false))
    })
}

/// Answers a question.
pub(super) fn answer(net: &NetNs, req: Request, whole: &[u8]) -> Vec<Vec<u8>> {
    let body = whole.get(HEADER..).unwrap_or_default();
    let header = whole.get(..HEADER).unwrap_or_default();
    let known = [
        RTM_GETLINK,
        RTM_GETADDR,
        RTM_GETROUTE,
        RTM_GETNEIGH,
        RTM_GETRULE,
    ];
    if !known.contains(&req.kind) {
        return vec![error(req, Errno::EOPNOTSUPP.raw(), header)];
    }
    let view = View::of(net);
    if req.flags & NLM_F_DUMP == NLM_F_DUMP {
        return dump(&view, req, body);
    }
    let (kind, found, missing) = match req.kind {
        RTM_GETLINK => (RTM_NEWLINK, one_link(&view, body), Errno::ENODEV),
        RTM_GETROUTE => (RTM_NEWROUTE, one_route(net, body), Errno::ENETUNREACH),
        _ => return vec![error(req, Errno::EOPNOTSUPP.raw(), header)],
    };
    let Some(object) = found else {
        return vec![error(req, missing.raw(), header)];
    };
    let mut reply = Vec::new();
    message(&mut reply, req, kind, 0, &object);
    let mut out = vec![reply];
    if req.flags & NLM_F_ACK != 0 {
        out.push(error(req, 0, header));
    }
    out
}
