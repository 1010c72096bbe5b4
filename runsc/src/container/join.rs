//! Finding the sandbox that a new container belongs to: containers that share a namespace,
//! or a pod, share a kernel.
//!
//! A namespace's path is that of a process which stands for a container (or a name for its
//! network); it is the same namespace when it is the same inode, as `stat(2)` says of
//! `/proc/PID/ns`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use oci_spec::runtime::LinuxNamespaceType as Kind;

use super::state::State;
use super::status;
use super::store;
use crate::boot::Join;
use crate::boot::client::Client;
use crate::boot::message::Share;
use crate::bundle::Bundle;
use crate::cli::{App, Failure};

/// Annotations by which a CRI implementation names a container's pod: kind, its value for a
/// container in a pod, and the pod's id.
const POD: [(&str, &str, &str); 2] = [
    (
        "io.kubernetes.cri.container-type",
        "container",
        "io.kubernetes.cri.sandbox-id",
    ),
    (
        "io.kubernetes.cri-o.ContainerType",
        "container",
        "io.kubernetes.cri-o.SandboxID",
    ),
];

/// Device and inode of a namespace.
type Identity = (u64, u64);

fn identity(path: &Path) -> Option<Identity> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}

/// The name of a namespace of this kind under `/proc/PID/ns`, for those that can be shared.
fn file_name(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Pid => Some("pid"),
        Kind::Network => Some("net"),
        Kind::Ipc => Some("ipc"),
        Kind::Uts => Some("uts"),
        _ => None,
    }
}

/// The live container that has this namespace.
fn owner<'a>(states: &'a [State], name: &str, wanted: Identity) -> Option<&'a State> {
    states.iter().find(|s| {
        let process = s.process.filter(|p| status::is_alive(*p));
        process.is_some_and(|p| {
            identity(Path::new(&format!("/proc/{}/ns/{name}", p.pid))) == Some(wanted)
        })
    })
}

/// The sandbox that `bundle`'s container belongs into; `None` for one of its own.
pub fn find(app: &App, bundle: &Bundle) -> Result<Option<Join>, Failure> {
    let mut members: Vec<String> = Vec::new();
    let mut share = Share::default();
    let linux = bundle.spec.linux().as_ref();
    let named = linux.and_then(|l| l.namespaces().as_ref());
    let pod = pod(bundle);
    let paths = named.into_iter().flatten().filter_map(|n| {
        let path = n.path().as_ref().filter(|p| !p.as_os_str().is_empty())?;
        Some((n.typ(), path))
    });
    let paths: Vec<_> = paths.collect();
    if paths.is_empty() && pod.is_none() {
        return Ok(None);
    }
    let states = states(app)?;
    for (kind, path) in paths {
        let Some(name) = file_name(kind) else {
            continue;
        };
        let wanted = identity(path);
        let hosts = identity(Path::new(&format!("/proc/self/ns/{name}")));
        let found = wanted.filter(|_| wanted != hosts);
        let Some(state) = found.and_then(|wanted| owner(&states, name, wanted)) else {
            if kind == Kind::Pid {
                let path = path.display();
                let text = format!(
                    "linux.namespaces: {path} is not the pid namespace of a container of this runtime"
                );
                return Err(Failure::new(1, text));
            }
            continue;
        };
        match kind {
            Kind::Pid => share.pids = Some(state.id.clone()),
            Kind::Uts => share.uts = Some(state.id.clone()),
            _ => {}
        }
        members.push(state.id.clone());
    }
    members.extend(pod);
    sandbox(app, &states, &members, share)
}

fn pod(bundle: &Bundle) -> Option<String> {
    let annotations = bundle.spec.annotations().as_ref()?;
    POD.iter().find_map(|(kind, container, id)| {
        let is_member = annotations.get(*kind).is_some_and(|k| k == container);
        annotations.get(*id).filter(|_| is_member).cloned()
    })
}

fn states(app: &App) -> Result<Vec<State>, Failure> {
    let ids = store::list(&app.root)?;
    // One that is being deleted is no candidate.
    Ok(ids
        .iter()
        .filter_map(|id| store::peek(&app.root, id).ok())
        .collect())
}

/// The one sandbox that all of `members` are in.
fn sandbox(
    app: &App,
    states: &[State],
    members: &[String],
    share: Share,
) -> Result<Option<Join>, Failure> {
    let mut found: Option<&str> = None;
    for id in members {
        let Some(state) = states.iter().find(|s| s.id == *id) else {
            return Err(Failure::new(1, format!("the sandbox {id} does not exist")));
        };
        let of = state.sandbox.as_deref().unwrap_or(&state.id);
        if found.is_some_and(|other| other != of) {
            let text = "linux.namespaces: namespaces of containers in different sandboxes \
                        cannot be joined at once";
            return Err(Failure::new(1, text));
        }
        found = Some(of);
    }
    let Some(id) = found else { return Ok(None) };
    Ok(Some(Join {
        id: id.to_owned(),
        sandbox: Client::connect(&app.root.join(id))?,
        share,
    }))
}
