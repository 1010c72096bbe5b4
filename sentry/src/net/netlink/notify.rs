//! Multicast groups of netlink route sockets (`rtnetlink(7)`, `RTNLGRP_*`): who is told of
//! changes.

use std::sync::{Arc, Weak};

use netstack::{Address, Link, Route};

use super::message::{Request, message};
use super::{Netlink, RTM_NEWADDR, RTM_NEWLINK, RTM_NEWROUTE, objects};
use crate::net::NetNs;
use crate::net::view::{LinkView, View};
use crate::sync::Mutex;

/// `RTNLGRP_LINK`.
const GROUP_LINK: u32 = 1;
const GROUP_V4_ADDRESS: u32 = 5;
const GROUP_V4_ROUTE: u32 = 7;
const GROUP_V6_ADDRESS: u32 = 9;
const GROUP_V6_ROUTE: u32 = 11;
/// A message of nobody's asking.
pub(super) const UNASKED: Request = Request {
    kind: 0,
    flags: 0,
    seq: 0,
    port: 0,
};

/// Sockets of a namespace that are in some group. Lock rank: leaf, above those of sockets.
#[derive(Default)]
pub struct Listeners(Mutex<Vec<Weak<Netlink>>>);

impl Listeners {
    /// A socket has joined a group.
    pub(super) fn add(&self, socket: &Weak<Netlink>) {
        let mut all = self.0.lock();
        all.retain(|s| s.strong_count() > 0 && !s.ptr_eq(socket));
        all.push(socket.clone());
    }

    /// Tells everybody in a group.
    fn tell(&self, group: u32, req: Request, kind: u16, flags: u16, body: &[u8]) {
        let all = self.0.lock().clone();
        if all.is_empty() {
            return;
        }
        let mut raw = Vec::new();
        message(&mut raw, req, kind, flags, body);
        for socket in all.iter().filter_map(Weak::upgrade) {
            socket.hear(group, &raw);
        }
    }
}

impl NetNs {
    /// A link is new or has changed.
    pub(in crate::net) fn tell_link(&self, index: u32) {
        let view = View::of(self);
        if let Some(l) = view.by_index(i32::try_from(index).unwrap_or(0)) {
            let body = objects::link(l);
            self.listeners
                .tell(GROUP_LINK, UNASKED, RTM_NEWLINK, 0, &body);
        }
    }

    /// A link is gone.
    pub(in crate::net) fn tell_gone(&self, link: &Link) {
        let body = objects::link(&LinkView::of(link));
        let kind = RTM_NEWLINK + 1;
        self.listeners.tell(GROUP_LINK, UNASKED, kind, 0, &body);
    }

    /// An address was added or removed.
    pub(super) fn tell_address(&self, req: Request, index: u32, a: &Address, gone: bool) {
        let view = View::of(self);
        let Some(l) = view.by_index(i32::try_from(index).unwrap_or(0)) else {
            return;
        };
        let group = if a.ip.is_ipv4() {
            GROUP_V4_ADDRESS
        } else {
            GROUP_V6_ADDRESS
        };
        let kind = RTM_NEWADDR + u16::from(gone);
        self.listeners
            .tell(group, req, kind, 0, &objects::address(l, a));
    }

    /// A route was added or removed.
    pub(super) fn tell_route(&self, req: Request, r: &Route, gone: bool) {
        let v4 = r.network.is_ipv4();
        let group = if v4 { GROUP_V4_ROUTE } else { GROUP_V6_ROUTE };
        let kind = RTM_NEWROUTE + u16::from(gone);
        self.listeners.tell(group, req, kind, 0, &objects::route(r));
    }

    /// The other end of a pair is gone with its namespace, so is this one.
    pub(in crate::net) fn lose_link(self: &Arc<NetNs>, index: u32) {
        let gone = self.outside.forget_link(index);
        if let Some(link) = gone {
            self.tell_gone(&link);
        }
    }
}
