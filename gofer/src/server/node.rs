//! What a handle stands for, and the table of them.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use abi::Errno;
use parking_lot::{Mutex, RwLock};
use rustix::fs::{AtFlags, Mode, OFlags, Statx, StatxFlags};

use crate::attr::{Attr, FileKind, Time};
use crate::errno;
use crate::proto::Handle;

/// A file some handle stands for.
#[derive(Debug)]
pub struct Node {
    /// `O_PATH`; pins the inode, so that device and inode number stay its own.
    fd: OwnedFd,
    /// Index of the mount it was reached through.
    pub mount: usize,
    /// The mount takes no changes.
    readonly: bool,
    /// Never changes for an inode.
    pub kind: FileKind,
    /// inotify watch of a directory, or -1.
    pub watch: AtomicI32,
    /// Where it was found, a hint for telling own attribute events from others'.
    pub found: Mutex<Option<Found>>,
}

/// The directory's watch and the name under which a node was last found.
#[derive(Debug, Clone)]
pub struct Found {
    /// inotify watch of the directory.
    pub watch: i32,
    /// The name in it.
    pub name: Box<[u8]>,
}

impl AsFd for Node {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// `statx(2)` of a descriptor itself.
pub fn attr_of(fd: BorrowedFd<'_>) -> Result<Attr, Errno> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
    rustix::fs::statx(fd, c"", flags, wanted())
        .map(|s| to_attr(&s))
        .map_err(errno)
}

/// `statx(2)` of a name in a directory, not following it.
pub fn attr_at(dir: BorrowedFd<'_>, name: &std::ffi::CStr) -> Result<Attr, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    rustix::fs::statx(dir, name, flags, wanted())
        .map(|s| to_attr(&s))
        .map_err(errno)
}

fn wanted() -> StatxFlags {
    StatxFlags::BASIC_STATS | StatxFlags::BTIME
}

fn to_attr(s: &Statx) -> Attr {
    let time = |t: rustix::fs::StatxTimestamp| Time {
        sec: t.tv_sec,
        nsec: t.tv_nsec,
    };
    let known = |bit: StatxFlags| s.stx_mask & bit.bits() != 0;
    Attr {
        dev: rustix::fs::makedev(s.stx_dev_major, s.stx_dev_minor),
        ino: s.stx_ino,
        mode: s.stx_mode.into(),
        nlink: s.stx_nlink,
        uid: s.stx_uid,
        gid: s.stx_gid,
        rdev: rustix::fs::makedev(s.stx_rdev_major, s.stx_rdev_minor),
        size: s.stx_size,
        blocks: s.stx_blocks,
        blksize: s.stx_blksize,
        atime: time(s.stx_atime),
        mtime: time(s.stx_mtime),
        ctime: time(s.stx_ctime),
        btime: if known(StatxFlags::BTIME) {
            time(s.stx_btime)
        } else {
            Time::default()
        },
    }
}

impl Node {
    /// A node for an `O_PATH` descriptor, and its attributes.
    pub fn new(fd: OwnedFd, mount: usize, readonly: bool) -> Result<(Node, Attr), Errno> {
        let attr = attr_of(fd.as_fd())?;
        let node = Node {
            fd,
            mount,
            readonly,
            kind: attr.kind().ok_or(Errno::EIO)?,
            watch: AtomicI32::new(-1),
            found: Mutex::new(None),
        };
        Ok((node, attr))
    }

    /// Walks one component from here.
    pub fn child(&self, name: &[u8]) -> Result<(Node, Attr), Errno> {
        self.require(FileKind::Directory, Errno::ENOTDIR)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty()).map_err(errno)?;
        let found = Node::new(fd, self.mount, self.readonly)?;
        found.0.remember(self, name);
        Ok(found)
    }

    /// Notes where the node is now, for the filter of own events.
    pub fn remember(&self, dir: &Node, name: &[u8]) {
        let watch = dir.watch.load(Ordering::Relaxed);
        if watch >= 0 {
            let name = name.into();
            *self.found.lock() = Some(Found { watch, name });
        }
    }

    /// Fails with `error` unless the node is of this kind.
    pub fn require(&self, kind: FileKind, error: Errno) -> Result<(), Errno> {
        if self.kind == kind {
            Ok(())
        } else {
            Err(error)
        }
    }

    /// Fails when the mount takes no changes.
    pub fn writable(&self) -> Result<(), Errno> {
        if self.readonly {
            Err(Errno::EROFS)
        } else {
            Ok(())
        }
    }

    /// A directory that takes changes.
    pub fn writable_dir(&self) -> Result<(), Errno> {
        self.require(FileKind::Directory, Errno::ENOTDIR)?;
        self.writable()
    }
}

/// The name of a descriptor inside `/proc/self/fd`.
pub fn fd_name(fd: BorrowedFd<'_>) -> String {
    fd.as_raw_fd().to_string()
}

/// All live handles.
#[derive(Debug)]
pub struct Table {
    nodes: RwLock<HashMap<u64, Arc<Node>>>,
    next: AtomicU64,
    limit: usize,
}

impl Table {
    /// An empty one for at most `limit` handles.
    pub fn new(limit: usize) -> Table {
        Table {
            nodes: RwLock::new(HashMap::new()),
            next: AtomicU64::new(1),
            limit,
        }
    }

    /// The node of a handle; `EBADF` for one that was never given or is forgotten.
    pub fn get(&self, handle: Handle) -> Result<Arc<Node>, Errno> {
        self.nodes
            .read()
            .get(&handle.0)
            .cloned()
            .ok_or(Errno::EBADF)
    }

    /// Gives a node a new handle; `ENFILE` when there are too many.
    pub fn insert(&self, node: Node) -> Result<Handle, Errno> {
        let mut nodes = self.nodes.write();
        if nodes.len() >= self.limit {
            return Err(Errno::ENFILE);
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        nodes.insert(number, Arc::new(node));
        Ok(Handle(number))
    }

    /// Drops a handle; its descriptor closes with the last operation that uses it.
    pub fn forget(&self, handle: Handle) -> Option<Arc<Node>> {
        self.nodes.write().remove(&handle.0)
    }
}
