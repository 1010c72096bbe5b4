//! `list`: the containers of this root folder.

use super::args::ListArgs;
use super::{App, Failure, Outcome};
use crate::container::state::Shown;
use crate::container::store;

/// Runs the command.
pub fn list(app: &App, args: &ListArgs) -> Outcome {
    let mut rows: Vec<Shown> = Vec::new();
    for id in store::list(&app.root)? {
        // One that is deleted meanwhile is not listed.
        if let Ok(state) = store::peek(&app.root, &id) {
            let owner = owner(state.owner_uid);
            rows.push(state.shown(owner));
        }
    }
    if args.quiet {
        for row in &rows {
            println!("{}", row.id);
        }
        return Ok(0);
    }
    match args.format.as_str() {
        "table" => table(&rows),
        "json" if rows.is_empty() => println!("null"),
        "json" => println!("{}", serde_json::to_string(&rows)?),
        _ => return Err(Failure::new(1, "invalid format option")),
    }
    Ok(0)
}

fn owner(uid: u32) -> String {
    nix::unistd::User::from_uid(uid.into())
        .ok()
        .flatten()
        .map_or_else(|| format!("#{uid}"), |u| u.name)
}

/// Columns at least 12 wide, with three spaces between.
fn table(rows: &[Shown]) {
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(String::from);
    let mut lines = vec![head];
    for r in rows {
        lines.push([
            r.id.clone(),
            r.pid.to_string(),
            r.status.clone(),
            r.bundle.display().to_string(),
            r.created.clone().unwrap_or_default(),
            r.owner.clone().unwrap_or_default(),
        ]);
    }
    let width = |i: usize| {
        lines
            .iter()
            .map(|l| l.get(i).map_or(0, |c| c.len() + 3))
            .max()
            .unwrap_or(0)
            .max(12)
    };
    let widths: Vec<usize> = (0..5).map(width).collect();
    for line in &lines {
        let mut text = String::new();
        for (i, cell) in line.iter().enumerate() {
            match widths.get(i) {
                Some(w) => text.push_str(&format!("{cell:<w$}")),
                None => text.push_str(cell),
            }
        }
        println!("{text}");
    }
}
