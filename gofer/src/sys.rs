//! The host calls no safe crate offers. The only unsafe code of this crate.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;
use rustix::thread::UnshareFlags;

/// Sets `nosuid,nodev,nosymfollow` and, if asked, `ro` on a whole detached mount tree
/// (`mount_setattr(2)`).
pub fn restrict_mount(tree: BorrowedFd<'_>, readonly: bool) -> Result<(), Errno> {
    let readonly = if readonly { libc::MOUNT_ATTR_RDONLY } else { 0 };
    let attr = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_NOSUID
            | libc::MOUNT_ATTR_NODEV
            | libc::MOUNT_ATTR_NOSYMFOLLOW
            | readonly,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: the path is a NUL-terminated constant, `attr` outlives the call, which only
    // reads it, and its size is given.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    Err(Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
}

/// `unshare(2)` of namespaces.
pub fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    // SAFETY: of the flags only CLONE_FILES endangers descriptors others rely on, and
    // callers here ask for namespaces.
    unsafe { rustix::thread::unshare_unsafe(flags & UnshareFlags::NEWNS) }
}
