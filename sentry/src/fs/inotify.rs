//! Watching files (`inotify(7)`).
//!
//! Watches hang on inodes, in a [`WatchSet`]; an [`Inotify`] is the queue they report to.
//! The VFS calls [`event`], [`dir_event`] and [`inode_event`] where something happens; each
//! first looks at the super block's flag, so that nothing is paid while nobody watches.
//! Lock rank: watch sets above queues, both leaves otherwise.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::fs::PollEvents;

use super::dnotify;
use super::file::{File, FileOps, IoCx, OpenFlags};
use super::vfs::{FileType, Inode, Path};
use crate::io::IoDst;
use crate::sync::Mutex;
use crate::wait::Pollee;
use crate::{Result, SysResult};

bitflags::bitflags! {
    /// Events and flags of a watch, in the bits of `inotify(7)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Mask: u32 {
        /// `IN_ACCESS`.
        const ACCESS = 1;
        /// `IN_MODIFY`.
        const MODIFY = 2;
        /// `IN_ATTRIB`.
        const ATTRIB = 4;
        /// `IN_CLOSE_WRITE`.
        const CLOSE_WRITE = 8;
        /// `IN_CLOSE_NOWRITE`.
        const CLOSE_NOWRITE = 0x10;
        /// `IN_OPEN`.
        const OPEN = 0x20;
        /// `IN_MOVED_FROM`.
        const MOVED_FROM = 0x40;
        /// `IN_MOVED_TO`.
        const MOVED_TO = 0x80;
        /// `IN_CREATE`.
        const CREATE = 0x100;
        /// `IN_DELETE`.
        const DELETE = 0x200;
        /// `IN_DELETE_SELF`.
        const DELETE_SELF = 0x400;
        /// `IN_MOVE_SELF`.
        const MOVE_SELF = 0x800;
        /// `IN_UNMOUNT`.
        const UNMOUNT = 0x2000;
        /// `IN_Q_OVERFLOW`.
        const Q_OVERFLOW = 0x4000;
        /// `IN_IGNORED`.
        const IGNORED = 0x8000;
        /// `IN_ONLYDIR`.
        const ONLYDIR = 0x0100_0000;
        /// `IN_DONT_FOLLOW`.
        const DONT_FOLLOW = 0x0200_0000;
        /// `IN_EXCL_UNLINK`.
        const EXCL_UNLINK = 0x0400_0000;
        /// `IN_MASK_CREATE`.
        const MASK_CREATE = 0x1000_0000;
        /// `IN_MASK_ADD`.
        const MASK_ADD = 0x2000_0000;
        /// `IN_ISDIR`.
        const ISDIR = 0x4000_0000;
        /// `IN_ONESHOT`.
        const ONESHOT = 0x8000_0000;
    }
}

impl Mask {
    /// What can be asked for.
    pub const EVENTS: Mask = Mask::from_bits_retain(0xfff);
}

/// Most events waiting (`max_queued_events`).
const MAX_EVENTS: usize = 16384;
/// Most watches of an instance.
const MAX_WATCHES: usize = 1 << 16;
/// Bytes of `struct inotify_event` before the name.
const HEADER: usize = 16;
/// `FIONREAD`.
const FIONREAD: u32 = 0x541b;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    wd: i32,
    mask: u32,
    cookie: u32,
    name: Vec<u8>,
}

impl Event {
    fn name_len(&self) -> usize {
        match self.name.len() {
            0 => 0,
            n => (n + 1).next_multiple_of(HEADER),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let len = self.name_len();
        out.extend_from_slice(&self.wd.to_ne_bytes());
        out.extend_from_slice(&self.mask.to_ne_bytes());
        out.extend_from_slice(&self.cookie.to_ne_bytes());
        out.extend_from_slice(&u32::try_from(len).unwrap_or(0).to_ne_bytes());
        let end = out.len() + len;
        out.extend_from_slice(&self.name);
        out.resize(end, 0);
    }
}

/// A watch as the inode knows it.
struct Watch {
    queue: Weak<Inotify>,
    wd: i32,
    mask: Mask,
}

/// The watches of an inode.
#[derive(Default)]
pub struct WatchSet(Mutex<Vec<Watch>>);

/// A queue of events (`inotify_init(2)`).
#[derive(Default)]
pub struct Inotify {
    events: Mutex<VecDeque<Event>>,
    watches: Mutex<Watches>,
    pollee: Pollee,
}

#[derive(Default)]
struct Watches {
    inodes: HashMap<i32, Arc<dyn Inode>>,
    last: i32,
}

/// An open inotify instance.
pub struct InotifyFile(Arc<Inotify>);

impl InotifyFile {
    /// A new instance as an open description.
    pub fn open(flags: OpenFlags) -> Arc<File> {
        let ops = Arc::new(InotifyFile(Arc::default()));
        File::anonymous(ops, flags & OpenFlags::NONBLOCK)
    }

    /// `inotify_add_watch(2)` on a place that was found: the watch descriptor. `EEXIST`
    /// under `IN_MASK_CREATE`, `ENOSPC`.
    pub fn add(&self, path: &Path, mask: Mask) -> Result<i32> {
        let inode = path.inode()?;
        path.mount.sb.watched.store(true, Ordering::SeqCst);
        let set = inode.extra().get_or_insert(WatchSet::default);
        let mut list = set.0.lock();
        let own = |w: &&mut Watch| std::ptr::eq(w.queue.as_ptr(), Arc::as_ptr(&self.0));
        let keep = Mask::EVENTS | Mask::EXCL_UNLINK | Mask::ONESHOT;
        if let Some(there) = list.iter_mut().find(own) {
            if mask.contains(Mask::MASK_CREATE) {
                return Err(Errno::EEXIST);
            }
            there.mask = if mask.contains(Mask::MASK_ADD) {
                there.mask | (mask & keep)
            } else {
                mask & keep
            };
            return Ok(there.wd);
        }
        let mut watches = self.0.watches.lock();
        if watches.inodes.len() >= MAX_WATCHES {
            return Err(Errno::ENOSPC);
        }
        watches.last = watches.last.checked_add(1).ok_or(Errno::ENOSPC)?;
        let wd = watches.last;
        watches.inodes.insert(wd, inode.clone());
        drop(watches);
        list.push(Watch {
            queue: Arc::downgrade(&self.0),
            wd,
            mask: mask & keep,
        });
        Ok(wd)
    }

    /// `inotify_rm_watch(2)`: `EINVAL`.
    pub fn remove(&self, wd: i32) -> Result<()> {
        let inode = self.0.watches.lock().inodes.remove(&wd);
        let inode = inode.ok_or(Errno::EINVAL)?;
        self.0.forget(&inode, wd);
        self.0.push(wd, Mask::IGNORED.bits(), 0, b"");
        Ok(())
    }
}

impl Inotify {
    /// Takes the watch off the inode.
    fn forget(&self, inode: &Arc<dyn Inode>, wd: i32) {
        if let Some(set) = inode.extra().get::<WatchSet>() {
            let own = |w: &Watch| std::ptr::eq(w.queue.as_ptr(), self);
            set.0.lock().retain(|w| !(own(w) && w.wd == wd));
        }
    }

    fn push(&self, wd: i32, mask: u32, cookie: u32, name: &[u8]) {
        let event = Event {
            wd,
            mask,
            cookie,
            name: name.to_vec(),
        };
        let mut events = self.events.lock();
        if events.back() == Some(&event) {
            return;
        }
        if events.len() >= MAX_EVENTS {
            let overflow = Event {
                wd: -1,
                mask: Mask::Q_OVERFLOW.bits(),
                cookie: 0,
                name: Vec::new(),
            };
            if events.back() != Some(&overflow) {
                events.push_back(overflow);
            }
        } else {
            events.push_back(event);
        }
        drop(events);
        self.pollee.notify(PollEvents::IN | PollEvents::RDNORM);
    }

    /// A watch ended by itself: the inode is gone, or one event was enough.
    fn ended(&self, wd: i32) {
        let inode = self.watches.lock().inodes.remove(&wd);
        self.push(wd, Mask::IGNORED.bits(), 0, b"");
        drop(inode);
    }
}

impl Drop for Inotify {
    fn drop(&mut self) {
        let watches = std::mem::take(&mut self.watches.get_mut().inodes);
        for (wd, inode) in watches {
            self.forget(&inode, wd);
        }
    }
}

impl FileOps for InotifyFile {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn signals_io(&self) -> bool {
        true
    }
    fn read(&self, _cx: &IoCx<'_>, dst: &mut dyn IoDst, _pos: u64) -> Result<usize> {
        let mut room = dst.remaining();
        let mut out = Vec::new();
        let mut events = self.0.events.lock();
        if events.is_empty() {
            return Err(Errno::EAGAIN);
        }
        while let Some(event) = events.front() {
            let len = HEADER + event.name_len();
            if len > room {
                break;
            }
            event.encode(&mut out);
            room -= len;
            events.pop_front();
        }
        drop(events);
        if out.is_empty() {
            return Err(Errno::EINVAL);
        }
        dst.put(&out)
    }
    fn poll(&self, _cx: &IoCx<'_>) -> PollEvents {
        if self.0.events.lock().is_empty() {
            return PollEvents::empty();
        }
        PollEvents::IN | PollEvents::RDNORM
    }
    fn pollee(&self) -> Option<&Pollee> {
        Some(&self.0.pollee)
    }
    fn ioctl(&self, cx: &IoCx<'_>, request: u32, arg: u64) -> SysResult<i64> {
        let (FIONREAD, Some(task)) = (request, cx.task) else {
            return Err(Errno::ENOTTY.into());
        };
        let bytes: usize = {
            let events = self.0.events.lock();
            events.iter().map(|e| HEADER + e.name_len()).sum()
        };
        let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        task.mm()
            .copy_out(arg, &bytes.to_ne_bytes())
            .map_err(Errno::from)?;
        Ok(0)
    }
    fn description(&self) -> String {
        "anon_inode:inotify".to_owned()
    }
    fn fdinfo(&self, _pids: &crate::task::PidNamespace) -> String {
        let watches = self.0.watches.lock();
        let mut list: Vec<_> = watches.inodes.iter().collect();
        list.sort_by_key(|(wd, _)| **wd);
        list.iter()
            .map(|(wd, inode)| {
                let ino = inode.attr().map_or(0, |a| a.ino);
                format!("inotify wd:{wd:x} ino:{ino:x} sdev:{:x}\n", inode.dev())
            })
            .collect()
    }
}

/// Tells the watches of `inode`.
fn tell(inode: &Arc<dyn Inode>, mask: Mask, name: &[u8], cookie: u32, unlinked: bool) {
    dnotify::tell(inode, mask);
    let Some(set) = inode.extra().get::<WatchSet>() else {
        return;
    };
    let event = mask & (Mask::EVENTS | Mask::UNMOUNT);
    let mask = if event.intersects(Mask::MOVE_SELF | Mask::DELETE_SELF) {
        mask - Mask::ISDIR
    } else {
        mask
    };
    let mut found = Vec::new();
    set.0.lock().retain(|w| {
        let hit = w.mask.intersects(event) || event.contains(Mask::UNMOUNT);
        if !hit || (unlinked && w.mask.contains(Mask::EXCL_UNLINK)) {
            return true;
        }
        let once = w.mask.contains(Mask::ONESHOT);
        found.push((w.queue.clone(), w.wd, once));
        !once
    });
    for (queue, wd, once) in found {
        if let Some(queue) = queue.upgrade() {
            queue.push(wd, mask.bits(), cookie, name);
            if once {
                queue.ended(wd);
            }
        }
    }
}

fn watched(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Relaxed)
}

fn with_dir(inode: &Arc<dyn Inode>, mask: Mask) -> Mask {
    if inode.kind() == FileType::Directory {
        mask | Mask::ISDIR
    } else {
        mask
    }
}

/// Something happened to the file at `path`: its own watches and its directory's hear.
pub fn event(path: &Path, mask: Mask) {
    if !watched(&path.mount.sb.watched) {
        return;
    }
    let Some(inode) = path.dentry.inode() else {
        return;
    };
    let mask = with_dir(&inode, mask);
    if let Some((parent, name)) = path.dentry.place()
        && let Some(dir) = parent.inode()
    {
        tell(&dir, mask, &name, 0, path.dentry.is_dead());
    }
    tell(&inode, mask, b"", 0, false);
}

/// A name in the directory at `dir` came, went or moved.
pub fn dir_event(dir: &Path, name: &[u8], mask: Mask, cookie: u32) {
    if watched(&dir.mount.sb.watched)
        && let Some(inode) = dir.dentry.inode()
    {
        tell(&inode, mask, name, cookie, false);
    }
}

/// Something happened to a file whatever its name.
pub fn inode_event(inode: &Arc<dyn Inode>, mask: Mask) {
    tell(inode, with_dir(inode, mask), b"", 0, false);
}

/// The last reference to a removed name is gone; when it was the file's last name, its
/// watches end.
pub fn gone(inode: &Arc<dyn Inode>) {
    let Some(set) = inode.extra().get::<WatchSet>() else {
        return;
    };
    if inode.attr().is_ok_and(|a| a.nlink > 0) {
        return;
    }
    tell(inode, Mask::DELETE_SELF, b"", 0, false);
    let list = std::mem::take(&mut *set.0.lock());
    for watch in list {
        if let Some(queue) = watch.queue.upgrade() {
            queue.ended(watch.wd);
        }
    }
}
