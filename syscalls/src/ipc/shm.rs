//! `shmget(2)`, `shmat(2)`, `shmdt(2)`, `shmctl(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::ipc::shm::{self, SHMMAX, SHMMNI, ShmDs};
use sentry::ipc::table::{Object, READ};
use sentry::{SysResult, Task};

use crate::arg::{In, Out, UserAddr, UserPtr};

/// `IPC_64`, which the x86-64 ABI ignores.
pub(super) const IPC_64: i32 = 0x100;
pub(super) const IPC_RMID: i32 = 0;
pub(super) const IPC_SET: i32 = 1;
pub(super) const IPC_STAT: i32 = 2;
pub(super) const IPC_INFO: i32 = 3;

/// `shmget(2)`.
pub fn shmget(t: &Arc<Task>, key: i32, size: u64, flags: u32) -> SysResult<i32> {
    Ok(shm::get(t, key, size, flags)?)
}

/// `shmat(2)`.
pub fn shmat(t: &Arc<Task>, id: i32, addr: UserAddr, flags: u32) -> SysResult<u64> {
    let limits = crate::mm::limits::of(t);
    Ok(shm::attach(t, id, addr.0, flags, &limits)?)
}

/// `shmdt(2)`.
pub fn shmdt(t: &Arc<Task>, addr: UserAddr) -> SysResult<()> {
    Ok(shm::detach(t, addr.0)?)
}

/// `shmctl(2)`.
pub fn shmctl(t: &Arc<Task>, id: i32, cmd: i32, buf: u64) -> SysResult<i32> {
    const SHM_LOCK: i32 = 11;
    const SHM_UNLOCK: i32 = 12;
    const SHM_STAT: i32 = 13;
    const SHM_INFO: i32 = 14;
    const SHM_STAT_ANY: i32 = 15;
    // Attachments of processes that have just ended are gone too.
    t.kernel.frames.tidy();
    let table = &t.ipc().shm;
    let out = UserPtr::<ShmDs, Out>::at(buf);
    match cmd & !IPC_64 {
        IPC_RMID => shm::remove(t, id)?,
        IPC_SET => {
            let new = UserPtr::<ShmDs, In>::at(buf).read(t)?;
            shm::set(t, id, &new)?;
        }
        IPC_STAT => {
            let segment = table.find(id)?;
            segment.perm().check(&t.creds(), READ)?;
            out.write(t, &shm::stat(t, &segment))?;
        }
        SHM_STAT | SHM_STAT_ANY => {
            let (id, segment) = table.at(id)?;
            if cmd & !IPC_64 == SHM_STAT {
                segment.perm().check(&t.creds(), READ)?;
            }
            out.write(t, &shm::stat(t, &segment))?;
            return Ok(id);
        }
        IPC_INFO => {
            // struct shminfo64: shmmax, shmmin, shmmni, shmseg, shmall.
            let info = [
                SHMMAX,
                1,
                SHMMNI as u64,
                SHMMNI as u64,
                SHMMAX / 4096,
                0,
                0,
                0,
                0,
            ];
            UserPtr::<[u64; 9], Out>::at(buf).write(t, &info)?;
            return Ok(table.highest().0);
        }
        SHM_INFO => {
            // struct shm_info: used_ids, then tot, rss, swp, and two counters.
            let pages = |n: u64| n.div_ceil(4096);
            let all = table.all();
            let total: u64 = all.iter().map(|(_, s)| pages(shm::stat(t, s).segsz)).sum();
            let info = [all.len() as u64, total, total, 0, 0, 0];
            UserPtr::<[u64; 6], Out>::at(buf).write(t, &info)?;
            return Ok(table.highest().0);
        }
        SHM_LOCK => shm::lock(t, id, true)?,
        SHM_UNLOCK => shm::lock(t, id, false)?,
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}
