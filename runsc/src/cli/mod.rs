//! The command line's commands, one file each, and what they share: options, log and the
//! form of a failure.
//!
//! [`main`] parses, sets up the log and runs the command; a [`Failure`] carries the text
//! and exit status the caller sees. Neighbours: [`crate::container`] does the work.

pub mod args;
mod create;
mod delete;
mod doctor;
mod events;
mod exec;
mod features;
mod host_do;
mod install;
mod kill;
mod list;
mod pause;
mod ps;
mod run;
mod spec;
mod start;
mod state;
mod update;
mod wait;

use std::path::PathBuf;

use clap::Parser;
use clap::error::ErrorKind;

use crate::debug::log::{Format, Log};

pub use args::Global;

/// The newest version of the runtime specification whose fields are known here.
pub const SPEC_VERSION: &str = "1.2.0";

/// Why a command failed, as its caller sees it.
#[derive(Debug)]
pub struct Failure {
    /// One sentence.
    pub message: String,
    /// Exit status of the command.
    pub code: i32,
}

impl Failure {
    /// A failure with this exit status.
    pub fn new(code: i32, message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            code,
        }
    }

    /// The same with `prefix: ` before its text.
    pub fn context(mut self, prefix: &str) -> Failure {
        self.message = format!("{prefix}: {}", self.message);
        self
    }
}

impl From<anyhow::Error> for Failure {
    fn from(e: anyhow::Error) -> Failure {
        Failure::new(1, format!("{e:#}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(e: std::io::Error) -> Failure {
        Failure::new(1, reason(&e))
    }
}

impl From<nix::Error> for Failure {
    fn from(e: nix::Error) -> Failure {
        Failure::from(std::io::Error::from(e))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(e: serde_json::Error) -> Failure {
        Failure::new(1, e.to_string())
    }
}

/// What a command returns: its exit status.
pub type Outcome = Result<i32, Failure>;

/// What every command knows.
pub struct App {
    /// Options before the command.
    pub global: Global,
    /// Where messages go.
    pub log: Log,
    /// The folder of all state folders.
    pub root: PathBuf,
}

/// Parses the arguments, runs the command, and returns the process's exit status.
pub fn main() -> i32 {
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return usage(&e),
    };
    if cli.global.version {
        print_version();
        return 0;
    }
    let Some(command) = cli.command else {
        let _ = <args::Cli as clap::CommandFactory>::command().print_help();
        return 0;
    };
    let app = match App::new(cli.global) {
        Ok(app) => app,
        Err(e) => {
            Log::stderr(Format::Text, false).error(&e.message);
            return e.code;
        }
    };
    match dispatch(&app, command) {
        Ok(code) => code,
        Err(e) => {
            app.log.error(&e.message);
            if app.log.is_file() {
                eprintln!("{}", e.message);
            }
            e.code
        }
    }
}

impl App {
    fn new(global: Global) -> Result<App, Failure> {
        let format = match global.log_format.as_str() {
            "text" | "" => Format::Text,
            "json" => Format::Json,
            other => return Err(Failure::new(1, format!("invalid log-format: {other}"))),
        };
        let log = match &global.log {
            Some(path)
                if !path.as_os_str().is_empty() && path != std::path::Path::new("/dev/stderr") =>
            {
                Log::to_file(path, format, global.debug).map_err(|e| {
                    Failure::new(1, format!("open {}: {}", path.display(), reason(&e)))
                })?
            }
            _ => Log::stderr(format, global.debug),
        };
        let root = match &global.root {
            Some(root) => std::path::absolute(root)?,
            None => default_root(),
        };
        Ok(App { global, log, root })
    }
}

fn default_root() -> PathBuf {
    if !nix::unistd::geteuid().is_root()
        && let Some(dir) = std::env::var_os("XDG_RUNTIME_DIR")
    {
        return PathBuf::from(dir).join("runsc");
    }
    PathBuf::from("/run/runsc")
}

fn dispatch(app: &App, command: args::Command) -> Outcome {
    use args::Command as C;
    match command {
        C::Create(a) => create::create(app, &a),
        C::Start(a) => start::start(app, &a.id),
        C::Run(a) => run::run(app, &a),
        C::Exec(a) => exec::exec(app, &a),
        C::Kill(a) => kill::kill(app, &a),
        C::Delete(a) => delete::delete(app, &a),
        C::State(a) => state::state(app, &a.id),
        C::Wait(a) => wait::wait(app, &a.id),
        C::Ps(a) => ps::ps(app, &a),
        C::Events(a) => events::events(app, &a),
        C::Pause(a) => pause::pause(app, &a.id),
        C::Resume(a) => pause::resume(app, &a.id),
        C::Update(a) => update::update(app, &a),
        C::List(a) => list::list(app, &a),
        C::Spec(a) => spec::spec(&a),
        C::Features => features::features(),
        C::Do(a) => host_do::host_do(app, &a),
        C::Install(a) => install::install(app, &a),
        C::Uninstall(a) => install::uninstall(app, &a),
        C::Doctor(a) => doctor::doctor(app, &a),
        C::Checkpoint(_) => Err(Failure::new(1, "checkpoint is not supported")),
        C::Restore(_) => Err(Failure::new(1, "restore is not supported")),
    }
}

/// A wrong command line: clap's text, then the line runc's callers look for.
fn usage(e: &clap::Error) -> i32 {
    let log = Log::stderr(Format::Text, false);
    match e.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = e.print();
            0
        }
        ErrorKind::InvalidSubcommand => {
            let what = context(e, clap::error::ContextKind::InvalidSubcommand);
            log.error(&format!("No help topic for '{what}'"));
            3
        }
        ErrorKind::UnknownArgument => {
            let _ = e.print();
            let what = context(e, clap::error::ContextKind::InvalidArg);
            let name = what.trim_start_matches('-');
            log.error(&format!("flag provided but not defined: -{name}"));
            1
        }
        _ => {
            let _ = e.print();
            let first = e.to_string();
            let first = first.lines().next().unwrap_or_default();
            log.error(first.trim_start_matches("error: "));
            1
        }
    }
}

fn context(e: &clap::Error, kind: clap::error::ContextKind) -> String {
    e.get(kind).map(ToString::to_string).unwrap_or_default()
}

fn print_version() {
    println!("runsc version {}", env!("CARGO_PKG_VERSION"));
    println!("spec: {SPEC_VERSION}");
}

/// The host's reason for a failure, without the number Rust adds.
pub fn reason(e: &std::io::Error) -> String {
    match e.raw_os_error() {
        Some(errno) => nix::errno::Errno::from_raw(errno).desc().to_lowercase(),
        None => e.to_string(),
    }
}
