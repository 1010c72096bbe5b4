//! Several messages in one call (`sendmmsg(2)`, `recvmmsg(2)`).
//!
//! The first message may wait; each later one is tried, and its failure ends the call with
//! the number done. `recvmmsg` goes on waiting unless `MSG_WAITFORONE` or `MSG_DONTWAIT`
//! is given.

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;
use sentry::fs::File;
use sentry::io::UserIo;
use sentry::net::wait::Outgoing;
use sentry::net::{MsgFlags, SendArgs, Socket};
use sentry::retry::{Attempt, Registrations, retry, watch_one};
use sentry::wait::Waker;
use sentry::{OnSignal, Stop, SysResult, Task};

use super::cmsg::MsgHdr;
use super::{recv, send};
use crate::arg::{In, UserIoVec, UserPtr};

/// Bytes of `struct mmsghdr`, and where its `msg_len` stands.
const STRIDE: u64 = 64;
const OFF_LEN: u64 = 56;

/// The arguments of either call.
pub(super) struct Batch {
    pub(super) file: Arc<File>,
    pub(super) socket: Arc<dyn Socket>,
    pub(super) vec: u64,
    pub(super) n: u64,
    pub(super) flags: MsgFlags,
    pub(super) deadline: Option<Duration>,
}

struct Run {
    batch: Batch,
    sends: bool,
    done: u64,
    /// What the next message was given, read once.
    next: Option<Message>,
    deadline: Option<Duration>,
}

/// One message of a call, copied in.
enum Message {
    Out(Box<Outgoing>),
    In(MsgHdr, UserIo),
}

impl Run {
    fn value(&self) -> i64 {
        i64::try_from(self.done).unwrap_or(i64::MAX)
    }

    /// Copies in what the message at `at` is given.
    fn read(&self, t: &Arc<Task>, at: u64, flags: MsgFlags) -> SysResult<Message> {
        let hdr = UserPtr::<MsgHdr, In>::at(at).read(t)?;
        if self.sends {
            return Ok(Message::Out(Box::new(send::read_msg(t, &hdr, flags)?)));
        }
        if hdr.iovlen > abi::UIO_MAXIOV as u64 {
            return Err(Errno::EMSGSIZE.into());
        }
        let io = UserIoVec(hdr.iov).read(t, hdr.iovlen)?;
        Ok(Message::In(hdr, io))
    }

    /// One message; its length goes back at once.
    fn one(&mut self, t: &Arc<Task>) -> SysResult<()> {
        let at = self.batch.vec.wrapping_add(self.done.wrapping_mul(STRIDE));
        let flags = self.batch.flags - MsgFlags::WAITFORONE;
        let mut next = match self.next.take() {
            Some(next) => next,
            None => self.read(t, at, flags)?,
        };
        let moved = match &mut next {
            Message::Out(msg) => {
                let args = SendArgs {
                    task: t,
                    to: msg.to.as_ref(),
                    control: &mut msg.control,
                    flags,
                };
                let sent = self.batch.socket.send(&mut msg.io, args);
                sent.map(|n| i64::try_from(n).unwrap_or(0))
                    .map_err(Stop::from)
            }
            Message::In(hdr, io) => match self.batch.socket.recv(io, flags) {
                Ok(got) => recv::write_msg(t, at, hdr, flags, got),
                Err(e) => Err(e.into()),
            },
        };
        if let Err(Stop::Errno(Errno::EAGAIN)) = &moved {
            self.next = Some(next);
        }
        let len = u32::try_from(moved?).unwrap_or(u32::MAX);
        t.mm()
            .copy_out(at.wrapping_add(OFF_LEN), &len.to_ne_bytes())
            .map_err(Errno::from)?;
        Ok(())
    }

    /// Whether the next message is waited for.
    fn waits(&self) -> bool {
        self.done == 0 || (!self.sends && !self.batch.flags.contains(MsgFlags::WAITFORONE))
    }
}

impl Attempt for Run {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        while self.done < self.batch.n {
            match self.one(t) {
                Ok(()) => self.done += 1,
                Err(Stop::Errno(Errno::EAGAIN)) if self.waits() => {
                    return Err(Errno::EAGAIN.into());
                }
                Err(_) if self.done > 0 => break,
                Err(e) => return Err(e),
            }
        }
        Ok(self.value())
    }

    fn watch(&self, waker: Waker) -> Registrations {
        let pollee = &self.batch.socket.common().pollee;
        let events = if self.sends {
            sentry::net::WRITABLE
        } else {
            sentry::net::READABLE
        };
        watch_one(pollee, events, waker)
    }

    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        match (self.done, self.deadline) {
            (0, Some(_)) => OnSignal::Eintr,
            (0, None) => OnSignal::Restart,
            _ => OnSignal::Finish(self.value()),
        }
    }

    fn timed_out(&mut self, _t: &Arc<Task>) -> SysResult<i64> {
        if self.done > 0 {
            Ok(self.value())
        } else {
            Err(Errno::EAGAIN.into())
        }
    }

    fn name(&self) -> &'static str {
        if self.sends { "sendmmsg" } else { "recvmmsg" }
    }
}

fn run(t: &Arc<Task>, batch: Batch, sends: bool) -> SysResult<i64> {
    let now = t.kernel.clock.monotonic();
    let own = {
        let o = batch.socket.common().options.lock();
        if sends { o.sndtimeo } else { o.rcvtimeo }
    };
    let dontwait = batch.flags.contains(MsgFlags::DONTWAIT);
    let deadline = if dontwait || batch.file.cx(None).nonblock {
        Some(now)
    } else {
        let own = own.map(|span| now.saturating_add(span));
        match (own, batch.deadline) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    };
    let run = Run {
        batch,
        sends,
        done: 0,
        next: None,
        deadline,
    };
    retry(t, run, deadline)
}

/// `sendmmsg(2)`.
pub(super) fn send(t: &Arc<Task>, batch: Batch) -> SysResult<i64> {
    run(t, batch, true)
}

/// `recvmmsg(2)`.
pub(super) fn recv(t: &Arc<Task>, batch: Batch) -> SysResult<i64> {
    run(t, batch, false)
}
