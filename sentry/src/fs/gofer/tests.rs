//! Walks, changes, data and foreign changes over a real gofer and a real directory.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use abi::Errno;
use gofer::{Client, Exports, MountRoot, server};

use super::{GoferFs, Session};
use crate::fs::file::{File, OpenFlags, Whence};
use crate::fs::vfs::{
    self, DirEntry, DirSink, MountFlags, MountNamespace, OpenHow, Path, RenameFlags, WalkCx,
    WalkFlags, change, rename, setattr, walk,
};
use crate::io::{KernelDst, KernelSrc};

struct Rig {
    dir: tempfile::TempDir,
    cx: Option<WalkCx<'static>>,
    ns: Option<Arc<MountNamespace>>,
    server: Option<JoinHandle<()>>,
}

impl Rig {
    fn new(exclusive: bool) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("etc/deep")).unwrap();
        std::fs::write(dir.path().join("etc/passwd"), b"root").unwrap();
        std::os::unix::fs::symlink("etc/passwd", dir.path().join("link")).unwrap();
        let (ours, theirs) = gofer::pair().unwrap();
        let exports = Exports::new(vec![MountRoot::open(dir.path(), false).unwrap()]).unwrap();
        let server = std::thread::spawn(move || server::serve(theirs, exports).unwrap());
        let session = Session::new(Arc::new(Client::new(ours).unwrap()));
        let fs = GoferFs::new(&session, 0, exclusive, 77).unwrap();
        let ns = MountNamespace::new(fs, MountFlags::default()).unwrap();
        Rig {
            cx: Some(WalkCx::kernel(ns.root())),
            ns: Some(ns),
            dir,
            server: Some(server),
        }
    }

    fn cx(&self) -> &WalkCx<'static> {
        self.cx.as_ref().unwrap()
    }

    fn at(&self) -> &Path {
        &self.cx().cwd
    }

    fn host(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn open(&self, name: &str, flags: OpenFlags) -> crate::Result<Arc<File>> {
        let how = OpenHow {
            flags,
            perm: 0o644,
            walk: WalkFlags::default(),
        };
        vfs::open(self.cx(), self.at(), name.as_bytes(), &how)
    }

    fn stat(&self, name: &str) -> crate::Result<vfs::Attr> {
        walk::lookup(self.cx(), self.at(), name.as_bytes(), WalkFlags::empty())?
            .inode()?
            .attr()
    }

    fn list(&self, name: &str) -> Vec<String> {
        struct Names(Vec<String>);
        impl DirSink for Names {
            fn entry(&mut self, e: DirEntry<'_>) -> bool {
                self.0.push(String::from_utf8_lossy(e.name).into_owned());
                true
            }
        }
        let dir = self.open(name, OpenFlags::DIRECTORY).unwrap();
        let mut names = Names(Vec::new());
        dir.ops.read_dir(&dir.cx(None), &mut 0, &mut names).unwrap();
        names.0.sort();
        names.0
    }

    /// Waits until `done`; what others did must be seen some time.
    fn eventually(&self, what: &str, done: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(5);
        while !done() {
            assert!(Instant::now() < end, "never happened: {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.cx = None;
        self.ns = None;
        if !std::thread::panicking() {
            self.server.take().unwrap().join().unwrap();
        }
    }
}

fn write(file: &Arc<File>, bytes: &[u8], pos: u64) -> usize {
    let mut src = KernelSrc::new(bytes);
    file.ops.write(&file.cx(None), &mut src, pos).unwrap()
}

fn read(file: &Arc<File>, pos: u64) -> Vec<u8> {
    let mut buf = vec![0; 4096];
    let mut dst = KernelDst::new(&mut buf);
    let n = file.ops.read(&file.cx(None), &mut dst, pos).unwrap();
    buf.truncate(n);
    buf
}

const NEW: OpenFlags = OpenFlags::CREAT.union(OpenFlags::RDWR);

#[test]
fn files_are_found_made_and_removed() {
    for exclusive in [true, false] {
        let rig = Rig::new(exclusive);
        let (cx, at) = (rig.cx(), rig.at());
        assert_eq!(
            read(&rig.open("link", OpenFlags::empty()).unwrap(), 0),
            b"root"
        );
        assert_eq!(rig.stat("none").unwrap_err(), Errno::ENOENT);
        assert_eq!(rig.stat("etc/passwd").unwrap().size, 4);
        let file = rig.open("etc/new", NEW).unwrap();
        assert_eq!(write(&file, b"hello", 2), 5);
        assert_eq!(rig.stat("etc/new").unwrap().size, 7);
        assert_eq!(read(&file, 0), b"\0\0hello");
        assert_eq!(std::fs::read(rig.host("etc/new")).unwrap(), b"\0\0hello");
        let mut src = KernelSrc::new(b"!");
        assert_eq!(file.ops.append(&file.cx(None), &mut src).unwrap(), (1, 8));
        file.ops.truncate(&file.cx(None), 3).unwrap();
        let end = file.ops.seek(&file.cx(None), 0, 0, Whence::End).unwrap();
        assert_eq!((end, rig.stat("etc/new").unwrap().size), (3, 3));
        change::mkdir(cx, at, b"d", 0o755).unwrap();
        change::mkdir(cx, at, b"d/e", 0o755).unwrap();
        assert_eq!(
            change::mkdir(cx, at, b"d", 0o755).unwrap_err(),
            Errno::EEXIST
        );
        assert_eq!(change::rmdir(cx, at, b"d").unwrap_err(), Errno::ENOTEMPTY);
        assert_eq!(rig.list("d"), [".", "..", "e"]);
        change::symlink(cx, b"e", at, b"d/s").unwrap();
        assert_eq!(rig.stat("d/s").unwrap().kind, vfs::FileType::Symlink);
        let old = walk::lookup(cx, at, b"etc/new", WalkFlags::empty()).unwrap();
        change::link(cx, &old, at, b"d/second").unwrap();
        assert_eq!(rig.stat("etc/new").unwrap().nlink, 2);
        assert_eq!(
            rig.stat("etc/new").unwrap().ino,
            rig.stat("d/second").unwrap().ino
        );
        change::unlink(cx, at, b"etc/new").unwrap();
        assert_eq!(rig.stat("etc/new").unwrap_err(), Errno::ENOENT);
        assert_eq!(rig.stat("d/second").unwrap().nlink, 1);
        assert_eq!(read(&file, 0), b"\0\0h");
        assert_eq!(rig.list("d"), [".", "..", "e", "s", "second"]);
        for name in [b"d/second".as_slice(), b"d/s"] {
            change::unlink(cx, at, name).unwrap();
        }
        // It lives on while open.
        write(&file, b"x", 9);
        assert_eq!(file.inode().unwrap().attr().unwrap().nlink, 0);
        assert_eq!(file.inode().unwrap().attr().unwrap().size, 10);
        change::rmdir(cx, at, b"d/e").unwrap();
        change::rmdir(cx, at, b"d").unwrap();
        assert_eq!(rig.list("."), [".", "..", "etc", "link"]);
    }
}

#[test]
fn renames_keep_what_is_known_true() {
    for exclusive in [true, false] {
        let rig = Rig::new(exclusive);
        let (cx, at) = (rig.cx(), rig.at());
        let mv = |a: &str, b: &str, flags| {
            rename::rename(cx, (at, a.as_bytes()), (at, b.as_bytes()), flags)
        };
        let plain = RenameFlags::empty();
        rig.open("a", NEW).unwrap();
        let b = rig.open("b", NEW).unwrap();
        write(&b, b"bb", 0);
        mv("a", "b", RenameFlags::NOREPLACE).unwrap_err();
        mv("a", "b", RenameFlags::EXCHANGE).unwrap();
        assert_eq!(
            (rig.stat("a").unwrap().size, rig.stat("b").unwrap().size),
            (2, 0)
        );
        mv("a", "b", plain).unwrap();
        assert_eq!(rig.stat("a").unwrap_err(), Errno::ENOENT);
        assert_eq!(rig.stat("b").unwrap().size, 2);
        mv("etc", "usr", plain).unwrap();
        assert_eq!(rig.stat("usr/passwd").unwrap().size, 4);
        assert_eq!(
            read(&rig.open("usr/passwd", OpenFlags::empty()).unwrap(), 0),
            b"root"
        );
        assert_eq!(mv("usr", "usr/deep/x", plain).unwrap_err(), Errno::EINVAL);
        mv("b", "usr/deep/b", plain).unwrap();
        assert_eq!(rig.list("usr/deep"), [".", "..", "b"]);
        assert_eq!(rig.list("."), [".", "..", "link", "usr"]);
        assert_eq!(std::fs::read(rig.host("usr/deep/b")).unwrap(), b"bb");
    }
}

#[test]
fn attributes_change_and_are_kept() {
    let rig = Rig::new(true);
    let (cx, at) = (rig.cx(), rig.at());
    let file = walk::lookup(cx, at, b"etc/passwd", WalkFlags::empty()).unwrap();
    setattr::chmod(cx, &file, 0o600).unwrap();
    assert_eq!(rig.stat("etc/passwd").unwrap().perm, 0o600);
    let to = vfs::TimeSet::To(Duration::new(5, 6).into());
    setattr::utimes(cx, &file, Some(to), Some(to)).unwrap();
    let attr = rig.stat("etc/passwd").unwrap();
    assert_eq!(
        (attr.atime, attr.mtime),
        (Duration::new(5, 6).into(), Duration::new(5, 6).into())
    );
    setattr::truncate(cx, &file, 1).unwrap();
    assert_eq!(rig.stat("etc/passwd").unwrap().size, 1);
    let inode = file.inode().unwrap();
    assert_eq!(inode.get_xattr(b"security.capability"), Err(Errno::ENODATA));
    if inode.set_xattr(b"user.x", b"v", 0).is_ok() {
        assert_eq!(inode.get_xattr(b"user.x").unwrap(), b"v");
        assert_eq!(inode.list_xattr().unwrap(), [b"user.x".to_vec()]);
        inode.remove_xattr(b"user.x").unwrap();
        assert_eq!(inode.get_xattr(b"user.x"), Err(Errno::ENODATA));
    }
}

#[test]
fn what_others_do_is_seen() {
    for exclusive in [true, false] {
        let rig = Rig::new(exclusive);
        // Everything is cached first, absent names too.
        assert_eq!(rig.stat("etc/foreign").unwrap_err(), Errno::ENOENT);
        assert_eq!(rig.stat("etc/passwd").unwrap().size, 4);
        rig.list("etc");
        std::fs::write(rig.host("etc/foreign"), b"123").unwrap();
        rig.eventually("a new file", || {
            rig.stat("etc/foreign").is_ok_and(|a| a.size == 3)
        });
        assert!(rig.list("etc").contains(&"foreign".to_owned()));
        std::fs::write(rig.host("etc/passwd"), b"longer").unwrap();
        rig.eventually("new data", || rig.stat("etc/passwd").unwrap().size == 6);
        std::fs::remove_file(rig.host("etc/foreign")).unwrap();
        rig.eventually("a removal", || rig.stat("etc/foreign").is_err());
        // Replaced, as `docker cp` does it.
        let before = rig.open("etc/passwd", OpenFlags::empty()).unwrap();
        std::fs::write(rig.host("etc/tmp"), b"other").unwrap();
        std::fs::rename(rig.host("etc/tmp"), rig.host("etc/passwd")).unwrap();
        rig.eventually("a replacement", || {
            let file = rig.open("etc/passwd", OpenFlags::empty()).unwrap();
            read(&file, 0) == b"other"
        });
        assert_eq!(read(&before, 0), b"longer");
        assert_eq!(rig.stat("etc/deep").unwrap().kind, vfs::FileType::Directory);
        std::fs::remove_dir(rig.host("etc/deep")).unwrap();
        rig.eventually("a removed directory", || rig.stat("etc/deep").is_err());
    }
}

#[test]
fn a_deep_tree_is_taken_apart_without_recursion() {
    let rig = Rig::new(true);
    let cx = rig.cx();
    let mut at = rig.at().clone();
    for _ in 0..2000 {
        at = change::mkdir(cx, &at, b"d", 0o755).unwrap();
    }
    drop(at);
}
