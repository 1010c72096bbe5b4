//! Every operation against a real file system.

mod common;

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;

use abi::Errno;
use common::Rig;
use gofer::client::RenameFlags;
use gofer::{FileKind, OpenMode, SetAttr, SetTime, Time};

const READ: OpenMode = OpenMode {
    read: true,
    write: false,
};
const BOTH: OpenMode = OpenMode {
    read: true,
    write: true,
};

fn privileged() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn attach_lookup_and_read() {
    let rig = Rig::new();
    let c = rig.client();
    let (root, attr) = c.attach(0).unwrap();
    assert_eq!(attr.kind(), Some(FileKind::Directory));
    let (file, attr) = c.lookup(root, b"file").unwrap();
    assert_eq!((attr.kind(), attr.size), (Some(FileKind::Regular), 5));
    let host = std::fs::metadata(rig.host("file")).unwrap();
    assert_eq!((attr.dev, attr.ino), (host.dev(), host.ino()));
    let mut text = String::new();
    std::fs::File::from(c.open(file, READ).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "hello");
    assert_eq!(c.lookup(root, b"none").unwrap_err(), Errno::ENOENT);
    assert_eq!(c.lookup(file, b"x").unwrap_err(), Errno::ENOTDIR);
    assert_eq!(c.attach(3).unwrap_err(), Errno::ENOENT);
    let (single, _) = c.attach(2).unwrap();
    assert_eq!(c.open(single, BOTH).unwrap_err(), Errno::EROFS);
    c.open(single, READ).unwrap();
}

#[test]
fn made_files_have_the_owner_and_mode_asked_for() {
    let rig = Rig::new();
    let c = rig.client();
    let (root, _) = c.attach(0).unwrap();
    let (uid, gid) = if privileged() {
        (1000, 42)
    } else {
        (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        )
    };
    let made = c.create(root, b"new", 0o6755, uid, gid, true).unwrap();
    assert_eq!(
        (made.attr.uid, made.attr.gid, made.attr.mode & 0o7777),
        (uid, gid, 0o6755)
    );
    let mut fd = std::fs::File::from(made.file.unwrap());
    fd.write_all(b"data").unwrap();
    assert_eq!(std::fs::read(rig.host("new")).unwrap(), b"data");
    assert_eq!(
        c.create(root, b"new", 0o644, uid, gid, true).unwrap_err(),
        Errno::EEXIST
    );
    let again = c.create(root, b"new", 0o600, uid, gid, false).unwrap();
    assert!(again.existed && again.file.is_some());
    let attr = c
        .mkdir(root, b"dir", (0o1770, uid, gid), false)
        .unwrap()
        .attr;
    assert_eq!((attr.uid, attr.gid, attr.mode), (uid, gid, 0o041770));
    let made = c.symlink(root, b"link", b"../secret", uid, gid).unwrap();
    let (link, attr) = (made.handle, made.attr);
    assert_eq!((attr.kind(), attr.uid), (Some(FileKind::Symlink), uid));
    assert_eq!(c.readlink(link).unwrap(), b"../secret");
    let attr = c.mknod(root, b"fifo", 0o010640, uid, gid).unwrap().attr;
    assert_eq!((attr.mode, attr.uid), (0o010640, uid));
    c.mknod(root, b"sock", 0o140600, uid, gid).unwrap();
    for device in [0o020600, 0o060600] {
        assert_eq!(
            c.mknod(root, b"dev", device, 0, 0).unwrap_err(),
            Errno::EPERM
        );
    }
    assert_eq!(
        c.mknod(root, b"reg", 0o100600, 0, 0).unwrap_err(),
        Errno::EINVAL
    );
    let tmp = c.tmpfile(root, 0o640, uid, gid).unwrap();
    assert_eq!((tmp.attr.nlink, tmp.attr.mode & 0o777), (0, 0o640));
    assert_eq!(c.link(tmp.handle, root, b"named").unwrap().0.nlink, 1);
}

#[test]
fn names_move_and_go() {
    let rig = Rig::new();
    let c = rig.client();
    let (root, _) = c.attach(0).unwrap();
    let (me, us) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let dir = c.mkdir(root, b"d", (0o755, me, us), false).unwrap().handle;
    let (file, _) = c.lookup(root, b"file").unwrap();
    assert_eq!(c.link(file, dir, b"second").unwrap().0.nlink, 2);
    let plain = RenameFlags::empty();
    c.rename(root, b"file", dir, b"moved", plain).unwrap();
    assert_eq!(
        c.rename(dir, b"second", dir, b"moved", RenameFlags::NOREPLACE)
            .unwrap_err(),
        Errno::EEXIST
    );
    c.create(root, b"other", 0o644, me, us, true).unwrap();
    c.rename(root, b"other", dir, b"moved", RenameFlags::EXCHANGE)
        .unwrap();
    assert_eq!(std::fs::read(rig.host("other")).unwrap(), b"hello");
    assert_eq!(c.rmdir(root, b"d", None).unwrap_err(), Errno::ENOTEMPTY);
    assert_eq!(c.unlink(root, b"d", None).unwrap_err(), Errno::EISDIR);
    c.unlink(dir, b"second", None).unwrap();
    c.unlink(dir, b"moved", None).unwrap();
    c.rmdir(root, b"d", Some(dir)).unwrap();
    assert_eq!(c.get_attr(dir).unwrap_err(), Errno::EBADF);
    // An unlinked file lives on through its handle.
    c.unlink(root, b"other", None).unwrap();
    assert_eq!(c.get_attr(file).unwrap().nlink, 0);
    c.open(file, BOTH).unwrap();
    // Symlinks can have more names, too.
    let link = c
        .symlink(root, b"l", b"/etc/passwd", me, us)
        .unwrap()
        .handle;
    c.link(link, root, b"l2").unwrap();
    assert_eq!(
        std::fs::read_link(rig.host("l2")).unwrap().to_str(),
        Some("/etc/passwd")
    );
}

#[test]
fn listings_are_whole_and_have_attributes() {
    let rig = Rig::new();
    let c = rig.client();
    let (root, _) = c.attach(0).unwrap();
    for i in 0..3000 {
        std::fs::write(
            rig.host(&format!("entry-with-a-rather-long-name-{i}")),
            b"x",
        )
        .unwrap();
    }
    let list = c.read_dir(root, true, false).unwrap();
    assert_eq!(list.entries.len(), 3001);
    assert!(
        list.entries
            .iter()
            .all(|e| e.attr.is_some_and(|a| a.ino == e.ino))
    );
    let list = c.read_dir(root, false, false).unwrap();
    assert_eq!(list.entries.len(), 3001);
    assert!(
        list.entries
            .iter()
            .all(|e| e.attr.is_none() && e.dtype == 8)
    );
}

#[test]
fn attributes_change() {
    let rig = Rig::new();
    let c = rig.client();
    let (root, _) = c.attach(0).unwrap();
    let (file, _) = c.lookup(root, b"file").unwrap();
    let set = SetAttr {
        mode: Some(0o600),
        size: Some(2),
        atime: Some(SetTime::At(Time { sec: 5, nsec: 6 })),
        mtime: Some(SetTime::At(Time { sec: -7, nsec: 8 })),
        ..SetAttr::default()
    };
    let attr = c.set_attr(file, set).unwrap();
    assert_eq!((attr.mode & 0o7777, attr.size), (0o600, 2));
    assert_eq!(
        (attr.atime.sec, attr.atime.nsec, attr.mtime.sec),
        (5, 6, -7)
    );
    if privileged() {
        let set = SetAttr {
            uid: Some(7),
            gid: Some(8),
            mode: Some(0o2755),
            ..SetAttr::default()
        };
        let attr = c.set_attr(file, set).unwrap();
        assert_eq!((attr.uid, attr.gid, attr.mode & 0o7777), (7, 8, 0o2755));
    }
    let set = SetAttr {
        uid: Some(u32::MAX),
        ..SetAttr::default()
    };
    assert_eq!(c.set_attr(file, set).unwrap_err(), Errno::EINVAL);
    let set = SetAttr {
        size: Some(0),
        ..SetAttr::default()
    };
    assert_eq!(c.set_attr(root, set).unwrap_err(), Errno::EISDIR);
    assert!(c.statfs(root).unwrap().blocks > 0);
    c.fsync(file, true).unwrap();
    c.fsync(root, false).unwrap();
}

#[test]
fn extended_attributes() {
    let rig = Rig::new();
    let c = rig.client();
    let (root, _) = c.attach(0).unwrap();
    let (file, _) = c.lookup(root, b"file").unwrap();
    match c.setxattr(file, b"user.a", b"value", 0) {
        Err(Errno::EOPNOTSUPP) => return,
        other => other.unwrap(),
    };
    assert_eq!(c.getxattr(file, b"user.a").unwrap(), b"value");
    assert_eq!(
        c.setxattr(file, b"user.a", b"v", 1).unwrap_err(),
        Errno::EEXIST
    );
    assert_eq!(c.listxattr(file).unwrap(), b"user.a\0");
    c.removexattr(file, b"user.a").unwrap();
    assert_eq!(c.getxattr(file, b"user.a").unwrap_err(), Errno::ENODATA);
    assert_eq!(
        c.setxattr(file, b"trusted.overlay.opaque", b"y", 0)
            .unwrap_err(),
        Errno::EPERM
    );
    assert_eq!(c.getxattr(file, b"trusted.x").unwrap_err(), Errno::ENODATA);
    assert_eq!(
        c.setxattr(file, b"nonsense", b"y", 0).unwrap_err(),
        Errno::EOPNOTSUPP
    );
}

#[test]
fn data_through_the_gofer() {
    let rig = Rig::new();
    let c = rig.client();
    let (root, _) = c.attach(0).unwrap();
    let (file, _) = c.lookup(root, b"file").unwrap();
    let data: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
    assert_eq!(c.pwrite(file, &data, 3).unwrap(), data.len());
    let mut back = vec![0; data.len() + 10];
    assert_eq!(c.pread(file, &mut back, 3).unwrap(), data.len());
    assert_eq!(back[..data.len()], data);
    assert_eq!(
        c.pread(file, &mut back, u64::MAX).unwrap_err(),
        Errno::EINVAL
    );
}

#[test]
fn a_read_only_mount_takes_no_change() {
    let rig = Rig::new();
    let c = rig.client();
    let (root, _) = c.attach(1).unwrap();
    let (file, _) = c.lookup(root, b"file").unwrap();
    let rofs = Errno::EROFS;
    assert_eq!(c.create(root, b"n", 0o644, 0, 0, true).unwrap_err(), rofs);
    assert_eq!(c.mkdir(root, b"n", (0o755, 0, 0), false).unwrap_err(), rofs);
    assert_eq!(c.symlink(root, b"n", b"t", 0, 0).unwrap_err(), rofs);
    assert_eq!(c.mknod(root, b"n", 0o010644, 0, 0).unwrap_err(), rofs);
    assert_eq!(c.tmpfile(root, 0o644, 0, 0).unwrap_err(), rofs);
    assert_eq!(c.link(file, root, b"n").unwrap_err(), rofs);
    assert_eq!(c.unlink(root, b"file", None).unwrap_err(), rofs);
    assert_eq!(c.rmdir(root, b"file", None).unwrap_err(), rofs);
    let flags = RenameFlags::empty();
    assert_eq!(
        c.rename(root, b"file", root, b"n", flags).unwrap_err(),
        rofs
    );
    assert_eq!(c.set_attr(file, SetAttr::default()).unwrap_err(), rofs);
    assert_eq!(c.setxattr(file, b"user.a", b"", 0).unwrap_err(), rofs);
    assert_eq!(c.removexattr(file, b"user.a").unwrap_err(), rofs);
    assert_eq!(c.pwrite(file, b"x", 0).unwrap_err(), rofs);
    // Nor can the writable mount be reached from it.
    let (writable, _) = c.attach(0).unwrap();
    assert_eq!(c.link(file, writable, b"n").unwrap_err(), Errno::EXDEV);
    assert_eq!(std::fs::read_dir(rig.host("")).unwrap().count(), 1);
    assert_eq!(
        std::fs::metadata(rig.host("file"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o644
    );
}

#[test]
fn many_threads_share_a_client() {
    let rig = Rig::new();
    let c = rig.client();
    let (root, _) = c.attach(0).unwrap();
    let data = Arc::new(vec![7_u8; 300_000]);
    std::thread::scope(|s| {
        for i in 0..8 {
            let data = Arc::clone(&data);
            s.spawn(move || {
                let name = format!("t{i}");
                let (me, us) = (
                    rustix::process::geteuid().as_raw(),
                    rustix::process::getegid().as_raw(),
                );
                let made = c
                    .create(root, name.as_bytes(), 0o644, me, us, true)
                    .unwrap();
                for _ in 0..20 {
                    assert_eq!(c.pwrite(made.handle, &data, 0).unwrap(), data.len());
                    let mut back = vec![0; data.len()];
                    assert_eq!(c.pread(made.handle, &mut back, 0).unwrap(), data.len());
                    assert!(back == *data);
                    assert_eq!(c.get_attr(made.handle).unwrap().size, data.len() as u64);
                    c.read_dir(root, true, false).unwrap();
                    let (h, _) = c.lookup(root, name.as_bytes()).unwrap();
                    c.forget(h);
                }
            });
        }
    });
}
