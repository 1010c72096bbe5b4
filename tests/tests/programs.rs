//! Each script of `tests/programs` prints the same natively and in the sandbox.
//!
//! `tests/programs/run.sh NAME` does the same by hand.
#![forbid(unsafe_code)]

use runsc_tests::passes;
use std::time::Duration;

/// Runs one program in both worlds and fails with the difference.
fn check(case: &str) {
    let _ = passes("tests/programs/run.sh", &[case], Duration::from_secs(900));
}

include!(concat!(env!("OUT_DIR"), "/program_cases.rs"));
