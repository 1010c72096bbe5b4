//! Signal frames: how a handler is entered and left (`sigreturn(2)`,
//! `<asm/sigcontext.h>`, `<asm/ucontext.h>`).

use std::sync::Arc;

use abi::Errno;
use abi::signal::{SigAction, SigInfo, SigSet, StackT};
use platform::{GpRegs, Registers, XState};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::action::{SA_ONSTACK, SA_RESTORER};
use super::{SS_AUTODISARM, SS_DISABLE, SS_ONSTACK, Taken};
use crate::Result;
use crate::task::Task;

/// Below the stack pointer, the ABI lets leaf functions use this many bytes.
const RED_ZONE: u64 = 128;
/// Flags a handler starts without: direction, resume, trap.
const CLEARED_FLAGS: u64 = 0x400 | 0x1_0000 | 0x100;
/// Flags `rt_sigreturn` takes from the frame (arithmetic, direction, trap, resume,
/// alignment check).
const RESTORED_FLAGS: u64 = 0x0005_0dd5;
/// User code and stack selectors in 64-bit mode.
const USER_CS: u16 = 0x33;
const USER_SS: u16 = 0x2b;
/// `UC_FP_XSTATE`.
const UC_FP_XSTATE: u64 = 1;
/// `UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS`.
const UC_SS: u64 = 2 | 4;
/// `FP_XSTATE_MAGIC1`.
const XSTATE_MAGIC: u32 = 0x4650_5853;
/// Bytes of the legacy (FXSAVE) area, and where the software-reserved words stand in it.
const LEGACY: usize = 512;
const SW_RESERVED: usize = 464;
/// More extended state than any CPU has.
const XSTATE_MAX: usize = 16 << 10;

/// `struct sigcontext` (64-bit).
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct SigContext {
    r8: u64,
    r9: u64,
    r10: u64,
    r11: u64,
    r12: u64,
    r13: u64,
    r14: u64,
    r15: u64,
    di: u64,
    si: u64,
    bp: u64,
    bx: u64,
    dx: u64,
    ax: u64,
    cx: u64,
    sp: u64,
    ip: u64,
    flags: u64,
    cs: u16,
    gs: u16,
    fs: u16,
    ss: u16,
    err: u64,
    trapno: u64,
    oldmask: u64,
    cr2: u64,
    fpstate: u64,
    reserved: [u64; 8],
}

/// `struct ucontext` (64-bit).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct UContext {
    flags: u64,
    link: u64,
    stack: StackT,
    mcontext: SigContext,
    sigmask: SigSet,
}

/// `struct rt_sigframe`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Frame {
    restorer: u64,
    uc: UContext,
    info: SigInfo,
}

/// Whether `sp` lies on the alternate stack. One that disarms itself is never "on".
fn on_stack(stack: &StackT, sp: u64) -> bool {
    stack.flags & SS_AUTODISARM == 0 && sp > stack.sp && sp.wrapping_sub(stack.sp) <= stack.size
}

/// `ss_flags` as `sigaltstack(2)` reports them at `sp`.
pub fn stack_flags(stack: &StackT, sp: u64) -> i32 {
    if stack.size == 0 {
        SS_DISABLE
    } else if on_stack(stack, sp) {
        SS_ONSTACK
    } else {
        0
    }
}

/// Pushes the frame and enters the handler: the registers are replaced. `EFAULT` when the
/// stack cannot take it.
pub(super) fn push(
    t: &Arc<Task>,
    mut regs: Registers,
    taken: &Taken,
    action: &SigAction,
) -> Result<()> {
    if action.flags & SA_RESTORER == 0 {
        return Err(Errno::EFAULT);
    }
    let (stack, mask) = {
        let s = t.sig.lock();
        (s.altstack, s.saved_mask.unwrap_or(s.mask))
    };
    let (sp, fpstate) = place(&regs, &stack, action)?;
    let frame = Frame {
        restorer: action.restorer,
        uc: UContext {
            flags: UC_SS | if fpstate == 0 { 0 } else { UC_FP_XSTATE },
            link: 0,
            stack: StackT::new(
                stack.sp,
                stack_flags(&stack, regs.gp.rsp) | (stack.flags & SS_AUTODISARM),
                stack.size,
            ),
            mcontext: context_of(t, &regs.gp, mask, fpstate),
            sigmask: mask,
        },
        info: taken.info,
    };
    let mm = t.mm();
    mm.copy_out(fpstate, &regs.xstate.0)?;
    mm.copy_out(sp, frame.as_bytes())?;

    regs.gp.rdi = u64::from(taken.signal.raw());
    regs.gp.rsi = sp.wrapping_add(std::mem::offset_of!(Frame, info) as u64);
    regs.gp.rdx = sp.wrapping_add(std::mem::offset_of!(Frame, uc) as u64);
    regs.gp.rax = 0;
    regs.gp.rip = action.handler;
    regs.gp.rsp = sp;
    regs.gp.cs = u64::from(USER_CS);
    regs.gp.ss = u64::from(USER_SS);
    regs.gp.eflags &= !CLEARED_FLAGS;
    regs.gp.orig_rax = u64::MAX;
    regs.xstate = XState::default();
    t.context()?.set_regs(&regs).map_err(|_| Errno::EFAULT)?;
    if stack.flags & SS_AUTODISARM != 0 {
        t.sig.lock().altstack = StackT::new(0, SS_DISABLE, 0);
    }
    Ok(())
}

/// Where the frame and the extended state go: stack pointer in the handler, address of the
/// state (0 for none).
fn place(regs: &Registers, stack: &StackT, action: &SigAction) -> Result<(u64, u64)> {
    let mut sp = regs.gp.rsp.wrapping_sub(RED_ZONE);
    let nested = on_stack(stack, regs.gp.rsp);
    let entering = action.flags & SA_ONSTACK != 0 && stack.size != 0 && !nested;
    if entering {
        sp = stack.sp.wrapping_add(stack.size);
    }
    let state = regs.xstate.0.len() as u64;
    let fpstate = if state == 0 {
        0
    } else {
        sp = sp.wrapping_sub(state) & !63;
        sp
    };
    let frame = size_of::<Frame>() as u64;
    sp = (sp.wrapping_sub(frame) & !15).wrapping_sub(8);
    let within = sp > stack.sp && sp.wrapping_sub(stack.sp) <= stack.size;
    if (entering || nested) && !within {
        // The alternate stack has run over.
        return Err(Errno::EFAULT);
    }
    if sp >= abi::TASK_SIZE || fpstate >= abi::TASK_SIZE {
        return Err(Errno::EFAULT);
    }
    Ok((sp, fpstate))
}

fn context_of(t: &Task, gp: &GpRegs, mask: SigSet, fpstate: u64) -> SigContext {
    let [trapno, err, cr2] = *t.last_trap.lock();
    SigContext {
        r8: gp.r8,
        r9: gp.r9,
        r10: gp.r10,
        r11: gp.r11,
        r12: gp.r12,
        r13: gp.r13,
        r14: gp.r14,
        r15: gp.r15,
        di: gp.rdi,
        si: gp.rsi,
        bp: gp.rbp,
        bx: gp.rbx,
        dx: gp.rdx,
        ax: gp.rax,
        cx: gp.rcx,
        sp: gp.rsp,
        ip: gp.rip,
        flags: gp.eflags,
        cs: USER_CS,
        gs: 0,
        fs: 0,
        ss: USER_SS,
        err,
        trapno,
        oldmask: mask.0,
        cr2,
        fpstate,
        reserved: [0; 8],
    }
}

/// `rt_sigreturn(2)`: puts back what the frame on the stack says. `EFAULT` for a frame that
/// cannot be read: the caller raises SIGSEGV.
pub fn pop(t: &Arc<Task>) -> Result<()> {
    let ctx = t.context()?;
    let mut regs = ctx.regs().ok_or(Errno::EFAULT)?;
    let mut bytes = [0u8; size_of::<UContext>()];
    let mm = t.mm();
    // The handler's return has popped the restorer's address.
    mm.copy_in(regs.gp.rsp, &mut bytes)?;
    let uc = UContext::read_from_bytes(&bytes).map_err(|_| Errno::EFAULT)?;
    let m = uc.mcontext;
    let xstate = read_xstate(t, m.fpstate)?;

    let flags = (regs.gp.eflags & !RESTORED_FLAGS) | (m.flags & RESTORED_FLAGS);
    regs.gp = GpRegs {
        r8: m.r8,
        r9: m.r9,
        r10: m.r10,
        r11: m.r11,
        r12: m.r12,
        r13: m.r13,
        r14: m.r14,
        r15: m.r15,
        rdi: m.di,
        rsi: m.si,
        rbp: m.bp,
        rbx: m.bx,
        rdx: m.dx,
        rax: m.ax,
        rcx: m.cx,
        rsp: m.sp,
        rip: m.ip,
        eflags: flags,
        cs: u64::from(USER_CS),
        ss: u64::from(USER_SS),
        orig_rax: u64::MAX,
        ..regs.gp
    };
    regs.xstate = xstate;
    ctx.set_regs(&regs).map_err(|_| Errno::EFAULT)?;
    // It comes from no call.
    t.ptrace.lock().nr = -1;

    t.set_sigmask(uc.sigmask);
    // An unusable stack in the frame is ignored, as Linux does.
    let _: Result<()> = set_stack(t, uc.stack, m.sp);
    Ok(())
}

/// Copies the extended state in; an address of 0 is the initial state.
fn read_xstate(t: &Arc<Task>, addr: u64) -> Result<XState> {
    if addr == 0 {
        return Ok(XState::default());
    }
    let mm = t.mm();
    let mut bytes = vec![0u8; LEGACY];
    mm.copy_in(addr, &mut bytes)?;
    let word = |at: usize| {
        let b = bytes.get(at..).and_then(|b| b.first_chunk::<4>());
        b.map_or(0, |b| u32::from_ne_bytes(*b))
    };
    let (magic, size) = (word(SW_RESERVED), word(SW_RESERVED + 4) as usize);
    if magic == XSTATE_MAGIC && size > LEGACY && size <= XSTATE_MAX {
        bytes.resize(size, 0);
        let rest = bytes.get_mut(LEGACY..).unwrap_or_default();
        mm.copy_in(addr.wrapping_add(LEGACY as u64), rest)?;
    }
    Ok(XState(bytes))
}

/// Smallest alternate stack (`MINSIGSTKSZ` as the kernel checks it).
const MIN_STACK: u64 = 2048;

/// Sets the alternate stack of a thread whose stack pointer is `sp`: `EPERM` while on it,
/// `EINVAL` for unknown flags, `ENOMEM` when too small.
pub fn set_stack(t: &Task, stack: StackT, sp: u64) -> Result<()> {
    let mut s = t.sig.lock();
    if s.altstack.size != 0 && on_stack(&s.altstack, sp) {
        return Err(Errno::EPERM);
    }
    let mode = stack.flags & !SS_AUTODISARM;
    if mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0 {
        return Err(Errno::EINVAL);
    }
    // None wished for where there is none: nothing is changed.
    let (now, none) = (s.altstack, stack.sp == 0 && stack.size == 0);
    if none && stack.flags == 0 && now.sp == 0 && now.size == 0 {
        return Ok(());
    }
    if mode == SS_DISABLE {
        s.altstack = StackT::new(0, stack.flags, 0);
        return Ok(());
    }
    if stack.size < MIN_STACK {
        return Err(Errno::ENOMEM);
    }
    s.altstack = StackT::new(stack.sp, stack.flags, stack.size);
    Ok(())
}
