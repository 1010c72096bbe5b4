//! The container's cgroups on the host: version 1, hybrid or 2, by the file system.
//!
//! [`places`] names them, [`create`] makes them, [`Paths::join`] puts a process in, [`Paths::remove`]
//! removes them. The limit on guest tasks is the Sentry's own: `pids.max` would count the
//! Sentry's threads. [`limits`] turns resources into files, [`stats`] reads them back.

pub mod limits;
pub mod stats;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cli::{Failure, reason};

/// Where the host has its cgroups.
pub const MOUNT: &str = "/sys/fs/cgroup";

/// Controllers used under version 1.
const V1: [&str; 9] = [
    "memory", "cpu", "cpuacct", "cpuset", "pids", "devices", "freezer", "blkio", "systemd",
];

/// The container's folders: by controller under version 1, under `""` for version 2.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paths(BTreeMap<String, PathBuf>);

impl Paths {
    /// Whether there is a cgroup at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the host has only version 2.
    pub fn unified(&self) -> bool {
        self.0.contains_key("")
    }

    /// The folder of a controller.
    pub fn of(&self, controller: &str) -> Option<&Path> {
        self.0
            .get(controller)
            .or_else(|| self.0.get(""))
            .map(PathBuf::as_path)
    }

    /// Puts a process into every folder.
    pub fn join(&self, pid: i32) -> Result<(), String> {
        for dir in self.0.values() {
            write(dir, "cgroup.procs", &pid.to_string())?;
        }
        Ok(())
    }

    /// The `cgroup.procs` of the folders that limit memory and CPU time, open for writing. What
    /// cannot be opened limits the Sentry's part of the work only.
    pub fn entries(&self) -> Vec<OwnedFd> {
        let limiting = |name: &str| matches!(name, "" | "memory" | "cpu" | "cpuacct" | "cpuset");
        let dirs = self.0.iter().filter(|(name, _)| limiting(name));
        dirs.filter_map(|(_, dir)| {
            let file = OpenOptions::new()
                .write(true)
                .open(dir.join("cgroup.procs"));
            file.ok().map(OwnedFd::from)
        })
        .collect()
    }

    /// Whether what is put into the cgroup would stand still.
    pub fn is_frozen(&self) -> bool {
        let reads = |controller, file: &str, frozen: &str| {
            let text = self
                .of(controller)
                .and_then(|dir| std::fs::read_to_string(dir.join(file)).ok());
            text.is_some_and(|text| text.trim() == frozen)
        };
        reads("freezer", "freezer.state", "FROZEN") || reads("", "cgroup.freeze", "1")
    }

    /// Checks `--cgroup` of `exec`, `[CONTROLLER[,CONTROLLER...]:]PATH` under version 1 and
    /// `PATH` under version 2: guest processes are counted in the container's own cgroup, so
    /// that is the only one there is.
    pub fn check_sub(&self, asked: &str) -> Result<(), Failure> {
        let (controllers, path) = match asked.split_once(':') {
            Some((list, path)) => (list.split(',').collect(), path),
            None => (Vec::new(), asked),
        };
        for name in &controllers {
            if !self.0.contains_key(*name) {
                return Err(Failure::new(1, format!("unknown controller {name}")));
            }
        }
        if Path::new(path)
            .components()
            .any(|c| c == Component::ParentDir)
        {
            return Err(Failure::new(1, format!("{path} is not a sub cgroup path")));
        }
        let sub = path.trim_matches('/');
        let first = controllers.first().copied().unwrap_or_default();
        let place = self.0.get(first).or_else(|| self.0.values().next());
        match place.filter(|_| !sub.is_empty() && sub != ".") {
            None => Ok(()),
            Some(dir) => {
                let file = dir.join(sub).join("cgroup.procs");
                let why = match file.exists() {
                    true => "operation not supported",
                    false => "no such file or directory",
                };
                let pid = std::process::id();
                let text = format!(
                    "error adding pid {pid} to cgroups: failed to open {}: {why}",
                    file.display()
                );
                Err(Failure::new(1, text))
            }
        }
    }

    /// Every host process inside.
    pub fn processes(&self) -> Vec<i32> {
        let Some(dir) = self.0.values().next() else {
            return Vec::new();
        };
        std::fs::read_to_string(dir.join("cgroup.procs"))
            .unwrap_or_default()
            .lines()
            .filter_map(|l| l.parse().ok())
            .collect()
    }

    /// Removes the folders, waiting a while for their last processes to be gone.
    pub fn remove(&self) -> Result<(), String> {
        for dir in self.0.values() {
            remove_tree(dir)?;
        }
        Ok(())
    }
}

fn remove_tree(dir: &Path) -> Result<(), String> {
    let mut wait = Duration::from_millis(1);
    for _ in 0..10 {
        if let Ok(entries) = std::fs::read_dir(dir) {
            let is_dir = |e: &std::fs::DirEntry| e.file_type().is_ok_and(|t| t.is_dir());
            for child in entries.flatten().filter(is_dir) {
                remove_tree(&child.path())?;
            }
        }
        match std::fs::remove_dir(dir) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) => {
                std::thread::sleep(wait);
                wait *= 2;
            }
            Err(e) => return Err(format!("rmdir {}: {}", dir.display(), reason(&e))),
        }
    }
    Err(format!("rmdir {}: device or resource busy", dir.display()))
}

/// Thaws the freezer cgroup of version 1 that a process was put into by somebody else: it
/// would not die there.
pub fn thaw_process(pid: i32) {
    let path = path_of(&format!("/proc/{pid}/cgroup"), "freezer");
    let path = path.as_deref().map(|path| path.trim_start_matches('/'));
    let freezer = path.map(|path| Path::new(MOUNT).join("freezer").join(path));
    if let Some(dir) = freezer.filter(|dir| dir.join("freezer.state").exists()) {
        // One that cannot be thawed is reported as still running.
        let _ = write(&dir, "freezer.state", "THAWED");
    }
}

/// Writes a control file.
pub fn write(dir: &Path, file: &str, value: &str) -> Result<(), String> {
    let path = dir.join(file);
    std::fs::write(&path, value).map_err(|e| {
        format!(
            "failed to write {value:?}: write {}: {}",
            path.display(),
            reason(&e)
        )
    })
}

/// Whether the host has only version 2.
pub fn is_unified() -> bool {
    Path::new(MOUNT).join("cgroup.controllers").exists()
}

/// Where the container's cgroups will be: at `asked` (cgroupsPath, or the id when there is
/// none). Known before any is made, so that whoever dies meanwhile leaves none unnamed.
pub fn places(asked: Option<&Path>, id: &str, systemd: bool) -> Paths {
    let path = match asked {
        Some(p) if systemd => systemd_path(&p.display().to_string(), id),
        Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
        _ => PathBuf::from(id),
    };
    if is_unified() {
        let dir = place(Path::new(MOUNT), "", &path);
        return Paths(BTreeMap::from([(String::new(), dir)]));
    }
    let mount = |controller: &str| Path::new(MOUNT).join(controller);
    let there = V1
        .into_iter()
        .filter(|c| mount(c).join("cgroup.procs").exists())
        .map(|c| (c.to_string(), place(&mount(c), c, &path)));
    Paths(there.collect())
}

/// Makes the cgroups at these [`places`]. What cannot be made is left out, with a warning.
pub fn create(mut paths: Paths, warnings: &mut Vec<String>) -> Paths {
    paths.0.retain(|controller, dir| {
        let made = if controller.is_empty() {
            make_unified(dir)
        } else {
            std::fs::create_dir_all(&*dir).map_err(|e| format!("{}: {}", dir.display(), reason(&e)))
        };
        match &made {
            Ok(()) if controller == "cpuset" => {
                fill_cpuset(&Path::new(MOUNT).join(controller), dir);
            }
            Ok(()) => {}
            Err(e) => warnings.push(format!("cannot create cgroup {e}")),
        }
        made.is_ok()
    });
    paths
}

/// `slice:prefix:name` as the folder systemd would make of it.
fn systemd_path(text: &str, id: &str) -> PathBuf {
    let mut parts = text.split(':');
    let slice = parts
        .next()
        .filter(|s| !s.is_empty())
        .unwrap_or("system.slice");
    let prefix = parts.next().unwrap_or_default();
    let name = parts.next().unwrap_or(id);
    let mut path = PathBuf::from("/");
    // a-b.slice lies in a.slice.
    let stem = slice.strip_suffix(".slice").unwrap_or(slice);
    let mut at = String::new();
    for part in stem.split('-').filter(|p| !p.is_empty()) {
        if !at.is_empty() {
            at.push('-');
        }
        at.push_str(part);
        path.push(format!("{at}.slice"));
    }
    path.join(if prefix.is_empty() {
        format!("{name}.scope")
    } else {
        format!("{prefix}-{name}.scope")
    })
}

/// An absolute path counts from the mount, another from our own cgroup.
fn place(mount: &Path, controller: &str, path: &Path) -> PathBuf {
    let clean = |p: &Path| -> PathBuf {
        p.components()
            .filter(|c| matches!(c, Component::Normal(_)))
            .collect()
    };
    if path.is_absolute() {
        return mount.join(clean(path));
    }
    mount
        .join(clean(Path::new(&own_path(controller))))
        .join(clean(path))
}

fn own_path(controller: &str) -> String {
    path_of("/proc/self/cgroup", controller).unwrap_or_else(|| "/".to_string())
}

/// The cgroup of a process in the hierarchy of a controller (proc_pid_cgroup(5)).
fn path_of(file: &str, controller: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let wanted = |list: &str| {
        list.split(',')
            .any(|c| c == controller || c.strip_prefix("name=") == Some(controller))
    };
    text.lines().find_map(|line| {
        let mut f = line.splitn(3, ':');
        let (_, list, path) = (f.next()?, f.next()?, f.next()?);
        wanted(list).then(|| path.to_string())
    })
}

/// Makes the folder and turns the controllers on for each folder on the way.
fn make_unified(dir: &Path) -> Result<(), String> {
    std::fs::create_dir_all(dir).map_err(|e| format!("{}: {}", dir.display(), reason(&e)))?;
    let available =
        std::fs::read_to_string(Path::new(MOUNT).join("cgroup.controllers")).unwrap_or_default();
    let mut at = PathBuf::from(MOUNT);
    let below = dir.strip_prefix(MOUNT).unwrap_or(Path::new(""));
    for part in below.components() {
        for controller in available.split_whitespace() {
            // One that cannot be delegated here is found missing when a limit is set.
            let _ = write(&at, "cgroup.subtree_control", &format!("+{controller}"));
        }
        at.push(part);
    }
    Ok(())
}

/// A new cpuset is empty and takes no process: it gets its parent's CPUs and nodes.
fn fill_cpuset(mount: &Path, dir: &Path) {
    let below = dir.strip_prefix(mount).unwrap_or(Path::new(""));
    let mut parent = mount.to_path_buf();
    for part in below.components() {
        let child = parent.join(part);
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let have = std::fs::read_to_string(child.join(file)).unwrap_or_default();
            if have.trim().is_empty()
                && let Ok(value) = std::fs::read_to_string(parent.join(file))
            {
                // Shown by the failing join when it did not work.
                let _ = write(&child, file, value.trim());
            }
        }
        parent = child;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_names() {
        let p = systemd_path("a-b.slice:docker:xyz", "id");
        assert_eq!(p, Path::new("/a.slice/a-b.slice/docker-xyz.scope"));
    }

    #[test]
    fn dots_do_not_climb() {
        let p = place(Path::new("/m"), "x", Path::new("/../../a"));
        assert_eq!(p, Path::new("/m/a"));
    }
}
