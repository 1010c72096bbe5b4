//! Access control lists over a tmpfs, without a guest.

use std::sync::Arc;

use abi::Errno;

use super::{Acl, AclKind, set};
use crate::creds::{CapSet, Creds};
use crate::fs::tmpfs::tests::{create, small_fs};
use crate::fs::vfs::{Access, FileType, MountFlags, MountNamespace, Path, SetAttr};
use crate::fs::vfs::{WalkCx, WalkFlags, change, lookup, perm};
use crate::userns::UserNs;

/// The attribute with these entries: tag, permissions, id.
fn value(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut out = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&perm.to_le_bytes());
        out.extend_from_slice(&id.to_le_bytes());
    }
    out
}

fn world() -> (Arc<MountNamespace>, WalkCx<'static>) {
    let ns = MountNamespace::new(small_fs(), MountFlags::default()).unwrap();
    let cx = WalkCx::kernel(ns.root());
    (ns, cx)
}

fn user(uid: u32) -> Creds {
    Creds {
        uid,
        euid: uid,
        suid: uid,
        fsuid: uid,
        gid: 9,
        egid: 9,
        fsgid: 9,
        effective: CapSet::default(),
        ..Creds::root()
    }
}

fn at(cx: &WalkCx<'_>, name: &[u8]) -> Path {
    lookup(cx, &cx.cwd, name, WalkFlags::FOLLOW).unwrap()
}

#[test]
fn a_named_user_has_what_the_mask_leaves() {
    let (_ns, cx) = world();
    create(&cx, "f");
    let path = at(&cx, b"f");
    let list = value(&[
        (1, 6, !0),
        (2, 7, 1000),
        (4, 0, !0),
        (16, 6, !0),
        (32, 0, !0),
    ]);
    set(&cx.creds, &path, AclKind::Access, &list).unwrap();
    let inode = path.inode().unwrap();
    assert_eq!(inode.attr().unwrap().perm, 0o660);
    let may = |uid, want| perm::check(&user(uid), &*inode, want);
    assert_eq!(may(1000, Access::R | Access::W), Ok(()));
    assert_eq!(may(1000, Access::X), Err(Errno::EACCES));
    assert_eq!(may(1001, Access::R), Err(Errno::EACCES));
    let only_read = SetAttr {
        perm: Some(0o640),
        ..SetAttr::default()
    };
    inode.set_attr(&only_read).unwrap();
    assert_eq!(may(1000, Access::W), Err(Errno::EACCES));
    assert_eq!(may(1000, Access::R), Ok(()));
}

#[test]
fn new_files_start_with_the_default_list_and_no_umask() {
    let (_ns, mut cx) = world();
    cx.umask = 0o077;
    change::mkdir(&cx, &cx.cwd, b"d", 0o755).unwrap();
    let list = value(&[(1, 7, !0), (8, 5, 70), (4, 5, !0), (16, 7, !0), (32, 4, !0)]);
    let dir = at(&cx, b"d");
    // The entry of a group stands after that of the file's group.
    let wrong = set(&cx.creds, &dir, AclKind::Default, &list);
    assert_eq!(wrong, Err(Errno::EINVAL));
    let list = value(&[(1, 7, !0), (4, 5, !0), (8, 5, 70), (16, 7, !0), (32, 4, !0)]);
    set(&cx.creds, &dir, AclKind::Default, &list).unwrap();
    change::mknod(&cx, &cx.cwd, b"d/f", FileType::Regular, 0o666, 0).unwrap();
    let made = at(&cx, b"d/f").inode().unwrap();
    assert_eq!(made.attr().unwrap().perm, 0o664);
    assert!(made.acl(AclKind::Access).unwrap().is_some());
    assert!(made.acl(AclKind::Default).unwrap().is_none());
    change::mkdir(&cx, &cx.cwd, b"d/e", 0o777).unwrap();
    let below = at(&cx, b"d/e").inode().unwrap();
    assert!(below.acl(AclKind::Default).unwrap().is_some());
}

#[test]
fn what_is_no_list_is_refused() {
    let ns = UserNs::INITIAL;
    assert_eq!(Acl::parse(&[2, 0, 0], &ns).err(), Some(Errno::EINVAL));
    let odd = [value(&[(1, 7, !0)]), vec![0]].concat();
    assert_eq!(Acl::parse(&odd, &ns).err(), Some(Errno::EINVAL));
    let version = [1, 0, 0, 0];
    assert_eq!(Acl::parse(&version, &ns).err(), Some(Errno::EOPNOTSUPP));
    assert_eq!(Acl::parse(&value(&[]), &ns), Ok(None));
    assert_eq!(
        Acl::parse(&value(&[(64, 7, !0)]), &ns).err(),
        Some(Errno::EINVAL)
    );
}
