//! Character devices that are no terminals (`mem(4)`, `random(4)`, `full(4)`).
//!
//! A device node is an inode of whatever file system it lies on; opening it comes here by
//! its device number.

mod fuse;
pub mod kmsg;
pub mod mem;

use std::sync::Arc;

use abi::Errno;

use crate::Result;
use crate::fs::file::FileOps;

/// Device number in Linux's encoding (`makedev(3)`, kernel `new_encode_dev` for small ones).
pub const fn makedev(major: u32, minor: u32) -> u64 {
    let (major, minor) = (major as u64, minor as u64);
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & !0xff) << 12) | ((major & !0xfff) << 32)
}

/// Major number of a device.
pub const fn major(rdev: u64) -> u32 {
    (((rdev >> 8) & 0xfff) | ((rdev >> 32) & !0xfff)) as u32
}

/// Minor number of a device.
pub const fn minor(rdev: u64) -> u32 {
    ((rdev & 0xff) | ((rdev >> 12) & !0xff)) as u32
}

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

/// Opens a memory device or that of fuse by number; `ENXIO` for any other.
pub fn open(rdev: u64) -> Result<Arc<dyn FileOps>> {
    if (major(rdev), minor(rdev)) == fuse::NUMBER {
        return Ok(Arc::new(fuse::Connection));
    }
    let device = match (major(rdev), minor(rdev)) {
        (1, 3) => mem::Mem::Null,
        (1, 5) => mem::Mem::Zero,
        (1, 7) => mem::Mem::Full,
        (1, 8 | 9) => mem::Mem::Random,
        _ => return Err(Errno::ENXIO),
    };
    Ok(Arc::new(device))
}
