//! Every operation once more in a jailed process of its own: one missing row of the seccomp
//! list, or a fence in the way of honest work, kills it or fails a call here.
//!
//! Without the test harness, because the jail must be entered by the only thread.

#[expect(dead_code, reason = "the rig is for servers in a thread")]
mod common;

use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{pair, path_fd};
use gofer::client::RenameFlags;
use gofer::{Client, Exports, MountRoot, OpenMode, SetAttr, SetTime, jail, server};

const CHILD: &str = "GOFER_TEST_JAILED";

fn main() {
    // The listing protocol of test runners, which this program without the usual harness
    // has to speak itself.
    let args: Vec<String> = std::env::args().collect();
    if args.iter().any(|a| a == "--list") {
        if !args.iter().any(|a| a == "--ignored") {
            println!("jailed: test");
        }
        return;
    }
    if let Ok(dir) = std::env::var(CHILD) {
        return serve_jailed(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("file"), b"hello").unwrap();
    let (ours, theirs) = pair();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env(CHILD, dir.path())
        .stdin(Stdio::from(theirs))
        .spawn()
        .unwrap();
    let client = Client::new(ours).unwrap();
    exercise(&client, &root);
    look_inside(child.id());
    drop(client);
    assert!(child.wait().unwrap().success());
    println!("jailed: ok");
}

fn serve_jailed(dir: &Path) {
    let sock = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let root = dir.join("root");
    let mounts = vec![
        MountRoot {
            fd: path_fd(&root),
            readonly: false,
        },
        MountRoot {
            fd: path_fd(&root),
            readonly: true,
        },
        MountRoot {
            fd: path_fd(&root.join("file")),
            readonly: true,
        },
    ];
    let mut exports = Exports::new(mounts).unwrap();
    let root = rustix::process::geteuid().is_root();
    let report = jail::enter(&mut exports).unwrap();
    if root {
        assert!(report.detached_mounts && report.empty_root, "{report:?}");
    }
    eprintln!("{report:?}");
    server::serve(sock, exports).unwrap();
}

fn exercise(c: &Client, host: &Path) {
    let both = OpenMode {
        read: true,
        write: true,
    };
    let (me, us) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let (uid, gid) = if me == 0 { (1000, 42) } else { (me, us) };
    let (root, _) = c.attach(0).unwrap();
    c.watch(root).unwrap();
    let (file, _) = c.lookup(root, b"file").unwrap();
    c.open(file, both).unwrap();
    assert_eq!(c.read_dir(root, true, false).unwrap().entries.len(), 1);
    let made = c.create(root, b"new", 0o6755, uid, gid, true).unwrap();
    assert_eq!(
        (made.attr.uid, made.attr.gid, made.attr.mode & 0o7777),
        (uid, gid, 0o6755)
    );
    let tmp = c.tmpfile(root, 0o600, uid, gid).unwrap();
    c.link(tmp.handle, root, b"tmp").unwrap();
    let dir = c
        .mkdir(root, b"dir", (0o2755, uid, gid), false)
        .unwrap()
        .handle;
    c.symlink(root, b"link", b"..", uid, gid).unwrap();
    let (link, _) = c.lookup(root, b"link").unwrap();
    assert_eq!(c.readlink(link).unwrap(), b"..");
    c.mknod(root, b"fifo", 0o010600, uid, gid).unwrap();
    c.link(file, dir, b"second").unwrap();
    c.rename(dir, b"second", root, b"third", RenameFlags::NOREPLACE)
        .unwrap();
    c.rename(root, b"third", root, b"link", RenameFlags::EXCHANGE)
        .unwrap();
    c.set_attr(
        file,
        SetAttr {
            mode: Some(0o640),
            uid: Some(uid),
            gid: Some(gid),
            size: Some(9),
            atime: Some(SetTime::Now),
            mtime: Some(SetTime::Now),
        },
    )
    .unwrap();
    assert!(c.statfs(root).unwrap().blocks > 0);
    if c.setxattr(file, b"user.a", b"v", 0).is_ok() {
        assert_eq!(c.getxattr(file, b"user.a").unwrap(), b"v");
        assert_eq!(c.listxattr(file).unwrap(), b"user.a\0");
        c.removexattr(file, b"user.a").unwrap();
    }
    c.fsync(file, false).unwrap();
    c.fsync(file, true).unwrap();
    assert_eq!(c.pwrite(file, &[1; 100_000], 0).unwrap(), 100_000);
    assert_eq!(c.pread(file, &mut [0; 100_000], 0).unwrap(), 100_000);
    c.unlink(root, b"third", None).unwrap();
    c.rmdir(root, b"dir", Some(dir)).unwrap();
    many_at_once(c);
    std::fs::write(host.join("foreign"), b"").unwrap();
    let mut seen = c.poll_events();
    for _ in 0..500 {
        if seen.iter().any(|e| *e.name == *b"foreign") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
        seen.extend(c.poll_events());
    }
    assert!(seen.iter().any(|e| *e.name == *b"foreign"), "{seen:?}");
    let (single, _) = c.attach(2).unwrap();
    let read = OpenMode {
        read: true,
        write: false,
    };
    c.open(single, read).unwrap();
    c.forget(single);
    c.flush_forgotten();
}

/// Enough at once that all threads of the server start.
fn many_at_once(c: &Client) {
    let (root, _) = c.attach(0).unwrap();
    std::thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(|| {
                for _ in 0..200 {
                    let (h, _) = c.lookup(root, b"file").unwrap();
                    c.pread(h, &mut [0; 4096], 0).unwrap();
                    c.forget(h);
                }
            });
        }
    });
}

/// What the jailed process looks like from outside, as far as we may look.
fn look_inside(pid: u32) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Seccomp:"), "2");
    let effective = u64::from_str_radix(&field("CapEff:"), 16).unwrap();
    // chown, dac_override, dac_read_search, fowner, setfcap and nothing else.
    assert_eq!(effective & !0x8000_000f, 0, "{effective:x}");
    if let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/root/")) {
        assert_eq!(entries.count(), 0);
    }
}
