//! Many calls in flight on one socket, without a thread of its own.
//!
//! Whoever waits for a reply while nobody reads becomes the reader: it receives messages,
//! puts those of others into their slots and goes on until its own is complete, then lets
//! the next waiter read. A caller that is alone so pays two host calls and no hand-over.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use abi::Errno;
use parking_lot::{Condvar, Mutex};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendFlags,
};
use zerocopy::FromBytes;

use crate::attr::Attr;
use crate::errno;
use crate::proto::wire::WireAttr;
use crate::proto::{Call, Handle, MESSAGE_MAX, Reply};

/// Most bytes of one reply; a directory that needs more is refused with `EIO` rather than
/// letting a taken gofer fill the Sentry's memory.
const REPLY_MAX: usize = 1 << 30;

/// A complete reply that was no error.
#[derive(Debug, Default)]
pub struct Answer {
    handle: u64,
    /// A number.
    pub value: u64,
    /// Attributes, or zeros.
    pub attr: Attr,
    /// The descriptor that came with it.
    pub fd: Option<OwnedFd>,
    /// `create` found the file there.
    pub existed: bool,
    /// The directory is watched.
    pub watched: bool,
    /// The data of all its messages.
    pub data: Vec<u8>,
}

impl Answer {
    /// The new handle; `EIO` when the gofer gave none.
    pub fn handle(&self) -> Result<Handle, Errno> {
        if self.handle == 0 {
            return Err(Errno::EIO);
        }
        Ok(Handle(self.handle))
    }
}

/// One message as it came.
struct Received {
    len: usize,
    fd: Option<OwnedFd>,
    /// A descriptor came but there was no room for it in this process.
    cut: bool,
}

impl Answer {
    /// Attributes of the directories a change was made in, as far as the gofer told them.
    pub fn dirs(&self) -> [Option<Attr>; 2] {
        let mut wire = self.data.chunks_exact(size_of::<WireAttr>()).map(|bytes| {
            let read = WireAttr::read_from_bytes(bytes).ok();
            read.map(|a| Attr::from(&a))
        });
        [wire.next().flatten(), wire.next().flatten()]
    }

    /// Those of the one directory.
    pub fn dir(&self) -> Option<Attr> {
        let [first, _] = self.dirs();
        first
    }
}

type Outcome = Result<Answer, Errno>;

#[derive(Debug, Default)]
struct Slot {
    wake: Condvar,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    slot: Arc<Slot>,
    partial: Answer,
    outcome: Option<Outcome>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Waiting>,
    reading: bool,
    dead: bool,
}

impl State {
    fn entry(&mut self, id: u64) -> Option<&mut Waiting> {
        self.waiting.iter_mut().find(|w| w.id == id)
    }

    /// The other end broke the rules or is gone: nothing it says counts any more.
    fn kill(&mut self) {
        self.dead = true;
        for waiting in &mut self.waiting {
            waiting.outcome.get_or_insert(Err(Errno::EIO));
            waiting.slot.wake.notify_one();
        }
    }

    /// Puts one message where it belongs; false when no honest gofer would send it.
    fn accept(&mut self, reply: &Reply<'_>, received: Received) -> bool {
        let Received { fd, cut, .. } = received;
        if reply.has_fd != (fd.is_some() || cut) {
            return false;
        }
        let Some(waiting) = self.entry(reply.id) else {
            return false;
        };
        if waiting.outcome.is_some() {
            return false;
        }
        let partial = &mut waiting.partial;
        if reply.errno != 0 {
            let plain = !reply.more && fd.is_none() && reply.data.is_empty();
            waiting.outcome = Some(Err(Errno::from_raw(reply.errno)));
            waiting.slot.wake.notify_one();
            return plain;
        }
        if partial.data.len().saturating_add(reply.data.len()) > REPLY_MAX {
            return false;
        }
        partial.data.extend_from_slice(reply.data);
        if reply.more {
            // Endless empty parts would hold the caller for ever.
            return fd.is_none() && !reply.data.is_empty();
        }
        if cut {
            // Our own table was full: only this call suffers.
            waiting.outcome = Some(Err(Errno::EMFILE));
            waiting.slot.wake.notify_one();
            return true;
        }
        partial.fd = fd;
        partial.handle = reply.handle;
        partial.value = reply.value;
        partial.attr = reply.attr;
        partial.existed = reply.existed;
        partial.watched = reply.watched;
        waiting.outcome = Some(Ok(std::mem::take(partial)));
        waiting.slot.wake.notify_one();
        true
    }
}

/// Is told when a thread waits for a reply.
pub trait Waits: Send + Sync {
    /// The calling thread begins to wait.
    fn begin(&self);
    /// It has its reply.
    fn end(&self);
}

impl std::fmt::Debug for dyn Waits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waits")
    }
}

/// The socket and who waits on it.
#[derive(Debug)]
pub struct Channel {
    sock: OwnedFd,
    next_id: AtomicU64,
    state: Mutex<State>,
    buffer: Mutex<Box<[u8]>>,
    waits: Option<Arc<dyn Waits>>,
}

impl Channel {
    /// Nothing is sent yet.
    pub fn new(sock: OwnedFd, waits: Option<Arc<dyn Waits>>) -> Channel {
        Channel {
            sock,
            next_id: AtomicU64::new(1),
            state: Mutex::new(State::default()),
            buffer: Mutex::new(vec![0; MESSAGE_MAX].into()),
            waits,
        }
    }

    /// Asks and waits. `EIO` once the gofer is gone or has broken the protocol.
    pub fn call(&self, call: &Call<'_>) -> Outcome {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        if let Some(waits) = &self.waits {
            waits.begin();
        }
        let outcome = self.ask(id, call);
        if let Some(waits) = &self.waits {
            waits.end();
        }
        outcome
    }

    fn ask(&self, id: u64, call: &Call<'_>) -> Outcome {
        let mut message = Vec::with_capacity(512);
        call.encode(id, &mut message);
        let slot = Arc::new(Slot::default());
        {
            let mut state = self.state.lock();
            if state.dead {
                return Err(Errno::EIO);
            }
            state.waiting.push(Waiting {
                id,
                slot: Arc::clone(&slot),
                partial: Answer::default(),
                outcome: None,
            });
        }
        if self.send(&message).is_err() {
            self.state.lock().kill();
        }
        self.wait(id, &slot)
    }

    /// Sends a request that has no reply.
    pub fn post(&self, call: &Call<'_>) {
        let mut message = Vec::with_capacity(512);
        call.encode(0, &mut message);
        if self.send(&message).is_err() {
            self.state.lock().kill();
        }
    }

    fn wait(&self, id: u64, slot: &Slot) -> Outcome {
        let mut state = self.state.lock();
        loop {
            let Some(index) = state.waiting.iter().position(|w| w.id == id) else {
                return Err(Errno::EIO);
            };
            let done = state
                .waiting
                .get(index)
                .is_some_and(|w| w.outcome.is_some());
            if done {
                let mine = state.waiting.swap_remove(index);
                if !state.reading {
                    Self::pass_on(&state);
                }
                return mine.outcome.unwrap_or(Err(Errno::EIO));
            }
            if state.reading {
                slot.wake.wait(&mut state);
                continue;
            }
            state.reading = true;
            drop(state);
            let read = self.read_one();
            state = self.state.lock();
            state.reading = false;
            if read.is_err() {
                state.kill();
            }
        }
    }

    /// Wakes one who has still to wait, so that it reads on.
    fn pass_on(state: &State) {
        if let Some(next) = state.waiting.iter().find(|w| w.outcome.is_none()) {
            next.slot.wake.notify_one();
        }
    }

    fn send(&self, message: &[u8]) -> Result<(), Errno> {
        loop {
            let mut none = SendAncillaryBuffer::default();
            let parts = [IoSlice::new(message)];
            match rustix::net::sendmsg(&self.sock, &parts, &mut none, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(errno(e)),
            }
        }
    }

    /// Receives one message and delivers it. An error ends the session.
    fn read_one(&self) -> Result<(), Errno> {
        // Only the one reader takes this lock.
        let mut buffer = self.buffer.lock();
        let received = self.receive(&mut buffer)?;
        let bytes = buffer.get(..received.len).ok_or(Errno::EIO)?;
        let reply = Reply::decode(bytes).map_err(|_| Errno::EIO)?;
        if self.state.lock().accept(&reply, received) {
            Ok(())
        } else {
            Err(Errno::EIO)
        }
    }

    fn receive(&self, buffer: &mut [u8]) -> Result<Received, Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        loop {
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut parts = [IoSliceMut::new(&mut *buffer)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            let message = match rustix::net::recvmsg(&self.sock, &mut parts, &mut control, flags) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other.map_err(errno)?,
            };
            let mut fd = None;
            for part in control.drain() {
                if let RecvAncillaryMessage::ScmRights(fds) = part {
                    for received in fds {
                        if fd.replace(received).is_some() {
                            return Err(Errno::EIO);
                        }
                    }
                }
            }
            // More descriptors than one are cut off, too; then one has come, and no honest
            // gofer sent that.
            let cut = message.flags.contains(ReturnFlags::CTRUNC);
            let broken = message.flags.contains(ReturnFlags::TRUNC) || (cut && fd.is_some());
            if message.bytes == 0 || broken {
                return Err(Errno::EIO);
            }
            return Ok(Received {
                len: message.bytes,
                fd,
                cut,
            });
        }
    }
}
