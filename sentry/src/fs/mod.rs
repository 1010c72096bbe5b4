//! Files: the virtual file system, file descriptions and the file systems themselves.
//!
//! [`vfs`]: inodes, dentries, mounts, path walk. [`file`]: open file descriptions and their
//! operations. [`fd_table`]: descriptors of a process. One folder or file per file system.

mod async_io;
pub mod atime;
pub mod context;
pub mod dev;
pub mod devpts;
pub mod dnotify;
pub mod epoll;
pub mod eventfd;
pub mod fd_table;
pub mod file;
pub mod fs_config;
pub mod gofer;
pub mod host_file;
pub mod host_watch;
pub mod inotify;
pub mod lease;
pub mod locks;
mod mapped;
pub mod memfd;
pub mod overlay;
pub mod pipe;
pub mod proc;
pub mod pseudo;
pub mod seals;
pub mod sys;
pub mod tmpfs;
pub mod tty;
pub mod vfs;
pub mod write_access;

pub use context::FsContext;
pub use fd_table::FdTable;
pub use file::{File, FileOps, IoCx, OpenFlags};
