//! The support matrix, made from THE table.

use std::fmt::Write;

use crate::row::{Row, Support};
use crate::table::TABLE;

/// Rows Linux uses, with their numbers.
pub fn rows() -> impl Iterator<Item = (usize, &'static Row)> {
    TABLE.iter().enumerate().filter(|(_, r)| r.name != "unused")
}

/// The matrix as Markdown, as it lies in `docs/coverage.md`.
pub fn markdown() -> String {
    let count = |want: fn(&Support) -> bool| rows().filter(|(_, r)| want(&r.support)).count();
    let full = count(|s| matches!(s, Support::Full));
    let partial = count(|s| matches!(s, Support::Partial(_)));
    let missing = count(|s| matches!(s, Support::Missing(_)));
    let mut out = String::from(
        "# System calls\n\nMade from the table in `syscalls/src/table.rs`; a test fails when it is stale.\n\n",
    );
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "{full} full, {partial} partial, {missing} missing.\n\n| nr | call | support |\n|---:|---|---|\n"
    );
    for (nr, row) in rows() {
        let support = match row.support {
            Support::Full => "full".to_owned(),
            Support::Partial(what) => format!("partial: {what}"),
            Support::Missing(errno) => format!("missing ({})", errno.name()),
        };
        let _ = writeln!(out, "| {nr} | {} | {support} |", row.name);
    }
    out
}
