//! Memory: mapping, protection, advice, locking.

pub mod brk;
pub mod limits;
pub mod madvise;
pub mod mempolicy;
pub mod mincore;
pub mod mlock;
pub mod mmap;
pub mod mprotect;
pub mod mremap;
pub mod mseal;
pub mod msync;
pub mod remap_file_pages;
