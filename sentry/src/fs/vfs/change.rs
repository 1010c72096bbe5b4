//! Changes of directories: create, link, remove (`mkdir(2)`, `link(2)`, `unlink(2)` …).
//!
//! Each function walks to the directory, takes its lock, checks in Linux's order, asks the
//! file system, then adjusts the dentries.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;

use super::acl::Inherited;
use super::attr::{Attr, FileType};
use super::dentry::Dentry;
use super::inode::{Inode, Owner};
use super::mount::Path;
use super::open::Linkable;
use super::perm::{self, Access};
use super::walk::{self, Last, WalkCx, WalkFlags, Walker};
use crate::Result;
use crate::creds::{Cap, Creds};
use crate::fs::inotify::{self, Mask};
use crate::landlock::FsRights;
use crate::landlock::files::{self, Refer};
use crate::task::device_rules::DeviceAccess;

/// Permission bits and owner of a file about to be created.
pub struct NewFile {
    /// Bits after umask and set-group-id rules.
    pub perm: u32,
    /// Owner.
    pub owner: Owner,
    /// Access control lists.
    acls: Inherited,
}

impl NewFile {
    /// Whether `cx` may create in `dir` (`ENOENT` for a removed one, `EACCES`), and as what.
    pub fn check(
        cx: &WalkCx<'_>,
        dir: &Path,
        parent: &Arc<dyn Inode>,
        perm: u32,
        is_dir: bool,
    ) -> Result<NewFile> {
        if dir.dentry.is_dead() {
            return Err(Errno::ENOENT);
        }
        perm::check(&cx.creds, &**parent, Access::W | Access::X)?;
        let above = parent.attr()?;
        let (perm, acls) = Inherited::from(&**parent, perm, cx.umask, is_dir)?;
        let mut new = NewFile {
            perm,
            acls,
            owner: Owner {
                uid: cx.creds.fsuid,
                gid: cx.creds.fsgid,
            },
        };
        if above.perm & 0o2000 != 0 {
            new.owner.gid = above.gid;
            let member = cx.creds.in_group(above.gid)
                || cx.creds.capable_over(above.uid, above.gid, Cap::Fsetid);
            if is_dir {
                new.perm |= 0o2000;
            } else if new.perm & 0o2010 == 0o2010 && !member {
                new.perm &= !0o2000;
            }
        }
        Ok(new)
    }

    /// Gives the file, which has just been made, what it inherits.
    pub(super) fn inherit(&self, inode: &Arc<dyn Inode>) {
        if !self.acls.is_empty() && inode.kind() != FileType::Symlink {
            inode.inherit_acls(&self.acls);
        }
    }
}

/// The permission bits after a write or truncation by somebody without `CAP_FSETID`;
/// `None` when nothing changes.
pub fn killed_perm(creds: &Creds, attr: &Attr) -> Option<u32> {
    if attr.kind != FileType::Regular || creds.capable_over(attr.uid, attr.gid, Cap::Fsetid) {
        return None;
    }
    killed_always(creds, attr)
}

/// The permission bits after a change of owner; `None` when nothing changes.
pub fn killed_always(creds: &Creds, attr: &Attr) -> Option<u32> {
    let mut perm = attr.perm & !0o4000;
    let outside = !creds.in_group(attr.gid) && !creds.capable_over(attr.uid, attr.gid, Cap::Fsetid);
    if perm & 0o2010 == 0o2010 || (perm & 0o2000 != 0 && outside) {
        perm &= !0o2000;
    }
    (perm != attr.perm).then_some(perm)
}

/// Tells watchers that `name` appeared in `dir`.
pub(super) fn created(dir: &Path, name: &[u8], is_dir: bool) {
    inotify::dir_event(dir, name, with_dir(Mask::CREATE, is_dir), 0);
}

/// Adds the flag events of directories carry.
pub(super) fn with_dir(mask: Mask, is_dir: bool) -> Mask {
    if is_dir { mask | Mask::ISDIR } else { mask }
}

/// Where a new name goes: the directory and the name. `EEXIST` for `.`, `..` and `/`.
fn new_place(cx: &WalkCx<'_>, start: &Path, name: &[u8], is_dir: bool) -> Result<(Path, Vec<u8>)> {
    let mut walker = Walker::new(cx, start, WalkFlags::default());
    let Last::Name(name, slashes) = walker.parent(name)? else {
        return Err(Errno::EEXIST);
    };
    let dir = walker.place().clone();
    let there = walk::child(&dir, &name)?;
    if there.inode().is_some() {
        return Err(Errno::EEXIST);
    }
    if slashes && !is_dir {
        return Err(Errno::ENOENT);
    }
    if dir.mount.read_only() {
        return Err(Errno::EROFS);
    }
    Ok((dir, name))
}

/// Creates `name` by `make`, under the directory's lock.
fn make(
    cx: &WalkCx<'_>,
    start: &Path,
    name: &[u8],
    perm: u32,
    kind: FileType,
    make: impl FnOnce(&Arc<dyn Inode>, &[u8], &NewFile) -> Result<Arc<dyn Inode>>,
) -> Result<Path> {
    let is_dir = kind == FileType::Directory;
    let (dir, name) = new_place(cx, start, name, is_dir)?;
    let parent = dir.inode()?;
    let lock = dir.dentry.lock_dir();
    if walk::child_locked(&dir, &parent, &name)?.inode().is_some() {
        return Err(Errno::EEXIST);
    }
    files::check(&cx.creds, &dir, FsRights::to_make(kind))?;
    let new = NewFile::check(cx, &dir, &parent, perm, is_dir)?;
    let inode = make(&parent, &name, &new)?;
    new.inherit(&inode);
    let dentry = dir.dentry.insert(&name, Some(inode));
    drop(lock);
    created(&dir, &name, is_dir);
    Ok(Path {
        mount: dir.mount,
        dentry,
    })
}

/// `mkdirat(2)`.
pub fn mkdir(cx: &WalkCx<'_>, start: &Path, name: &[u8], perm: u32) -> Result<Path> {
    let kind = FileType::Directory;
    make(cx, start, name, perm & 0o1777, kind, |dir, name, new| {
        dir.mkdir(name, new.perm, new.owner)
    })
}

/// `mknodat(2)`: a regular file, FIFO, socket or device; `EPERM` for devices without
/// `CAP_MKNOD`.
pub fn mknod(
    cx: &WalkCx<'_>,
    start: &Path,
    name: &[u8],
    kind: FileType,
    perm: u32,
    rdev: u64,
) -> Result<Path> {
    let device = matches!(kind, FileType::CharDevice | FileType::BlockDevice);
    make(cx, start, name, perm & 0o7777, kind, |dir, name, new| {
        if device && !cx.creds.capable(Cap::Mknod) {
            return Err(Errno::EPERM);
        }
        if let Some(t) = cx.task {
            let rules = t.thread_group().cgroup.devices();
            rules.check(kind, rdev, DeviceAccess::MKNOD)?;
        }
        if kind == FileType::Regular {
            return dir.create(name, new.perm, new.owner);
        }
        let rdev = if device { rdev } else { 0 };
        dir.mknod(name, kind, new.perm, rdev, new.owner)
    })
}

/// `symlinkat(2)`.
pub fn symlink(cx: &WalkCx<'_>, target: &[u8], start: &Path, name: &[u8]) -> Result<Path> {
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    // The umask does not touch the bits of a link.
    let cx = &WalkCx {
        umask: 0,
        ..cx.clone()
    };
    make(
        cx,
        start,
        name,
        0o777,
        FileType::Symlink,
        |dir, name, new| dir.symlink(name, target, new.owner),
    )
}

/// `linkat(2)`: `name` becomes one more name of what stands at `old`.
pub fn link(cx: &WalkCx<'_>, old: &Path, start: &Path, name: &[u8]) -> Result<()> {
    let (dir, name) = match new_place(cx, start, name, false) {
        Err(Errno::EROFS) if !same_mount(cx, old, start, name) => return Err(Errno::EXDEV),
        r => r?,
    };
    if !Arc::ptr_eq(&dir.mount, &old.mount) {
        return Err(Errno::EXDEV);
    }
    let parent = dir.inode()?;
    let target = old.inode()?;
    let lock = dir.dentry.lock_dir();
    if walk::child_locked(&dir, &parent, &name)?.inode().is_some() {
        return Err(Errno::EEXIST);
    }
    may_link(cx, old, &dir)?;
    NewFile::check(cx, &dir, &parent, 0, false)?;
    if target.kind() == FileType::Directory {
        return Err(Errno::EPERM);
    }
    if target.attr()?.nlink == 0 && target.extra().get::<Linkable>().is_none() {
        return Err(Errno::ENOENT);
    }
    parent.link(&name, &target)?;
    dir.dentry.insert(&name, Some(target.clone()));
    drop(lock);
    inotify::inode_event(&target, Mask::ATTRIB);
    created(&dir, &name, false);
    Ok(())
}

/// Whether a domain lets a file be linked into a directory.
fn may_link(cx: &WalkCx<'_>, old: &Path, new_dir: &Path) -> Result<()> {
    let old_dir = Path {
        mount: old.mount.clone(),
        dentry: old.dentry.parent().unwrap_or_else(|| old.dentry.clone()),
    };
    let refer = Refer {
        old_dir: &old_dir,
        old: &old.dentry,
        new_dir,
        new: None,
        moves: false,
        exchange: false,
    };
    refer.check(&cx.creds)
}

/// Whether the directory of a new name is seen through the mount of `old`.
fn same_mount(cx: &WalkCx<'_>, old: &Path, start: &Path, name: &[u8]) -> bool {
    let mut walker = Walker::new(cx, start, WalkFlags::default());
    walker.parent(name).is_ok() && Arc::ptr_eq(&walker.place().mount, &old.mount)
}

/// Whether `cx` may take `child` out of `dir`: `EACCES`, `EPERM` (sticky), `ENOTDIR` or
/// `EISDIR` as `is_dir` demands, `EBUSY` for a mount point.
pub(super) fn may_delete(
    cx: &WalkCx<'_>,
    parent: &Arc<dyn Inode>,
    child: &Arc<Dentry>,
    is_dir: bool,
) -> Result<Arc<dyn Inode>> {
    let victim = child.inode().ok_or(Errno::ENOENT)?;
    perm::check(&cx.creds, &**parent, Access::W | Access::X)?;
    if !cx.creds.capable(Cap::Fowner) {
        let above = parent.attr()?;
        if above.perm & 0o1000 != 0 {
            perm::sticky(&cx.creds, &above, &victim.attr()?)?;
        }
    }
    match (is_dir, victim.kind() == FileType::Directory) {
        (true, false) => return Err(Errno::ENOTDIR),
        (false, true) => return Err(Errno::EISDIR),
        _ => {}
    }
    not_mount_point(cx, child)?;
    Ok(victim)
}

/// `EBUSY` where something is mounted in the namespace of `cx`.
pub(super) fn not_mount_point(cx: &WalkCx<'_>, dentry: &Arc<Dentry>) -> Result<()> {
    if dentry.mounts().load(Ordering::Acquire) == 0 {
        return Ok(());
    }
    match cx.namespace() {
        Some(ns) if ns.is_mount_point(dentry) => Err(Errno::EBUSY),
        _ => Ok(()),
    }
}

/// Unmounts what stands on a name that is gone: only other namespaces had anything there.
pub(super) fn unmount_removed(cx: &WalkCx<'_>, dentry: &Arc<Dentry>) {
    if dentry.mounts().load(Ordering::Acquire) != 0
        && let Some(ns) = cx.namespace()
    {
        ns.unmount_everywhere(dentry);
    }
}

/// Removes a name: `rmdir` says which of the two calls it is.
fn remove(cx: &WalkCx<'_>, start: &Path, name: &[u8], rmdir: bool) -> Result<()> {
    let mut walker = Walker::new(cx, start, WalkFlags::default());
    let last = walker.parent(name)?;
    let dir = walker.place().clone();
    let (name, slashes) = match last {
        Last::Name(name, slashes) => (name, slashes),
        _ if !rmdir => return Err(Errno::EISDIR),
        Last::Dot => return Err(Errno::EINVAL),
        Last::DotDot => return Err(Errno::ENOTEMPTY),
        Last::Root => return Err(Errno::EBUSY),
    };
    if dir.mount.read_only() {
        return Err(Errno::EROFS);
    }
    let parent = dir.inode()?;
    let lock = dir.dentry.lock_dir();
    let child = walk::child_locked(&dir, &parent, &name)?;
    let kind = child.inode().ok_or(Errno::ENOENT)?.kind();
    if slashes && !rmdir {
        let dir = kind == FileType::Directory;
        return Err(if dir { Errno::EISDIR } else { Errno::ENOTDIR });
    }
    let right = if rmdir {
        FsRights::REMOVE_DIR
    } else {
        FsRights::REMOVE_FILE
    };
    files::check(&cx.creds, &dir, right)?;
    let victim = may_delete(cx, &parent, &child, rmdir)?;
    if rmdir {
        let _inside = child.lock_dir();
        parent.rmdir(&name, &victim)?;
        child.kill();
    } else {
        parent.unlink(&name, &victim)?;
        child.kill();
        inotify::inode_event(&victim, Mask::ATTRIB);
    }
    if !dir.mount.sb.revalidate {
        dir.dentry.insert(&name, None);
    }
    drop(lock);
    unmount_removed(cx, &child);
    inotify::dir_event(&dir, &name, with_dir(Mask::DELETE, rmdir), 0);
    Ok(())
}

/// `unlinkat(2)` without `AT_REMOVEDIR`.
pub fn unlink(cx: &WalkCx<'_>, start: &Path, name: &[u8]) -> Result<()> {
    remove(cx, start, name, false)
}

/// `rmdir(2)`.
pub fn rmdir(cx: &WalkCx<'_>, start: &Path, name: &[u8]) -> Result<()> {
    remove(cx, start, name, true)
}

/// Text of the symbolic link at `path` (`readlinkat(2)`): `EINVAL` for anything else.
pub fn readlink(cx: &WalkCx<'_>, path: &Path) -> Result<Vec<u8>> {
    let inode = path.inode()?;
    if inode.kind() != FileType::Symlink {
        return Err(Errno::EINVAL);
    }
    Ok(match inode.readlink(cx.task)? {
        super::Symlink::Target(text) => text,
        super::Symlink::Jump(to) => to.text(&cx.root),
    })
}

/// Makes every missing directory of `name` below `start`, for mount points at boot.
pub fn mkdir_all(cx: &WalkCx<'_>, start: &Path, name: &[u8], perm: u32) -> Result<Path> {
    let mut at = start.clone();
    for part in name.split(|&b| b == b'/').filter(|p| !p.is_empty()) {
        at = match walk::lookup(cx, &at, part, WalkFlags::FOLLOW) {
            Ok(path) => path,
            Err(Errno::ENOENT) => mkdir(cx, &at, part, perm)?,
            Err(e) => return Err(e),
        };
    }
    Ok(at)
}
