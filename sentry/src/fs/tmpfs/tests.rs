//! Walks, directory changes and data of a tmpfs, without a guest.

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;
use guestmem::MemoryFile;

use super::{TmpFs, TmpOptions};
use crate::fs::file::{File, OpenFlags, Whence};
use crate::fs::vfs::{
    self, DirEntry, DirSink, FileType, MountFlags, MountNamespace, OpenHow, RenameFlags, WalkCx,
    WalkFlags, change, rename,
};
use crate::io::{KernelDst, KernelSrc};
use crate::mm::frames::Frames;
use crate::time::clock::Clock;

struct Still;
impl Clock for Still {
    fn monotonic(&self) -> Duration {
        Duration::from_secs(1)
    }
    fn realtime(&self) -> Duration {
        Duration::from_secs(1000)
    }
    fn boottime(&self) -> Duration {
        Duration::from_secs(1)
    }
}

fn fs(options: TmpOptions) -> Arc<TmpFs> {
    let _ = guestmem::install_handler();
    let memory = Arc::new(MemoryFile::new(1 << 36).unwrap());
    TmpFs::new(Frames::new(memory), Arc::new(Still), 42, options)
}

/// An instance without limits.
pub(crate) fn small_fs() -> Arc<TmpFs> {
    fs(TmpOptions::default())
}

fn cx() -> (Arc<MountNamespace>, WalkCx<'static>) {
    let ns = MountNamespace::new(fs(TmpOptions::default()), MountFlags::default()).unwrap();
    let cx = WalkCx::kernel(ns.root());
    (ns, cx)
}

pub(crate) fn open(cx: &WalkCx<'_>, name: &str, flags: OpenFlags) -> crate::Result<Arc<File>> {
    let how = OpenHow {
        flags,
        perm: 0o644,
        walk: WalkFlags::default(),
    };
    vfs::open(cx, &cx.cwd, name.as_bytes(), &how)
}

pub(crate) fn create(cx: &WalkCx<'_>, name: &str) -> Arc<File> {
    open(cx, name, OpenFlags::CREAT | OpenFlags::RDWR).unwrap()
}

pub(crate) fn write(file: &Arc<File>, bytes: &[u8], pos: u64) -> crate::Result<usize> {
    let mut src = KernelSrc::new(bytes);
    file.ops.write(&file.cx(None), &mut src, pos)
}

pub(crate) fn read(file: &Arc<File>, len: usize, pos: u64) -> Vec<u8> {
    let mut buf = vec![0xff; len];
    let n = {
        let mut dst = KernelDst::new(&mut buf);
        file.ops.read(&file.cx(None), &mut dst, pos).unwrap()
    };
    buf.truncate(n);
    buf
}

fn lookup(cx: &WalkCx<'_>, name: &str) -> crate::Result<vfs::Path> {
    vfs::lookup(cx, &cx.cwd, name.as_bytes(), WalkFlags::FOLLOW)
}

#[test]
fn names_lead_where_they_should() {
    let (ns, cx) = cx();
    change::mkdir_all(&cx, &cx.cwd, b"/a/b/c", 0o755).unwrap();
    change::symlink(&cx, b"../b/c", &cx.cwd, b"/a/b/link").unwrap();
    change::symlink(&cx, b"loop", &cx.cwd, b"loop").unwrap();
    create(&cx, "/a/file");
    let c = lookup(&cx, "/a/b/c").unwrap();
    assert_eq!(c.full_text(), b"/a/b/c");
    assert_eq!(lookup(&cx, "a/./b/link/").unwrap(), c);
    assert_eq!(lookup(&cx, "/../../a//b/../b/c").unwrap(), c);
    assert_eq!(lookup(&cx, "loop").unwrap_err(), Errno::ELOOP);
    assert_eq!(lookup(&cx, "/a/file/").unwrap_err(), Errno::ENOTDIR);
    assert_eq!(lookup(&cx, "/a/file/x").unwrap_err(), Errno::ENOTDIR);
    assert_eq!(lookup(&cx, "/a/none").unwrap_err(), Errno::ENOENT);
    assert_eq!(lookup(&cx, "").unwrap_err(), Errno::ENOENT);
    let long = "x".repeat(256);
    assert_eq!(lookup(&cx, &long).unwrap_err(), Errno::ENAMETOOLONG);

    let inner = fs(TmpOptions::default());
    let m = ns.mount(&c, inner, b"tmpfs", MountFlags::RDONLY).unwrap();
    let in_mount = lookup(&cx, "/a/b/c").unwrap();
    assert_eq!(in_mount.full_text(), b"/a/b/c");
    assert!(Arc::ptr_eq(&in_mount.mount, &m));
    assert_eq!(
        lookup(&cx, "/a/b/c/../../file").unwrap().full_text(),
        b"/a/file"
    );
    let ro = open(&cx, "/a/b/c/new", OpenFlags::CREAT | OpenFlags::RDWR);
    assert_eq!(ro.unwrap_err(), Errno::EROFS);
    assert_eq!(
        change::rmdir(&cx, &cx.cwd, b"/a/b/c").unwrap_err(),
        Errno::EBUSY
    );
    assert_eq!(ns.umount(&in_mount, false).unwrap_err(), Errno::EBUSY);
    drop(m);
    ns.umount(&in_mount, false).unwrap();
    assert_eq!(lookup(&cx, "/a/b/c").unwrap(), c);
    change::rmdir(&cx, &cx.cwd, b"/a/b/c").unwrap();
    assert_eq!(c.full_text(), b"/a/b/c (deleted)");
    assert_eq!(lookup(&cx, "/a/b/link").unwrap_err(), Errno::ENOENT);
    let through = open(&cx, "/a/b/link", OpenFlags::CREAT | OpenFlags::RDWR).unwrap();
    assert_eq!(through.path.as_ref().unwrap().full_text(), b"/a/b/c");
}

#[test]
fn renames_and_removals() {
    let (_ns, cx) = cx();
    change::mkdir_all(&cx, &cx.cwd, b"d/sub", 0o755).unwrap();
    let f = create(&cx, "f");
    create(&cx, "g");
    let mv = |a: &str, b: &str, flags| {
        let (a, b) = ((&cx.cwd, a.as_bytes()), (&cx.cwd, b.as_bytes()));
        rename::rename(&cx, a, b, flags)
    };
    let none = RenameFlags::default();
    assert_eq!(mv("d", "d/sub/x", none).unwrap_err(), Errno::EINVAL);
    assert_eq!(mv("f", "d", none).unwrap_err(), Errno::EISDIR);
    assert_eq!(mv("d", "f", none).unwrap_err(), Errno::ENOTDIR);
    assert_eq!(
        mv("f", "g", RenameFlags::NOREPLACE).unwrap_err(),
        Errno::EEXIST
    );
    mv("f", "d/sub/f2", none).unwrap();
    assert_eq!(f.path.as_ref().unwrap().full_text(), b"/d/sub/f2");
    assert_eq!(lookup(&cx, "f").unwrap_err(), Errno::ENOENT);
    mv("g", "d", RenameFlags::EXCHANGE).unwrap();
    assert_eq!(
        lookup(&cx, "d").unwrap().inode().unwrap().kind(),
        FileType::Regular
    );
    assert_eq!(f.path.as_ref().unwrap().full_text(), b"/g/sub/f2");
    assert_eq!(
        change::rmdir(&cx, &cx.cwd, b"g/sub").unwrap_err(),
        Errno::ENOTEMPTY
    );
    assert_eq!(
        change::unlink(&cx, &cx.cwd, b"g/sub").unwrap_err(),
        Errno::EISDIR
    );
    let target = lookup(&cx, "g/sub/f2").unwrap();
    change::link(&cx, &target, &cx.cwd, b"hard").unwrap();
    assert_eq!(target.inode().unwrap().attr().unwrap().nlink, 2);
    mv("hard", "g/sub/f2", none).unwrap();
    assert!(lookup(&cx, "hard").is_ok());
    change::unlink(&cx, &cx.cwd, b"g/sub/f2").unwrap();
    change::unlink(&cx, &cx.cwd, b"hard").unwrap();
    assert_eq!(f.inode().unwrap().attr().unwrap().nlink, 0);
}

#[test]
fn data_holes_and_limits() {
    let options = TmpOptions {
        size: Some(16 * 4096),
        ..TmpOptions::default()
    };
    let ns = MountNamespace::new(fs(options), MountFlags::default()).unwrap();
    let cx = WalkCx::kernel(ns.root());
    let f = create(&cx, "f");
    let attr = || f.inode().unwrap().attr().unwrap();
    assert_eq!(write(&f, b"hello", 3 * 4096 + 10).unwrap(), 5);
    assert_eq!((attr().size, attr().blocks), (3 * 4096 + 15, 8));
    assert_eq!(read(&f, 8, 3 * 4096 + 8), b"\0\0hello");
    assert_eq!(read(&f, 4, 100), [0; 4]);
    let seek = |o, w| f.ops.seek(&f.cx(None), 0, o, w);
    assert_eq!(seek(0, Whence::Data).unwrap(), 3 * 4096);
    assert_eq!(seek(0, Whence::Hole).unwrap(), 0);
    assert_eq!(seek(3 * 4096 + 1, Whence::Hole).unwrap(), 3 * 4096 + 15);
    assert_eq!(seek(4 * 4096, Whence::Data).unwrap_err(), Errno::ENXIO);
    f.ops.truncate(&f.cx(None), 3 * 4096 + 12).unwrap();
    f.ops.truncate(&f.cx(None), 5 * 4096).unwrap();
    assert_eq!(read(&f, 6, 3 * 4096 + 10), b"he\0\0\0\0");
    f.ops.allocate(&f.cx(None), 3, 3 * 4096, 4096).unwrap();
    assert_eq!(attr().blocks, 0);
    let big = vec![7u8; 20 * 4096];
    assert_eq!(write(&f, &big, 0).unwrap(), 16 * 4096);
    assert_eq!(write(&f, b"x", 17 * 4096).unwrap_err(), Errno::ENOSPC);
    assert_eq!(read(&f, 70000, 1), vec![7u8; 65535]);
    change::unlink(&cx, &cx.cwd, b"f").unwrap();
    assert_eq!(
        write(&create(&cx, "g"), b"x", 0).unwrap_err(),
        Errno::ENOSPC
    );
    drop(f);
    assert_eq!(write(&create(&cx, "h"), b"x", 0).unwrap(), 1);
}

struct Names(Vec<(String, u64)>, usize);
impl DirSink for Names {
    fn entry(&mut self, e: DirEntry<'_>) -> bool {
        if self.0.len() >= self.1 {
            return false;
        }
        let name = String::from_utf8_lossy(e.name).into_owned();
        self.0.push((name, e.next));
        true
    }
}

#[test]
fn listings_go_on_where_they_stopped() {
    let (_ns, cx) = cx();
    for i in 0..2000 {
        create(&cx, &format!("n{i}"));
    }
    let dir = open(&cx, "/", OpenFlags::DIRECTORY).unwrap();
    let (mut pos, mut seen) = (0, Vec::new());
    loop {
        let mut sink = Names(Vec::new(), 7);
        dir.ops
            .read_dir(&dir.cx(None), &mut pos, &mut sink)
            .unwrap();
        if sink.0.is_empty() {
            break;
        }
        for (name, _) in &sink.0 {
            if name.starts_with('n') && name.ends_with('5') {
                change::unlink(&cx, &cx.cwd, name.as_bytes()).unwrap();
            }
        }
        seen.extend(sink.0);
    }
    assert_eq!(seen.len(), 2002);
    assert_eq!(seen[0].0, ".");
    assert_eq!(
        lookup(&cx, "/")
            .unwrap()
            .inode()
            .unwrap()
            .attr()
            .unwrap()
            .size,
        20 * 1802
    );
}

#[test]
fn deep_trees_come_down_without_recursion() {
    let (ns, cx) = cx();
    let mut at = cx.cwd.clone();
    for _ in 0..100_000 {
        at = change::mkdir(&cx, &at, b"d", 0o755).unwrap();
    }
    drop(cx);
    drop(at);
    drop(ns);
}
