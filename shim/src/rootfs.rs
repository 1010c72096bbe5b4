//! A container's root file system: containerd says by which mounts it is made, the shim makes
//! them.

use std::path::Path;
use std::process::{Command, Stdio};

use containerd_shim_protos::types::mount::Mount;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount,
};

use crate::fault::{Fault, Result};
use crate::reaper::Expect;

/// Options beyond this do not fit into a page, which is all that mount(2) takes.
const PAGE: usize = 4095;

/// mount(8)'s names of flags, and whether they set or clear it.
const FLAGS: [(&str, bool, MountFlags); 22] = [
    ("async", false, MountFlags::SYNCHRONOUS),
    ("atime", false, MountFlags::NOATIME),
    ("bind", true, MountFlags::BIND),
    ("dev", false, MountFlags::NODEV),
    ("diratime", false, MountFlags::NODIRATIME),
    ("dirsync", true, MountFlags::DIRSYNC),
    ("exec", false, MountFlags::NOEXEC),
    ("mand", true, MountFlags::PERMIT_MANDATORY_FILE_LOCKING),
    ("noatime", true, MountFlags::NOATIME),
    ("nodev", true, MountFlags::NODEV),
    ("nodiratime", true, MountFlags::NODIRATIME),
    ("noexec", true, MountFlags::NOEXEC),
    ("nomand", false, MountFlags::PERMIT_MANDATORY_FILE_LOCKING),
    ("norelatime", false, MountFlags::RELATIME),
    ("nosuid", true, MountFlags::NOSUID),
    ("rbind", true, MountFlags::BIND.union(MountFlags::REC)),
    ("relatime", true, MountFlags::RELATIME),
    ("ro", true, MountFlags::RDONLY),
    ("rw", false, MountFlags::RDONLY),
    ("strictatime", true, MountFlags::STRICTATIME),
    ("suid", false, MountFlags::NOSUID),
    ("sync", true, MountFlags::SYNCHRONOUS),
];

/// mount(8)'s names of propagation types.
const PROPAGATION: [(&str, MountPropagationFlags); 8] = [
    ("private", MountPropagationFlags::PRIVATE),
    (
        "rprivate",
        MountPropagationFlags::PRIVATE.union(MountPropagationFlags::REC),
    ),
    (
        "rshared",
        MountPropagationFlags::SHARED.union(MountPropagationFlags::REC),
    ),
    (
        "rslave",
        MountPropagationFlags::DOWNSTREAM.union(MountPropagationFlags::REC),
    ),
    (
        "runbindable",
        MountPropagationFlags::UNBINDABLE.union(MountPropagationFlags::REC),
    ),
    ("shared", MountPropagationFlags::SHARED),
    ("slave", MountPropagationFlags::DOWNSTREAM),
    ("unbindable", MountPropagationFlags::UNBINDABLE),
];

/// Options as mount(2) wants them.
#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    flags: MountFlags,
    propagation: Vec<MountPropagationFlags>,
    data: Vec<String>,
}

fn parse(options: &[String]) -> Parsed {
    let mut parsed = Parsed {
        flags: MountFlags::empty(),
        propagation: Vec::new(),
        data: Vec::new(),
    };
    for option in options {
        if let Some((_, set, flag)) = FLAGS.iter().find(|(name, ..)| name == option) {
            parsed.flags.set(*flag, *set);
        } else if let Some((_, kind)) = PROPAGATION.iter().find(|(name, _)| name == option) {
            parsed.propagation.push(*kind);
        } else if option != "defaults" {
            parsed.data.push(option.clone());
        }
    }
    parsed
}

/// Makes all mounts on `target`, which are all undone when one fails.
pub fn make(mounts: &[Mount], target: &Path, expect: &Expect) -> Result<()> {
    for m in mounts {
        std::fs::create_dir_all(target)?;
        let at = if m.target.is_empty() {
            target.to_owned()
        } else {
            target.join(m.target.trim_start_matches('/'))
        };
        if let Err(e) = one(m, &at, expect) {
            undo(target);
            let what = format!("mounting {} on {}", m.type_, at.display());
            return Err(e.context(&what));
        }
    }
    Ok(())
}

fn one(m: &Mount, target: &Path, expect: &Expect) -> Result<()> {
    let parsed = parse(&m.options);
    let data = parsed.data.join(",");
    if data.len() > PAGE {
        return from_there(m, target, &parsed, expect);
    }
    now(&m.type_, &m.source, target, &parsed)
}

fn now(kind: &str, source: &str, target: &Path, parsed: &Parsed) -> Result<()> {
    let data = std::ffi::CString::new(parsed.data.join(","))
        .map_err(|_| Fault::new("an option has a zero byte"))?;
    mount(source, target, kind, parsed.flags, Some(data.as_c_str()))?;
    let bind = parsed.flags.contains(MountFlags::BIND);
    if bind && parsed.flags.contains(MountFlags::RDONLY) {
        // A bind mount takes its flags only when it is there.
        mount_remount(target, parsed.flags - MountFlags::REC, "")?;
    }
    for kind in &parsed.propagation {
        mount_change(target, *kind)?;
    }
    Ok(())
}

/// An overlay of many layers: a process of its own mounts it from the folder that all layers
/// are in, which makes their paths short.
fn from_there(m: &Mount, target: &Path, parsed: &Parsed, expect: &Expect) -> Result<()> {
    let long = || Fault::new("the options are too long");
    let lower = parsed.data.iter().find_map(|o| o.strip_prefix("lowerdir="));
    let lower: Vec<&str> = lower.ok_or_else(long)?.split(':').collect();
    let base = common(&lower).ok_or_else(long)?;
    let short: Vec<&str> = lower.iter().map(|l| &l[base.len()..]).collect();
    let short = format!("lowerdir={}", short.join(":"));
    let options = m.options.iter().map(|o| match o.strip_prefix("lowerdir=") {
        Some(_) => &short,
        None => o,
    });
    let child = Command::new(std::env::current_exe()?)
        .args(["mount", &m.type_, &m.source])
        .arg(target)
        .args(options)
        .current_dir(base)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    match expect.wait(child.id() as i32) {
        0 => Ok(()),
        _ => Err(Fault::new("the helper failed")),
    }
}

/// The longest folder that all paths begin with, with its slash.
fn common<'a>(paths: &[&'a str]) -> Option<&'a str> {
    let (first, rest) = paths.split_first()?;
    let mut length = first.len();
    for path in rest {
        let same = first.bytes().zip(path.bytes()).take_while(|(a, b)| a == b);
        length = length.min(same.count());
    }
    let slash = first.get(..length)?.rfind('/')?;
    first.get(..=slash).filter(|base| base.starts_with('/'))
}

/// The action `mount TYPE SOURCE TARGET OPTION...`, see [`from_there`].
pub fn mount_here(args: &[String]) -> Result<()> {
    let [kind, source, target, options @ ..] = args else {
        return Err(Fault::new("mount needs a type, a source and a target"));
    };
    let parsed = parse(options);
    if parsed.data.join(",").len() > PAGE {
        return Err(Fault::new("the options are too long"));
    }
    now(kind, source, Path::new(target), &parsed)
}

/// Undoes all that is mounted on `target`.
pub fn undo(target: &Path) {
    // Each mount is one more; with none left the call fails.
    for _ in 0..1000 {
        if unmount(target, UnmountFlags::NOFOLLOW).is_ok() {
            continue;
        }
        // Busy, or not mounted at all.
        if unmount(target, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| s.to_string()).collect()
    }

    #[test]
    fn tables_are_in_order() {
        assert!(FLAGS.is_sorted_by_key(|f| f.0));
        assert!(PROPAGATION.is_sorted_by_key(|f| f.0));
    }

    #[test]
    fn options() {
        let parsed = parse(&strings(&[
            "rbind", "ro", "nosuid", "suid", "rslave", "size=3",
        ]));
        assert_eq!(
            parsed.flags,
            MountFlags::BIND | MountFlags::REC | MountFlags::RDONLY
        );
        let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        assert_eq!(parsed.propagation, [slave]);
        assert_eq!(parsed.data, ["size=3"]);
    }

    #[test]
    fn common_folder() {
        assert_eq!(common(&["/a/b/12/fs", "/a/b/13/fs"]), Some("/a/b/"));
        assert_eq!(common(&["/a/b", "/c"]), Some("/"));
        assert_eq!(common(&["a/b", "a/c"]), None);
        assert_eq!(common(&[]), None);
    }
}
