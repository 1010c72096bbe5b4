//! One container's gofer, and what all its mounts share: who is watched, and how many
//! handles and descriptors are kept.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use abi::Errno;
use abi::fs::PollEvents;
use gofer::proto::Handle;
use gofer::{Attr, Client, WatchEvent, WatchKind};

use super::inode::GoferInode;
use crate::Result;
use crate::fs::host_watch::WatchedFd;
use crate::kernel::Kernel;
use crate::sync::Mutex;
use crate::wait::Wake;

/// Handles kept besides those of unlinked files; well under the gofer's descriptor limit.
const MAX_HANDLES: usize = 8192;
/// Donated descriptors kept besides those mapped; well under our own limit.
const MAX_DONATED: usize = 512;
/// Candidates looked at to make room for one.
const TRIES: usize = 8;
/// Batches of events taken at once.
const MAX_BATCHES: usize = 64;

/// A session with a gofer.
pub struct Session {
    client: Arc<Client>,
    /// Events may be waiting. Without a kernel to tell, always assumed.
    pending: AtomicBool,
    watch: OnceLock<WatchedFd>,
    watched: Mutex<HashMap<Handle, Weak<GoferInode>>>,
    /// Numbers changes by others.
    epoch: AtomicU64,
    handles: Mutex<VecDeque<Weak<GoferInode>>>,
    donated: Mutex<VecDeque<Weak<GoferInode>>>,
}

impl Wake for Session {
    fn wake(&self, _events: PollEvents) -> bool {
        // Taken by whoever next relies on a cached answer.
        self.pending.store(true, Ordering::Release);
        true
    }
}

impl Session {
    /// A session whose events are asked for at each use (for tests).
    pub fn new(client: Arc<Client>) -> Arc<Session> {
        Arc::new(Session {
            client,
            pending: AtomicBool::new(true),
            watch: OnceLock::new(),
            watched: Mutex::default(),
            epoch: AtomicU64::new(1),
            handles: Mutex::default(),
            donated: Mutex::default(),
        })
    }

    /// A session whose events the kernel's workers notice.
    pub fn with_kernel(kernel: &Arc<Kernel>, client: Arc<Client>) -> Arc<Session> {
        let session = Session::new(client);
        let wake: Weak<dyn Wake> = Arc::downgrade(&(session.clone() as Arc<dyn Wake>));
        if let Ok(fd) = session.client.event_fd().try_clone_to_owned() {
            let _ = session.watch.set(WatchedFd::new(kernel, fd, wake));
        }
        session
    }

    /// The gofer.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A lookup that makes room when the gofer has no more handles to give.
    pub(super) fn lookup(&self, dir: Handle, name: &[u8]) -> Result<(Handle, Attr)> {
        match self.client.lookup(dir, name) {
            Err(Errno::ENFILE) => {
                for _ in 0..MAX_HANDLES / 2 {
                    self.shrink_handles();
                }
                self.client.flush_forgotten();
                self.client.lookup(dir, name)
            }
            other => other,
        }
    }

    /// A number for a change by others, larger than any before.
    pub(super) fn next_epoch(&self) -> u64 {
        self.epoch.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes in what others have changed, if anything was told. Must be called before a
    /// cached answer is relied on.
    pub(super) fn drain(&self) {
        if !self.pending.load(Ordering::Acquire) {
            return;
        }
        // Armed before reading, so that what comes meanwhile is told again.
        let told = self.watch.get().is_some_and(|watch| {
            self.pending.store(false, Ordering::Release);
            watch.arm()
        });
        if !told {
            self.pending.store(true, Ordering::Release);
        }
        for _ in 0..MAX_BATCHES {
            let events = self.client.poll_events();
            if events.is_empty() {
                return;
            }
            for event in events {
                self.apply(&event);
            }
        }
        self.pending.store(true, Ordering::Release);
    }

    fn apply(&self, event: &WatchEvent) {
        if event.kind == WatchKind::Overflow {
            let all: Vec<_> = self.watched.lock().values().cloned().collect();
            for dir in all.iter().filter_map(Weak::upgrade) {
                dir.changed_by_others();
                dir.stale();
            }
            return;
        }
        let dir = self
            .watched
            .lock()
            .get(&event.handle)
            .and_then(Weak::upgrade);
        let Some(dir) = dir else { return };
        match event.kind {
            WatchKind::Attributes => dir.attributes_changed(&event.name),
            WatchKind::Entries => {
                dir.changed_by_others();
                dir.stale();
            }
            _ => {
                self.unwatch(event.handle);
                dir.forget_listing();
                dir.stale();
            }
        }
    }

    /// The gofer tells changes of `dir` under this handle.
    pub(super) fn watch(&self, handle: Handle, dir: &Arc<GoferInode>) {
        self.watched.lock().insert(handle, Arc::downgrade(dir));
    }

    /// It does not any more.
    pub(super) fn unwatch(&self, handle: Handle) {
        self.watched.lock().remove(&handle);
    }

    /// An inode has got a handle: room is made by taking another's.
    pub(super) fn handle_kept(&self, inode: Weak<GoferInode>) {
        let over = {
            let mut handles = self.handles.lock();
            handles.push_back(inode);
            handles.len() > MAX_HANDLES
        };
        if over {
            self.shrink_handles();
        }
    }

    fn shrink_handles(&self) {
        for _ in 0..TRIES {
            let Some(oldest) = self.handles.lock().pop_front() else {
                return;
            };
            let Some(inode) = oldest.upgrade() else {
                return;
            };
            if inode.release_handle() {
                return;
            }
            self.handles.lock().push_back(oldest);
        }
    }

    /// An inode has got a donated descriptor: room is made by closing another's.
    pub(super) fn descriptor_kept(&self, inode: Weak<GoferInode>) {
        {
            let mut donated = self.donated.lock();
            donated.push_back(inode);
            if donated.len() <= MAX_DONATED {
                return;
            }
        }
        self.shrink_donated();
    }

    /// Closes one donated descriptor that can be had again.
    pub(super) fn shrink_donated(&self) {
        for _ in 0..TRIES {
            let Some(oldest) = self.donated.lock().pop_front() else {
                return;
            };
            let Some(inode) = oldest.upgrade() else {
                return;
            };
            if inode.data.release() {
                return;
            }
            self.donated.lock().push_back(oldest);
        }
    }
}
