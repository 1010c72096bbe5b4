//! Each program of `tests/diff` prints the same natively and in the sandbox.
//!
//! `tests/diff/run.sh NAME` does the same by hand; it says what it compares.
#![forbid(unsafe_code)]

use runsc_tests::{run_script, runsc, top};
use std::time::Duration;

/// Runs one program in both worlds and fails with the difference.
fn check(case: &str) {
    if let Err(why) = runsc() {
        panic!("{why}");
    }
    let script = top().join("tests/diff/run.sh");
    let outcome =
        run_script(&script, &[case], Duration::from_secs(150)).unwrap_or_else(|e| panic!("{e}"));
    assert!(
        outcome.code == Some(0),
        "{case}: status {:?}\n{}",
        outcome.code,
        outcome.output
    );
}

include!(concat!(env!("OUT_DIR"), "/diff_cases.rs"));
