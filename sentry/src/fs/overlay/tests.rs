//! An overlay of two tmpfs instances.

use std::sync::Arc;

use abi::Errno;

use super::OverlayFs;
use crate::fs::file::{File, OpenFlags};
use crate::fs::tmpfs::tests::{create, open, read, small_fs, write};
use crate::fs::vfs::{
    FileSystem, MountFlags, MountNamespace, RenameFlags, WalkCx, WalkFlags, change, lookup, rename,
};

fn names(cx: &WalkCx<'_>, dir: &str) -> Vec<String> {
    use crate::fs::vfs::{DirEntry, DirSink};
    struct All(Vec<String>);
    impl DirSink for All {
        fn entry(&mut self, e: DirEntry<'_>) -> bool {
            self.0.push(String::from_utf8_lossy(e.name).into_owned());
            true
        }
    }
    let file = open(cx, dir, OpenFlags::DIRECTORY).unwrap();
    let mut all = All(Vec::new());
    file.ops.read_dir(&file.cx(None), &mut 0, &mut all).unwrap();
    all.0.sort();
    all.0.split_off(2)
}

fn content(cx: &WalkCx<'_>, name: &str) -> Vec<u8> {
    let file: Arc<File> = open(cx, name, OpenFlags::default()).unwrap();
    read(&file, 100, 0)
}

/// A lower tree and an overlay on it.
fn setup() -> (WalkCx<'static>, WalkCx<'static>, [Arc<MountNamespace>; 2]) {
    let lower: Arc<dyn FileSystem> = small_fs();
    let ns = MountNamespace::new(lower.clone(), MountFlags::default()).unwrap();
    let below = WalkCx::kernel(ns.root());
    change::mkdir_all(&below, &below.cwd, b"d/sub", 0o755).unwrap();
    for name in ["a", "b", "d/x", "d/y", "d/sub/z"] {
        write(&create(&below, name), name.as_bytes(), 0).unwrap();
    }
    let a = lookup(&below, &below.cwd, b"a", WalkFlags::FOLLOW).unwrap();
    change::link(&below, &a, &below.cwd, b"a2").unwrap();
    let over = OverlayFs::in_memory(77, &lower, small_fs()).unwrap();
    let over_ns = MountNamespace::new(over, MountFlags::default()).unwrap();
    let above = WalkCx::kernel(over_ns.root());
    (below, above, [ns, over_ns])
}

#[test]
fn changes_stay_above() {
    let (below, above, _keep) = setup();
    assert_eq!(names(&above, "/"), ["a", "a2", "b", "d"]);
    let ino = |cx: &WalkCx<'_>, n: &str| {
        let p = lookup(cx, &cx.cwd, n.as_bytes(), WalkFlags::FOLLOW).unwrap();
        p.inode().unwrap().attr().unwrap().ino
    };
    let before = ino(&above, "d/sub/z");
    let z = open(&above, "d/sub/z", OpenFlags::RDWR).unwrap();
    write(&z, b"new", 7).unwrap();
    assert_eq!(content(&above, "d/sub/z"), b"d/sub/znew");
    assert_eq!(content(&below, "d/sub/z"), b"d/sub/z");
    assert_eq!(ino(&above, "d/sub/z"), before);
    write(&open(&above, "a", OpenFlags::RDWR).unwrap(), b"A", 0).unwrap();
    assert_eq!(content(&above, "a2"), b"A");
    change::unlink(&above, &above.cwd, b"b").unwrap();
    change::unlink(&above, &above.cwd, b"d/x").unwrap();
    create(&above, "n");
    assert_eq!(names(&above, "/"), ["a", "a2", "d", "n"]);
    assert_eq!(names(&above, "d"), ["sub", "y"]);
    assert_eq!(names(&below, "/"), ["a", "a2", "b", "d"]);
    write(&create(&above, "b"), b"again", 0).unwrap();
    assert_eq!(content(&above, "b"), b"again");
}

#[test]
fn removed_directories_do_not_shine_through() {
    let (below, above, _keep) = setup();
    assert_eq!(
        change::rmdir(&above, &above.cwd, b"d").unwrap_err(),
        Errno::ENOTEMPTY
    );
    for name in ["d/x", "d/y", "d/sub/z"] {
        change::unlink(&above, &above.cwd, name.as_bytes()).unwrap();
    }
    change::rmdir(&above, &above.cwd, b"d/sub").unwrap();
    change::rmdir(&above, &above.cwd, b"d").unwrap();
    assert_eq!(names(&above, "/"), ["a", "a2", "b"]);
    change::mkdir(&above, &above.cwd, b"d", 0o755).unwrap();
    assert!(names(&above, "d").is_empty());
    assert_eq!(names(&below, "d"), ["sub", "x", "y"]);
}

#[test]
fn renames_leave_whiteouts() {
    let (_below, above, _keep) = setup();
    let mv = |a: &str, b: &str| {
        let (a, b) = ((&above.cwd, a.as_bytes()), (&above.cwd, b.as_bytes()));
        rename::rename(&above, a, b, RenameFlags::default())
    };
    assert_eq!(mv("d/sub", "e").unwrap_err(), Errno::EXDEV);
    mv("d/x", "x").unwrap();
    mv("b", "d/y").unwrap();
    assert_eq!(names(&above, "/"), ["a", "a2", "d", "x"]);
    assert_eq!(names(&above, "d"), ["sub", "y"]);
    assert_eq!(content(&above, "d/y"), b"b");
    mv("a2", "a3").unwrap();
    assert_eq!(names(&above, "/"), ["a", "a3", "d", "x"]);
    change::mkdir(&above, &above.cwd, b"m", 0o755).unwrap();
    create(&above, "m/1");
    mv("m", "n").unwrap();
    assert_eq!(names(&above, "n"), ["1"]);
}
