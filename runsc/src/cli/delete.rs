//! `delete`: removes all that is left of a container.

use super::args::DeleteArgs;
use super::{App, Failure, Outcome};
use crate::container::lifecycle;
use crate::container::store::{self, Folder};

/// Runs the command.
pub fn delete(app: &App, args: &DeleteArgs) -> Outcome {
    if args.regex {
        return matching(app, args);
    }
    one(app, &args.id, args.force)
}

fn one(app: &App, id: &str, force: bool) -> Outcome {
    let folder = match Folder::open(&app.root, id) {
        Ok(folder) => folder,
        Err(e) if force && e.message == "container does not exist" => return Ok(0),
        Err(e) => return Err(e),
    };
    let state = match folder.load() {
        Ok(state) => state,
        // A folder that a dying `create` left without a state.
        Err(_) if force => {
            folder.remove()?;
            return Ok(0);
        }
        Err(e) => return Err(e),
    };
    lifecycle::delete(app, folder, &state, force)?;
    Ok(0)
}

/// crun's `--regex`: every container whose whole id matches.
fn matching(app: &App, args: &DeleteArgs) -> Outcome {
    let text = args.id.replace(".*", "*");
    for id in store::list(&app.root)? {
        let hit = match text.strip_suffix('*') {
            Some(prefix) => id.starts_with(prefix),
            None => id == text,
        };
        if hit {
            one(app, &id, args.force)?;
        }
    }
    if text.contains(['[', '(', '?', '+', '|']) {
        return Err(Failure::new(
            1,
            format!("unsupported expression {:?}", args.id),
        ));
    }
    Ok(0)
}
