//! Event poll (`epoll(7)`).
//!
//! An [`Epoll`] has an interest list and a ready list. A watched file's notification puts
//! its [`item::Item`] on the ready list; a wait looks only at what is there, so that it
//! costs by the number of ready files, not of watched ones. [`nest`] keeps epoll sets that
//! watch each other from forming loops or long chains.
//!
//! Lock order: `scan`, then locks of watched files; `interest`, then `ready`; `ready` is a leaf, because notifications
//! take it.

mod item;
mod nest;

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::fs::PollEvents;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::file::{File, FileOps, IoCx, OpenFlags, Whence};
use crate::sync::Mutex;
use crate::task::Task;
use crate::wait::{Pollee, Share, Waker};
use crate::{Kernel, Result, SysResult};
use item::Item;

/// Edge-triggered.
pub const EPOLLET: u32 = 1 << 31;
/// Disabled after one report.
pub const EPOLLONESHOT: u32 = 1 << 30;
/// Keeps the system awake; accepted and dropped, as without `CAP_BLOCK_SUSPEND`.
pub const EPOLLWAKEUP: u32 = 1 << 29;
/// One of several sets that watch a file is told.
pub const EPOLLEXCLUSIVE: u32 = 1 << 28;
const PRIVATE_BITS: u32 = EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE;
/// What may accompany `EPOLLEXCLUSIVE`.
const EXCLUSIVE_OK: u32 = 0x1 | 0x4 | 0x8 | 0x10 | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;

const READABLE: PollEvents = PollEvents::IN.union(PollEvents::RDNORM);

/// `struct epoll_event`, packed on x86-64.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C, packed)]
pub struct EpollEvent {
    /// `EPOLL*` bits.
    pub events: u32,
    /// The caller's own value.
    pub data: u64,
}

/// Identity of a watched description: descriptor number and address of the description,
/// which stays allocated while the item's weak reference is there.
type Key = (i32, usize);

/// An epoll set.
pub struct Epoll {
    interest: Mutex<HashMap<Key, Arc<Item>>>,
    ready: Mutex<VecDeque<Arc<Item>>>,
    /// Held over a scan of the ready list, so that a second waiter does not find it empty
    /// while level-triggered items are about to be put back.
    scan: Mutex<()>,
    pollee: Pollee,
    /// Sets that watch this one.
    parents: Mutex<Vec<Weak<Epoll>>>,
}

/// An epoll set as an open description.
pub struct EpollFile(Arc<Epoll>);

impl EpollFile {
    /// A new empty set.
    pub fn open() -> Arc<File> {
        let set = Epoll {
            interest: Mutex::default(),
            ready: Mutex::default(),
            scan: Mutex::default(),
            pollee: Pollee::new(),
            parents: Mutex::default(),
        };
        File::anonymous(Arc::new(EpollFile(Arc::new(set))), OpenFlags::RDWR)
    }

    /// The set.
    pub fn set(&self) -> &Arc<Epoll> {
        &self.0
    }
}

fn key(fd: i32, file: &Arc<File>) -> Key {
    (fd, Arc::as_ptr(file) as usize)
}

/// The set behind a description; `EINVAL` for another kind of file.
pub fn of_file(file: &Arc<File>) -> Result<Arc<Epoll>> {
    let found = file.downcast::<EpollFile>().ok_or(Errno::EINVAL)?;
    Ok(found.0.clone())
}

impl Epoll {
    /// `EPOLL_CTL_ADD`.
    pub fn add(
        self: &Arc<Epoll>,
        kernel: &Kernel,
        t: &Arc<Task>,
        fd: i32,
        file: &Arc<File>,
        event: EpollEvent,
    ) -> Result<()> {
        let exclusive = event.events & EPOLLEXCLUSIVE != 0;
        let nested = of_file(file).ok();
        if exclusive && (nested.is_some() || event.events & !EXCLUSIVE_OK != 0) {
            return Err(Errno::EINVAL);
        }
        let pollee = file.ops.pollee().ok_or(Errno::EPERM)?;
        if self.find(fd, file).is_some() {
            return Err(Errno::EEXIST);
        }
        if let Some(child) = &nested {
            nest::link(kernel, self, child)?;
        }
        let item = Item::new(self, fd, file, event);
        {
            let mut interest = self.interest.lock();
            prune(&mut interest);
            interest.insert(key(fd, file), item.clone());
        }
        let share = if exclusive {
            Share::Exclusive
        } else {
            Share::All
        };
        item.register(pollee, share);
        self.refresh(t, &item, file);
        Ok(())
    }

    /// `EPOLL_CTL_MOD`.
    pub fn modify(
        &self,
        t: &Arc<Task>,
        fd: i32,
        file: &Arc<File>,
        event: EpollEvent,
    ) -> Result<()> {
        if event.events & EPOLLEXCLUSIVE != 0 {
            return Err(Errno::EINVAL);
        }
        let pollee = file.ops.pollee().ok_or(Errno::EPERM)?;
        let item = self.find(fd, file).ok_or(Errno::ENOENT)?;
        if item.event().events & EPOLLEXCLUSIVE != 0 {
            return Err(Errno::EINVAL);
        }
        item.set_event(event);
        item.register(pollee, Share::All);
        self.refresh(t, &item, file);
        Ok(())
    }

    /// `EPOLL_CTL_DEL`.
    pub fn remove(&self, fd: i32, file: &Arc<File>) -> Result<()> {
        let item = self.interest.lock().remove(&key(fd, file));
        let item = item.ok_or(Errno::ENOENT)?;
        item.retire();
        self.ready.lock().retain(|i| !Arc::ptr_eq(i, &item));
        if let Ok(child) = of_file(file) {
            nest::unlink(self, &child);
        }
        Ok(())
    }

    fn find(&self, fd: i32, file: &Arc<File>) -> Option<Arc<Item>> {
        self.interest.lock().get(&key(fd, file)).cloned()
    }

    /// The `n`th description watched as descriptor `fd` (`kcmp(2)`).
    pub fn watched(&self, fd: i32, n: usize) -> Option<Arc<File>> {
        let interest = self.interest.lock();
        let found = interest.iter().filter(|(key, _)| key.0 == fd);
        found.filter_map(|(_, item)| item.file()).nth(n)
    }

    /// Queues an item that is ready already.
    fn refresh(&self, t: &Arc<Task>, item: &Arc<Item>, file: &Arc<File>) {
        let now = file.ops.poll(&file.cx(Some(t)));
        if now.intersects(item.wanted()) {
            self.enqueue(item);
        }
    }

    /// Puts an item on the ready list unless it is there, and tells those who wait.
    fn enqueue(&self, item: &Arc<Item>) -> bool {
        if !item.mark_queued() {
            return false;
        }
        self.ready.lock().push_back(item.clone());
        self.pollee.notify(READABLE);
        true
    }

    /// Up to `max` ready events. Level-triggered items go back to the end of the list.
    pub fn collect(&self, t: Option<&Arc<Task>>, max: usize) -> Vec<EpollEvent> {
        let _scan = self.scan.lock();
        let mut events = Vec::new();
        let mut again = Vec::new();
        let there = self.ready.lock().len();
        for _ in 0..there {
            if events.len() >= max {
                break;
            }
            let Some(item) = self.ready.lock().pop_front() else {
                break;
            };
            // Before the test, so that a notification after it queues the item again.
            item.unmark_queued();
            match self.test(t, &item) {
                Some(event) => {
                    events.push(event);
                    if item.reported() {
                        again.push(item);
                    }
                }
                None => continue,
            }
        }
        for item in again {
            if item.mark_queued() {
                self.ready.lock().push_back(item);
            }
        }
        events
    }

    /// What an item has to report now. One whose description is gone is forgotten.
    fn test(&self, t: Option<&Arc<Task>>, item: &Arc<Item>) -> Option<EpollEvent> {
        let Some(file) = item.file() else {
            self.interest.lock().retain(|_, i| !Arc::ptr_eq(i, item));
            return None;
        };
        let wanted = item.wanted();
        let now = file.ops.poll(&file.cx(t)) & wanted;
        (!now.is_empty()).then(|| EpollEvent {
            events: now.bits(),
            data: item.event().data,
        })
    }

    /// Whether a wait would return at once.
    fn any_ready(&self, t: Option<&Arc<Task>>) -> bool {
        let _scan = self.scan.lock();
        let there = self.ready.lock().len();
        for _ in 0..there {
            let Some(item) = self.ready.lock().pop_front() else {
                break;
            };
            item.unmark_queued();
            if self.test(t, &item).is_some() {
                if item.mark_queued() {
                    self.ready.lock().push_front(item);
                }
                return true;
            }
        }
        false
    }

    /// The queue a wait registers with.
    pub fn pollee(&self) -> &Pollee {
        &self.pollee
    }
}

/// Forgets items whose description is gone, when the list has doubled since.
fn prune(interest: &mut HashMap<Key, Arc<Item>>) {
    if interest.len() >= 64 && interest.len() == interest.capacity() {
        interest.retain(|_, i| i.file().is_some());
    }
}

impl FileOps for EpollFile {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn ioctl(&self, _cx: &IoCx<'_>, _request: u32, _arg: u64) -> SysResult<i64> {
        // It has commands of its own, none of which is known here.
        Err(Errno::EINVAL.into())
    }

    fn seek(&self, _cx: &IoCx<'_>, cur: u64, _offset: i64, _whence: Whence) -> Result<u64> {
        Ok(cur)
    }

    fn poll(&self, cx: &IoCx<'_>) -> PollEvents {
        if self.0.any_ready(cx.task) {
            READABLE
        } else {
            PollEvents::empty()
        }
    }

    fn pollee(&self) -> Option<&Pollee> {
        Some(&self.0.pollee)
    }

    fn description(&self) -> String {
        "anon_inode:[eventpoll]".to_owned()
    }

    fn fdinfo(&self, _pids: &crate::task::PidNamespace) -> String {
        let interest = self.0.interest.lock();
        let line = |i: &Arc<Item>| {
            let (fd, event) = (i.fd, i.event());
            let (events, data) = (event.events, event.data);
            format!("tfd: {fd:8} events: {events:8x} data: {data:16x}\n")
        };
        interest.values().map(line).collect()
    }
}

impl Item {
    /// A waker that queues this item.
    fn waker(self: &Arc<Item>) -> Waker {
        Waker::Other(self.clone())
    }
}
