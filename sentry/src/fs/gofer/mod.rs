//! Files of the host, by way of a gofer.
//!
//! A [`Session`] is one container's gofer with what its mounts share; a [`GoferFs`] is one
//! mount. Inodes ([`inode::GoferInode`]) are known by the host's device and inode number,
//! so that all names of a file share attributes and data.
//!
//! *Exclusive* mode (the root file system, which only this kernel writes): a directory is
//! listed whole, with attributes, the first time a name in it is wanted ([`dir`]); from then
//! on names, absent names and attributes are answered without asking, and own changes are
//! put into the listing. Such a directory is watched by the gofer; a change by others (for
//! example `docker cp`) drops the listing. Where the host gives no more watches a directory
//! is treated as shared. *Shared* mode (volumes): every use asks, or looks at a donated
//! descriptor.
//!
//! The gofer opens, this kernel reads: data moves between guest memory and the donated
//! descriptor ([`data`], [`file`]), and mappings are of that descriptor.
//!
//! Locks: all of this module's are leaves among themselves and none is held over a request
//! to the gofer.

mod data;
mod dir;
mod file;
mod handle;
mod inode;
mod ops;
mod session;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use abi::Errno;

pub use session::Session;

use self::inode::GoferInode;
use crate::Result;
use crate::fs::vfs::{FileSystem, Inode, StatFs};
use crate::sync::Mutex;

/// `OVERLAYFS_SUPER_MAGIC`.
const OVERLAY_MAGIC: u64 = 0x794c_7630;

/// Which file this is on the host: device and inode number.
pub(crate) type Key = (u64, u64);

/// What the inodes of a mount share.
pub(super) struct Shared {
    session: Arc<Session>,
    exclusive: bool,
    /// Files of the host file system change their descriptor when first written.
    copies_up: bool,
    dev: u64,
    inodes: Mutex<HashMap<Key, Weak<GoferInode>>>,
}

/// One mount of a gofer.
pub struct GoferFs {
    shared: Arc<Shared>,
    root: Arc<GoferInode>,
    name: &'static str,
}

impl GoferFs {
    /// The mount `index` of the session's gofer as a file system with device number `dev`.
    /// `exclusive`: nobody else is expected to change it.
    pub fn new(
        session: &Arc<Session>,
        index: u32,
        exclusive: bool,
        dev: u64,
    ) -> Result<Arc<GoferFs>> {
        let (handle, attr) = session.client().attach(index)?;
        let host = session.client().statfs(handle)?;
        let shared = Arc::new(Shared {
            session: session.clone(),
            exclusive,
            copies_up: host.kind == OVERLAY_MAGIC,
            dev,
            inodes: Mutex::default(),
        });
        let held = handle::Held::new(session, handle);
        let root = shared.inode(&attr, Some(held), None)?;
        Ok(Arc::new(GoferFs {
            shared,
            root,
            name: type_name(host.kind),
        }))
    }
}

/// The name Linux has for a file system with this magic number.
fn type_name(magic: u64) -> &'static str {
    match magic {
        OVERLAY_MAGIC => "overlay",
        0xef53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x0102_1994 => "tmpfs",
        0x2fc1_2fc1 => "zfs",
        0x6969 => "nfs",
        _ => "fuse",
    }
}

impl FileSystem for GoferFs {
    fn name(&self) -> &'static str {
        self.name
    }
    fn dev(&self) -> u64 {
        self.shared.dev
    }
    fn root(&self) -> Result<Arc<dyn Inode>> {
        Ok(self.root.clone())
    }
    fn statfs(&self) -> Result<StatFs> {
        let held = self.root.handle()?;
        let s = self.shared.session.client().statfs(held.handle())?;
        Ok(StatFs {
            kind: s.kind,
            bsize: s.bsize,
            blocks: s.blocks,
            bfree: s.bfree,
            bavail: s.bavail,
            files: s.files,
            ffree: s.ffree,
            namelen: s.namelen,
        })
    }
    fn revalidate_dentries(&self) -> bool {
        // In exclusive mode this is a comparison of two numbers.
        true
    }
    fn sync(&self) -> Result<()> {
        let held = self.root.handle()?;
        self.shared.session.client().fsync(held.handle(), false)
    }
}

impl Shared {
    /// The inode of a file with these attributes, made if this kernel does not know it.
    fn inode(
        self: &Arc<Shared>,
        attr: &gofer::Attr,
        held: Option<Arc<handle::Held>>,
        place: Option<inode::Place>,
    ) -> Result<Arc<GoferInode>> {
        let key = (attr.dev, attr.ino);
        if let Some(found) = self.known(key).filter(|i| i.is_same(attr)) {
            found.found_again(attr, held, place);
            return Ok(found);
        }
        let made = GoferInode::new(self, attr, held, place).ok_or(Errno::EIO)?;
        self.inodes.lock().insert(key, Arc::downgrade(&made));
        Ok(made)
    }

    /// The live inode of a key.
    fn known(&self, key: Key) -> Option<Arc<GoferInode>> {
        self.inodes.lock().get(&key).and_then(Weak::upgrade)
    }

    /// An inode goes away, or its file has no name any more and the number may come back.
    fn forget(&self, key: Key, inode: &GoferInode) {
        let mut inodes = self.inodes.lock();
        let same = inodes
            .get(&key)
            .is_some_and(|w| std::ptr::eq(w.as_ptr(), inode));
        if same {
            inodes.remove(&key);
        }
    }
}
