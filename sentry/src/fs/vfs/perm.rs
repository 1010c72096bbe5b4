//! Permission checks (`path_resolution(7)`, "Permissions"; `capabilities(7)`).

use abi::Errno;

use super::acl::{Acl, AclKind};
use super::attr::{Attr, FileType};
use super::inode::Inode;
use super::mount::Path;
use crate::Result;
use crate::creds::{Cap, Creds};

bitflags::bitflags! {
    /// What is wanted, in the bits of `access(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Access: u32 {
        /// Execute, or search a directory.
        const X = 1;
        /// Write.
        const W = 2;
        /// Read.
        const R = 4;
    }
}

/// Whether `creds` may do `want` with a file of these attributes and this access control
/// list; `EACCES`.
fn permitted(creds: &Creds, attr: &Attr, acl: Option<&Acl>, want: Access) -> Result<()> {
    let grants = |class: u32| (want.bits() & !class) & 7 == 0;
    let granted = if creds.fsuid == attr.uid {
        grants(attr.perm >> 6)
    } else if let Some(acl) = acl {
        acl.permits(creds, attr.gid, want.bits())
    } else if creds.in_group(attr.gid) {
        grants(attr.perm >> 3)
    } else {
        grants(attr.perm)
    };
    if granted {
        return Ok(());
    }
    let any_x = attr.perm & 0o111 != 0;
    let dir = attr.kind == FileType::Directory;
    let over = |cap| creds.capable_over(attr.uid, attr.gid, cap);
    if over(Cap::DacOverride) && (dir || any_x || !want.contains(Access::X)) {
        return Ok(());
    }
    let reads = if dir {
        !want.contains(Access::W)
    } else {
        want == Access::R
    };
    if reads && over(Cap::DacReadSearch) {
        return Ok(());
    }
    Err(Errno::EACCES)
}

/// As [`permitted`] for an inode, reading its attributes only when they matter.
pub fn check(creds: &Creds, inode: &dyn Inode, want: Access) -> Result<()> {
    if want.is_empty() {
        return Ok(());
    }
    let dir = inode.kind() == FileType::Directory;
    let all = creds.capable(Cap::DacOverride);
    if all && (dir || !want.contains(Access::X)) {
        return Ok(());
    }
    check_attr(creds, inode, &inode.attr()?, want)
}

/// As [`check`] for an inode whose attributes were just read.
pub fn check_attr(creds: &Creds, inode: &dyn Inode, attr: &Attr, want: Access) -> Result<()> {
    // A list has a mask, which the group's bits show: without them it permits nothing more.
    let acl = if creds.fsuid != attr.uid && attr.perm & 0o070 != 0 {
        inode.acl(AclKind::Access)?
    } else {
        None
    };
    permitted(creds, attr, acl.as_deref(), want)
}

/// As [`check`], and `EROFS` for writing to a file, directory or link of a read-only mount.
pub fn check_path(creds: &Creds, path: &Path, want: Access) -> Result<()> {
    let inode = path.inode()?;
    let stored = matches!(
        inode.kind(),
        FileType::Regular | FileType::Directory | FileType::Symlink
    );
    if want.contains(Access::W) && stored && path.mount.read_only() {
        return Err(Errno::EROFS);
    }
    check(creds, &*inode, want)
}

/// Whether `creds` own the file or have `CAP_FOWNER`.
pub fn owns(creds: &Creds, attr: &Attr) -> bool {
    creds.fsuid == attr.uid || creds.capable_over(attr.uid, attr.gid, Cap::Fowner)
}

/// Whether `creds` may take an entry for `child` out of a directory with attributes `dir`
/// as far as its sticky bit is concerned; `EPERM`.
pub fn sticky(creds: &Creds, dir: &Attr, child: &Attr) -> Result<()> {
    let free = dir.perm & 0o1000 == 0
        || creds.fsuid == child.uid
        || creds.fsuid == dir.uid
        || creds.capable_over(child.uid, child.gid, Cap::Fowner);
    if free { Ok(()) } else { Err(Errno::EPERM) }
}
