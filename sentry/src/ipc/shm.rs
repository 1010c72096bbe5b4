//! Shared memory segments (`shmget(2)`, `shmop(2)`, `shmctl(2)`).

use std::sync::{Arc, Weak};

use abi::{Errno, PAGE_SIZE};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::IpcNs;
use super::table::{Object, Perm, READ, WRITE};
use crate::mm::SharedMemory;
use crate::mm::map::{MapRequest, Placement};
use crate::mm::{Backing, MapIdentity, MapProt, Mappable, MmLimits, VmaFlags};
use crate::sync::Mutex;
use crate::task::{Pid, Task};
use crate::{Kernel, Result};

/// Mode bit: destroyed at the last detach.
pub const SHM_DEST: u32 = 0o1000;
/// Mode bit: locked in memory.
pub const SHM_LOCKED: u32 = 0o2000;
/// `SHM_RDONLY`.
const SHM_RDONLY: u32 = 0o10000;
/// `SHM_RND`.
const SHM_RND: u32 = 0o20000;
/// `SHM_REMAP`.
const SHM_REMAP: u32 = 0o40000;
/// `SHM_EXEC`.
const SHM_EXEC: u32 = 0o100000;
/// Most segments (`/proc/sys/kernel/shmmni`).
pub const SHMMNI: usize = 4096;
/// Largest segment.
pub const SHMMAX: u64 = 1 << 40;

/// `struct shmid64_ds`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
#[expect(missing_docs, reason = "named as in shmctl(2)")]
pub struct ShmDs {
    pub perm: Perm,
    pub segsz: u64,
    pub atime: i64,
    pub dtime: i64,
    pub ctime: i64,
    pub cpid: i32,
    pub lpid: i32,
    pub nattch: u64,
    unused: [u64; 2],
}

/// A segment. Lock rank: leaf.
pub struct Segment {
    id: i32,
    ns: Weak<IpcNs>,
    kernel: Weak<Kernel>,
    memory: Arc<SharedMemory>,
    ds: Mutex<ShmDs>,
    creator: Arc<Pid>,
    /// Who attached or detached last.
    user: Mutex<Option<Arc<Pid>>>,
}

impl Object for Segment {
    const NEXT_ID: &'static str = "kernel/shm_next_id";
    fn perm(&self) -> Perm {
        self.ds.lock().perm
    }
}

fn now(kernel: &Kernel) -> i64 {
    i64::try_from(kernel.clock.realtime().as_secs()).unwrap_or(i64::MAX)
}

/// `shmget(2)`.
pub fn get(t: &Arc<Task>, key: i32, size: u64, flags: u32) -> Result<i32> {
    const SHM_HUGETLB: u32 = 0o4000;
    if flags & SHM_HUGETLB != 0 {
        return Err(Errno::ENOMEM);
    }
    let kernel = &t.kernel;
    let check = |s: &Segment| {
        if size > s.ds.lock().segsz {
            Err(Errno::EINVAL)
        } else {
            Ok(())
        }
    };
    let make = |id: i32, perm: Perm| {
        if size == 0 || size > SHMMAX {
            return Err(Errno::EINVAL);
        }
        let len = size
            .checked_next_multiple_of(PAGE_SIZE)
            .ok_or(Errno::EINVAL)?;
        let identity = MapIdentity {
            path: format!("/SYSV{key:08x}").into_bytes(),
            dev: 1,
            ino: u64::try_from(id).unwrap_or(0),
        };
        let memory = SharedMemory::new(&kernel.frames, len, identity)?;
        Ok(Segment {
            id,
            ns: Arc::downgrade(&t.ipc()),
            kernel: Arc::downgrade(kernel),
            memory: Arc::new(memory),
            ds: Mutex::new(ShmDs {
                perm,
                segsz: size,
                ctime: now(kernel),
                ..ShmDs::default()
            }),
            creator: t.thread_group().id.clone(),
            user: Mutex::default(),
        })
    };
    t.ipc().shm.get(t, key, flags, SHMMNI, check, make)
}

/// One attachment; its mappings hold it.
struct Attachment {
    segment: Arc<Segment>,
    /// Who made it.
    by: Arc<Pid>,
}

impl Mappable for Attachment {
    fn frames(&self, offset: u64, len: u64, write: bool) -> Result<Backing> {
        self.segment.memory.frames(offset, len, write)
    }
    fn size(&self) -> u64 {
        self.segment.memory.size()
    }
    fn identity(&self) -> MapIdentity {
        self.segment.memory.identity()
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let Some(kernel) = self.segment.kernel.upgrade() else {
            return;
        };
        let destroy = {
            let mut ds = self.segment.ds.lock();
            ds.nattch = ds.nattch.saturating_sub(1);
            ds.dtime = now(&kernel);
            ds.nattch == 0 && ds.perm.mode & SHM_DEST != 0
        };
        *self.segment.user.lock() = Some(self.by.clone());
        if destroy {
            let ns = self.segment.ns.upgrade();
            drop(ns.and_then(|ns| ns.shm.remove(self.segment.id)));
        }
    }
}

/// `shmat(2)`; the address.
pub fn attach(t: &Arc<Task>, id: i32, addr: u64, flags: u32, limits: &MmLimits) -> Result<u64> {
    let segment = t.ipc().shm.find(id)?;
    let mut want = READ;
    let mut prot = MapProt::READ;
    let mut vma = VmaFlags::SHARED;
    if flags & SHM_RDONLY == 0 {
        want |= WRITE;
        prot |= MapProt::WRITE;
        vma |= VmaFlags::MAYWRITE;
    }
    if flags & SHM_EXEC != 0 {
        prot |= MapProt::EXEC;
    }
    let place = match (addr, addr % PAGE_SIZE, flags & SHM_REMAP != 0) {
        (0, _, true) => return Err(Errno::EINVAL),
        (0, _, false) => Placement::Hint(0),
        (_, off, _) if off != 0 && flags & SHM_RND == 0 => return Err(Errno::EINVAL),
        (a, off, true) => Placement::Fixed(a - off),
        (a, off, false) => Placement::FixedNoReplace(a - off),
    };
    segment.perm().check(&t.creds(), want)?;
    let len = {
        let mut ds = segment.ds.lock();
        ds.nattch += 1;
        ds.atime = now(&t.kernel);
        ds.segsz
    };
    let by = t.thread_group().id.clone();
    *segment.user.lock() = Some(by.clone());
    let file: Arc<dyn Mappable> = Arc::new(Attachment { segment, by });
    let request = MapRequest {
        flags: vma,
        file: Some((file, 0)),
        ..MapRequest::anon(place, len, prot)
    };
    match t.mm().map(request, limits) {
        Err(Errno::EEXIST) => Err(Errno::EINVAL),
        done => done,
    }
}

/// `shmdt(2)`; `EINVAL` when no segment is attached there.
pub fn detach(t: &Arc<Task>, addr: u64) -> Result<()> {
    let mm = t.mm();
    let lines = mm.map_lines(false);
    let ours = |l: &&crate::mm::report::MapLine| {
        l.is_file && l.identity.dev == 1 && l.identity.path.starts_with(b"/SYSV")
    };
    let first = lines
        .iter()
        .filter(ours)
        .find(|l| l.start == addr && l.offset == 0);
    let identity = first.ok_or(Errno::EINVAL)?.identity.clone();
    // The attachment may have been split since; its parts still tell where it began.
    let parts = lines
        .iter()
        .filter(ours)
        .filter(|l| l.identity == identity && l.start.checked_sub(l.offset) == Some(addr));
    for part in parts {
        mm.unmap(part.start, part.end - part.start)?;
    }
    Ok(())
}

/// `IPC_STAT` and its relatives, with processes as `t` knows them.
pub fn stat(t: &Task, segment: &Segment) -> ShmDs {
    let user = segment.user.lock().clone();
    ShmDs {
        cpid: segment.creator.nr_in(t.pid_ns()),
        lpid: user.map_or(0, |id| id.nr_in(t.pid_ns())),
        ..*segment.ds.lock()
    }
}

/// `IPC_SET`; `EPERM`.
pub fn set(t: &Arc<Task>, id: i32, new: &ShmDs) -> Result<()> {
    let segment = t.ipc().shm.find(id)?;
    let mut ds = segment.ds.lock();
    ds.perm.check_owner(&t.creds())?;
    ds.perm.change(&new.perm);
    ds.ctime = now(&t.kernel);
    Ok(())
}

/// `IPC_RMID`: the key is free at once, the memory at the last detach.
pub fn remove(t: &Arc<Task>, id: i32) -> Result<()> {
    let table = &t.ipc().shm;
    let segment = table.find(id)?;
    let unused = {
        let mut ds = segment.ds.lock();
        ds.perm.check_owner(&t.creds())?;
        ds.perm.mode |= SHM_DEST;
        ds.perm.key = 0;
        ds.nattch == 0
    };
    table.forget_key(id);
    if unused {
        drop(table.remove(id));
    }
    Ok(())
}

/// `SHM_LOCK` and `SHM_UNLOCK`: guest memory is never swapped by the kernel itself, so only
/// the mode tells.
pub fn lock(t: &Arc<Task>, id: i32, on: bool) -> Result<()> {
    let segment = t.ipc().shm.find(id)?;
    let mut ds = segment.ds.lock();
    if !t.creds().capable(crate::creds::Cap::IpcLock) {
        ds.perm.check_owner(&t.creds())?;
    }
    if on {
        ds.perm.mode |= SHM_LOCKED;
    } else {
        ds.perm.mode &= !SHM_LOCKED;
    }
    Ok(())
}
