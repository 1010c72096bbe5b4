//! The operations of an inode, as the VFS asks for them.

use std::any::Any;
use std::sync::Arc;

use abi::Errno;
use gofer::client::RenameFlags as HostRename;
use gofer::proto::Handle;
use gofer::{Attr as HostAttr, Made};

use super::dir::{Found, OpenDir};
use super::file::OpenFile;
use super::handle::Held;
use super::inode::GoferInode;
use crate::Result;
use crate::fs::file::{FileOps, OpenFlags};
use crate::fs::vfs::acl::{Acl, AclKind, Inherited};
use crate::fs::vfs::{
    Attr, FileTime, FileType, Inode, InodeExtra, Owner, RenameFlags, SetAttr, Symlink, TimeSet,
};
use crate::task::Task;
use crate::userns::UserNs;

/// The attribute that `chown(2)` and `execve(2)` ask for again and again.
const CAPABILITY: &[u8] = b"security.capability";

impl GoferInode {
    fn own(inode: &Arc<dyn Inode>) -> Result<Arc<GoferInode>> {
        let gofer = inode.as_any().downcast_ref::<GoferInode>();
        gofer.and_then(|i| i.weak.upgrade()).ok_or(Errno::EXDEV)
    }

    /// Runs a request that changes this directory and puts its result into the listing.
    fn make(
        &self,
        name: &[u8],
        ask: impl FnOnce(Handle) -> Result<Made>,
    ) -> Result<Arc<GoferInode>> {
        let dir = self.handle()?;
        self.changing();
        let made = match ask(dir.handle()) {
            Ok(made) => made,
            Err(e) => {
                self.unexpected(e);
                return Err(e);
            }
        };
        let attr = made.attr;
        let held = Held::new(&self.fs.session, made.handle);
        // Made just now: an inode of the same number is of a file that is gone.
        if let Some(gone) = self.fs.known((attr.dev, attr.ino)) {
            self.fs.forget(gone.key, &gone);
        }
        let inode = self
            .fs
            .inode(&attr, Some(held), Some(self.place_of(name)?))?;
        if inode.file_type == FileType::Regular {
            inode.cache_xattr(Some((CAPABILITY, None)));
        }
        if self.cached_acl(AclKind::Default) == Some(None) {
            inode.inherit_acls(&Inherited::default());
        }
        self.changed(name, Some(&inode));
        self.learn_if(made.dir);
        Ok(inode)
    }

    fn learn_if(&self, attr: Option<HostAttr>) {
        if let Some(attr) = attr {
            self.learn(&attr);
        }
    }

    /// An answer that the listing ruled out: somebody else has been here.
    fn unexpected(&self, e: Errno) {
        if matches!(
            e,
            Errno::EEXIST | Errno::ENOENT | Errno::ENOTDIR | Errno::EISDIR
        ) {
            self.changed_by_others();
        }
    }

    /// Removes a name by `ask`, which gives this directory's attributes afterwards.
    fn take(
        &self,
        name: &[u8],
        child: &Arc<dyn Inode>,
        ask: impl FnOnce(Handle) -> Result<HostAttr>,
    ) -> Result<()> {
        let child = GoferInode::own(child)?;
        if child.links() > 1 && child.file_type != FileType::Directory {
            // Its other names are not known: this keeps hold of it.
            child.handle()?;
        }
        let dir = self.handle()?;
        self.changing();
        let attr = match ask(dir.handle()) {
            Ok(attr) => attr,
            Err(e) => {
                self.unexpected(e);
                return Err(e);
            }
        };
        self.changed(name, None);
        self.learn(&attr);
        child.lost_name(self, name);
        Ok(())
    }

    /// The name `other` had is gone or another's after a rename.
    fn replaced(&self, name: &[u8]) -> Option<Arc<GoferInode>> {
        match self.find_cached(name) {
            Ok(Found::Inode(inode)) => Some(inode),
            Ok(Found::Ask) => self.find_asking(name).ok(),
            _ => None,
        }
    }

    fn set_xattr_now(
        &self,
        name: &[u8],
        ask: impl FnOnce(Handle) -> Result<HostAttr>,
    ) -> Result<()> {
        let held = self.handle()?;
        let attr = ask(held.handle())?;
        self.learn(&attr);
        self.cache_xattr(None);
        if AclKind::of_name(name).is_some() {
            self.forget_acls();
        }
        if name == CAPABILITY {
            // Asked for at every exec; the value is known only to the host now.
            self.stale();
        }
        Ok(())
    }
}

fn time(t: TimeSet) -> gofer::SetTime {
    match t {
        TimeSet::Now => gofer::SetTime::Now,
        TimeSet::To(FileTime { sec, nsec }) => gofer::SetTime::At(gofer::Time { sec, nsec }),
    }
}

impl Inode for GoferInode {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn kind(&self) -> FileType {
        self.file_type
    }
    fn attr(&self) -> Result<Attr> {
        let host = self.host_attr()?;
        Ok(self.guest_attr(&host))
    }
    fn set_attr(&self, set: &SetAttr) -> Result<()> {
        let held = self.handle()?;
        let host = gofer::SetAttr {
            mode: set
                .perm
                .or_else(|| set.size.and_then(|_| self.set_id_perm())),
            uid: set.uid,
            gid: set.gid,
            size: set.size,
            atime: set.atime.map(time),
            mtime: set.mtime.map(time),
        };
        let old = self.known_size();
        match self.fs.session.client().set_attr(held.handle(), host) {
            Ok(attr) => {
                self.learn(&attr);
                if set.perm.is_some() {
                    self.forget_acls();
                }
                if let Some(size) = set.size {
                    self.cut(old, size);
                }
                Ok(())
            }
            Err(e) => {
                // Some of it may have been done.
                self.stale();
                Err(e)
            }
        }
    }
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        if self.file_type != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        match self.find_cached(name)? {
            Found::Inode(inode) => Ok(inode),
            Found::Absent => Err(Errno::ENOENT),
            Found::Ask => Ok(self.find_asking(name)?),
        }
    }
    fn still_valid(&self, name: &[u8], child: Option<&Arc<dyn Inode>>) -> bool {
        let child = child.map(|c| c.as_any().downcast_ref::<GoferInode>());
        match child {
            None => self.still_means(name, None),
            Some(Some(child)) => self.still_means(name, Some(child)),
            Some(None) => false,
        }
    }
    fn create(&self, name: &[u8], perm: u32, owner: Owner) -> Result<Arc<dyn Inode>> {
        let client = self.fs.session.client();
        let mut file = None;
        let inode = self.make(name, |dir| {
            let made = client.create(dir, name, perm, owner.uid, owner.gid, true)?;
            file = made.file;
            Ok(Made {
                handle: made.handle,
                attr: made.attr,
                dir: made.dir,
                watched: false,
            })
        })?;
        if let Some(fd) = file {
            inode.made_open(fd);
        }
        Ok(inode)
    }
    fn tmpfile(&self, perm: u32, owner: Owner) -> Result<Arc<dyn Inode>> {
        let dir = self.handle()?;
        let client = self.fs.session.client();
        let made = client.tmpfile(dir.handle(), perm, owner.uid, owner.gid)?;
        let held = Held::new(&self.fs.session, made.handle);
        let inode = self.fs.inode(&made.attr, Some(held), None)?;
        if let Some(fd) = made.file {
            inode.made_open(fd);
        }
        Ok(inode)
    }
    fn mkdir(&self, name: &[u8], perm: u32, owner: Owner) -> Result<Arc<dyn Inode>> {
        let client = self.fs.session.client();
        let mut watched = false;
        let inode = self.make(name, |dir| {
            let new = (perm, owner.uid, owner.gid);
            let made = client.mkdir(dir, name, new, self.fs.exclusive)?;
            watched = made.watched;
            Ok(made)
        })?;
        inode.starts_empty(watched);
        Ok(inode)
    }
    fn mknod(
        &self,
        name: &[u8],
        kind: FileType,
        perm: u32,
        _rdev: u64,
        owner: Owner,
    ) -> Result<Arc<dyn Inode>> {
        let client = self.fs.session.client();
        let mode = kind as u32 | perm;
        Ok(self.make(name, |dir| {
            client.mknod(dir, name, mode, owner.uid, owner.gid)
        })?)
    }
    fn symlink(&self, name: &[u8], target: &[u8], owner: Owner) -> Result<Arc<dyn Inode>> {
        let client = self.fs.session.client();
        let inode = self.make(name, |dir| {
            client.symlink(dir, name, target, owner.uid, owner.gid)
        })?;
        *inode.target.lock() = Some(target.to_vec());
        Ok(inode)
    }
    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        let target = GoferInode::own(target)?;
        if !Arc::ptr_eq(&self.fs, &target.fs) {
            return Err(Errno::EXDEV);
        }
        let (dir, file) = (self.handle()?, target.handle()?);
        self.changing();
        match self
            .fs
            .session
            .client()
            .link(file.handle(), dir.handle(), name)
        {
            Ok((attr, above)) => {
                target.learn(&attr);
                target.set_place(self.place_of(name)?);
                self.changed(name, Some(&target));
                self.learn_if(above);
                Ok(())
            }
            Err(e) => {
                self.unexpected(e);
                Err(e)
            }
        }
    }
    fn unlink(&self, name: &[u8], child: &Arc<dyn Inode>) -> Result<()> {
        let client = self.fs.session.client();
        self.take(name, child, |dir| client.unlink(dir, name, None))
    }
    fn rmdir(&self, name: &[u8], child: &Arc<dyn Inode>) -> Result<()> {
        let client = self.fs.session.client();
        self.take(name, child, |dir| client.rmdir(dir, name, None))
    }
    fn rename(
        &self,
        name: &[u8],
        new_dir: &Arc<dyn Inode>,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        let new_dir = GoferInode::own(new_dir)?;
        if flags.contains(RenameFlags::WHITEOUT) {
            return Err(Errno::EINVAL);
        }
        let (source, target) = (self.replaced(name), new_dir.replaced(new_name));
        if let Some(target) = target.as_ref().filter(|t| t.links() > 1)
            && target.file_type != FileType::Directory
        {
            target.handle()?;
        }
        let (from, to) = (self.handle()?, new_dir.handle()?);
        let host = HostRename::from_bits_truncate(flags.bits());
        self.changing();
        new_dir.changing();
        let client = self.fs.session.client();
        let [old_attr, new_attr] = client
            .rename(from.handle(), name, to.handle(), new_name, host)
            .inspect_err(|e| {
                self.unexpected(*e);
                new_dir.unexpected(*e);
            })?;
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        let Some(source) = source else {
            // Not known here (shared mode): nothing of it is cached but the listings.
            self.changed_by_others();
            new_dir.changed_by_others();
            return Ok(());
        };
        match (&target, exchange) {
            (Some(target), true) => {
                self.changed(name, Some(target));
                target.set_place(self.place_of(name)?);
                target.stale();
            }
            (Some(target), false) => {
                self.changed(name, None);
                target.lost_name(&new_dir, new_name);
            }
            (None, _) => self.changed(name, None),
        }
        new_dir.changed(new_name, Some(&source));
        source.set_place(new_dir.place_of(new_name)?);
        source.stale();
        self.learn_if(old_attr);
        new_dir.learn_if(new_attr);
        Ok(())
    }
    fn readlink(&self, _t: Option<&Arc<Task>>) -> Result<Symlink> {
        if self.file_type != FileType::Symlink {
            return Err(Errno::EINVAL);
        }
        if let Some(text) = self.target.lock().clone() {
            return Ok(Symlink::Target(text));
        }
        let held = self.handle()?;
        // The text of a link never changes; another link is another inode.
        let text = self.fs.session.client().readlink(held.handle())?;
        *self.target.lock() = Some(text.clone());
        Ok(Symlink::Target(text))
    }
    fn open(self: Arc<Self>, flags: OpenFlags, _t: Option<&Arc<Task>>) -> Result<Arc<dyn FileOps>> {
        match self.file_type {
            FileType::Directory => Ok(Arc::new(OpenDir::new(self))),
            FileType::Regular => Ok(Arc::new(OpenFile::new(self, flags.writable())?)),
            _ => Err(Errno::ENXIO),
        }
    }
    fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        self.fs.session.drain();
        if let Some(known) = self.cached_xattr(name) {
            return known.ok_or(Errno::ENODATA);
        }
        let held = self.handle()?;
        let answer = self.fs.session.client().getxattr(held.handle(), name);
        match &answer {
            Ok(value) => self.cache_xattr(Some((name, Some(value.clone())))),
            Err(Errno::ENODATA) => self.cache_xattr(Some((name, None))),
            Err(_) => {}
        }
        answer
    }
    fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> Result<()> {
        let client = self.fs.session.client();
        self.set_xattr_now(name, |file| client.setxattr(file, name, value, flags))
    }
    fn list_xattr(&self) -> Result<Vec<Vec<u8>>> {
        let held = self.handle()?;
        let all = self.fs.session.client().listxattr(held.handle())?;
        let names = all.split(|&b| b == 0).filter(|n| !n.is_empty());
        Ok(names.map(<[u8]>::to_vec).collect())
    }
    fn remove_xattr(&self, name: &[u8]) -> Result<()> {
        self.fs.session.drain();
        if self.cached_xattr(name) == Some(None) {
            return Err(Errno::ENODATA);
        }
        let client = self.fs.session.client();
        let removed = self.set_xattr_now(name, |file| client.removexattr(file, name));
        if removed == Err(Errno::ENODATA) {
            self.cache_xattr(Some((name, None)));
        }
        removed
    }
    fn acl(&self, kind: AclKind) -> Result<Option<Arc<Acl>>> {
        if !matches!(self.file_type, FileType::Regular | FileType::Directory) {
            return Ok(None);
        }
        self.fs.session.drain();
        if let Some(known) = self.cached_acl(kind) {
            return Ok(known);
        }
        let held = self.handle()?;
        let client = self.fs.session.client();
        let acl = match client.getxattr(held.handle(), kind.name()) {
            Ok(value) => Acl::parse(&value, &UserNs::INITIAL)?.map(Arc::new),
            Err(Errno::ENODATA | Errno::EOPNOTSUPP) => None,
            Err(e) => return Err(e),
        };
        self.cache_acl(kind, acl.clone());
        Ok(acl)
    }
    fn inherit_acls(&self, acls: &Inherited) {
        // The host has given them to the file when it made it.
        self.cache_acl(AclKind::Access, acls.access.clone());
        self.cache_acl(AclKind::Default, acls.default.clone());
    }
    fn extra(&self) -> &InodeExtra {
        &self.extra
    }
    fn dev(&self) -> u64 {
        self.fs.dev
    }
}
