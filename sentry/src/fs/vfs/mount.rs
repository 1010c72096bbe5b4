//! Mounts and paths.

use std::sync::Arc;

use super::dentry::Dentry;
use super::inode::FileSystem;

/// A file system attached to the tree.
pub struct Mount {
    /// What is mounted.
    pub fs: Arc<dyn FileSystem>,
    /// Its root in this mount.
    pub root: Arc<Dentry>,
}

/// A place in the tree: a dentry as seen through a mount.
#[derive(Clone)]
pub struct Path {
    /// Through which mount.
    pub mount: Arc<Mount>,
    /// Which name.
    pub dentry: Arc<Dentry>,
}
