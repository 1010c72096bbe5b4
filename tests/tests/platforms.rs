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
        "futex_requeue",
        "sig_stack",
        "sig_fpu",
        "proc_threads",
    ];
    let args = [&["-p", "ptrace"][..], &cases[..]].concat();
    let _ = passes("tests/diff/run.sh", &args, Duration::from_secs(150));
}
