//! The virtual file system: inodes, dentries, mounts and the walk between them.
//!
//! A file system implements [`Inode`] (and [`super::FileOps`] for what it opens) and
//! [`FileSystem`]. Names, negative entries, mounts, permission checks, symbolic links and
//! `..` are the walk's business, never the file system's.
//!
//! An inode operation may ask a gofer and so block its worker for the length of one request;
//! the caller holds no spin or table lock over it, only the directory's own lock, which
//! serialises changes of that directory.

pub mod acl;
pub mod anon;
pub mod attr;
pub mod change;
pub mod dentry;
pub mod device;
pub mod fs_type;
pub mod inode;
pub mod mount;
pub mod mount_tree;
pub mod namespace;
pub mod open;
pub mod path;
pub mod peers;
pub mod perm;
pub mod rename;
pub mod setattr;
#[cfg(test)]
mod tests;
pub mod walk;

pub use attr::{Attr, Changed, FileTime, FileType, SetAttr, TimeSet};
pub use dentry::Dentry;
pub use device::{Device, DeviceTable};
pub use inode::{
    DirEntry, DirSink, FileSystem, Inode, InodeExtra, Owner, RenameFlags, StatFs, Symlink,
};
pub use mount::{Mount, MountFlags, MountLocks, Path, SuperBlock, SuperFlags};
pub use namespace::MountNamespace;
pub use open::{OpenHow, Opened, open};
pub use peers::Propagation;
pub use perm::Access;
pub use walk::{Last, WalkCx, WalkFlags, Walker, lookup};
