//! `state`: what is known of a container, as JSON.

use super::{App, Outcome};
use crate::container::store;

/// Runs the command.
pub fn state(app: &App, id: &str) -> Outcome {
    let state = store::peek(&app.root, id)?;
    print!(
        "{}",
        serde_json::to_string_pretty(&state.shown(String::new()))?
    );
    Ok(0)
}
