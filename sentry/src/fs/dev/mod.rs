//! Character devices that are no terminals (`mem(4)`, `random(4)`, `full(4)`).
//!
//! A device node is an inode of whatever file system it lies on; opening it comes here by
//! its device number.

mod mem;

use std::sync::Arc;

use abi::Errno;

use crate::Result;
use crate::fs::file::{FileOps, OpenFlags};
use crate::fs::vfs::{Device, DeviceTable, FileType, Inode};
use crate::task::Task;

/// The default devices of a container: name, major, minor, permission bits (OCI runtime
/// spec, "Default Devices"; terminals are served by the tty layer).
pub const DEFAULT: [(&str, u32, u32, u32); 7] = [
    ("null", 1, 3, 0o666),
    ("zero", 1, 5, 0o666),
    ("full", 1, 7, 0o666),
    ("random", 1, 8, 0o666),
    ("urandom", 1, 9, 0o666),
    ("tty", 5, 0, 0o666),
    ("console", 5, 1, 0o600),
];

/// Opens memory devices (major 1).
struct MemDevices;

impl Device for MemDevices {
    fn open(
        &self,
        minor: u32,
        _inode: &Arc<dyn Inode>,
        _flags: OpenFlags,
        _t: Option<&Arc<Task>>,
    ) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(match minor {
            3 => mem::Mem::Null,
            5 => mem::Mem::Zero,
            7 => mem::Mem::Full,
            8 | 9 => mem::Mem::Random,
            _ => return Err(Errno::ENXIO),
        }))
    }
}

/// Makes the memory devices known.
pub fn register(devices: &DeviceTable) {
    devices.register_major(FileType::CharDevice, 1, Arc::new(MemDevices));
}
