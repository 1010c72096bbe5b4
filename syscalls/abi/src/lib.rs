//! Linux numbers, flags and structures as the guest sees them (x86-64).
//!
//! Constants come from `linux-raw-sys`, re-exported by topic under the names of the
//! manual; structures are defined here as plain zerocopy values, so that they are copied
//! from guest memory once and never referenced there. Nothing in this crate acts.
#![forbid(unsafe_code)]

pub mod errno;
pub mod fs;
pub mod nr;
pub mod signal;
pub mod time;

pub use errno::Errno;
/// Kernel header constants, under their C names.
pub use linux_raw_sys as raw;

/// Size of a page in bytes; the only page size the guest sees.
pub const PAGE_SIZE: u64 = 4096;
/// One past the highest address a program can name (`TASK_SIZE_MAX`).
pub const TASK_SIZE: u64 = 0x7fff_ffff_f000;
/// Longest path in bytes with its NUL (`<linux/limits.h>`).
pub const PATH_MAX: usize = 4096;
/// Longest name of a directory entry in bytes.
pub const NAME_MAX: usize = 255;
/// Most entries of an iovec array (`UIO_MAXIOV`).
pub const UIO_MAXIOV: usize = 1024;
/// Most bytes one read or write moves (`MAX_RW_COUNT`).
pub const MAX_RW_COUNT: usize = 0x7fff_f000;
