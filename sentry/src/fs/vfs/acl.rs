//! POSIX access control lists (`acl(5)`): their form as extended attributes, what they permit,
//! how they and the permission bits follow each other, and how new files inherit them.
//!
//! An [`Acl`] is a value in the kernel's ids. File systems keep them ([`Inode::acl`]); the
//! rules are here. Neighbours: [`super::perm`] asks them, [`super::change`] hands them down.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use abi::Errno;

use super::attr::{FileType, SetAttr};
use super::inode::Inode;
use super::mount::Path;
use super::perm;
use crate::Result;
use crate::creds::{Cap, Creds};
use crate::fs::inotify::{self, Mask};
use crate::userns::UserNs;

/// Version at the head of the attribute (`POSIX_ACL_XATTR_VERSION`).
const VERSION: u32 = 2;
const HEADER: usize = 4;
const ENTRY: usize = 8;
/// `ACL_UNDEFINED_ID`.
const NO_ID: u32 = u32::MAX;

const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// Which of the two lists of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AclKind {
    /// The one that is obeyed.
    Access,
    /// What new files of a directory start with.
    Default,
}

impl AclKind {
    /// Both.
    pub const ALL: [AclKind; 2] = [AclKind::Access, AclKind::Default];

    /// The attribute it is stored as.
    pub fn name(self) -> &'static [u8] {
        match self {
            AclKind::Access => b"system.posix_acl_access",
            AclKind::Default => b"system.posix_acl_default",
        }
    }

    /// The list an attribute holds, if it is one.
    pub fn of_name(name: &[u8]) -> Option<AclKind> {
        AclKind::ALL.into_iter().find(|k| k.name() == name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    tag: u16,
    perm: u16,
    id: u32,
}

/// A list, its entries in the order of `acl(5)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl(Vec<Entry>);

/// What a new file starts with.
#[derive(Clone, Debug, Default)]
pub struct Inherited {
    /// Its own list, if more than its permission bits.
    pub access: Option<Arc<Acl>>,
    /// Of a directory: what its files will start with.
    pub default: Option<Arc<Acl>>,
}

impl Acl {
    /// Reads the form attributes have, with ids as `ns` shows them: `EINVAL`, `EOPNOTSUPP`.
    /// `None` for one without entries, which takes a list off.
    pub fn parse(value: &[u8], ns: &UserNs) -> Result<Option<Acl>> {
        if value.is_empty() {
            return Ok(None);
        }
        let (head, rest) = value.split_at_checked(HEADER).ok_or(Errno::EINVAL)?;
        if head != VERSION.to_le_bytes() {
            return Err(Errno::EOPNOTSUPP);
        }
        let (entries, odd) = rest.as_chunks::<ENTRY>();
        if !odd.is_empty() {
            return Err(Errno::EINVAL);
        }
        if entries.is_empty() {
            return Ok(None);
        }
        let entries: Result<Vec<_>> = entries.iter().map(|e| Entry::parse(e, ns)).collect();
        Ok(Some(Acl(entries?)))
    }

    /// The form attributes have, with ids as `ns` shows them.
    pub fn encode(&self, ns: &UserNs) -> Vec<u8> {
        let mut out = VERSION.to_le_bytes().to_vec();
        for e in &self.0 {
            let id = match e.tag {
                USER => ns.uid_to_user(e.id).unwrap_or(NO_ID),
                GROUP => ns.gid_to_user(e.id).unwrap_or(NO_ID),
                _ => NO_ID,
            };
            out.extend_from_slice(&e.tag.to_le_bytes());
            out.extend_from_slice(&e.perm.to_le_bytes());
            out.extend_from_slice(&id.to_le_bytes());
        }
        out
    }

    /// Whether the entries are those of `acl(5)`, "Valid ACLs"; `EINVAL`.
    fn validate(&self) -> Result<()> {
        let mut before = 0;
        let mut named = false;
        for e in &self.0 {
            let follows = match e.tag {
                USER_OBJ => before == 0,
                USER => before == USER_OBJ || before == USER,
                GROUP_OBJ => before == USER_OBJ || before == USER,
                GROUP => before == GROUP_OBJ || before == GROUP,
                MASK => before == GROUP_OBJ || before == GROUP,
                _ => before == MASK || (!named && before == GROUP_OBJ),
            };
            if !follows || e.perm & !7 != 0 {
                return Err(Errno::EINVAL);
            }
            named |= e.tag == USER || e.tag == GROUP;
            before = e.tag;
        }
        if before == OTHER {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }

    /// Whether it says more than permission bits can.
    fn is_extended(&self) -> bool {
        self.0.iter().any(|e| e.tag & (USER | GROUP | MASK) != 0)
    }

    fn perm_of(&self, tag: u16) -> Option<u16> {
        self.0.iter().find(|e| e.tag == tag).map(|e| e.perm)
    }

    /// The permission bits that show it: those of the group are the mask's, if there is one.
    fn bits(&self) -> u32 {
        let of = |tag| u32::from(self.perm_of(tag).unwrap_or(0));
        let group = self.perm_of(MASK).map_or_else(|| of(GROUP_OBJ), u32::from);
        of(USER_OBJ) << 6 | group << 3 | of(OTHER)
    }

    /// As it is after `chmod(2)` to `perm`.
    #[must_use]
    pub fn with_bits(&self, perm: u32) -> Acl {
        let masked = self.perm_of(MASK).is_some();
        let mut new = self.clone();
        for e in &mut new.0 {
            let shift = match e.tag {
                USER_OBJ => 6,
                MASK => 3,
                GROUP_OBJ if !masked => 3,
                OTHER => 0,
                _ => continue,
            };
            e.perm = (perm >> shift & 7) as u16;
        }
        new
    }

    /// What a file made with `perm` in a directory with this default list gets: its bits and
    /// its list.
    fn inherit(&self, perm: u32) -> (u32, Acl) {
        let masked = self.perm_of(MASK).is_some();
        let mut new = self.clone();
        for e in &mut new.0 {
            let shift = match e.tag {
                USER_OBJ => 6,
                MASK => 3,
                GROUP_OBJ if !masked => 3,
                OTHER => 0,
                _ => continue,
            };
            e.perm &= (perm >> shift & 7) as u16;
        }
        (perm & !0o777 | new.bits(), new)
    }

    /// Whether it lets `creds`, who do not own the file, do `want` (bits of `access(2)`) with
    /// a file of group `gid` (`acl(5)`, "Access check algorithm").
    pub fn permits(&self, creds: &Creds, gid: u32, want: u32) -> bool {
        let want = (want & 7) as u16;
        let mask = self.perm_of(MASK).unwrap_or(7);
        let user = |e: &&Entry| e.tag == USER && e.id == creds.fsuid;
        if let Some(e) = self.0.iter().find(user) {
            return e.perm & mask & want == want;
        }
        let mut member = false;
        for e in &self.0 {
            let here = match e.tag {
                GROUP_OBJ => creds.in_group(gid),
                GROUP => creds.in_group(e.id),
                _ => false,
            };
            if here && e.perm & want == want {
                return mask & want == want;
            }
            member |= here;
        }
        !member && self.perm_of(OTHER).unwrap_or(0) & want == want
    }
}

impl Entry {
    fn parse(raw: &[u8; ENTRY], ns: &UserNs) -> Result<Entry> {
        let [t0, t1, p0, p1, id @ ..] = *raw;
        let (tag, id) = (u16::from_le_bytes([t0, t1]), u32::from_le_bytes(id));
        let id = match tag {
            USER_OBJ | GROUP_OBJ | MASK | OTHER => NO_ID,
            USER => ns.uid_to_kernel(id).ok_or(Errno::EINVAL)?,
            GROUP => ns.gid_to_kernel(id).ok_or(Errno::EINVAL)?,
            _ => return Err(Errno::EINVAL),
        };
        let perm = u16::from_le_bytes([p0, p1]);
        Ok(Entry { tag, perm, id })
    }
}

impl Inherited {
    /// Nothing.
    pub fn is_empty(&self) -> bool {
        self.access.is_none() && self.default.is_none()
    }

    /// What a file made in `parent` with `perm` gets, and its bits after `umask`, which
    /// counts only where no default list stands.
    pub fn from(
        parent: &dyn Inode,
        perm: u32,
        umask: u32,
        is_dir: bool,
    ) -> Result<(u32, Inherited)> {
        let Some(default) = parent.acl(AclKind::Default)? else {
            return Ok((perm & !umask, Inherited::default()));
        };
        let (perm, access) = default.inherit(perm);
        let acls = Inherited {
            access: access.is_extended().then(|| Arc::new(access)),
            default: is_dir.then_some(default),
        };
        Ok((perm, acls))
    }
}

/// `getxattr(2)` of a list: `ENODATA` where the permission bits say all.
pub fn get(creds: &Creds, inode: &dyn Inode, kind: AclKind) -> Result<Vec<u8>> {
    if inode.kind() == FileType::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    let stored = inode.get_xattr(kind.name())?;
    let acl = Acl::parse(&stored, &UserNs::INITIAL)?;
    Ok(acl.ok_or(Errno::ENODATA)?.encode(&creds.user_ns))
}

/// `setxattr(2)` of a list, or `removexattr(2)` with no value: `EOPNOTSUPP`, `EPERM` for
/// others than the owner, `EACCES` for a default list of anything but a directory.
pub fn set(creds: &Creds, path: &Path, kind: AclKind, value: &[u8]) -> Result<()> {
    let acl = Acl::parse(value, &creds.user_ns)?;
    let inode = path.inode()?;
    if inode.kind() == FileType::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    match inode.get_xattr(kind.name()) {
        Ok(_) | Err(Errno::ENODATA) => {}
        Err(e) => return Err(e),
    }
    if kind == AclKind::Default && inode.kind() != FileType::Directory {
        return acl.map_or(Ok(()), |_| Err(Errno::EACCES));
    }
    let attr = inode.attr()?;
    if !perm::owns(creds, &attr) {
        return Err(Errno::EPERM);
    }
    if let Some(acl) = &acl {
        acl.validate()?;
    }
    let bits = acl.as_ref().filter(|_| kind == AclKind::Access);
    let mut perm = bits.map_or(attr.perm, |acl| attr.perm & !0o777 | acl.bits());
    if bits.is_some()
        && !creds.in_group(attr.gid)
        && !creds.capable_over(attr.uid, attr.gid, Cap::Fsetid)
    {
        perm &= !0o2000;
    }
    let kept = acl.filter(|acl| kind == AclKind::Default || acl.is_extended());
    match kept {
        Some(acl) => inode.set_xattr(kind.name(), &acl.encode(&UserNs::INITIAL), 0)?,
        None => match inode.remove_xattr(kind.name()) {
            Ok(()) | Err(Errno::ENODATA) => {}
            Err(e) => return Err(e),
        },
    }
    if inode.attr()?.perm != perm {
        inode.set_attr(&SetAttr {
            perm: Some(perm),
            ..SetAttr::default()
        })?;
    }
    inotify::event(path, Mask::ATTRIB);
    Ok(())
}
