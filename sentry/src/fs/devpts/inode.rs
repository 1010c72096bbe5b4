//! Inodes of `devpts`: terminals and `ptmx`.

use std::any::Any;
use std::sync::{Arc, Weak};

use abi::Errno;

use super::DevPts;
use crate::Result;
use crate::fs::dev::makedev;
use crate::fs::tty::pty::Pty;
use crate::fs::vfs::{Attr, FileTime, FileType, Inode, InodeExtra, Owner, SetAttr, TimeSet};
use crate::fs::{FileOps, OpenFlags};
use crate::sync::Mutex;
use crate::task::Task;

/// Attributes of a device node.
fn node(dev: u64, ino: u64, rdev: u64, perm: u32, owner: Owner, now: FileTime) -> Attr {
    Attr {
        dev,
        ino,
        kind: FileType::CharDevice,
        perm,
        uid: owner.uid,
        gid: owner.gid,
        rdev,
        blksize: 1024,
        atime: now,
        mtime: now,
        ctime: now,
        ..Attr::anonymous()
    }
}

/// Changes what can be changed of a node.
fn apply(attr: &Mutex<Attr>, set: &SetAttr) -> Result<()> {
    if set.size.is_some() {
        return Err(Errno::EINVAL);
    }
    let mut a = attr.lock();
    a.perm = set.perm.map_or(a.perm, |p| p & 0o7777);
    a.uid = set.uid.unwrap_or(a.uid);
    a.gid = set.gid.unwrap_or(a.gid);
    if let Some(TimeSet::To(at)) = set.atime {
        a.atime = at;
    }
    if let Some(TimeSet::To(at)) = set.mtime {
        a.mtime = at;
    }
    Ok(())
}

/// The node of a terminal.
pub struct PtsInode {
    pty: Arc<Pty>,
    attr: Arc<Mutex<Attr>>,
    dev: u64,
    extra: InodeExtra,
}

impl PtsInode {
    pub(super) fn new(
        dev: u64,
        pty: Arc<Pty>,
        perm: u32,
        owner: Owner,
        now: FileTime,
    ) -> Arc<PtsInode> {
        let ino = u64::from(pty.index) + 3;
        let attr = node(dev, ino, pty.tty.dev, perm, owner, now);
        let attr = Arc::new(Mutex::new(attr));
        pty.tty.set_attr_cell(attr.clone());
        Arc::new(PtsInode {
            pty,
            attr,
            dev,
            extra: InodeExtra::default(),
        })
    }
}

impl Inode for PtsInode {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn kind(&self) -> FileType {
        FileType::CharDevice
    }
    fn attr(&self) -> Result<Attr> {
        Ok(*self.attr.lock())
    }
    fn set_attr(&self, set: &SetAttr) -> Result<()> {
        apply(&self.attr, set)
    }
    fn open(self: Arc<Self>, flags: OpenFlags, t: Option<&Arc<Task>>) -> Result<Arc<dyn FileOps>> {
        self.pty.open_slave(flags, t)
    }
    fn extra(&self) -> &InodeExtra {
        &self.extra
    }
    fn dev(&self) -> u64 {
        self.dev
    }
}

/// The node that makes pairs.
pub struct PtmxInode {
    fs: Weak<DevPts>,
    attr: Mutex<Attr>,
    dev: u64,
    extra: InodeExtra,
}

impl PtmxInode {
    pub(super) fn new(dev: u64, perm: u32, fs: Weak<DevPts>) -> Arc<PtmxInode> {
        let owner = Owner { uid: 0, gid: 0 };
        let attr = node(dev, 2, makedev(5, 2), perm, owner, FileTime::default());
        Arc::new(PtmxInode {
            fs,
            attr: Mutex::new(attr),
            dev,
            extra: InodeExtra::default(),
        })
    }

    /// A new pair; operations of its master.
    pub(super) fn open_new(&self, t: Option<&Arc<Task>>) -> Result<Arc<dyn FileOps>> {
        self.fs.upgrade().ok_or(Errno::ENXIO)?.open_master(t)
    }
}

impl Inode for PtmxInode {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn kind(&self) -> FileType {
        FileType::CharDevice
    }
    fn attr(&self) -> Result<Attr> {
        Ok(*self.attr.lock())
    }
    fn set_attr(&self, set: &SetAttr) -> Result<()> {
        apply(&self.attr, set)
    }
    fn open(self: Arc<Self>, _flags: OpenFlags, t: Option<&Arc<Task>>) -> Result<Arc<dyn FileOps>> {
        self.open_new(t)
    }
    fn extra(&self) -> &InodeExtra {
        &self.extra
    }
    fn dev(&self) -> u64 {
        self.dev
    }
}
