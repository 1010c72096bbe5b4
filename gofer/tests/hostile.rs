//! Escapes, races, and peers that do not keep to the protocol.

mod common;

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use abi::Errno;
use common::{Rig, pair, path_fd};
use gofer::proto::{Call, Handle};
use gofer::{Client, Exports, FileKind, MountRoot, OpenMode, server};
use rustix::net::{RecvFlags, SendFlags};

const READ: OpenMode = OpenMode {
    read: true,
    write: false,
};

/// A small generator with a fixed seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

#[test]
fn nothing_leads_out() {
    let rig = Rig::new();
    let c = rig.client();
    let (root, _) = c.attach(0).unwrap();
    for name in [
        b"..".as_slice(),
        b".",
        b"",
        b"../secret",
        b"/",
        b"a/b",
        b"x\0y",
    ] {
        assert_eq!(c.lookup(root, name).unwrap_err(), Errno::EINVAL, "{name:?}");
    }
    assert_eq!(
        c.lookup(root, &[b'a'; 256]).unwrap_err(),
        Errno::ENAMETOOLONG
    );
    symlink("../secret", rig.host("rel")).unwrap();
    symlink("/etc", rig.host("abs")).unwrap();
    for name in [b"rel".as_slice(), b"abs"] {
        let (link, attr) = c.lookup(root, name).unwrap();
        assert_eq!(attr.kind(), Some(FileKind::Symlink));
        assert_eq!(c.open(link, READ).unwrap_err(), Errno::ENXIO);
        assert_eq!(c.lookup(link, b"passwd").unwrap_err(), Errno::ENOTDIR);
        assert_eq!(c.read_dir(link, true, false).unwrap_err(), Errno::ENOTDIR);
        let created = c.create(root, name, 0o644, 0, 0, false).unwrap();
        assert!(created.existed && created.file.is_none());
    }
}

#[test]
fn only_regular_files_are_opened() {
    let rig = Rig::new();
    let c = rig.client();
    let (root, _) = c.attach(0).unwrap();
    let (me, us) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let fifo = c.mknod(root, b"fifo", 0o010644, me, us).unwrap().handle;
    let sock = c.mknod(root, b"sock", 0o140644, me, us).unwrap().handle;
    for handle in [fifo, sock] {
        assert_eq!(c.open(handle, READ).unwrap_err(), Errno::ENXIO);
        assert!(c.pread(handle, &mut [0; 4], 0).is_err());
        assert!(c.fsync(handle, false).is_err());
        assert_eq!(c.listxattr(handle).unwrap(), b"");
    }
    assert_eq!(c.open(root, READ).unwrap_err(), Errno::EISDIR);
}

#[test]
fn a_name_swapped_under_the_walk_never_leads_out() {
    let rig = Rig::new();
    let c = rig.client();
    let (root, _) = c.attach(0).unwrap();
    let stop = AtomicBool::new(false);
    let (name, spare) = (rig.host("swap"), rig.host("spare"));
    std::fs::write(&name, b"inside").unwrap();
    symlink(rig.dir.path().join("secret"), &spare).unwrap();
    std::thread::scope(|s| {
        s.spawn(|| {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            while !stop.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(rustix::fs::CWD, &name, rustix::fs::CWD, &spare, flags)
                    .unwrap();
            }
        });
        for _ in 0..2000 {
            let (handle, attr) = c.lookup(root, b"swap").unwrap();
            let mut data = [0; 16];
            match attr.kind() {
                Some(FileKind::Regular) => {
                    assert_eq!(c.pread(handle, &mut data, 0).unwrap(), 6);
                    assert_eq!(&data[..6], b"inside");
                }
                _ => assert_eq!(c.open(handle, READ).unwrap_err(), Errno::ENXIO),
            }
            let made = c.create(root, b"swap", 0o644, 0, 0, false).unwrap();
            assert_eq!(
                made.file.is_some(),
                made.attr.kind() == Some(FileKind::Regular)
            );
            c.forget(handle);
            c.forget(made.handle);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(
        std::fs::read(rig.dir.path().join("secret")).unwrap(),
        b"secret"
    );
}

#[test]
fn a_server_survives_any_message() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f"), b"x").unwrap();
    let (ours, theirs) = pair();
    let mounts = vec![MountRoot {
        fd: path_fd(dir.path()),
        readonly: false,
    }];
    let exports = Exports::new(mounts).unwrap();
    let server = std::thread::spawn(move || server::serve(theirs, exports).unwrap());
    let mut random = Random(0x5eed);
    let mut reply = vec![0; 1 << 17];
    let mut message = Vec::new();
    let mut drain = || while rustix::net::recv(&ours, &mut reply, RecvFlags::DONTWAIT).is_ok() {};
    for round in 0..20_000 {
        let call = match round % 7 {
            0 => Call::Attach { mount: 0 },
            1 => Call::Lookup {
                dir: Handle(1),
                name: b"f",
            },
            2 => Call::ReadDir {
                dir: Handle(1),
                attrs: true,
                watch: true,
            },
            3 => Call::Pread {
                file: Handle(2),
                offset: 0,
                len: 10,
            },
            4 => Call::Pwrite {
                file: Handle(2),
                offset: 0,
                data: b"abc",
            },
            5 => Call::GetXattr {
                file: Handle(2),
                name: b"user.x",
            },
            _ => Call::ListXattr { file: Handle(1) },
        };
        call.encode(round, &mut message);
        // Broken copies of valid messages reach further than noise.
        for _ in 0..random.next() % 4 {
            let at = random.next() as usize % message.len();
            message[at] = random.next() as u8;
        }
        match random.next() % 8 {
            0 => message.truncate(1 + random.next() as usize % message.len()),
            1 => {
                message = {
                    let len = 1 + random.next() as usize % 300;
                    random.bytes(len)
                }
            }
            _ => {}
        }
        rustix::net::send(&ours, &message, SendFlags::NOSIGNAL).unwrap();
        drain();
    }
    // It still answers.
    Call::Attach { mount: 0 }.encode(u64::MAX, &mut message);
    rustix::net::send(&ours, &message, SendFlags::NOSIGNAL).unwrap();
    let mut reply = vec![0; 1 << 17];
    loop {
        let (_, len) = rustix::net::recv(&ours, &mut reply, RecvFlags::empty()).unwrap();
        if len >= 8 && reply[..8] == u64::MAX.to_le_bytes() {
            break;
        }
    }
    drop(ours);
    server.join().unwrap();
}

#[test]
fn a_client_survives_any_reply() {
    for seed in 1..300 {
        let (ours, theirs) = pair();
        let gofer = std::thread::spawn(move || hostile_gofer(theirs, seed));
        if let Ok(c) = Client::new(ours) {
            let root = c.attach(0).map_or(Handle(1), |r| r.0);
            let _ = c.lookup(root, b"x");
            let _ = c.read_dir(root, true, false);
            let _ = c.open(root, READ);
            let _ = c.create(root, b"x", 0o644, 0, 0, true);
            let _ = c.statfs(root);
            let _ = c.readlink(root);
            let _ = c.pread(root, &mut [0; 100], 0);
            let _ = c.pwrite(root, &[0; 100], 0);
            let _ = c.poll_events();
        }
        gofer.join().unwrap();
    }
}

/// Answers the greeting truly, and then with whatever the seed says.
fn hostile_gofer(sock: std::os::fd::OwnedFd, seed: u64) {
    use gofer::proto::wire::ReplyHead;
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage};
    use std::io::IoSlice;
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd;
    use zerocopy::IntoBytes;

    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut request = vec![0; 1 << 17];
    let null = std::fs::File::open("/dev/null").unwrap();
    for turn in 0.. {
        let Ok((_, len)) = rustix::net::recv(&sock, &mut request, RecvFlags::empty()) else {
            return;
        };
        if len == 0 {
            return;
        }
        let mut head = ReplyHead::default();
        let id = request[..8].try_into().map_or(0, u64::from_le_bytes);
        head.id = id.into();
        head.flags = (if turn == 1 { 2 } else { 0 }).into();
        let mut data = Vec::new();
        let mut with_fd = turn == 1;
        if turn > 1 {
            head.handle = random.next().into();
            head.value = random.next().into();
            if random.next().is_multiple_of(3) {
                head.flags = ((random.next() % 8) as u16).into();
            }
            if random.next().is_multiple_of(5) {
                head.errno = (random.next() as u16).into();
            }
            let len = random.next() as usize % 400;
            data = random.bytes(len);
            head.len = (data.len() as u32).into();
            with_fd = random.next().is_multiple_of(2);
            if with_fd && random.next().is_multiple_of(2) {
                head.flags = (head.flags.get() | 2).into();
            }
        }
        let mut bytes = head.as_bytes().to_vec();
        bytes.extend_from_slice(&data);
        if turn > 1 && random.next().is_multiple_of(6) {
            let at = random.next() as usize % bytes.len();
            bytes[at] = random.next() as u8;
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [null.as_fd(), null.as_fd()];
        let count = if turn > 1 && random.next().is_multiple_of(4) {
            2
        } else {
            1
        };
        if with_fd {
            control.push(SendAncillaryMessage::ScmRights(&fds[..count]));
        }
        let parts = [IoSlice::new(&bytes)];
        let _ = rustix::net::sendmsg(&sock, &parts, &mut control, SendFlags::NOSIGNAL);
        // A reply that promises more is followed by nothing but the end.
        if head.flags.get() & 1 != 0 {
            return;
        }
    }
}
