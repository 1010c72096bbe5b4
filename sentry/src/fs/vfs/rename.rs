//! `renameat2(2)`.

use std::sync::Arc;

use abi::Errno;

use super::attr::FileType;
use super::change::{NewFile, may_delete, not_mount_point, unmount_removed, with_dir};
use super::dentry::Dentry;
use super::inode::{Inode, RenameFlags};
use super::mount::Path;
use super::perm::{self, Access};
use super::walk::{self, Last, WalkCx, WalkFlags, Walker};
use crate::Result;
use crate::fs::dnotify;
use crate::fs::inotify::{self, Mask};
use crate::landlock::files::Refer;

/// One side of a rename.
struct Side {
    dir: Path,
    inode: Arc<dyn Inode>,
    name: Vec<u8>,
    slashes: bool,
}

fn side(cx: &WalkCx<'_>, start: &Path, name: &[u8]) -> Result<(Path, Last)> {
    let mut walker = Walker::new(cx, start, WalkFlags::default());
    let last = walker.parent(name)?;
    Ok((walker.place().clone(), last))
}

/// Renames `old_name` to `new_name`, each in its own start.
pub fn rename(
    cx: &WalkCx<'_>,
    (old_start, old_name): (&Path, &[u8]),
    (new_start, new_name): (&Path, &[u8]),
    flags: RenameFlags,
) -> Result<()> {
    let (old_dir, old_last) = side(cx, old_start, old_name)?;
    let (new_dir, new_last) = side(cx, new_start, new_name)?;
    if !Arc::ptr_eq(&old_dir.mount, &new_dir.mount) {
        return Err(Errno::EXDEV);
    }
    let Last::Name(old_name, old_slashes) = old_last else {
        return Err(Errno::EBUSY);
    };
    let Last::Name(new_name, new_slashes) = new_last else {
        let noreplace = flags.contains(RenameFlags::NOREPLACE);
        return Err(if noreplace {
            Errno::EEXIST
        } else {
            Errno::EBUSY
        });
    };
    if old_dir.mount.read_only() {
        return Err(Errno::EROFS);
    }
    let old = Side {
        inode: old_dir.inode()?,
        dir: old_dir,
        name: old_name,
        slashes: old_slashes,
    };
    let new = Side {
        inode: new_dir.inode()?,
        dir: new_dir,
        name: new_name,
        slashes: new_slashes,
    };
    let sb = old.dir.mount.sb.clone();
    let (a, b) = (&old.dir.dentry, &new.dir.dentry);
    if Arc::ptr_eq(a, b) {
        let lock = a.lock_dir();
        let replaced = locked(cx, &old, &new, flags)?;
        drop(lock);
        unmount_removed(cx, &replaced);
        return Ok(());
    }
    let whole = sb.lock_rename();
    // An ancestor is locked before what lies in it; others in the order of their addresses.
    let a_first = a.is_ancestor_of(b) || (!b.is_ancestor_of(a) && Arc::as_ptr(a) < Arc::as_ptr(b));
    let (first, second) = if a_first { (a, b) } else { (b, a) };
    let (first, second) = (first.lock_dir(), second.lock_dir());
    let replaced = locked(cx, &old, &new, flags)?;
    drop((second, first, whole));
    unmount_removed(cx, &replaced);
    Ok(())
}

/// The rename itself, with the directories locked; what the new name stood for before.
fn locked(cx: &WalkCx<'_>, old: &Side, new: &Side, flags: RenameFlags) -> Result<Arc<Dentry>> {
    let exchange = flags.contains(RenameFlags::EXCHANGE);
    let source = walk::child_locked(&old.dir, &old.inode, &old.name)?;
    let source_inode = source.inode().ok_or(Errno::ENOENT)?;
    let target = walk::child_locked(&new.dir, &new.inode, &new.name)?;
    let target_inode = target.inode();
    if flags.contains(RenameFlags::NOREPLACE) && target_inode.is_some() {
        return Err(Errno::EEXIST);
    }
    if exchange && target_inode.is_none() {
        return Err(Errno::ENOENT);
    }
    let is_dir = source_inode.kind() == FileType::Directory;
    let target_is_dir = target_inode
        .as_ref()
        .map(|t| t.kind() == FileType::Directory);
    if exchange && target_is_dir == Some(false) && new.slashes {
        return Err(Errno::ENOTDIR);
    }
    if !is_dir && (old.slashes || (!exchange && new.slashes)) {
        return Err(Errno::ENOTDIR);
    }
    if source.is_ancestor_of(&new.dir.dentry) {
        return Err(Errno::EINVAL);
    }
    if target.is_ancestor_of(&old.dir.dentry) {
        return Err(if exchange {
            Errno::EINVAL
        } else {
            Errno::ENOTEMPTY
        });
    }
    let refer = Refer {
        old_dir: &old.dir,
        old: &source,
        new_dir: &new.dir,
        new: Some(&target),
        moves: true,
        exchange,
    };
    refer.check(&cx.creds)?;
    if let Some(other) = &target_inode
        && same_file(&source_inode, other)?
    {
        return Ok(target);
    }
    check(
        cx,
        old,
        new,
        (&source, is_dir),
        (&target, target_is_dir),
        exchange,
    )?;
    old.inode.rename(&old.name, &new.inode, &new.name, flags)?;
    if exchange {
        source.move_to(&new.dir.dentry, &new.name);
        target.move_to(&old.dir.dentry, &old.name);
    } else {
        target.kill();
        source.move_to(&new.dir.dentry, &new.name);
    }
    moved(old, new, &source_inode);
    match &target_inode {
        Some(target) if exchange => moved(new, old, target),
        Some(target) => inotify::inode_event(target, Mask::ATTRIB),
        None => {}
    }
    Ok(target)
}

/// Tells watchers of a move.
fn moved(from: &Side, to: &Side, inode: &Arc<dyn Inode>) {
    let is_dir = inode.kind() == FileType::Directory;
    let cookie = from.dir.mount.sb.next_cookie();
    let mask = |m| with_dir(m, is_dir);
    inotify::dir_event(&from.dir, &from.name, mask(Mask::MOVED_FROM), cookie);
    inotify::dir_event(&to.dir, &to.name, mask(Mask::MOVED_TO), cookie);
    if Arc::ptr_eq(&from.dir.dentry, &to.dir.dentry) {
        dnotify::renamed(&from.dir);
    }
    inotify::inode_event(inode, Mask::MOVE_SELF);
}

/// Two names of one file: the rename then does nothing.
fn same_file(a: &Arc<dyn Inode>, b: &Arc<dyn Inode>) -> Result<bool> {
    Ok(Arc::ptr_eq(a, b) || (a.dev() == b.dev() && a.attr()?.ino == b.attr()?.ino))
}

/// Permission and type checks.
fn check(
    cx: &WalkCx<'_>,
    old: &Side,
    new: &Side,
    (source, is_dir): (&Arc<Dentry>, bool),
    (target, target_is_dir): (&Arc<Dentry>, Option<bool>),
    exchange: bool,
) -> Result<()> {
    let source_inode = may_delete(cx, &old.inode, source, is_dir)?;
    match target_is_dir {
        None => {
            NewFile::check(cx, &new.dir, &new.inode, 0, is_dir)?;
        }
        Some(kind) => {
            may_delete(cx, &new.inode, target, if exchange { kind } else { is_dir })?;
        }
    }
    if !Arc::ptr_eq(&old.dir.dentry, &new.dir.dentry) {
        if is_dir {
            perm::check(&cx.creds, &*source_inode, Access::W)?;
        }
        if let (true, Some(true), Some(inode)) = (exchange, target_is_dir, target.inode()) {
            perm::check(&cx.creds, &*inode, Access::W)?;
        }
    }
    not_mount_point(cx, source)?;
    not_mount_point(cx, target)
}
