//! Changes made by others are told, own ones are not.

mod common;

use std::time::{Duration, Instant};

use common::Rig;
use gofer::client::RenameFlags;
use gofer::{SetAttr, WatchEvent, WatchKind};

/// Events until one about `name` comes; all of them.
fn events_until(rig: &Rig, name: &str) -> Vec<WatchEvent> {
    let mut all = Vec::new();
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        all.extend(rig.client().poll_events());
        if all.iter().any(|e: &WatchEvent| *e.name == *name.as_bytes()) {
            return all;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("no event about {name}: {all:?}");
}

#[test]
fn foreign_changes_are_told_and_own_ones_not() {
    let rig = Rig::new();
    let c = rig.client();
    let (root, _) = c.attach(0).unwrap();
    c.watch(root).unwrap();
    let (me, us) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    for round in 0..50 {
        let made = c.create(root, b"own", 0o644, me, us, true).unwrap();
        c.mkdir(root, b"dir", (0o1755, me, us), false).unwrap();
        c.symlink(root, b"link", b"x", me, us).unwrap();
        c.link(made.handle, root, b"second").unwrap();
        drop(made.file);
        let set = SetAttr {
            mode: Some(0o640 + round % 2),
            ..SetAttr::default()
        };
        c.set_attr(made.handle, set).unwrap();
        c.rename(root, b"own", root, b"moved", RenameFlags::empty())
            .unwrap();
        c.rename(root, b"link", root, b"moved", RenameFlags::EXCHANGE)
            .unwrap();
        for name in [b"moved".as_slice(), b"second", b"link"] {
            c.unlink(root, name, None).unwrap();
        }
        c.rmdir(root, b"dir", None).unwrap();
        assert!(c.unlink(root, b"none", None).is_err());
    }
    std::fs::write(rig.host("foreign"), b"x").unwrap();
    let seen = events_until(&rig, "foreign");
    let strays: Vec<_> = seen
        .iter()
        .filter(|e| *e.name != *b"foreign" && e.kind == WatchKind::Entries)
        .collect();
    assert!(strays.is_empty(), "{strays:?}");
    let first = seen.iter().find(|e| *e.name == *b"foreign").unwrap();
    assert_eq!((first.handle, first.kind), (root, WatchKind::Entries));
    // A failed own operation must not swallow a foreign one.
    assert!(c.unlink(root, b"none", None).is_err());
    std::fs::write(rig.host("none"), b"x").unwrap();
    events_until(&rig, "none");
    std::fs::remove_file(rig.host("file")).unwrap();
    events_until(&rig, "file");
}

#[test]
fn a_removed_directory_is_told() {
    let rig = Rig::new();
    let c = rig.client();
    let (root, _) = c.attach(0).unwrap();
    std::fs::create_dir(rig.host("d")).unwrap();
    let (dir, _) = c.lookup(root, b"d").unwrap();
    c.watch(dir).unwrap();
    std::fs::write(rig.host("d/x"), b"").unwrap();
    events_until(&rig, "x");
    c.forget(dir);
    c.flush_forgotten();
    let end = Instant::now() + Duration::from_secs(5);
    while c.get_attr(dir).is_ok() {
        assert!(Instant::now() < end);
    }
    std::fs::write(rig.host("d/y"), b"").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let late = c.poll_events();
    assert!(late.iter().all(|e| *e.name != *b"y"), "{late:?}");
}
