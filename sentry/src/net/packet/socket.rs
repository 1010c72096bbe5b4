//! A packet socket.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use abi::Errno;
use abi::fs::PollEvents;
use netstack::Kind;
use netstack::link::LOOPBACK;

use super::{Direction, ETHERNET, OUTGOING, Seen, filter};
use crate::Result;
use crate::io::{IoDst, IoSrc};
use crate::net::addr::LinkAddr;
use crate::net::view::LinkView;
use crate::net::{
    Common, MsgFlags, OptCall, OptValue, READABLE, Received, SendArgs, SockAddr, SockType, Socket,
    WRITABLE, options,
};
use crate::seccomp::bpf::Program;
use crate::sync::Mutex;
use crate::task::Task;

/// `SOL_PACKET`.
const SOL_PACKET: i32 = 263;
const PACKET_ADD_MEMBERSHIP: i32 = 1;
const PACKET_DROP_MEMBERSHIP: i32 = 2;
const PACKET_STATISTICS: i32 = 6;
const PACKET_AUXDATA: i32 = 8;
const PACKET_ORIGDEV: i32 = 9;
const PACKET_IGNORE_OUTGOING: i32 = 23;
const SO_ATTACH_FILTER: i32 = 26;
const SO_DETACH_FILTER: i32 = 27;
const SO_LOCK_FILTER: i32 = 44;
/// `ETH_P_ALL`.
pub(super) const ALL: u16 = 3;
/// Marks of auxiliary data: for the user; checksum not computed yet, or good.
const TP_STATUS_USER: u32 = 1;
/// What a queued frame is charged beyond its bytes.
const OVERHEAD: usize = 512;
const MAX_MEMBERSHIPS: usize = 256;

/// A packet socket.
pub struct PacketSocket {
    common: Common,
    state: Mutex<State>,
    rx: Mutex<Rx>,
    drops: AtomicU32,
}

struct State {
    protocol: u16,
    /// The link it is bound to, 0 for all.
    index: u32,
    auxdata: bool,
    origdev: bool,
    ignore_outgoing: bool,
    filter: Option<Arc<Program>>,
    locked: bool,
    /// Link, type and address of each membership.
    memberships: Vec<(u32, u16, [u8; 8])>,
}

struct Frame {
    from: LinkAddr,
    /// Bytes it had, and where its network header starts.
    full: usize,
    network: usize,
    data: Vec<u8>,
}

#[derive(Default)]
struct Rx {
    queue: VecDeque<Frame>,
    used: usize,
    packets: u32,
}

impl PacketSocket {
    pub(super) fn new(common: Common, protocol: u16) -> Arc<PacketSocket> {
        Arc::new(PacketSocket {
            common,
            state: Mutex::new(State {
                protocol,
                index: 0,
                auxdata: false,
                origdev: false,
                ignore_outgoing: false,
                filter: None,
                locked: false,
                memberships: Vec::new(),
            }),
            rx: Mutex::default(),
            drops: AtomicU32::new(0),
        })
    }

    /// A frame that may be for it.
    pub(super) fn take_in(&self, seen: &Seen<'_>) {
        let program = {
            let s = self.state.lock();
            let wanted = match s.protocol {
                0 => false,
                ALL => true,
                // Those of one protocol see what comes only.
                own => own == seen.protocol && seen.kind != OUTGOING,
            };
            let ignored = s.ignore_outgoing && seen.kind == OUTGOING;
            if !wanted || ignored || s.index != 0 && s.index != seen.index {
                return;
            }
            s.filter.clone()
        };
        let raw = self.common.kind == SockType::Raw;
        let start = if raw { 0 } else { seen.header };
        let data = seen.frame.get(start..).unwrap_or_default();
        let keep = program.map_or(u32::MAX, |p| {
            let view = filter::View {
                data,
                frame: seen.frame,
                header: seen.header,
                protocol: seen.protocol,
                kind: seen.kind,
                index: seen.index,
                hardware: seen.hardware,
            };
            p.interpret(&view).unwrap_or(0)
        });
        let kept = data.get(..data.len().min(usize::try_from(keep).unwrap_or(usize::MAX)));
        let kept = kept.unwrap_or_default();
        if keep == 0 {
            return;
        }
        let [a, b, c, d, e, f] = seen.source;
        let frame = Frame {
            from: LinkAddr {
                protocol: seen.protocol,
                index: i32::try_from(seen.index).unwrap_or(0),
                hardware: seen.hardware,
                kind: seen.kind,
                len: if seen.header == 0 { 0 } else { 6 },
                addr: [a, b, c, d, e, f, 0, 0],
                whole: true,
            },
            full: data.len(),
            network: seen.header - start,
            data: kept.to_vec(),
        };
        self.queue(frame);
    }

    /// Puts a frame where a reader finds it, if there is room.
    fn queue(&self, frame: Frame) {
        {
            let mut rx = self.rx.lock();
            let charge = frame.data.len() + OVERHEAD;
            if rx.used.saturating_add(charge) > self.common.rcvbuf() && rx.used > 0 {
                self.drops.fetch_add(1, Ordering::Relaxed);
                return;
            }
            rx.packets = rx.packets.saturating_add(1);
            rx.used += charge;
            rx.queue.push_back(frame);
        }
        self.common.pollee.notify(READABLE);
    }

    fn link(&self, index: u32) -> Option<LinkView> {
        let look = |stack: &mut netstack::Stack| stack.topology.link(index).map(LinkView::of);
        self.common.net.outside.look(look)
    }

    /// Joins or leaves: a link's groups, or all of what passes. `EINVAL`, `ENODEV`.
    fn member(&self, value: &[u8], join: bool) -> Result<()> {
        let Some(raw) = value.first_chunk::<16>() else {
            return Err(Errno::EINVAL);
        };
        let [i0, i1, i2, i3, t0, t1, l0, l1, addr @ ..] = *raw;
        let index = u32::from_ne_bytes([i0, i1, i2, i3]);
        let kind = u16::from_ne_bytes([t0, t1]);
        let len = u16::from_ne_bytes([l0, l1]);
        let entry = (index, kind, addr);
        if join {
            self.link(index).ok_or(Errno::ENODEV)?;
            if len > 6 {
                return Err(Errno::EINVAL);
            }
            let mut s = self.state.lock();
            if s.memberships.len() >= MAX_MEMBERSHIPS {
                return Err(Errno::ENOBUFS);
            }
            // Every frame of a link is seen anyway.
            s.memberships.push(entry);
            return Ok(());
        }
        let mut s = self.state.lock();
        // Leaving what it is not in is no error.
        if let Some(at) = s.memberships.iter().position(|m| *m == entry) {
            s.memberships.swap_remove(at);
        }
        Ok(())
    }

    /// Where a frame goes: link, protocol, and for headers the receiver.
    fn target(&self, to: Option<&SockAddr>) -> Result<(u32, u16, [u8; 6])> {
        let (own, protocol) = {
            let s = self.state.lock();
            (s.index, s.protocol)
        };
        match to {
            None => Ok((own, protocol, [0; 6])),
            Some(SockAddr::Packet(a)) => {
                if usize::from(a.len) > a.addr.len() {
                    return Err(Errno::EINVAL);
                }
                let [m0, m1, m2, m3, m4, m5, ..] = a.addr;
                let index = u32::try_from(a.index).map_err(|_| Errno::ENXIO)?;
                Ok((index, a.protocol, [m0, m1, m2, m3, m4, m5]))
            }
            Some(_) => Err(Errno::EINVAL),
        }
    }

    fn auxdata(&self, frame: &Frame) -> Option<(i32, i32, Vec<u8>)> {
        if !self.state.lock().auxdata {
            return None;
        }
        let word = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_ne_bytes();
        let network = u16::try_from(frame.network).unwrap_or(0);
        let mut raw = TP_STATUS_USER.to_ne_bytes().to_vec();
        raw.extend_from_slice(&word(frame.full));
        raw.extend_from_slice(&word(frame.data.len()));
        raw.extend_from_slice(&[0; 2]);
        raw.extend_from_slice(&network.to_ne_bytes());
        raw.extend_from_slice(&[0; 4]);
        Some((SOL_PACKET, PACKET_AUXDATA, raw))
    }
}

impl Socket for PacketSocket {
    fn common(&self) -> &Common {
        &self.common
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn bind(&self, _t: &Arc<Task>, addr: &SockAddr) -> Result<()> {
        let SockAddr::Packet(a) = addr else {
            return Err(Errno::EINVAL);
        };
        let index = u32::try_from(a.index).map_err(|_| Errno::ENODEV)?;
        let link = match index {
            0 => None,
            n => Some(self.link(n).ok_or(Errno::ENODEV)?),
        };
        {
            let mut s = self.state.lock();
            s.index = index;
            if a.protocol != 0 {
                s.protocol = a.protocol;
            }
        }
        if link.is_some_and(|l| l.flags & crate::net::view::IFF_UP == 0) {
            self.common.set_error(Errno::ENETDOWN);
            self.common.pollee.notify(PollEvents::ERR);
        }
        Ok(())
    }

    fn send(&self, src: &mut dyn IoSrc, args: SendArgs<'_>) -> Result<usize> {
        let (index, protocol, to) = self.target(args.to)?;
        let link = self.link(index).ok_or(Errno::ENXIO)?;
        if link.flags & crate::net::view::IFF_UP == 0 {
            return Err(Errno::ENETDOWN);
        }
        let len = src.remaining();
        let raw = self.common.kind == SockType::Raw;
        let header = if link.device == Kind::Tun {
            0
        } else {
            ETHERNET
        };
        let mtu = usize::try_from(link.mtu).unwrap_or(usize::MAX);
        if len > mtu.saturating_add(if raw { header } else { 0 }) {
            return Err(Errno::EMSGSIZE);
        }
        if len == 0 || raw && len < header {
            return Err(Errno::EINVAL);
        }
        let mut frame = Vec::with_capacity(header + len);
        if !raw && header > 0 {
            frame.extend_from_slice(&to);
            frame.extend_from_slice(&link.mac);
            frame.extend_from_slice(&protocol.to_be_bytes());
        }
        let at = frame.len();
        frame.resize(at + len, 0);
        if src.take(frame.get_mut(at..).unwrap_or_default())? < len {
            return Err(Errno::EFAULT);
        }
        let net = &self.common.net;
        let kernel = &args.task.kernel;
        if index == LOOPBACK {
            net.send_over_loopback(kernel, &frame, (self, protocol));
        } else {
            net.tap(index, &frame, Direction::Out, Some((self, protocol)));
            net.change(kernel, |stack, _| stack.send_frame(index, frame));
        }
        Ok(len)
    }

    fn recv(&self, dst: &mut dyn IoDst, flags: MsgFlags) -> Result<Received> {
        self.common.check_error()?;
        let mut rx = self.rx.lock();
        let first = rx.queue.front().ok_or(Errno::EAGAIN)?;
        let len = first.data.len();
        let want = len.min(dst.remaining());
        let bytes = dst.put(first.data.get(..want).unwrap_or_default())?;
        let mut got = Received {
            bytes,
            full: len,
            from: Some(SockAddr::Packet(first.from)),
            ..Received::default()
        };
        if bytes < len {
            got.flags |= MsgFlags::TRUNC;
        }
        let frame = match flags.contains(MsgFlags::PEEK) {
            true => {
                got.cmsgs.extend(self.auxdata(first));
                None
            }
            false => rx.queue.pop_front(),
        };
        rx.used = rx
            .used
            .saturating_sub(frame.as_ref().map_or(0, |f| f.data.len() + OVERHEAD));
        drop(rx);
        got.cmsgs.extend(frame.and_then(|f| self.auxdata(&f)));
        Ok(got)
    }

    fn local_addr(&self) -> Result<SockAddr> {
        let (index, protocol) = {
            let s = self.state.lock();
            (s.index, s.protocol)
        };
        let mut a = LinkAddr {
            protocol,
            index: i32::try_from(index).unwrap_or(0),
            ..LinkAddr::default()
        };
        if let Some(link) = self.link(index) {
            let [m0, m1, m2, m3, m4, m5] = link.mac;
            a.hardware = link.kind;
            a.len = if link.device == Kind::Tun { 0 } else { 6 };
            a.addr = [m0, m1, m2, m3, m4, m5, 0, 0];
        }
        Ok(SockAddr::Packet(a))
    }

    fn peer_addr(&self) -> Result<SockAddr> {
        Err(Errno::EOPNOTSUPP)
    }

    fn poll(&self) -> PollEvents {
        let mut ready = WRITABLE;
        if self.common.has_error() {
            ready |= PollEvents::ERR;
        }
        if !self.rx.lock().queue.is_empty() {
            ready |= READABLE;
        }
        ready
    }

    fn queued(&self) -> Result<(usize, usize)> {
        let rx = self.rx.lock();
        Ok((rx.queue.front().map_or(0, |f| f.data.len()), 0))
    }

    fn get_option(&self, c: &OptCall<'_>) -> Option<Result<OptValue>> {
        match (c.level, c.name) {
            (options::SOL_SOCKET, SO_LOCK_FILTER) => {
                Some(Ok(OptValue::flag(self.state.lock().locked)))
            }
            (options::SOL_SOCKET, _) => None,
            _ => Some(c.room().and_then(|_| self.own_option(c))),
        }
    }

    fn set_general(&self, c: &OptCall<'_>) -> Option<Result<()>> {
        match c.name {
            SO_ATTACH_FILTER | SO_DETACH_FILTER | SO_LOCK_FILTER => Some(self.set_filter(c)),
            _ => None,
        }
    }

    fn set_option(&self, c: &OptCall<'_>) -> Result<()> {
        let flag = || c.int().map(|n| n != 0);
        match (c.level, c.name) {
            (SOL_PACKET, PACKET_ADD_MEMBERSHIP | PACKET_DROP_MEMBERSHIP) => {
                let value = c.bytes(c.len.min(64))?;
                return self.member(&value, c.name == PACKET_ADD_MEMBERSHIP);
            }
            (SOL_PACKET, PACKET_AUXDATA) => self.state.lock().auxdata = flag()?,
            (SOL_PACKET, PACKET_ORIGDEV) => self.state.lock().origdev = flag()?,
            (SOL_PACKET, PACKET_IGNORE_OUTGOING) => match c.int()? {
                n @ (0 | 1) => self.state.lock().ignore_outgoing = n == 1,
                _ => return Err(Errno::EINVAL),
            },
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }
}

impl PacketSocket {
    /// An option of level PACKET.
    fn own_option(&self, c: &OptCall<'_>) -> Result<OptValue> {
        let s = self.state.lock();
        match (c.level, c.name) {
            (SOL_PACKET, PACKET_AUXDATA) => Ok(OptValue::flag(s.auxdata)),
            (SOL_PACKET, PACKET_ORIGDEV) => Ok(OptValue::flag(s.origdev)),
            (SOL_PACKET, PACKET_IGNORE_OUTGOING) => Ok(OptValue::flag(s.ignore_outgoing)),
            (SOL_PACKET, PACKET_STATISTICS) => {
                drop(s);
                let drops = self.drops.swap(0, Ordering::Relaxed);
                let taken = std::mem::take(&mut self.rx.lock().packets);
                let mut raw = taken.saturating_add(drops).to_ne_bytes().to_vec();
                raw.extend_from_slice(&drops.to_ne_bytes());
                Ok(OptValue::Bytes(raw))
            }
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    /// A filter is attached, detached or locked.
    fn set_filter(&self, c: &OptCall<'_>) -> Result<()> {
        let on = c.int()? != 0;
        if c.name == SO_LOCK_FILTER {
            let mut s = self.state.lock();
            if s.locked && !on {
                return Err(Errno::EPERM);
            }
            s.locked = on;
            return Ok(());
        }
        let new = match c.name {
            SO_ATTACH_FILTER => {
                let value = c.exact::<16>()?;
                Some(Arc::new(filter::read(c.t, &value)?))
            }
            _ => None,
        };
        let mut s = self.state.lock();
        if s.locked {
            return Err(Errno::EPERM);
        }
        if new.is_none() && s.filter.is_none() {
            return Err(Errno::ENOENT);
        }
        s.filter = new;
        Ok(())
    }
}

impl Drop for PacketSocket {
    fn drop(&mut self) {
        let net = &self.common.net;
        if net.taps.remove(self) {
            net.outside.tap_loopback(false);
        }
    }
}
