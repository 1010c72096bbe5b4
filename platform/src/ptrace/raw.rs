//! Host system calls on traced threads.
//!
//! Thin: each function is one request with its errno, see ptrace(2). All are for the thread
//! that traces. Neighbour: `tracer`.

use std::arch::global_asm;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use crate::regs::GpRegs;
use crate::systrap::raw as host;

const SEIZE: u32 = 0x4206;
const INTERRUPT: u32 = 0x4207;
const GET_REGSET: u32 = 0x4204;
const SET_REGSET: u32 = 0x4205;
const GET_SIGINFO: u32 = 0x4202;
const GET_SYSCALL_INFO: u32 = 0x420e;
/// System call stops are told from others; tracees die with the tracer.
const OPTIONS: usize = 1 | 0x0010_0000;
const NT_PRSTATUS: usize = 1;
const NT_X86_XSTATE: usize = 0x202;
const WAIT_NOTHREAD: i32 = 0x2000_0000;

/// How a stopped thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Go {
    /// Until a signal.
    Cont = 7,
    /// Until a signal or the next system call's entry or exit.
    Syscall = 24,
    /// Until a signal or a system call, which is not made.
    Sysemu = 31,
}

/// What stopped a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// A system call.
    Call,
    /// An interruption or a stop of its group.
    Event,
    /// A signal.
    Signal(i32),
    /// It has ended, of this signal or 0.
    Ended(u8),
}

/// What the host says of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// `si_code`.
    pub code: i32,
    /// `si_addr`, where the code says that there is one.
    pub addr: u64,
}

/// `struct ptrace_syscall_info` at an entry (linux/ptrace.h).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Call {
    op: u8,
    pad: [u8; 3],
    /// AUDIT_ARCH value.
    pub arch: u32,
    ip: u64,
    sp: u64,
    /// System call number.
    pub nr: u64,
    args: [u64; 6],
    rest: [u64; 2],
}

impl Call {
    /// Whether this is its operation: 1 at an entry, 2 at an exit.
    pub fn is(&self, op: u8) -> bool {
        self.op == op
    }
}

/// Makes a request.
///
/// # Safety
/// `data` must be what the request takes: a value, or the address of memory that it may
/// read or write as `addr` says.
unsafe fn request(nr: u32, tid: i32, addr: usize, data: usize) -> Result<i64, i32> {
    // SAFETY: the caller vouches for the arguments.
    let result = unsafe { libc::syscall(libc::SYS_ptrace, u64::from(nr), tid, addr, data) };
    if result < 0 {
        let error = std::io::Error::last_os_error();
        return Err(error.raw_os_error().unwrap_or(libc::EIO));
    }
    Ok(result)
}

/// Attaches to a thread without stopping it.
pub fn seize(tid: i32) -> Result<(), i32> {
    // SAFETY: the data are options.
    unsafe { request(SEIZE, tid, 0, OPTIONS) }.map(drop)
}

/// Has a running thread stop.
pub fn interrupt(tid: i32) -> Result<(), i32> {
    // SAFETY: nothing is passed.
    unsafe { request(INTERRUPT, tid, 0, 0) }.map(drop)
}

/// Lets a stopped thread go on, without the signal that stopped it.
pub fn go(tid: i32, how: Go) -> Result<(), i32> {
    // SAFETY: the data are a signal, none.
    unsafe { request(how as u32, tid, 0, 0) }.map(drop)
}

/// General registers.
pub fn regs(tid: i32) -> Result<GpRegs, i32> {
    let mut regs = GpRegs::default();
    let mut iov = libc::iovec {
        iov_base: (&raw mut regs).cast(),
        iov_len: size_of::<GpRegs>(),
    };
    // SAFETY: the vector describes a whole register file, any bytes of which are valid.
    unsafe { request(GET_REGSET, tid, NT_PRSTATUS, &raw mut iov as usize) }?;
    Ok(regs)
}

/// Sets general registers.
pub fn set_regs(tid: i32, regs: &GpRegs) -> Result<(), i32> {
    let mut iov = libc::iovec {
        iov_base: (&raw const *regs).cast_mut().cast(),
        iov_len: size_of::<GpRegs>(),
    };
    // SAFETY: the request only reads what the vector describes.
    unsafe { request(SET_REGSET, tid, NT_PRSTATUS, &raw mut iov as usize) }.map(drop)
}

/// Extended state, of at most `size` bytes.
pub fn xstate(tid: i32, size: usize) -> Result<Vec<u8>, i32> {
    let mut state = vec![0u8; size];
    let mut iov = libc::iovec {
        iov_base: state.as_mut_ptr().cast(),
        iov_len: state.len(),
    };
    // SAFETY: the vector describes the buffer.
    unsafe { request(GET_REGSET, tid, NT_X86_XSTATE, &raw mut iov as usize) }?;
    state.truncate(iov.iov_len);
    Ok(state)
}

/// Sets extended state.
pub fn set_xstate(tid: i32, state: &[u8]) -> Result<(), i32> {
    let mut iov = libc::iovec {
        iov_base: state.as_ptr().cast_mut().cast(),
        iov_len: state.len(),
    };
    // SAFETY: the request only reads what the vector describes.
    unsafe { request(SET_REGSET, tid, NT_X86_XSTATE, &raw mut iov as usize) }.map(drop)
}

/// The signal a thread is stopped by.
pub fn siginfo(tid: i32) -> Result<Info, i32> {
    // SAFETY: an all-zero siginfo is valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the request writes one siginfo.
    unsafe { request(GET_SIGINFO, tid, 0, &raw mut info as usize) }?;
    // SAFETY: the field lies within the siginfo, any bytes of which are valid there.
    let addr = unsafe { info.si_addr() } as u64;
    Ok(Info {
        code: info.si_code,
        addr,
    })
}

/// The call a thread is stopped in.
pub fn call(tid: i32) -> Result<Call, i32> {
    let mut call = Call::default();
    // SAFETY: the request writes at most as many bytes as it is told.
    unsafe {
        let size = size_of::<Call>();
        request(GET_SYSCALL_INFO, tid, size, &raw mut call as usize)
    }?;
    Ok(call)
}

fn decode(status: i32) -> Status {
    const EVENT_STOP: i32 = 128;
    if libc::WIFSIGNALED(status) {
        return Status::Ended(u8::try_from(libc::WTERMSIG(status)).unwrap_or(0));
    }
    if !libc::WIFSTOPPED(status) {
        return Status::Ended(0);
    }
    match libc::WSTOPSIG(status) {
        _ if status >> 16 == EVENT_STOP => Status::Event,
        signo if signo == libc::SIGTRAP | 0x80 => Status::Call,
        signo => Status::Signal(signo),
    }
}

fn wait(tid: i32, flags: i32) -> Option<(i32, Status)> {
    let mut status = 0;
    let flags = flags | libc::__WALL | WAIT_NOTHREAD;
    // SAFETY: room for a status is passed.
    let found = unsafe { libc::waitpid(tid, &raw mut status, flags) };
    (found > 0).then(|| (found, decode(status)))
}

global_asm!(
    ".globl ptrace_wait_begin",
    "ptrace_wait_begin:",
    "cmp dword ptr [rcx], 0",
    "je ptrace_wait_out",
    "xor r10d, r10d",
    "mov eax, 61",
    ".globl ptrace_wait_call",
    "ptrace_wait_call:",
    "syscall",
    "ret",
    ".globl ptrace_wait_out",
    "ptrace_wait_out:",
    "mov rax, -4",
    "ret",
);

unsafe extern "C" {
    /// `wait4(2)` without a usage, unless the word is 0 or `wake` came since it was looked at.
    fn ptrace_wait_begin(tid: i64, status: *mut i32, flags: i64, word: *const AtomicU32) -> i64;
    fn ptrace_wait_call();
    fn ptrace_wait_out();
}

/// Handler of [`WAKE`]: has a wait that is about to begin not begin, and one that would be
/// begun again neither.
unsafe extern "C" fn on_wake(_: i32, _: *const libc::siginfo_t, context: *mut libc::c_void) {
    let begin = ptrace_wait_begin as *const () as i64;
    let call = ptrace_wait_call as *const () as i64;
    // SAFETY: the host passes a ucontext of the thread that it has stopped, for us to change.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let [.., rip, _, _, _, _, _, _] = &mut context.uc_mcontext.gregs;
    if (begin..=call).contains(rip) {
        *rip = ptrace_wait_out as *const () as i64;
    }
}

/// The signal that ends a wait.
pub const WAKE: i32 = libc::SIGUSR2;

/// Installs the handler of [`WAKE`] and lets the caller, and threads it makes, receive it.
pub fn catch_wake() -> std::io::Result<()> {
    // SAFETY: an all-zero sigaction is valid, and the handler touches its context only.
    let done = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_wake as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        libc::sigaction(WAKE, &raw const action, std::ptr::null_mut())
    };
    if done != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

/// Waits for a change of any thread that the caller traces, while `word` is not 0. One who
/// sets it to 0 sends [`WAKE`] then.
pub fn wait_any(word: &AtomicU32) -> Result<(i32, Status), i32> {
    let mut status = 0;
    let flags = i64::from(libc::__WALL | WAIT_NOTHREAD);
    // SAFETY: room for a status and a word are passed.
    let found = unsafe { ptrace_wait_begin(-1, &raw mut status, flags, word) };
    match i32::try_from(found).unwrap_or(-libc::EINTR) {
        found if found > 0 => Ok((found, decode(status))),
        error => Err(error.saturating_neg()),
    }
}

/// The next change of a thread that the caller traces, if there is one.
pub fn changed() -> Option<(i32, Status)> {
    wait(-1, libc::WNOHANG)
}

/// A clock's timer as a descriptor.
pub fn timer() -> std::io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = unsafe {
        libc::timerfd_create(
            libc::CLOCK_MONOTONIC,
            libc::TFD_NONBLOCK | libc::TFD_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(host::adopt(fd))
}

/// Has a timer expire after this time, once.
pub fn set_timer(timer: BorrowedFd<'_>, after: Duration) {
    let after = after.max(Duration::from_nanos(1));
    let value = libc::itimerspec {
        it_interval: libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
        it_value: libc::timespec {
            tv_sec: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(after.subsec_nanos()),
        },
    };
    // SAFETY: the value is read only.
    let _ = unsafe {
        libc::timerfd_settime(timer.as_raw_fd(), 0, &raw const value, std::ptr::null_mut())
    };
}

/// Waits for a change of this thread.
pub fn wait_for(tid: i32) -> Option<Status> {
    wait(tid, 0).map(|(_, status)| status)
}

/// The caller's thread id.
pub fn own_tid() -> i32 {
    // SAFETY: no memory is passed.
    unsafe { libc::gettid() }
}
