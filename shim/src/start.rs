//! The action `start`: gives the address of a server, a new one or that of the pod.

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::fault::{Fault, Result};
use crate::flags::Flags;

/// Where the sockets of all shims are.
const SOCKETS: &str = "/run/containerd/s";
/// Annotations by which a CRI implementation names the pod of a container, that of the pod
/// itself included.
const PODS: [&str; 2] = [
    "io.kubernetes.cri.sandbox-id",
    "io.kubernetes.cri-o.SandboxID",
];
/// The file in the bundle that keeps the address: containerd reads it after a restart.
const ADDRESS: &str = "address";

/// Prints the address, in the form of version 2 of the protocol.
pub fn start(flags: &Flags) -> Result<()> {
    if flags.id.is_empty() || flags.namespace.is_empty() {
        return Err(Fault::new("-id and -namespace are needed"));
    }
    let bundle = std::env::current_dir()?;
    let config: Value = serde_json::from_slice(&std::fs::read(bundle.join("config.json"))?)?;
    let group = pod(&config).unwrap_or(&flags.id);
    let socket = socket_path(&flags.address, &flags.namespace, group);
    if let Some(listener) = listen(&socket)? {
        let spawned = spawn(flags, &socket, listener);
        if spawned.is_err() {
            let _ = std::fs::remove_file(&socket);
        }
        spawned?;
    }
    let address = format!("unix://{}", socket.display());
    std::fs::write(bundle.join(ADDRESS), &address)?;
    print!("{address}");
    Ok(())
}

fn pod(config: &Value) -> Option<&str> {
    let named = PODS
        .iter()
        .find_map(|key| config["annotations"][*key].as_str());
    named.filter(|id| !id.is_empty())
}

/// The name that other shims give it too: a digest of what it belongs to.
fn socket_path(address: &str, namespace: &str, group: &str) -> PathBuf {
    let digest = Sha256::digest(format!("{address}/{namespace}/{group}"));
    let name: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    Path::new(SOCKETS).join(name)
}

/// A new socket, or `None` when somebody serves it already.
fn listen(path: &Path) -> Result<Option<UnixListener>> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    match UnixListener::bind(path) {
        Ok(listener) => Ok(Some(listener)),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
            if UnixStream::connect(path).is_ok() {
                return Ok(None);
            }
            // Its server was killed.
            std::fs::remove_file(path)?;
            Ok(Some(UnixListener::bind(path)?))
        }
        Err(e) => Err(e.into()),
    }
}

/// The server gets the listening socket as standard input: clients that connect before it is
/// up just wait.
fn spawn(flags: &Flags, socket: &Path, listener: UnixListener) -> Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["-namespace", &flags.namespace, "-id", &flags.id]);
    command.args(["-address", &flags.address, "-socket"]);
    command.arg(socket);
    if flags.debug {
        command.arg("-debug");
    }
    let child = command
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    yield_to_containerd(child.id());
    Ok(())
}

/// The host's OOM killer takes the server before containerd.
fn yield_to_containerd(server: u32) {
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    if let Ok(own) = own.trim().parse::<i32>() {
        let adjusted = (own + 1).min(1000).to_string();
        // A matter of preference; some hosts forbid it.
        let _ = std::fs::write(format!("/proc/{server}/oom_score_adj"), adjusted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups() {
        let config = serde_json::json!({"annotations": {PODS[0]: "p"}});
        assert_eq!(pod(&config), Some("p"));
        assert_eq!(pod(&serde_json::json!({})), None);
        // As containerd's own shims name it.
        assert_eq!(
            socket_path("/run/containerd/containerd.sock", "default", "123"),
            Path::new(SOCKETS)
                .join("0ddfbd72d02b3551e75f3a0ed90b9965b533401be618f43a568bc522764e0ad0")
        );
    }

    #[test]
    fn a_dead_socket_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let first = listen(&path).unwrap();
        assert!(first.is_some());
        assert!(listen(&path).unwrap().is_none());
        drop(first);
        assert!(listen(&path).unwrap().is_some());
    }
}
