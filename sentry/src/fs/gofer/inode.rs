//! A file of the host: its attributes, its place, its handle.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use gofer::Attr as HostAttr;

use super::data::Data;
use super::dir::Dir;
use super::handle::Held;
use super::{Key, Shared};
use crate::Result;
use crate::fs::vfs::acl::{Acl, AclKind};
use crate::fs::vfs::{Attr, FileTime, FileType, InodeExtra};
use crate::sync::Mutex;

/// A name the file had when last looked at: enough to find it again.
#[derive(Clone)]
pub(super) struct Place {
    /// The directory.
    pub dir: Arc<GoferInode>,
    /// The name in it.
    pub name: Arc<[u8]>,
}

/// How far what is known of a file no longer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stale {
    /// It holds.
    No,
    /// We have read or written data: size, blocks, times and set-id bits may differ, which a
    /// donated descriptor tells.
    Data,
    /// Anything may differ.
    All,
}

/// What is known of the file.
struct Meta {
    attr: HostAttr,
    stale: Stale,
    /// Value of an extended attribute that was asked for, or that there is none.
    xattr: Option<(Vec<u8>, Option<Vec<u8>>)>,
    /// Access control lists as they were at a time of change: access, default.
    acls: [KnownAcl; 2],
}

/// What was heard of a list: the file's change time then, and the list if there was one.
type KnownAcl = Option<(gofer::Time, Option<Arc<Acl>>)>;

/// A file of the host.
pub struct GoferInode {
    pub(super) weak: Weak<GoferInode>,
    pub(super) fs: Arc<Shared>,
    pub(super) key: Key,
    pub(super) file_type: FileType,
    meta: Mutex<Meta>,
    place: Mutex<Option<Place>>,
    held: Mutex<Option<Arc<Held>>>,
    removed: AtomicBool,
    /// The epoch of the directory in which it was last found.
    seen: AtomicU64,
    /// What a directory knows of its names.
    pub(super) dir: Dir,
    /// Descriptors of a regular file.
    pub(super) data: Data,
    /// The text of a symbolic link, in exclusive mode.
    pub(super) target: Mutex<Option<Vec<u8>>>,
    pub(super) extra: InodeExtra,
}

impl GoferInode {
    /// `None` for attributes that name no type.
    pub(super) fn new(
        fs: &Arc<Shared>,
        attr: &HostAttr,
        held: Option<Arc<Held>>,
        place: Option<Place>,
    ) -> Option<Arc<GoferInode>> {
        let file_type = FileType::from_mode(attr.mode)?;
        let kept = held.is_some();
        let inode = Arc::new_cyclic(|weak| GoferInode {
            weak: weak.clone(),
            fs: fs.clone(),
            key: (attr.dev, attr.ino),
            file_type,
            meta: Mutex::new(Meta {
                attr: *attr,
                stale: Stale::No,
                xattr: None,
                acls: [None, None],
            }),
            removed: AtomicBool::new(false),
            seen: AtomicU64::new(place.as_ref().map_or(0, |p| p.dir.dir.epoch())),
            place: Mutex::new(place),
            held: Mutex::new(held),
            dir: Dir::default(),
            data: Data::default(),
            target: Mutex::new(None),
            extra: InodeExtra::default(),
        });
        if kept {
            fs.session.handle_kept(inode.weak.clone());
        }
        Some(inode)
    }

    /// Whether these can be attributes of this very file: not of one that got its number
    /// after it was gone.
    pub(super) fn is_same(&self, attr: &HostAttr) -> bool {
        let born = self.meta.lock().attr.btime;
        FileType::from_mode(attr.mode) == Some(self.file_type)
            && (born == attr.btime || born == gofer::Time::default())
    }

    /// It was found once more, perhaps under another name.
    pub(super) fn found_again(
        &self,
        attr: &HostAttr,
        held: Option<Arc<Held>>,
        place: Option<Place>,
    ) {
        self.learn(attr);
        if let Some(place) = place {
            self.set_place(place);
        }
        if let Some(held) = held {
            self.keep(held);
        }
    }

    /// The host has just said this.
    pub(super) fn learn(&self, attr: &HostAttr) {
        let mut meta = self.meta.lock();
        let btime = meta.attr.btime;
        meta.attr = *attr;
        if attr.btime == gofer::Time::default() {
            meta.attr.btime = btime;
        }
        meta.stale = Stale::No;
    }

    /// A donated descriptor has said this. Its owner is told in the terms of this process's
    /// own user namespace, so that stays what the gofer said.
    fn learn_data(&self, attr: &HostAttr) -> HostAttr {
        let mut meta = self.meta.lock();
        let (uid, gid, btime) = (meta.attr.uid, meta.attr.gid, meta.attr.btime);
        meta.attr = HostAttr {
            uid,
            gid,
            btime,
            ..*attr
        };
        meta.stale = Stale::No;
        meta.attr
    }

    /// The attributes have changed, in ways only the host knows.
    pub(super) fn stale(&self) {
        let mut meta = self.meta.lock();
        meta.stale = Stale::All;
        meta.xattr = None;
        meta.acls = [None, None];
    }

    /// Data was written: up to `end`, if that can be past the former end.
    pub(super) fn written(&self, end: u64) {
        let mut meta = self.meta.lock();
        meta.attr.size = meta.attr.size.max(end);
        meta.stale = meta.stale.max(Stale::Data);
    }

    /// The size was set.
    pub(super) fn resized(&self, size: u64) {
        let mut meta = self.meta.lock();
        let old = std::mem::replace(&mut meta.attr.size, size);
        meta.stale = meta.stale.max(Stale::Data);
        drop(meta);
        self.cut(old, size);
    }

    /// Nothing past the end of a file that became shorter stays mapped, nor do copies of it.
    pub(super) fn cut(&self, old: u64, size: u64) {
        if size < old
            && let Some(end) = size.checked_next_multiple_of(abi::PAGE_SIZE)
        {
            self.data.mappers.truncate(end);
        }
    }

    /// Size as last heard of.
    pub(super) fn known_size(&self) -> u64 {
        self.meta.lock().attr.size
    }

    /// The permission bits, if the host would take set-id bits off them at a write.
    pub(super) fn set_id_perm(&self) -> Option<u32> {
        let perm = self.meta.lock().attr.mode & 0o7777;
        (perm & 0o4000 != 0 || perm & 0o2010 == 0o2010).then_some(perm)
    }

    /// The host takes the set-id bits off whatever is written to through a descriptor here.
    /// Whether they are to go was decided before the write: what is left comes back.
    pub(super) fn keep_set_id(&self) -> Result<()> {
        let Some(perm) = self.set_id_perm() else {
            return Ok(());
        };
        let held = self.handle()?;
        let set = gofer::SetAttr {
            mode: Some(perm),
            ..gofer::SetAttr::default()
        };
        let attr = self.fs.session.client().set_attr(held.handle(), set)?;
        self.learn(&attr);
        Ok(())
    }

    /// Data was read: the host may have renewed the access time.
    pub(super) fn accessed(&self) {
        let mut meta = self.meta.lock();
        let a = &meta.attr;
        if meta.stale == Stale::No && (a.atime <= a.mtime || a.atime <= a.ctime) {
            meta.stale = Stale::Data;
        }
    }

    /// One name less; the file is gone from the tree with its last one.
    pub(super) fn lost_name(&self, dir: &GoferInode, name: &[u8]) {
        let gone = {
            let mut meta = self.meta.lock();
            meta.stale = Stale::All;
            let left = meta.attr.nlink.saturating_sub(1);
            meta.attr.nlink = left;
            self.file_type == FileType::Directory || left == 0
        };
        let mut place = self.place.lock();
        let here = place
            .as_ref()
            .is_some_and(|p| std::ptr::eq(&*p.dir, dir) && *p.name == *name);
        let old = if here || gone { place.take() } else { None };
        drop(place);
        drop(old);
        if gone {
            self.meta.lock().attr.nlink = 0;
            self.removed.store(true, Ordering::Release);
            self.fs.forget(self.key, self);
        }
    }

    /// Whether its last name is gone.
    pub(super) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    /// It has a name (again).
    pub(super) fn set_place(&self, place: Place) {
        self.seen.store(place.dir.dir.epoch(), Ordering::Release);
        self.removed.store(false, Ordering::Release);
        let old = self.place.lock().replace(place);
        drop(old);
    }

    /// A name under which it was last found.
    pub(super) fn place(&self) -> Option<Place> {
        self.place.lock().clone()
    }

    /// Whether it was found in `dir` since others last changed that.
    pub(super) fn seen_in(&self, dir: &GoferInode) -> bool {
        self.seen.load(Ordering::Acquire) == dir.dir.epoch()
    }

    /// It was found in `dir` just now.
    pub(super) fn see_in(&self, dir: &GoferInode) {
        self.seen.store(dir.dir.epoch(), Ordering::Release);
    }

    /// The handle, if it has one.
    pub(super) fn held(&self) -> Option<Arc<Held>> {
        self.held.lock().clone()
    }

    /// Keeps a handle; the one to use (another may have been first).
    pub(super) fn keep(&self, held: Arc<Held>) -> Arc<Held> {
        let mut slot = self.held.lock();
        if let Some(first) = &*slot {
            return first.clone();
        }
        *slot = Some(held.clone());
        drop(slot);
        self.fs.session.handle_kept(self.weak.clone());
        held
    }

    pub(super) fn take_held(&self) -> Option<Arc<Held>> {
        self.held.lock().take()
    }

    /// Number of hard links as far as known.
    pub(super) fn links(&self) -> u32 {
        self.meta.lock().attr.nlink
    }

    /// Whether a cached answer about it holds: exclusive mode, unchanged, and somebody would
    /// have told a change by others.
    fn is_fresh(&self) -> bool {
        let fresh = self.meta.lock().stale == Stale::No && !self.data.is_stored_to();
        fresh && self.others_are_told()
    }

    /// Whether a change by others would have made the file stale.
    fn others_are_told(&self) -> bool {
        if !self.fs.exclusive {
            return false;
        }
        match &*self.place.lock() {
            Some(place) => place.dir.dir.is_watched(),
            None => true,
        }
    }

    /// Attributes, from the cache, a donated descriptor or the gofer.
    pub(super) fn host_attr(&self) -> Result<HostAttr> {
        self.fs.session.drain();
        if self.is_fresh() {
            return Ok(self.meta.lock().attr);
        }
        if let Some(attr) = self.look_at_data()? {
            return Ok(attr);
        }
        if self.is_removed() && self.held().is_none() {
            return Ok(self.meta.lock().attr);
        }
        let held = self.handle()?;
        let attr = self.fs.session.client().get_attr(held.handle())?;
        self.learn(&attr);
        Ok(attr)
    }

    /// Attributes by a donated descriptor, if it can tell all that may have changed: a
    /// change of owner by others shows in the change time.
    fn look_at_data(&self) -> Result<Option<HostAttr>> {
        let Some(fd) = self.data.any() else {
            return Ok(None);
        };
        let (stale, ctime) = {
            let meta = self.meta.lock();
            (meta.stale, meta.attr.ctime)
        };
        if stale == Stale::All {
            return Ok(None);
        }
        let attr = gofer::client::file::attr(fd.as_fd())?;
        // Some host file systems number an open file differently.
        let same = (attr.dev, attr.ino) == self.key;
        if same && (attr.ctime == ctime || self.others_are_told()) {
            return Ok(Some(self.learn_data(&attr)));
        }
        Ok(None)
    }

    /// Before the descriptor goes: attributes that it alone tells cheaply.
    pub(super) fn look_last(&self) {
        if self.meta.lock().stale == Stale::Data {
            let _ = self.look_at_data();
        }
    }

    /// The size, as cheaply as it can be had truly.
    pub(super) fn size_now(&self) -> u64 {
        let meta = self.meta.lock();
        let known = meta.attr.size;
        let holds = self.fs.exclusive && meta.stale == Stale::No;
        drop(meta);
        // Asked where the gofer cannot be: whatever is mapped has a descriptor.
        match self.data.any().filter(|_| !holds) {
            Some(fd) => gofer::client::file::attr(fd.as_fd()).map_or(known, |a| a.size),
            None => known,
        }
    }

    /// What was last answered for an extended attribute, if it still holds.
    pub(super) fn cached_xattr(&self, name: &[u8]) -> Option<Option<Vec<u8>>> {
        if !self.fs.exclusive {
            return None;
        }
        let meta = self.meta.lock();
        let (cached, value) = meta.xattr.as_ref()?;
        (cached == name).then(|| value.clone())
    }

    /// Remembers an answer, or (`None`) that nothing is known.
    pub(super) fn cache_xattr(&self, answer: Option<(&[u8], Option<Vec<u8>>)>) {
        let mut meta = self.meta.lock();
        meta.xattr = answer.map(|(name, value)| (name.to_vec(), value));
    }

    /// An access control list, if what is known of it still holds: nobody has told of a change
    /// of attributes, or the change time is the same.
    pub(super) fn cached_acl(&self, kind: AclKind) -> Option<Option<Arc<Acl>>> {
        let meta = self.meta.lock();
        let (then, acl) = meta.acls.get(kind as usize)?.as_ref()?;
        let (same, acl) = (*then == meta.attr.ctime, acl.clone());
        drop(meta);
        (same || self.others_are_told()).then_some(acl)
    }

    /// Remembers a list, or that there is none.
    pub(super) fn cache_acl(&self, kind: AclKind, acl: Option<Arc<Acl>>) {
        let mut meta = self.meta.lock();
        let now = meta.attr.ctime;
        if let Some(slot) = meta.acls.get_mut(kind as usize) {
            *slot = Some((now, acl));
        }
    }

    /// Forgets what is known of the lists.
    pub(super) fn forget_acls(&self) {
        self.meta.lock().acls = [None, None];
    }

    /// As the guest sees them.
    pub(super) fn guest_attr(&self, host: &HostAttr) -> Attr {
        Attr {
            dev: self.fs.dev,
            ino: host.ino,
            kind: self.file_type,
            perm: host.mode & 0o7777,
            nlink: host.nlink.into(),
            uid: host.uid,
            gid: host.gid,
            rdev: host.rdev,
            size: host.size,
            blksize: host.blksize,
            blocks: host.blocks,
            atime: since_epoch(host.atime),
            mtime: since_epoch(host.mtime),
            ctime: since_epoch(host.ctime),
            btime: (host.btime != gofer::Time::default()).then(|| since_epoch(host.btime)),
        }
    }
}

fn since_epoch(t: gofer::Time) -> FileTime {
    FileTime {
        sec: t.sec,
        nsec: t.nsec,
    }
}

impl Drop for GoferInode {
    fn drop(&mut self) {
        self.fs.forget(self.key, self);
        // A chain of directories is taken apart step by step, not by recursion.
        let mut next = self.place.get_mut().take();
        while let Some(place) = next {
            next = Arc::into_inner(place.dir).and_then(|mut d| d.place.get_mut().take());
        }
    }
}
