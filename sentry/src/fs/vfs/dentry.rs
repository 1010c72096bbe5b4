//! Dentries: names and what they stand for, cached.

use std::sync::Arc;

use super::inode::Inode;
use crate::sync::RwLock;

/// A name in a directory. Positive (with an inode) or negative.
pub struct Dentry {
    inode: RwLock<Option<Arc<dyn Inode>>>,
}

impl Dentry {
    /// A root dentry.
    pub fn root(inode: Arc<dyn Inode>) -> Arc<Dentry> {
        Arc::new(Dentry {
            inode: RwLock::new(Some(inode)),
        })
    }

    /// What it stands for; `None` when negative.
    pub fn inode(&self) -> Option<Arc<dyn Inode>> {
        self.inode.read().clone()
    }
}
