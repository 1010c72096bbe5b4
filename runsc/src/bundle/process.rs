//! A process of the specification in the form in which the sandbox is told of it.

use std::collections::HashSet;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use oci_spec::runtime::{Capability, Process};
use serde::{Deserialize, Serialize};

use crate::bundle::{Bundle, caps};
use crate::sys::WinSize;

/// The five capability sets (capabilities(7)) as bit masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapSets {
    /// What execve(2) may gain.
    pub bounding: u64,
    /// What is checked.
    pub effective: u64,
    /// Kept over execve(2) by files that say so.
    pub inheritable: u64,
    /// The most that may be made effective.
    pub permitted: u64,
    /// Kept over execve(2) of ordinary files.
    pub ambient: u64,
}

/// A resource limit (setrlimit(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// Linux's number of the resource.
    pub resource: u32,
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

/// A guest process to be started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GuestProcess {
    /// Program and arguments.
    pub args: Vec<String>,
    /// Environment, `NAME=value`.
    pub env: Vec<String>,
    /// Working directory in the guest.
    pub cwd: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// File creation mask.
    pub umask: u32,
    /// Capabilities.
    pub caps: CapSets,
    /// Resource limits; those not named are the kernel's own.
    pub rlimits: Vec<Rlimit>,
    /// PR_SET_NO_NEW_PRIVS.
    pub no_new_privs: bool,
    /// Whether stdin, stdout and stderr are one terminal.
    pub terminal: bool,
    /// The terminal's size at start.
    pub size: Option<WinSize>,
    /// /proc/PID/oom_score_adj.
    pub oom_score_adj: i32,
    /// Descriptors among the preserved ones that are not open.
    pub closed: Vec<i32>,
}

/// The variables in order, each with the value it is given last.
fn last_of_each(env: &[String]) -> Vec<String> {
    let name = |pair: &str| pair.split('=').next().map(str::to_string);
    let mut seen = HashSet::new();
    let mut kept: Vec<String> = env
        .iter()
        .rev()
        .filter(|pair| seen.insert(name(pair)))
        .cloned()
        .collect();
    kept.reverse();
    kept
}

/// The first process of a container: also what socket activation and crun's annotation for
/// the caller's groups ask for.
pub fn first(p: &Process, bundle: &Bundle) -> GuestProcess {
    const KEEP_GROUPS: &str = "run.oci.keep_original_groups";
    let mut process = guest_process(p, Some(&bundle.rootfs));
    if let Ok(count) = std::env::var("LISTEN_FDS") {
        process.env.push(format!("LISTEN_FDS={count}"));
        process.env.push("LISTEN_PID=1".into());
        process.env = last_of_each(&process.env);
    }
    let annotations = bundle.spec.annotations().as_ref();
    let keeps = annotations.and_then(|all| all.get(KEEP_GROUPS));
    if keeps.is_some_and(|value| value == "1") {
        let own = nix::unistd::getgroups().unwrap_or_default();
        process.groups = own.iter().map(|g| g.as_raw()).collect();
    }
    process
}

/// What the specification's process asks for. `rootfs` is where the home directory is
/// looked up when the environment has none.
pub fn guest_process(p: &Process, rootfs: Option<&Path>) -> GuestProcess {
    let mut env = last_of_each(p.env().as_deref().unwrap_or_default());
    let user = p.user();
    if !env.iter().any(|e| e.starts_with("HOME=")) {
        let home = rootfs
            .and_then(|r| home(r, user.uid()))
            .unwrap_or_else(|| "/".to_string());
        env.push(format!("HOME={home}"));
    }
    let mut groups = user.additional_gids().clone().unwrap_or_default();
    // setgroups(2) keeps them in order, and getgroups(2) shows them so.
    groups.sort_unstable();
    GuestProcess {
        args: p.args().clone().unwrap_or_default(),
        env,
        cwd: p.cwd().display().to_string(),
        uid: user.uid(),
        gid: user.gid(),
        groups,
        umask: user.umask().unwrap_or(0o022),
        caps: cap_sets(p),
        rlimits: rlimits(p),
        no_new_privs: p.no_new_privileges().unwrap_or(false),
        terminal: p.terminal().unwrap_or(false),
        size: p.console_size().map(|s| WinSize {
            rows: u16::try_from(s.height()).unwrap_or(u16::MAX),
            cols: u16::try_from(s.width()).unwrap_or(u16::MAX),
        }),
        oom_score_adj: p.oom_score_adj().unwrap_or(0),
        closed: Vec::new(),
    }
}

fn cap_sets(p: &Process) -> CapSets {
    let Some(c) = p.capabilities() else {
        return CapSets::default();
    };
    let mask = |set: &Option<HashSet<Capability>>| {
        let names: Vec<String> = set.iter().flatten().map(ToString::to_string).collect();
        caps::mask(names.iter().map(String::as_str))
    };
    CapSets {
        bounding: mask(c.bounding()),
        effective: mask(c.effective()),
        inheritable: mask(c.inheritable()),
        permitted: mask(c.permitted()),
        ambient: mask(c.ambient()),
    }
}

fn rlimits(p: &Process) -> Vec<Rlimit> {
    p.rlimits()
        .iter()
        .flatten()
        .filter_map(|r| {
            Some(Rlimit {
                resource: rlimit_number(&r.typ().to_string())?,
                soft: r.soft(),
                hard: r.hard(),
            })
        })
        .collect()
}

/// Linux's number of a resource by its name.
pub fn rlimit_number(name: &str) -> Option<u32> {
    const NAMES: [&str; 16] = [
        "RLIMIT_CPU",
        "RLIMIT_FSIZE",
        "RLIMIT_DATA",
        "RLIMIT_STACK",
        "RLIMIT_CORE",
        "RLIMIT_RSS",
        "RLIMIT_NPROC",
        "RLIMIT_NOFILE",
        "RLIMIT_MEMLOCK",
        "RLIMIT_AS",
        "RLIMIT_LOCKS",
        "RLIMIT_SIGPENDING",
        "RLIMIT_MSGQUEUE",
        "RLIMIT_NICE",
        "RLIMIT_RTPRIO",
        "RLIMIT_RTTIME",
    ];
    NAMES.iter().position(|n| *n == name).map(|n| n as u32)
}

/// The home directory of `uid` in the root file system's /etc/passwd, whose path is
/// resolved inside that root only.
fn home(rootfs: &Path, uid: u32) -> Option<String> {
    const MOST: u64 = 1 << 20;
    let root = std::fs::File::open(rootfs).ok()?;
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let file = std::fs::File::from(openat2(root.as_fd(), "etc/passwd", how).ok()?);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let id: u32 = fields.nth(2)?.parse().ok()?;
        let dir = fields.nth(2)?;
        (id == uid && !dir.is_empty()).then(|| dir.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_is_found_by_number() {
        let dir = tempfile::tempdir().expect("temporary folder");
        std::fs::create_dir(dir.path().join("etc")).expect("mkdir");
        let text = "root:x:0:0:root:/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh\n";
        std::fs::write(dir.path().join("etc/passwd"), text).expect("write");
        assert_eq!(home(dir.path(), 1000).as_deref(), Some("/home/u"));
        assert_eq!(home(dir.path(), 0).as_deref(), Some("/root"));
        assert_eq!(home(dir.path(), 7), None);
    }
}
