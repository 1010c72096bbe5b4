//! Which program is called and how: from the options that containerd sends, or from the file
//! they name.
//!
//! containerd sends runc's options (`containerd.runc.v1.Options`) to a shim of runc's type,
//! and to all others `runtimeoptions.v1.Options`, whose `ConfigPath` is a TOML file of the
//! runtime's own:
//!
//! ```toml
//! binary_name = "/usr/local/bin/runsc"
//! root = "/run/containerd/runsc"
//! systemd_cgroup = false
//! flags = ["--overlay=memory"]
//! ```

use std::path::{Path, PathBuf};

use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::shim::oci;
use containerd_shim_protos::ttrpc::Code;
use toml_edit::{DocumentMut, Item};

use crate::fault::{Fault, Result};

/// Name under which the options are kept in the bundle, for a `delete` that gets none.
const FILE: &str = "shim-options.json";
/// Where state folders are, one folder for each of containerd's name spaces below it.
const ROOT: &str = "/run/containerd/runsc";

/// How the runtime is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The program.
    pub binary: PathBuf,
    /// Parent of the state folders' roots.
    pub root: PathBuf,
    /// `--systemd-cgroup`.
    pub systemd_cgroup: bool,
    /// Further options before every command.
    pub flags: Vec<String>,
}

impl Default for Options {
    /// `runsc` beside this program, else that of `PATH`.
    fn default() -> Options {
        let beside = std::env::current_exe()
            .ok()
            .map(|exe| exe.with_file_name("runsc"))
            .filter(|path| path.is_file());
        Options {
            binary: beside.unwrap_or_else(|| "runsc".into()),
            root: ROOT.into(),
            systemd_cgroup: false,
            flags: Vec::new(),
        }
    }
}

impl Options {
    /// From what a request carries; `None` for nothing.
    pub fn from_any(any: Option<&Any>) -> Result<Options> {
        let Some(any) = any.filter(|any| !any.type_url.is_empty()) else {
            return Ok(Options::default());
        };
        match any.type_url.rsplit('/').next().unwrap_or_default() {
            "containerd.runc.v1.Options" => {
                let sent = oci::Options::parse_from_bytes(&any.value)?;
                let mut options = Options::default();
                options.merge(&sent.binary_name, &sent.root);
                options.systemd_cgroup = sent.systemd_cgroup;
                Ok(options)
            }
            "runtimeoptions.v1.Options" => {
                // Its first two fields, type_url and config_path, have the numbers and the
                // wire types of those of Any.
                let sent = Any::parse_from_bytes(&any.value)?;
                match String::from_utf8_lossy(&sent.value).as_ref() {
                    "" => Ok(Options::default()),
                    path => Options::from_file(Path::new(path)),
                }
            }
            other => {
                let text = format!("options of type {other} are not known");
                Err(Fault::coded(Code::INVALID_ARGUMENT, text))
            }
        }
    }

    fn merge(&mut self, binary: &str, root: &str) {
        if !binary.is_empty() {
            self.binary = binary.into();
        }
        if !root.is_empty() {
            self.root = root.into();
        }
    }

    fn from_file(path: &Path) -> Result<Options> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| Fault::from(e).context(&name))?;
        Options::from_toml(&text).map_err(|e| e.context(&name))
    }

    fn from_toml(text: &str) -> Result<Options> {
        let document: DocumentMut = text
            .parse()
            .map_err(|e: toml_edit::TomlError| Fault::new(e.to_string()))?;
        let mut options = Options::default();
        for (key, item) in document.iter() {
            let wrong = || Fault::new(format!("{key} has a value of another type"));
            let string = |item: &Item| item.as_str().map(str::to_owned).ok_or_else(wrong);
            match key {
                "binary_name" => options.merge(&string(item)?, ""),
                "root" => options.merge("", &string(item)?),
                "systemd_cgroup" => options.systemd_cgroup = item.as_bool().ok_or_else(wrong)?,
                "flags" => {
                    let list = item.as_array().ok_or_else(wrong)?.iter();
                    let list: Option<Vec<&str>> = list.map(|v| v.as_str()).collect();
                    let list = list.ok_or_else(wrong)?;
                    options.flags = list.into_iter().map(str::to_owned).collect();
                }
                other => return Err(Fault::new(format!("unknown key {other}"))),
            }
        }
        Ok(options)
    }

    /// Keeps them in the bundle.
    pub fn save(&self, bundle: &Path) -> Result<()> {
        let value = serde_json::json!({
            "binary_name": self.binary, "root": self.root,
            "systemd_cgroup": self.systemd_cgroup, "flags": self.flags,
        });
        Ok(std::fs::write(bundle.join(FILE), value.to_string())?)
    }

    /// What [`Self::save`] kept, or the usual ones.
    pub fn load(bundle: &Path) -> Options {
        let mut options = Options::default();
        let text = std::fs::read(bundle.join(FILE)).unwrap_or_default();
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(&text) else {
            return options;
        };
        let string = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        options.merge(&string("binary_name"), &string("root"));
        options.systemd_cgroup = value["systemd_cgroup"].as_bool().unwrap_or_default();
        let flags = value["flags"].as_array().into_iter().flatten();
        options.flags = flags
            .filter_map(|f| f.as_str().map(str::to_owned))
            .collect();
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(type_url: &str, value: Vec<u8>) -> Any {
        Any {
            type_url: type_url.into(),
            value,
            ..Any::default()
        }
    }

    #[test]
    fn runcs_options() {
        let sent = oci::Options {
            binary_name: "/x/runsc".into(),
            systemd_cgroup: true,
            ..oci::Options::default()
        };
        let sent = any("containerd.runc.v1.Options", sent.write_to_bytes().unwrap());
        let options = Options::from_any(Some(&sent)).unwrap();
        assert_eq!(options.binary, PathBuf::from("/x/runsc"));
        assert_eq!(options.root, PathBuf::from(ROOT));
        assert!(options.systemd_cgroup);
    }

    #[test]
    fn a_file_and_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runsc.toml");
        std::fs::write(&path, "root = \"/r\"\nflags = [\"--debug\"]\n").unwrap();
        let inner = any("", path.display().to_string().into_bytes());
        let sent = any("runtimeoptions.v1.Options", inner.write_to_bytes().unwrap());
        let options = Options::from_any(Some(&sent)).unwrap();
        assert_eq!(options.root, PathBuf::from("/r"));
        assert_eq!(options.flags, ["--debug"]);
        options.save(dir.path()).unwrap();
        assert_eq!(Options::load(dir.path()), options);
        std::fs::write(&path, "rot = 1\n").unwrap();
        assert!(Options::from_any(Some(&sent)).is_err());
    }

    #[test]
    fn nothing_and_unknown() {
        assert_eq!(Options::from_any(None).unwrap(), Options::default());
        assert!(Options::from_any(Some(&any("x.Options", Vec::new()))).is_err());
    }
}
