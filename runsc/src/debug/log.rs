//! The log of a command: stderr, or the file of `--log`, as text or JSON.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::debug::time;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `time="…" level=… msg="…"`.
    Text,
    /// `{"level":…,"msg":…,"time":…}`.
    Json,
}

/// Importance of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Only with `--debug`.
    Debug,
    /// Something was ignored or could not be applied.
    Warning,
    /// The command failed.
    Error,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

/// Steps of a start in the words of runc's log of `--debug`, which tools look for.
pub mod steps {
    /// The namespaces are there.
    pub const NAMESPACES: &str = "nsexec container setup";
    /// The first process is being made.
    pub const INIT: &str = "child process in init()";
    /// It is there.
    pub const READY: &str = "init: closing the pipe to signal completion";
    /// A further one is about to be there.
    pub const EXEC: &str = "setns_init: about to exec";
}

/// Where and how messages go. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Log {
    file: Option<Arc<File>>,
    format: Format,
    debug: bool,
}

impl Log {
    /// Messages to stderr.
    pub fn stderr(format: Format, debug: bool) -> Log {
        Log {
            file: None,
            format,
            debug,
        }
    }

    /// Messages appended to `path`, which is created when missing.
    pub fn to_file(path: &Path, format: Format, debug: bool) -> std::io::Result<Log> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Log {
            file: Some(Arc::new(file)),
            format,
            debug,
        })
    }

    /// Whether messages go to a file, so that errors must be shown on stderr besides.
    pub fn is_file(&self) -> bool {
        self.file.is_some()
    }

    /// The log's file, for a process that outlives the command.
    pub fn file(&self) -> Option<&File> {
        self.file.as_deref()
    }

    /// A line of `--debug`.
    pub fn debug(&self, msg: &str) {
        if self.debug {
            self.write(Level::Debug, msg);
        }
    }

    /// Something the caller should know, without a failure.
    pub fn warn(&self, msg: &str) {
        self.write(Level::Warning, msg);
    }

    /// The command's failure.
    pub fn error(&self, msg: &str) {
        self.write(Level::Error, msg);
    }

    fn write(&self, level: Level, msg: &str) {
        let now = time::seconds(SystemTime::now());
        let line = match self.format {
            Format::Text => format!(
                "time=\"{now}\" level={} msg={}\n",
                level.name(),
                quoted(msg)
            ),
            Format::Json => format!(
                "{{\"level\":\"{}\",\"msg\":{},\"time\":\"{now}\"}}\n",
                level.name(),
                serde_json::Value::from(msg)
            ),
        };
        // A log that cannot be written must not end the command: there is nobody to tell.
        let _ = match &self.file {
            Some(file) => (&**file).write_all(line.as_bytes()),
            None => std::io::stderr().write_all(line.as_bytes()),
        };
    }
}

/// The message in double quotes, with Go's escapes for what would break the line.
fn quoted(msg: &str) -> String {
    let mut out = String::with_capacity(msg.len() + 2);
    out.push('"');
    for c in msg.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_escaped() {
        assert_eq!(quoted("a \"b\"\n"), r#""a \"b\"\n""#);
    }
}
