//! `sched_setaffinity(2)`, `sched_getaffinity(2)`, `sched_yield(2)`, `getcpu(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::task::sched::all;
use sentry::{SysResult, Task};

use super::{find, may_change};
use crate::arg::{Out, UserAddr, UserBuf, UserPtr};

fn cpus(t: &Task) -> u64 {
    all(usize::try_from(t.kernel.host.cpus.max(1)).unwrap_or(1))
}

/// `sched_setaffinity(2)`.
pub fn sched_setaffinity(t: &Arc<Task>, tid: i32, len: usize, mask: UserBuf) -> SysResult<()> {
    let mut bytes = mask.read(t, len.min(8))?;
    bytes.resize(8, 0);
    let wanted = bytes.first_chunk().map_or(0, |b| u64::from_ne_bytes(*b));
    let task = find(t, tid).map_err(|_| Errno::ESRCH)?;
    if !may_change(t, &task) {
        return Err(Errno::EPERM.into());
    }
    let mask = wanted & cpus(t);
    if mask == 0 {
        return Err(Errno::EINVAL.into());
    }
    task.sched.lock().affinity = mask;
    task.bind_cpus();
    Ok(())
}

/// `sched_getaffinity(2)`: how many bytes were written.
pub fn sched_getaffinity(t: &Arc<Task>, tid: i32, len: usize, mask: UserBuf) -> SysResult<usize> {
    if !len.is_multiple_of(8) || len == 0 {
        return Err(Errno::EINVAL.into());
    }
    let task = find(t, tid).map_err(|_| Errno::ESRCH)?;
    let affinity = task.sched.lock().affinity & cpus(t);
    mask.write(t, &affinity.to_ne_bytes())?;
    Ok(8)
}

/// `sched_yield(2)`. The host schedules guest threads; the trap itself was the chance.
pub fn sched_yield(_t: &Arc<Task>) -> SysResult<()> {
    Ok(())
}

/// `getcpu(2)`: the CPU as the host notes it in the thread's `rseq(2)` area; without one the
/// first allowed CPU. Node 0.
pub fn getcpu(
    t: &Arc<Task>,
    cpu: UserPtr<u32, Out>,
    node: UserPtr<u32, Out>,
    _cache: UserAddr,
) -> SysResult<()> {
    let first = t.sched.lock().affinity.trailing_zeros();
    let mut noted = [0; 4];
    let area = t
        .rseq()
        .filter(|a| t.mm().copy_in(a.addr, &mut noted).is_ok());
    let noted = area.map(|_| u32::from_ne_bytes(noted)).filter(|n| *n < 64);
    cpu.write_opt(t, &noted.unwrap_or(if first < 64 { first } else { 0 }))?;
    Ok(node.write_opt(t, &0)?)
}
