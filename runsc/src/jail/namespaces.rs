//! Namespaces of the sandbox, and its empty root.

use std::fs::File;
use std::os::fd::AsFd;

use anyhow::Context;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{chdir, chroot, pivot_root, sethostname};
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};

/// A folder every host has; it is covered in the new mount namespace only.
const COVERED: &str = "/proc";

/// Enters new ipc and uts namespaces, and the network namespace that the configuration
/// names: a new one, the one at its path, or (where it names none) the caller's.
pub fn enter(namespaces: &[LinuxNamespace], hostname: &str) -> anyhow::Result<()> {
    let mut flags = CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    let network = namespaces
        .iter()
        .find(|n| n.typ() == LinuxNamespaceType::Network);
    if let Some(network) = network {
        match network.path() {
            Some(path) if !path.as_os_str().is_empty() => {
                let file = File::open(path)
                    .with_context(|| format!("open network namespace {}", path.display()))?;
                setns(file.as_fd(), CloneFlags::CLONE_NEWNET)
                    .with_context(|| format!("join network namespace {}", path.display()))?;
            }
            _ => flags |= CloneFlags::CLONE_NEWNET,
        }
    }
    unshare(flags).context("make namespaces")?;
    if !hostname.is_empty() {
        // For those who look at the sandbox from the host; the guest has its own.
        let _ = sethostname(hostname);
    }
    Ok(())
}

/// Enters a new mount namespace with an empty, read-only root.
pub fn empty_root() -> anyhow::Result<()> {
    const NONE: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS).context("make a mount namespace")?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
        .context("make mounts private")?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let options = Some("size=4k,nr_inodes=2,mode=0555");
    mount(Some("none"), COVERED, Some("tmpfs"), flags, options).context("mount an empty root")?;
    chdir(COVERED)?;
    if pivot_root(".", ".").is_ok() {
        // The old root now lies on top of the new one.
        umount2(".", MntFlags::MNT_DETACH).context("leave the old root")?;
    } else {
        // An initramfs root cannot be pivoted.
        chroot(".").context("chroot to an empty root")?;
    }
    chdir("/")?;
    mount(
        NONE,
        "/",
        NONE,
        flags | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY,
        NONE,
    )
    .context("make the empty root read-only")
}
