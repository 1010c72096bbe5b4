//! The life of a container by the command line; the cases are in `tests/oci/run.sh`.
#![forbid(unsafe_code)]

use runsc_tests::{run_script, runsc, top};
use std::time::Duration;

/// One case of the script.
fn check(case: &str) {
    if let Err(why) = runsc() {
        panic!("{why}");
    }
    let script = top().join("tests/oci/run.sh");
    let outcome =
        run_script(&script, &[case], Duration::from_secs(180)).unwrap_or_else(|e| panic!("{e}"));
    assert!(
        outcome.code == Some(0),
        "{case}: status {:?}\n{}",
        outcome.code,
        outcome.output
    );
}

macro_rules! cases {
    ($($name:ident)*) => {
        $(#[test] fn $name() { check(stringify!($name)); })*
    };
}

cases! {
    run bad_bundle bad_program life killed detach exec pause config files spec strace
    hooks update ignore_cgroups namespaces joins seccomp
}

#[test]
fn do_runs_over_the_host() {
    check("do");
}
