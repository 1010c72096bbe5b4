//! Opening files (`open(2)`, `openat2(2)`).

use std::any::Any;
use std::sync::Arc;

use abi::Errno;

use super::attr::{FileType, SetAttr, TimeSet};
use super::change::{NewFile, killed_perm};
use super::inode::Inode;
use super::mount::{Path, Writer};
use super::namespace::MountNamespace;
use super::perm::{self, Access};
use super::walk::{self, Last, WalkCx, WalkFlags, Walker};
use super::{anon, change};
use crate::Result;
use crate::fs::dev;
use crate::fs::file::{File, FileOps, OpenFlags};
use crate::fs::inotify::{self, Mask};
use crate::fs::write_access::{OpenAccess, OpenCounts};
use crate::landlock::{FsRights, files};
use crate::task::device_rules::DeviceAccess;

/// How to open.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenHow {
    /// Flags of `open(2)`.
    pub flags: OpenFlags,
    /// Permission bits of a file that is created, before the umask.
    pub perm: u32,
    /// `RESOLVE_*` as walk flags.
    pub walk: WalkFlags,
}

/// What an open led to.
pub enum Opened {
    /// An open description.
    File(Arc<File>),
    /// A FIFO, permission checked: opening it may wait ([`crate::fs::pipe`]).
    Fifo(Path),
    /// Open but for the leases that are in the way ([`crate::fs::lease`]); [`Leased::finish`]
    /// does what is left.
    Leased(Leased),
}

/// An open description that others' leases keep from being used.
pub struct Leased {
    file: Arc<File>,
    flags: OpenFlags,
}

/// Opens what `name` is called, creating it if asked; `ENXIO` for a FIFO, which only
/// [`resolve`] leaves to the caller.
pub fn open(cx: &WalkCx<'_>, start: &Path, name: &[u8], how: &OpenHow) -> Result<Arc<File>> {
    match resolve(cx, start, name, how)? {
        Opened::File(file) => Ok(file),
        Opened::Fifo(_) => Err(Errno::ENXIO),
        Opened::Leased(_) => Err(Errno::EAGAIN),
    }
}

/// Opens what `name` is called, creating it if asked.
pub fn resolve(cx: &WalkCx<'_>, start: &Path, name: &[u8], how: &OpenHow) -> Result<Opened> {
    let flags = how.flags;
    let mut walk = how.walk;
    walk.set(WalkFlags::FOLLOW, !flags.contains(OpenFlags::NOFOLLOW));
    walk.set(WalkFlags::DIRECTORY, flags.contains(OpenFlags::DIRECTORY));
    if flags.contains(OpenFlags::PATH) {
        let path = walk::lookup(cx, start, name, walk)?;
        let file = File::new(Arc::new(PathOnly(None)), flags, Some(path));
        return Ok(Opened::File(file));
    }
    if flags.is_tmpfile() {
        let dir = walk::lookup(cx, start, name, walk)?;
        return open_tmpfile(cx, &dir, how).map(Opened::File);
    }
    if flags.contains(OpenFlags::CREAT) {
        return open_create(cx, start, name, how);
    }
    let path = walk::lookup(cx, start, name, walk)?;
    open_at(cx, &path, flags)
}

/// Opens an existing place: checks permission and dispatches by type.
pub fn open_at(cx: &WalkCx<'_>, path: &Path, flags: OpenFlags) -> Result<Opened> {
    let inode = path.inode()?;
    let kind = inode.kind();
    let mut want = Access::default();
    want.set(Access::R, flags.bits() & 3 != 1);
    want.set(
        Access::W,
        flags.bits() & 3 != 0 || flags.contains(OpenFlags::TRUNC),
    );
    match kind {
        FileType::Symlink => return Err(Errno::ELOOP),
        FileType::Directory if want.contains(Access::W) => return Err(Errno::EISDIR),
        FileType::Directory if flags.contains(OpenFlags::DIRECT) => return Err(Errno::EINVAL),
        FileType::CharDevice | FileType::BlockDevice if path.mount.no_devices() => {
            return Err(Errno::EACCES);
        }
        _ => {}
    }
    perm::check_path(&cx.creds, path, want)?;
    if flags.contains(OpenFlags::NOATIME) && !perm::owns(&cx.creds, &inode.attr()?) {
        return Err(Errno::EPERM);
    }
    files::check(&cx.creds, path, rights(kind, flags))?;
    if kind == FileType::Fifo && anon::file_of(path).is_none() {
        return Ok(Opened::Fifo(path.clone()));
    }
    let file = open_inode(cx, path, &inode, flags)?;
    let counts = file.open_counts();
    if counts.is_some_and(|c| c.leases.conflict(flags.writable())) {
        return Ok(Opened::Leased(Leased { file, flags }));
    }
    opened(cx, path, &inode, flags)?;
    Ok(Opened::File(file))
}

impl Leased {
    /// Whose leases they are, and whether the open is one to write.
    pub fn parts(&self) -> (Option<Arc<OpenCounts>>, bool) {
        let inode = self.file.inode();
        let counts = inode.and_then(|i| i.extra().get::<OpenCounts>());
        (counts, self.flags.writable())
    }

    /// The leases are gone.
    pub fn finish(self, cx: &WalkCx<'_>) -> Result<Arc<File>> {
        let path = self.file.path.as_ref().ok_or(Errno::ENOENT)?;
        opened(cx, path, &path.inode()?, self.flags)?;
        Ok(self.file)
    }
}

/// What an open does once there is a description.
fn opened(cx: &WalkCx<'_>, path: &Path, inode: &Arc<dyn Inode>, flags: OpenFlags) -> Result<()> {
    inotify::event(path, Mask::OPEN);
    if flags.contains(OpenFlags::TRUNC) && inode.kind() == FileType::Regular {
        files::check(&cx.creds, path, FsRights::TRUNCATE)?;
        let _access = OpenAccess::write(inode)?;
        inode.set_attr(&SetAttr {
            size: Some(0),
            perm: killed_perm(&cx.creds, &inode.attr()?),
            mtime: Some(TimeSet::Now),
            ..SetAttr::default()
        })?;
        inotify::event(path, Mask::MODIFY);
    }
    Ok(())
}

/// The rights that an open needs of a domain.
fn rights(kind: FileType, flags: OpenFlags) -> FsRights {
    let mut rights = FsRights::empty();
    if kind == FileType::Directory {
        return FsRights::READ_DIR;
    }
    rights.set(FsRights::READ_FILE, flags.readable());
    rights.set(FsRights::WRITE_FILE, flags.writable());
    rights
}

/// Opens without checks: the operations come from the inode or a device.
fn open_inode(
    cx: &WalkCx<'_>,
    path: &Path,
    inode: &Arc<dyn Inode>,
    flags: OpenFlags,
) -> Result<Arc<File>> {
    let (access, writer) = if flags.writable() {
        let access = OpenAccess::write(inode)?;
        let writer = access.as_ref().map(|_| Writer::new(&path.mount));
        (access, writer.transpose()?)
    } else {
        (OpenAccess::read(inode)?, None)
    };
    let own = || inode.clone().open(flags, cx.task);
    let ops = match inode.kind() {
        _ if anon::file_of(path).is_some() => own()?,
        FileType::Regular | FileType::Directory => own()?,
        FileType::Symlink => return Err(Errno::ELOOP),
        FileType::Socket | FileType::Fifo => return Err(Errno::ENXIO),
        kind @ (FileType::CharDevice | FileType::BlockDevice) => {
            let rdev = inode.attr()?.rdev;
            if let Some(t) = cx.task {
                let mut access = DeviceAccess::empty();
                access.set(DeviceAccess::READ, flags.readable());
                access.set(DeviceAccess::WRITE, flags.writable());
                let rules = t.thread_group().cgroup.devices();
                rules.check(kind, rdev, access)?;
            }
            match cx.devices.and_then(|d| d.find(kind, rdev)) {
                Some((device, minor)) => device.open(minor, inode, flags, cx.task)?,
                None if kind == FileType::CharDevice => dev::open(rdev).or_else(|_| own())?,
                None => own()?,
            }
        }
    };
    let denied = files::denied_later(&cx.creds, path);
    let path = Some(path.clone());
    let file = File::with_access(ops, flags, path, access, writer);
    file.deny(denied);
    Ok(file)
}

fn open_create(cx: &WalkCx<'_>, start: &Path, name: &[u8], how: &OpenHow) -> Result<Opened> {
    let flags = how.flags;
    let mut walker = Walker::new(cx, start, how.walk);
    let mut text = name.to_vec();
    loop {
        let name = match walker.parent(&text)? {
            Last::Name(name, false) => name,
            Last::Name(..) => return Err(Errno::EISDIR),
            // A way that ends with no name leads to what is there already.
            _ if flags.contains(OpenFlags::EXCL) => return Err(Errno::EEXIST),
            _ => return Err(Errno::EISDIR),
        };
        let dir = walker.place().clone();
        let mut path = Path {
            dentry: walk::child(&dir, &name)?,
            mount: dir.mount.clone(),
        };
        path.cross_mounts();
        let Some(inode) = path.dentry.inode() else {
            match create(cx, &dir, &name, how)? {
                Some(file) => return Ok(Opened::File(file)),
                None => continue,
            }
        };
        if flags.contains(OpenFlags::EXCL) {
            return Err(Errno::EEXIST);
        }
        if inode.kind() == FileType::Symlink {
            if flags.contains(OpenFlags::NOFOLLOW) {
                return Err(Errno::ELOOP);
            }
            match walker.link_text(&*inode)? {
                Some(target) => {
                    text = target;
                    continue;
                }
                None => path = walker.place().clone(),
            }
        }
        if path.inode()?.kind() == FileType::Directory {
            return Err(Errno::EISDIR);
        }
        return open_at(cx, &path, flags);
    }
}

/// Creates and opens a regular file; `None` when somebody else has just created it.
fn create(cx: &WalkCx<'_>, dir: &Path, name: &[u8], how: &OpenHow) -> Result<Option<Arc<File>>> {
    if dir.mount.read_only() {
        return Err(Errno::EROFS);
    }
    let parent = dir.inode()?;
    let lock = dir.dentry.lock_dir();
    if walk::child_locked(dir, &parent, name)?.inode().is_some() {
        return Ok(None);
    }
    files::check(&cx.creds, dir, FsRights::MAKE_REG)?;
    let new = NewFile::check(cx, dir, &parent, how.perm & 0o7777, false)?;
    let inode = parent.create(name, new.perm, new.owner)?;
    new.inherit(&inode);
    let dentry = dir.dentry.insert(name, Some(inode.clone()));
    drop(lock);
    change::created(dir, name, false);
    let path = Path {
        mount: dir.mount.clone(),
        dentry,
    };
    files::check(&cx.creds, &path, rights(FileType::Regular, how.flags))?;
    let file = open_inode(cx, &path, &inode, how.flags)?;
    inotify::event(&path, Mask::OPEN);
    Ok(Some(file))
}

/// `O_TMPFILE`: an unnamed file in a directory.
fn open_tmpfile(cx: &WalkCx<'_>, dir: &Path, how: &OpenHow) -> Result<Arc<File>> {
    if dir.mount.read_only() {
        return Err(Errno::EROFS);
    }
    let parent = dir.inode()?;
    let new = NewFile::check(cx, dir, &parent, how.perm & 0o7777, false)?;
    let inode = parent.tmpfile(new.perm, new.owner)?;
    new.inherit(&inode);
    if !how.flags.contains(OpenFlags::EXCL) {
        inode.extra().get_or_insert(Linkable::default);
    }
    let name = format!("#{}", inode.attr()?.ino);
    let path = Path {
        mount: dir.mount.clone(),
        dentry: dir.dentry.unnamed(name.as_bytes(), inode.clone()),
    };
    files::check(&cx.creds, &path, rights(FileType::Regular, how.flags))?;
    open_inode(cx, &path, &inode, how.flags)
}

/// Marks an unnamed file that may be given a name (`O_TMPFILE` without `O_EXCL`).
#[derive(Default)]
pub struct Linkable;

/// A description that only names a place (`O_PATH`).
pub fn path_file(path: Path) -> Arc<File> {
    File::new(Arc::new(PathOnly(None)), OpenFlags::PATH, Some(path))
}

/// A description of a tree that stands nowhere, which goes with it (`fsmount(2)`).
pub fn tree_file(tree: Arc<MountNamespace>) -> Arc<File> {
    let root = tree.bare_root();
    File::new(Arc::new(PathOnly(Some(tree))), OpenFlags::PATH, Some(root))
}

/// Operations of an `O_PATH` description: none. It may keep a tree.
struct PathOnly(#[expect(dead_code, reason = "keeps the tree")] Option<Arc<MountNamespace>>);

impl FileOps for PathOnly {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn description(&self) -> String {
        "O_PATH".to_owned()
    }
}
