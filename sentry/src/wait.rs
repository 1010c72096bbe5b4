//! Waiting: parked operations, wakers and pollable objects.
//!
//! A system call that cannot finish returns [`Stop::Wait`] with an [`Operation`]: an owned
//! value that holds everything it needs (file references, arguments copied in once, bytes
//! done, deadline, its [`Registration`]s). The task parks it; a [`Waker`] makes a worker
//! call [`Operation::step`] again, never the handler.
//!
//! Every object that can be waited for has a [`Pollee`]. Rules:
//! register first, then test the condition, then wait (no wake-up is lost that way);
//! change the state and drop the object's lock first, then notify; a notification may be
//! spurious.
//!
//! Lock rank: a pollee's list is a leaf; wakers run after it is dropped.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::fs::PollEvents;
use smallvec::SmallVec;

use crate::sync::Mutex;
use crate::task::Task;

/// Why a handler did not return a value.
#[derive(Debug)]
pub enum Stop {
    /// It failed.
    Errno(Errno),
    /// It waits; the operation goes on with it.
    Wait(Box<dyn Operation>),
    /// The register file was replaced (`execve`, `rt_sigreturn`): nothing is written to `rax`.
    Regs,
    /// The task is no more (`exit`): nothing is resumed.
    Gone,
    /// The host executes the call itself (see [`platform::Resume::Passthrough`]).
    Passthrough,
}

impl From<Errno> for Stop {
    fn from(e: Errno) -> Stop {
        Stop::Errno(e)
    }
}

/// Result of a system call handler.
pub type SysResult<T = usize> = Result<T, Stop>;

/// What a signal with a handler does to a waiting call (`signal(7)`, "Interruption of
/// system calls"). Signals that run no handler leave the operation parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSignal {
    /// `EINTR` whatever `SA_RESTART` says (Linux's `ERESTARTNOHAND`, `ERESTART_RESTARTBLOCK`).
    Eintr,
    /// Restarted under `SA_RESTART`, else `EINTR` (`ERESTARTSYS`).
    Restart,
    /// Always restarted (`ERESTARTNOINTR`).
    RestartAlways,
    /// Ends with this value: what was already done counts.
    Finish(i64),
    /// Only a fatal signal ends it.
    Hold,
}

/// A parked system call.
pub trait Operation: Send {
    /// Goes on after a wake-up, on the worker that claimed the task. To go on waiting it
    /// returns itself in [`Stop::Wait`]; another operation there is its next stage.
    /// Wake-ups may be spurious.
    fn step(self: Box<Self>, t: &Arc<Task>) -> SysResult<i64>;

    /// What a signal handler about to run does to this call. Called at most once before the
    /// operation is dropped, or any number of times when it answers `Hold`.
    fn on_signal(&mut self, t: &Arc<Task>) -> OnSignal;

    /// Whether no signal but a fatal one is looked at while it waits, a tracer's included.
    fn uninterruptible(&self) -> bool {
        false
    }

    /// Name of the call, for `/proc/PID/wchan`, logs and the watchdog.
    fn name(&self) -> &'static str;
}

impl fmt::Debug for dyn Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Operation({})", self.name())
    }
}

/// Something that wants to hear of readiness and is not a task (an epoll entry, a poll set).
pub trait Wake: Send + Sync {
    /// Marks; does no work and takes no lock above the leaf ranks. Returns whether this
    /// notification found somebody who was not already awake.
    fn wake(&self, events: PollEvents) -> bool;
}

/// Whom to wake.
#[derive(Clone)]
pub enum Waker {
    /// The task whose parked operation should be stepped.
    Task(Weak<Task>),
    /// Anything else.
    Other(Arc<dyn Wake>),
}

impl Waker {
    /// Wakes; see [`Wake::wake`] for the result.
    pub fn wake(&self, events: PollEvents) -> bool {
        match self {
            Waker::Task(t) => t.upgrade().is_some_and(|t| t.wake()),
            Waker::Other(w) => w.wake(events),
        }
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

/// Whether one notification wakes all waiters or only the first that sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Woken by every notification.
    All,
    /// Woken in turn, one per notification (readers of a pipe, `accept`, `EPOLLEXCLUSIVE`).
    Exclusive,
}

struct Waiter {
    id: usize,
    events: PollEvents,
    share: Share,
    waker: Waker,
}

#[derive(Default)]
struct PolleeInner {
    /// Number of waiters, so that a notification nobody waits for takes no lock.
    count: AtomicUsize,
    next_id: AtomicUsize,
    waiters: Mutex<Vec<Waiter>>,
}

/// The wait queue of a pollable object.
#[derive(Clone, Default)]
pub struct Pollee(Arc<PolleeInner>);

impl fmt::Debug for Pollee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Pollee({} waiting)",
            self.0.count.load(Ordering::Relaxed)
        )
    }
}

impl Pollee {
    /// A queue with no waiters.
    pub fn new() -> Pollee {
        Pollee::default()
    }

    /// Adds a waiter for `events` (errors and hang-ups always count too). It stays until
    /// the registration is dropped.
    #[must_use]
    pub fn register(&self, events: PollEvents, waker: Waker, share: Share) -> Registration {
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let events = events | PollEvents::ERR | PollEvents::HUP;
        let mut waiters = self.0.waiters.lock();
        waiters.push(Waiter {
            id,
            events,
            share,
            waker,
        });
        self.0.count.store(waiters.len(), Ordering::SeqCst);
        drop(waiters);
        Registration {
            queue: Arc::downgrade(&self.0),
            id,
        }
    }

    /// Tells the waiters that `events` may have become true. Call it with no lock held.
    pub fn notify(&self, events: PollEvents) {
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.0.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let wakers: SmallVec<[(Waker, Share); 4]> = self
            .0
            .waiters
            .lock()
            .iter()
            .filter(|w| w.events.intersects(events))
            .map(|w| (w.waker.clone(), w.share))
            .collect();
        // An end or an error is for everybody.
        let everybody = events.intersects(PollEvents::HUP | PollEvents::ERR);
        let mut exclusive_done = false;
        for (waker, share) in &wakers {
            match share {
                Share::All => {
                    waker.wake(events);
                }
                Share::Exclusive if everybody => {
                    waker.wake(events);
                }
                Share::Exclusive if !exclusive_done => exclusive_done = waker.wake(events),
                Share::Exclusive => {}
            }
        }
    }

    /// Wakes every waiter whatever it waits for (the object is going away).
    pub fn notify_all(&self) {
        let wakers: SmallVec<[Waker; 4]> = self
            .0
            .waiters
            .lock()
            .iter()
            .map(|w| w.waker.clone())
            .collect();
        for w in &wakers {
            w.wake(PollEvents::all());
        }
    }

    /// Whether anybody waits.
    pub fn has_waiters(&self) -> bool {
        self.0.count.load(Ordering::SeqCst) != 0
    }
}

/// A place in a [`Pollee`]; dropping it leaves the queue.
#[derive(Debug, Default)]
pub struct Registration {
    queue: Weak<PolleeInner>,
    id: usize,
}

impl fmt::Debug for PolleeInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PolleeInner")
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let Some(queue) = self.queue.upgrade() else {
            return;
        };
        let mut waiters = queue.waiters.lock();
        if let Some(i) = waiters.iter().position(|w| w.id == self.id) {
            waiters.remove(i);
        }
        queue.count.store(waiters.len(), Ordering::SeqCst);
    }
}
