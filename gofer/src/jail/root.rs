//! An own mount namespace with nothing in it.

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::UnshareFlags;

/// A directory every host has; it is covered in the new namespace only.
const COVERED: &str = "/proc";

/// Leaves the process with an empty, read-only root. Needs `CAP_SYS_ADMIN` in the user
/// namespace; on an error the process may be in a new namespace with the old root.
pub fn empty() -> rustix::io::Result<()> {
    crate::sys::unshare(UnshareFlags::NEWNS)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount(
        "none",
        COVERED,
        "tmpfs",
        flags,
        c"size=4k,nr_inodes=2,mode=0555",
    )?;
    rustix::process::chdir(COVERED)?;
    if rustix::process::pivot_root(".", ".").is_ok() {
        // The old root now lies on top of the new one.
        rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    } else {
        // An initramfs root cannot be pivoted.
        rustix::process::chroot(".")?;
    }
    rustix::process::chdir("/")?;
    rustix::mount::mount_remount("/", flags | MountFlags::RDONLY, c"")?;
    Ok(())
}
