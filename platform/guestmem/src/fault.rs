//! The routines that may fault, and the signal handler that survives it.
//!
//! Each routine is a few instructions without a stack frame. The handler compares the
//! faulting instruction pointer with the routines' ranges and, on a match, continues at the
//! fix-up, which returns the failure to the caller. `rep movsb` keeps its progress in `rcx`
//! at a fault, so a copy knows to the byte how far it came.

use std::arch::global_asm;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

use crate::HostError;

global_asm!(
    ".pushsection .text.guestmem,\"ax\",@progbits",
    ".p2align 4",
    ".globl guestmem_copy",
    ".hidden guestmem_copy",
    ".globl guestmem_bulk_start",
    ".hidden guestmem_bulk_start",
    ".globl guestmem_fill",
    ".hidden guestmem_fill",
    ".globl guestmem_bulk_end",
    ".hidden guestmem_bulk_end",
    ".globl guestmem_bulk_fixup",
    ".hidden guestmem_bulk_fixup",
    ".globl guestmem_word_start",
    ".hidden guestmem_word_start",
    ".globl guestmem_load32",
    ".hidden guestmem_load32",
    ".globl guestmem_load64",
    ".hidden guestmem_load64",
    ".globl guestmem_swap32",
    ".hidden guestmem_swap32",
    ".globl guestmem_swap64",
    ".hidden guestmem_swap64",
    ".globl guestmem_add32",
    ".hidden guestmem_add32",
    ".globl guestmem_cas32",
    ".hidden guestmem_cas32",
    ".globl guestmem_cas64",
    ".hidden guestmem_cas64",
    ".globl guestmem_word_end",
    ".hidden guestmem_word_end",
    ".globl guestmem_word_fixup",
    ".hidden guestmem_word_fixup",
    // copy(dst, src, n) -> bytes left
    "guestmem_copy:",
    "mov rcx, rdx",
    "guestmem_bulk_start:",
    "rep movsb",
    "xor eax, eax",
    "ret",
    // fill(dst, byte, n) -> bytes left
    "guestmem_fill:",
    "mov rcx, rdx",
    "mov eax, esi",
    "rep stosb",
    "xor eax, eax",
    "ret",
    "guestmem_bulk_end:",
    "guestmem_bulk_fixup:",
    "mov rax, rcx",
    "ret",
    // Words: value in rax, 1 in rdx after a fault.
    "guestmem_word_start:",
    "guestmem_load32:",
    "xor edx, edx",
    "mov eax, [rdi]",
    "ret",
    "guestmem_load64:",
    "xor edx, edx",
    "mov rax, [rdi]",
    "ret",
    "guestmem_swap32:",
    "xor edx, edx",
    "mov eax, esi",
    "xchg [rdi], eax",
    "ret",
    "guestmem_swap64:",
    "xor edx, edx",
    "mov rax, rsi",
    "xchg [rdi], rax",
    "ret",
    "guestmem_add32:",
    "xor edx, edx",
    "mov eax, esi",
    "lock xadd [rdi], eax",
    "ret",
    "guestmem_cas32:",
    "mov eax, esi",
    "mov ecx, edx",
    "xor edx, edx",
    "lock cmpxchg [rdi], ecx",
    "ret",
    "guestmem_cas64:",
    "mov rax, rsi",
    "mov rcx, rdx",
    "xor edx, edx",
    "lock cmpxchg [rdi], rcx",
    "ret",
    "guestmem_word_end:",
    "guestmem_word_fixup:",
    "xor eax, eax",
    "mov edx, 1",
    "ret",
    ".popsection",
);

/// What a word routine returns: the value, and whether the access faulted (then nothing
/// was changed).
#[repr(C)]
pub(crate) struct Word {
    /// The value loaded, or the previous one.
    pub value: u64,
    /// 1 after a fault.
    pub faulted: u64,
}

unsafe extern "C" {
    /// Copies `n` bytes upwards; returns how many were not copied.
    pub(crate) fn guestmem_copy(dst: *mut u8, src: *const u8, n: usize) -> usize;
    /// Writes `n` bytes; returns how many were not written.
    pub(crate) fn guestmem_fill(dst: *mut u8, byte: u32, n: usize) -> usize;
    pub(crate) fn guestmem_load32(p: *const u8) -> Word;
    pub(crate) fn guestmem_load64(p: *const u8) -> Word;
    pub(crate) fn guestmem_swap32(p: *mut u8, new: u32) -> Word;
    pub(crate) fn guestmem_swap64(p: *mut u8, new: u64) -> Word;
    pub(crate) fn guestmem_add32(p: *mut u8, add: u32) -> Word;
    pub(crate) fn guestmem_cas32(p: *mut u8, old: u32, new: u32) -> Word;
    pub(crate) fn guestmem_cas64(p: *mut u8, old: u64, new: u64) -> Word;

    static guestmem_bulk_start: u8;
    static guestmem_bulk_end: u8;
    static guestmem_bulk_fixup: u8;
    static guestmem_word_start: u8;
    static guestmem_word_end: u8;
    static guestmem_word_fixup: u8;
}

/// Who handled SIGSEGV and SIGBUS before us. Process-wide because signal handlers are;
/// written once.
static PREVIOUS: OnceLock<[libc::sigaction; 2]> = OnceLock::new();

/// Where execution goes on after a fault at `ip`, if `ip` is in one of our routines.
fn fixup(ip: usize) -> Option<usize> {
    let table = [
        (
            &raw const guestmem_bulk_start,
            &raw const guestmem_bulk_end,
            &raw const guestmem_bulk_fixup,
        ),
        (
            &raw const guestmem_word_start,
            &raw const guestmem_word_end,
            &raw const guestmem_word_fixup,
        ),
    ];
    table
        .iter()
        .find(|(start, end, _)| (start.addr()..end.addr()).contains(&ip))
        .map(|(_, _, fix)| fix.addr())
}

/// Does what the process would have done without us.
fn pass_on(signo: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let index = usize::from(signo == libc::SIGBUS);
    let Some(old) = PREVIOUS.get().and_then(|all| all.get(index)) else {
        return;
    };
    match old.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: `old` is a valid action obtained from the host; sigaction is
            // async-signal-safe. The fault repeats when we return and ends the process.
            unsafe { libc::sigaction(signo, &raw const *old, std::ptr::null_mut()) };
        }
        handler if old.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: the action was registered with SA_SIGINFO, so the address is a
            // function of this type.
            let call: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                unsafe { std::mem::transmute(handler) };
            call(signo, info, context);
        }
        handler => {
            // SAFETY: registered without SA_SIGINFO, so it takes the number alone.
            let call: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(handler) };
            call(signo);
        }
    }
}

/// Handler of SIGSEGV and SIGBUS.
extern "C" fn on_fault(signo: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let uc = context.cast::<libc::ucontext_t>();
    // SAFETY: with SA_SIGINFO the third argument points to the ucontext of the interrupted
    // thread, which nobody else uses while the handler runs.
    let rip = unsafe { &mut (*uc).uc_mcontext.gregs[libc::REG_RIP as usize] };
    match fixup(*rip as usize) {
        Some(to) => *rip = to as i64,
        None => pass_on(signo, info, context),
    }
}

/// Result of the installation, which happens once a process.
static INSTALLED: OnceLock<Result<(), HostError>> = OnceLock::new();

/// Installs the handler that makes accesses through [`crate::Slice`] survive faults. Called
/// at start; further calls do nothing. SIGSEGV and SIGBUS must not be blocked in threads
/// that touch guest memory.
pub fn install_handler() -> Result<(), HostError> {
    *INSTALLED.get_or_init(install)
}

/// Remembers the handlers there are and puts ours in their place.
fn install() -> Result<(), HostError> {
    let signals = [libc::SIGSEGV, libc::SIGBUS];
    let mut old = [MaybeUninit::<libc::sigaction>::zeroed(); 2];
    for (sig, slot) in signals.iter().zip(old.iter_mut()) {
        // SAFETY: a null new action only queries; `slot` is writable.
        if unsafe { libc::sigaction(*sig, std::ptr::null(), slot.as_mut_ptr()) } != 0 {
            return Err(HostError::last());
        }
    }
    // SAFETY: both were filled in by the host (and all-zero is a valid sigaction too).
    let old = old.map(|slot| unsafe { slot.assume_init() });
    if PREVIOUS.set(old).is_err() {
        return Ok(());
    }
    for sig in signals {
        // SAFETY: all-zero is a valid sigaction (SIG_DFL, empty mask).
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: `action` is a complete action whose handler is async-signal-safe.
        if unsafe { libc::sigaction(sig, &raw const action, std::ptr::null_mut()) } != 0 {
            return Err(HostError::last());
        }
    }
    Ok(())
}
