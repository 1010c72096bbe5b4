//! The virtual file system: inodes, dentries, mounts and the walk between them.
//!
//! A file system implements [`Inode`] (and [`super::FileOps`] for what it opens) and
//! [`FileSystem`]. Names, negative entries, mounts, permission checks, symbolic links and
//! `..` are the walk's business, never the file system's.
//!
//! An inode operation may ask a gofer and so block its worker for the length of one request;
//! the caller holds no spin or table lock over it, only the directory's own lock, which
//! serialises changes of that directory.

pub mod attr;
pub mod dentry;
pub mod inode;
pub mod mount;

pub use attr::{Attr, FileType, SetAttr, TimeSet};
pub use dentry::Dentry;
pub use inode::{
    DirEntry, DirSink, FileSystem, Inode, InodeExtra, Owner, RenameFlags, StatFs, Symlink,
};
pub use mount::{Mount, Path};
