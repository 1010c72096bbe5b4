//! `/proc/PID/{mounts,mountinfo,mountstats}` (`proc_pid_mountinfo(5)`).

use std::sync::Arc;

use crate::Result;
use crate::fs::dev;
use crate::fs::vfs::{Mount, MountFlags, Propagation};
use crate::task::Task;

/// Escapes what separates fields, as the kernel's `mangle` does.
fn mangle(text: &[u8], out: &mut Vec<u8>) {
    for &b in text {
        match b {
            b' ' | b'\t' | b'\n' | b'\\' | b'#' => out.extend(format!("\\{b:03o}").bytes()),
            _ => out.push(b),
        }
    }
}

fn flags_text(flags: MountFlags) -> String {
    let names = [
        (MountFlags::NOSUID, ",nosuid"),
        (MountFlags::NODEV, ",nodev"),
        (MountFlags::NOEXEC, ",noexec"),
        (MountFlags::NOATIME, ",noatime"),
        (MountFlags::NODIRATIME, ",nodiratime"),
        (MountFlags::RELATIME, ",relatime"),
    ];
    let mut text = if flags.contains(MountFlags::RDONLY) {
        "ro"
    } else {
        "rw"
    }
    .to_owned();
    for (flag, name) in names {
        if flags.contains(flag) {
            text.push_str(name);
        }
    }
    text
}

/// The mounts the task sees, each with the place it hangs at in the task's view.
fn visible(t: &Task) -> Vec<(Arc<Mount>, Vec<u8>)> {
    let root = t.fs().root();
    let Some(ns) = root.mount.namespace() else {
        return Vec::new();
    };
    ns.list()
        .into_iter()
        .map(|m| {
            let at = m.point().map_or_else(|| b"/".to_vec(), |p| p.text(&root));
            (m, at)
        })
        .collect()
}

fn options(m: &Mount) -> String {
    let extra = m.fs.options();
    if extra.is_empty() {
        String::new()
    } else {
        format!(",{extra}")
    }
}

/// `mounts`.
pub fn mounts(t: &Task) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for (m, at) in visible(t) {
        mangle(&m.source, &mut out);
        out.push(b' ');
        mangle(&at, &mut out);
        let line = format!(
            " {} {}{} 0 0\n",
            m.fs.name(),
            flags_text(m.flags()),
            options(&m)
        );
        out.extend(line.bytes());
    }
    Ok(out)
}

/// `mountstats`.
pub fn mountstats(t: &Task) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for (m, at) in visible(t) {
        out.extend(b"device ");
        mangle(&m.source, &mut out);
        out.extend(b" mounted on ");
        mangle(&at, &mut out);
        out.extend(format!(" with fstype {}\n", m.fs.name()).bytes());
    }
    Ok(out)
}

/// The root of the mount within its file system.
fn root_in_fs(m: &Mount) -> Vec<u8> {
    let mut names = Vec::new();
    let mut at = m.root.clone();
    while let Some((parent, name)) = at.place() {
        names.push(name);
        at = parent;
    }
    if names.is_empty() {
        return b"/".to_vec();
    }
    names
        .iter()
        .rev()
        .flat_map(|n| [b"/".as_slice(), n].concat())
        .collect()
}

/// `mountinfo`.
pub fn mountinfo(t: &Task) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for (m, at) in visible(t) {
        let parent = m.point().map_or(m.id, |p| p.mount.id);
        let (major, minor) = (dev::major(m.fs.dev()), dev::minor(m.fs.dev()));
        out.extend(format!("{} {parent} {major}:{minor} ", m.id).bytes());
        mangle(&root_in_fs(&m), &mut out);
        out.push(b' ');
        mangle(&at, &mut out);
        let shared = match m.propagation() {
            Propagation::Shared => format!(" shared:{}", m.id),
            Propagation::Slave => format!(" master:{}", m.id),
            Propagation::Unbindable => " unbindable".to_owned(),
            Propagation::Private => String::new(),
        };
        out.extend(format!(" {}{shared} - {} ", flags_text(m.flags()), m.fs.name()).bytes());
        mangle(&m.source, &mut out);
        let super_rw = if m.flags().contains(MountFlags::RDONLY) {
            "ro"
        } else {
            "rw"
        };
        out.extend(format!(" {super_rw}{}\n", options(&m)).bytes());
    }
    Ok(out)
}
