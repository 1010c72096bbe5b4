//! Each script of `tests/programs` prints the same natively and in the sandbox.
//!
//! `tests/programs/run.sh NAME` does the same by hand.
#![forbid(unsafe_code)]

use runsc_tests::{run_script, runsc, top};
use std::time::Duration;

/// Runs one program in both worlds and fails with the difference.
fn check(case: &str) {
    if let Err(why) = runsc() {
        panic!("{why}");
    }
    let script = top().join("tests/programs/run.sh");
    let outcome =
        run_script(&script, &[case], Duration::from_secs(900)).unwrap_or_else(|e| panic!("{e}"));
    assert!(
        outcome.code == Some(0),
        "{case}: status {:?}\n{}",
        outcome.code,
        outcome.output
    );
}

include!(concat!(env!("OUT_DIR"), "/program_cases.rs"));
