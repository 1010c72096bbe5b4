//! `do`: a command over the host's root, read-only under a memory overlay, with nothing to
//! prepare.

use std::io::IsTerminal;
use std::path::Path;

use serde_json::{Value, json};

use super::args::{BundleArgs, DoArgs, RunArgs};
use super::{App, Failure, Outcome, reason, run};
use crate::boot::Stdio;
use crate::bundle::{Bundle, caps, parse_spec, validate};
use crate::console::Raw;
use crate::container::lifecycle::{self, Preserved, Surroundings};

/// Runs the command.
pub fn host_do(app: &App, args: &DoArgs) -> Outcome {
    inner(app, args).map_err(|e| e.context("runsc do failed"))
}

fn inner(app: &App, args: &DoArgs) -> Outcome {
    let terminal = std::io::stdin().is_terminal()
        && std::io::stdout().is_terminal()
        && std::io::stderr().is_terminal();
    let bundle = bundle(args, terminal)?;
    let raw = if terminal { Some(Raw::own()?) } else { None };
    let stdio = match &raw {
        Some(raw) => Stdio::Terminal(raw.tty()?),
        None => lifecycle::own_stdio()?,
    };
    let surroundings = Surroundings {
        stdio,
        preserved: Preserved::default(),
        foreground: true,
        overlay: true,
    };
    let run_args = RunArgs {
        bundle: BundleArgs {
            bundle: None,
            config: None,
            console_socket: None,
            pid_file: None,
            no_pivot: false,
            no_new_keyring: false,
            preserve_fds: 0,
            id: format!("do-{}", std::process::id()),
        },
        detach: false,
        keep: false,
        no_subreaper: false,
    };
    run::attached(app, &run_args, &bundle, surroundings, raw.as_ref())
}

fn bundle(args: &DoArgs, terminal: bool) -> Result<Bundle, Failure> {
    let rootfs = args.rootfs.canonicalize().map_err(|e| {
        let text = format!(
            "invalid rootfs: stat {}: {}",
            args.rootfs.display(),
            reason(&e)
        );
        Failure::new(1, text)
    })?;
    let cwd = match &args.cwd {
        Some(cwd) => cwd.clone(),
        None if rootfs == Path::new("/") => std::env::current_dir()?,
        None => "/".into(),
    };
    let env: Vec<String> = std::env::vars_os()
        .filter_map(|(k, v)| Some(format!("{}={}", k.to_str()?, v.to_str()?)))
        .collect();
    let all: Vec<String> = caps::NAMES.iter().map(|n| format!("CAP_{n}")).collect();
    let mut spec = json!({
        "ociVersion": super::SPEC_VERSION,
        "process": {
            "terminal": terminal,
            "user": {"uid": 0, "gid": 0},
            "args": args.command,
            "env": env,
            "cwd": cwd,
            "capabilities": {"bounding": all, "effective": all, "permitted": all}
        },
        "root": {"path": rootfs},
        "hostname": "runsc",
        "mounts": mounts(&args.volume)?,
        "linux": {
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"},
                {"type": "uts"}, {"type": "mount"}
            ]
        }
    });
    if let Some(limit) = args.pids_limit
        && let Some(linux) = spec.get_mut("linux").and_then(Value::as_object_mut)
    {
        linux.insert("resources".into(), json!({"pids": {"limit": limit}}));
    }
    let mut warnings = Vec::new();
    let spec = parse_spec(spec.to_string().as_bytes(), &mut warnings)?;
    validate::spec(&spec, &mut warnings)?;
    Ok(Bundle {
        dir: "/".into(),
        rootfs,
        spec,
        warnings,
    })
}

fn mounts(volumes: &[String]) -> Result<Value, Failure> {
    let mut all = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc"}),
        json!({"destination": "/sys", "type": "sysfs", "source": "sysfs",
               "options": ["nosuid", "noexec", "nodev", "ro"]}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
               "options": ["nosuid", "mode=755", "size=65536k"]}),
        json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
               "options": ["nosuid", "noexec", "ptmxmode=0666", "mode=0620", "gid=5"]}),
        json!({"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
               "options": ["nosuid", "nodev", "mode=1777"]}),
    ];
    for volume in volumes {
        let mut parts = volume.split(':');
        let source = parts.next().unwrap_or_default();
        let source = Path::new(source).canonicalize().map_err(|e| {
            Failure::new(
                1,
                format!("volume {volume:?}: stat {source}: {}", reason(&e)),
            )
        })?;
        let dest = parts.next().map_or_else(|| source.clone(), Into::into);
        let mode = parts.next().unwrap_or("rw");
        all.push(
            json!({"destination": dest, "type": "bind", "source": source,
                        "options": ["rbind", mode]}),
        );
    }
    Ok(Value::Array(all))
}
