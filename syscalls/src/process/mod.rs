//! Calls on tasks, processes and credentials.

pub mod arch_prctl;
pub mod capget;
pub mod clone;
pub mod execve;
pub mod exit;
pub mod futex;
pub mod futex_waitv;
pub mod getpid;
pub mod groups;
pub mod kcmp;
pub mod pidfd;
pub mod prctl;
pub mod process_madvise;
pub mod process_vm;
pub mod ptrace;
pub mod rlimit;
pub mod rusage;
pub mod seccomp;
pub mod setns;
pub mod setsid;
pub mod setuid;
pub mod unshare;
pub mod wait4;
