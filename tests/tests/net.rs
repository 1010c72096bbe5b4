//! The network beyond the sandbox, over a veth; the cases are in `tests/net/run.sh`.
#![forbid(unsafe_code)]

use runsc_tests::passes;
use std::time::Duration;

/// One case of a script.
fn check(script: &str, case: &str) {
    let script = format!("tests/net/{script}");
    let output = passes(&script, &[case], Duration::from_secs(120));
    if output.starts_with("SKIP") {
        eprintln!("{output}");
    }
}

macro_rules! cases {
    ($script:literal: $($name:ident)*) => {
        $(#[test] fn $name() { check($script, stringify!($name)); })*
    };
}

cases!("run.sh": clean loss many tools);
