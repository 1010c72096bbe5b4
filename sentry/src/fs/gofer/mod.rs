//! Placeholder until the file system over a gofer lands.

use std::sync::Arc;

use abi::Errno;

use crate::Result;
use crate::fs::vfs::FileSystem;
use crate::kernel::Kernel;

/// The file system over a gofer.
pub struct GoferFs;

impl GoferFs {
    /// Not there yet.
    pub fn new(
        _k: &Arc<Kernel>,
        _client: Arc<gofer::client::Client>,
        _index: u32,
        _exclusive: bool,
    ) -> Result<Arc<dyn FileSystem>> {
        Err(Errno::ENOSYS)
    }
}
