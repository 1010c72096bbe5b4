//! The code that runs in a stub, and the making of the first one.
//!
//! One position-independent blob is copied to the base of the stub region. It holds the
//! *mapper* loop (executes the system calls listed in the read-only command pages and
//! replies on a pipe; it has no stack and keeps everything in registers, because guest code
//! shares its memory), the birth of guest threads, and the signal handler that rings the
//! doorbell. Nothing here is trusted with more than the guest itself may do: guest code can
//! jump to any byte of it, but its calls are judged by its own thread's filter.
//! Neighbours: `layout` (addresses), `filter` (what a thread may call).

use std::arch::global_asm;

use super::layout as l;
use super::raw::Window;

global_asm!(
    ".pushsection .rodata.systrap_stub,\"a\"",
    ".balign 4096",
    ".globl systrap_stub_start",
    "systrap_stub_start:",
    // ---- The mapper. r12 command pages, r13d last sequence number, ebp operations left,
    // rbx next operation, r14 a child's chunk, r15 the number of the call being made.
    ".globl systrap_stub_mapper",
    "systrap_stub_mapper:",
    "xor r13d, r13d",
    "lea r12, [rip + systrap_stub_start + {cmd}]",
    "20:",
    "mov eax, [r12 + {cmd_seq}]",
    "cmp eax, r13d",
    "jne 21f",
    "mov rdi, r12",
    "xor esi, esi",
    "mov edx, r13d",
    "xor r10d, r10d",
    "mov eax, 202",
    "syscall",
    "jmp 20b",
    "21:",
    "mov r13d, eax",
    "mov ebp, [r12 + {cmd_count}]",
    "mov r14, [r12 + {cmd_child}]",
    "lea rbx, [r12 + {cmd_ops}]",
    "22:",
    "test ebp, ebp",
    "jz 25f",
    "mov r15, [rbx]",
    "mov rdi, [rbx + 8]",
    "mov rsi, [rbx + 16]",
    "mov rdx, [rbx + 24]",
    "mov r10, [rbx + 32]",
    "mov r8, [rbx + 40]",
    "mov r9, [rbx + 48]",
    "mov rax, r15",
    "syscall",
    "cmp r15, 56",
    "je 27f",
    "23:",
    "cmp rax, -4095",
    "jae 26f",
    "24:",
    "add rbx, 64",
    "dec ebp",
    "jmp 22b",
    // The batch is done: reply 0.
    "25:",
    "lea rsi, [rip + systrap_stub_start + {table}]",
    "mov edi, {fd_reply}",
    "mov edx, 2",
    "mov eax, 1",
    "syscall",
    "jmp 20b",
    // A call failed: unless it may, reply its errno, then its index.
    "26:",
    "test qword ptr [rbx + 56], 1",
    "jnz 24b",
    "neg eax",
    "movzx eax, al",
    "lea rsi, [rip + systrap_stub_start + {table}]",
    "lea rsi, [rsi + rax * 2]",
    "mov edi, {fd_reply}",
    "mov edx, 2",
    "mov eax, 1",
    "syscall",
    "mov eax, [r12 + {cmd_count}]",
    "sub eax, ebp",
    "movzx eax, al",
    "lea rsi, [rip + systrap_stub_start + {table}]",
    "lea rsi, [rsi + rax * 2]",
    "mov edi, {fd_reply}",
    "mov edx, 2",
    "mov eax, 1",
    "syscall",
    "jmp 20b",
    // After a clone: in the parent of a new stub, reply its id byte by byte (256 + byte).
    "27:",
    "test rax, rax",
    "jz 29f",
    "js 23b",
    "cmp r9, {child_stub}",
    "jne 24b",
    "mov r8d, eax",
    "mov r9d, 4",
    "28:",
    "movzx eax, r8b",
    "lea rsi, [rip + systrap_stub_start + {table} + 512]",
    "lea rsi, [rsi + rax * 2]",
    "mov edi, {fd_reply}",
    "mov edx, 2",
    "mov eax, 1",
    "syscall",
    "shr r8d, 8",
    "dec r9d",
    "jnz 28b",
    "jmp 24b",
    "29:",
    "cmp r9, {child_stub}",
    "je 40f",
    // ---- A guest thread is born: rsp is the ucontext it starts from.
    "mov edi, 1",
    "mov esi, {filter_flags}",
    "lea rdx, [rip + systrap_stub_start + {guest_prog}]",
    "mov eax, 317",
    "syscall",
    "mov r8, rax",
    "lea rdi, [rip + systrap_stub_start + {ready}]",
    "test eax, eax",
    "js 30f",
    "inc eax",
    "30:",
    "mov [rdi], eax",
    "mov esi, 1",
    "mov edx, 1",
    "mov eax, 202",
    "syscall",
    "test r8, r8",
    "js 60f",
    "mov rdi, rsp",
    "xor esi, esi",
    "mov eax, {doorbell}",
    "syscall",
    ".globl systrap_stub_born_ip",
    "systrap_stub_born_ip:",
    "test eax, eax",
    "jnz 60f",
    "mov rcx, rsp",
    "and rcx, [rip + systrap_stub_start + {area_mask}]",
    "mov rdi, [rcx + {area_rseq}]",
    "test rdi, rdi",
    "jz 50f",
    "mov esi, [rcx + {area_rseq_len}]",
    "xor edx, edx",
    "mov r10d, [rcx + {area_rseq_sig}]",
    "mov eax, 334",
    "syscall",
    ".globl systrap_stub_rseq_ip",
    "systrap_stub_rseq_ip:",
    "test eax, eax",
    "jnz 60f",
    "jmp 50f",
    // ---- A new stub: its own pipe, socket and chunk, then the mapper loop.
    "40:",
    "mov edi, 1",
    "mov esi, 9",
    "mov eax, 157",
    "syscall",
    "mov eax, 110",
    "syscall",
    "cmp eax, [rip + systrap_stub_start + {parent}]",
    "jne 61f",
    "mov edi, {fd_free}",
    "mov esi, {fd_reply}",
    "xor edx, edx",
    "mov eax, 292",
    "syscall",
    "test rax, rax",
    "js 61f",
    "mov edi, {fd_free} + 1",
    "mov esi, {fd_socket}",
    "xor edx, edx",
    "mov eax, 292",
    "syscall",
    "test rax, rax",
    "js 61f",
    "mov edi, {fd_free}",
    "mov eax, 3",
    "syscall",
    "mov edi, {fd_free} + 1",
    "mov eax, 3",
    "syscall",
    "lea rdi, [rip + systrap_stub_start + {cmd}]",
    "mov esi, {cmd_len}",
    "mov edx, 1",
    "mov r10d, 0x11",
    "mov r8d, {fd_control}",
    "mov r9, r14",
    "mov eax, 9",
    "syscall",
    "cmp rax, -4095",
    "jae 61f",
    "lea rdi, [rip + systrap_stub_start + {cmd} + {cmd_len}]",
    "mov esi, {chunk} - {cmd_len}",
    "mov edx, 3",
    "mov r10d, 0x11",
    "mov r8d, {fd_control}",
    "lea r9, [r14 + {cmd_len}]",
    "mov eax, 9",
    "syscall",
    "cmp rax, -4095",
    "jae 61f",
    "lea rdi, [rip + systrap_stub_start + {extra}]",
    "mov esi, {extra_len}",
    "mov eax, 11",
    "syscall",
    "test rax, rax",
    "js 61f",
    "jmp systrap_stub_mapper",
    // ---- The signal handler: save the segment bases, ring the doorbell, return.
    ".globl systrap_stub_handler",
    "systrap_stub_handler:",
    "mov rcx, rsp",
    "and rcx, [rip + systrap_stub_start + {area_mask}]",
    "rdfsbase rax",
    "mov [rcx + {area_fs}], rax",
    "rdgsbase rax",
    "mov [rcx + {area_gs}], rax",
    "mov r9d, [rsi + 8]",
    "mov esi, edi",
    "mov rdi, rdx",
    "mov rdx, [rdi + 216]",
    "mov r10, [rdi + 192]",
    "mov r8, [rdi + 200]",
    // Where a worker looks for calls, it looks for bells too.
    "cmp qword ptr [rip + systrap_stub_start + {post_word}], 0",
    "je 53f",
    "lea rcx, [rip + systrap_stub_start + {post}]",
    "mov [rcx + {bell_args}], rdi",
    "mov [rcx + {bell_args} + 8], rsi",
    "mov [rcx + {bell_args} + 16], rdx",
    "mov [rcx + {bell_args} + 24], r10",
    "mov [rcx + {bell_args} + 32], r8",
    "mov [rcx + {bell_args} + 40], r9",
    "mov dword ptr [rcx + {bell}], {rung}",
    "mov r11d, {post_looks}",
    "51:",
    "cmp dword ptr [rcx + {bell}], {answered}",
    "je 54f",
    "pause",
    "dec r11d",
    "jnz 51b",
    // Nobody came in time: withdraw, or wait in the kernel if it was heard meanwhile.
    "mov eax, {rung}",
    "xor r11d, r11d",
    "lock cmpxchg [rcx + {bell}], r11d",
    "jz 53f",
    "cmp eax, {answered}",
    "je 54f",
    "mov eax, {waitbell}",
    "syscall",
    ".globl systrap_stub_bellwait_ip",
    "systrap_stub_bellwait_ip:",
    "mov dword ptr [rip + systrap_stub_start + {post} + {bell}], 0",
    "jmp 55f",
    "53:",
    "mov eax, {doorbell}",
    "syscall",
    ".globl systrap_stub_doorbell_ip",
    "systrap_stub_doorbell_ip:",
    "jmp 55f",
    "54:",
    "mov eax, [rcx + {bell_result}]",
    "mov dword ptr [rcx + {bell}], 0",
    "55:",
    "test eax, eax",
    "jnz 60f",
    "add rsp, 8",
    "50:",
    "mov rcx, rsp",
    "and rcx, [rip + systrap_stub_start + {area_mask}]",
    "mov rax, [rcx + {area_fs}]",
    "wrfsbase rax",
    "mov rax, [rcx + {area_gs}]",
    "wrgsbase rax",
    ".globl systrap_stub_restorer",
    "systrap_stub_restorer:",
    "mov eax, 15",
    "syscall",
    ".globl systrap_stub_sigreturn_ip",
    "systrap_stub_sigreturn_ip:",
    "hlt",
    // ---- Posting a call (jumped to from a patched site): rax the number, r11 the address
    // after the call's instruction; all else but rcx is the guest's. No stack is used.
    ".globl systrap_stub_post",
    "systrap_stub_post:",
    "lea rcx, [rip + systrap_stub_start + {post}]",
    "mov [rcx + {post_nr}], rax",
    "mov [rcx + {post_ret}], r11",
    ".globl systrap_stub_posting",
    "systrap_stub_posting:",
    "mov [rcx + {post_args}], rdi",
    "mov [rcx + {post_args} + 8], rsi",
    "mov [rcx + {post_args} + 16], rdx",
    "mov [rcx + {post_args} + 24], r10",
    "mov [rcx + {post_args} + 32], r8",
    "mov [rcx + {post_args} + 40], r9",
    "lahf",
    "seto al",
    "mov [rcx + {post_flags}], eax",
    "mov dword ptr [rcx + {post_state}], {posted}",
    "mov r11d, {post_looks}",
    "80:",
    "mov eax, [rcx + {post_state}]",
    "cmp eax, {post_done}",
    "je 84f",
    "ja 82f",
    "pause",
    "dec r11d",
    "jnz 80b",
    // Nobody came in time: withdraw, or wait in the kernel if it was taken meanwhile.
    "81:",
    "mov eax, {posted}",
    "xor r11d, r11d",
    "lock cmpxchg [rcx + {post_state}], r11d",
    "jz 85f",
    "cmp eax, {post_done}",
    "je 84f",
    "82:",
    "cmp eax, {post_fetch}",
    "je 86f",
    "cmp eax, {post_refused}",
    "je 85f",
    "mov eax, {waitbell}",
    "syscall",
    ".globl systrap_stub_wait_ip",
    "systrap_stub_wait_ip:",
    "lea rcx, [rip + systrap_stub_start + {post}]",
    "cmp dword ptr [rcx + {post_state}], {post_refused}",
    "je 85f",
    "cmp dword ptr [rcx + {post_state}], {post_fetch}",
    "je 86f",
    "mov [rcx + {post_result}], rax",
    // The result is there.
    "84:",
    "mov eax, [rcx + {post_flags}]",
    "add al, 0x7f",
    "sahf",
    "mov r11, [rcx + {post_ret}]",
    "mov rax, [rcx + {post_result}]",
    "mov dword ptr [rcx + {post_state}], 0",
    ".globl systrap_stub_post_out",
    "systrap_stub_post_out:",
    "jmp r11",
    // The call is to be made by the instruction itself.
    "85:",
    "mov eax, [rcx + {post_flags}]",
    "add al, 0x7f",
    "sahf",
    "mov dword ptr [rcx + {post_state}], 0",
    "mov r11, [rcx + {post_ret}]",
    "mov rax, [rcx + {post_nr}]",
    "lea r11, [r11 - 2]",
    ".globl systrap_stub_post_back",
    "systrap_stub_post_back:",
    "jmp r11",
    // The registers are wanted: a signal brings them. It comes back after the call.
    "86:",
    ".globl systrap_stub_fetch",
    "systrap_stub_fetch:",
    "ud2",
    ".globl systrap_stub_post_end",
    "systrap_stub_post_end:",
    // ---- End of this thread, of this process.
    "60:",
    "xor edi, edi",
    "mov eax, 60",
    "syscall",
    "hlt",
    "61:",
    "mov edi, 1",
    "mov eax, 231",
    "syscall",
    "hlt",
    // ---- Called once in the Sentry (C convention): makes the first stub. The process made
    // by the first clone would keep a registered rseq area that is about to vanish; a second
    // clone that shares the memory has none. Returns the id of the first, which exits.
    ".globl systrap_stub_spawn",
    "systrap_stub_spawn:",
    "mov edi, 17",
    "xor esi, esi",
    "xor edx, edx",
    "xor r10d, r10d",
    "xor r8d, r8d",
    "mov eax, 56",
    "syscall",
    "test rax, rax",
    "jz 70f",
    "ret",
    "70:",
    "mov edi, {spawn_flags}",
    "xor esi, esi",
    "lea rdx, [rip + systrap_stub_start + {first_tid}]",
    "xor r10d, r10d",
    "xor r8d, r8d",
    "mov eax, 56",
    "syscall",
    "test rax, rax",
    "jz systrap_stub_mapper",
    "jmp 61b",
    ".globl systrap_stub_end",
    "systrap_stub_end:",
    ".popsection",
    cmd = const l::CHUNK0,
    cmd_seq = const l::CMD_SEQ,
    cmd_count = const l::CMD_COUNT,
    cmd_child = const l::CMD_CHILD,
    cmd_ops = const l::CMD_OPS,
    cmd_len = const l::CMD_LEN,
    chunk = const l::CHUNK,
    extra = const l::EXTRA,
    extra_len = const l::EXTRA_LEN,
    table = const l::CONST_TABLE,
    guest_prog = const l::CONST_GUEST_PROG,
    parent = const l::CONST_PARENT,
    area_mask = const l::CONST_AREA_MASK,
    area_fs = const l::AREA_FS,
    area_gs = const l::AREA_GS,
    area_rseq = const l::AREA_RSEQ,
    area_rseq_len = const l::AREA_RSEQ_LEN,
    area_rseq_sig = const l::AREA_RSEQ_SIG,
    ready = const l::CHUNK0 + l::READY,
    first_tid = const l::CHUNK0 + l::FIRST_TID,
    fd_reply = const l::FD_REPLY,
    fd_socket = const l::FD_SOCKET,
    fd_control = const l::FD_CONTROL,
    fd_free = const l::FD_FREE,
    child_stub = const l::CHILD_STUB,
    doorbell = const l::DOORBELL,
    waitbell = const l::WAITBELL,
    post = const l::CHUNK0 + l::POST,
    post_state = const l::post::STATE,
    post_nr = const l::post::NR,
    post_args = const l::post::ARGS,
    post_ret = const l::post::RET,
    post_flags = const l::post::FLAGS,
    post_result = const l::post::RESULT,
    post_looks = const l::post::LOOKS,
    posted = const l::post::POSTED,
    post_done = const l::post::DONE,
    post_refused = const l::post::REFUSED,
    post_fetch = const l::post::FETCH,
    post_word = const l::CHUNK0 + l::WORDS + 8 * l::POST_WORD,
    bell = const l::post::BELL,
    bell_args = const l::post::BELL_ARGS,
    bell_result = const l::post::BELL_RESULT,
    rung = const l::post::RUNG,
    answered = const l::post::ANSWERED,
    filter_flags = const FILTER_FLAGS,
    spawn_flags = const SPAWN_FLAGS,
);

/// `SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`.
const FILTER_FLAGS: u32 = 8 | 32;
/// `CLONE_VM | CLONE_PARENT | CLONE_PARENT_SETTID | SIGCHLD`.
const SPAWN_FLAGS: u32 = 0x100 | 0x8000 | 0x10_0000 | 17;

unsafe extern "C" {
    safe static systrap_stub_start: u8;
    safe static systrap_stub_handler: u8;
    safe static systrap_stub_restorer: u8;
    safe static systrap_stub_sigreturn_ip: u8;
    safe static systrap_stub_doorbell_ip: u8;
    safe static systrap_stub_born_ip: u8;
    safe static systrap_stub_rseq_ip: u8;
    safe static systrap_stub_post: u8;
    safe static systrap_stub_posting: u8;
    safe static systrap_stub_wait_ip: u8;
    safe static systrap_stub_bellwait_ip: u8;
    safe static systrap_stub_fetch: u8;
    safe static systrap_stub_post_out: u8;
    safe static systrap_stub_post_back: u8;
    safe static systrap_stub_post_end: u8;
    safe static systrap_stub_spawn: u8;
    safe static systrap_stub_end: u8;
}

/// Offsets of the blob's entry points from its start, which is [`l::CODE`].
#[derive(Clone, Copy, Debug)]
pub struct Entries {
    /// Signal handler.
    pub handler: u64,
    /// Signal restorer.
    pub restorer: u64,
    /// The instruction after the only `rt_sigreturn` that is let through.
    pub sigreturn_ip: u64,
    /// The instruction after the handler's doorbell.
    pub doorbell_ip: u64,
    /// The instruction after a new thread's doorbell.
    pub born_ip: u64,
    /// The instruction after the only `rseq` that is let through.
    pub rseq_ip: u64,
    /// Where a call is posted.
    pub post: u64,
    /// Number and return address of the call are noted; rax is not its number any more from
    /// here on.
    pub posting: u64,
    /// The instruction after the call that waits for a result.
    pub wait_ip: u64,
    /// The instruction after the call that waits for a bell's result.
    pub bellwait_ip: u64,
    /// The instruction whose signal brings the registers of a posted call.
    pub fetch: u64,
    /// The jump with which a posted call returns.
    pub post_out: u64,
    /// The jump to the instruction that makes the call itself.
    pub post_back: u64,
    /// The end of the posting code.
    pub post_end: u64,
    spawn: u64,
}

fn offset(of: &'static u8) -> u64 {
    let start = &raw const systrap_stub_start as u64;
    (of as *const u8 as u64).wrapping_sub(start)
}

/// The blob's entry points.
#[must_use]
pub fn entries() -> Entries {
    Entries {
        handler: offset(&systrap_stub_handler),
        restorer: offset(&systrap_stub_restorer),
        sigreturn_ip: offset(&systrap_stub_sigreturn_ip),
        doorbell_ip: offset(&systrap_stub_doorbell_ip),
        born_ip: offset(&systrap_stub_born_ip),
        rseq_ip: offset(&systrap_stub_rseq_ip),
        post: offset(&systrap_stub_post),
        posting: offset(&systrap_stub_posting),
        wait_ip: offset(&systrap_stub_wait_ip),
        bellwait_ip: offset(&systrap_stub_bellwait_ip),
        fetch: offset(&systrap_stub_fetch),
        post_out: offset(&systrap_stub_post_out),
        post_back: offset(&systrap_stub_post_back),
        post_end: offset(&systrap_stub_post_end),
        spawn: offset(&systrap_stub_spawn),
    }
}

/// The blob itself.
#[must_use]
pub fn code() -> &'static [u8] {
    let len = usize::try_from(offset(&systrap_stub_end)).unwrap_or(0);
    // SAFETY: the bytes between the two labels are one read-only object of this program.
    unsafe { std::slice::from_raw_parts(&raw const systrap_stub_start, len) }
}

/// Makes the first stub from the image that stands at `base` in this process; returns the id
/// of the process in between (to be reaped) or the errno. `region` is the window over the
/// stub region, with code, constants and command pages in their places.
pub fn spawn_at(region: &Window, base: u64) -> Result<i32, i32> {
    let entry = base.wrapping_add(entries().spawn);
    if !region.is_at(base) {
        return Err(libc::EINVAL);
    }
    // SAFETY: the code there was copied from the blob; the function follows the C convention
    // (it uses no stack but its return address), and the child processes never return from
    // it: they run the mapper loop on the image and use nothing else of this process.
    let result = unsafe {
        let entry: extern "C" fn() -> i64 = std::mem::transmute(entry as *const u8);
        entry()
    };
    match i32::try_from(result) {
        Ok(pid) if pid > 0 => Ok(pid),
        Ok(errno) => Err(errno.saturating_neg()),
        Err(_) => Err(libc::EINVAL),
    }
}
