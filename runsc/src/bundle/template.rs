//! The configuration that `runsc spec` writes.

use serde_json::{Value, json};

use crate::cgroup;

/// The whole template. `rootless` maps the caller's own ids in a user namespace.
pub fn spec(rootless: Option<(u32, u32)>, args: &[String]) -> Value {
    let mut v = json!({
        "ociVersion": crate::cli::SPEC_VERSION,
        "process": {
            "terminal": true,
            "user": {"uid": 0, "gid": 0},
            "args": if args.is_empty() { vec!["sh".to_string()] } else { args.to_vec() },
            "env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm"
            ],
            "cwd": "/",
            "capabilities": capabilities(),
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "runsc",
        "mounts": mounts(),
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"},
                {"type": "uts"}, {"type": "mount"}
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys",
                "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
                "/proc/sched_debug", "/sys/firmware", "/proc/scsi"
            ],
            "readonlyPaths": [
                "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"
            ]
        }
    });
    let namespaces = v.pointer_mut("/linux/namespaces");
    if cgroup::is_unified()
        && let Some(list) = namespaces.and_then(Value::as_array_mut)
    {
        list.push(json!({"type": "cgroup"}));
    }
    if let Some((uid, gid)) = rootless {
        make_rootless(&mut v, uid, gid);
    }
    v
}

fn capabilities() -> Value {
    let set = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    json!({"bounding": set, "effective": set, "permitted": set, "ambient": set})
}

fn mounts() -> Value {
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
         "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs",
         "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
         "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}
    ])
}

fn make_rootless(v: &mut Value, uid: u32, gid: u32) {
    let map = |id: u32| json!([{"containerID": 0, "hostID": id, "size": 1}]);
    if let Some(linux) = v.get_mut("linux").and_then(Value::as_object_mut) {
        linux.insert("uidMappings".into(), map(uid));
        linux.insert("gidMappings".into(), map(gid));
        linux.remove("resources");
        if let Some(ns) = linux.get_mut("namespaces").and_then(Value::as_array_mut) {
            ns.retain(|n| n["type"] != "network");
            ns.push(json!({"type": "user"}));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_passes_its_own_validation() {
        for rootless in [None, Some((1000, 1000))] {
            let text = spec(rootless, &[]).to_string();
            let mut warnings = Vec::new();
            let parsed = crate::bundle::parse_spec(text.as_bytes(), &mut warnings)
                .unwrap_or_else(|e| panic!("{}", e.message));
            crate::bundle::validate::spec(&parsed, &mut warnings)
                .unwrap_or_else(|e| panic!("{}", e.message));
            assert!(warnings.is_empty());
        }
    }
}
