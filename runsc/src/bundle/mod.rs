//! A bundle: a folder with `config.json` and a root file system.
//!
//! [`load`] reads and checks one; [`Bundle`] is what the rest of the program sees.
//! [`validate`] holds the rules whose messages name the field, [`mounts`] turns the
//! specification's mounts into the guest's, [`process`] its process, [`seccomp`] its
//! profile, [`template`] is what `runsc spec` writes.

pub mod caps;
pub mod devices;
pub mod mounts;
pub mod process;
pub mod seccomp;
pub mod template;
pub mod validate;

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Process, Spec};
use serde_json::Value;

use crate::cli::{Failure, reason};

/// A loaded and checked bundle.
#[derive(Debug)]
pub struct Bundle {
    /// Absolute path of the folder.
    pub dir: PathBuf,
    /// Absolute path of the root file system.
    pub rootfs: PathBuf,
    /// The configuration.
    pub spec: Spec,
    /// What was ignored, for the log.
    pub warnings: Vec<String>,
}

/// Loads the bundle in `dir` (the current folder when `None`).
pub fn load(dir: Option<&Path>, config: Option<&Path>) -> Result<Bundle, Failure> {
    let dir = match dir {
        Some(dir) => {
            let e = |e: std::io::Error| {
                Failure::new(1, format!("chdir {}: {}", dir.display(), reason(&e)))
            };
            // A folder that cannot be entered is refused here, as runc's chdir would.
            std::fs::read_dir(dir).map_err(e)?;
            dir.canonicalize().map_err(e)?
        }
        None => std::env::current_dir()?,
    };
    let name = config.unwrap_or(Path::new("config.json"));
    let text = std::fs::read(dir.join(name)).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Failure::new(
            1,
            format!("JSON specification file {} not found", name.display()),
        ),
        _ => Failure::new(1, format!("open {}: {}", name.display(), reason(&e))),
    })?;
    let mut warnings = Vec::new();
    let spec = parse_spec(&text, &mut warnings)?;
    validate::spec(&spec, &mut warnings)?;
    let rootfs = rootfs(&dir, &spec)?;
    Ok(Bundle {
        dir,
        rootfs,
        spec,
        warnings,
    })
}

fn rootfs(dir: &Path, spec: &Spec) -> Result<PathBuf, Failure> {
    let path = spec
        .root()
        .as_ref()
        .ok_or_else(|| Failure::new(1, "root must be specified"))?
        .path();
    let full = dir.join(path);
    let found = full.canonicalize().map_err(|e| {
        Failure::new(
            1,
            format!("invalid rootfs: stat {}: {}", full.display(), reason(&e)),
        )
    })?;
    if !found.is_dir() {
        let text = format!(
            "invalid rootfs: root.path {} is not a directory",
            full.display()
        );
        return Err(Failure::new(1, text));
    }
    Ok(found)
}

/// Parses a configuration. Messages name the field.
pub fn parse_spec(text: &[u8], warnings: &mut Vec<String>) -> Result<Spec, Failure> {
    let mut value = parse_json(text)?;
    if let Some(process) = value.get_mut("process") {
        caps::drop_unknown(process, warnings);
        default_user(process);
    }
    if value.get("ociVersion").is_none() {
        return Err(Failure::new(1, "ociVersion must be specified"));
    }
    typed(value)
}

/// Parses the file of `exec --process`.
pub fn parse_process(text: &[u8], warnings: &mut Vec<String>) -> Result<Process, Failure> {
    let mut value = parse_json(text)?;
    caps::drop_unknown(&mut value, warnings);
    default_user(&mut value);
    typed(value)
}

/// A process without a user is root's, as for runc.
fn default_user(process: &mut Value) {
    if let Some(process) = process.as_object_mut() {
        let root = || serde_json::json!({"uid": 0, "gid": 0});
        process.entry("user").or_insert_with(root);
    }
}

fn parse_json(text: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(text).map_err(|e| {
        if e.is_eof() {
            Failure::new(1, "unexpected EOF")
        } else {
            Failure::new(1, format!("invalid JSON: {e}"))
        }
    })
}

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_path_to_error::deserialize(value).map_err(|e| {
        let path = e.path().to_string();
        let what = e.into_inner();
        if path == "." {
            Failure::new(1, format!("json: {what}"))
        } else {
            Failure::new(1, format!("json: cannot unmarshal field {path}: {what}"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse_spec(text.as_bytes(), &mut Vec::new())
            .map(|_| ())
            .expect_err("must fail")
            .message
    }

    #[test]
    fn messages_name_the_field() {
        assert_eq!(error("{"), "unexpected EOF");
        assert!(error(r#"{"ociVersion": 3}"#).contains("ociVersion"));
        let args =
            r#"{"ociVersion":"1.0.2","process":{"cwd":"/","user":{"uid":0,"gid":0},"args":"x"}}"#;
        assert!(error(args).contains("process.args"));
        let ns = r#"{"ociVersion":"1.0.2","linux":{"namespaces":[{"type":"foo"}]}}"#;
        assert!(
            error(ns).contains("linux.namespaces[0].type"),
            "{}",
            error(ns)
        );
    }
}
