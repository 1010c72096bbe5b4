//! `docs/coverage.md` says what the table says. `COVERAGE_UPDATE=1` writes it anew.

use std::path::Path;

#[test]
fn the_support_matrix_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/coverage.md");
    let made = syscalls::coverage::markdown();
    if std::env::var_os("COVERAGE_UPDATE").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == made,
        "docs/coverage.md is stale: run with COVERAGE_UPDATE=1"
    );
}
