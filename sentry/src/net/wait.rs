//! The waiting forms of accept, connect, send and receive.

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;
use abi::fs::PollEvents;
use abi::signal::{SigInfo, Signal};

use super::{Control, MsgFlags, READABLE, Received, SendArgs, SockAddr, Socket, WRITABLE};
use crate::fs::File;
use crate::io::{IoSrc, UserIo};
use crate::retry::{Attempt, Registrations, retry, watch_one};
use crate::task::Task;
use crate::wait::{OnSignal, Stop, SysResult, Waker};

/// When a wait that may last `timeout` ends: at once for a call that must not wait.
fn deadline(t: &Arc<Task>, nonblock: bool, timeout: Option<Duration>) -> Option<Duration> {
    let now = t.kernel.clock.monotonic();
    match timeout {
        _ if nonblock => Some(now),
        Some(span) => Some(now.saturating_add(span)),
        None => None,
    }
}

/// A wait with a timeout cannot be restarted, because the rest of the time is not known.
fn class(timeout: Option<Duration>) -> OnSignal {
    if timeout.is_some() {
        OnSignal::Eintr
    } else {
        OnSignal::Restart
    }
}

/// Sends `SIGPIPE` for an `EPIPE`, unless the caller asked for none.
fn raise_sigpipe(t: &Arc<Task>, e: Errno, flags: MsgFlags) {
    if e == Errno::EPIPE && !flags.contains(MsgFlags::NOSIGNAL) {
        t.post_signal(SigInfo::new(Signal::SIGPIPE, 0).with_sender(super::Ucred::of(t).pid, 0));
    }
}

/// What is done with an accepted socket: installs it, writes the address.
pub type Accepted = Box<dyn Fn(&Arc<Task>, Arc<dyn Socket>) -> SysResult<i64> + Send>;

struct Accept {
    _file: Arc<File>,
    socket: Arc<dyn Socket>,
    timeout: Option<Duration>,
    then: Accepted,
}

impl Attempt for Accept {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        let new = self.socket.accept(t)?;
        (self.then)(t, new)
    }
    fn watch(&self, waker: Waker) -> Registrations {
        watch_one(&self.socket.common().pollee, READABLE, waker)
    }
    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        class(self.timeout)
    }
    fn name(&self) -> &'static str {
        "inet_csk_accept"
    }
}

/// `accept(2)`.
pub fn accept(
    t: &Arc<Task>,
    file: Arc<File>,
    socket: Arc<dyn Socket>,
    then: Accepted,
) -> SysResult<i64> {
    let timeout = socket.common().options.lock().rcvtimeo;
    let deadline = deadline(t, file.cx(None).nonblock, timeout);
    let accept = Accept {
        _file: file,
        socket,
        timeout,
        then,
    };
    retry(t, accept, deadline)
}

struct Connect {
    _file: Arc<File>,
    socket: Arc<dyn Socket>,
    addr: SockAddr,
    /// The handshake is under way; only its outcome is waited for.
    started: bool,
    nonblock: bool,
    timeout: Option<Duration>,
}

impl Attempt for Connect {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        if !self.started {
            match self.socket.connect(t, &self.addr) {
                Ok(()) => return Ok(0),
                Err(Errno::EINPROGRESS) => self.started = true,
                Err(e) => return Err(e.into()),
            }
            if self.nonblock {
                return Err(Errno::EINPROGRESS.into());
            }
        }
        self.socket.connected()?;
        Ok(0)
    }
    fn watch(&self, waker: Waker) -> Registrations {
        let events = WRITABLE | PollEvents::IN;
        watch_one(&self.socket.common().pollee, events, waker)
    }
    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        class(self.timeout)
    }
    fn timed_out(&mut self, _t: &Arc<Task>) -> SysResult<i64> {
        let e = if self.started {
            Errno::EINPROGRESS
        } else {
            Errno::EAGAIN
        };
        Err(e.into())
    }
    fn name(&self) -> &'static str {
        "connect"
    }
}

/// `connect(2)`.
pub fn connect(
    t: &Arc<Task>,
    file: Arc<File>,
    socket: Arc<dyn Socket>,
    addr: SockAddr,
) -> SysResult<i64> {
    let timeout = socket.common().options.lock().sndtimeo;
    let nonblock = file.cx(None).nonblock;
    let deadline = deadline(t, nonblock, timeout);
    let connect = Connect {
        _file: file,
        socket,
        addr,
        started: false,
        nonblock,
        timeout,
    };
    retry(t, connect, deadline)
}

/// One message to send, copied in but for its bytes.
pub struct Outgoing {
    /// The bytes.
    pub io: UserIo,
    /// Destination.
    pub to: Option<SockAddr>,
    /// Ancillary data.
    pub control: Control,
    /// `MSG_*`.
    pub flags: MsgFlags,
}

struct SendWait {
    _file: Arc<File>,
    socket: Arc<dyn Socket>,
    msg: Outgoing,
    done: usize,
    waited: bool,
    timeout: Option<Duration>,
}

impl SendWait {
    fn once(&mut self, t: &Arc<Task>) -> crate::Result<usize> {
        let args = SendArgs {
            task: t,
            to: self.msg.to.as_ref(),
            control: &mut self.msg.control,
            flags: self.msg.flags,
        };
        self.socket.send(&mut self.msg.io, args)
    }

    fn value(&self) -> i64 {
        i64::try_from(self.done).unwrap_or(i64::MAX)
    }
}

impl Attempt for SendWait {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        loop {
            match self.once(t) {
                Ok(n) => {
                    self.done += n;
                    let more = !self.socket.is_message() && n > 0;
                    if !more || IoSrc::remaining(&self.msg.io) == 0 {
                        return Ok(self.value());
                    }
                }
                Err(Errno::EAGAIN) => {
                    self.waited = true;
                    return Err(Errno::EAGAIN.into());
                }
                Err(_) if self.done > 0 => return Ok(self.value()),
                Err(e) => {
                    // One that waits for room meets the socket's own error first.
                    if self.waited && e == Errno::EPIPE {
                        self.socket.common().check_error()?;
                    }
                    raise_sigpipe(t, e, self.msg.flags);
                    return Err(e.into());
                }
            }
        }
    }
    fn watch(&self, waker: Waker) -> Registrations {
        watch_one(&self.socket.common().pollee, WRITABLE, waker)
    }
    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        if self.done > 0 {
            OnSignal::Finish(self.value())
        } else {
            class(self.timeout)
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
        "sock_sendmsg"
    }
}

/// `send(2)`, `sendto(2)`, `sendmsg(2)`.
pub fn send(
    t: &Arc<Task>,
    file: Arc<File>,
    socket: Arc<dyn Socket>,
    msg: Outgoing,
) -> SysResult<i64> {
    let timeout = socket.common().options.lock().sndtimeo;
    let nonblock = file.cx(None).nonblock || msg.flags.contains(MsgFlags::DONTWAIT);
    let deadline = deadline(t, nonblock, timeout);
    let send = SendWait {
        _file: file,
        socket,
        msg,
        done: 0,
        waited: false,
        timeout,
    };
    retry(t, send, deadline)
}

/// What is done with a received message: address, ancillary data and flags written back;
/// the value of the call.
pub type Deliver = Box<dyn Fn(&Arc<Task>, Received) -> SysResult<i64> + Send>;

struct Recv {
    _file: Arc<File>,
    socket: Arc<dyn Socket>,
    io: UserIo,
    flags: MsgFlags,
    /// What `MSG_WAITALL` has gathered.
    got: Received,
    timeout: Option<Duration>,
    then: Deliver,
}

impl Recv {
    fn deliver(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        (self.then)(t, std::mem::take(&mut self.got))
    }
}

impl Recv {
    /// How many bytes are waited for: all for `MSG_WAITALL`, else what `SO_RCVLOWAT` asks.
    fn target(&self) -> usize {
        if self.socket.is_message() || self.flags.intersects(MsgFlags::PEEK | MsgFlags::OOB) {
            return 0;
        }
        if self.flags.contains(MsgFlags::WAITALL) {
            return usize::MAX;
        }
        let low = self.socket.common().options.lock().rcvlowat;
        usize::try_from(low).unwrap_or(1)
    }
}

impl Attempt for Recv {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        let target = self.target();
        loop {
            match self.socket.recv(&mut self.io, self.flags) {
                Ok(mut r) => {
                    r.bytes += self.got.bytes;
                    r.full += self.got.full;
                    let ended = r.bytes == self.got.bytes;
                    let stop = !r.files.is_empty();
                    self.got = r;
                    let left = crate::io::IoDst::remaining(&self.io);
                    if self.got.bytes >= target || ended || stop || left == 0 {
                        return self.deliver(t);
                    }
                }
                Err(Errno::EAGAIN) => return Err(Stop::Errno(Errno::EAGAIN)),
                Err(_) if self.got.bytes > 0 => return self.deliver(t),
                Err(e) => return Err(e.into()),
            }
        }
    }
    fn watch(&self, waker: Waker) -> Registrations {
        watch_one(&self.socket.common().pollee, READABLE, waker)
    }
    fn on_signal(&mut self, t: &Arc<Task>) -> OnSignal {
        if self.got.bytes == 0 {
            return class(self.timeout);
        }
        match self.deliver(t) {
            Ok(n) => OnSignal::Finish(n),
            Err(Stop::Errno(e)) => OnSignal::Finish(-i64::from(e.raw())),
            Err(_) => OnSignal::Eintr,
        }
    }
    fn timed_out(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        if self.got.bytes == 0 {
            Err(Errno::EAGAIN.into())
        } else {
            self.deliver(t)
        }
    }
    fn name(&self) -> &'static str {
        "sock_recvmsg"
    }
}

/// `recv(2)`, `recvfrom(2)`, `recvmsg(2)`.
pub fn recv(
    t: &Arc<Task>,
    file: Arc<File>,
    socket: Arc<dyn Socket>,
    io: UserIo,
    flags: MsgFlags,
    then: Deliver,
) -> SysResult<i64> {
    let timeout = socket.common().options.lock().rcvtimeo;
    let nonblock = file.cx(None).nonblock || flags.contains(MsgFlags::DONTWAIT);
    let deadline = deadline(t, nonblock, timeout);
    let recv = Recv {
        _file: file,
        socket,
        io,
        flags,
        got: Received::default(),
        timeout,
        then,
    };
    retry(t, recv, deadline)
}
