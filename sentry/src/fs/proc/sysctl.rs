//! `/proc/sys` (`proc(5)`, "sys").
//!
//! A value is either fixed, or lives in the kernel and may be written.

use std::sync::Arc;

use abi::Errno;

use super::{Proc, View};
use crate::Result;
use crate::creds::Cap;
use crate::fs::pseudo::{Dir, Text, Tree, Write};
use crate::fs::vfs::{FileType, Inode};
use crate::kernel::Kernel;
use crate::net::NetNs;
use crate::task::Task;
use crate::task::pid::PID_MAX;

/// Where a value comes from.
#[derive(Clone, Copy)]
enum Value {
    /// Always this.
    Fixed(&'static str),
    /// Computed from the kernel.
    Of(fn(&View) -> String),
    /// Kept in the kernel's sysctl store, with this default; writable by root.
    Stored(&'static str),
    /// The number given last in the namespace of who looks; written by who may restore
    /// processes.
    LastPid,
}

use Value::{Fixed, LastPid, Of, Stored};

/// Every setting, by path under `/proc/sys`, sorted.
const SETTINGS: [(&str, Value); 68] = [
    ("fs/aio-max-nr", Fixed("65536")),
    ("fs/aio-nr", Fixed("0")),
    ("fs/file-max", Fixed("9223372036854775807")),
    (
        "fs/file-nr",
        Of(|k| format!("{}\t0\t9223372036854775807", k.pids.first().count())),
    ),
    ("fs/inotify/max_queued_events", Fixed("16384")),
    ("fs/inotify/max_user_instances", Fixed("128")),
    ("fs/inotify/max_user_watches", Fixed("65536")),
    ("fs/lease-break-time", Stored("45")),
    ("fs/mount-max", Fixed("100000")),
    ("fs/mqueue/msg_default", Stored("10")),
    ("fs/mqueue/msg_max", Stored("10")),
    ("fs/mqueue/msgsize_default", Stored("8192")),
    ("fs/mqueue/msgsize_max", Stored("8192")),
    ("fs/mqueue/queues_max", Stored("256")),
    ("fs/nr_open", Fixed("1048576")),
    ("fs/overflowgid", Fixed("65534")),
    ("fs/overflowuid", Fixed("65534")),
    ("fs/pipe-max-size", Fixed("1048576")),
    ("fs/pipe-user-pages-hard", Fixed("0")),
    ("fs/pipe-user-pages-soft", Fixed("16384")),
    ("fs/protected_fifos", Fixed("0")),
    ("fs/protected_hardlinks", Fixed("0")),
    ("fs/protected_regular", Fixed("0")),
    ("fs/protected_symlinks", Fixed("0")),
    ("fs/suid_dumpable", Fixed("0")),
    ("kernel/cap_last_cap", Fixed("40")),
    ("kernel/core_pattern", Stored("core")),
    ("kernel/core_uses_pid", Stored("0")),
    (
        "kernel/domainname",
        Of(|k| String::from_utf8_lossy(&k.uts.domainname()).into_owned()),
    ),
    ("kernel/dmesg_restrict", Fixed("1")),
    (
        "kernel/hostname",
        Of(|k| String::from_utf8_lossy(&k.uts.hostname()).into_owned()),
    ),
    ("kernel/kptr_restrict", Fixed("1")),
    ("kernel/msg_next_id", Stored("-1")),
    ("kernel/msgmax", Stored("8192")),
    ("kernel/msgmnb", Stored("16384")),
    ("kernel/msgmni", Stored("32000")),
    ("kernel/ngroups_max", Fixed("65536")),
    ("kernel/ns_last_pid", LastPid),
    ("kernel/osrelease", Of(|k| k.kernel.release.clone())),
    ("kernel/ostype", Fixed("Linux")),
    ("kernel/overflowgid", Fixed("65534")),
    ("kernel/overflowuid", Fixed("65534")),
    ("kernel/perf_event_paranoid", Fixed("4")),
    ("kernel/pid_max", Fixed("4194304")),
    ("kernel/random/boot_id", Of(|k| k.kernel.boot_id.clone())),
    ("kernel/random/entropy_avail", Fixed("256")),
    ("kernel/random/poolsize", Fixed("256")),
    ("kernel/random/uuid", Of(|_| crate::fs::proc::uuid())),
    ("kernel/randomize_va_space", Fixed("2")),
    ("kernel/sem_next_id", Stored("-1")),
    ("kernel/sem", Stored("32000\t1024000000\t500\t32000")),
    (
        "kernel/seccomp/actions_avail",
        Fixed("kill_process kill_thread trap errno user_notif trace log allow"),
    ),
    ("kernel/shm_next_id", Stored("-1")),
    ("kernel/shm_rmid_forced", Stored("0")),
    ("kernel/shmall", Stored("18446744073692774399")),
    ("kernel/shmmax", Stored("18446744073692774399")),
    ("kernel/shmmni", Stored("4096")),
    (
        "kernel/threads-max",
        Of(|k| (k.kernel.host.memory / 131_072).to_string()),
    ),
    ("kernel/version", Of(|k| k.kernel.version.clone())),
    ("net/core/somaxconn", Stored("4096")),
    ("net/ipv4/ip_forward", Stored("0")),
    ("net/ipv4/ip_local_port_range", Stored("32768\t60999")),
    ("net/ipv4/ip_unprivileged_port_start", Stored("1024")),
    ("net/ipv4/ping_group_range", Stored("1\t0")),
    ("net/ipv4/tcp_keepalive_time", Stored("7200")),
    ("vm/max_map_count", Fixed("65530")),
    ("vm/mmap_min_addr", Fixed("65536")),
    ("vm/overcommit_memory", Fixed("1")),
];

/// A directory of settings: those whose path starts with `prefix`.
pub struct Sysctl {
    proc: Proc,
    prefix: String,
}

impl Sysctl {
    /// `/proc/sys`.
    pub fn root(proc: &Proc) -> Sysctl {
        Sysctl {
            proc: proc.clone(),
            prefix: String::new(),
        }
    }
}

impl Tree for Sysctl {
    fn child(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let name = std::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
        let path = format!("{}{name}", self.prefix);
        if let Some((path, value)) = SETTINGS.iter().find(|(p, _)| *p == path) {
            return Ok(file(&self.proc, path, *value));
        }
        let prefix = format!("{path}/");
        if SETTINGS.iter().any(|(p, _)| p.starts_with(&prefix)) {
            let node = self.proc.node(&format!("sys/{path}"), 0o555);
            return Ok(Dir::new(
                node,
                Sysctl {
                    proc: self.proc.clone(),
                    prefix,
                },
            ));
        }
        Err(Errno::ENOENT)
    }

    fn list(&self) -> Result<Vec<(Vec<u8>, FileType)>> {
        let mut all: Vec<(Vec<u8>, FileType)> = Vec::new();
        for (path, _) in &SETTINGS {
            let Some(rest) = path.strip_prefix(&self.prefix) else {
                continue;
            };
            let entry = match rest.split_once('/') {
                Some((dir, _)) => (dir.as_bytes().to_vec(), FileType::Directory),
                None => (rest.as_bytes().to_vec(), FileType::Regular),
            };
            if all.last() != Some(&entry) {
                all.push(entry);
            }
        }
        Ok(all)
    }
}

/// The value of a setting now, without newline; `None` if there is no such setting.
fn get(k: &View, net: &NetNs, path: &str) -> Option<String> {
    let (path, value) = SETTINGS.iter().find(|(p, _)| *p == path)?;
    Some(match value {
        Fixed(text) => (*text).to_owned(),
        Of(make) => make(k),
        Stored(default) => stored(&k.kernel, net, path).unwrap_or_else(|| (*default).to_owned()),
        LastPid => k.pids.last_pid().to_string(),
    })
}

/// What was written to a setting: of networks, each namespace has its own.
fn stored(k: &Kernel, net: &NetNs, path: &str) -> Option<String> {
    match path.starts_with("net/") {
        true => net.sysctl(path),
        false => k.sysctl(path),
    }
}

/// Stores a setting; `ENOENT` for one that does not exist, `EACCES` for one that is fixed.
pub fn set_stored(k: &Kernel, net: &NetNs, path: &str, text: &str) -> Result<()> {
    let (name, value) = SETTINGS
        .iter()
        .find(|(p, _)| *p == path)
        .ok_or(Errno::ENOENT)?;
    match value {
        // Core files are written here; programs that take them are not started.
        Stored(_) if *name == "kernel/core_pattern" && text.starts_with('|') => Err(Errno::EINVAL),
        Stored(_) if !in_range(name, text) => Err(Errno::EINVAL),
        Stored(_) => {
            match name.starts_with("net/") {
                true => net.set_sysctl(name, text),
                false => k.set_sysctl(name, text),
            }
            Ok(())
        }
        _ => Err(Errno::EACCES),
    }
}

/// Whether a number is one that the setting takes; settings without limits take any text.
fn in_range(name: &str, text: &str) -> bool {
    let max = i64::from(i32::MAX);
    let range = match name {
        "fs/mqueue/msg_default" | "fs/mqueue/msg_max" => 1..=65_536,
        "fs/mqueue/msgsize_default" | "fs/mqueue/msgsize_max" => 128..=(16 << 20),
        "fs/lease-break-time" => i64::from(i32::MIN)..=max,
        "fs/mqueue/queues_max" => -max..=max,
        "kernel/msg_next_id" | "kernel/sem_next_id" | "kernel/shm_next_id" => 0..=max,
        _ => return true,
    };
    text.trim().parse::<i64>().is_ok_and(|n| range.contains(&n))
}

/// The number a setting says now; `None` if it is no number.
pub fn number(k: &Kernel, path: &str) -> Option<i64> {
    let (path, value) = SETTINGS.iter().find(|(p, _)| *p == path)?;
    let text = match value {
        Stored(default) => k.sysctl(path).unwrap_or_else(|| (*default).to_owned()),
        _ => return None,
    };
    text.trim().parse().ok()
}

/// As [`set_stored`], but writing what a fixed one already says is no change.
fn set(k: &View, net: &NetNs, path: &str, text: &str) -> Result<()> {
    match set_stored(&k.kernel, net, path, text) {
        Err(Errno::EACCES) if get(k, net, path).as_deref() == Some(text) => Ok(()),
        other => other,
    }
}

/// The network whose settings a task sees.
fn net_of(k: &View, t: Option<&Arc<Task>>) -> Arc<NetNs> {
    t.map_or_else(|| k.kernel.net.clone(), |t| t.net())
}

fn file(proc: &Proc, path: &'static str, value: Value) -> Arc<dyn Inode> {
    let perm = match value {
        LastPid => 0o666,
        Stored(_) => 0o644,
        _ => 0o444,
    };
    let node = proc.node(&format!("sys/{path}"), perm);
    if matches!(value, LastPid) {
        return Text::new(node, Write(last_pid, set_last_pid));
    }
    let (reader, writer) = (proc.clone(), proc.clone());
    let read = move |t: Option<&Arc<Task>>| {
        let view = reader.view(t)?;
        let mut text = get(&view, &net_of(&view, t), path).ok_or(Errno::ENOENT)?;
        text.push('\n');
        Ok(text.into_bytes())
    };
    let write = move |t: Option<&Arc<Task>>, text: &[u8]| {
        let text = std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
        let view = writer.view(t)?;
        set(&view, &net_of(&view, t), path, text.trim_end())
    };
    Text::new(node, Write(read, write))
}

/// Reads `ns_last_pid`: of the reader's own namespace, whatever this instance shows.
fn last_pid(t: Option<&Arc<Task>>) -> Result<Vec<u8>> {
    let ns = t.ok_or(Errno::ENOENT)?.pid_ns();
    Ok(format!("{}\n", ns.last_pid()).into_bytes())
}

/// Writes it; `EPERM`, `EINVAL`.
fn set_last_pid(t: Option<&Arc<Task>>, text: &[u8]) -> Result<()> {
    let t = t.ok_or(Errno::EPERM)?;
    let (ns, creds) = (t.pid_ns(), t.creds());
    let may = |cap| creds.ns_capable(&ns.owner, cap);
    if !may(Cap::SysAdmin) && !may(Cap::CheckpointRestore) {
        return Err(Errno::EPERM);
    }
    let text = std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    let nr: i32 = text.trim().parse().map_err(|_| Errno::EINVAL)?;
    if !(0..=PID_MAX).contains(&nr) {
        return Err(Errno::EINVAL);
    }
    ns.set_last_pid(nr);
    Ok(())
}
