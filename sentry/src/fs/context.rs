//! Where a process stands in the tree (`struct fs_struct`): root, current directory, umask.

use super::vfs::Path;
use crate::sync::RwLock;

/// Shared by `CLONE_FS`. Lock rank: leaf.
pub struct FsContext {
    inner: RwLock<Inner>,
}

#[derive(Clone)]
struct Inner {
    root: Path,
    cwd: Path,
    umask: u32,
}

impl FsContext {
    /// A context that stands at `root`.
    pub fn new(root: Path, cwd: Path, umask: u32) -> FsContext {
        FsContext {
            inner: RwLock::new(Inner { root, cwd, umask }),
        }
    }
    /// A copy (`fork`).
    pub fn duplicate(&self) -> FsContext {
        FsContext {
            inner: RwLock::new(self.inner.read().clone()),
        }
    }
    /// The root directory.
    pub fn root(&self) -> Path {
        self.inner.read().root.clone()
    }
    /// The current directory.
    pub fn cwd(&self) -> Path {
        self.inner.read().cwd.clone()
    }
    /// Changes the root directory.
    pub fn set_root(&self, root: Path) {
        let old = std::mem::replace(&mut self.inner.write().root, root);
        drop(old);
    }
    /// Changes the current directory.
    pub fn set_cwd(&self, cwd: Path) {
        let old = std::mem::replace(&mut self.inner.write().cwd, cwd);
        drop(old);
    }
    /// The file mode creation mask.
    pub fn umask(&self) -> u32 {
        self.inner.read().umask
    }
    /// Changes the mask, returning the old one.
    pub fn set_umask(&self, umask: u32) -> u32 {
        std::mem::replace(&mut self.inner.write().umask, umask & 0o777)
    }
}
