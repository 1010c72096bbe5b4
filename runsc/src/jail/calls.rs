//! The host calls the Sentry may make, each with its reason. Whatever is not here kills
//! the sandbox.

/// A call and what its arguments must be.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Host call number.
    pub nr: i64,
    /// Its arguments.
    pub args: Args,
    /// Why the Sentry needs it.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "read by people and by the test")
    )]
    pub why: &'static str,
}

/// What a call's arguments must be.
#[derive(Clone, Copy, Debug)]
pub enum Args {
    /// Harmless with any.
    Any,
    /// One of the alternatives holds whole.
    One(&'static [&'static [Check]]),
}

/// A condition on one argument (by index).
#[derive(Clone, Copy, Debug)]
pub enum Check {
    /// Its low 32 bits are this.
    Is(u8, u64),
    /// It has no bit outside this mask.
    Within(u8, u64),
    /// The bits of the mask (first) are these (second).
    Masked(u8, u64, u64),
}

use Check::{Is, Masked, Within};

const fn any(nr: i64, why: &'static str) -> Row {
    Row {
        nr,
        args: Args::Any,
        why,
    }
}

const fn one(nr: i64, alternatives: &'static [&'static [Check]], why: &'static str) -> Row {
    Row {
        nr,
        args: Args::One(alternatives),
        why,
    }
}

const RW: u64 = (libc::PROT_READ | libc::PROT_WRITE) as u64;
/// Flags that every thread the C library makes has, and no namespace flag.
const THREAD: u64 = (libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_CLEARTID) as u64;

/// Seccomp notification ioctls: `_IOWR('!', n, …)` of `<linux/seccomp.h>`.
const NOTIF_RECV: u64 = 0xc050_2100;
const NOTIF_SEND: u64 = 0xc018_2101;
const NOTIF_ID_VALID: u64 = 0x4008_2102;
const NOTIF_SET_FLAGS: u64 = 0x4008_2104;

/// The list.
pub const ALLOWED: &[Row] = &[
    // Guests.
    one(
        libc::SYS_ioctl,
        &[
            &[Is(1, NOTIF_RECV)],
            &[Is(1, NOTIF_SEND)],
            &[Is(1, NOTIF_ID_VALID)],
            &[Is(1, NOTIF_SET_FLAGS)],
            &[Is(1, libc::FIONREAD)],
            &[Is(1, libc::TIOCGWINSZ)],
            &[Is(1, libc::TIOCSWINSZ)],
        ],
        "seccomp notifications; queue length and window size of stdio",
    ),
    any(libc::SYS_epoll_wait, "wait for guest events"),
    any(
        libc::SYS_epoll_pwait2,
        "wait for guest events with a timeout",
    ),
    any(
        libc::SYS_epoll_create1,
        "the wait set of a guest's watched descriptors",
    ),
    any(libc::SYS_epoll_ctl, "listeners and descriptors of a worker"),
    one(
        libc::SYS_futex,
        // WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, WAIT_BITSET, WAKE_BITSET, with PRIVATE
        // and CLOCK_REALTIME.
        &[
            &[Masked(1, !0x180, 0)],
            &[Masked(1, !0x180, 1)],
            &[Masked(1, !0x180, 3)],
            &[Masked(1, !0x180, 4)],
            &[Masked(1, !0x180, 5)],
            &[Masked(1, !0x180, 9)],
            &[Masked(1, !0x180, 10)],
        ],
        "locks; wake a stub's mapper",
    ),
    any(libc::SYS_tgkill, "interrupt a guest thread"),
    any(libc::SYS_kill, "kill a stub that could not be entered"),
    any(libc::SYS_wait4, "reap a stub that could not be entered"),
    any(libc::SYS_waitid, "reap stubs"),
    any(libc::SYS_pidfd_open, "a stub's pidfd"),
    any(libc::SYS_pidfd_getfd, "a guest thread's listener"),
    any(libc::SYS_pidfd_send_signal, "kill a stub"),
    any(
        libc::SYS_restart_syscall,
        "a wait goes on after the host stopped and continued us",
    ),
    any(libc::SYS_gettid, "a thread pins itself by its number"),
    any(libc::SYS_sched_setaffinity, "bind workers and mappers"),
    any(libc::SYS_pipe2, "a new stub's reply pipe"),
    one(
        libc::SYS_socketpair,
        &[&[Is(0, libc::AF_UNIX as u64)]],
        "a new stub's socket for descriptors",
    ),
    any(libc::SYS_getcpu, "where rseq and vDSO cannot tell"),
    // Memory.
    one(
        libc::SYS_mmap,
        &[&[Within(2, RW)]],
        "guest memory windows, the heap, thread stacks; never executable",
    ),
    any(libc::SYS_munmap, "the same"),
    one(
        libc::SYS_mprotect,
        &[&[Within(2, RW)]],
        "heap and stack guards; never executable",
    ),
    any(libc::SYS_mremap, "the heap"),
    any(libc::SYS_brk, "the heap"),
    one(
        libc::SYS_madvise,
        &[
            &[Is(2, libc::MADV_DONTNEED as u64)],
            &[Is(2, libc::MADV_FREE as u64)],
            &[Is(2, libc::MADV_HUGEPAGE as u64)],
            &[Is(2, libc::MADV_NOHUGEPAGE as u64)],
            &[Is(2, libc::MADV_REMOVE as u64)],
            &[Is(2, libc::MADV_POPULATE_READ as u64)],
            &[Is(2, libc::MADV_POPULATE_WRITE as u64)],
            &[Is(2, libc::MADV_DONTDUMP as u64)],
            &[Is(2, libc::MADV_DONTFORK as u64)],
        ],
        "give memory back; huge pages; populate",
    ),
    any(
        libc::SYS_fallocate,
        "punch and reserve in the memory file and donated files",
    ),
    // Donated files and the caller's stdio.
    any(libc::SYS_read, "files, pipes, terminals, counters"),
    any(libc::SYS_write, "the same"),
    any(libc::SYS_readv, "the same"),
    any(libc::SYS_writev, "the same"),
    any(libc::SYS_pread64, "donated files"),
    any(libc::SYS_pwrite64, "donated files"),
    any(libc::SYS_preadv, "donated files into guest memory"),
    any(libc::SYS_pwritev, "guest memory into donated files"),
    any(
        libc::SYS_lseek,
        "holes and data; positions of the caller's stdio",
    ),
    any(libc::SYS_ftruncate, "sizes of donated files"),
    any(libc::SYS_fstat, "donated files and stdio"),
    one(
        libc::SYS_newfstatat,
        &[&[Is(3, libc::AT_EMPTY_PATH as u64)]],
        "how the C library spells fstat",
    ),
    any(libc::SYS_fsync, "donated files"),
    any(libc::SYS_fdatasync, "donated files"),
    any(libc::SYS_close, "descriptors"),
    one(
        libc::SYS_fcntl,
        &[
            &[Is(1, libc::F_DUPFD_CLOEXEC as u64)],
            &[Is(1, libc::F_GETFD as u64)],
            &[Is(1, libc::F_GETFL as u64)],
            &[Is(1, libc::F_SETFL as u64)],
        ],
        "duplicates and flags of descriptors",
    ),
    // The gofer and the control socket.
    any(
        libc::SYS_sendmsg,
        "messages with descriptors on connected sockets",
    ),
    any(libc::SYS_recvmsg, "the same"),
    any(libc::SYS_accept4, "the control socket"),
    any(libc::SYS_poll, "the control loop"),
    any(libc::SYS_ppoll, "whether a descriptor is ready"),
    // Threads, time, the C library.
    one(
        libc::SYS_clone,
        &[&[
            Masked(0, !(THREAD | 0x0100_0000), 0),
            Masked(0, THREAD, THREAD),
        ]],
        "threads of this process, nothing else",
    ),
    any(
        libc::SYS_clone3,
        "answered ENOSYS by the filter of refusals",
    ),
    one(
        libc::SYS_prctl,
        &[&[Is(0, libc::PR_SET_NAME as u64)]],
        "thread names",
    ),
    any(
        libc::SYS_sigaltstack,
        "a stack for overflow reports of a new thread",
    ),
    any(libc::SYS_rt_sigprocmask, "a new thread's mask"),
    any(libc::SYS_rseq, "a new thread's restartable sequences"),
    any(libc::SYS_set_robust_list, "a new thread's robust futexes"),
    any(libc::SYS_sched_getaffinity, "a new thread's stack bounds"),
    any(
        libc::SYS_rt_sigreturn,
        "return from the handler of guest memory faults",
    ),
    any(libc::SYS_sched_yield, "contended locks"),
    any(
        libc::SYS_clock_gettime,
        "clocks that the vDSO does not serve",
    ),
    any(libc::SYS_getrandom, "keys and the guest's random bytes"),
    any(libc::SYS_exit, "end of a thread"),
    any(libc::SYS_exit_group, "end of the sandbox"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_unique_and_have_a_reason() {
        let mut seen = std::collections::BTreeSet::new();
        for row in ALLOWED {
            assert!(seen.insert(row.nr), "call {} twice", row.nr);
            assert!(!row.why.is_empty());
        }
    }

    #[test]
    fn the_platform_has_what_it_needs() {
        for (nr, why) in platform::systrap::HOST_SYSCALLS {
            assert!(ALLOWED.iter().any(|row| row.nr == *nr), "{nr}: {why}");
        }
    }
}
