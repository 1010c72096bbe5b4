//! One entry of an epoll set's interest list.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use abi::fs::PollEvents;

use super::{EPOLLET, EPOLLONESHOT, EPOLLWAKEUP, Epoll, EpollEvent, PRIVATE_BITS};
use crate::fs::file::File;
use crate::sync::Mutex;
use crate::wait::{Pollee, Registration, Share, Wake};

/// A watched description. It does not keep the description open.
pub(super) struct Item {
    me: Weak<Item>,
    set: Weak<Epoll>,
    file: Weak<File>,
    pub(super) fd: i32,
    event: Mutex<EpollEvent>,
    /// Whether it is on the ready list.
    queued: AtomicBool,
    /// Removed from the set.
    retired: AtomicBool,
    place: Mutex<Option<Registration>>,
}

impl Item {
    pub(super) fn new(set: &Arc<Epoll>, fd: i32, file: &Arc<File>, event: EpollEvent) -> Arc<Item> {
        let item = Arc::new_cyclic(|me| Item {
            me: me.clone(),
            set: Arc::downgrade(set),
            file: Arc::downgrade(file),
            fd,
            event: Mutex::default(),
            queued: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            place: Mutex::default(),
        });
        item.set_event(event);
        item
    }

    pub(super) fn file(&self) -> Option<Arc<File>> {
        self.file.upgrade()
    }

    pub(super) fn event(&self) -> EpollEvent {
        *self.event.lock()
    }

    pub(super) fn set_event(&self, event: EpollEvent) {
        *self.event.lock() = EpollEvent {
            events: event.events & !EPOLLWAKEUP,
            data: event.data,
        };
    }

    /// Takes a place in the file's queue for the current events.
    pub(super) fn register(self: &Arc<Item>, pollee: &Pollee, share: Share) {
        let events = PollEvents::from_bits_truncate(self.event().events);
        let place = pollee.register(events, self.waker(), share);
        let old = self.place.lock().replace(place);
        drop(old);
    }

    /// What it reports: nothing once a one-shot item has reported.
    pub(super) fn wanted(&self) -> PollEvents {
        let bits = self.event().events;
        if bits & !PRIVATE_BITS == 0 && bits & EPOLLONESHOT != 0 {
            return PollEvents::empty();
        }
        PollEvents::from_bits_truncate(bits) | PollEvents::ERR | PollEvents::HUP
    }

    /// Its event was reported; whether it goes back on the ready list.
    pub(super) fn reported(&self) -> bool {
        let mut event = self.event.lock();
        if event.events & EPOLLONESHOT != 0 {
            event.events &= PRIVATE_BITS;
            return false;
        }
        event.events & EPOLLET == 0
    }

    /// Whether the caller is the one to put it on the ready list.
    pub(super) fn mark_queued(&self) -> bool {
        !self.retired.load(Ordering::SeqCst) && !self.queued.swap(true, Ordering::SeqCst)
    }

    pub(super) fn unmark_queued(&self) {
        self.queued.store(false, Ordering::SeqCst);
    }

    /// It left the set.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
        let old = self.place.lock().take();
        drop(old);
    }
}

impl Wake for Item {
    fn wake(&self, events: PollEvents) -> bool {
        if !events.intersects(self.wanted()) {
            return false;
        }
        if self.file.strong_count() == 0 {
            return false;
        }
        let (Some(set), Some(item)) = (self.set.upgrade(), self.me.upgrade()) else {
            return false;
        };
        set.enqueue(&item)
    }
}
