//! `wait`: returns when a container has ended.

use super::{App, Outcome};
use crate::container::status::{self, Status};
use crate::container::store;

/// Runs the command. The status of the container is its parent's to read, so this one
/// tells only that it has ended.
pub fn wait(app: &App, id: &str) -> Outcome {
    let state = store::peek(&app.root, id)?;
    while status::of(&state) != Status::Stopped {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Ok(0)
}
