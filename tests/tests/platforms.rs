//! A few programs of `tests/diff` on the platform that is not the default.
//!
//! `tests/diff/run.sh -p ptrace NAME` does the same by hand.
#![forbid(unsafe_code)]

use runsc_tests::passes;
use std::time::Duration;

#[test]
fn ptrace_runs_guests() {
    let cases = [
        "hello",
        "mm_fork",
        "mm_mmap",
        "mm_busy",
        "futex_requeue",
        "futex_pi",
        "sig_stack",
        "sig_fpu",
        "sig_fault",
        "sig_restart",
        "proc_threads",
        "proc_exec",
        "ipc_pipe",
        "time_timer",
        "fs_rw@shm",
        "sock_stream",
        "rseq",
    ];
    let args = [&["-p", "ptrace"][..], &cases[..]].concat();
    let _ = passes("tests/diff/run.sh", &args, Duration::from_secs(150));
}
