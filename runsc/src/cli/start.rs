//! `start`: lets a created container's first process run.

use super::{App, Outcome};
use crate::container::lifecycle;
use crate::container::store::Folder;

/// Runs the command.
pub fn start(app: &App, id: &str) -> Outcome {
    let folder = Folder::open(&app.root, id)?;
    let mut state = folder.load()?;
    lifecycle::start(app, &folder, &mut state)?;
    Ok(0)
}
