//! Contexts of asynchronous I/O (`io_setup(2)`).
//!
//! Transfers are done when they are submitted; their events wait here to be fetched. Only
//! polls stay in flight: [`Watch`] completes one when its file tells of it.
//!
//! Lock rank: a context's state is a leaf; files are dropped after it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::fs::PollEvents;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Result;
use crate::fs::eventfd::EventFd;
use crate::fs::file::File;
use crate::sync::Mutex;
use crate::wait::{Pollee, Registration, Share, Wake, Waker};

/// Most events all contexts of a process have room for (`/proc/sys/fs/aio-max-nr`).
pub const AIO_MAX_NR: usize = 65_536;

/// `struct io_event`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct IoEvent {
    /// The submitter's own value.
    pub data: u64,
    /// Address of the control block.
    pub obj: u64,
    /// What came of it.
    pub res: i64,
    /// Always 0.
    pub res2: i64,
}

/// A poll in flight.
struct Pending {
    number: u64,
    data: u64,
    obj: u64,
    file: Arc<File>,
    notify: Option<Arc<File>>,
    place: Option<Registration>,
}

#[derive(Default)]
struct State {
    done: VecDeque<IoEvent>,
    pending: Vec<Pending>,
    /// Polls that are over, dropped where that may take time.
    over: Vec<Pending>,
    last: u64,
    dead: bool,
}

/// A context.
pub struct AioContext {
    /// Its number: the address of its ring, which is empty for ever.
    pub id: u64,
    /// What `io_setup` was asked for.
    pub asked: usize,
    /// Most requests and events at a time.
    room: usize,
    state: Mutex<State>,
    /// Told of events.
    pub pollee: Pollee,
}

impl fmt::Debug for AioContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AioContext({:#x})", self.id)
    }
}

/// Completes a poll.
struct Watch {
    context: Weak<AioContext>,
    number: u64,
    wanted: PollEvents,
}

impl Wake for Watch {
    fn wake(&self, events: PollEvents) -> bool {
        match self.context.upgrade() {
            Some(context) if events.intersects(self.wanted) => {
                context.poll_done(self.number, events)
            }
            _ => false,
        }
    }
}

/// Tells an event counter.
fn tell(notify: Option<&Arc<File>>) {
    if let Some(counter) = notify.and_then(|f| f.downcast::<EventFd>()) {
        counter.signal(1);
    }
}

impl AioContext {
    /// A context with room for `room` requests.
    pub fn new(id: u64, asked: usize, room: usize) -> Arc<AioContext> {
        Arc::new(AioContext {
            id,
            asked,
            room,
            state: Mutex::default(),
            pollee: Pollee::new(),
        })
    }

    /// Whether one more request fits; `EAGAIN`.
    pub fn check_room(&self) -> Result<()> {
        let mut state = self.state.lock();
        let over = std::mem::take(&mut state.over);
        let used = state.done.len() + state.pending.len();
        drop(state);
        drop(over);
        if used < self.room {
            Ok(())
        } else {
            Err(Errno::EAGAIN)
        }
    }

    /// How many requests a submission may name.
    pub fn room(&self) -> usize {
        self.room
    }

    /// A request is done; `notify` is the event counter to be told.
    pub fn complete(&self, event: IoEvent, notify: Option<&Arc<File>>) {
        self.state.lock().done.push_back(event);
        self.pollee.notify(PollEvents::IN);
        tell(notify);
    }

    /// Starts a poll of `file` for `wanted`. The caller asks the file afterwards and calls
    /// [`AioContext::poll_done`] if it is ready already.
    pub fn start_poll(
        self: &Arc<AioContext>,
        (data, obj): (u64, u64),
        file: &Arc<File>,
        wanted: PollEvents,
        notify: Option<Arc<File>>,
    ) -> u64 {
        let mut state = self.state.lock();
        state.last += 1;
        let number = state.last;
        state.pending.push(Pending {
            number,
            data,
            obj,
            file: file.clone(),
            notify,
            place: None,
        });
        drop(state);
        let watch = Arc::new(Watch {
            context: Arc::downgrade(self),
            number,
            wanted,
        });
        let place = file
            .ops
            .pollee()
            .map(|p| p.register(wanted, Waker::Other(watch), Share::All));
        let mut state = self.state.lock();
        if let Some(p) = state.pending.iter_mut().find(|p| p.number == number) {
            p.place = place;
        }
        number
    }

    /// A poll has come to its end with these events; whether it was still in flight.
    pub fn poll_done(&self, number: u64, events: PollEvents) -> bool {
        let mut state = self.state.lock();
        let Some(at) = state.pending.iter().position(|p| p.number == number) else {
            return false;
        };
        let pending = state.pending.swap_remove(at);
        state.done.push_back(IoEvent {
            data: pending.data,
            obj: pending.obj,
            res: i64::from(events.bits()),
            res2: 0,
        });
        let notify = pending.notify.clone();
        state.over.push(pending);
        drop(state);
        self.pollee.notify(PollEvents::IN);
        tell(notify.as_ref());
        true
    }

    /// Ends the poll of the control block at `obj` without events; whether there was one.
    pub fn cancel(&self, obj: u64) -> bool {
        let found = {
            let state = self.state.lock();
            let pending = state.pending.iter().find(|p| p.obj == obj);
            pending.map(|p| p.number)
        };
        found.is_some_and(|number| self.poll_done(number, PollEvents::empty()))
    }

    /// Up to `n` events, which stay until [`AioContext::consume`]; `EINVAL` when the context
    /// was destroyed.
    pub fn peek(&self, n: usize) -> Result<Vec<IoEvent>> {
        let state = self.state.lock();
        if state.dead {
            return Err(Errno::EINVAL);
        }
        Ok(state.done.iter().take(n).copied().collect())
    }

    /// Takes the first `n` events away.
    pub fn consume(&self, n: usize) {
        let mut state = self.state.lock();
        let n = n.min(state.done.len());
        state.done.drain(..n);
        let over = std::mem::take(&mut state.over);
        drop(state);
        drop(over);
    }

    /// Ends everything in flight.
    pub fn destroy(&self) {
        let mut state = self.state.lock();
        state.dead = true;
        let gone = (
            std::mem::take(&mut state.pending),
            std::mem::take(&mut state.over),
        );
        drop(state);
        drop(gone);
        self.pollee.notify_all();
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pending({:?} {})", self.file, self.place.is_some())
    }
}

/// The contexts of an address space.
#[derive(Debug, Default)]
pub struct AioContexts(Mutex<BTreeMap<u64, Arc<AioContext>>>);

impl AioContexts {
    /// Events asked for by all contexts.
    pub fn asked(&self) -> usize {
        let contexts = self.0.lock();
        contexts
            .values()
            .fold(0, |sum, c| sum.saturating_add(c.asked))
    }
    /// Enters a context.
    pub fn insert(&self, context: Arc<AioContext>) {
        self.0.lock().insert(context.id, context);
    }
    /// The context `id`; `EINVAL`.
    pub fn get(&self, id: u64) -> Result<Arc<AioContext>> {
        self.0.lock().get(&id).cloned().ok_or(Errno::EINVAL)
    }
    /// Takes a context out; `EINVAL`.
    pub fn remove(&self, id: u64) -> Result<Arc<AioContext>> {
        self.0.lock().remove(&id).ok_or(Errno::EINVAL)
    }
}
