//! `arch_prctl(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::{Stop, SysResult, Task};

use crate::arg::{Out, UserPtr};

const ARCH_SET_GS: u32 = 0x1001;
const ARCH_SET_FS: u32 = 0x1002;
const ARCH_GET_FS: u32 = 0x1003;
const ARCH_GET_GS: u32 = 0x1004;
const ARCH_GET_CPUID: u32 = 0x1011;

/// `arch_prctl(2)`.
pub fn arch_prctl(t: &Arc<Task>, code: u32, addr: u64) -> SysResult<i64> {
    let ctx = t.context()?;
    match code {
        ARCH_SET_GS | ARCH_SET_FS => {
            if addr >= abi::TASK_SIZE {
                return Err(Errno::EPERM.into());
            }
            let mut regs = ctx.regs().ok_or(Errno::EINVAL)?;
            if code == ARCH_SET_FS {
                regs.gp.fs_base = addr;
            } else {
                regs.gp.gs_base = addr;
            }
            regs.gp.rax = 0;
            ctx.set_regs(&regs).map_err(|_| Errno::EPERM)?;
            Err(Stop::Regs)
        }
        ARCH_GET_FS | ARCH_GET_GS => {
            let regs = ctx.regs().ok_or(Errno::EINVAL)?;
            let base = if code == ARCH_GET_FS {
                regs.gp.fs_base
            } else {
                regs.gp.gs_base
            };
            UserPtr::<u64, Out>::at(addr).write(t, &base)?;
            Ok(0)
        }
        // CPUID is never trapped here.
        ARCH_GET_CPUID => Ok(1),
        _ => Err(Errno::EINVAL.into()),
    }
}
