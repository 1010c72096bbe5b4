//! Mounts that spread: nothing of them is left when they are gone, limits hold.

use std::sync::Arc;

use abi::Errno;

use super::mount_tree::TOTAL_MAX;
use super::{MountFlags, MountNamespace, Path, Propagation, WalkCx, WalkFlags, change, lookup};
use crate::fs::tmpfs::tests::small_fs;
use crate::userns::UserNs;

fn world(dirs: &[&str]) -> (Arc<MountNamespace>, WalkCx<'static>) {
    let ns = MountNamespace::new(small_fs(), MountFlags::empty()).unwrap();
    let cx = WalkCx::kernel(ns.root());
    for dir in dirs {
        change::mkdir(&cx, &cx.root, dir.as_bytes(), 0o755).unwrap();
    }
    (ns, cx)
}

fn at(cx: &WalkCx<'_>, name: &str) -> Path {
    lookup(cx, &cx.root, name.as_bytes(), WalkFlags::FOLLOW).unwrap()
}

fn shared(ns: &MountNamespace, path: &Path) {
    ns.set_propagation(path, Propagation::Shared, false)
        .unwrap();
}

#[test]
fn nothing_is_left_of_what_spread() {
    let (ns, cx) = world(&["a", "b"]);
    ns.mount(&at(&cx, "a"), small_fs(), b"t", MountFlags::empty())
        .unwrap();
    change::mkdir(&cx, &cx.root, b"a/in", 0o755).unwrap();
    shared(&ns, &at(&cx, "a"));
    ns.bind(&at(&cx, "b"), &at(&cx, "a"), false).unwrap();
    let (other, _) = ns.duplicate(&UserNs::INITIAL).unwrap();
    ns.mount(&at(&cx, "a/in"), small_fs(), b"t", MountFlags::empty())
        .unwrap();
    assert_eq!((ns.mount_count(), other.mount_count()), (5, 5));
    ns.umount(&at(&cx, "b/in"), false).unwrap();
    assert_eq!((ns.mount_count(), other.mount_count()), (3, 3));
    drop(other);
    ns.umount(&at(&cx, "b"), true).unwrap();
    ns.umount(&at(&cx, "a"), false).unwrap();
    assert_eq!(ns.mount_count(), 1);
    assert!(ns.trees().is_all_in(&ns));
    assert!(ns.trees().groups.is_empty());
    assert!(
        at(&cx, "a")
            .dentry
            .mounts()
            .load(std::sync::atomic::Ordering::Relaxed)
            == 0
    );
}

#[test]
fn too_many_change_nothing() {
    let (ns, cx) = world(&["a", "b"]);
    shared(&ns, &ns.root());
    let mut failed = None;
    for _ in 0..40 {
        let before = ns.mount_count();
        if let Err(e) = ns.bind(&at(&cx, "a"), &ns.root(), true) {
            failed = Some((e, ns.mount_count() == before));
            break;
        }
    }
    assert_eq!(failed, Some((Errno::ENOSPC, true)));
    assert!(ns.trees().is_all_in(&ns));
    assert!(ns.mount_count() < TOTAL_MAX);
    ns.umount(&at(&cx, "a"), true).unwrap();
    assert_eq!(ns.mount_count(), 1);
}

#[test]
fn a_deep_stack_falls_without_recursion() {
    let (ns, cx) = world(&["a"]);
    let mut top = at(&cx, "a");
    for _ in 0..50_000 {
        top = Path::root_of(&ns.bind(&top, &ns.bare_root(), false).unwrap());
    }
    drop(top);
    let tree = ns.detached_copy(&ns.bare_root(), true).unwrap();
    drop(tree);
    drop(ns);
}
