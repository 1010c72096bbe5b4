//! The life of a container by the command line; the cases are in `tests/oci/run.sh`.
#![forbid(unsafe_code)]

use runsc_tests::passes;
use std::time::Duration;

/// One case of the script.
fn check(case: &str) {
    let _ = passes("tests/oci/run.sh", &[case], Duration::from_secs(180));
}

macro_rules! cases {
    ($($name:ident)*) => {
        $(#[test] fn $name() { check(stringify!($name)); })*
    };
}

cases! {
    run bad_bundle bad_program life killed detach exec pause config files spec strace
    hooks update ignore_cgroups namespaces joins seccomp install doctor profile
}

#[test]
fn do_runs_over_the_host() {
    check("do");
}
