//! The gofer's side: serves one container's mounts to one Sentry.
//!
//! Every handle the Sentry has is an `O_PATH` descriptor here ([`node`]); every operation
//! names such a handle plus at most one path component, walked with `O_NOFOLLOW`. Data
//! descriptors are made from it through this process's own `/proc/self/fd`, opened before
//! the jail closes, so that what is opened is exactly the inode that was looked at: no name
//! is resolved a second time, and only regular files and directories are ever opened.
//!
//! A few threads take requests from the same socket; one is started whenever all others
//! are busy, so that a slow disk does not hold up the rest.
//!
//! Neighbours: [`crate::jail`] closes the process off between [`Exports::new`] and
//! [`serve`]; [`crate::client`] is the other end.

mod answer;
mod attrs;
mod data;
mod listing;
mod making;
mod names;
mod node;
mod pool;
mod watch;

use std::os::fd::OwnedFd;

use anyhow::Context as _;
use rustix::fs::{Mode, OFlags};
use rustix::process::Resource;

/// A directory or regular file the container may see.
#[derive(Debug)]
pub struct MountRoot {
    /// An `O_PATH` descriptor of it.
    pub fd: OwnedFd,
    /// Refuse every change with `EROFS`.
    pub readonly: bool,
}

impl MountRoot {
    /// The directory or file at `path`.
    pub fn open(path: &std::path::Path, readonly: bool) -> anyhow::Result<MountRoot> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .with_context(|| format!("open {}", path.display()))?;
        Ok(MountRoot { fd, readonly })
    }
}

/// Everything the gofer can reach: its mounts, and its own descriptors as files.
#[derive(Debug)]
pub struct Exports {
    /// In the order by which `attach` names them.
    pub mounts: Vec<MountRoot>,
    /// `/proc/self/fd` of this very process.
    pub(crate) self_fd: OwnedFd,
}

impl Exports {
    /// Must be called in the process that will serve (after the last `fork`), while a
    /// `/proc` that shows it is still mounted.
    pub fn new(mounts: Vec<MountRoot>) -> anyhow::Result<Exports> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let self_fd = rustix::fs::open("/proc/self/fd", flags, Mode::empty())
            .context("open /proc/self/fd")?;
        Ok(Exports { mounts, self_fd })
    }
}

/// Serves until the Sentry closes its end. Call it in a process of its own, after
/// [`crate::jail::enter`]; it changes the umask and the descriptor limit.
///
/// The number of handles is bounded by `RLIMIT_NOFILE` (raised to its hard limit here) less
/// a reserve; beyond it a lookup fails with `ENFILE` until handles are forgotten.
pub fn serve(sock: OwnedFd, exports: Exports) -> anyhow::Result<()> {
    rustix::process::umask(Mode::empty());
    let handles = raise_descriptor_limit();
    pool::Server::new(sock, exports, handles).run()
}

/// Descriptors kept for other uses than handles: open files on their way, pipes, listings.
const RESERVED_FDS: u64 = 128;
/// Handles at most, however high the host's limit is.
const MAX_HANDLES: u64 = 1 << 20;

fn raise_descriptor_limit() -> usize {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // A refusal leaves the present limit, which is then what counts.
        let _ = rustix::process::setrlimit(Resource::Nofile, limit);
    }
    let now = rustix::process::getrlimit(Resource::Nofile).current;
    let usable = now.unwrap_or(MAX_HANDLES).saturating_sub(RESERVED_FDS);
    usize::try_from(usable.clamp(16, MAX_HANDLES)).unwrap_or(usize::MAX)
}
