//! A quick selection of each suite that others wrote does at least as well as is expected.
//!
//! Needs the root of `scripts/make-suite-root`; where it is not there, a test says so and
//! passes. `tests/suites/run.sh -q NAME` does the same by hand.
#![forbid(unsafe_code)]

use runsc_tests::{run_script, runsc, top};
use std::time::Duration;

/// Status of a run that found no root.
const SKIPPED: i32 = 77;

fn check(suite: &str) {
    if let Err(why) = runsc() {
        panic!("{why}");
    }
    let script = top().join("tests/suites/run.sh");
    let outcome = run_script(&script, &["-e", "-q", suite], Duration::from_secs(300))
        .unwrap_or_else(|e| panic!("{e}"));
    match outcome.code {
        Some(0) => {}
        Some(SKIPPED) => println!("{}", outcome.output),
        code => panic!("{suite}: status {code:?}\n{}", outcome.output),
    }
}

#[test]
fn kselftest() {
    check("kselftest");
}

#[test]
fn libuv() {
    check("libuv");
}

#[test]
fn cpython() {
    check("cpython");
}

#[test]
fn sqlite() {
    check("sqlite");
}
