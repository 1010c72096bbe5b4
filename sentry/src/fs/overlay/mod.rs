//! Overlay: a writable upper layer over a lower one that is never changed.
//!
//! The upper layer is any directory that can be written, mostly the root of a tmpfs. As on
//! Linux, a removed lower name is a whiteout there (a character device 0:0) and a directory
//! that hides what is below it is marked by an attribute, so that nothing is lost when an
//! inode leaves the cache. [`inode`]: files as seen; [`copy_up`]: moving one to the upper
//! layer before its first change; [`dir`]: merged listings; [`mount`]: guest mounts.
//!
//! Directories that exist in the lower layer cannot be renamed (`EXDEV`), as on Linux
//! without `redirect_dir`.

mod copy_up;
mod dir;
mod inode;
mod mount;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use abi::Errno;

use super::vfs::{FileSystem, FileType, Inode, StatFs};
use crate::Result;
use crate::sync::Mutex;
use inode::{Layers, OvlInode};

pub use mount::{OPTIONS, mount};

/// `OVERLAYFS_SUPER_MAGIC`.
const OVERLAY_MAGIC: u64 = 0x794c_7630;
/// Attribute of a directory that hides what is below.
const OPAQUE: &[u8] = b"trusted.overlay.opaque";
/// Attribute of a copied file: its number in the lower layer.
const ORIGIN: &[u8] = b"trusted.overlay.origin";
/// Added to numbers of upper files, to keep them apart from lower ones.
const UPPER_INO: u64 = 1 << 40;

/// What the inodes of an instance share.
pub struct Shared {
    dev: u64,
    /// Files by number, so that hard links are one inode.
    inodes: Mutex<HashMap<u64, Weak<OvlInode>>>,
    /// Copies of lower files that have several names, by lower number.
    copies: Mutex<HashMap<u64, Arc<dyn Inode>>>,
    /// Serialises copying up.
    copying: Mutex<()>,
}

/// An overlay instance.
pub struct OverlayFs {
    root: Arc<OvlInode>,
    upper_fs: Arc<dyn FileSystem>,
    shared: Arc<Shared>,
    options: String,
}

impl OverlayFs {
    /// `upper`, a directory of `upper_fs`, over the directory `lower`; device number `dev`.
    pub fn new(
        dev: u64,
        lower: Arc<dyn Inode>,
        upper: Arc<dyn Inode>,
        upper_fs: Arc<dyn FileSystem>,
    ) -> Result<Arc<OverlayFs>> {
        let dirs = [&lower, &upper];
        if dirs.iter().any(|i| i.kind() != FileType::Directory) {
            return Err(Errno::ENOTDIR);
        }
        let shared = Arc::new(Shared {
            dev,
            inodes: Mutex::default(),
            copies: Mutex::default(),
            copying: Mutex::new(()),
        });
        let layers = Layers {
            upper: Some(upper),
            lower: Some(lower),
        };
        let root = OvlInode::new(&shared, None, b"", layers)?;
        Ok(Arc::new(OverlayFs {
            root,
            upper_fs,
            shared,
            options: String::new(),
        }))
    }

    /// A private layer in memory over `lower`, a whole file system.
    pub fn in_memory(
        dev: u64,
        lower: &Arc<dyn FileSystem>,
        upper: Arc<dyn FileSystem>,
    ) -> Result<Arc<OverlayFs>> {
        let root = lower.root()?;
        let top = upper.root()?;
        copy_up::copy_attributes(&root, &top)?;
        OverlayFs::new(dev, root, top, upper)
    }

    fn with_options(self: Arc<OverlayFs>, options: String) -> Arc<OverlayFs> {
        Arc::new(OverlayFs {
            root: self.root.clone(),
            upper_fs: self.upper_fs.clone(),
            shared: self.shared.clone(),
            options,
        })
    }
}

impl FileSystem for OverlayFs {
    fn name(&self) -> &'static str {
        "overlay"
    }
    fn dev(&self) -> u64 {
        self.shared.dev
    }
    fn root(&self) -> Result<Arc<dyn Inode>> {
        Ok(self.root.clone())
    }
    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs {
            kind: OVERLAY_MAGIC,
            ..self.upper_fs.statfs()?
        })
    }
    fn options(&self) -> String {
        self.options.clone()
    }
    fn sync(&self) -> Result<()> {
        self.upper_fs.sync()
    }
}

/// Whether an upper inode stands for "nothing here".
fn is_whiteout(inode: &Arc<dyn Inode>) -> bool {
    inode.kind() == FileType::CharDevice && inode.attr().is_ok_and(|a| a.rdev == 0)
}

/// Whether an upper directory hides what is below it.
fn is_opaque(dir: &Arc<dyn Inode>) -> bool {
    dir.get_xattr(OPAQUE).is_ok_and(|v| v == b"y")
}

/// `ENOENT` as `None`.
fn find(dir: &Arc<dyn Inode>, name: &[u8]) -> Result<Option<Arc<dyn Inode>>> {
    match dir.lookup(name) {
        Ok(inode) => Ok(Some(inode)),
        Err(Errno::ENOENT) => Ok(None),
        Err(e) => Err(e),
    }
}
