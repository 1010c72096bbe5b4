//! Where a process stands in the tree (`struct fs_struct`): root, current directory, umask.

use std::sync::Arc;

use abi::Errno;

use super::vfs::{MountNamespace, Path};
use crate::Result;
use crate::sync::RwLock;
use crate::userns::UserNs;

/// Shared by `CLONE_FS`. Lock rank: leaf.
pub struct FsContext {
    inner: RwLock<Inner>,
}

#[derive(Clone)]
struct Inner {
    root: Path,
    cwd: Path,
    umask: u32,
    /// Keeps the mounts in place.
    mounts: Option<Arc<MountNamespace>>,
}

impl FsContext {
    /// A context that stands at `root`.
    pub fn new(root: Path, cwd: Path, umask: u32) -> FsContext {
        FsContext {
            inner: RwLock::new(Inner {
                mounts: root.mount.namespace(),
                root,
                cwd,
                umask,
            }),
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
    /// The mount namespace; `None` for a root outside any.
    pub fn mounts(&self) -> Option<Arc<MountNamespace>> {
        self.inner.read().mounts.clone()
    }
    /// Gives the context a mount namespace of its own, a copy of the one it is in
    /// (`CLONE_NEWNS`), that belongs to `owner`; the context must not be shared. `EINVAL`
    /// outside any namespace, `ENOSPC` for too many mounts.
    pub fn unshare_mounts(&self, owner: &UserNs) -> Result<()> {
        let old = self.inner.read().clone();
        let (mounts, copied) = old.mounts.ok_or(Errno::EINVAL)?.duplicate(owner)?;
        // A directory on a mount of no or another namespace stays where it is.
        let moved = |path: Path| Path {
            mount: copied.get(&path.mount.id).cloned().unwrap_or(path.mount),
            dentry: path.dentry,
        };
        let new = Inner {
            root: moved(old.root),
            cwd: moved(old.cwd),
            umask: old.umask,
            mounts: Some(mounts),
        };
        let gone = std::mem::replace(&mut *self.inner.write(), new);
        drop(gone);
        Ok(())
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
