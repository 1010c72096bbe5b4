//! Calls on paths: open, attributes, directories, links, mounts.

pub mod access;
pub mod at;
pub mod attr;
pub mod cwd;
pub mod dir;
pub mod getdents;
pub mod handle;
pub mod inotify;
pub mod link;
pub mod memfd;
pub mod mount;
pub mod mount_api;
pub mod mount_attr;
pub mod mount_stat;
pub mod open;
pub mod stat;
pub mod statfs;
pub mod times;
pub mod xattr;
