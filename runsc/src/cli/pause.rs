//! `pause` and `resume`: the Sentry holds all guest code, or lets it run on.

use super::{App, Failure, Outcome};
use crate::boot::client::Client;
use crate::boot::message::Request;
use crate::container::state::Phase;
use crate::container::status::{self, Status};
use crate::container::store::Folder;

/// Runs `pause`.
pub fn pause(app: &App, id: &str) -> Outcome {
    let folder = Folder::open(&app.root, id)?;
    let mut state = folder.load()?;
    match status::of(&state) {
        Status::Running => {}
        _ => return Err(Failure::new(1, "container not running")),
    }
    Client::connect(folder.path())?.call(&Request::Pause)?;
    state.phase = Phase::Paused;
    folder.save(&state)?;
    Ok(0)
}

/// Runs `resume`.
pub fn resume(app: &App, id: &str) -> Outcome {
    let folder = Folder::open(&app.root, id)?;
    let mut state = folder.load()?;
    if status::of(&state) != Status::Paused {
        return Err(Failure::new(1, "container not paused"));
    }
    Client::connect(folder.path())?.call(&Request::Resume)?;
    state.phase = Phase::Running;
    folder.save(&state)?;
    Ok(0)
}
