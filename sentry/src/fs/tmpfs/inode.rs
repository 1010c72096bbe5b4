//! What a file of tmpfs is.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use abi::{Errno, PAGE_SIZE};

use super::Shared;
use super::data::Data;
use super::dir::{Dir, OpenDir};
use super::file::OpenFile;
use crate::Result;
use crate::fs::atime;
use crate::fs::file::{File, FileOps, OpenFlags};
use crate::fs::seals::Seals;
use crate::fs::vfs::acl::{Acl, AclKind, Inherited};
use crate::fs::vfs::{
    Attr, FileTime, FileType, Inode, InodeExtra, Owner, RenameFlags, SetAttr, Symlink, TimeSet,
};
use crate::sync::Mutex;
use crate::task::Task;
use crate::userns::UserNs;

/// Bytes a directory entry counts in the size of a directory, as on Linux.
const ENTRY_SIZE: u64 = 20;
/// Most bytes of extended attributes of one file.
const XATTR_TOTAL: usize = 128 << 10;
/// Longest list of attribute names (`XATTR_LIST_MAX`).
const XATTR_LIST: usize = 64 << 10;

#[derive(Default)]
struct Meta {
    perm: u32,
    uid: u32,
    gid: u32,
    nlink: u64,
    atime: FileTime,
    mtime: FileTime,
    ctime: FileTime,
    btime: FileTime,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Access control lists: the access list, the default one.
    acls: [Option<Arc<Acl>>; 2],
}

/// What the types differ in.
pub enum Body {
    /// A directory.
    Dir(Dir),
    /// A regular file.
    File(Data),
    /// A symbolic link with its text.
    Link(Vec<u8>),
    /// A FIFO, socket or device.
    Special {
        /// Device number.
        rdev: u64,
    },
}

/// A file.
pub struct TmpInode {
    weak: Weak<TmpInode>,
    fs: Arc<Shared>,
    ino: u64,
    kind: FileType,
    meta: Mutex<Meta>,
    /// Whether it ever had an access control list.
    has_acls: AtomicBool,
    body: Body,
    extra: InodeExtra,
}

impl TmpInode {
    pub(super) fn with_number(
        fs: &Arc<Shared>,
        ino: u64,
        kind: FileType,
        perm: u32,
        owner: Owner,
        body: Body,
    ) -> Arc<TmpInode> {
        let now = fs.now();
        let nlink = if kind == FileType::Directory { 2 } else { 1 };
        Arc::new_cyclic(|weak| TmpInode {
            weak: weak.clone(),
            fs: fs.clone(),
            ino,
            kind,
            meta: Mutex::new(Meta {
                perm,
                uid: owner.uid,
                gid: owner.gid,
                nlink,
                atime: now,
                mtime: now,
                ctime: now,
                btime: now,
                xattrs: BTreeMap::new(),
                acls: [None, None],
            }),
            has_acls: AtomicBool::new(false),
            body,
            extra: InodeExtra::default(),
        })
    }

    fn make(
        fs: &Arc<Shared>,
        kind: FileType,
        perm: u32,
        owner: Owner,
        body: Body,
    ) -> Result<Arc<TmpInode>> {
        let ino = fs.new_ino()?;
        Ok(TmpInode::with_number(fs, ino, kind, perm, owner, body))
    }

    pub(super) fn new_file(
        fs: &Arc<Shared>,
        perm: u32,
        owner: Owner,
        seals: Seals,
    ) -> Result<Arc<TmpInode>> {
        let data = Data::new(fs.frames.clone(), fs.quota.clone(), seals);
        TmpInode::make(fs, FileType::Regular, perm, owner, Body::File(data))
    }

    pub(super) fn number(&self) -> u64 {
        self.ino
    }

    pub(super) fn dir(&self) -> Option<&Dir> {
        match &self.body {
            Body::Dir(d) => Some(d),
            _ => None,
        }
    }

    pub(super) fn data(&self) -> Option<&Data> {
        match &self.body {
            Body::File(d) => Some(d),
            _ => None,
        }
    }

    pub(super) fn set_nlink(&self, nlink: u64) {
        self.meta.lock().nlink = nlink;
    }

    pub(super) fn is_removed(&self) -> bool {
        self.meta.lock().nlink == 0
    }

    /// The data was changed.
    pub(super) fn modified(&self) {
        let now = self.fs.now();
        let mut meta = self.meta.lock();
        meta.mtime = now;
        meta.ctime = now;
        if !meta.xattrs.is_empty() {
            // What the program could do was given to what it was.
            meta.xattrs.remove(crate::filecap::NAME);
        }
    }

    /// The data was read through `file`.
    pub(super) fn touch(&self, file: &File) {
        if !atime::wanted(file, self.kind) {
            return;
        }
        let now = self.fs.now();
        let mut meta = self.meta.lock();
        if atime::stale(file, meta.atime, meta.mtime, meta.ctime, now) {
            meta.atime = now;
        }
    }

    /// The arc of a child given by the walk.
    fn own(inode: &Arc<dyn Inode>) -> Result<Arc<TmpInode>> {
        let tmp = inode.as_any().downcast_ref::<TmpInode>();
        tmp.and_then(|i| i.weak.upgrade()).ok_or(Errno::EXDEV)
    }

    fn add(&self, name: &[u8], child: &Arc<TmpInode>) -> Result<()> {
        let dir = self.dir().ok_or(Errno::ENOTDIR)?;
        dir.add(name, child.clone())?;
        if let Some(below) = child.dir() {
            below.set_parent(self.ino);
            self.meta.lock().nlink += 1;
        }
        self.modified();
        Ok(())
    }

    /// Takes a name out. The child's link count is the caller's.
    fn take(&self, name: &[u8]) -> Result<Arc<TmpInode>> {
        let dir = self.dir().ok_or(Errno::ENOTDIR)?;
        let child = dir.remove(name).ok_or(Errno::ENOENT)?;
        if child.kind == FileType::Directory {
            let mut meta = self.meta.lock();
            meta.nlink = meta.nlink.saturating_sub(1);
        }
        self.modified();
        Ok(child)
    }

    fn link_count(&self, delta: i64) {
        let now = self.fs.now();
        let mut meta = self.meta.lock();
        meta.nlink = meta.nlink.saturating_add_signed(delta);
        meta.ctime = now;
    }

    fn new_child(&self, name: &[u8], child: Result<Arc<TmpInode>>) -> Result<Arc<dyn Inode>> {
        if self.is_removed() {
            return Err(Errno::ENOENT);
        }
        let child = child?;
        self.add(name, &child)?;
        Ok(child)
    }

    fn set_acl(&self, kind: AclKind, acl: Option<Arc<Acl>>) {
        let now = self.fs.now();
        let mut meta = self.meta.lock();
        let [access, default] = &mut meta.acls;
        match kind {
            AclKind::Access => *access = acl,
            AclKind::Default => *default = acl,
        }
        meta.ctime = now;
        self.has_acls.store(true, Ordering::Release);
    }

    fn known_acl(&self, kind: AclKind) -> Option<Arc<Acl>> {
        if !self.has_acls.load(Ordering::Acquire) {
            return None;
        }
        let meta = self.meta.lock();
        let [access, default] = &meta.acls;
        match kind {
            AclKind::Access => access.clone(),
            AclKind::Default => default.clone(),
        }
    }

    /// Whether the target of a rename may be replaced; `ENOTEMPTY`.
    fn replaceable(target: &TmpInode) -> Result<()> {
        match target.dir() {
            Some(dir) if !dir.is_empty() => Err(Errno::ENOTEMPTY),
            _ => Ok(()),
        }
    }

    fn set_xattr_checked(&self, name: &[u8], value: &[u8], flags: u32) -> Result<()> {
        let now = self.fs.now();
        let mut meta = self.meta.lock();
        let there = meta.xattrs.contains_key(name);
        if flags & 1 != 0 && there {
            return Err(Errno::EEXIST);
        }
        if flags & 2 != 0 && !there {
            return Err(Errno::ENODATA);
        }
        let others = meta.xattrs.iter().filter(|(n, _)| n.as_slice() != name);
        let (mut bytes, mut names) = (name.len() + value.len(), name.len() + 1);
        for (n, v) in others {
            bytes += n.len() + v.len();
            names += n.len() + 1;
        }
        if bytes > XATTR_TOTAL || names > XATTR_LIST {
            return Err(Errno::ENOSPC);
        }
        meta.xattrs.insert(name.to_vec(), value.to_vec());
        meta.ctime = now;
        Ok(())
    }
}

/// Whether tmpfs stores attributes of this name space.
fn storable(name: &[u8]) -> Result<()> {
    let spaces: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
    match spaces.iter().find(|s| name.starts_with(s)) {
        Some(space) if name.len() == space.len() => Err(Errno::EINVAL),
        Some(_) => Ok(()),
        None => Err(Errno::EOPNOTSUPP),
    }
}

impl Inode for TmpInode {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn kind(&self) -> FileType {
        self.kind
    }
    fn attr(&self) -> Result<Attr> {
        let (size, used, rdev) = match &self.body {
            Body::Dir(d) => ((d.len() as u64 + 2) * ENTRY_SIZE, 0, 0),
            Body::File(d) => (d.size(), d.used(), 0),
            Body::Link(text) => (text.len() as u64, 0, 0),
            Body::Special { rdev } => (0, 0, *rdev),
        };
        let meta = self.meta.lock();
        Ok(Attr {
            dev: self.fs.dev,
            ino: self.ino,
            kind: self.kind,
            perm: meta.perm,
            nlink: meta.nlink,
            uid: meta.uid,
            gid: meta.gid,
            rdev,
            size,
            blksize: PAGE_SIZE as u32,
            blocks: used / 512,
            atime: meta.atime,
            mtime: meta.mtime,
            ctime: meta.ctime,
            btime: Some(meta.btime),
        })
    }
    fn set_attr(&self, set: &SetAttr) -> Result<()> {
        let now = self.fs.now();
        if let Some(size) = set.size {
            self.data().ok_or(Errno::EINVAL)?.truncate(size)?;
        }
        let time = |t: TimeSet| match t {
            TimeSet::Now => now,
            TimeSet::To(t) => t,
        };
        let mut meta = self.meta.lock();
        if let (Some(perm), Some(data)) = (set.perm, self.data()) {
            data.seals.check_perm(meta.perm, perm)?;
        }
        meta.perm = set.perm.unwrap_or(meta.perm);
        if let (Some(perm), [Some(acl), _]) = (set.perm, &mut meta.acls) {
            *acl = Arc::new(acl.with_bits(perm));
        }
        meta.uid = set.uid.unwrap_or(meta.uid);
        meta.gid = set.gid.unwrap_or(meta.gid);
        meta.atime = set.atime.map_or(meta.atime, time);
        meta.mtime = set.mtime.map_or(meta.mtime, time);
        meta.ctime = now;
        if set.size.is_some() {
            meta.xattrs.remove(crate::filecap::NAME);
        }
        Ok(())
    }
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let dir = self.dir().ok_or(Errno::ENOTDIR)?;
        match dir.get(name) {
            Some(child) => Ok(child),
            None => Err(Errno::ENOENT),
        }
    }
    fn create(&self, name: &[u8], perm: u32, owner: Owner) -> Result<Arc<dyn Inode>> {
        let child = TmpInode::new_file(&self.fs, perm, owner, Seals::sealed());
        self.new_child(name, child)
    }
    fn tmpfile(&self, perm: u32, owner: Owner) -> Result<Arc<dyn Inode>> {
        let child = TmpInode::new_file(&self.fs, perm, owner, Seals::sealed())?;
        child.set_nlink(0);
        Ok(child)
    }
    fn mkdir(&self, name: &[u8], perm: u32, owner: Owner) -> Result<Arc<dyn Inode>> {
        let body = Body::Dir(Dir::new(self.ino));
        let child = TmpInode::make(&self.fs, FileType::Directory, perm, owner, body);
        self.new_child(name, child)
    }
    fn mknod(
        &self,
        name: &[u8],
        kind: FileType,
        perm: u32,
        rdev: u64,
        owner: Owner,
    ) -> Result<Arc<dyn Inode>> {
        let child = TmpInode::make(&self.fs, kind, perm, owner, Body::Special { rdev });
        self.new_child(name, child)
    }
    fn symlink(&self, name: &[u8], target: &[u8], owner: Owner) -> Result<Arc<dyn Inode>> {
        let body = Body::Link(target.to_vec());
        let child = TmpInode::make(&self.fs, FileType::Symlink, 0o777, owner, body);
        self.new_child(name, child)
    }
    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        let target = TmpInode::own(target)?;
        self.add(name, &target)?;
        target.link_count(1);
        Ok(())
    }
    fn unlink(&self, name: &[u8], _child: &Arc<dyn Inode>) -> Result<()> {
        self.take(name)?.link_count(-1);
        Ok(())
    }
    fn rmdir(&self, name: &[u8], child: &Arc<dyn Inode>) -> Result<()> {
        let child = TmpInode::own(child)?;
        TmpInode::replaceable(&child)?;
        self.take(name)?.link_count(-2);
        Ok(())
    }
    fn rename(
        &self,
        name: &[u8],
        new_dir: &Arc<dyn Inode>,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        let new_dir = TmpInode::own(new_dir)?;
        let names = new_dir.dir().ok_or(Errno::ENOTDIR)?;
        let there = names.get(new_name);
        if flags.contains(RenameFlags::EXCHANGE) {
            let (a, b) = (self.take(name)?, new_dir.take(new_name)?);
            new_dir.add(new_name, &a)?;
            self.add(name, &b)?;
            a.link_count(0);
            b.link_count(0);
            return Ok(());
        }
        if let Some(target) = &there {
            TmpInode::replaceable(target)?;
        }
        let whiteout = if flags.contains(RenameFlags::WHITEOUT) {
            let owner = Owner { uid: 0, gid: 0 };
            let body = Body::Special { rdev: 0 };
            Some(TmpInode::make(
                &self.fs,
                FileType::CharDevice,
                0,
                owner,
                body,
            )?)
        } else {
            None
        };
        if let Some(target) = there {
            new_dir.take(new_name)?;
            target.link_count(if target.kind == FileType::Directory {
                -2
            } else {
                -1
            });
        }
        let child = self.take(name)?;
        new_dir.add(new_name, &child)?;
        child.link_count(0);
        if let Some(whiteout) = whiteout {
            self.add(name, &whiteout)?;
        }
        Ok(())
    }
    fn readlink(&self, _t: Option<&Arc<Task>>) -> Result<Symlink> {
        match &self.body {
            Body::Link(text) => Ok(Symlink::Target(text.clone())),
            _ => Err(Errno::EINVAL),
        }
    }
    fn open(
        self: Arc<Self>,
        _flags: OpenFlags,
        _t: Option<&Arc<Task>>,
    ) -> Result<Arc<dyn FileOps>> {
        match &self.body {
            Body::Dir(_) => Ok(Arc::new(OpenDir(self))),
            Body::File(_) => Ok(Arc::new(OpenFile::new(self))),
            _ => Err(Errno::ENXIO),
        }
    }
    fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        if let Some(kind) = AclKind::of_name(name) {
            let acl = self.known_acl(kind).ok_or(Errno::ENODATA)?;
            return Ok(acl.encode(&UserNs::INITIAL));
        }
        storable(name)?;
        let meta = self.meta.lock();
        meta.xattrs.get(name).cloned().ok_or(Errno::ENODATA)
    }
    fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> Result<()> {
        if let Some(kind) = AclKind::of_name(name) {
            let acl = Acl::parse(value, &UserNs::INITIAL)?;
            self.set_acl(kind, acl.map(Arc::new));
            return Ok(());
        }
        storable(name)?;
        self.set_xattr_checked(name, value, flags)
    }
    fn list_xattr(&self) -> Result<Vec<Vec<u8>>> {
        let there = |k: &AclKind| self.known_acl(*k).is_some();
        let acls = AclKind::ALL.into_iter().filter(there);
        let mut names: Vec<_> = acls.map(|k| k.name().to_vec()).collect();
        names.extend(self.meta.lock().xattrs.keys().cloned());
        Ok(names)
    }
    fn remove_xattr(&self, name: &[u8]) -> Result<()> {
        if let Some(kind) = AclKind::of_name(name) {
            self.set_acl(kind, None);
            return Ok(());
        }
        storable(name)?;
        let now = self.fs.now();
        let mut meta = self.meta.lock();
        meta.xattrs.remove(name).ok_or(Errno::ENODATA)?;
        meta.ctime = now;
        Ok(())
    }
    fn acl(&self, kind: AclKind) -> Result<Option<Arc<Acl>>> {
        Ok(self.known_acl(kind))
    }
    fn inherit_acls(&self, acls: &Inherited) {
        self.set_acl(AclKind::Access, acls.access.clone());
        self.set_acl(AclKind::Default, acls.default.clone());
    }
    fn extra(&self) -> &InodeExtra {
        &self.extra
    }
    fn dev(&self) -> u64 {
        self.fs.dev
    }
}

impl Drop for TmpInode {
    fn drop(&mut self) {
        self.fs.drop_ino();
        // A tree is taken apart level by level, not by recursion.
        let Body::Dir(dir) = &mut self.body else {
            return;
        };
        let mut work = dir.take_all();
        while let Some(child) = work.pop() {
            if let Some(mut inode) = Arc::into_inner(child)
                && let Body::Dir(dir) = &mut inode.body
            {
                work.extend(dir.take_all());
            }
        }
    }
}
