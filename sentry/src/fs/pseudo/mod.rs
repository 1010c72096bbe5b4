//! Building blocks of file systems whose content the kernel makes up: `proc`, `sys`.
//!
//! [`Dir`] over a [`Tree`], [`Text`] files made when read, [`Link`]s. Nothing is stored: a
//! directory answers look-ups by asking its `Tree`, a text is made anew whenever it is read
//! from its start.

mod dir;
mod link;
mod text;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use super::vfs::{Attr, FileSystem, FileType, Inode, InodeExtra, SetAttr, StatFs};
use abi::Errno;

use crate::Result;
use crate::fs::file::Whence;
use crate::fs::vfs::Owner;

pub use dir::{Dir, Static, Tree};
pub use link::{Jump, Link};
pub use text::{Text, TextSource, Write};

/// What every made-up inode has.
pub struct Node {
    /// Device number of the file system.
    pub dev: u64,
    /// Inode number; stable for a given place.
    pub ino: u64,
    /// Permission bits.
    pub perm: u32,
    /// Owner.
    pub owner: Owner,
    /// Its times, since the epoch: when the file system was mounted.
    pub since: Duration,
    /// It tells of a process: its mode cannot be set at all.
    process: bool,
    extra: InodeExtra,
}

impl Node {
    /// A node whose number is derived from `place`, which names it within the file system.
    pub fn new(dev: u64, place: &impl Hash, perm: u32, owner: Owner) -> Node {
        let mut h = DefaultHasher::new();
        place.hash(&mut h);
        // 32 bits as Linux's proc numbers are; 0 to 2 are reserved for roots.
        let ino = (h.finish() & 0x7fff_ffff) | 0x8000_0000;
        Node {
            dev,
            ino,
            perm,
            owner,
            since: Duration::ZERO,
            process: false,
            extra: InodeExtra::default(),
        }
    }

    /// The root directory's node.
    pub fn root(dev: u64) -> Node {
        Node {
            dev,
            ino: 1,
            perm: 0o555,
            owner: Owner { uid: 0, gid: 0 },
            since: Duration::ZERO,
            process: false,
            extra: InodeExtra::default(),
        }
    }

    /// The same with these times.
    #[must_use]
    pub fn since(self, since: Duration) -> Node {
        Node { since, ..self }
    }

    /// The same as one that tells of a process.
    #[must_use]
    pub fn of_process(self) -> Node {
        Node {
            process: true,
            ..self
        }
    }

    /// Where other subsystems hang their state.
    pub fn extra(&self) -> &InodeExtra {
        &self.extra
    }

    /// A change that leaves owner and mode as they are succeeds; others are refused.
    fn keeps(&self, set: &SetAttr) -> Result<()> {
        let same = SetAttr {
            perm: set.perm.filter(|p| !self.process && *p == self.perm),
            uid: set.uid.filter(|u| *u == self.owner.uid),
            gid: set.gid.filter(|g| *g == self.owner.gid),
            ..SetAttr::default()
        };
        if *set == same {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }

    /// Attributes with these varying ones.
    pub fn attr(&self, kind: FileType, nlink: u64, size: u64) -> Attr {
        let now = self.since;
        Attr {
            dev: self.dev,
            ino: self.ino,
            kind,
            perm: self.perm,
            nlink,
            uid: self.owner.uid,
            gid: self.owner.gid,
            size,
            blksize: 1024,
            atime: now.into(),
            mtime: now.into(),
            ctime: now.into(),
            ..Attr::anonymous()
        }
    }
}

/// A new position in a made-up file, which has no end to count from.
pub(crate) fn seek(cur: u64, offset: i64, whence: Whence) -> Result<u64> {
    let base = match whence {
        Whence::Set => 0,
        Whence::Cur => cur,
        _ => return Err(Errno::EINVAL),
    };
    base.checked_add_signed(offset)
        .filter(|&p| i64::try_from(p).is_ok())
        .ok_or(Errno::EINVAL)
}

/// A file system of made-up files.
pub struct PseudoFs {
    name: &'static str,
    magic: u64,
    dev: u64,
    root: Arc<dyn Inode>,
    options: &'static str,
}

impl PseudoFs {
    /// With this root; `magic` as in `statfs(2)`.
    pub fn new(name: &'static str, magic: u64, dev: u64, root: Arc<dyn Inode>) -> Arc<PseudoFs> {
        PseudoFs::with_options(name, magic, dev, root, "")
    }

    /// The same with options of its instance, as `/proc/mounts` shows them.
    pub fn with_options(
        name: &'static str,
        magic: u64,
        dev: u64,
        root: Arc<dyn Inode>,
        options: &'static str,
    ) -> Arc<PseudoFs> {
        Arc::new(PseudoFs {
            name,
            magic,
            dev,
            root,
            options,
        })
    }
}

impl FileSystem for PseudoFs {
    fn name(&self) -> &'static str {
        self.name
    }
    fn dev(&self) -> u64 {
        self.dev
    }
    fn root(&self) -> Result<Arc<dyn Inode>> {
        Ok(self.root.clone())
    }
    fn options(&self) -> String {
        self.options.to_owned()
    }
    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs {
            kind: self.magic,
            bsize: 4096,
            namelen: 255,
            ..StatFs::default()
        })
    }
    fn revalidate_dentries(&self) -> bool {
        true
    }
    fn missing_is_error(&self) -> bool {
        self.name == "proc"
    }
}
