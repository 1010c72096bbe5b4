//! Rules about the source that a compiler does not check, as ratchets.
//!
//! `tests/style/counts.txt` holds how many exceptions each rule has today. A rule may
//! get better, never worse; `STYLE_UPDATE=1 cargo test -p runsc-tests --test style`
//! writes today's numbers, for when they have fallen.
#![forbid(unsafe_code)]

use runsc_tests::source::{SourceFile, files, functions};
use runsc_tests::top;
use std::fs;

/// Every folder with a crate of ours.
const CRATES: [&str; 6] = ["platform", "sentry", "syscalls", "gofer", "runsc", "tests"];
/// Crates whose code a guest reaches.
const GUEST_REACHABLE: [&str; 4] = ["platform", "sentry", "syscalls", "gofer"];
/// Crates that must not touch the host themselves.
const NO_HOST: [&str; 2] = ["sentry", "syscalls"];

/// Which of our crates each crate may depend on.
const EDGES: [(&str, &str, &[&str]); 9] = [
    ("abi", "syscalls/abi", &[]),
    ("guestmem", "platform/guestmem", &[]),
    ("netstack", "sentry/netstack", &[]),
    ("platform", "platform", &["guestmem"]),
    ("gofer", "gofer", &["abi"]),
    (
        "sentry",
        "sentry",
        &["abi", "guestmem", "netstack", "platform", "gofer"],
    ),
    (
        "syscalls",
        "syscalls",
        &["abi", "guestmem", "platform", "sentry"],
    ),
    (
        "runsc",
        "runsc",
        &["abi", "guestmem", "platform", "sentry", "syscalls", "gofer"],
    ),
    ("runsc-tests", "tests", &[]),
];

/// The code that ships of the given folders.
fn shipped(dirs: &[&str]) -> Vec<SourceFile> {
    dirs.iter()
        .flat_map(|d| files(d))
        .filter(|f| !f.is_test())
        .collect()
}

/// Compares what was found with the committed number for `rule`.
fn ratchet(rule: &str, found: &[String]) {
    let path = top().join("tests/style/counts.txt");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let number = |line: &str| {
        line.strip_prefix(rule)?
            .strip_prefix(' ')?
            .trim()
            .parse::<usize>()
            .ok()
    };
    let allowed = text.lines().find_map(number).unwrap_or(0);
    if std::env::var_os("STYLE_UPDATE").is_some() && found.len() < allowed {
        let new: String = text
            .lines()
            .map(|l| {
                if number(l).is_some() {
                    format!("{rule} {}\n", found.len())
                } else {
                    format!("{l}\n")
                }
            })
            .collect();
        fs::write(&path, new).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    assert!(
        found.len() <= allowed,
        "{rule}: {} where {allowed} are allowed (tests/style/counts.txt):\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn crates_depend_one_way() {
    let ours: Vec<&str> = EDGES.iter().map(|e| e.0).collect();
    let mut wrong = Vec::new();
    for (name, dir, allowed) in EDGES {
        let path = top().join(dir).join("Cargo.toml");
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut in_dependencies = false;
        for line in text.lines() {
            if line.starts_with('[') {
                in_dependencies = line == "[dependencies]" || line.ends_with(".dependencies]");
            }
            let key = line.split(['.', '=', ' ']).next().unwrap_or_default();
            if in_dependencies && ours.contains(&key) && !allowed.contains(&key) {
                wrong.push(format!("{name} -> {key}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "edges that are not in the design: {wrong:?}"
    );
}

#[test]
fn safe_crates_forbid_unsafe() {
    let mut found = Vec::new();
    for dir in ["syscalls/abi", "sentry/netstack", "sentry", "syscalls"] {
        let path = top().join(dir).join("src/lib.rs");
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        if !text.contains("#![forbid(unsafe_code)]") {
            found.push(dir.to_owned());
        }
    }
    ratchet("unsafe_not_forbidden", &found);
}

/// Whether `unsafe` may stand in this file.
fn unsafe_allowed(path: &str) -> bool {
    path.starts_with("platform/guestmem/")
        || (path.starts_with("platform/src/")
            && (path.ends_with("/raw.rs") || path.contains("/stub/")))
        || matches!(path, "gofer/src/sys.rs" | "runsc/src/sys.rs")
}

#[test]
fn unsafe_only_where_reviewed() {
    let found: Vec<String> = shipped(&CRATES)
        .iter()
        .filter(|f| !unsafe_allowed(&f.path))
        .flat_map(|f| f.find("unsafe "))
        .collect();
    ratchet("unsafe_elsewhere", &found);
}

#[test]
fn unsafe_says_why() {
    let mut found = Vec::new();
    for file in shipped(&CRATES) {
        let text: Vec<&str> = file.text.lines().collect();
        for (i, line) in file.code.lines().enumerate() {
            let block = line.contains("unsafe {") || line.contains("unsafe impl");
            let said = text[i.saturating_sub(8)..=i]
                .iter()
                .any(|l| l.contains("SAFETY:"));
            if block && !said {
                found.push(format!("{}:{}", file.path, i + 1));
            }
        }
    }
    ratchet("unsafe_without_reason", &found);
}

#[test]
fn files_are_short() {
    let long = |f: SourceFile| {
        let lines = f.text.lines().count();
        (lines > 800).then(|| format!("{} {lines}", f.path))
    };
    let found: Vec<String> = CRATES
        .iter()
        .flat_map(|d| files(d))
        .filter_map(long)
        .collect();
    ratchet("files_over_800_lines", &found);
}

#[test]
fn functions_are_short() {
    let long = |f: &SourceFile| -> Vec<String> {
        let all = functions(&f.code).into_iter();
        all.filter(|(_, n)| *n > 60)
            .map(|(name, n)| format!("{} {name} {n}", f.path))
            .collect()
    };
    let found: Vec<String> = shipped(&CRATES).iter().flat_map(long).collect();
    ratchet("functions_over_60_lines", &found);
}

#[test]
fn guests_cannot_panic_us() {
    let needles = [
        ".unwrap()",
        ".expect( ",
        "panic!(",
        "todo!(",
        "unimplemented!(",
        "unreachable!(",
        "assert!(",
        "assert_eq!(",
    ];
    let found: Vec<String> = shipped(&GUEST_REACHABLE)
        .iter()
        .filter(|f| !f.path.ends_with("/mock.rs"))
        .flat_map(|f| needles.iter().flat_map(|n| f.find(n)).collect::<Vec<_>>())
        .collect();
    ratchet("ways_to_panic", &found);
}

#[test]
fn the_kernel_does_not_touch_the_host() {
    // Types that only hold what was handed in (`std::os::fd`, `std::net::Ipv4Addr`) are fine.
    let needles = [
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "std::process",
        "process::Command",
        "std::env",
        "Instant::now",
        "SystemTime::now",
        "libc::",
        "nix::",
    ];
    let found: Vec<String> = shipped(&NO_HOST)
        .iter()
        .flat_map(|f| needles.iter().flat_map(|n| f.find(n)).collect::<Vec<_>>())
        .collect();
    ratchet("host_access", &found);
}

#[test]
fn modules_say_what_they_are() {
    let silent = |f: &SourceFile| {
        !f.text
            .lines()
            .find(|l| !l.trim().is_empty())
            .is_some_and(|l| l.starts_with("//!"))
    };
    let found: Vec<String> = CRATES
        .iter()
        .flat_map(|d| files(d))
        .filter(silent)
        .map(|f| f.path)
        .collect();
    ratchet("modules_without_a_word", &found);
}

#[test]
fn no_global_state() {
    let kinds = [
        "Mutex",
        "RwLock",
        "Atomic",
        "OnceLock",
        "LazyLock",
        "Cell",
        "OnceCell",
        "UnsafeCell",
    ];
    let mut found = Vec::new();
    for file in shipped(&CRATES) {
        for (i, line) in file.code.lines().enumerate() {
            let item = line
                .trim_start()
                .trim_start_matches("pub ")
                .trim_start_matches("pub(crate) ");
            let global = item.starts_with("static ")
                && (item.starts_with("static mut") || kinds.iter().any(|k| item.contains(k)));
            if global || item.starts_with("thread_local!") {
                found.push(format!("{}:{}", file.path, i + 1));
            }
        }
    }
    ratchet("globals", &found);
}

#[test]
fn nothing_is_left_to_do() {
    let words = ["TODO", "FIXME", "XXX", "HACK"];
    let mut found = Vec::new();
    for file in CRATES
        .iter()
        .flat_map(|d| files(d))
        .filter(|f| f.path != "tests/tests/style.rs")
    {
        for (i, line) in file.text.lines().enumerate() {
            if words
                .iter()
                .any(|w| line.split(|c: char| !c.is_alphanumeric()).any(|t| t == *w))
            {
                found.push(format!("{}:{}", file.path, i + 1));
            }
        }
    }
    ratchet("left_to_do", &found);
}

/// A row of THE table that has a handler, by name.
fn handled_rows() -> Vec<String> {
    let path = top().join("syscalls/src/table.rs");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let handled = |line: &str| {
        let mut words = line.split_whitespace();
        words.next()?.parse::<usize>().ok()?;
        let name = words.next()?;
        let support = words.next()?;
        (support == "Full" || support.starts_with("Partial")).then(|| name.to_owned())
    };
    text.lines().filter_map(handled).collect()
}

#[test]
fn every_handled_row_has_a_differential_line() {
    let dir = top().join("tests/diff");
    let programs: String = fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .filter_map(Result::ok)
        .filter(|e| e.path().extension().is_some_and(|x| x == "c"))
        .filter_map(|e| fs::read_to_string(e.path()).ok())
        .collect();
    let words: std::collections::HashSet<&str> = programs
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .collect();
    // Called by number in the programs, where the C library has no name for it.
    let by_number = ["fchmodat2", "futex_waitv", "epoll_pwait2", "rt_sigreturn"];
    let covered = |name: &String| {
        words.contains(name.as_str()) || words.contains(format!("SYS_{name}").as_str())
    };
    let bare: Vec<String> = handled_rows()
        .into_iter()
        .filter(|n| !covered(n) && !by_number.contains(&n.as_str()))
        .collect();
    ratchet("rows_without_a_differential_line", &bare);
}
