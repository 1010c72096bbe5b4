//! `spec`: writes a configuration to start from.

use super::args::SpecArgs;
use super::{Failure, Outcome, reason};
use crate::bundle::template;

/// Runs the command.
pub fn spec(args: &SpecArgs) -> Outcome {
    let dir = args.bundle.clone().unwrap_or_else(|| ".".into());
    let path = dir.join("config.json");
    if path.exists() {
        return Err(Failure::new(1, "File config.json exists. Remove it first"));
    }
    let ids = args.rootless.then(|| {
        (
            nix::unistd::geteuid().as_raw(),
            nix::unistd::getegid().as_raw(),
        )
    });
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut out = serde_json::Serializer::with_formatter(&mut text, formatter);
    serde::Serialize::serialize(&template::spec(ids, &args.command), &mut out)?;
    std::fs::write(&path, text)
        .map_err(|e| Failure::new(1, format!("open {}: {}", path.display(), reason(&e))))?;
    Ok(0)
}
