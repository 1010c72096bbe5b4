//! Layers of rules over a tmpfs, without a guest.

use std::sync::Arc;

use abi::Errno;

use super::{Domain, FsRights, NetRights, Ruleset, Scopes, check_mount};
use crate::creds::Creds;
use crate::fs::file::OpenFlags;
use crate::fs::tmpfs::tests::{create, open, small_fs};
use crate::fs::vfs::{MountFlags, MountNamespace, RenameFlags, WalkCx, WalkFlags};
use crate::fs::vfs::{change, lookup, rename, setattr};

/// A tree of two directories with a file each, and what may be done there.
struct World {
    cx: WalkCx<'static>,
    _ns: Arc<MountNamespace>,
}

impl World {
    fn new() -> World {
        let ns = MountNamespace::new(small_fs(), MountFlags::default()).unwrap();
        let cx = WalkCx::kernel(ns.root());
        for dir in ["a", "b"] {
            change::mkdir(&cx, &cx.cwd, dir.as_bytes(), 0o755).unwrap();
            create(&cx, &format!("{dir}/f"));
        }
        World { cx, _ns: ns }
    }

    fn restrict(&mut self, handled: FsRights, rules: &[(&str, FsRights)]) {
        let mut set = Ruleset::new(handled, NetRights::empty(), Scopes::empty()).unwrap();
        for (name, rights) in rules {
            let path = lookup(&self.cx, &self.cx.cwd, name.as_bytes(), WalkFlags::FOLLOW);
            set.allow_path(path.unwrap().inode().unwrap(), *rights)
                .unwrap();
        }
        let mut creds = Creds::clone(&self.cx.creds);
        creds.landlock = creds.landlock.with(&set).unwrap();
        self.cx.creds = Arc::new(creds);
    }

    fn rename(&self, from: &str, to: &str) -> crate::Result<()> {
        let at = &self.cx.cwd;
        let (from, to) = ((at, from.as_bytes()), (at, to.as_bytes()));
        rename::rename(&self.cx, from, to, RenameFlags::empty())
    }
}

#[test]
fn a_right_holds_below_the_directory_of_its_rule_only() {
    let mut w = World::new();
    w.restrict(
        FsRights::READ_FILE | FsRights::TRUNCATE,
        &[("a", FsRights::READ_FILE)],
    );
    assert!(open(&w.cx, "a/f", OpenFlags::default()).is_ok());
    let denied = open(&w.cx, "b/f", OpenFlags::default());
    assert_eq!(denied.err(), Some(Errno::EACCES));
    // Not handled, so not taken away.
    let file = open(&w.cx, "b/f", OpenFlags::WRONLY).unwrap();
    assert_eq!(file.check_right(FsRights::TRUNCATE), Err(Errno::EACCES));
    let path = lookup(&w.cx, &w.cx.cwd, b"a/f", WalkFlags::FOLLOW).unwrap();
    assert_eq!(setattr::truncate(&w.cx, &path, 0), Err(Errno::EACCES));
    assert_eq!(check_mount(&w.cx.creds), Err(Errno::EPERM));
}

#[test]
fn every_layer_has_to_allow() {
    let mut w = World::new();
    w.restrict(FsRights::MAKE_DIR, &[("/", FsRights::MAKE_DIR)]);
    w.restrict(FsRights::MAKE_DIR, &[("a", FsRights::MAKE_DIR)]);
    assert!(change::mkdir(&w.cx, &w.cx.cwd, b"a/d", 0o755).is_ok());
    let denied = change::mkdir(&w.cx, &w.cx.cwd, b"b/d", 0o755);
    assert_eq!(denied.err(), Some(Errno::EACCES));
}

#[test]
fn a_file_gains_no_right_by_a_move() {
    let mut w = World::new();
    let moves = FsRights::REFER | FsRights::MAKE_REG | FsRights::REMOVE_FILE;
    let handled = moves | FsRights::WRITE_FILE;
    let more = moves | FsRights::WRITE_FILE;
    w.restrict(handled, &[("a", moves), ("b", more)]);
    assert_eq!(w.rename("a/f", "b/g"), Err(Errno::EXDEV));
    assert_eq!(w.rename("b/f", "a/g"), Ok(()));
    assert_eq!(w.rename("a/g", "g"), Err(Errno::EACCES));
}

#[test]
fn no_layer_lets_files_change_their_directory_unasked() {
    let mut w = World::new();
    w.restrict(FsRights::READ_FILE, &[("/", FsRights::READ_FILE)]);
    assert_eq!(w.rename("a/f", "b/g"), Err(Errno::EXDEV));
    assert_eq!(w.rename("a/f", "a/g"), Ok(()));
}

#[test]
fn scopes_end_at_the_layer_that_has_them() {
    let none = FsRights::empty();
    let plain = Ruleset::new(FsRights::EXECUTE, NetRights::empty(), Scopes::empty()).unwrap();
    let scoped = Ruleset::new(none, NetRights::empty(), Scopes::SIGNAL).unwrap();
    let outer = Domain::default().with(&plain).unwrap();
    let inner = outer.with(&scoped).unwrap();
    let below = inner.with(&plain).unwrap();
    assert!(inner.scoped_from(&outer, Scopes::SIGNAL));
    assert!(!inner.scoped_from(&below, Scopes::SIGNAL));
    assert!(!outer.scoped_from(&Domain::default(), Scopes::SIGNAL));
    assert!(below.within(&inner) && !outer.within(&inner));
}

#[test]
fn a_domain_has_sixteen_layers_at_most() {
    let mut set = Ruleset::new(FsRights::empty(), NetRights::BIND_TCP, Scopes::empty()).unwrap();
    set.allow_port(80, NetRights::BIND_TCP).unwrap();
    let mut domain = Domain::default();
    for _ in 0..16 {
        domain = domain.with(&set).unwrap();
    }
    assert_eq!(domain.with(&set), Err(Errno::E2BIG));
    assert_eq!(domain.check_port(80, NetRights::BIND_TCP), Ok(()));
    assert_eq!(
        domain.check_port(81, NetRights::BIND_TCP),
        Err(Errno::EACCES)
    );
    assert_eq!(domain.check_port(81, NetRights::CONNECT_TCP), Ok(()));
}
