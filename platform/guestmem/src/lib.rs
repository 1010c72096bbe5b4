//! Guest memory as the kernel sees it: the memory file and fault-tolerant access to it.
//!
//! All guest RAM is ranges of one [`MemoryFile`], mapped whole in this process; memory that
//! stands on a host file is seen through a [`FileWindow`]. Both hand out [`Slice`]s: ranges
//! that are never a `&[u8]`, because the guest changes them while we look, and whose every
//! access reports a [`CopyFault`] instead of killing the process when the page cannot be
//! had (a truncated file, memory the host refuses).
//!
//! [`install_handler`] must have been called once before the first access; the handler
//! recognises only the copy routines of this crate ([`fault`]) and passes every other fault
//! on to whoever handled it before.
//!
//! Neighbours: `platform` maps the same file into guests, `sentry::mm` decides which range
//! stands where.

mod fault;
mod file;
mod hostio;
mod slice;
mod window;
mod word;

pub use fault::install_handler;
pub use file::MemoryFile;
pub use hostio::{preadv, pwritev, readv, writev};
pub use slice::{CopyFault, Slice};
pub use window::FileWindow;
pub use word::FetchOp;

/// Size of a page, the granularity of every mapping.
pub const PAGE_SIZE: u64 = 4096;

/// A host call failed with this errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("host errno {0}")]
pub struct HostError(pub i32);

impl HostError {
    /// The errno of the host call that has just failed on this thread.
    pub(crate) fn last() -> Self {
        Self(nix::errno::Errno::last_raw())
    }
}
