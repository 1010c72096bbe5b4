//! `create`: a container whose first process waits for `start`.

use super::args::{BundleArgs, CreateArgs};
use super::{App, Failure, Outcome};
use crate::boot::Stdio;
use crate::bundle::{self, Bundle};
use crate::console;
use crate::container::lifecycle::{self, Surroundings};
use crate::sys::WinSize;

/// Runs the command.
pub fn create(app: &App, args: &CreateArgs) -> Outcome {
    inner(app, &args.bundle).map_err(|e| e.context("runsc create failed"))
}

fn inner(app: &App, args: &BundleArgs) -> Outcome {
    let bundle = load(app, args)?;
    let stdio = detached_stdio(args, &bundle)?;
    let surroundings = Surroundings {
        stdio,
        preserved: lifecycle::preserved_fds(app, args.preserve_fds)?,
        foreground: false,
        overlay: overlay(app)?,
    };
    let (pid, folder, state) = lifecycle::create(app, &args.id, &bundle, surroundings)?;
    if let Some(path) = &args.pid_file
        && let Err(e) = lifecycle::write_pid_file(path, pid.as_raw())
    {
        lifecycle::delete(app, folder, &state, true)?;
        return Err(e);
    }
    Ok(0)
}

/// Loads the bundle and shows what was ignored in it.
pub fn load(app: &App, args: &BundleArgs) -> Result<Bundle, Failure> {
    crate::container::store::check_id(&args.id)?;
    let bundle = bundle::load(args.bundle.as_deref(), args.config.as_deref())?;
    for text in &bundle.warnings {
        app.log.warn(text);
    }
    Ok(bundle)
}

/// What `--overlay` asks for.
pub fn overlay(app: &App) -> Result<bool, Failure> {
    match app.global.overlay.as_str() {
        "none" | "" => Ok(false),
        "memory" => Ok(true),
        other => Err(Failure::new(
            1,
            format!("invalid overlay {other:?}: none or memory"),
        )),
    }
}

/// Whether the configuration wants a terminal, and its size.
pub fn terminal(bundle: &Bundle) -> (bool, Option<WinSize>) {
    let process = bundle.spec.process().as_ref();
    let wanted = process.and_then(|p| p.terminal()).unwrap_or(false);
    let size = process.and_then(|p| p.console_size()).map(|s| WinSize {
        rows: u16::try_from(s.height()).unwrap_or(u16::MAX),
        cols: u16::try_from(s.width()).unwrap_or(u16::MAX),
    });
    (wanted, size)
}

/// Standard descriptors of a container we do not stay with.
pub fn detached_stdio(args: &BundleArgs, bundle: &Bundle) -> Result<Stdio, Failure> {
    let (wanted, size) = terminal(bundle);
    match (&args.console_socket, wanted) {
        (Some(path), true) => Ok(Stdio::Terminal(console::through_socket(path, size)?)),
        (None, true) => Err(Failure::new(1, console::NEEDS_SOCKET)),
        (Some(path), false) if !path.as_os_str().is_empty() => Err(Failure::new(
            1,
            "cannot use console socket if runc will not detach or allocate tty",
        )),
        _ => lifecycle::own_stdio(),
    }
}
