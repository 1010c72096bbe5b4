//! Device nodes: who opens a device number.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::attr::FileType;
use super::inode::Inode;
use crate::Result;
use crate::fs::file::{FileOps, OpenFlags};
use crate::sync::RwLock;
use crate::task::Task;

/// Opens devices of one major number (or one device).
pub trait Device: Send + Sync + 'static {
    /// Opens device `minor`; `ENXIO` when there is none. `inode` is the node it was opened by.
    fn open(
        &self,
        minor: u32,
        inode: &Arc<dyn Inode>,
        flags: OpenFlags,
        t: Option<&Arc<Task>>,
    ) -> Result<Arc<dyn FileOps>>;
}

/// Opens FIFOs: finds or makes the pipe of the inode.
pub type FifoOpener = dyn Fn(&Arc<dyn Inode>, OpenFlags) -> Result<Arc<dyn FileOps>> + Send + Sync;

#[derive(Default)]
struct Inner {
    devices: HashMap<(FileType, u32, Option<u32>), Arc<dyn Device>>,
    fifo: Option<Arc<FifoOpener>>,
}

/// The kernel's devices. Lock rank: leaf.
#[derive(Default)]
pub struct DeviceTable(RwLock<Inner>);

impl fmt::Debug for DeviceTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceTable({})", self.0.read().devices.len())
    }
}

/// Major and minor of a device number as the kernel encodes it.
pub fn split(rdev: u64) -> (u32, u32) {
    let major = (rdev >> 8 & 0xfff) | (rdev >> 32 & !0xfff);
    let minor = (rdev & 0xff) | (rdev >> 12 & !0xff);
    (major as u32, minor as u32)
}

/// A device number from major and minor.
pub const fn join(major: u32, minor: u32) -> u64 {
    let (major, minor) = (major as u64, minor as u64);
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & !0xff) << 12) | ((major & !0xfff) << 32)
}

impl DeviceTable {
    /// Registers the opener of a whole major number.
    pub fn register_major(&self, kind: FileType, major: u32, device: Arc<dyn Device>) {
        self.0.write().devices.insert((kind, major, None), device);
    }

    /// Registers the opener of one device.
    pub fn register(&self, kind: FileType, major: u32, minor: u32, device: Arc<dyn Device>) {
        let key = (kind, major, Some(minor));
        self.0.write().devices.insert(key, device);
    }

    /// Registers what opens FIFOs.
    pub fn register_fifo(&self, opener: Arc<FifoOpener>) {
        self.0.write().fifo = Some(opener);
    }

    /// The opener of a device number, and the minor.
    pub fn find(&self, kind: FileType, rdev: u64) -> Option<(Arc<dyn Device>, u32)> {
        let (major, minor) = split(rdev);
        let inner = self.0.read();
        let one = inner.devices.get(&(kind, major, Some(minor)));
        let found = one.or_else(|| inner.devices.get(&(kind, major, None)))?;
        Some((found.clone(), minor))
    }

    /// What opens FIFOs.
    pub fn fifo(&self) -> Option<Arc<FifoOpener>> {
        self.0.read().fifo.clone()
    }
}
