//! `install` and `uninstall`: the runtime's entry in the configuration of a client.
//!
//! [`Entry`] is what is written; [`docker`] edits JSON, [`tables`] the TOML of containerd and
//! Podman. What else the file holds stays as it is, comments included where the format has
//! them. A file is replaced whole by rename, so that a client never reads half of one.

mod docker;
mod tables;

use std::io::Write;
use std::path::{Path, PathBuf};

use super::args::{Client, ClientArgs, InstallArgs, UninstallArgs};
use super::{App, Failure, Outcome, reason};

/// A runtime as a client's configuration names it.
struct Entry {
    /// The name clients call it by.
    name: String,
    /// Absolute path of the program.
    path: String,
    /// Options before every command.
    options: Vec<String>,
    /// Whether it becomes the default.
    default: bool,
    /// Whether an entry of that name that calls another program may be replaced.
    clobber: bool,
    /// Whether our own shim is called, which calls the program beside it.
    shim: bool,
}

/// containerd's name for our shim.
const SHIM_TYPE: &str = "io.containerd.runsc.v1";

impl Entry {
    /// What a client calls.
    fn calls(&self) -> &str {
        if self.shim { SHIM_TYPE } else { &self.path }
    }

    /// Fails when an entry of this name that calls `there` must not be replaced.
    fn may_replace(&self, there: Option<&str>) -> Result<(), Failure> {
        match there {
            Some(there) if there != self.calls() && !self.clobber => Err(Failure::new(
                1,
                format!(
                    "a runtime {:?} is configured already and calls {there}: \
                     give --clobber to replace it",
                    self.name
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// Runs `install`.
pub fn install(app: &App, args: &InstallArgs) -> Outcome {
    installed(app, args).map_err(|e| e.context("runsc install failed"))
}

/// Runs `uninstall`.
pub fn uninstall(_app: &App, args: &UninstallArgs) -> Outcome {
    uninstalled(&args.client).map_err(|e| e.context("runsc uninstall failed"))
}

fn installed(app: &App, args: &InstallArgs) -> Outcome {
    let entry = Entry {
        name: valid_name(&args.client.runtime)?,
        path: program(args.path.as_deref())?,
        options: args.options.clone(),
        default: args.default,
        clobber: args.clobber,
        shim: args.shim,
    };
    if entry.shim && args.client.client != Client::Containerd {
        return Err(Failure::new(1, "--shim is for containerd only"));
    }
    let file = config_file(&args.client);
    let old = read(&file)?;
    let new = match args.client.client {
        Client::Docker => docker::add(&old, &entry),
        Client::Containerd => tables::containerd_add(&old, &entry),
        Client::Podman => tables::podman_add(&old, &entry),
    }
    .map_err(|e| e.context(&file.display().to_string()))?;
    if new != old {
        replace(&file, &new)?;
    }
    app.log
        .debug(&format!("{} calls {}", entry.name, entry.calls()));
    println!(
        "{}: runtime {} calls {}",
        file.display(),
        entry.name,
        entry.calls()
    );
    if entry.shim {
        println!("containerd-shim-runsc-v1 must be on containerd's PATH, runsc beside it");
    }
    if let Some(advice) = restart(args.client.client) {
        println!("{advice}");
    }
    Ok(0)
}

fn uninstalled(client: &ClientArgs) -> Outcome {
    let name = valid_name(&client.runtime)?;
    let file = config_file(client);
    let old = read(&file)?;
    let new = match client.client {
        Client::Docker => docker::remove(&old, &name),
        Client::Containerd => tables::containerd_remove(&old, &name),
        Client::Podman => tables::podman_remove(&old, &name),
    }
    .map_err(|e| e.context(&file.display().to_string()))?;
    let Some(new) = new else {
        println!("{}: no runtime {name}", file.display());
        return Ok(0);
    };
    replace(&file, &new)?;
    println!("{}: runtime {name} removed", file.display());
    if let Some(advice) = restart(client.client) {
        println!("{advice}");
    }
    Ok(0)
}

/// A name that every client takes: containerd makes a table key of it, Docker a label.
fn valid_name(name: &str) -> Result<String, Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || !name.chars().all(plain) {
        return Err(Failure::new(1, format!("invalid runtime name {name:?}")));
    }
    Ok(name.into())
}

/// The absolute path clients shall call.
fn program(given: Option<&Path>) -> Result<String, Failure> {
    let path = match given {
        Some(path) => std::path::absolute(path)?,
        None => std::env::current_exe()?,
    };
    let text = |e: &std::io::Error| format!("stat {}: {}", path.display(), reason(e));
    let meta = std::fs::metadata(&path).map_err(|e| Failure::new(1, text(&e)))?;
    if !meta.is_file() {
        let message = format!("{} is not a program", path.display());
        return Err(Failure::new(1, message));
    }
    path.into_os_string()
        .into_string()
        .map_err(|path| Failure::new(1, format!("the path {path:?} is not UTF-8")))
}

/// Where a client has its configuration.
pub fn usual_file(client: Client) -> &'static str {
    match client {
        Client::Docker => "/etc/docker/daemon.json",
        Client::Containerd => "/etc/containerd/config.toml",
        Client::Podman => "/etc/containers/containers.conf",
    }
}

fn config_file(args: &ClientArgs) -> PathBuf {
    let usual = || usual_file(args.client).into();
    args.config_file.clone().unwrap_or_else(usual)
}

/// What the client's user must do before the change counts.
fn restart(client: Client) -> Option<&'static str> {
    match client {
        Client::Docker => Some("restart Docker to use it: systemctl restart docker"),
        Client::Containerd => Some("restart containerd to use it: systemctl restart containerd"),
        Client::Podman => None,
    }
}

/// The file's text; empty where there is none yet.
fn read(file: &Path) -> Result<String, Failure> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => {
            let message = format!("open {}: {}", file.display(), reason(&e));
            Err(Failure::new(1, message))
        }
    }
}

/// Replaces the file at once, keeping its mode; a symbolic link stays one.
fn replace(file: &Path, text: &str) -> Result<(), Failure> {
    let file = file.canonicalize().unwrap_or_else(|_| file.into());
    let failed =
        |e: std::io::Error| Failure::new(1, format!("write {}: {}", file.display(), reason(&e)));
    let dir = match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
    let mut new = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
    new.write_all(text.as_bytes()).map_err(failed)?;
    let mode = match std::fs::metadata(&file) {
        Ok(meta) => meta.permissions(),
        Err(_) => std::os::unix::fs::PermissionsExt::from_mode(0o644),
    };
    new.as_file().set_permissions(mode).map_err(failed)?;
    new.as_file().sync_all().map_err(failed)?;
    new.persist(&file).map_err(|e| failed(e.error))?;
    Ok(())
}
