//! Bytes over TCP endpoints in memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::fs::PollEvents;

use super::option::SOL_TCP;
use super::tcp::{Phase, TcpSocket};
use crate::Result;
use crate::io::{IoDst, IoSrc};
use crate::net::{MsgFlags, READABLE, Received, WRITABLE};

/// `TCP_INQ`: how many bytes are left is told with each receive.
const TCP_INQ: i32 = 36;
/// Most bytes of one chunk.
const CHUNK: usize = 64 * 1024;

impl TcpSocket {
    /// Bytes that may be under way to `peer`: what both buffers hold.
    fn capacity(&self, peer: &TcpSocket) -> usize {
        self.common.sndbuf().saturating_add(peer.common.rcvbuf())
    }

    /// Whether a third of the way is free, as `poll` wants it.
    pub(super) fn has_room(&self) -> bool {
        let peer = self.state.lock().peer.upgrade();
        peer.is_none_or(|p| {
            let used = p.rx.lock().len();
            used.saturating_mul(3) <= self.capacity(&p).saturating_mul(2)
        })
    }

    pub(super) fn send_bytes(&self, src: &mut dyn IoSrc, flags: MsgFlags) -> Result<usize> {
        let urgent = flags.contains(MsgFlags::OOB);
        self.common.check_error()?;
        let (phase, shut, peer) = {
            let s = self.state.lock();
            (s.phase, s.shut, s.peer.upgrade())
        };
        match phase {
            _ if shut.write => return Err(Errno::EPIPE),
            Phase::Connected => {}
            Phase::Connecting => return Err(Errno::EAGAIN),
            Phase::Closed | Phase::Listening => return Err(Errno::EPIPE),
        }
        if let Some(id) = self.conn() {
            if urgent {
                return Err(Errno::EOPNOTSUPP);
            }
            return self.send_outside(id, src, flags);
        }
        let Some(peer) = peer else {
            return self.send_to_nobody(src);
        };
        let mut done = 0;
        while src.remaining() > 0 {
            let room = self.capacity(&peer).saturating_sub(peer.rx.lock().len());
            if room == 0 {
                break;
            }
            let want = src.remaining().min(room).min(CHUNK);
            let mut data = Vec::new();
            data.try_reserve_exact(want).map_err(|_| Errno::ENOBUFS)?;
            data.resize(want, 0);
            let got = match src.take(&mut data) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            };
            data.truncate(got);
            peer.deliver(data, urgent);
            done += got;
            if got < want {
                break;
            }
        }
        if done == 0 && src.remaining() > 0 {
            return Err(Errno::EAGAIN);
        }
        Ok(done)
    }

    /// Takes what the peer sends.
    fn deliver(&self, data: Vec<u8>, urgent: bool) {
        if !urgent {
            self.rx.lock().push(data);
            self.common.pollee.notify(READABLE);
            return;
        }
        let inline = self.inline();
        self.rx.lock().push_urgent(data, inline);
        self.common.pollee.notify(READABLE | PollEvents::PRI);
    }

    /// Whether the urgent byte is read with the others (`SO_OOBINLINE`).
    pub(super) fn inline(&self) -> bool {
        self.common.options.lock().oobinline
    }

    /// `MSG_OOB`: the urgent byte; `EINVAL` when there is none or it is read inline.
    fn recv_urgent(&self, dst: &mut dyn IoDst, flags: MsgFlags) -> Result<Received> {
        if self.inline() {
            return Err(Errno::EINVAL);
        }
        let byte = self.rx.lock().take_urgent(flags.contains(MsgFlags::PEEK));
        let byte = byte.ok_or(Errno::EINVAL)?;
        let bytes = match dst.remaining() {
            0 => 0,
            _ => dst.put(&[byte])?,
        };
        Ok(Received {
            bytes,
            full: 1,
            flags: MsgFlags::OOB,
            ..Received::default()
        })
    }

    /// The peer is closed: the bytes go out and a reset comes back, which the next call
    /// sees.
    fn send_to_nobody(&self, src: &mut dyn IoSrc) -> Result<usize> {
        let mut sink = vec![0; src.remaining().min(CHUNK)];
        let n = src.take(&mut sink)?;
        self.reset(Errno::EPIPE);
        Ok(n)
    }

    pub(super) fn recv_bytes(&self, dst: &mut dyn IoDst, flags: MsgFlags) -> Result<Received> {
        if flags.contains(MsgFlags::ERRQUEUE) {
            return self.errors.take(dst, self.common.domain);
        }
        if flags.contains(MsgFlags::OOB) {
            return self.recv_urgent(dst, flags);
        }
        let inline = self.inline();
        let peek = flags.contains(MsgFlags::PEEK);
        let mut rx = self.rx.lock();
        let conn = self.conn();
        if let Some(id) = conn.filter(|_| rx.is_empty()) {
            self.pull(id, &mut rx);
        }
        if rx.is_readable(inline) {
            let skip = self.common.peek_start(flags, rx.len());
            if skip > 0 && skip >= rx.len() {
                return Err(Errno::EAGAIN);
            }
            let n = rx.read_at(dst, skip, peek, inline)?;
            self.common.peek_moved(flags, n);
            let emptied = rx.is_empty();
            let left = rx.len();
            drop(rx);
            if !peek && n > 0 {
                match conn {
                    Some(id) => self.consumed(id, n, emptied),
                    None => self.tell_writer(),
                }
            }
            let mut got = Received {
                bytes: n,
                full: n,
                ..Received::default()
            };
            if self.ip.value(SOL_TCP, TCP_INQ) != 0 {
                let left = i32::try_from(left).unwrap_or(i32::MAX);
                let left = left.to_ne_bytes().to_vec();
                got.cmsgs.push((SOL_TCP, TCP_INQ, left));
            }
            return Ok(got);
        }
        if !peek {
            rx.pass_mark(inline);
        }
        drop(rx);
        self.common.check_error()?;
        let (phase, shut) = {
            let s = self.state.lock();
            (s.phase, s.shut)
        };
        match phase {
            _ if shut.read => Ok(Received::default()),
            Phase::Connected if conn.is_some_and(|id| self.ended(id)) => Ok(Received::default()),
            Phase::Connected | Phase::Connecting => Err(Errno::EAGAIN),
            Phase::Closed | Phase::Listening => Err(Errno::ENOTCONN),
        }
    }

    /// Whether that many bytes are enough to be read (`SO_RCVLOWAT`).
    pub(super) fn reaches_low(&self, bytes: usize) -> bool {
        let low = self.common.options.lock().rcvlowat;
        bytes >= usize::try_from(low).unwrap_or(1)
    }

    /// A send that was to be without a copy was made with one: the sender may use its bytes.
    pub(super) fn tell_copied(&self) {
        if !self.common.options.lock().zerocopy {
            return;
        }
        let n = self.copied.fetch_add(1, Ordering::Relaxed);
        self.errors.push_copied(n, self.common.domain);
        self.common.pollee.notify(PollEvents::ERR);
    }

    /// The peer may send again.
    fn tell_writer(&self) {
        let peer: Option<Arc<TcpSocket>> = self.state.lock().peer.upgrade();
        if let Some(peer) = peer.filter(|p| p.has_room()) {
            peer.common.pollee.notify(WRITABLE);
        }
    }
}
