//! Links that guests have made (`ip-link(8)`, `veth(4)`, `/dev/net/tun`): what becomes of the frames sent
//! over them, and how they are made, moved to another namespace and deleted.
//!
//! Lock rank: a namespace's stack, then its devices, then a veth end's place.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use abi::Errno;
use netstack::{Kind, Link, Stack};

use crate::net::tun::Tun;
use crate::net::{NetNs, config, view};
use crate::sync::{Mutex, RwLock};
use crate::{Kernel, Result};

/// Where one end of a pair is: its namespace and its number there.
#[derive(Debug)]
pub(crate) struct End(Mutex<(Weak<NetNs>, u32)>);

impl End {
    /// Nowhere yet.
    pub(in crate::net) fn new() -> Arc<End> {
        Arc::new(End(Mutex::new((Weak::new(), 0))))
    }

    /// Its namespace and number, while there is one.
    pub(in crate::net) fn place(&self) -> Option<(Arc<NetNs>, u32)> {
        let (ns, index) = &*self.0.lock();
        Some((ns.upgrade()?, *index))
    }
}

/// The other side of a link.
#[derive(Clone, Debug)]
pub(crate) enum Device {
    /// An end of a pair, and the other one.
    Veth(Arc<End>, Arc<End>),
    /// A file.
    Tun(Arc<Tun>),
}

impl Device {
    fn end(&self) -> &End {
        match self {
            Device::Veth(own, _) => own,
            Device::Tun(tun) => &tun.end,
        }
    }
}

/// The links a namespace's guests have made, by number.
#[derive(Default)]
pub(crate) struct Devices(RwLock<HashMap<u32, Device>>);

impl Devices {
    /// Sends a frame; over a link that is no device of these, nowhere.
    pub(super) fn send(&self, kernel: &Kernel, link: u32, frame: &[u8]) {
        let device = self.0.read().get(&link).cloned();
        match device {
            Some(Device::Veth(_, peer)) => {
                if let Some((ns, index)) = peer.place() {
                    ns.hand_in(kernel, index, frame.to_vec());
                }
            }
            Some(Device::Tun(tun)) => tun.push(frame),
            None => {}
        }
    }

    /// Where the other end of a pair is.
    pub(crate) fn peer(&self, link: u32) -> Option<(Arc<NetNs>, u32)> {
        match self.0.read().get(&link)? {
            Device::Veth(_, peer) => peer.place(),
            Device::Tun(_) => None,
        }
    }

    /// The link with a file at its other end.
    pub(in crate::net) fn tun(&self, link: u32) -> Option<Arc<Tun>> {
        match self.0.read().get(&link)? {
            Device::Tun(tun) => Some(tun.clone()),
            Device::Veth(..) => None,
        }
    }
}

/// A link as it is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Its kind.
    pub kind: Kind,
    /// Name, or a pattern.
    pub name: String,
    /// Number, 0 for any.
    pub index: u32,
    /// Hardware address; a random one without.
    pub mac: Option<[u8; 6]>,
    /// MTU; the kind's without.
    pub mtu: Option<u32>,
}

/// A random hardware address, locally administered.
fn random_mac() -> [u8; 6] {
    let mut mac = [0; 6];
    // Without random bytes addresses may clash, as those of any cheap card.
    let _ = platform::host::random(&mut mac);
    let [first, ..] = &mut mac;
    *first = *first & 0xfe | 2;
    mac
}

/// Enters a link as planned; its number. `EEXIST`, `EINVAL`, `ENFILE`.
fn enter(stack: &mut Stack, ns: &NetNs, plan: &Plan) -> Result<u32> {
    let name = config::free_name(stack, &plan.name)?;
    let index = match plan.index {
        0 => ns.outside.next_index(stack),
        n if stack.topology.link(n).is_some() => return Err(Errno::EBUSY),
        n => n,
    };
    let ethernet = plan.kind.is_ethernet();
    let mac = plan.mac.unwrap_or_else(random_mac);
    let link = Link {
        index,
        name,
        kind: plan.kind,
        carrier: plan.kind != Kind::Veth,
        mac: if ethernet { mac } else { [0; 6] },
        mtu: 1500,
        offload: false,
        up: false,
        soft: view::soft_flags(plan.kind),
        addresses: Vec::new(),
        counters: Default::default(),
    };
    config::add_link(stack, link)?;
    if let Some(mtu) = plan.mtu
        && let Err(e) = config::set_mtu(stack, index, mtu)
    {
        config::remove_link(stack, index);
        return Err(e);
    }
    Ok(index)
}

impl NetNs {
    /// Makes a link that needs nothing but itself; its number.
    pub(crate) fn make_link(self: &Arc<NetNs>, kernel: &Arc<Kernel>, plan: &Plan) -> Result<u32> {
        let index = self.reconfigure(kernel, |stack| enter(stack, self, plan))?;
        self.tell_link(index);
        Ok(index)
    }

    /// Makes a link with a file at its other end; its number.
    pub(in crate::net) fn make_tun(
        self: &Arc<NetNs>,
        kernel: &Arc<Kernel>,
        plan: &Plan,
        tun: &Arc<Tun>,
    ) -> Result<u32> {
        let index = self.reconfigure(kernel, |stack| enter(stack, self, plan))?;
        *tun.end.0.lock() = (Arc::downgrade(self), index);
        let device = Device::Tun(tun.clone());
        self.outside.devices.0.write().insert(index, device);
        self.tell_link(index);
        Ok(index)
    }

    /// Somebody comes to the other end of a link, or goes.
    pub(in crate::net) fn set_carrier(
        self: &Arc<NetNs>,
        kernel: &Arc<Kernel>,
        index: u32,
        carrier: bool,
    ) {
        if self.reconfigure(kernel, |stack| config::set_carrier(stack, index, carrier)) {
            self.tell_link(index);
        }
    }

    /// Makes a pair, the other end in `far`; the numbers.
    pub(crate) fn make_pair(
        self: &Arc<NetNs>,
        kernel: &Arc<Kernel>,
        plan: &Plan,
        far: &Arc<NetNs>,
        peer: &Plan,
    ) -> Result<(u32, u32)> {
        // The peer first, as the numbers show.
        let there = far.reconfigure(kernel, |stack| enter(stack, far, peer))?;
        let made = self.reconfigure(kernel, |stack| enter(stack, self, plan));
        let here = match made {
            Ok(index) => index,
            Err(e) => {
                far.reconfigure(kernel, |stack| config::remove_link(stack, there));
                return Err(e);
            }
        };
        let end = |ns: &Arc<NetNs>, index| Arc::new(End(Mutex::new((Arc::downgrade(ns), index))));
        let (a, b) = (end(self, here), end(far, there));
        let add = |ns: &NetNs, index, device| ns.outside.devices.0.write().insert(index, device);
        add(self, here, Device::Veth(a.clone(), b.clone()));
        add(far, there, Device::Veth(b, a));
        far.tell_link(there);
        self.tell_link(here);
        Ok((here, there))
    }

    /// Sets the flags of a link that `mask` names; `ENODEV`.
    pub(crate) fn set_link_flags(
        self: &Arc<NetNs>,
        kernel: &Arc<Kernel>,
        index: u32,
        flags: u32,
        mask: u32,
    ) -> Result<()> {
        self.change(kernel, |stack, _| {
            let link = stack.topology.link_mut(index).ok_or(Errno::ENODEV)?;
            let mask = mask & view::SOFT_FLAGS;
            link.soft = link.soft & !mask | flags & mask;
            Ok::<(), Errno>(())
        })?;
        match mask & view::IFF_UP != 0 {
            true => self.set_link_up(kernel, index, flags & view::IFF_UP != 0),
            false => Ok(()),
        }
    }

    /// Sets a link up or down, and with it the carrier of the other end of a pair; `ENODEV`.
    pub(crate) fn set_link_up(
        self: &Arc<NetNs>,
        kernel: &Arc<Kernel>,
        index: u32,
        up: bool,
    ) -> Result<()> {
        let peer = self.outside.devices.peer(index);
        if let Some((ns, other)) = &peer {
            let there_up = ns
                .outside
                .look(|s| s.topology.link(*other).is_some_and(|l| l.up));
            self.reconfigure(kernel, |stack| {
                config::set_carrier(stack, index, there_up && up)
            });
        }
        let before = self.outside.look(|s| s.topology.link(index).map(|l| l.up));
        self.reconfigure(kernel, |stack| config::set_up(stack, index, up))?;
        if before == Some(up) {
            return Ok(());
        }
        self.tell_link(index);
        if let Some((ns, other)) = peer {
            let changed = ns.reconfigure(kernel, |stack| {
                let there_up = stack.topology.link(other).is_some_and(|l| l.up);
                config::set_carrier(stack, other, there_up && up)
            });
            if changed {
                ns.tell_link(other);
            }
        }
        Ok(())
    }

    /// Deletes a link that guests have made, with the other end of a pair. `ENODEV`,
    /// `EOPNOTSUPP` for any other.
    pub(crate) fn delete_link(self: &Arc<NetNs>, kernel: &Arc<Kernel>, index: u32) -> Result<()> {
        let kind = self
            .outside
            .look(|s| s.topology.link(index).map(|l| l.kind));
        if matches!(kind.ok_or(Errno::ENODEV)?, Kind::Loopback | Kind::Ethernet) {
            return Err(Errno::EOPNOTSUPP);
        }
        let device = self.outside.devices.0.write().remove(&index);
        self.take_out(kernel, index);
        match device {
            Some(Device::Veth(_, peer)) => {
                if let Some((ns, other)) = peer.place() {
                    ns.outside.devices.0.write().remove(&other);
                    ns.take_out(kernel, other);
                }
            }
            Some(Device::Tun(_)) | None => {}
        }
        Ok(())
    }

    fn take_out(self: &Arc<NetNs>, kernel: &Arc<Kernel>, index: u32) -> Option<Link> {
        let link = self.reconfigure(kernel, |stack| config::remove_link(stack, index))?;
        self.tell_gone(&link);
        Some(link)
    }

    /// Moves a link to another namespace, down and without addresses, by its name or a new
    /// one. `EINVAL` for one that stays where it is, `EEXIST`.
    pub(crate) fn move_link(
        self: &Arc<NetNs>,
        kernel: &Arc<Kernel>,
        index: u32,
        to: &Arc<NetNs>,
        name: Option<&str>,
    ) -> Result<u32> {
        if Arc::ptr_eq(self, to) {
            return Ok(index);
        }
        let link = self.outside.look(|s| s.topology.link(index).cloned());
        let link = link.ok_or(Errno::ENODEV)?;
        if matches!(link.kind, Kind::Loopback | Kind::Ethernet) {
            return Err(Errno::EINVAL);
        }
        self.set_link_up(kernel, index, false)?;
        let mut plan = Plan {
            kind: link.kind,
            name: name.unwrap_or(&link.name).to_owned(),
            index,
            mac: Some(link.mac),
            mtu: Some(link.mtu),
        };
        let new = to.reconfigure(kernel, |stack| {
            if stack.topology.link(index).is_some() {
                plan.index = 0;
            }
            enter(stack, to, &plan)
        })?;
        let device = self.outside.devices.0.write().remove(&index);
        if let Some(device) = device {
            *device.end().0.lock() = (Arc::downgrade(to), new);
            to.outside.devices.0.write().insert(new, device);
        }
        self.take_out(kernel, index);
        to.tell_link(new);
        Ok(new)
    }
}

impl Drop for Devices {
    fn drop(&mut self) {
        // The namespace is gone: the other ends of its pairs go with it.
        for (_, device) in self.0.get_mut().drain() {
            let Device::Veth(_, peer) = device else {
                continue;
            };
            if let Some((ns, other)) = peer.place() {
                ns.outside.devices.0.write().remove(&other);
                ns.lose_link(other);
            }
        }
    }
}
