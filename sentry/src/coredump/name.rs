//! The name of a core file (`core(5)`, "Naming of core dump files").

use std::fmt::Write;

use crate::task::Task;
use crate::task::limits::Resource;

/// The pattern's setting under `/proc/sys`.
const PATTERN: &str = "kernel/core_pattern";
/// Whether `.PID` is added to a pattern without `%p`.
const USES_PID: &str = "kernel/core_uses_pid";

/// The file's name by the pattern in force; `None` for patterns that start a program, which
/// is not done here, and for empty ones.
pub fn of(t: &Task, signal: u8) -> Option<Vec<u8>> {
    let pattern = t
        .kernel
        .sysctl(PATTERN)
        .unwrap_or_else(|| "core".to_owned());
    if pattern.is_empty() || pattern.starts_with('|') {
        return None;
    }
    let mut name = String::new();
    let mut has_pid = false;
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            name.push(c);
            continue;
        }
        match chars.next() {
            Some(c) => {
                has_pid |= c == 'p';
                specifier(t, c, signal, &mut name);
            }
            None => break,
        }
    }
    let uses_pid = t.kernel.sysctl(USES_PID).is_some_and(|v| v != "0");
    if uses_pid && !has_pid {
        let _ = write!(name, ".{}", t.pid());
    }
    (name.len() < abi::PATH_MAX).then(|| name.into_bytes())
}

fn specifier(t: &Task, c: char, signal: u8, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = match c {
        '%' => write!(out, "%"),
        'p' => write!(out, "{}", t.pid()),
        'P' => write!(out, "{}", t.thread_group().id.outermost()),
        'i' => write!(out, "{}", t.tid()),
        'I' => write!(out, "{}", t.id().outermost()),
        'u' => write!(out, "{}", t.creds().uid),
        'g' => write!(out, "{}", t.creds().gid),
        'd' => write!(out, "{}", u8::from(t.thread_group().dumpable())),
        's' => write!(out, "{signal}"),
        't' => write!(out, "{}", t.kernel.clock.realtime().as_secs()),
        'c' => write!(out, "{}", t.limit(Resource::Core)),
        'C' => write!(out, "0"),
        'h' => write!(out, "{}", flat(&t.uts().hostname())),
        'e' => write!(out, "{}", flat(&t.comm())),
        'f' | 'E' => {
            let exe = t
                .exe()
                .and_then(|e| e.path().map(|p| p.text(&t.fs().root())));
            let exe = exe.unwrap_or_else(|| t.comm());
            let name = match c {
                'E' => exe,
                _ => exe
                    .rsplit(|b| *b == b'/')
                    .next()
                    .unwrap_or_default()
                    .to_vec(),
            };
            write!(out, "{}", flat(&name))
        }
        _ => Ok(()),
    };
}

/// A name without slashes.
fn flat(name: &[u8]) -> String {
    String::from_utf8_lossy(name).replace('/', "!")
}
