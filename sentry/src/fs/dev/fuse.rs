//! `/dev/fuse` (fuse(4)) without a file system behind it: `mount(2)` knows no such type, so a
//! connection stays as it is before it is mounted.

use std::any::Any;

use abi::Errno;

use crate::Result;
use crate::fs::file::{FileOps, IoCx};
use crate::io::{IoDst, IoSrc};

/// Major and minor number.
pub const NUMBER: (u32, u32) = (10, 229);

/// A connection that no file system was mounted with.
pub struct Connection;

impl FileOps for Connection {
    fn as_any(&self) -> &dyn Any {
        self
    }

    /// `EPERM`, as before a mount.
    fn read(&self, _cx: &IoCx<'_>, _dst: &mut dyn IoDst, _pos: u64) -> Result<usize> {
        Err(Errno::EPERM)
    }

    /// `EPERM`, as before a mount.
    fn write(&self, _cx: &IoCx<'_>, _src: &mut dyn IoSrc, _pos: u64) -> Result<usize> {
        Err(Errno::EPERM)
    }
}
