//! Sending to and receiving from unix sockets.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::fs::PollEvents;

use super::UnixSocket;
use super::queue::{Packet, wake};
use super::rights::Rights;
use crate::Result;
use crate::io::{IoDst, IoSrc};
use crate::net::addr::UnixAddr;
use crate::net::{MsgFlags, PeerCreds, READABLE, Received, SendArgs, SockAddr, SockType, WRITABLE};

/// Most bytes of one stream packet.
const STREAM_CHUNK: usize = 32 * 1024;

/// Copies up to `len` bytes in.
fn gather(src: &mut dyn IoSrc, len: usize) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    data.try_reserve_exact(len).map_err(|_| Errno::ENOBUFS)?;
    data.resize(len, 0);
    let got = src.take(&mut data)?;
    data.truncate(got);
    Ok(data)
}

impl UnixSocket {
    pub(super) fn send_stream(&self, src: &mut dyn IoSrc, args: SendArgs<'_>) -> Result<usize> {
        let (peer, connected, shut) = {
            let s = self.state.lock();
            (s.peer.clone(), s.connected, s.shut)
        };
        if args.to.is_some() {
            return Err(if connected {
                Errno::EISCONN
            } else {
                Errno::EOPNOTSUPP
            });
        }
        let peer = peer.ok_or(Errno::ENOTCONN)?;
        if shut.write {
            return Err(Errno::EPIPE);
        }
        let peer = peer.upgrade().ok_or(Errno::EPIPE)?;
        let limit = self.common.sndbuf();
        let creds = self.attached_creds(&peer, &args);
        let urgent = args.flags.contains(MsgFlags::OOB);
        let mut done = 0;
        while src.remaining() > 0 {
            let room = limit.saturating_sub(peer.rx.lock().used);
            if room == 0 {
                break;
            }
            let want = src.remaining().min(room).min(STREAM_CHUNK);
            let data = match gather(src, want) {
                Ok(data) if data.is_empty() => break,
                Ok(data) => data,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            };
            let files = std::mem::take(&mut args.control.files);
            let rights = Rights::new(&self.kernel, files)?;
            let n = data.len();
            if peer.state.lock().shut.read {
                return if done > 0 {
                    Ok(done)
                } else {
                    Err(Errno::EPIPE)
                };
            }
            done += n;
            push(
                &peer,
                Packet::new(data, creds.clone(), rights),
                urgent && src.remaining() == 0,
            );
            if n < want {
                break;
            }
        }
        if done == 0 && src.remaining() > 0 {
            return Err(Errno::EAGAIN);
        }
        Ok(done)
    }

    /// Who a message is from: what the sender claims, or itself if either side asks.
    fn attached_creds(&self, peer: &UnixSocket, args: &SendArgs<'_>) -> Option<PeerCreds> {
        let asked = |s: &UnixSocket| s.common.options.lock().passcred;
        let asked = asked(self) || asked(peer);
        let own = || asked.then(|| PeerCreds::of(args.task));
        args.control.creds.clone().or_else(own)
    }

    /// `MSG_OOB`: the urgent byte; `EINVAL` when there is none.
    pub(super) fn recv_urgent(&self, dst: &mut dyn IoDst, flags: MsgFlags) -> Result<Received> {
        if self.common.options.lock().oobinline {
            return Err(Errno::EINVAL);
        }
        let mut rx = self.rx.lock();
        let at = rx.packets.iter().position(|p| p.urgent);
        let at = at.ok_or(Errno::EINVAL)?;
        let packet = rx.packets.get(at).ok_or(Errno::EINVAL)?;
        let bytes = dst.put(packet.data())?;
        if !flags.contains(MsgFlags::PEEK) {
            rx.take(at);
        }
        Ok(Received {
            bytes,
            full: bytes,
            flags: MsgFlags::OOB,
            ..Received::default()
        })
    }

    pub(super) fn recv_stream(&self, dst: &mut dyn IoDst, flags: MsgFlags) -> Result<Received> {
        let mut got = Received::default();
        let mut creds = None;
        let (passcred, inline) = {
            let o = self.common.options.lock();
            (o.passcred, o.oobinline)
        };
        let peek = flags.contains(MsgFlags::PEEK);
        let mut rx = self.rx.lock();
        // Urgent data nobody asked for is passed over.
        while !inline && !peek && rx.packets.front().is_some_and(|p| p.urgent) {
            drop(rx.pop());
        }
        if rx.packets.is_empty() {
            drop(rx);
            return self.nothing_to_read();
        }
        let mut at = 0;
        while let Some(packet) = rx.packets.get_mut(at) {
            let urgent = packet.urgent && !inline;
            if got.bytes > 0 && (urgent || (passcred && packet.creds != creds)) {
                break;
            }
            let want = packet.data().len().min(dst.remaining());
            if want == 0 && got.bytes > 0 {
                break;
            }
            let n = match dst.put(packet.data().get(..want).unwrap_or_default()) {
                Ok(n) => n,
                Err(e) if got.bytes == 0 => return Err(e),
                Err(_) => break,
            };
            creds.clone_from(&packet.creds);
            got.bytes += n;
            let with_files = !packet.rights.is_empty();
            if peek {
                got.files = packet.peek_files();
                at += 1;
            } else {
                got.files = packet.rights.take();
                packet.consume(n);
                if packet.data().is_empty() {
                    drop(rx.pop());
                }
            }
            if with_files || n < want || dst.remaining() == 0 {
                break;
            }
        }
        let low = rx.used;
        drop(rx);
        got.full = got.bytes;
        if passcred {
            got.creds = Some(creds.unwrap_or(PeerCreds::UNKNOWN));
        }
        if !peek {
            self.tell_writer(low);
        }
        Ok(got)
    }

    /// The peer may send again once it is writable by its own measure.
    fn tell_writer(&self, used: usize) {
        if let Some(peer) = self.peer()
            && used.saturating_mul(4) <= peer.common.sndbuf()
        {
            peer.common.pollee.notify(WRITABLE);
        }
    }

    /// Why a connection has nothing to read: error, end, or not yet.
    fn nothing_to_read(&self) -> Result<Received> {
        self.common.check_error()?;
        let (shut, connected) = {
            let s = self.state.lock();
            (s.shut, s.connected)
        };
        match (connected, shut.read) {
            (_, true) => Ok(Received::default()),
            (false, false) if self.common.kind == SockType::Stream => Err(Errno::EINVAL),
            (false, false) if self.common.kind == SockType::SeqPacket => Err(Errno::ENOTCONN),
            _ => Err(Errno::EAGAIN),
        }
    }

    /// Where a message goes.
    fn destination(&self, args: &SendArgs<'_>) -> Result<Arc<UnixSocket>> {
        if let (Some(to), false) = (args.to, self.connection_based()) {
            let SockAddr::Unix(name) = to else {
                return Err(Errno::EINVAL);
            };
            let target = self.find(args.task, name)?;
            if target.common.kind != self.common.kind {
                return Err(Errno::EPROTOTYPE);
            }
            return Ok(target);
        }
        let peer = self.state.lock().peer.clone().ok_or(Errno::ENOTCONN)?;
        match peer.upgrade() {
            Some(p) => Ok(p),
            None if self.connection_based() => Err(Errno::EPIPE),
            None => {
                self.state.lock().peer = None;
                Err(Errno::ECONNREFUSED)
            }
        }
    }

    pub(super) fn send_message(&self, src: &mut dyn IoSrc, args: SendArgs<'_>) -> Result<usize> {
        if args.flags.contains(MsgFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let shut_write = self.state.lock().shut.write;
        if shut_write && self.connection_based() {
            return Err(Errno::EPIPE);
        }
        let to = self.destination(&args)?;
        let len = src.remaining();
        let limit = self.common.sndbuf();
        if len > limit.saturating_sub(32) {
            return Err(Errno::EMSGSIZE);
        }
        if shut_write || to.state.lock().shut.read {
            return Err(Errno::EPIPE);
        }
        if !self.connection_based() && !to.accepts_from(self) {
            return Err(Errno::EPERM);
        }
        let under_way = self.in_flight.load(Ordering::SeqCst);
        if under_way > 0 && under_way.saturating_add(len) > limit {
            return Err(Errno::EAGAIN);
        }
        if !self.connection_based() && to.is_full_for(self) {
            to.rx.lock().block(&self.me);
            return Err(Errno::EAGAIN);
        }
        let data = gather(src, len)?;
        if data.len() < len {
            return Err(Errno::EFAULT);
        }
        let files = std::mem::take(&mut args.control.files);
        let rights = Rights::new(&self.kernel, files)?;
        let creds = self.attached_creds(&to, &args);
        let mut packet = Packet::new(data, creds, rights);
        packet.from_name = self.state.lock().local.clone();
        packet.sender = self.me.clone();
        self.in_flight.fetch_add(packet.charge(), Ordering::SeqCst);
        to.rx.lock().push(packet);
        to.common.pollee.notify(READABLE);
        Ok(len)
    }

    pub(super) fn recv_message(&self, dst: &mut dyn IoDst, flags: MsgFlags) -> Result<Received> {
        let mut rx = self.rx.lock();
        let Some(packet) = rx.packets.front_mut() else {
            drop(rx);
            return self.nothing_to_read();
        };
        let full = packet.data().len();
        let want = full.min(dst.remaining());
        let bytes = dst.put(packet.data().get(..want).unwrap_or_default())?;
        let mut got = Received {
            bytes,
            full,
            from: (packet.from_name != UnixAddr::Unnamed)
                .then(|| SockAddr::Unix(packet.from_name.clone())),
            ..Received::default()
        };
        if self.common.options.lock().passcred {
            let creds = packet.creds.clone();
            got.creds = Some(creds.unwrap_or(PeerCreds::UNKNOWN));
        }
        if bytes < full {
            got.flags |= MsgFlags::TRUNC;
        }
        if self.common.kind == SockType::SeqPacket {
            got.from = None;
        }
        if flags.contains(MsgFlags::PEEK) {
            got.files = packet.peek_files();
            return Ok(got);
        }
        let taken = rx.pop();
        let blocked = rx.take_blocked();
        drop(rx);
        wake(blocked);
        if let Some(mut packet) = taken {
            packet.settle();
            got.files = packet.rights.take();
        }
        Ok(got)
    }
}

/// Queues stream bytes and tells the reader; the last byte apart when it is urgent.
fn push(to: &UnixSocket, mut packet: Packet, urgent: bool) {
    let mut rx = to.rx.lock();
    if urgent {
        let last = packet.split_last();
        if !packet.data().is_empty() {
            rx.push_stream(packet);
        }
        rx.push_stream(last);
    } else {
        rx.push_stream(packet);
    }
    drop(rx);
    let urgent = if urgent {
        PollEvents::PRI
    } else {
        PollEvents::empty()
    };
    to.common.pollee.notify(READABLE | urgent);
}
