//! Locks the gofer's process down before it takes the first request.
//!
//! Fences, outermost first, each of which holds alone:
//! - each mount is cloned into a detached tree of its own: `..` ends at its root, device
//!   files, set-id bits and symlinks mean nothing in it, and a read-only one is read-only
//!   to the host kernel; the same for this process's `/proc/self/fd`, which stays reachable
//!   as a directory with nothing above it;
//! - an own mount namespace whose root is an empty read-only tmpfs ([`root`]);
//! - only the capabilities that file work needs ([`caps`]), `no_new_privs`, not dumpable;
//! - Landlock: nothing outside the mounts can be opened or changed;
//! - seccomp: a short list of calls, no socket, no exec, no executable mapping ([`filter`]).
//!
//! What the host refuses for lack of privilege or age is left out of the first, second and
//! fourth, and said in the [`Report`]; the third and fifth must hold.

pub mod caps;
mod filter;
mod root;

use std::os::fd::{AsFd, OwnedFd};

use anyhow::Context as _;
use landlock::{
    ABI, Access, AccessFs, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    Scope,
};
use rustix::mount::OpenTreeFlags;
use rustix::process::DumpableBehavior;

use crate::server::Exports;
use crate::sys;

pub use filter::ALLOWED;

/// Which of the best-effort fences hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Every mount is a detached clone.
    pub detached_mounts: bool,
    /// The root is empty.
    pub empty_root: bool,
    /// Landlock restricts the process.
    pub landlock: bool,
}

/// Closes the calling process off for good. It must have one thread only.
///
/// The mounts' descriptors should belong to the process's present mount namespace, else
/// they cannot be cloned; the caller's further namespaces (user, pid, net, ipc, uts) are its
/// own business and best entered before.
pub fn enter(exports: &mut Exports) -> anyhow::Result<Report> {
    let detached_mounts = detach(exports);
    let empty_root = root::empty();
    rustix::thread::set_no_new_privs(true).context("set no_new_privs")?;
    caps::reduce().context("reduce capabilities")?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .context("become undumpable")?;
    let landlock = restrict(exports).context("restrict by landlock")?;
    filter::install().context("install the seccomp filter")?;
    Ok(Report {
        detached_mounts,
        empty_root: empty_root.is_ok(),
        landlock,
    })
}

/// Puts detached clones in the place of what can be cloned; whether all could.
fn detach(exports: &mut Exports) -> bool {
    let mut all = true;
    for mount in &mut exports.mounts {
        match clone_tree(&mount.fd, mount.readonly) {
            Ok(fd) => mount.fd = fd,
            Err(_) => all = false,
        }
    }
    match clone_plain(&exports.self_fd) {
        Ok(fd) => exports.self_fd = fd,
        Err(_) => all = false,
    }
    all
}

fn clone_plain(fd: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    rustix::mount::open_tree(fd, c"", flags)
}

fn clone_tree(fd: &OwnedFd, readonly: bool) -> rustix::io::Result<OwnedFd> {
    // With what is mounted below: the fd given shows that, too.
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = rustix::mount::open_tree(fd, c"", flags)?;
    sys::restrict_mount(tree.as_fd(), readonly)?;
    Ok(tree)
}

/// Landlock over everything but the mounts; whether the host enforces it.
fn restrict(exports: &Exports) -> anyhow::Result<bool> {
    let abi = ABI::V6;
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?;
    for mount in &exports.mounts {
        let access = if mount.readonly {
            AccessFs::from_read(abi)
        } else {
            AccessFs::from_all(abi)
        };
        rules = rules.add_rule(PathBeneath::new(mount.fd.as_fd(), access))?;
    }
    let status = rules.restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}
