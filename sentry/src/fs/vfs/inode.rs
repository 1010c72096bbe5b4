//! What a file system implements.

use std::any::Any;
use std::sync::Arc;

use abi::Errno;

use super::acl::{Acl, AclKind, Inherited};
use super::attr::{Attr, FileType, SetAttr};
use super::fs_type::MountRequest;
use super::mount::Path;
use crate::Result;
use crate::fs::file::{FileOps, OpenFlags};
use crate::task::Task;

/// Owner of a file about to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "plain pair")]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// Where a symbolic link leads.
pub enum Symlink {
    /// To this path text.
    Target(Vec<u8>),
    /// Straight to a place, whatever the text says (`/proc/PID/{fd/N,exe,cwd,root}`).
    Jump(Path),
}

/// One directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirEntry<'a> {
    /// Name without separators; `.` and `..` included.
    pub name: &'a [u8],
    /// Inode number.
    pub ino: u64,
    /// Type, if known.
    pub kind: Option<FileType>,
    /// Position after this entry (`d_off`).
    pub next: u64,
}

/// Takes directory entries.
pub trait DirSink {
    /// Takes one; `false` when it is full and the entry was not taken.
    fn entry(&mut self, entry: DirEntry<'_>) -> bool;
}

bitflags::bitflags! {
    /// Flags of `renameat2(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct RenameFlags: u32 {
        /// Fail with `EEXIST` if the new name exists.
        const NOREPLACE = 1;
        /// Exchange the two names.
        const EXCHANGE = 2;
        /// Leave a whiteout (overlay file systems only).
        const WHITEOUT = 4;
    }
}

/// `statfs(2)` of a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in statfs(2)")]
pub struct StatFs {
    pub kind: u64,
    pub bsize: u64,
    pub blocks: u64,
    pub bfree: u64,
    pub bavail: u64,
    pub files: u64,
    pub ffree: u64,
    pub namelen: u64,
}

/// A mounted file system instance (super block).
pub trait FileSystem: Send + Sync + 'static {
    /// Type name as in `/proc/mounts`.
    fn name(&self) -> &'static str;
    /// Device number (`st_dev`), unique in the kernel.
    fn dev(&self) -> u64;
    /// The root directory (or file, for a file bind mount).
    fn root(&self) -> Result<Arc<dyn Inode>>;
    /// `statfs(2)`.
    fn statfs(&self) -> Result<StatFs>;
    /// Mount options beyond the per-mount flags, as in `/proc/mounts` (`size=65536k`).
    fn options(&self) -> String {
        String::new()
    }
    /// Changes the options of the instance (`MS_REMOUNT`); `EINVAL`. One that has none to
    /// change takes those it was made with as well as none.
    fn reconfigure(&self, request: &MountRequest<'_>) -> Result<()> {
        if request.options().next().is_some() && self.options().as_bytes() != request.options {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }
    /// Whether a cached (positive or negative) dentry must be revalidated at each use.
    fn revalidate_dentries(&self) -> bool {
        false
    }
    /// Whether a name that is not there is an error at once, even for calls that would make
    /// it (`proc`): they then fail with `ENOENT`.
    fn missing_is_error(&self) -> bool {
        false
    }
    /// `syncfs(2)`.
    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

/// An inode. Names given are single components, checked for length, without separators.
/// Defaults are what Linux answers for an inode that lacks the operation.
pub trait Inode: Send + Sync + 'static {
    /// For file systems to recognise their own.
    fn as_any(&self) -> &dyn Any;
    /// Type; never changes.
    fn kind(&self) -> FileType;
    /// Attributes now.
    fn attr(&self) -> Result<Attr>;
    /// Changes attributes; permission was checked.
    fn set_attr(&self, _set: &SetAttr) -> Result<()> {
        Err(Errno::EPERM)
    }
    /// Finds a child; `ENOENT`.
    fn lookup(&self, _name: &[u8]) -> Result<Arc<dyn Inode>> {
        Err(Errno::ENOTDIR)
    }
    /// For file systems that revalidate: whether `child` is still what `name` means.
    fn still_valid(&self, _name: &[u8], _child: Option<&Arc<dyn Inode>>) -> bool {
        true
    }
    /// Creates a regular file that does not exist.
    fn create(&self, _name: &[u8], _perm: u32, _owner: Owner) -> Result<Arc<dyn Inode>> {
        Err(Errno::EACCES)
    }
    /// Creates an unnamed regular file in this directory (`O_TMPFILE`).
    fn tmpfile(&self, _perm: u32, _owner: Owner) -> Result<Arc<dyn Inode>> {
        Err(Errno::EOPNOTSUPP)
    }
    /// `mkdir(2)`.
    fn mkdir(&self, _name: &[u8], _perm: u32, _owner: Owner) -> Result<Arc<dyn Inode>> {
        Err(Errno::EPERM)
    }
    /// `mknod(2)`: FIFO, socket, device.
    fn mknod(
        &self,
        _name: &[u8],
        _kind: FileType,
        _perm: u32,
        _rdev: u64,
        _owner: Owner,
    ) -> Result<Arc<dyn Inode>> {
        Err(Errno::EPERM)
    }
    /// `symlink(2)`.
    fn symlink(&self, _name: &[u8], _target: &[u8], _owner: Owner) -> Result<Arc<dyn Inode>> {
        Err(Errno::EPERM)
    }
    /// `link(2)`: a new name here for `target`, an inode of the same file system.
    fn link(&self, _name: &[u8], _target: &Arc<dyn Inode>) -> Result<()> {
        Err(Errno::EPERM)
    }
    /// `unlink(2)` of a non-directory.
    fn unlink(&self, _name: &[u8], _child: &Arc<dyn Inode>) -> Result<()> {
        Err(Errno::EPERM)
    }
    /// `rmdir(2)`; `ENOTEMPTY`.
    fn rmdir(&self, _name: &[u8], _child: &Arc<dyn Inode>) -> Result<()> {
        Err(Errno::EPERM)
    }
    /// `rename(2)` from this directory to `new_dir` of the same file system. The walk has
    /// checked types, loops and permissions.
    fn rename(
        &self,
        _name: &[u8],
        _new_dir: &Arc<dyn Inode>,
        _new_name: &[u8],
        _flags: RenameFlags,
    ) -> Result<()> {
        Err(Errno::EPERM)
    }
    /// Where a symbolic link leads; `t` matters for `/proc/self`.
    fn readlink(&self, _t: Option<&Arc<Task>>) -> Result<Symlink> {
        Err(Errno::EINVAL)
    }
    /// Opens it; permission was checked. Devices, FIFOs and sockets are dispatched by the
    /// VFS and never reach a disk-like file system.
    fn open(
        self: Arc<Self>,
        _flags: OpenFlags,
        _t: Option<&Arc<Task>>,
    ) -> Result<Arc<dyn FileOps>> {
        Err(Errno::ENXIO)
    }
    /// `getxattr(2)`.
    fn get_xattr(&self, _name: &[u8]) -> Result<Vec<u8>> {
        Err(Errno::EOPNOTSUPP)
    }
    /// `setxattr(2)`; flags `XATTR_CREATE` 1, `XATTR_REPLACE` 2.
    fn set_xattr(&self, _name: &[u8], _value: &[u8], _flags: u32) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }
    /// `listxattr(2)`.
    fn list_xattr(&self) -> Result<Vec<Vec<u8>>> {
        Ok(Vec::new())
    }
    /// `removexattr(2)`.
    fn remove_xattr(&self, _name: &[u8]) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }
    /// An access control list, where it says more than the permission bits; asked at each
    /// check of permission of who does not own the file.
    fn acl(&self, _kind: AclKind) -> Result<Option<Arc<Acl>>> {
        Ok(None)
    }
    /// Gives a file just made the lists it inherits.
    fn inherit_acls(&self, _acls: &Inherited) {}
    /// State the kernel hangs on an inode whatever its file system: file locks, the pipe of
    /// a FIFO, the bound unix socket, inotify watches.
    fn extra(&self) -> &InodeExtra;
    /// The file system it belongs to: device number.
    fn dev(&self) -> u64;
}

/// What other subsystems attach to an inode, made when first needed and keyed by type.
#[derive(Default)]
pub struct InodeExtra(crate::sync::Mutex<Vec<Arc<dyn Any + Send + Sync>>>);

impl InodeExtra {
    /// The attachment of type `T`, made by `new` if it is not there.
    pub fn get_or_insert<T: Any + Send + Sync>(&self, new: impl FnOnce() -> T) -> Arc<T> {
        let mut list = self.0.lock();
        if let Some(found) = list.iter().find_map(|a| a.clone().downcast::<T>().ok()) {
            return found;
        }
        let made = Arc::new(new());
        list.push(made.clone());
        made
    }

    /// The attachment of type `T`, if there is one.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0
            .lock()
            .iter()
            .find_map(|a| a.clone().downcast::<T>().ok())
    }

    /// Removes the attachment of type `T`.
    pub fn remove<T: Any + Send + Sync>(&self) {
        self.0.lock().retain(|a| !a.is::<T>());
    }
}
