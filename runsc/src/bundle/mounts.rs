//! The specification's mounts, devices and path rules as the sandbox is told of them.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxDeviceType, Mount, Spec};
use serde::{Deserialize, Serialize};

use crate::bundle::Bundle;
use crate::cgroup;
use crate::cli::{Failure, reason};

/// What a guest mount shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A host folder or file, by its number among the Gofer's roots (0 is the root).
    Gofer(u32),
    /// tmpfs(5).
    Tmpfs,
    /// proc(5).
    Proc,
    /// sysfs(5).
    Sysfs,
    /// Pseudoterminals.
    Devpts,
    /// POSIX message queues.
    Mqueue,
    /// The container's own cgroup tree.
    Cgroup,
    /// Its trees of version 1, as the host has them.
    CgroupV1,
}

/// Mount flags that the guest's file system obeys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountFlags {
    /// MS_RDONLY.
    pub readonly: bool,
    /// MS_NOSUID.
    pub nosuid: bool,
    /// MS_NODEV.
    pub nodev: bool,
    /// MS_NOEXEC.
    pub noexec: bool,
    /// MS_NOATIME.
    pub noatime: bool,
}

/// One mount of the guest, in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GuestMount {
    /// Where, in the guest.
    pub destination: String,
    /// What.
    pub kind: MountKind,
    /// Source as /proc/mounts shows it.
    pub source: String,
    /// Flags.
    pub flags: MountFlags,
    /// Options of the file system itself, such as `size=64k`.
    pub data: Vec<String>,
}

/// A host folder or file that the Gofer serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRoot {
    /// Absolute host path.
    pub path: PathBuf,
    /// No writes through this root.
    pub readonly: bool,
    /// Mounts below it are seen too.
    pub recursive: bool,
}

/// A device node that the guest's /dev gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestDevice {
    /// Absolute guest path.
    pub path: String,
    /// S_IFCHR, S_IFBLK or S_IFIFO with permission bits.
    pub mode: u32,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// All mounts of a bundle and the host roots they need; root 0 is the root file system.
pub fn guest_mounts(
    bundle: &Bundle,
    warnings: &mut Vec<String>,
) -> Result<(Vec<GuestMount>, Vec<HostRoot>), Failure> {
    let root_readonly = bundle
        .spec
        .root()
        .as_ref()
        .is_some_and(|r| r.readonly().unwrap_or(false));
    let mut roots = vec![HostRoot {
        path: bundle.rootfs.clone(),
        readonly: root_readonly,
        recursive: true,
    }];
    let mut mounts = Vec::new();
    for (i, m) in bundle.spec.mounts().iter().flatten().enumerate() {
        if let Some(mount) = guest_mount(bundle, i, m, &mut roots, warnings)? {
            mounts.push(mount);
        }
    }
    Ok((mounts, roots))
}

/// The host path of a bind mount's source; the failure says it as runc does.
fn bind_source(bundle: &Path, source: &Path, destination: &Path) -> Result<PathBuf, Failure> {
    let path = bundle.join(source);
    path.canonicalize().map_err(|e| {
        Failure::new(
            1,
            format!(
                "unable to start container process: error during container init: error mounting {:?} to rootfs at {:?}: stat {}: {}",
                source.display().to_string(),
                destination.display().to_string(),
                path.display(),
                reason(&e)
            ),
        )
    })
}

fn guest_mount(
    bundle: &Bundle,
    index: usize,
    m: &Mount,
    roots: &mut Vec<HostRoot>,
    warnings: &mut Vec<String>,
) -> Result<Option<GuestMount>, Failure> {
    let options = Options::parse(m.options().as_deref().unwrap_or_default());
    let destination = Path::new("/").join(m.destination());
    let typ = m.typ().as_deref().unwrap_or("");
    let source = m.source().clone().unwrap_or_else(|| PathBuf::from(typ));
    let kind = if options.bind || typ == "bind" || typ == "rbind" {
        let path = bind_source(&bundle.dir, &source, &destination)?;
        let number = u32::try_from(roots.len()).unwrap_or(u32::MAX);
        roots.push(HostRoot {
            path,
            readonly: options.flags.readonly,
            recursive: options.recursive || typ == "rbind",
        });
        MountKind::Gofer(number)
    } else {
        match typ {
            "tmpfs" => MountKind::Tmpfs,
            "proc" => MountKind::Proc,
            "sysfs" => MountKind::Sysfs,
            "devpts" => MountKind::Devpts,
            "mqueue" => MountKind::Mqueue,
            "cgroup" if !cgroup::is_unified() => MountKind::CgroupV1,
            "cgroup" | "cgroup2" => MountKind::Cgroup,
            "devtmpfs" => MountKind::Tmpfs,
            "" => {
                let text = format!("mounts[{index}].type must not be empty without a bind option");
                return Err(Failure::new(1, text));
            }
            other => {
                warnings.push(format!(
                    "mounts[{index}].type {other:?} is not supported: {} is not mounted",
                    destination.display()
                ));
                return Ok(None);
            }
        }
    };
    Ok(Some(GuestMount {
        destination: destination.display().to_string(),
        kind,
        source: source.display().to_string(),
        flags: options.flags,
        data: options.data,
    }))
}

/// A mount's options, split into flags and what is left for the file system.
#[derive(Debug, Default)]
struct Options {
    bind: bool,
    recursive: bool,
    flags: MountFlags,
    data: Vec<String>,
}

impl Options {
    fn parse(list: &[String]) -> Options {
        let mut o = Options::default();
        for word in list {
            match word.as_str() {
                "bind" => o.bind = true,
                "rbind" => {
                    o.bind = true;
                    o.recursive = true;
                }
                "ro" | "rro" => o.flags.readonly = true,
                "rw" | "rrw" => o.flags.readonly = false,
                "nosuid" | "rnosuid" => o.flags.nosuid = true,
                "suid" | "rsuid" => o.flags.nosuid = false,
                "nodev" | "rnodev" => o.flags.nodev = true,
                "dev" | "rdev" => o.flags.nodev = false,
                "noexec" | "rnoexec" => o.flags.noexec = true,
                "exec" | "rexec" => o.flags.noexec = false,
                "noatime" | "rnoatime" => o.flags.noatime = true,
                "atime" | "ratime" | "relatime" | "rrelatime" | "strictatime" | "rstrictatime" => {
                    o.flags.noatime = false
                }
                // Propagation and flags without a meaning inside: the guest's mounts are
                // never shared with the host's.
                "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave"
                | "unbindable" | "runbindable" | "defaults" | "remount" | "nodiratime"
                | "diratime" | "sync" | "async" | "dirsync" | "silent" | "loud" | "mand"
                | "nomand" | "norelatime" | "nostrictatime" | "lazytime" | "nolazytime"
                | "iversion" | "noiversion" | "acl" | "noacl" | "tmpcopyup" | "symfollow"
                | "nosymfollow" => {}
                other => o.data.push(other.to_string()),
            }
        }
        o
    }
}

/// The devices every container gets, then those of the specification.
pub fn guest_devices(spec: &Spec) -> Vec<GuestDevice> {
    let node = |path: &str, minor: u32, major: u32| GuestDevice {
        path: path.to_string(),
        mode: libc::S_IFCHR | 0o666,
        major,
        minor,
        uid: 0,
        gid: 0,
    };
    let mut all = vec![
        node("/dev/null", 3, 1),
        node("/dev/zero", 5, 1),
        node("/dev/full", 7, 1),
        node("/dev/tty", 0, 5),
        node("/dev/random", 8, 1),
        node("/dev/urandom", 9, 1),
    ];
    let asked = spec
        .linux()
        .iter()
        .flat_map(|l| l.devices().iter().flatten());
    for d in asked {
        let kind = match d.typ() {
            LinuxDeviceType::B => libc::S_IFBLK,
            LinuxDeviceType::P => libc::S_IFIFO,
            _ => libc::S_IFCHR,
        };
        let path = d.path().display().to_string();
        all.retain(|have| have.path != path);
        all.push(GuestDevice {
            path,
            mode: kind | (d.file_mode().unwrap_or(0o666) & 0o7777),
            major: u32::try_from(d.major()).unwrap_or(0),
            minor: u32::try_from(d.minor()).unwrap_or(0),
            uid: d.uid().unwrap_or(0),
            gid: d.gid().unwrap_or(0),
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_split() {
        let words = ["rbind", "ro", "nosuid", "rprivate", "size=64k", "mode=755"];
        let o = Options::parse(&words.map(String::from));
        assert!(o.bind && o.recursive && o.flags.readonly && o.flags.nosuid);
        assert_eq!(o.data, ["size=64k", "mode=755"]);
    }
}
