//! Device nodes: who opens a device number.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::attr::FileType;
use super::inode::Inode;
use crate::Result;
use crate::fs::dev;
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

#[derive(Default)]
struct Inner {
    devices: HashMap<(FileType, u32, Option<u32>), Arc<dyn Device>>,
}

/// The kernel's devices. Lock rank: leaf.
#[derive(Default)]
pub struct DeviceTable(RwLock<Inner>);

impl fmt::Debug for DeviceTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceTable({})", self.0.read().devices.len())
    }
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

    /// The opener of a device number, and the minor.
    pub fn find(&self, kind: FileType, rdev: u64) -> Option<(Arc<dyn Device>, u32)> {
        let (major, minor) = (dev::major(rdev), dev::minor(rdev));
        let inner = self.0.read();
        let one = inner.devices.get(&(kind, major, Some(minor)));
        let found = one.or_else(|| inner.devices.get(&(kind, major, None)))?;
        Some((found.clone(), minor))
    }
}
