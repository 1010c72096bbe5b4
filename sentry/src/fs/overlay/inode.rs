//! Files of an overlay.

use std::any::Any;
use std::sync::{Arc, Weak};

use abi::Errno;

use super::dir::{OpenDir, is_empty};
use super::{OPAQUE, ORIGIN, Shared, UPPER_INO, find, is_opaque, is_whiteout};
use crate::Result;
use crate::fs::file::{FileOps, OpenFlags};
use crate::fs::vfs::acl::{Acl, AclKind, Inherited};
use crate::fs::vfs::{Attr, FileType, Inode, InodeExtra, Owner, RenameFlags, SetAttr, Symlink};
use crate::sync::{Mutex, RwLock};
use crate::task::Task;

/// Where a file is.
#[derive(Clone, Default)]
pub struct Layers {
    /// In the upper layer.
    pub upper: Option<Arc<dyn Inode>>,
    /// In the lower layer; for directories both may be there and are merged.
    pub lower: Option<Arc<dyn Inode>>,
}

impl Layers {
    /// The one that counts.
    pub fn real(&self) -> Result<Arc<dyn Inode>> {
        let real = self.upper.as_ref().or(self.lower.as_ref());
        real.cloned().ok_or(Errno::ESTALE)
    }
}

/// Where an inode was found: directory and name.
pub type Place = Option<(Arc<OvlInode>, Box<[u8]>)>;

/// A file of an overlay.
pub struct OvlInode {
    weak: Weak<OvlInode>,
    pub(super) shared: Arc<Shared>,
    kind: FileType,
    ino: u64,
    pub(super) layers: RwLock<Layers>,
    pub(super) place: Mutex<Place>,
    extra: InodeExtra,
}

/// The number of a file: the lower one as long as it has one.
fn number(layers: &Layers) -> Result<u64> {
    if let Some(lower) = &layers.lower {
        return Ok(lower.attr()?.ino);
    }
    let upper = layers.real()?;
    if let Ok(origin) = upper.get_xattr(ORIGIN)
        && let Ok(bytes) = origin.try_into()
    {
        return Ok(u64::from_ne_bytes(bytes));
    }
    Ok(upper.attr()?.ino | UPPER_INO)
}

impl OvlInode {
    /// The inode of these layers; hard links give the same one.
    pub(super) fn new(
        shared: &Arc<Shared>,
        parent: Option<Arc<OvlInode>>,
        name: &[u8],
        layers: Layers,
    ) -> Result<Arc<OvlInode>> {
        let kind = layers.real()?.kind();
        let ino = number(&layers)?;
        let mut known = shared.inodes.lock();
        if kind != FileType::Directory
            && let Some(there) = known.get(&ino).and_then(Weak::upgrade)
        {
            return Ok(there);
        }
        let made = Arc::new_cyclic(|weak| OvlInode {
            weak: weak.clone(),
            shared: shared.clone(),
            kind,
            ino,
            layers: RwLock::new(layers),
            place: Mutex::new(parent.map(|p| (p, name.into()))),
            extra: InodeExtra::default(),
        });
        if kind != FileType::Directory {
            known.insert(ino, Arc::downgrade(&made));
        }
        Ok(made)
    }

    pub(super) fn real(&self) -> Result<Arc<dyn Inode>> {
        self.layers.read().real()
    }

    pub(super) fn arc(&self) -> Result<Arc<OvlInode>> {
        self.weak.upgrade().ok_or(Errno::ESTALE)
    }

    fn own(inode: &Arc<dyn Inode>) -> Result<Arc<OvlInode>> {
        let own = inode.as_any().downcast_ref::<OvlInode>();
        own.ok_or(Errno::EXDEV)?.arc()
    }

    /// The lower directory whose names show through.
    pub(super) fn visible_lower(&self) -> Option<Arc<dyn Inode>> {
        let layers = self.layers.read();
        match &layers.upper {
            Some(upper) if is_opaque(upper) => None,
            _ => layers.lower.clone(),
        }
    }

    /// Whether the lower layer has a name that a whiteout must hide.
    fn shows_through(&self, name: &[u8]) -> Result<bool> {
        match self.visible_lower() {
            Some(lower) => Ok(find(&lower, name)?.is_some()),
            None => Ok(false),
        }
    }

    fn whiteout(upper: &Arc<dyn Inode>, name: &[u8]) -> Result<()> {
        let owner = Owner { uid: 0, gid: 0 };
        upper.mknod(name, FileType::CharDevice, 0, 0, owner)?;
        Ok(())
    }

    /// Removes a whiteout of that name; whether there was one.
    fn clear(upper: &Arc<dyn Inode>, name: &[u8]) -> Result<bool> {
        match find(upper, name)? {
            Some(there) if is_whiteout(&there) => {
                upper.unlink(name, &there)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Makes a new name by `make` in the upper layer.
    fn make(
        &self,
        name: &[u8],
        make: impl FnOnce(&Arc<dyn Inode>) -> Result<Arc<dyn Inode>>,
    ) -> Result<Arc<dyn Inode>> {
        let dir = self.arc()?;
        let upper = dir.copy_up(true)?;
        let hidden = OvlInode::clear(&upper, name)?;
        let made = match make(&upper) {
            Ok(made) => made,
            Err(e) => {
                if hidden {
                    OvlInode::whiteout(&upper, name)?;
                }
                return Err(e);
            }
        };
        if hidden && made.kind() == FileType::Directory {
            made.set_xattr(OPAQUE, b"y", 0)?;
        }
        let layers = Layers {
            upper: Some(made),
            lower: None,
        };
        Ok(OvlInode::new(&self.shared, Some(dir), name, layers)?)
    }

    /// Empties the upper part of a directory of its whiteouts, so that it can be removed.
    fn drop_whiteouts(&self) -> Result<()> {
        let Some(upper) = self.layers.read().upper.clone() else {
            return Ok(());
        };
        for name in super::dir::names(&upper)? {
            OvlInode::clear(&upper, &name)?;
        }
        Ok(())
    }

    /// Prepares the target of a rename; whether the moved directory must hide the lower one.
    fn make_way(&self, upper: &Arc<dyn Inode>, name: &[u8], moves_dir: bool) -> Result<bool> {
        let shows = self.shows_through(name)?;
        match find(upper, name)? {
            Some(there) if is_whiteout(&there) => upper.unlink(name, &there)?,
            Some(there) if there.kind() == FileType::Directory => {
                let target = OvlInode::own(&self.lookup(name)?)?;
                if !is_empty(&target)? {
                    return Err(Errno::ENOTEMPTY);
                }
                target.drop_whiteouts()?;
            }
            Some(_) => {}
            None if shows && moves_dir => {
                let target = OvlInode::own(&self.lookup(name)?)?;
                if !is_empty(&target)? {
                    return Err(Errno::ENOTEMPTY);
                }
            }
            None => {}
        }
        Ok(shows)
    }

    /// A directory can be moved only when it is not in the lower layer.
    fn movable(&self) -> Result<()> {
        if self.kind == FileType::Directory && self.layers.read().lower.is_some() {
            return Err(Errno::EXDEV);
        }
        Ok(())
    }

    fn exchange(&self, name: &[u8], new_dir: &Arc<OvlInode>, new_name: &[u8]) -> Result<()> {
        let a = OvlInode::own(&self.lookup(name)?)?;
        let b = OvlInode::own(&new_dir.lookup(new_name)?)?;
        a.movable()?;
        b.movable()?;
        a.copy_up(true)?;
        b.copy_up(true)?;
        let (from, to) = (self.arc()?.copy_up(true)?, new_dir.copy_up(true)?);
        from.rename(name, &to, new_name, RenameFlags::EXCHANGE)?;
        for inode in [&a, &b] {
            if inode.kind == FileType::Directory {
                inode.real()?.set_xattr(OPAQUE, b"y", 0)?;
            }
        }
        *a.place.lock() = Some((new_dir.clone(), new_name.into()));
        *b.place.lock() = Some((self.arc()?, name.into()));
        Ok(())
    }
}

/// Attributes the overlay keeps for itself.
fn is_private(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.")
}

impl Inode for OvlInode {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn kind(&self) -> FileType {
        self.kind
    }
    fn attr(&self) -> Result<Attr> {
        let layers = self.layers.read().clone();
        let mut attr = layers.real()?.attr()?;
        attr.dev = self.shared.dev;
        attr.ino = self.ino;
        if self.kind == FileType::Directory && layers.upper.is_some() && layers.lower.is_some() {
            attr.nlink = 1;
        }
        Ok(attr)
    }
    fn set_attr(&self, set: &SetAttr) -> Result<()> {
        let upper = self.arc()?.copy_up(set.size != Some(0))?;
        upper.set_attr(set)
    }
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let upper = self.layers.read().upper.clone();
        let mut layers = Layers::default();
        if let Some(dir) = &upper
            && let Some(found) = find(dir, name)?
        {
            if is_whiteout(&found) {
                return Err(Errno::ENOENT);
            }
            layers.upper = Some(found);
        }
        let upper_kind = layers.upper.as_ref().map(|u| u.kind());
        let merges = upper_kind.is_none_or(|k| k == FileType::Directory)
            && !layers.upper.as_ref().is_some_and(is_opaque);
        if merges
            && let Some(dir) = self.visible_lower()
            && let Some(found) = find(&dir, name)?
            && (upper_kind.is_none() || found.kind() == FileType::Directory)
        {
            let copy = self.shared.copies.lock().get(&found.attr()?.ino).cloned();
            if found.kind() != FileType::Directory && copy.is_some() {
                layers.upper = copy;
            }
            layers.lower = Some(found);
        }
        if layers.upper.is_none() && layers.lower.is_none() {
            return Err(Errno::ENOENT);
        }
        Ok(OvlInode::new(
            &self.shared,
            Some(self.arc()?),
            name,
            layers,
        )?)
    }
    fn create(&self, name: &[u8], perm: u32, owner: Owner) -> Result<Arc<dyn Inode>> {
        self.make(name, |upper| upper.create(name, perm, owner))
    }
    fn tmpfile(&self, perm: u32, owner: Owner) -> Result<Arc<dyn Inode>> {
        let dir = self.arc()?;
        let layers = Layers {
            upper: Some(dir.copy_up(true)?.tmpfile(perm, owner)?),
            lower: None,
        };
        Ok(OvlInode::new(&self.shared, Some(dir), b"", layers)?)
    }
    fn mkdir(&self, name: &[u8], perm: u32, owner: Owner) -> Result<Arc<dyn Inode>> {
        self.make(name, |upper| upper.mkdir(name, perm, owner))
    }
    fn mknod(
        &self,
        name: &[u8],
        kind: FileType,
        perm: u32,
        rdev: u64,
        owner: Owner,
    ) -> Result<Arc<dyn Inode>> {
        if kind == FileType::CharDevice && rdev == 0 {
            return Err(Errno::EPERM);
        }
        self.make(name, |upper| upper.mknod(name, kind, perm, rdev, owner))
    }
    fn symlink(&self, name: &[u8], target: &[u8], owner: Owner) -> Result<Arc<dyn Inode>> {
        self.make(name, |upper| upper.symlink(name, target, owner))
    }
    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        let target = OvlInode::own(target)?.copy_up(true)?;
        let upper = self.arc()?.copy_up(true)?;
        OvlInode::clear(&upper, name)?;
        upper.link(name, &target)
    }
    fn unlink(&self, name: &[u8], _child: &Arc<dyn Inode>) -> Result<()> {
        let upper = self.arc()?.copy_up(true)?;
        if let Some(there) = find(&upper, name)? {
            upper.unlink(name, &there)?;
        }
        if self.shows_through(name)? {
            OvlInode::whiteout(&upper, name)?;
        }
        Ok(())
    }
    fn rmdir(&self, name: &[u8], child: &Arc<dyn Inode>) -> Result<()> {
        let child = OvlInode::own(child)?;
        if !is_empty(&child)? {
            return Err(Errno::ENOTEMPTY);
        }
        let upper = self.arc()?.copy_up(true)?;
        if let Some(there) = find(&upper, name)? {
            child.drop_whiteouts()?;
            upper.rmdir(name, &there)?;
        }
        if self.shows_through(name)? {
            OvlInode::whiteout(&upper, name)?;
        }
        Ok(())
    }
    fn rename(
        &self,
        name: &[u8],
        new_dir: &Arc<dyn Inode>,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        let new_dir = OvlInode::own(new_dir)?;
        if flags.contains(RenameFlags::EXCHANGE) {
            return self.exchange(name, &new_dir, new_name);
        }
        let source = OvlInode::own(&self.lookup(name)?)?;
        source.movable()?;
        source.copy_up(true)?;
        let (from, to) = (self.arc()?.copy_up(true)?, new_dir.copy_up(true)?);
        let is_dir = source.kind == FileType::Directory;
        // Another name of a lower file that was copied up under its first name.
        if find(&from, name)?.is_none() {
            from.link(name, &source.real()?)?;
        }
        let hides = new_dir.make_way(&to, new_name, is_dir)?;
        from.rename(name, &to, new_name, flags)?;
        if is_dir && hides {
            source.real()?.set_xattr(OPAQUE, b"y", 0)?;
        }
        if !flags.contains(RenameFlags::WHITEOUT) && self.shows_through(name)? {
            OvlInode::whiteout(&from, name)?;
        }
        *source.place.lock() = Some((new_dir, new_name.into()));
        Ok(())
    }
    fn readlink(&self, t: Option<&Arc<Task>>) -> Result<Symlink> {
        self.real()?.readlink(t)
    }
    fn open(self: Arc<Self>, flags: OpenFlags, t: Option<&Arc<Task>>) -> Result<Arc<dyn FileOps>> {
        if self.kind == FileType::Directory {
            return Ok(Arc::new(OpenDir::new(self)));
        }
        if flags.writable() || flags.contains(OpenFlags::TRUNC) {
            let whole = !flags.contains(OpenFlags::TRUNC);
            return self.copy_up(whole)?.open(flags, t);
        }
        self.real()?.open(flags, t)
    }
    fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        if is_private(name) {
            return Err(Errno::ENODATA);
        }
        self.real()?.get_xattr(name)
    }
    fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> Result<()> {
        if is_private(name) {
            return Err(Errno::EOPNOTSUPP);
        }
        self.arc()?.copy_up(true)?.set_xattr(name, value, flags)
    }
    fn list_xattr(&self) -> Result<Vec<Vec<u8>>> {
        let mut names = self.real()?.list_xattr()?;
        names.retain(|n| !is_private(n));
        Ok(names)
    }
    fn remove_xattr(&self, name: &[u8]) -> Result<()> {
        self.get_xattr(name)?;
        self.arc()?.copy_up(true)?.remove_xattr(name)
    }
    fn acl(&self, kind: AclKind) -> Result<Option<Arc<Acl>>> {
        self.real()?.acl(kind)
    }
    fn inherit_acls(&self, acls: &Inherited) {
        if let Ok(real) = self.real() {
            real.inherit_acls(acls);
        }
    }
    fn extra(&self) -> &InodeExtra {
        &self.extra
    }
    fn dev(&self) -> u64 {
        self.shared.dev
    }
}

impl Drop for OvlInode {
    fn drop(&mut self) {
        let mut known = self.shared.inodes.lock();
        if known.get(&self.ino).is_some_and(|w| w.strong_count() == 0) {
            known.remove(&self.ino);
        }
        drop(known);
        // A chain of parents is let go without recursion.
        let mut next = self.place.get_mut().take();
        while let Some((parent, _)) = next {
            next = Arc::into_inner(parent).and_then(|mut p| p.place.get_mut().take());
        }
    }
}
