//! The wire format between Sentry and gofer.
//!
//! Messages travel on a `SOCK_SEQPACKET` socket pair, one request or one reply a message:
//! a fixed little-endian header followed by variable bytes whose lengths the header gives
//! and both sides check. Requests carry an id that the reply repeats, so that many may be
//! in flight. At most one descriptor comes with a reply, and none with a request.
//!
//! [`wire`] has the fixed structs, [`call`] the requests as a typed enum, [`reply`] the
//! replies, [`dirent`] the entries of a directory listing, [`event`] what is sent on the
//! event pipe.

pub mod call;
pub mod dirent;
pub mod event;
pub mod reply;
#[cfg(test)]
mod tests;
pub mod wire;

pub use call::{Call, Op, RenameFlags};
pub use reply::Reply;

/// Version of this format; both sides come from one binary, so any other is refused.
pub const VERSION: u32 = 1;
/// Longest name of one path component.
pub const NAME_MAX: usize = 255;
/// Longest symlink target (`PATH_MAX` less its NUL).
pub const TARGET_MAX: usize = 4095;
/// Most bytes of data in one message (file contents, xattr value, directory entries).
pub const DATA_MAX: usize = 64 * 1024;
/// Most handles in one forget message.
pub const FORGET_MAX: usize = 512;
/// Longest message in either direction.
pub const MESSAGE_MAX: usize = 512 + TARGET_MAX + DATA_MAX;

/// Names a file the gofer holds for the Sentry. Never reused in one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub u64);

/// A message that does not have the form it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed message: {0}")]
pub struct Malformed(pub &'static str);

/// Whether `name` may stand for one path component: not empty, not `.` or `..`, at most
/// [`NAME_MAX`] bytes, without `/` and NUL.
pub fn is_component(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= NAME_MAX
        && name != b"."
        && name != b".."
        && !name.iter().any(|&b| b == b'/' || b == 0)
}
