//! Each program of `tests/diff` prints the same natively and in the sandbox.
//!
//! `tests/diff/run.sh NAME` does the same by hand; it says what it compares.
#![forbid(unsafe_code)]

use runsc_tests::passes;
use std::time::Duration;

/// Runs one program in both worlds and fails with the difference.
fn check(case: &str) {
    let _ = passes("tests/diff/run.sh", &[case], Duration::from_secs(150));
}

include!(concat!(env!("OUT_DIR"), "/diff_cases.rs"));
