//! The network beyond the sandbox, over a veth; the cases are in `tests/net/run.sh`.
#![forbid(unsafe_code)]

use runsc_tests::{run_script, runsc, top};
use std::time::Duration;

/// One case of a script.
fn check(script: &str, case: &str) {
    if let Err(why) = runsc() {
        panic!("{why}");
    }
    let path = top().join("tests/net").join(script);
    let outcome =
        run_script(&path, &[case], Duration::from_secs(120)).unwrap_or_else(|e| panic!("{e}"));
    assert!(
        outcome.code == Some(0),
        "{script} {case}: status {:?}\n{}",
        outcome.code,
        outcome.output
    );
    if outcome.output.starts_with("SKIP") {
        eprintln!("{}", outcome.output);
    }
}

macro_rules! cases {
    ($script:literal: $($name:ident)*) => {
        $(#[test] fn $name() { check($script, stringify!($name)); })*
    };
}

cases!("run.sh": clean loss many tools);
