//! What the system tests share: where things are, and running a script with a time limit.
//!
//! The tests themselves are in `tests/tests/`; the cases in `tests/diff`, `tests/programs`
//! and `tests/security` are found by `build.rs`.
#![forbid(unsafe_code)]

pub mod source;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The repository's root.
#[must_use]
pub fn top() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// The runsc under test: `$RUNSC`, else the release build, else the debug build.
///
/// # Errors
/// A text that says what to do when there is none.
pub fn runsc() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("RUNSC") {
        return Ok(PathBuf::from(path));
    }
    let found = ["release", "debug"]
        .iter()
        .map(|kind| top().join("target").join(kind).join("runsc"))
        .find(|path| path.exists());
    found.ok_or_else(|| "no runsc: run `cargo build --release -p runsc`, or set RUNSC".to_owned())
}

/// How a command ended: its status code (`None` when killed or out of time) and all it printed.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code, `None` after a signal or the time limit.
    pub code: Option<i32>,
    /// Standard output and error together.
    pub output: String,
}

/// Runs `script` with `args` and a time limit. Its group is killed when the limit is over.
///
/// # Errors
/// A text when the script cannot be started.
pub fn run_script(script: &Path, args: &[&str], limit: Duration) -> Result<Outcome, String> {
    // `timeout` puts the script into a group of its own and kills the whole group.
    let seconds = limit.as_secs().to_string();
    let mut child = Command::new("timeout")
        .args(["--kill-after=5", &seconds])
        .arg(script)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{}: {e}", script.display()))?;
    let out = child.stdout.take().map(collect);
    let err = child.stderr.take().map(collect);
    let start = Instant::now();
    let code = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status.code().filter(|code| *code != 124 && *code != 137),
            Ok(None) if start.elapsed() > limit + Duration::from_secs(10) => {
                let _ = child.kill();
                break None;
            }
            Ok(None) => thread::sleep(Duration::from_millis(10)),
            Err(e) => return Err(e.to_string()),
        }
    };
    let mut output = String::new();
    for part in [out, err].into_iter().flatten() {
        output.push_str(&part.join().unwrap_or_default());
    }
    Ok(Outcome { code, output })
}

/// Runs a script of the repository, which needs a runsc, and gives what it printed.
///
/// # Panics
/// With all it printed, unless it ends with status 0 within the limit.
#[must_use]
pub fn passes(script: &str, args: &[&str], limit: Duration) -> String {
    if let Err(why) = runsc() {
        panic!("{why}");
    }
    let outcome = run_script(&top().join(script), args, limit).unwrap_or_else(|e| panic!("{e}"));
    assert!(
        outcome.code == Some(0),
        "{script} {}: status {:?}\n{}",
        args.join(" "),
        outcome.code,
        outcome.output
    );
    outcome.output
}

/// Reads a stream to its end in a thread.
fn collect(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
