//! Changes of attributes (`chmod(2)`, `chown(2)`, `utimensat(2)`, `truncate(2)`).

use abi::Errno;

use super::attr::{FileType, SetAttr, TimeSet};
use super::change::{killed_always, killed_perm};
use super::mount::Path;
use super::perm::{self, Access};
use super::walk::WalkCx;
use crate::Result;
use crate::creds::Cap;
use crate::fs::inotify::{self, Mask};
use crate::fs::write_access::OpenAccess;
use crate::landlock::{FsRights, files};

/// Largest file size there is.
pub const MAX_SIZE: u64 = i64::MAX as u64;

fn writable(path: &Path) -> Result<()> {
    if path.mount.read_only() {
        return Err(Errno::EROFS);
    }
    Ok(())
}

/// Changes permission bits: `EPERM` for others than the owner, `EOPNOTSUPP` for links.
pub fn chmod(cx: &WalkCx<'_>, path: &Path, perm: u32) -> Result<()> {
    writable(path)?;
    let inode = path.inode()?;
    let attr = inode.attr()?;
    if inode.kind() == FileType::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    if !perm::owns(&cx.creds, &attr) {
        return Err(Errno::EPERM);
    }
    let mut perm = perm & 0o7777;
    if !cx.creds.in_group(attr.gid) && !cx.creds.capable_over(attr.uid, attr.gid, Cap::Fsetid) {
        perm &= !0o2000;
    }
    inode.set_attr(&SetAttr {
        perm: Some(perm),
        ..SetAttr::default()
    })?;
    inotify::event(path, Mask::ATTRIB);
    Ok(())
}

/// Changes owner and group; `None` leaves one as it is. Set-id bits are lost.
pub fn chown(cx: &WalkCx<'_>, path: &Path, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    writable(path)?;
    let inode = path.inode()?;
    let attr = inode.attr()?;
    let owner = cx.creds.fsuid == attr.uid;
    let all = cx.creds.capable_over(attr.uid, attr.gid, Cap::Chown);
    let uid_ok = uid.is_none_or(|u| all || (owner && u == attr.uid));
    let gid_ok = gid.is_none_or(|g| all || (owner && (g == attr.gid || cx.creds.in_group(g))));
    if !uid_ok || !gid_ok {
        return Err(Errno::EPERM);
    }
    let perm = if attr.kind == FileType::Directory {
        None
    } else {
        killed_always(&cx.creds, &attr)
    };
    inode.set_attr(&SetAttr {
        uid,
        gid,
        perm,
        ..SetAttr::default()
    })?;
    inotify::event(path, Mask::ATTRIB);
    if attr.kind == FileType::Regular {
        // File capabilities go with the owner; most files have none.
        let _ = inode.remove_xattr(b"security.capability");
    }
    Ok(())
}

/// Changes times; `None` leaves one as it is. Both to now needs only write permission.
pub fn utimes(
    cx: &WalkCx<'_>,
    path: &Path,
    atime: Option<TimeSet>,
    mtime: Option<TimeSet>,
) -> Result<()> {
    if atime.is_none() && mtime.is_none() {
        return Ok(());
    }
    writable(path)?;
    let inode = path.inode()?;
    let attr = inode.attr()?;
    if !perm::owns(&cx.creds, &attr) {
        if (atime, mtime) != (Some(TimeSet::Now), Some(TimeSet::Now)) {
            return Err(Errno::EPERM);
        }
        perm::check_attr(&cx.creds, &*inode, &attr, Access::W)?;
    }
    inode.set_attr(&SetAttr {
        atime,
        mtime,
        ..SetAttr::default()
    })?;
    let mask = match (atime, mtime) {
        (Some(_), None) => Mask::ACCESS,
        (None, Some(_)) => Mask::MODIFY,
        _ => Mask::ATTRIB,
    };
    inotify::event(path, mask);
    Ok(())
}

/// `truncate(2)` by path: `EISDIR`, `EINVAL` for what is not a regular file.
pub fn truncate(cx: &WalkCx<'_>, path: &Path, size: u64) -> Result<()> {
    let access = may_truncate(cx, path)?;
    cut(cx, path, size, access)
}

/// The checks of [`truncate`]: the right to write.
pub fn may_truncate(cx: &WalkCx<'_>, path: &Path) -> Result<Option<OpenAccess>> {
    let inode = path.inode()?;
    match inode.kind() {
        FileType::Directory => return Err(Errno::EISDIR),
        FileType::Regular => {}
        _ => return Err(Errno::EINVAL),
    }
    writable(path)?;
    perm::check(&cx.creds, &*inode, Access::W)?;
    files::check(&cx.creds, path, FsRights::TRUNCATE)?;
    OpenAccess::write(&inode)
}

/// The second half of [`truncate`].
pub fn cut(cx: &WalkCx<'_>, path: &Path, size: u64, access: Option<OpenAccess>) -> Result<()> {
    let inode = path.inode()?;
    inode.set_attr(&SetAttr {
        size: Some(size),
        perm: killed_perm(&cx.creds, &inode.attr()?),
        mtime: Some(TimeSet::Now),
        ..SetAttr::default()
    })?;
    drop(access);
    inotify::event(path, Mask::MODIFY);
    Ok(())
}
