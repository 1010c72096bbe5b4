//! `mmap(2)` and `munmap(2)`.

use std::sync::Arc;

use abi::{Errno, PAGE_SIZE};
use sentry::creds::Cap;
use sentry::fs::OpenFlags;
use sentry::fs::file::File;
use sentry::fs::vfs::MountFlags;
use sentry::mm::map::{MapRequest, Placement};
use sentry::mm::{Made, MapProt, Mappable, VmaFlags};
use sentry::{Result, Stop, SysResult, Task};

use super::limits;
use crate::arg::{Fd, UserAddr};
use crate::flag_arg;

flag_arg! {
    /// `PROT_*`, `mmap(2)`.
    Prot: u64 {
        PROT_READ = 1,
        PROT_WRITE = 2,
        PROT_EXEC = 4,
        PROT_SEM = 8,
        PROT_GROWSDOWN = 0x0100_0000,
        PROT_GROWSUP = 0x0200_0000,
    }
}

impl Prot {
    /// The part that is protection.
    pub fn map_prot(self) -> MapProt {
        let mut prot = MapProt::empty();
        prot.set(MapProt::READ, self.contains(Prot::PROT_READ));
        prot.set(MapProt::WRITE, self.contains(Prot::PROT_WRITE));
        prot.set(MapProt::EXEC, self.contains(Prot::PROT_EXEC));
        prot
    }
}

flag_arg! {
    /// `MAP_*`, `mmap(2)`. The low four bits are the type of the mapping.
    MapFlags: u64 {
        MAP_SHARED = 0x01,
        MAP_PRIVATE = 0x02,
        MAP_FIXED = 0x10,
        MAP_ANONYMOUS = 0x20,
        MAP_32BIT = 0x40,
        MAP_GROWSDOWN = 0x0100,
        MAP_DENYWRITE = 0x0800,
        MAP_EXECUTABLE = 0x1000,
        MAP_LOCKED = 0x2000,
        MAP_NORESERVE = 0x4000,
        MAP_POPULATE = 0x8000,
        MAP_NONBLOCK = 0x0001_0000,
        MAP_STACK = 0x0002_0000,
        MAP_HUGETLB = 0x0004_0000,
        MAP_SYNC = 0x0008_0000,
        MAP_FIXED_NOREPLACE = 0x0010_0000,
    }
}

const TYPE: u64 = 0xf;
const SHARED: u64 = 1;
const PRIVATE: u64 = 2;
const SHARED_VALIDATE: u64 = 3;
/// Where the size of huge pages is encoded.
const HUGE_SIZE: u64 = 0x3f << 26;

/// `mmap(2)`.
pub fn mmap(
    t: &Arc<Task>,
    addr: UserAddr,
    len: u64,
    prot: Prot,
    flags: MapFlags,
    fd: Fd,
    offset: u64,
) -> SysResult<u64> {
    if !offset.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL.into());
    }
    let file = file_of(t, fd, flags)?;
    if len == 0 {
        return Err(Errno::EINVAL.into());
    }
    let limits = limits::of(t);
    if flags.contains(MapFlags::MAP_LOCKED) && !limits.may_lock && limits.memlock == 0 {
        return Err(Errno::EPERM.into());
    }
    let (vma_flags, file) = match &file {
        Some(file) => {
            let (f, mappable) = check_file(file, prot, flags)?;
            (f, Some((mappable, offset)))
        }
        None => (check_anon(flags)?, None),
    };
    let request = MapRequest {
        flags: vma_flags | common(flags),
        file,
        populate: populates(flags),
        // What the dynamic linker passes for a library's segments.
        copy_now: flags.contains(MapFlags::MAP_DENYWRITE | MapFlags::MAP_FIXED),
        ..MapRequest::anon(placement(t, addr.0, flags)?, len, prot.map_prot())
    };
    Ok(t.mm().map(request, &limits)?)
}

/// The file to map, if one is meant. There are no huge pages.
fn file_of(t: &Arc<Task>, fd: Fd, flags: MapFlags) -> Result<Option<Arc<File>>> {
    if flags.contains(MapFlags::MAP_ANONYMOUS) {
        return match flags.contains(MapFlags::MAP_HUGETLB) {
            true => Err(Errno::ENOMEM),
            false => Ok(None),
        };
    }
    let file = t.files().get(fd.0)?;
    if file.flags().contains(OpenFlags::PATH) {
        return Err(Errno::EBADF);
    }
    if flags.contains(MapFlags::MAP_HUGETLB) {
        return Err(Errno::EINVAL);
    }
    Ok(Some(file))
}

/// Properties that do not depend on what is mapped.
fn common(flags: MapFlags) -> VmaFlags {
    let mut v = VmaFlags::empty();
    v.set(VmaFlags::NORESERVE, flags.contains(MapFlags::MAP_NORESERVE));
    v.set(VmaFlags::LOCKED, flags.contains(MapFlags::MAP_LOCKED));
    v.set(VmaFlags::GROWSDOWN, flags.contains(MapFlags::MAP_GROWSDOWN));
    v
}

fn populates(flags: MapFlags) -> bool {
    flags.contains(MapFlags::MAP_POPULATE) && !flags.contains(MapFlags::MAP_NONBLOCK)
}

fn placement(t: &Arc<Task>, addr: u64, flags: MapFlags) -> Result<Placement> {
    if flags.contains(MapFlags::MAP_FIXED_NOREPLACE) {
        return Ok(Placement::FixedNoReplace(addr));
    }
    if flags.contains(MapFlags::MAP_FIXED) {
        if !addr.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        if addr < sentry::mm::state::MMAP_MIN_ADDR && !t.creds().capable(Cap::SysRawio) {
            return Err(Errno::EPERM);
        }
        return Ok(Placement::Fixed(addr));
    }
    if flags.contains(MapFlags::MAP_32BIT) && addr == 0 {
        return Ok(Placement::Low);
    }
    Ok(Placement::Hint(addr - addr % PAGE_SIZE))
}

/// Rules for anonymous memory.
fn check_anon(flags: MapFlags) -> Result<VmaFlags> {
    match flags.bits() & TYPE {
        SHARED if flags.contains(MapFlags::MAP_GROWSDOWN) => Err(Errno::EINVAL),
        SHARED => Ok(VmaFlags::SHARED | VmaFlags::MAYWRITE),
        PRIVATE => Ok(VmaFlags::empty()),
        _ => Err(Errno::EINVAL),
    }
}

/// Rules for files: how the file must be open, and what the mapping may become later.
fn check_file(
    file: &Arc<File>,
    prot: Prot,
    flags: MapFlags,
) -> Result<(VmaFlags, Arc<dyn Mappable>)> {
    let open = file.flags();
    let mut v = VmaFlags::empty();
    match flags.bits() & TYPE {
        PRIVATE => {}
        kind @ (SHARED | SHARED_VALIDATE) => {
            let known = (MapFlags::all() - MapFlags::MAP_SYNC).bits() | HUGE_SIZE;
            if kind == SHARED_VALIDATE && flags.bits() & !known != 0 {
                return Err(Errno::EOPNOTSUPP);
            }
            if prot.contains(Prot::PROT_WRITE) && !open.writable() {
                return Err(Errno::EACCES);
            }
            v.insert(VmaFlags::SHARED);
            v.set(VmaFlags::MAYWRITE, open.writable());
        }
        _ => return Err(Errno::EINVAL),
    }
    if !open.readable() {
        return Err(Errno::EACCES);
    }
    let mount = file.path.as_ref().map(|p| p.mount.flags());
    if mount.is_some_and(|m| m.contains(MountFlags::NOEXEC)) {
        if prot.contains(Prot::PROT_EXEC) {
            return Err(Errno::EPERM);
        }
        v.insert(VmaFlags::NOEXEC);
    }
    let mappable = file.mappable()?;
    if flags.contains(MapFlags::MAP_GROWSDOWN) {
        return Err(Errno::EINVAL);
    }
    Ok((v, mappable))
}

/// `munmap(2)`.
pub fn munmap(t: &Arc<Task>, addr: UserAddr, len: u64) -> SysResult<()> {
    let made = t.mm().unmap_by(&*t.context()?, addr.0, len)?;
    made_by(made)
}

/// The rest of a call that changes the address space: nothing, or the host executes it.
pub(super) fn made_by(made: Made) -> SysResult<()> {
    match made {
        Made::Now => Ok(()),
        Made::ByCaller => Err(Stop::Passthrough),
    }
}
