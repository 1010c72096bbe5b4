//! Lists the cases on disk as `#[test]` functions, so that each has a name of its own.
//!
//! `tests/diff/*.c` becomes `diff_cases.rs`, `tests/programs/*.sh` `program_cases.rs`.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

/// The names, without ending, of the files of `dir` that end in `.ending`, sorted.
fn names(dir: &str, ending: &str) -> Vec<String> {
    println!("cargo::rerun-if-changed={dir}");
    let mut names: Vec<String> = fs::read_dir(dir)
        .map(|entries| {
            entries
                .filter_map(Result::ok)
                .filter_map(|e| e.file_name().into_string().ok())
                .filter_map(|n| n.strip_suffix(&format!(".{ending}")).map(str::to_owned))
                .filter(|n| n != "run" && n != "lib")
                // Thousands of answers that follow the host's kernel to its version, limits and
                // security modules: compared by hand, on a host like ours.
                .filter(|n| !n.starts_with("net_options"))
                .collect()
        })
        .unwrap_or_default();
    names.sort();
    names
}

/// One test function calling `runner(name)`; `places` are appended as `name@place`.
fn write_cases(out: &str, cases: &[(String, String)], runner: &str) {
    let mut text = String::new();
    for (ident, arg) in cases {
        let _ = writeln!(
            text,
            "#[test]\nfn {ident}() {{\n    {runner}(\"{arg}\");\n}}"
        );
    }
    let dir = env::var("OUT_DIR").unwrap_or_default();
    if let Err(e) = fs::write(Path::new(&dir).join(out), text) {
        println!("cargo::error=cannot write {out}: {e}");
    }
}

fn main() {
    let mut diff = Vec::new();
    for name in names("diff", "c") {
        // File system programs run on the container's root and on a tmpfs.
        let places: &[&str] = if name.starts_with("fs_") {
            &["root", "shm"]
        } else {
            &["root"]
        };
        for place in places {
            diff.push((format!("{name}_{place}"), format!("{name}@{place}")));
        }
    }
    write_cases("diff_cases.rs", &diff, "check");
    let programs: Vec<(String, String)> = names("programs", "sh")
        .into_iter()
        .map(|n| (n.clone(), n))
        .collect();
    write_cases("program_cases.rs", &programs, "check");
}
