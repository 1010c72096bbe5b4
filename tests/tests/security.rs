//! Hostile guests (`tests/security/wild.c`, `post.c`, `plausible.c`) never take the Sentry down.
//!
//! Each mode runs in a container of its own with fixed seeds; the container must come
//! to its normal end. `tests/security/run.sh MODE SEED` does the same by hand.
#![forbid(unsafe_code)]

use runsc_tests::passes;
use std::time::Duration;

/// One container: `mode` with `seed`.
fn wild(mode: &str, seed: &str) {
    let _ = passes(
        "tests/security/run.sh",
        &[mode, seed],
        Duration::from_secs(240),
    );
}

macro_rules! wild_tests {
    ($($name:ident $mode:literal $seed:literal;)*) => {
        $(#[test] fn $name() { wild($mode, $seed); })*
    };
}

wild_tests! {
    jump_1 "jump" "1";
    jump_2 "jump" "2";
    bytes_1 "bytes" "1";
    bytes_2 "bytes" "2";
    calls_1 "calls" "1";
    calls_2 "calls" "2";
    pointers_1 "pointers" "1";
    pointers_2 "pointers" "2";
    frames_1 "frames" "1";
    memory_1 "memory" "1";
    memory_2 "memory" "2";
    threads_1 "threads" "1";
    threads_2 "threads" "2";
    post_1 "post" "1";
    post_2 "post" "2";
    plausible_1 "plausible" "1";
    plausible_2 "plausible" "2";
    plausible_3 "plausible" "3";
}

/// A script of `tests/security` that ends well within the time.
fn ends_well(script: &str, args: &[&str]) {
    let script = format!("tests/security/{script}");
    let _ = passes(&script, args, Duration::from_secs(120));
}

#[test]
fn no_byte_is_lost_under_load() {
    ends_well("load.sh", &["8"]);
}

#[test]
fn no_byte_is_lost_by_stops_and_freezes() {
    for seed in ["1", "2", "3"] {
        ends_well("shake.sh", &["8", seed]);
    }
}

#[test]
fn a_slow_gofer_delays_nobody_else() {
    ends_well("slow.sh", &[]);
}
