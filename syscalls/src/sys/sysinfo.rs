//! `sysinfo(2)`.

use std::sync::Arc;

use sentry::fs::proc;
use sentry::time::ns::shifted;
use sentry::{SysResult, Task};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::arg::{Out, UserPtr};

/// `struct sysinfo`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SysInfo {
    uptime: u64,
    loads: [u64; 3],
    totalram: u64,
    freeram: u64,
    sharedram: u64,
    bufferram: u64,
    totalswap: u64,
    freeswap: u64,
    procs: u16,
    pad: u16,
    pad2: u32,
    totalhigh: u64,
    freehigh: u64,
    mem_unit: u32,
    pad3: u32,
}

/// `sysinfo(2)`.
pub fn sysinfo(t: &Arc<Task>, to: UserPtr<SysInfo, Out>) -> SysResult<()> {
    let k = &t.kernel;
    let total = k.host.memory;
    let info = SysInfo {
        uptime: shifted(k.since_boot(), t.boot_offset()).as_secs(),
        // Fixed point, `1 << SI_LOAD_SHIFT` for one thread that always runs.
        loads: proc::load_averages(t).map(|load| (load * 65536.0) as u64),
        totalram: total,
        freeram: total.saturating_sub(k.memory.resident_bytes()),
        procs: u16::try_from(t.pid_ns().first().count()).unwrap_or(u16::MAX),
        mem_unit: 1,
        ..SysInfo::default()
    };
    Ok(to.write(t, &info)?)
}
