//! What a state folder remembers of its container, and how it is shown.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::runtime::Hooks;
use serde::{Deserialize, Serialize};

/// Where the life of a container stands, as far as the folder knows; whether its process
/// still lives is asked of the host ([`super::status`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Being made; no process yet, or not ready.
    Creating,
    /// Ready, its init not started.
    Created,
    /// Started.
    Running,
    /// Started and held.
    Paused,
}

/// A process on the host, safe against reuse of its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostProcess {
    /// Its number.
    pub pid: i32,
    /// Its start time in clock ticks since boot (proc_pid_stat(5), field 22).
    pub start_time: u64,
}

/// The content of `state.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// Version of the configuration.
    pub oci_version: String,
    /// Container id.
    pub id: String,
    /// The process that stands for it: the sandbox's leader, or a holder.
    pub process: Option<HostProcess>,
    /// The container whose sandbox it lives in; `None` for one of its own.
    #[serde(default)]
    pub sandbox: Option<String>,
    /// Where its life stands.
    pub phase: Phase,
    /// Absolute path of the bundle.
    pub bundle: PathBuf,
    /// Absolute path of the root file system.
    pub rootfs: PathBuf,
    /// Time of creation, RFC 3339.
    pub created: String,
    /// User who created it.
    pub owner_uid: u32,
    /// Annotations of the configuration.
    pub annotations: BTreeMap<String, String>,
    /// Hooks that are still to run.
    pub hooks: Option<Hooks>,
    /// The container's cgroups on the host.
    pub cgroups: crate::cgroup::Paths,
    /// Environment of the configuration's process, the base of `exec`.
    pub process_spec: Option<oci_spec::runtime::Process>,
}

/// What `state` prints and hooks read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// Version of the configuration.
    pub oci_version: String,
    /// Container id.
    pub id: String,
    /// The sandbox's leader, 0 when it is gone.
    pub pid: i32,
    /// creating, created, running, paused or stopped.
    pub status: String,
    /// Absolute path of the bundle.
    pub bundle: PathBuf,
    /// Absolute path of the root file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<PathBuf>,
    /// Time of creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Annotations of the configuration.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// User who created it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

impl State {
    /// The form of `state` and `list`.
    pub fn shown(&self, owner: String) -> Shown {
        let status = super::status::of(self);
        Shown {
            oci_version: self.oci_version.clone(),
            id: self.id.clone(),
            pid: match status {
                super::status::Status::Stopped => 0,
                _ => self.process.map_or(0, |p| p.pid),
            },
            status: status.name().to_string(),
            bundle: self.bundle.clone(),
            rootfs: Some(self.rootfs.clone()),
            created: Some(self.created.clone()),
            annotations: self.annotations.clone(),
            owner: Some(owner),
        }
    }

    /// The form that hooks read on stdin, with this status.
    pub fn for_hooks(&self, status: &str) -> Shown {
        Shown {
            oci_version: self.oci_version.clone(),
            id: self.id.clone(),
            pid: self.process.map_or(0, |p| p.pid),
            status: status.to_string(),
            bundle: self.bundle.clone(),
            rootfs: None,
            created: None,
            annotations: self.annotations.clone(),
            owner: None,
        }
    }
}
