//! `/dev/net/tun` (Documentation/networking/tuntap.rst): links whose other end is a file.
//!
//! A [`Tun`] is such a link's queue and owner; a [`TunFile`] is an open descriptor, attached
//! to one at most. Lock rank: a file's state, then a device's owner, then its queue, leaves
//! but for a namespace's stack, which is taken with none of them held.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::fs::PollEvents;
use netstack::Kind;

use super::outside::device::{End, Plan};
use super::packet::Direction;
use super::view::IFF_UP;
use super::{NetNs, READABLE, WRITABLE, config};
use crate::creds::{Cap, Creds};
use crate::fs::file::{FileOps, IoCx, OpenFlags};
use crate::fs::vfs::{Device, FileType, Inode};
use crate::io::{IoDst, IoSrc};
use crate::kernel::Kernel;
use crate::sync::Mutex;
use crate::task::Task;
use crate::wait::Pollee;
use crate::{Result, SysResult};

/// Major and minor number.
const NUMBER: (u32, u32) = (10, 200);
/// Packets that wait to be read (`txqueuelen`).
const MAX_QUEUE: usize = 500;
/// Longest packet that is written.
const MAX_WRITE: usize = 65_535 + 14 + 4;
/// Bytes of `struct tun_pi`.
const PI: usize = 4;
/// The buffer was too small (`TUN_PKT_STRIP`).
const STRIP: u16 = 1;

const IFF_TUN: u16 = 1;
const IFF_TAP: u16 = 2;
const IFF_PERSIST: u16 = 0x800;
const IFF_NO_PI: u16 = 0x1000;
const IFF_ONE_QUEUE: u16 = 0x2000;
const IFF_TUN_EXCL: u16 = 0x8000;
/// What may be asked for; neither offload headers nor several queues.
const FEATURES: u16 = IFF_TUN | IFF_TAP | IFF_NO_PI | IFF_ONE_QUEUE;
/// No filter is set, in what `TUNGETIFF` says (`IFF_NOFILTER`).
const IFF_NOFILTER: u16 = 0x1000;

const TUNSETNOCSUM: u32 = 0x4004_54c8;
const TUNSETDEBUG: u32 = 0x4004_54c9;
const TUNSETIFF: u32 = 0x4004_54ca;
const TUNSETPERSIST: u32 = 0x4004_54cb;
const TUNSETOWNER: u32 = 0x4004_54cc;
const TUNSETGROUP: u32 = 0x4004_54ce;
const TUNGETFEATURES: u32 = 0x8004_54cf;
const TUNSETOFFLOAD: u32 = 0x4004_54d0;
const TUNGETIFF: u32 = 0x8004_54d2;
const TUNGETSNDBUF: u32 = 0x8004_54d3;
const TUNSETIFINDEX: u32 = 0x4004_54da;
const SIOCGIFHWADDR: u32 = 0x8927;
const SIOCSIFHWADDR: u32 = 0x8924;

/// A link with a file at its other end.
pub(crate) struct Tun {
    pub(super) end: Arc<End>,
    state: Mutex<State>,
    queue: Mutex<VecDeque<Vec<u8>>>,
}

impl std::fmt::Debug for Tun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tun")
    }
}

struct State {
    flags: u16,
    owner: Option<u32>,
    group: Option<u32>,
    /// A file is attached.
    attached: bool,
    /// Who waits at that file.
    reader: Weak<Pollee>,
}

impl Tun {
    /// A packet was sent over the link.
    pub(super) fn push(&self, packet: &[u8]) {
        let reader = self.state.lock().reader.upgrade();
        let Some(reader) = reader else {
            return;
        };
        {
            let mut queue = self.queue.lock();
            if queue.len() >= MAX_QUEUE {
                return;
            }
            queue.push_back(packet.to_vec());
        }
        reader.notify(READABLE);
    }

    fn is_tap(&self) -> bool {
        self.state.lock().flags & IFF_TAP != 0
    }

    /// `EPERM` for those who neither own it nor may change the network.
    fn check(&self, net: &NetNs, creds: &Creds) -> Result<()> {
        let (owner, group) = {
            let s = self.state.lock();
            (s.owner, s.group)
        };
        let other = owner.is_some_and(|o| o != creds.euid)
            || group.is_some_and(|g| g != creds.egid && !creds.groups.contains(&g));
        match other && !net.allows(creds, Cap::NetAdmin) {
            true => Err(Errno::EPERM),
            false => Ok(()),
        }
    }
}

/// The device.
struct TunDevice(Weak<Kernel>);

/// Registers the device.
pub fn register(kernel: &Arc<Kernel>) {
    let device = Arc::new(TunDevice(Arc::downgrade(kernel)));
    let (major, minor) = NUMBER;
    kernel
        .devices
        .register(FileType::CharDevice, major, minor, device);
}

impl Device for TunDevice {
    fn open(
        &self,
        _minor: u32,
        _inode: &Arc<dyn Inode>,
        _flags: OpenFlags,
        t: Option<&Arc<Task>>,
    ) -> Result<Arc<dyn FileOps>> {
        let kernel = self.0.upgrade().ok_or(Errno::ENXIO)?;
        let net = t.map_or_else(|| kernel.net.clone(), |t| t.net());
        Ok(Arc::new(TunFile {
            kernel,
            net,
            state: Mutex::default(),
            pollee: Arc::new(Pollee::new()),
        }))
    }
}

#[derive(Default)]
struct FileState {
    tun: Option<Arc<Tun>>,
    /// The number the link is to get.
    index: u32,
}

/// An open descriptor.
struct TunFile {
    kernel: Arc<Kernel>,
    /// Where it was opened.
    net: Arc<NetNs>,
    state: Mutex<FileState>,
    pollee: Arc<Pollee>,
}

impl TunFile {
    /// What it is attached to, with the link's place; `EBADFD`.
    fn tun(&self) -> Result<(Arc<Tun>, Arc<NetNs>, u32)> {
        let tun = self.state.lock().tun.clone().ok_or(Errno::EBADFD)?;
        let (net, index) = tun.end.place().ok_or(Errno::EBADFD)?;
        Ok((tun, net, index))
    }

    /// `TUNSETIFF`: attaches to the link of a name, making it if there is none; the name.
    fn attach(&self, t: &Arc<Task>, name: &[u8], flags: u16) -> Result<String> {
        let net = &self.net;
        let text = std::str::from_utf8(name).map_err(|_| Errno::EINVAL)?;
        let there = net.outside.look(|stack| {
            let index = config::by_name(stack, name)?;
            stack.topology.link(index).map(|l| (index, l.kind))
        });
        let kind = match flags & (IFF_TUN | IFF_TAP) {
            IFF_TUN => Some(Kind::Tun),
            IFF_TAP => Some(Kind::Tap),
            _ => None,
        };
        let kept = flags & (IFF_NO_PI | IFF_ONE_QUEUE | IFF_TUN | IFF_TAP);
        if let Some((index, own)) = there.filter(|_| !text.is_empty()) {
            if flags & IFF_TUN_EXCL != 0 {
                return Err(Errno::EBUSY);
            }
            let tun = net.outside.devices.tun(index).filter(|_| kind == Some(own));
            let tun = tun.ok_or(Errno::EINVAL)?;
            tun.check(net, &t.creds())?;
            {
                let mut s = tun.state.lock();
                if s.attached {
                    return Err(Errno::EBUSY);
                }
                s.attached = true;
                s.reader = Arc::downgrade(&self.pollee);
                s.flags = kept | s.flags & IFF_PERSIST;
            }
            self.state.lock().tun = Some(tun);
            net.set_carrier(&self.kernel, index, true);
            return Ok(text.to_owned());
        }
        if !net.allows(&t.creds(), Cap::NetAdmin) {
            return Err(Errno::EPERM);
        }
        let kind = kind.ok_or(Errno::EINVAL)?;
        if flags & !(FEATURES | IFF_TUN_EXCL) != 0 {
            return Err(Errno::EINVAL);
        }
        let pattern = if kind == Kind::Tun { "tun%d" } else { "tap%d" };
        let plan = Plan {
            kind,
            name: if text.is_empty() { pattern } else { text }.to_owned(),
            index: self.state.lock().index,
            mac: None,
            mtu: None,
        };
        let tun = Arc::new(Tun {
            end: End::new(),
            state: Mutex::new(State {
                flags: kept,
                owner: None,
                group: None,
                attached: true,
                reader: Arc::downgrade(&self.pollee),
            }),
            queue: Mutex::default(),
        });
        let index = net.make_tun(&self.kernel, &plan, &tun)?;
        self.state.lock().tun = Some(tun);
        let name = net
            .outside
            .look(|s| s.topology.link(index).map(|l| l.name.clone()));
        name.ok_or(Errno::ENODEV)
    }

    /// `TUNGETIFF` and requests of the hardware address: fills in a `struct ifreq`.
    fn describe(&self, request: u32, req: &mut [u8; 40]) -> Result<()> {
        let (tun, net, index) = self.tun()?;
        let link = net.outside.look(|s| s.topology.link(index).cloned());
        let link = link.ok_or(Errno::EBADFD)?;
        let body = match request {
            TUNGETIFF => {
                req.fill(0);
                for (to, from) in req.iter_mut().zip(link.name.as_bytes()) {
                    *to = *from;
                }
                let flags = tun.state.lock().flags | IFF_NOFILTER;
                flags.to_ne_bytes().to_vec()
            }
            _ => {
                let mut raw = super::view::hardware(link.kind).to_ne_bytes().to_vec();
                raw.extend_from_slice(&link.mac);
                raw
            }
        };
        for (to, from) in req.iter_mut().skip(16).zip(body) {
            *to = from;
        }
        Ok(())
    }

    /// Requests about the link it is attached to, whose argument is a number.
    fn set(&self, t: &Arc<Task>, request: u32, arg: u64) -> Result<()> {
        let (tun, net, _) = self.tun()?;
        tun.check(&net, &t.creds())?;
        let [a, b, c, d, ..] = arg.to_le_bytes();
        let id = u32::from_le_bytes([a, b, c, d]);
        let user_ns = t.creds().user_ns.clone();
        match request {
            TUNSETPERSIST => {
                let mut s = tun.state.lock();
                s.flags = match arg != 0 {
                    true => s.flags | IFF_PERSIST,
                    false => s.flags & !IFF_PERSIST,
                };
            }
            TUNSETOWNER => {
                let uid = user_ns.uid_to_kernel(id).ok_or(Errno::EINVAL)?;
                tun.state.lock().owner = Some(uid);
            }
            TUNSETGROUP => {
                let gid = user_ns.gid_to_kernel(id).ok_or(Errno::EINVAL)?;
                tun.state.lock().group = Some(gid);
            }
            // Leave to hand out packets without a checksum or joined, which none is.
            TUNSETOFFLOAD if arg & !0x7f == 0 => {}
            TUNSETNOCSUM | TUNSETDEBUG => {}
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }
}

impl FileOps for TunFile {
    fn as_any(&self) -> &dyn Any {
        self
    }

    /// One packet, cut to the buffer; `EINVAL` without room for the header before it.
    fn read(&self, _cx: &IoCx<'_>, dst: &mut dyn IoDst, _pos: u64) -> Result<usize> {
        let (tun, ..) = self.tun()?;
        let info = tun.state.lock().flags & IFF_NO_PI == 0;
        let Some(packet) = tun.queue.lock().pop_front() else {
            return Err(Errno::EAGAIN);
        };
        let room = dst.remaining();
        if !info {
            return dst.put(packet.get(..packet.len().min(room)).unwrap_or_default());
        }
        if room < PI {
            return Err(Errno::EINVAL);
        }
        let strip = if room < packet.len() + PI { STRIP } else { 0 };
        let protocol: [u8; 2] = match (tun.is_tap(), packet.first().map(|b| b >> 4)) {
            (true, _) => packet
                .get(12..)
                .and_then(|b| b.first_chunk().copied())
                .unwrap_or_default(),
            (false, Some(6)) => [0x86, 0xdd],
            (false, _) => [0x08, 0x00],
        };
        let mut whole = strip.to_ne_bytes().to_vec();
        whole.extend_from_slice(&protocol);
        whole.extend_from_slice(&packet);
        dst.put(whole.get(..whole.len().min(room)).unwrap_or_default())
    }

    /// One packet; `EINVAL` for none, `EIO` while the link is down.
    fn write(&self, _cx: &IoCx<'_>, src: &mut dyn IoSrc, _pos: u64) -> Result<usize> {
        let (tun, net, index) = self.tun()?;
        let (info, tap) = {
            let s = tun.state.lock();
            (s.flags & IFF_NO_PI == 0, s.flags & IFF_TAP != 0)
        };
        let len = src.remaining();
        let before = if info { PI } else { 0 };
        if len < before + if tap { 14 } else { 0 } || len > MAX_WRITE {
            return Err(Errno::EINVAL);
        }
        let mut raw = vec![0; len];
        if src.take(&mut raw)? < len {
            return Err(Errno::EFAULT);
        }
        let packet = raw.get(before..).unwrap_or_default();
        let version = packet.first().map_or(0, |b| b >> 4);
        if !tap && !info && !matches!(version, 4 | 6) {
            return Err(Errno::EINVAL);
        }
        let up = net.outside.look(|s| s.topology.link(index).map(|l| l.up));
        if up != Some(true) {
            return Err(Errno::EIO);
        }
        if net.taps.is_on() {
            net.tap(index, packet, Direction::In, None);
        }
        net.change(&self.kernel, |stack, now| stack.input(index, packet, now));
        Ok(len)
    }

    fn poll(&self, _cx: &IoCx<'_>) -> PollEvents {
        let Ok((tun, net, index)) = self.tun() else {
            return PollEvents::ERR;
        };
        let mut ready = PollEvents::empty();
        if !tun.queue.lock().is_empty() {
            ready |= READABLE;
        }
        let flags = net
            .outside
            .look(|s| s.topology.link(index).map(super::view::flags));
        if flags.is_some_and(|f| f & IFF_UP != 0) {
            ready |= WRITABLE;
        }
        ready
    }

    fn pollee(&self) -> Option<&Pollee> {
        Some(&self.pollee)
    }

    fn ioctl(&self, cx: &IoCx<'_>, request: u32, arg: u64) -> SysResult<i64> {
        let t = cx.task.ok_or(Errno::ENOTTY)?;
        let mm = t.mm();
        let mut req = [0; 40];
        match request {
            TUNSETIFF => {
                mm.copy_in(arg, &mut req).map_err(Errno::from)?;
                if self.tun().is_ok() {
                    return Err(Errno::EEXIST.into());
                }
                let (name, rest) = req.split_at_mut(16);
                if let Some(last) = name.last_mut() {
                    *last = 0;
                }
                let [f0, f1, ..] = *rest else {
                    return Err(Errno::EINVAL.into());
                };
                let wanted = name.split(|b| *b == 0).next().unwrap_or_default();
                let given = self.attach(t, wanted, u16::from_ne_bytes([f0, f1]))?;
                name.fill(0);
                for (to, from) in name.iter_mut().zip(given.as_bytes()) {
                    *to = *from;
                }
                mm.copy_out(arg, &req).map_err(Errno::from)?;
            }
            TUNGETFEATURES => {
                let raw = u32::from(FEATURES).to_ne_bytes();
                mm.copy_out(arg, &raw).map_err(Errno::from)?;
            }
            TUNSETIFINDEX => {
                if self.tun().is_ok() {
                    return Err(Errno::EPERM.into());
                }
                let mut raw = [0; 4];
                mm.copy_in(arg, &mut raw).map_err(Errno::from)?;
                let index = i32::from_ne_bytes(raw);
                self.state.lock().index = u32::try_from(index).map_err(|_| Errno::EINVAL)?;
            }
            TUNGETIFF | SIOCGIFHWADDR => {
                mm.copy_in(arg, &mut req).map_err(Errno::from)?;
                self.describe(request, &mut req)?;
                mm.copy_out(arg, &req).map_err(Errno::from)?;
            }
            SIOCSIFHWADDR => {
                let (_, net, index) = self.tun()?;
                mm.copy_in(arg, &mut req).map_err(Errno::from)?;
                let mac = req.get(18..).and_then(|b| b.first_chunk::<6>()).copied();
                let mac = mac.ok_or(Errno::EINVAL)?;
                net.reconfigure(&self.kernel, |s| config::set_mac(s, index, mac))?;
            }
            TUNGETSNDBUF => {
                self.tun()?;
                mm.copy_out(arg, &i32::MAX.to_ne_bytes())
                    .map_err(Errno::from)?;
            }
            _ => self.set(t, request, arg)?,
        }
        Ok(0)
    }
}

impl Drop for TunFile {
    fn drop(&mut self) {
        let Some(tun) = self.state.get_mut().tun.take() else {
            return;
        };
        let persists = {
            let mut s = tun.state.lock();
            s.attached = false;
            s.reader = Weak::new();
            s.flags & IFF_PERSIST != 0
        };
        tun.queue.lock().clear();
        let Some((net, index)) = tun.end.place() else {
            return;
        };
        if persists {
            net.set_carrier(&self.kernel, index, false);
        } else {
            // It is there, or somebody has deleted it just now.
            let _ = net.delete_link(&self.kernel, index);
        }
    }
}
