//! tmpfs: files in the kernel's memory (`tmpfs(5)`).
//!
//! [`TmpFs`] is an instance with its limits; [`inode`] what a file is; [`data`] the bytes
//! of a regular file; [`dir`] the names of a directory; [`file`] what is open.

pub mod data;
pub mod dir;
pub mod file;
pub mod inode;
mod mount;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use abi::{Errno, PAGE_SIZE};

use super::vfs::fs_type::MountRequest;
use super::vfs::{FileSystem, FileTime, FileType, Inode, StatFs};
use crate::Result;
use crate::fs::vfs::Owner;
use crate::mm::frames::Frames;
use crate::time::clock::Clock;
use data::Quota;
use inode::{Body, TmpInode};
pub use mount::{OPTIONS, mount, mount_ramfs, parse};

/// `TMPFS_MAGIC`.
const TMPFS_MAGIC: u64 = 0x0102_1994;
/// `MQUEUE_MAGIC`.
const MQUEUE_MAGIC: u64 = 0x1980_0202;
/// `RAMFS_MAGIC`.
const RAMFS_MAGIC: u64 = 0x8584_58f6;

/// Options of a mount.
#[derive(Clone, Debug)]
pub struct TmpOptions {
    /// Most bytes; `None` for no limit.
    pub size: Option<u64>,
    /// Most inodes; `None` for no limit.
    pub inodes: Option<u64>,
    /// Permission bits of the root.
    pub mode: u32,
    /// Owner of the root.
    pub owner: Owner,
    /// Limits in bytes and inodes that are not worth showing.
    pub usual: (Option<u64>, Option<u64>),
}

impl Default for TmpOptions {
    fn default() -> TmpOptions {
        TmpOptions {
            size: None,
            inodes: None,
            mode: 0o1777,
            owner: Owner { uid: 0, gid: 0 },
            usual: (None, None),
        }
    }
}

/// What the inodes of an instance share.
pub struct Shared {
    pub(super) dev: u64,
    pub(super) frames: Arc<Frames>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) quota: Arc<Quota>,
    max_inodes: AtomicU64,
    used_inodes: AtomicU64,
    next_ino: AtomicU64,
}

impl Shared {
    pub(super) fn now(&self) -> FileTime {
        self.clock.realtime().into()
    }

    /// A number for a new inode; `ENOSPC`.
    pub(super) fn new_ino(&self) -> Result<u64> {
        let max = self.max_inodes.load(Ordering::Relaxed);
        self.used_inodes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                (used < max).then_some(used + 1)
            })
            .map_err(|_| Errno::ENOSPC)?;
        Ok(self.next_ino.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn drop_ino(&self) {
        self.used_inodes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A tmpfs instance.
pub struct TmpFs {
    shared: Arc<Shared>,
    root: Arc<TmpInode>,
    options: TmpOptions,
    name: &'static str,
}

impl TmpFs {
    /// An instance with device number `dev`, its data in `frames`.
    pub fn new(
        frames: Arc<Frames>,
        clock: Arc<dyn Clock>,
        dev: u64,
        options: TmpOptions,
    ) -> Arc<TmpFs> {
        let pages = |bytes: u64| bytes.div_ceil(PAGE_SIZE);
        let shared = Arc::new(Shared {
            dev,
            frames,
            clock,
            quota: Arc::new(Quota {
                max: AtomicU64::new(options.size.map_or(u64::MAX, pages)),
                used: AtomicU64::new(0),
            }),
            max_inodes: AtomicU64::new(options.inodes.unwrap_or(u64::MAX)),
            used_inodes: AtomicU64::new(1),
            next_ino: AtomicU64::new(2),
        });
        let root = TmpInode::with_number(
            &shared,
            1,
            FileType::Directory,
            options.mode & 0o7777,
            options.owner,
            Body::Dir(dir::Dir::new(1)),
        );
        Arc::new(TmpFs {
            shared,
            root,
            options,
            name: "tmpfs",
        })
    }

    /// The same under another type name (`devtmpfs`, `mqueue`).
    pub fn named(self: Arc<TmpFs>, name: &'static str) -> Arc<TmpFs> {
        Arc::new(TmpFs {
            shared: self.shared.clone(),
            root: self.root.clone(),
            options: self.options.clone(),
            name,
        })
    }

    /// Changes the limits (remount): `EINVAL` below what is in use.
    pub fn set_limits(&self, size: Option<u64>, inodes: Option<u64>) -> Result<()> {
        let pages = size.map(|s| s.div_ceil(PAGE_SIZE));
        let used = self.shared.quota.used.load(Ordering::Relaxed);
        let used_inodes = self.shared.used_inodes.load(Ordering::Relaxed);
        if pages.is_some_and(|p| p < used) || inodes.is_some_and(|i| i < used_inodes) {
            return Err(Errno::EINVAL);
        }
        if let Some(pages) = pages {
            self.shared.quota.max.store(pages, Ordering::Relaxed);
        }
        if let Some(inodes) = inodes {
            self.shared.max_inodes.store(inodes, Ordering::Relaxed);
        }
        Ok(())
    }

    /// An unnamed file with the given seals (`memfd_create(2)`).
    pub fn memfd(
        &self,
        perm: u32,
        owner: Owner,
        seals: super::seals::Seals,
    ) -> Result<Arc<dyn Inode>> {
        let inode = TmpInode::new_file(&self.shared, perm, owner, seals)?;
        inode.set_nlink(0);
        Ok(inode)
    }
}

impl FileSystem for TmpFs {
    fn name(&self) -> &'static str {
        self.name
    }
    fn dev(&self) -> u64 {
        self.shared.dev
    }
    fn root(&self) -> Result<Arc<dyn Inode>> {
        Ok(self.root.clone())
    }
    fn statfs(&self) -> Result<StatFs> {
        let quota = &self.shared.quota;
        let max = quota.max.load(Ordering::Relaxed);
        let max_inodes = self.shared.max_inodes.load(Ordering::Relaxed);
        let used = self.shared.used_inodes.load(Ordering::Relaxed);
        let limited = |max: u64| if max == u64::MAX { 0 } else { max };
        let blocks = limited(max);
        let free = blocks.saturating_sub(quota.used.load(Ordering::Relaxed));
        Ok(StatFs {
            kind: match self.name {
                "mqueue" => MQUEUE_MAGIC,
                "ramfs" => RAMFS_MAGIC,
                _ => TMPFS_MAGIC,
            },
            bsize: PAGE_SIZE,
            blocks,
            bfree: free,
            bavail: free,
            files: limited(max_inodes),
            ffree: limited(max_inodes).saturating_sub(used),
            namelen: abi::NAME_MAX as u64,
        })
    }
    fn reconfigure(&self, request: &MountRequest<'_>) -> Result<()> {
        if self.name == "ramfs" {
            return Ok(());
        }
        self.remount(request)
    }
    fn options(&self) -> String {
        let mut text = Vec::new();
        let max = self.shared.quota.max.load(Ordering::Relaxed);
        let usual = self.options.usual;
        let usual_max = usual.0.map(|size| size.div_ceil(PAGE_SIZE));
        if max != u64::MAX && Some(max) != usual_max {
            text.push(format!("size={}k", max.saturating_mul(PAGE_SIZE / 1024)));
        }
        let inodes = self.shared.max_inodes.load(Ordering::Relaxed);
        if inodes != u64::MAX && Some(inodes) != usual.1 {
            text.push(format!("nr_inodes={inodes}"));
        }
        if self.options.mode != 0o1777 {
            text.push(format!("mode={:o}", self.options.mode));
        }
        let Owner { uid, gid } = self.options.owner;
        if uid != 0 {
            text.push(format!("uid={uid}"));
        }
        if gid != 0 {
            text.push(format!("gid={gid}"));
        }
        text.join(",")
    }
}
