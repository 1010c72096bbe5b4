//! The program `runsc`: its commands, and what it says when one fails.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::Value;

use crate::fault::{Fault, Result};
use crate::options::Options;
use crate::reaper::{Expect, Reaper};

/// The longest part of the program's log that is searched for its last words.
const LOG_LIMIT: u64 = 64 << 10;

/// How the program is called for one container.
pub struct Runtime {
    options: Options,
    root: PathBuf,
    log: PathBuf,
    reaper: Arc<Reaper>,
}

impl Runtime {
    /// For a container of this bundle in containerd's name space `namespace`.
    pub fn new(options: Options, namespace: &str, bundle: &Path, reaper: Arc<Reaper>) -> Runtime {
        Runtime {
            root: options.root.join(namespace),
            log: bundle.join("log.json"),
            options,
            reaper,
        }
    }

    /// The program with the options before every command.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.options.binary);
        command.arg("--root").arg(&self.root);
        command.arg("--log").arg(&self.log);
        command.args(["--log-format", "json"]);
        if self.options.systemd_cgroup {
            command.arg("--systemd-cgroup");
        }
        command.args(&self.options.flags);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::null());
        command
    }

    /// To be called before [`Self::run`]; processes that the command leaves behind are
    /// watched by it.
    pub fn expect(&self) -> Expect {
        self.reaper.expect()
    }

    /// Runs a command to its end.
    pub fn run(&self, expect: &Expect, command: &mut Command) -> Result<()> {
        let before = self.log_length();
        let child = self.spawned(command.spawn())?;
        self.judge(expect.wait(child.id() as i32), before)
    }

    /// Runs a command with these arguments and no streams.
    pub fn simple(&self, args: &[&str]) -> Result<()> {
        self.run(&self.expect(), self.command().args(args))
    }

    /// Runs a command that reads `input`, and gives its output.
    pub fn output(&self, args: &[&str], input: &[u8]) -> Result<Vec<u8>> {
        let before = self.log_length();
        let expect = self.expect();
        let mut command = self.command();
        command.args(args).stdin(Stdio::piped());
        command.stdout(Stdio::piped());
        let mut child = self.spawned(command.spawn())?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that ends without reading says why by its status.
            let _ = stdin.write_all(input);
        }
        let mut output = Vec::new();
        if let Some(mut stdout) = child.stdout.take() {
            stdout.read_to_end(&mut output)?;
        }
        self.judge(expect.wait(child.id() as i32), before)?;
        Ok(output)
    }

    fn spawned<T>(&self, spawned: std::io::Result<T>) -> Result<T> {
        let name = || self.options.binary.display().to_string();
        spawned.map_err(|e| Fault::from(e).context(&name()))
    }

    fn judge(&self, status: u32, before: u64) -> Result<()> {
        if status == 0 {
            return Ok(());
        }
        let words = self.last_words(before);
        let words = words.unwrap_or_else(|| format!("the runtime ended with status {status}"));
        if words.contains("does not exist") || words.contains("not running") {
            return Err(Fault::not_found(words));
        }
        Err(Fault::new(words))
    }

    fn log_length(&self) -> u64 {
        std::fs::metadata(&self.log).map_or(0, |m| m.len())
    }

    /// The last error that was logged beyond this place.
    fn last_words(&self, before: u64) -> Option<String> {
        let mut file = File::open(&self.log).ok()?;
        let end = file.metadata().ok()?.len();
        let from = before.max(end.saturating_sub(LOG_LIMIT));
        file.seek(SeekFrom::Start(from)).ok()?;
        let mut text = Vec::new();
        file.take(LOG_LIMIT).read_to_end(&mut text).ok()?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines = text.lines().rev();
        lines
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line["level"] == "error")
            .and_then(|line| line["msg"].as_str().map(str::to_owned))
    }
}
