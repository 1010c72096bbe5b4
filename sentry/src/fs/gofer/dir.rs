//! What a directory knows of its names: the listing.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use abi::Errno;

use super::Key;
use super::handle::Held;
use super::inode::{GoferInode, Place};
use crate::Result;
use crate::fs::file::{FileOps, IoCx, Whence};
use crate::fs::vfs::{DirEntry, DirSink, FileType};
use crate::io::IoDst;
use crate::sync::Mutex;

/// Listings that overlap with changes are read again this often.
const ATTEMPTS: usize = 4;

/// What a listing says of a name.
#[derive(Clone)]
pub(super) struct Entry {
    key: Key,
    kind: Option<FileType>,
    /// Attributes nobody has taken yet; afterwards the inode has them.
    attr: Option<gofer::Attr>,
    /// Place in the host's own order; names made since come last.
    order: usize,
}

type Names = BTreeMap<Arc<[u8]>, Entry>;

#[derive(Default)]
struct State {
    names: Option<Names>,
    /// Counts changes, so that a listing read meanwhile is not taken for the truth.
    changes: u64,
}

/// A directory's part of an inode.
#[derive(Default)]
pub(super) struct Dir {
    state: Mutex<State>,
    watched: AtomicBool,
    epoch: AtomicU64,
}

impl Dir {
    /// Rises with every change by others.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Whether changes by others would be told.
    pub fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Acquire)
    }

    fn drop_names(&self) {
        let mut state = self.state.lock();
        state.changes += 1;
        let names = state.names.take();
        drop(state);
        drop(names);
    }
}

/// What the listing says.
enum Known {
    Entry(Entry),
    Absent,
    Unlisted,
}

/// What a lookup that did not ask found.
pub(super) enum Found {
    /// This file.
    Inode(Arc<GoferInode>),
    /// Nothing of that name.
    Absent,
    /// The gofer must be asked for the one name.
    Ask,
}

impl GoferInode {
    /// Others have changed this directory: the listing does not hold.
    pub(super) fn changed_by_others(&self) {
        self.dir.drop_names();
        let epoch = self.fs.session.next_epoch();
        self.dir.epoch.store(epoch, Ordering::Release);
    }

    /// Forgets the listing and that it is watched.
    pub(super) fn forget_listing(&self) {
        self.dir.watched.store(false, Ordering::Release);
        self.changed_by_others();
    }

    /// Others have changed attributes of a name, or (empty) of the directory itself.
    pub(super) fn attributes_changed(&self, name: &[u8]) {
        if name.is_empty() {
            return self.stale();
        }
        let mut state = self.dir.state.lock();
        let entry = state.names.as_mut().and_then(|n| n.get_mut(name));
        let key = entry.map(|e| {
            e.attr = None;
            e.key
        });
        drop(state);
        if let Some(inode) = key.and_then(|k| self.fs.known(k)) {
            inode.stale();
        }
    }

    fn me(&self) -> Result<Arc<GoferInode>> {
        self.weak.upgrade().ok_or(Errno::ESTALE)
    }

    fn listed(&self, name: &[u8]) -> Known {
        let state = self.dir.state.lock();
        match &state.names {
            None => Known::Unlisted,
            Some(names) => match names.get(name) {
                Some(entry) => Known::Entry(entry.clone()),
                None => Known::Absent,
            },
        }
    }

    /// Reads the listing if it is not there; false when this directory cannot be cached.
    fn ensure_listed(&self) -> Result<bool> {
        if !self.fs.exclusive || self.is_removed() {
            return Ok(false);
        }
        self.fs.session.drain();
        for _ in 0..ATTEMPTS {
            let before = {
                let state = self.dir.state.lock();
                if state.names.is_some() {
                    return Ok(true);
                }
                state.changes
            };
            let held = self.handle()?;
            self.fs.session.watch(held.handle(), &self.me()?);
            let client = self.fs.session.client();
            let list = client.read_dir(held.handle(), true, true)?;
            if !list.watched {
                self.fs.session.unwatch(held.handle());
                return Ok(false);
            }
            let names = names_of(list.entries, self.key.0);
            // While nobody watched, others may have changed what we know of the files.
            for inode in names.values().filter_map(|e| self.fs.known(e.key)) {
                inode.stale();
            }
            let mut state = self.dir.state.lock();
            if state.changes == before {
                state.names = Some(names);
                self.dir.watched.store(true, Ordering::Release);
                drop(state);
                self.learn(&list.attr);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Looks a name up without asking for it alone, if possible.
    pub(super) fn find_cached(&self, name: &[u8]) -> Result<Found> {
        if !self.ensure_listed()? {
            return Ok(Found::Ask);
        }
        let entry = match self.listed(name) {
            Known::Absent => return Ok(Found::Absent),
            Known::Unlisted => return Ok(Found::Ask),
            Known::Entry(entry) => entry,
        };
        if let Some(inode) = self.fs.known(entry.key) {
            let same = entry.attr.is_none_or(|a| inode.is_same(&a));
            if same && entry.kind.is_none_or(|k| k == inode.file_type) {
                inode.set_place(self.place_of(name)?);
                return Ok(Found::Inode(inode));
            }
        }
        // With several names the attributes may be older than what was done by another.
        let usable = entry
            .attr
            .filter(|a| a.nlink == 1 || entry.kind == Some(FileType::Directory));
        let Some(attr) = usable else {
            return Ok(Found::Ask);
        };
        let inode = self.fs.inode(&attr, None, Some(self.place_of(name)?))?;
        self.take_attr(name);
        Ok(Found::Inode(inode))
    }

    /// The inode has the attributes now; when it goes, the gofer is asked again.
    fn take_attr(&self, name: &[u8]) {
        let mut state = self.dir.state.lock();
        if let Some(entry) = state.names.as_mut().and_then(|n| n.get_mut(name)) {
            entry.attr = None;
        }
    }

    /// Asks the gofer for one name.
    pub(super) fn find_asking(&self, name: &[u8]) -> Result<Arc<GoferInode>> {
        let held = self.handle()?;
        let (handle, attr) = self.fs.session.lookup(held.handle(), name)?;
        let held = Held::new(&self.fs.session, handle);
        let inode = self
            .fs
            .inode(&attr, Some(held), Some(self.place_of(name)?))?;
        let mut state = self.dir.state.lock();
        if let Some(entry) = state.names.as_mut().and_then(|n| n.get_mut(name)) {
            *entry = Entry::of(&inode);
        }
        Ok(inode)
    }

    pub(super) fn place_of(&self, name: &[u8]) -> Result<Place> {
        Ok(Place {
            dir: self.me()?,
            name: name.into(),
        })
    }

    /// An own change is about to be asked for: a listing read from now on may miss it.
    pub(super) fn changing(&self) {
        self.dir.state.lock().changes += 1;
    }

    /// An own change is done: `name` now means `inode`, or nothing.
    pub(super) fn changed(&self, name: &[u8], inode: Option<&Arc<GoferInode>>) {
        let mut state = self.dir.state.lock();
        state.changes += 1;
        if let Some(names) = &mut state.names {
            match inode {
                Some(inode) => {
                    names.insert(name.into(), Entry::of(inode));
                }
                None => {
                    names.remove(name);
                }
            }
        }
        drop(state);
        self.stale();
    }

    /// A directory just made is known to be empty, and watched if the gofer says so.
    pub(super) fn starts_empty(self: &Arc<GoferInode>, watched: bool) {
        if !watched || !self.fs.exclusive {
            return;
        }
        if let Some(held) = self.held() {
            self.fs.session.watch(held.handle(), self);
            self.dir.state.lock().names = Some(Names::new());
            self.dir.watched.store(true, Ordering::Release);
        }
    }

    /// Whether the cached answer for `name` (`child`, or nothing) still holds.
    pub(super) fn still_means(&self, name: &[u8], child: Option<&GoferInode>) -> bool {
        self.fs.session.drain();
        if self.fs.exclusive && self.dir.is_watched() {
            match child {
                Some(child) if child.seen_in(self) => return true,
                None if matches!(self.listed(name), Known::Absent) => return true,
                _ => {}
            }
        }
        match self.find_cached(name) {
            Ok(Found::Inode(now)) => {
                let same = child.is_some_and(|c| std::ptr::eq(c, &*now));
                if same {
                    now.see_in(self);
                }
                return same;
            }
            Ok(Found::Absent) => return child.is_none(),
            Ok(Found::Ask) => {}
            Err(_) => return false,
        }
        match self.find_asking(name) {
            Ok(now) => child.is_some_and(|c| std::ptr::eq(c, &*now)),
            Err(Errno::ENOENT) => child.is_none(),
            Err(_) => false,
        }
    }

    /// All names at this moment, in the host's order.
    fn snapshot(&self) -> Result<Vec<Listed>> {
        if self.ensure_listed()? {
            let state = self.dir.state.lock();
            if let Some(names) = &state.names {
                let mut all: Vec<_> = names.iter().collect();
                all.sort_by_key(|(_, e)| e.order);
                let listed = |(name, e): (&Arc<[u8]>, &Entry)| Listed {
                    name: name.clone(),
                    ino: e.key.1,
                    kind: e.kind,
                };
                return Ok(all.into_iter().map(listed).collect());
            }
        }
        let held = self.handle()?;
        let list = self
            .fs
            .session
            .client()
            .read_dir(held.handle(), false, false)?;
        let all = list.entries.into_iter().map(|e| Listed {
            name: e.name.into(),
            ino: e.ino,
            kind: FileType::from_mode(u32::from(e.dtype) << 12),
        });
        Ok(all.collect())
    }
}

impl Entry {
    fn of(inode: &GoferInode) -> Entry {
        Entry {
            key: inode.key,
            kind: Some(inode.file_type),
            attr: None,
            order: usize::MAX,
        }
    }
}

fn names_of(entries: Vec<gofer::Dirent>, dev: u64) -> Names {
    let entry = |(order, e): (usize, gofer::Dirent)| {
        let key = e.attr.map_or((dev, e.ino), |a| (a.dev, a.ino));
        let known = Entry {
            key,
            kind: FileType::from_mode(u32::from(e.dtype) << 12),
            attr: e.attr,
            order,
        };
        (Arc::from(e.name), known)
    };
    entries.into_iter().enumerate().map(entry).collect()
}

/// A name as an open directory shows it.
struct Listed {
    name: Arc<[u8]>,
    ino: u64,
    kind: Option<FileType>,
}

/// An open directory. It shows the names of the moment it was opened or rewound.
pub(super) struct OpenDir {
    inode: Arc<GoferInode>,
    names: Mutex<Option<Arc<Vec<Listed>>>>,
}

impl OpenDir {
    pub fn new(inode: Arc<GoferInode>) -> OpenDir {
        OpenDir {
            inode,
            names: Mutex::new(None),
        }
    }

    fn names(&self, fresh: bool) -> Result<Arc<Vec<Listed>>> {
        if !fresh && let Some(names) = &*self.names.lock() {
            return Ok(names.clone());
        }
        let names = Arc::new(self.inode.snapshot()?);
        *self.names.lock() = Some(names.clone());
        Ok(names)
    }

    /// The number `..` shows.
    fn parent_ino(&self) -> u64 {
        let place = self.inode.place();
        place.map_or(self.inode.key.1, |p| p.dir.key.1)
    }
}

impl FileOps for OpenDir {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn read(&self, _cx: &IoCx<'_>, _dst: &mut dyn IoDst, _pos: u64) -> Result<usize> {
        Err(Errno::EISDIR)
    }
    fn seekable(&self) -> bool {
        true
    }
    fn seek(&self, _cx: &IoCx<'_>, cur: u64, offset: i64, whence: Whence) -> Result<u64> {
        let base = match whence {
            Whence::Set => 0,
            Whence::Cur => cur,
            _ => return Err(Errno::EINVAL),
        };
        base.checked_add_signed(offset)
            .filter(|p| i64::try_from(*p).is_ok())
            .ok_or(Errno::EINVAL)
    }
    fn read_dir(&self, _cx: &IoCx<'_>, pos: &mut u64, sink: &mut dyn DirSink) -> Result<()> {
        if self.inode.is_removed() {
            return Err(Errno::ENOENT);
        }
        let names = self.names(*pos == 0)?;
        let dots: [(&[u8], u64); 2] = [(b".", self.inode.key.1), (b"..", self.parent_ino())];
        let dots = dots
            .into_iter()
            .map(|(name, ino)| (name, ino, Some(FileType::Directory)));
        let skip = usize::try_from(*pos).unwrap_or(usize::MAX);
        let rest = names.get(skip.saturating_sub(2)..).unwrap_or_default();
        let rest = rest.iter().map(|l| (&*l.name, l.ino, l.kind));
        for (name, ino, kind) in dots.skip(skip).chain(rest) {
            let next = pos.saturating_add(1);
            let entry = DirEntry {
                name,
                ino,
                kind,
                next,
            };
            if !sink.entry(entry) {
                return Ok(());
            }
            *pos = next;
        }
        Ok(())
    }
    fn sync(&self, _cx: &IoCx<'_>, data_only: bool) -> Result<()> {
        let held = self.inode.handle()?;
        self.inode
            .fs
            .session
            .client()
            .fsync(held.handle(), data_only)
    }
}
