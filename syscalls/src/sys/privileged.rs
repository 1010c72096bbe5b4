//! Calls on the machine itself, which a container may not make, and whose effect this
//! kernel could not have: the errors of a kernel where they are forbidden or left out.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::Cap;
use sentry::{Result, SysResult, Task};

use crate::arg::{UserAddr, UserCStr};
use crate::fs::at;

/// `EPERM` without `cap`.
fn need(t: &Arc<Task>, cap: Cap) -> Result<()> {
    if t.creds().capable(cap) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// `acct(2)`: left out.
pub fn acct(t: &Arc<Task>, _file: UserAddr) -> SysResult<()> {
    need(t, Cap::SysPacct)?;
    Err(Errno::ENOSYS.into())
}

/// `vhangup(2)`: forbidden.
pub fn vhangup(_t: &Arc<Task>) -> SysResult<()> {
    Err(Errno::EPERM.into())
}

/// `swapon(2)`: nothing can be swapped to.
pub fn swapon(t: &Arc<Task>, path: UserCStr, flags: u32) -> SysResult<()> {
    const KNOWN: u32 = 0x7_ffff;
    need(t, Cap::SysAdmin)?;
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL.into());
    }
    at::follow(t, path)?;
    Err(Errno::EINVAL.into())
}

/// `swapoff(2)`: nothing is swapped to.
pub fn swapoff(t: &Arc<Task>, path: UserCStr) -> SysResult<()> {
    need(t, Cap::SysAdmin)?;
    at::follow(t, path)?;
    Err(Errno::EINVAL.into())
}

const MAGIC1: u32 = 0xfee1_dead;
const MAGIC2: [u32; 4] = [0x2812_1969, 0x0512_1996, 0x1604_1998, 0x2011_2000];

/// `reboot(2)`: forbidden.
pub fn reboot(
    t: &Arc<Task>,
    magic1: u32,
    magic2: u32,
    _command: u32,
    _arg: UserAddr,
) -> SysResult<()> {
    need(t, Cap::SysBoot)?;
    if magic1 != MAGIC1 || !MAGIC2.contains(&magic2) {
        return Err(Errno::EINVAL.into());
    }
    Err(Errno::EPERM.into())
}

/// `iopl(2)`: giving up what one has not is all that is possible.
pub fn iopl(_t: &Arc<Task>, level: u32) -> SysResult<()> {
    match level {
        0 => Ok(()),
        1..=3 => Err(Errno::EPERM.into()),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// Number of I/O ports.
const PORTS: u64 = 65_536;

/// `ioperm(2)`: the same.
pub fn ioperm(_t: &Arc<Task>, from: u64, count: u64, on: i32) -> SysResult<()> {
    match from.checked_add(count) {
        Some(end) if end > from && end <= PORTS => {}
        _ => return Err(Errno::EINVAL.into()),
    }
    if on != 0 {
        return Err(Errno::EPERM.into());
    }
    Ok(())
}

/// `init_module(2)`: a kernel without modules.
pub fn init_module(t: &Arc<Task>, _image: UserAddr, _len: u64, _args: UserAddr) -> SysResult<()> {
    need(t, Cap::SysModule)?;
    Err(Errno::ENOSYS.into())
}

/// `finit_module(2)`: the same.
pub fn finit_module(t: &Arc<Task>, _fd: i32, _args: UserAddr, _flags: i32) -> SysResult<()> {
    need(t, Cap::SysModule)?;
    Err(Errno::ENOSYS.into())
}

/// `delete_module(2)`: the same.
pub fn delete_module(t: &Arc<Task>, _name: UserAddr, _flags: u32) -> SysResult<()> {
    need(t, Cap::SysModule)?;
    Err(Errno::ENOSYS.into())
}

/// `kexec_load(2)`: left out.
pub fn kexec_load(
    t: &Arc<Task>,
    _entry: u64,
    _count: u64,
    _segments: UserAddr,
    _flags: u64,
) -> SysResult<()> {
    need(t, Cap::SysBoot)?;
    Err(Errno::ENOSYS.into())
}

/// `kexec_file_load(2)`: left out.
pub fn kexec_file_load(t: &Arc<Task>, _kernel: i32, _initrd: i32) -> SysResult<()> {
    need(t, Cap::SysBoot)?;
    Err(Errno::ENOSYS.into())
}

/// `restart_syscall(2)` where nothing was interrupted.
pub fn restart_syscall(_t: &Arc<Task>) -> SysResult<()> {
    Err(Errno::EINTR.into())
}
