//! What all parts of one systrap instance share: the control file, the workers' wait sets,
//! and the table that leads from an epoll event to a guest thread or a stub.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::{Mutex, RwLock};

use super::context::{Session, Thread};
use super::control::Control;
use super::layout::Layout;
use super::pool::Pool;
use super::raw::{self, XLayout};
use super::space::Stub;
use super::stub::Entries;
use super::watchdog::Watchdog;
use crate::{Event, PlatformError, WorkerId};

/// What an epoll event's data says: two bits of kind, then the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A guest thread's listener.
    Thread(Key),
    /// A stub's pidfd.
    Stub(Key),
    /// The worker's own event counter.
    Kick,
    /// A watched descriptor.
    Watch(i32),
}

/// A place in a [`Slab`] and how often it was reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    index: u32,
    generation: u32,
}

impl Source {
    /// As epoll data.
    #[must_use]
    pub fn data(self) -> u64 {
        let pack = |kind: u64, key: Key| {
            kind << 62 | u64::from(key.generation & 0x3fff_ffff) << 32 | u64::from(key.index)
        };
        match self {
            Self::Thread(key) => pack(0, key),
            Self::Stub(key) => pack(1, key),
            Self::Kick => 2 << 62,
            Self::Watch(fd) => 3 << 62 | u64::from(fd.cast_unsigned()),
        }
    }

    /// From epoll data.
    #[must_use]
    pub fn from_data(data: u64) -> Self {
        let index = (data & 0xffff_ffff) as u32;
        let key = Key {
            index,
            generation: (data >> 32) as u32 & 0x3fff_ffff,
        };
        match data >> 62 {
            0 => Self::Thread(key),
            1 => Self::Stub(key),
            2 => Self::Kick,
            _ => Self::Watch(index.cast_signed()),
        }
    }
}

/// A table with stable keys.
pub struct Slab<T> {
    entries: Vec<(u32, Option<Arc<T>>)>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    /// Makes an entry that knows its own key.
    pub fn insert_with(&mut self, make: impl FnOnce(Key) -> Arc<T>) -> Arc<T> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push((0, None));
            u32::try_from(self.entries.len().saturating_sub(1)).unwrap_or(u32::MAX)
        });
        let generation = self.entries.get(index as usize).map_or(0, |entry| entry.0);
        let value = make(Key { index, generation });
        if let Some(entry) = self.entries.get_mut(index as usize) {
            entry.1 = Some(value.clone());
        }
        value
    }

    /// Looks an entry up.
    pub fn get(&self, key: Key) -> Option<Arc<T>> {
        let (generation, value) = self.entries.get(key.index as usize)?;
        value
            .as_ref()
            .filter(|_| *generation == key.generation)
            .cloned()
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: Key) -> Option<Arc<T>> {
        let (generation, value) = self.entries.get_mut(key.index as usize)?;
        if *generation != key.generation {
            return None;
        }
        let value = value.take()?;
        *generation = generation.wrapping_add(1) & 0x3fff_ffff;
        self.free.push(key.index);
        Some(value)
    }

    /// Every entry.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.entries
            .iter()
            .filter_map(|entry| entry.1.clone())
            .collect()
    }
}

/// One worker's wait set.
pub struct Worker {
    epoll: OwnedFd,
    counter: OwnedFd,
    cpu: Option<usize>,
    pinned: AtomicBool,
    kicked: AtomicBool,
    queued: AtomicUsize,
    queue: Mutex<VecDeque<Event>>,
    watches: Mutex<HashMap<i32, u64>>,
    /// The thread whose event was reported last.
    pub last: Mutex<Option<Key>>,
    /// A thread that was sent here so that its calls are looked for.
    pub visitor: Mutex<Option<Key>>,
    /// It sleeps until something comes.
    pub idle: AtomicBool,
    /// The look-out for posted calls.
    pub session: Mutex<Option<Session>>,
}

const HANGUP: u32 = libc::EPOLLHUP as u32;
const READABLE: u32 = libc::EPOLLIN as u32;

impl Worker {
    /// A wait set for a worker that is to run on `cpu`.
    pub fn new(cpu: Option<usize>) -> Result<Self, i32> {
        let epoll = raw::epoll_create()?;
        let counter = raw::eventfd()?;
        let data = Source::Kick.data();
        raw::epoll_ctl(
            epoll.as_fd(),
            libc::EPOLL_CTL_ADD,
            counter.as_fd(),
            READABLE,
            data,
        )?;
        Ok(Self {
            epoll,
            counter,
            cpu,
            pinned: AtomicBool::new(false),
            kicked: AtomicBool::new(false),
            queued: AtomicUsize::new(0),
            queue: Mutex::default(),
            watches: Mutex::default(),
            last: Mutex::default(),
            visitor: Mutex::default(),
            idle: AtomicBool::new(false),
            session: Mutex::default(),
        })
    }

    /// The epoll set.
    pub fn epoll(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// The CPU it runs on, where that is bound.
    pub fn cpu(&self) -> Option<usize> {
        self.cpu
    }

    /// Binds the calling thread to the worker's CPU, if none was yet.
    pub fn pin_once(&self) {
        if !self.pinned.load(Ordering::Relaxed) && !self.pinned.swap(true, Ordering::Relaxed) {
            self.pin();
        }
    }

    /// Binds the calling thread to the worker's CPU. A host that refuses is only slower.
    pub fn pin(&self) {
        if let Some(cpu) = self.cpu {
            let _ = raw::set_affinity(0, &raw::cpu_set(&[cpu]));
        }
    }

    /// Adds a descriptor.
    pub fn add(&self, fd: BorrowedFd<'_>, source: Source) -> Result<(), i32> {
        raw::epoll_ctl(
            self.epoll(),
            libc::EPOLL_CTL_ADD,
            fd,
            READABLE,
            source.data(),
        )
    }

    /// Removes a descriptor; one that is not there is no error.
    pub fn remove(&self, fd: BorrowedFd<'_>) {
        let _ = raw::epoll_ctl(self.epoll(), libc::EPOLL_CTL_DEL, fd, 0, 0);
    }

    /// A thread came by notification: that may end the look-out for calls that it posts.
    pub fn came_otherwise(&self, thread: &Thread) {
        let mut session = self.session.lock();
        if let Some(s) = &mut *session
            && s.is_with(thread)
            && s.is_spoiled()
        {
            // The notification in hand is received here.
            s.leave_later();
            *session = None;
        }
    }

    /// Queues an event for the worker and wakes it.
    pub fn post(&self, event: Event) {
        self.queue.lock().push_back(event);
        self.queued.fetch_add(1, Ordering::Release);
        self.wake();
    }

    /// A queued event.
    pub fn take_queued(&self) -> Option<Event> {
        if self.queued.load(Ordering::Acquire) == 0 {
            return None;
        }
        let event = self.queue.lock().pop_front();
        if event.is_some() {
            self.queued.fetch_sub(1, Ordering::Release);
        }
        event
    }

    /// Has the worker look for the calls of a thread that is its to serve from now on.
    pub fn invite(&self, thread: Key) {
        *self.visitor.lock() = Some(thread);
        self.wake();
    }

    /// Wakes whoever waits on the set.
    pub fn wake(&self) {
        // A full counter wakes as well.
        let _ = raw::write(self.counter.as_fd(), &1u64.to_ne_bytes());
    }

    /// Asks for a `Kick` event.
    pub fn kick(&self) {
        if !self.kicked.swap(true, Ordering::AcqRel) {
            self.wake();
        }
    }

    /// Notes that a kick is asked for; whether none was.
    pub fn note_kick(&self) -> bool {
        !self.kicked.swap(true, Ordering::SeqCst)
    }

    /// Whether a kick is asked for.
    pub fn is_noted(&self) -> bool {
        self.kicked.load(Ordering::SeqCst)
    }

    /// Takes a kick that was asked for, and leaves the counter alone.
    pub fn take_noted(&self) -> bool {
        self.kicked.load(Ordering::SeqCst) && self.kicked.swap(false, Ordering::SeqCst)
    }

    /// Empties the counter; whether a kick was asked for.
    pub fn take_kick(&self) -> bool {
        let mut buf = [0u8; 8];
        let _ = raw::read(self.counter.as_fd(), &mut buf);
        self.kicked.swap(false, Ordering::AcqRel)
    }

    /// Watches a foreign descriptor, once.
    pub fn watch(&self, fd: BorrowedFd<'_>, token: u64) -> Result<(), i32> {
        let number = fd.as_raw_fd();
        let mut watches = self.watches.lock();
        let known = watches.insert(number, token).is_some();
        let events = READABLE | HANGUP | (libc::EPOLLRDHUP | libc::EPOLLONESHOT) as u32;
        let data = Source::Watch(number).data();
        let (first, second) = if known {
            (libc::EPOLL_CTL_MOD, libc::EPOLL_CTL_ADD)
        } else {
            (libc::EPOLL_CTL_ADD, libc::EPOLL_CTL_MOD)
        };
        // The number may have been closed and reused since.
        match raw::epoll_ctl(self.epoll(), first, fd, events, data) {
            Err(libc::ENOENT | libc::EEXIST) => {
                raw::epoll_ctl(self.epoll(), second, fd, events, data)
            }
            result => result,
        }
    }

    /// The token of a watched descriptor that became ready.
    pub fn watched(&self, number: i32) -> Option<u64> {
        self.watches.lock().get(&number).copied()
    }

    /// Stops watching a descriptor.
    pub fn unwatch(&self, fd: BorrowedFd<'_>) {
        self.watches.lock().remove(&fd.as_raw_fd());
        self.remove(fd);
    }
}

/// The shared part of one systrap instance.
pub struct Core {
    /// Command pages and thread areas.
    pub control: Arc<Control>,
    /// Addresses.
    pub layout: Layout,
    /// Lowest guest address.
    pub min_addr: u64,
    /// Entry points of the stub's code.
    pub entries: Entries,
    /// Layout of extended state.
    pub xstate: XLayout,
    /// The vDSO in stubs: address and length.
    pub vdso: Option<(u64, u64)>,
    /// CPUs guest threads may use.
    pub cpus: libc::cpu_set_t,
    /// How many those are.
    pub cpu_count: usize,
    /// Guest threads that run.
    pub running: AtomicUsize,
    /// Workers that look for posted calls.
    pub spinning: AtomicUsize,
    /// Numbers of calls that are not to be posted.
    pub unposted: Vec<u32>,
    /// The workers' wait sets.
    pub workers: Vec<Worker>,
    /// The wait set of the thread that keeps spares and reaps, where there is one.
    pub keeper: Option<Worker>,
    /// Somebody has noticed that a space has ended.
    pub ended: AtomicBool,
    /// Spare stubs.
    pub pool: OnceLock<Weak<Pool>>,
    /// Listeners come over the stub's socket: the host does not let us fetch them.
    pub by_socket: AtomicBool,
    /// See [`crate::Platform::cpus`].
    pub cpu_mask: u64,
    /// The host has restartable sequences.
    pub rseq: bool,
    /// Interrupts not answered yet.
    pub watchdog: Watchdog,
    /// Guest threads.
    pub threads: RwLock<Slab<Thread>>,
    /// Stubs not reaped yet.
    pub stubs: RwLock<Slab<Stub>>,
}

impl Core {
    /// The keeper's work: waits for stubs that end, and returns once one has ended and was
    /// reaped. `before` does, ahead of each wait, what else there is to do.
    pub fn keep(&self, before: impl Fn()) {
        let Some(keeper) = &self.keeper else {
            return;
        };
        loop {
            before();
            if self.ended.swap(false, Ordering::AcqRel) {
                return;
            }
            let Ok(Some((_, data))) = raw::epoll_wait(keeper.epoll(), None) else {
                continue;
            };
            if let Source::Stub(key) = Source::from_data(data) {
                let stub = self.stubs.read().get(key);
                if stub.is_some_and(|stub| stub.reap()) {
                    return;
                }
            } else {
                keeper.take_kick();
            }
        }
    }

    /// A worker; those out of range share the last.
    pub fn worker(&self, id: WorkerId) -> Result<&Worker, PlatformError> {
        let last = self.workers.len().saturating_sub(1);
        let unsupported = || PlatformError::Unsupported("no such worker".into());
        self.workers.get(id.0.min(last)).ok_or_else(unsupported)
    }

    /// How many CPUs guest threads and workers that look for calls keep busy.
    pub fn busy(&self) -> usize {
        let running = self.running.load(Ordering::Relaxed);
        running.saturating_add(self.spinning.load(Ordering::Relaxed))
    }

    /// A worker that sleeps, on a CPU other than that of `worker`.
    pub fn idle_beside(&self, worker: WorkerId) -> Option<WorkerId> {
        let own = self.worker(worker).ok()?.cpu()?;
        let elsewhere = |w: &Worker| w.cpu().is_some_and(|cpu| cpu != own);
        let fits = |w: &Worker| elsewhere(w) && w.idle.load(Ordering::Relaxed);
        self.workers.iter().position(fits).map(WorkerId)
    }

    /// Queues an event for a worker.
    pub fn post(&self, worker: WorkerId, event: Event) {
        if let Ok(worker) = self.worker(worker) {
            worker.post(event);
        }
    }
}
