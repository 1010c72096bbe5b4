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

/// Requests (`PTRACE_*` of `<linux/ptrace.h>` and `<asm/ptrace-abi.h>`).
mod req {
    pub const TRACEME: u64 = 0;
    pub const PEEKTEXT: u64 = 1;
    pub const PEEKDATA: u64 = 2;
    pub const PEEKUSER: u64 = 3;
    pub const POKETEXT: u64 = 4;
    pub const POKEDATA: u64 = 5;
    pub const POKEUSER: u64 = 6;
    pub const CONT: u64 = 7;
    pub const KILL: u64 = 8;
    pub const SINGLESTEP: u64 = 9;
    pub const GETREGS: u64 = 12;
    pub const SETREGS: u64 = 13;
    pub const GETFPREGS: u64 = 14;
    pub const SETFPREGS: u64 = 15;
    pub const ATTACH: u64 = 16;
    pub const DETACH: u64 = 17;
    pub const OLDSETOPTIONS: u64 = 21;
    pub const SYSCALL: u64 = 24;
    pub const ARCH_PRCTL: u64 = 30;
    pub const SYSEMU: u64 = 31;
    pub const SYSEMU_SINGLESTEP: u64 = 32;
    pub const SETOPTIONS: u64 = 0x4200;
    pub const GETEVENTMSG: u64 = 0x4201;
    pub const GETSIGINFO: u64 = 0x4202;
    pub const SETSIGINFO: u64 = 0x4203;
    pub const GETREGSET: u64 = 0x4204;
    pub const SETREGSET: u64 = 0x4205;
    pub const SEIZE: u64 = 0x4206;
    pub const INTERRUPT: u64 = 0x4207;
    pub const LISTEN: u64 = 0x4208;
    pub const PEEKSIGINFO: u64 = 0x4209;
    pub const GETSIGMASK: u64 = 0x420a;
    pub const SETSIGMASK: u64 = 0x420b;
    pub const GET_SYSCALL_INFO: u64 = 0x420e;
}

/// `ARCH_GET_FS`, `ARCH_GET_GS` of `PTRACE_ARCH_PRCTL`.
const ARCH_GET_FS: u64 = 0x1003;
const ARCH_GET_GS: u64 = 0x1004;
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
        req::TRACEME => t.trace_me()?,
        req::ATTACH => t.attach(&target(t, pid)?, None)?,
        req::SEIZE => {
            let tracee = target(t, pid)?;
            if addr != 0 || data & !Options::all().bits() != 0 {
                return Err(Errno::EIO.into());
            }
            t.attach(&tracee, Some(options(data)?))?;
        }
        _ => {
            let stopped = !matches!(request, req::KILL | req::INTERRUPT);
            let tracee = &t.tracee(pid, stopped)?;
            return Request {
                t,
                tracee,
                addr,
                data,
            }
            .serve(request);
        }
    }
    Ok(0)
}

fn target(t: &Arc<Task>, pid: i32) -> sentry::Result<Arc<Task>> {
    t.pid_ns().task(pid).ok_or(Errno::ESRCH)
}

fn options(data: u64) -> sentry::Result<Options> {
    let options = Options::from_bits(data).ok_or(Errno::EINVAL)?;
    if options.contains(Options::SUSPEND_SECCOMP) {
        return Err(Errno::EINVAL);
    }
    Ok(options)
}

fn regs_from(bytes: &[u8]) -> sentry::Result<GpRegs> {
    GpRegs::read_from_bytes(bytes).map_err(|_| Errno::EINVAL)
}

/// `struct ptrace_peeksiginfo_args`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct PeekArgs {
    off: u64,
    flags: u32,
    nr: i32,
}

/// A request of the tracer `t` on its tracee.
struct Request<'a> {
    t: &'a Arc<Task>,
    tracee: &'a Arc<Task>,
    addr: u64,
    data: u64,
}

impl Request<'_> {
    fn serve(&self, request: u64) -> SysResult<i64> {
        let (tracee, data) = (self.tracee, self.data);
        match request {
            req::CONT => tracee.let_go(How::Cont, data)?,
            req::SYSCALL => tracee.let_go(How::Syscall, data)?,
            req::SINGLESTEP => tracee.let_go(How::Step, data)?,
            req::SYSEMU => tracee.let_go(How::Sysemu, data)?,
            req::SYSEMU_SINGLESTEP => tracee.let_go(How::SysemuStep, data)?,
            req::KILL => tracee.thread_group().kill(),
            req::DETACH if data > 64 => return Err(Errno::EIO.into()),
            req::DETACH => tracee.detach(data),
            req::INTERRUPT => tracee.interrupt_tracee()?,
            req::LISTEN => tracee.listen_tracee()?,
            req::OLDSETOPTIONS | req::SETOPTIONS => tracee.set_trace_options(options(data)?),
            req::GETEVENTMSG => self.put(&tracee.event_message())?,
            req::GETSIGINFO => self.put(&tracee.stop_info()?)?,
            req::SETSIGINFO => {
                let bytes = UserPtr::<[u8; 128], In>::at(data).read(self.t)?;
                let info = SigInfo::read_from_bytes(&bytes).map_err(|_| Errno::EINVAL)?;
                tracee.set_stop_info(info)?;
            }
            req::PEEKSIGINFO => return self.peek_signals(),
            req::GETSIGMASK => self.signal_mask(false)?,
            req::SETSIGMASK => self.signal_mask(true)?,
            req::GET_SYSCALL_INFO => return self.call_info(),
            req::PEEKTEXT | req::PEEKDATA => self.peek_word()?,
            req::POKETEXT | req::POKEDATA => {
                let written = tracee.mm().poke(self.addr, &data.to_ne_bytes());
                written.map_err(|_| Errno::EIO)?;
            }
            req::PEEKUSER => self.user_word(false)?,
            req::POKEUSER => self.user_word(true)?,
            _ => self.registers(request)?,
        }
        Ok(0)
    }

    /// Stores a value at `data`.
    fn put<T: IntoBytes + FromBytes + Immutable>(&self, value: &T) -> sentry::Result<()> {
        UserPtr::<T, Out>::at(self.data).write(self.t, value)
    }

    /// `PTRACE_PEEKTEXT`. The raw call stores what it peeked at `data`.
    fn peek_word(&self) -> sentry::Result<()> {
        let mut bytes = [0; 8];
        let read = peek(
            &self.tracee.kernel,
            &self.tracee.mm(),
            self.addr,
            &mut bytes,
        );
        read.map_err(|_| Errno::EIO)?;
        UserBuf(self.data).write(self.t, &bytes)
    }

    /// A word of `struct user`: registers, and debug registers that are all off.
    fn user_word(&self, poke: bool) -> sentry::Result<()> {
        let (tracee, addr, data) = (self.tracee, self.addr, self.data);
        if !addr.is_multiple_of(8) || addr >= USER_LEN {
            return Err(Errno::EIO);
        }
        let at = usize::try_from(addr).map_err(|_| Errno::EIO)?;
        if at >= REGS_LEN {
            return match (poke, addr >= DEBUG_REGS) {
                (false, _) => self.put(&0u64),
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
        self.put(&u64::from_ne_bytes(*slot))
    }

    /// Whole register sets.
    fn registers(&self, request: u64) -> sentry::Result<()> {
        let (t, tracee, data) = (self.t, self.tracee, self.data);
        match request {
            req::GETREGS => self.put(&tracee.user_regs()?)?,
            req::SETREGS => {
                let bytes = UserBuf(data).read(t, REGS_LEN)?;
                tracee.set_user_regs(&regs_from(&bytes)?)?;
            }
            req::GETFPREGS => UserBuf(data).write(t, &tracee.user_xstate(false)?)?,
            req::SETFPREGS => {
                let bytes = UserBuf(data).read(t, 512)?;
                tracee.set_user_xstate(&bytes, false)?;
            }
            req::ARCH_PRCTL => {
                let regs = tracee.user_regs()?;
                let base = match data {
                    ARCH_GET_FS => regs.fs_base,
                    ARCH_GET_GS => regs.gs_base,
                    _ => return Err(Errno::EINVAL),
                };
                UserPtr::<u64, Out>::at(self.addr).write(t, &base)?;
            }
            req::GETREGSET => self.register_set(false)?,
            req::SETREGSET => self.register_set(true)?,
            _ => return Err(Errno::EIO),
        }
        Ok(())
    }

    /// `PTRACE_GETREGSET`, `PTRACE_SETREGSET`.
    fn register_set(&self, set: bool) -> sentry::Result<()> {
        let (t, tracee, kind, iov_at) = (self.t, self.tracee, self.addr, self.data);
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
    fn signal_mask(&self, set: bool) -> sentry::Result<()> {
        if self.addr != size_of::<SigSet>() as u64 {
            return Err(Errno::EINVAL);
        }
        if set {
            let mask = UserPtr::<u64, In>::at(self.data).read(self.t)?;
            self.tracee.set_tracee_mask(SigSet(mask));
            Ok(())
        } else {
            self.put(&self.tracee.sigmask().0)
        }
    }

    /// `PTRACE_PEEKSIGINFO`.
    fn peek_signals(&self) -> SysResult<i64> {
        let args = UserPtr::<PeekArgs, In>::at(self.addr).read(self.t)?;
        let nr = usize::try_from(args.nr).map_err(|_| Errno::EINVAL)?;
        if args.flags & !1 != 0 {
            return Err(Errno::EINVAL.into());
        }
        let from = usize::try_from(args.off).unwrap_or(usize::MAX);
        let found = self
            .tracee
            .queued_signals(args.flags & 1 != 0, from, nr.min(MAX_PEEK));
        let size = size_of::<SigInfo>() as u64;
        for (done, info) in found.iter().enumerate() {
            let at = self.data.wrapping_add(size.wrapping_mul(done as u64));
            match UserPtr::<SigInfo, Out>::at(at).write(self.t, info) {
                Ok(()) => {}
                // Those before it count.
                Err(_) if done > 0 => return Ok(done as i64),
                Err(e) => return Err(e.into()),
            }
        }
        Ok(found.len() as i64)
    }

    /// `PTRACE_GET_SYSCALL_INFO`: fills what fits into `addr` bytes, returns what there is.
    fn call_info(&self) -> SysResult<i64> {
        let info = self.tracee.call_info();
        let regs = self.tracee.user_regs()?;
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
        let n = usize::try_from(self.addr)
            .unwrap_or(usize::MAX)
            .min(out.len());
        UserBuf(self.data).write(self.t, out.get(..n).unwrap_or_default())?;
        Ok(out.len() as i64)
    }
}
