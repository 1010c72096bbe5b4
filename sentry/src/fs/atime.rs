//! When a read changes the access time (`mount(2)`: `MS_NOATIME`, `MS_RELATIME`).

use super::file::{File, OpenFlags};
use super::vfs::{FileTime, FileType, MountFlags};

/// Age from which a relative access time is renewed.
const DAY: i64 = 24 * 60 * 60;

/// Whether reads through `file` count at all.
pub fn wanted(file: &File, kind: FileType) -> bool {
    let Some(path) = &file.path else {
        return false;
    };
    let mount = path.mount.flags();
    let off = file.flags().contains(OpenFlags::NOATIME)
        || mount.intersects(MountFlags::NOATIME | MountFlags::RDONLY)
        || (kind == FileType::Directory && mount.contains(MountFlags::NODIRATIME));
    !off
}

/// Whether a read through `file` renews the access time.
pub fn stale(
    file: &File,
    atime: FileTime,
    mtime: FileTime,
    ctime: FileTime,
    now: FileTime,
) -> bool {
    let relative = file
        .path
        .as_ref()
        .is_some_and(|p| p.mount.flags().contains(MountFlags::RELATIME));
    !relative || atime <= mtime || atime <= ctime || now.sec.saturating_sub(atime.sec) >= DAY
}
