//! `ptrace(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::signal::{SigInfo, SigSet};
use platform::GpRegs;
use sentry::ptrace::access::peek;
use sentry::ptrace::control::CallInfo;
use sentry::ptrace::{How, Options};
use sentry::seccomp::filter::ARCH;
use sentry::{SysResult, Task};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::arg::{In, Out, UserBuf, UserPtr};

const TRACEME: u64 = 0;
const KILL: u64 = 8;
const ATTACH: u64 = 16;
const SEIZE: u64 = 0x4206;
const INTERRUPT: u64 = 0x4207;
/// Register sets: `NT_PRSTATUS`, `NT_PRFPREG`, `NT_X86_XSTATE`.
const NT_PRSTATUS: u64 = 1;
const NT_PRFPREG: u64 = 2;
const NT_X86_XSTATE: u64 = 0x202;
/// Size of `struct user`, and where its debug registers stand.
const USER_LEN: u64 = 912;
const DEBUG_REGS: u64 = 848;
/// Size of `user_regs_struct`.
const REGS_LEN: usize = size_of::<GpRegs>();
/// More than any extended state.
const MAX_STATE: u64 = 1 << 14;
/// Most signals `PTRACE_PEEKSIGINFO` copies.
const MAX_PEEK: usize = 1 << 10;

/// `ptrace(2)`.
pub fn ptrace(t: &Arc<Task>, request: u64, pid: i32, addr: u64, data: u64) -> SysResult<i64> {
    match request {
        TRACEME => t.trace_me()?,
        ATTACH | SEIZE => attach(t, request, pid, (addr, data))?,
        _ => {
            let stopped = !matches!(request, KILL | INTERRUPT);
            let tracee = t.tracee(pid, stopped)?;
            return control(t, &tracee, request, addr, data);
        }
    }
    Ok(0)
}

fn attach(t: &Arc<Task>, request: u64, pid: i32, (addr, data): (u64, u64)) -> sentry::Result<()> {
    let tracee = t.pid_ns().task(pid).ok_or(Errno::ESRCH)?;
    let seize = match request {
        SEIZE => {
            if addr != 0 || data & !Options::all().bits() != 0 {
                return Err(Errno::EIO);
            }
            Some(options(data)?)
        }
        _ => None,
    };
    t.attach(&tracee, seize)
}

fn options(data: u64) -> sentry::Result<Options> {
    let options = Options::from_bits(data).ok_or(Errno::EINVAL)?;
    if options.contains(Options::SUSPEND_SECCOMP) {
        return Err(Errno::EINVAL);
    }
    Ok(options)
}

/// Requests on a tracee.
fn control(
    t: &Arc<Task>,
    tracee: &Arc<Task>,
    request: u64,
    addr: u64,
    data: u64,
) -> SysResult<i64> {
    match request {
        7 => tracee.let_go(How::Cont, data)?,
        24 => tracee.let_go(How::Syscall, data)?,
        9 => tracee.let_go(How::Step, data)?,
        31 => tracee.let_go(How::Sysemu, data)?,
        32 => tracee.let_go(How::SysemuStep, data)?,
        KILL => tracee.thread_group().kill(),
        17 => {
            if data > 64 {
                return Err(Errno::EIO.into());
            }
            tracee.detach(data);
        }
        INTERRUPT => tracee.interrupt_tracee()?,
        0x4208 => tracee.listen_tracee()?,
        21 | 0x4200 => tracee.set_trace_options(options(data)?),
        0x4201 => UserPtr::<u64, Out>::at(data).write(t, &tracee.event_message())?,
        0x4202 => UserPtr::<SigInfo, Out>::at(data).write(t, &tracee.stop_info()?)?,
        0x4203 => {
            let bytes = UserPtr::<[u8; 128], In>::at(data).read(t)?;
            let info = SigInfo::read_from_bytes(&bytes).map_err(|_| Errno::EINVAL)?;
            tracee.set_stop_info(info)?;
        }
        0x4209 => return peek_signals(t, tracee, addr, data),
        0x420a | 0x420b => signal_mask(t, tracee, request == 0x420b, (addr, data))?,
        0x420e => return call_info(t, tracee, addr, data),
        1..=6 => word(t, tracee, request, addr, data)?,
        _ => return registers(t, tracee, request, addr, data),
    }
    Ok(0)
}

/// `PTRACE_PEEK*` and `PTRACE_POKE*`. The raw call stores what it peeked at `data`.
fn word(
    t: &Arc<Task>,
    tracee: &Arc<Task>,
    request: u64,
    addr: u64,
    data: u64,
) -> sentry::Result<()> {
    match request {
        1 | 2 => {
            let mut bytes = [0; 8];
            let read = peek(&tracee.kernel, &tracee.mm(), addr, &mut bytes);
            read.map_err(|_| Errno::EIO)?;
            UserBuf(data).write(t, &bytes)
        }
        4 | 5 => {
            let written = tracee.mm().poke(addr, &data.to_ne_bytes());
            written.map_err(|_| Errno::EIO)
        }
        _ => user_word(t, tracee, request == 6, addr, data),
    }
}

/// A word of `struct user`: registers, and debug registers that are all off.
fn user_word(
    t: &Arc<Task>,
    tracee: &Arc<Task>,
    poke: bool,
    addr: u64,
    data: u64,
) -> sentry::Result<()> {
    if !addr.is_multiple_of(8) || addr >= USER_LEN {
        return Err(Errno::EIO);
    }
    let at = usize::try_from(addr).map_err(|_| Errno::EIO)?;
    if at >= REGS_LEN {
        return match (poke, addr >= DEBUG_REGS) {
            (false, _) => UserPtr::<u64, Out>::at(data).write(t, &0),
            (true, true) if data == 0 => Ok(()),
            (true, true) => Err(Errno::EINVAL),
            (true, false) => Err(Errno::EIO),
        };
    }
    let mut regs = tracee.user_regs()?;
    let bytes = regs.as_mut_bytes();
    let slot = bytes.get_mut(at..).and_then(|b| b.first_chunk_mut::<8>());
    let slot = slot.ok_or(Errno::EIO)?;
    if poke {
        *slot = data.to_ne_bytes();
        return tracee.set_user_regs(&regs);
    }
    let value = u64::from_ne_bytes(*slot);
    UserPtr::<u64, Out>::at(data).write(t, &value)
}

fn regs_from(bytes: &[u8]) -> sentry::Result<GpRegs> {
    GpRegs::read_from_bytes(bytes).map_err(|_| Errno::EINVAL)
}

/// Whole register sets.
fn registers(
    t: &Arc<Task>,
    tracee: &Arc<Task>,
    request: u64,
    addr: u64,
    data: u64,
) -> SysResult<i64> {
    match request {
        12 => UserPtr::<GpRegs, Out>::at(data).write(t, &tracee.user_regs()?)?,
        13 => {
            let bytes = UserBuf(data).read(t, REGS_LEN)?;
            tracee.set_user_regs(&regs_from(&bytes)?)?;
        }
        14 => UserBuf(data).write(t, &tracee.user_xstate(false)?)?,
        15 => {
            let bytes = UserBuf(data).read(t, 512)?;
            tracee.set_user_xstate(&bytes, false)?;
        }
        // PTRACE_ARCH_PRCTL: ARCH_GET_FS, ARCH_GET_GS.
        30 if data == 0x1003 || data == 0x1004 => {
            let regs = tracee.user_regs()?;
            let base = if data == 0x1003 {
                regs.fs_base
            } else {
                regs.gs_base
            };
            UserPtr::<u64, Out>::at(addr).write(t, &base)?;
        }
        0x4204 | 0x4205 => register_set(t, tracee, request == 0x4205, addr, data)?,
        _ => return Err(Errno::EIO.into()),
    }
    Ok(0)
}

/// `PTRACE_GETREGSET`, `PTRACE_SETREGSET`.
fn register_set(
    t: &Arc<Task>,
    tracee: &Arc<Task>,
    set: bool,
    kind: u64,
    iov_at: u64,
) -> sentry::Result<()> {
    let [base, len] = UserPtr::<[u64; 2], In>::at(iov_at).read(t)?;
    let unit = match kind {
        NT_PRSTATUS | NT_X86_XSTATE => 8,
        NT_PRFPREG => 4,
        _ => return Err(Errno::EINVAL),
    };
    if len % unit != 0 {
        return Err(Errno::EINVAL);
    }
    let mut now = match kind {
        NT_PRSTATUS => tracee.user_regs()?.as_bytes().to_vec(),
        NT_PRFPREG => tracee.user_xstate(false)?,
        _ => tracee.user_xstate(true)?,
    };
    let n = usize::try_from(len.min(MAX_STATE)).unwrap_or(0);
    let n = n.min(now.len());
    if set {
        let given = UserBuf(base).read(t, n)?;
        now.get_mut(..n)
            .ok_or(Errno::EINVAL)?
            .copy_from_slice(&given);
        match kind {
            NT_PRSTATUS => tracee.set_user_regs(&regs_from(&now)?)?,
            NT_PRFPREG => tracee.set_user_xstate(&now, false)?,
            _ => tracee.set_user_xstate(&now, true)?,
        }
    } else {
        UserBuf(base).write(t, now.get(..n).unwrap_or_default())?;
    }
    UserPtr::<u64, Out>::at(iov_at.wrapping_add(8)).write(t, &(n as u64))
}

/// `PTRACE_GETSIGMASK`, `PTRACE_SETSIGMASK`.
fn signal_mask(
    t: &Arc<Task>,
    tracee: &Arc<Task>,
    set: bool,
    (size, at): (u64, u64),
) -> sentry::Result<()> {
    if size != 8 {
        return Err(Errno::EINVAL);
    }
    if set {
        let mask = UserPtr::<u64, In>::at(at).read(t)?;
        tracee.set_tracee_mask(SigSet(mask));
        Ok(())
    } else {
        UserPtr::<u64, Out>::at(at).write(t, &tracee.sigmask().0)
    }
}

/// `struct ptrace_peeksiginfo_args`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct PeekArgs {
    off: u64,
    flags: u32,
    nr: i32,
}

/// `PTRACE_PEEKSIGINFO`.
fn peek_signals(t: &Arc<Task>, tracee: &Arc<Task>, addr: u64, data: u64) -> SysResult<i64> {
    let args = UserPtr::<PeekArgs, In>::at(addr).read(t)?;
    let nr = usize::try_from(args.nr).map_err(|_| Errno::EINVAL)?;
    if args.flags & !1 != 0 {
        return Err(Errno::EINVAL.into());
    }
    let from = usize::try_from(args.off).unwrap_or(usize::MAX);
    let found = tracee.queued_signals(args.flags & 1 != 0, from, nr.min(MAX_PEEK));
    let size = size_of::<SigInfo>() as u64;
    for (done, info) in found.iter().enumerate() {
        let at = data.wrapping_add(size.wrapping_mul(done as u64));
        match UserPtr::<SigInfo, Out>::at(at).write(t, info) {
            Ok(()) => {}
            // Those before it count.
            Err(_) if done > 0 => return Ok(done as i64),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(found.len() as i64)
}

/// `PTRACE_GET_SYSCALL_INFO`: fills what fits into `size` bytes, returns what there is.
fn call_info(t: &Arc<Task>, tracee: &Arc<Task>, size: u64, at: u64) -> SysResult<i64> {
    let info = tracee.call_info();
    let regs = tracee.user_regs()?;
    let mut out = Vec::with_capacity(88);
    let op: u32 = match info {
        CallInfo::None => 0,
        CallInfo::Entry => 1,
        CallInfo::Exit => 2,
        CallInfo::Seccomp(_) => 3,
    };
    out.extend_from_slice(&op.to_ne_bytes());
    out.extend_from_slice(&ARCH.to_ne_bytes());
    out.extend_from_slice(&regs.rip.to_ne_bytes());
    out.extend_from_slice(&regs.rsp.to_ne_bytes());
    match info {
        CallInfo::None => {}
        CallInfo::Exit => {
            let value = regs.rax.cast_signed();
            out.extend_from_slice(&value.to_ne_bytes());
            out.push(u8::from((-4095..0).contains(&value)));
        }
        CallInfo::Entry | CallInfo::Seccomp(_) => {
            let args = [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9];
            out.extend_from_slice(&regs.orig_rax.to_ne_bytes());
            out.extend_from_slice(args.as_bytes());
        }
    }
    if let CallInfo::Seccomp(data) = info {
        out.extend_from_slice(&u32::from(data).to_ne_bytes());
    }
    let n = usize::try_from(size).unwrap_or(usize::MAX).min(out.len());
    UserBuf(at).write(t, out.get(..n).unwrap_or_default())?;
    Ok(out.len() as i64)
}
