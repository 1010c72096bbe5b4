//! A server over a temporary directory, with a client.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use gofer::{Client, Exports, MountRoot, server};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// Both ends, the server in a thread. The server ends when the client is dropped.
pub struct Rig {
    /// The exported directory is `root` in it; what is beside it must stay out of reach.
    pub dir: tempfile::TempDir,
    /// The client.
    pub client: Option<Client>,
    server: Option<JoinHandle<()>>,
}

/// A connected pair as the runtime makes it.
pub fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::CLOEXEC;
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
}

/// An `O_PATH` descriptor.
pub fn path_fd(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

impl Rig {
    /// Mount 0 is writable, mount 1 the same directory read-only, mount 2 the single file
    /// `file` in it.
    pub fn new() -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("file"), b"hello").unwrap();
        std::fs::write(dir.path().join("secret"), b"secret").unwrap();
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
        let (ours, theirs) = pair();
        let exports = Exports::new(mounts).unwrap();
        let server = std::thread::spawn(move || server::serve(theirs, exports).unwrap());
        Rig {
            dir,
            client: Some(Client::new(ours).unwrap()),
            server: Some(server),
        }
    }

    /// The client.
    pub fn client(&self) -> &Client {
        self.client.as_ref().unwrap()
    }

    /// A path in the exported directory, on the host.
    pub fn host(&self, name: &str) -> PathBuf {
        self.dir.path().join("root").join(name)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.client = None;
        let ended = self.server.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}
