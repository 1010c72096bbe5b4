//! File system types: what `mount(2)` can be asked for by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use abi::Errno;

use super::inode::FileSystem;
use super::walk::WalkCx;
use crate::Result;
use crate::fs::{dev, overlay, tmpfs};
use crate::kernel::Kernel;
use crate::sync::RwLock;

/// What a new instance is made from.
pub struct MountRequest<'a> {
    /// The kernel.
    pub kernel: &'a Arc<Kernel>,
    /// Who mounts, for types whose options are paths.
    pub cx: &'a WalkCx<'a>,
    /// The source given.
    pub source: &'a [u8],
    /// The options given, separated by commas.
    pub options: &'a [u8],
}

impl<'a> MountRequest<'a> {
    /// The options one by one: name and value.
    pub fn options(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let parts = self.options.split(|&b| b == b',').filter(|p| !p.is_empty());
        parts.map(|p| match p.iter().position(|&b| b == b'=') {
            Some(i) => (p.get(..i).unwrap_or(p), p.get(i + 1..)),
            None => (p, None),
        })
    }
}

/// Makes an instance.
pub type MakeFs = dyn Fn(&MountRequest<'_>) -> Result<Arc<dyn FileSystem>> + Send + Sync;

/// The types the kernel has. Lock rank: leaf.
pub struct FsTypes {
    types: RwLock<BTreeMap<&'static str, Arc<MakeFs>>>,
    next_dev: AtomicU64,
}

impl fmt::Debug for FsTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.types.read().keys()).finish()
    }
}

impl Default for FsTypes {
    fn default() -> FsTypes {
        let types = FsTypes {
            types: RwLock::default(),
            // Low ones are known for pipes, sockets and anonymous inodes.
            next_dev: AtomicU64::new(32),
        };
        types.register("tmpfs", Arc::new(tmpfs::mount));
        types.register("ramfs", Arc::new(tmpfs::mount_ramfs));
        types.register("overlay", Arc::new(overlay::mount));
        types
    }
}

impl FsTypes {
    /// Adds a type.
    pub fn register(&self, name: &'static str, make: Arc<MakeFs>) {
        self.types.write().insert(name, make);
    }

    /// A new instance of the type; `ENODEV` for an unknown one.
    pub fn make(&self, name: &[u8], request: &MountRequest<'_>) -> Result<Arc<dyn FileSystem>> {
        let name = std::str::from_utf8(name).map_err(|_| Errno::ENODEV)?;
        let make = self.types.read().get(name).cloned();
        make.ok_or(Errno::ENODEV)?(request)
    }

    /// Names of the types, for `/proc/filesystems`.
    pub fn names(&self) -> Vec<&'static str> {
        self.types.read().keys().copied().collect()
    }

    /// A device number for a file system instance (`st_dev`).
    pub fn new_dev(&self) -> u64 {
        let n = self.next_dev.fetch_add(1, Ordering::Relaxed);
        dev::makedev(0, u32::try_from(n & 0xf_ffff).unwrap_or(0))
    }
}
