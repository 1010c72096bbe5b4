//! `/proc/PID/{mounts,mountinfo,mountstats}` (`proc_pid_mountinfo(5)`).

use std::sync::Arc;

use crate::Result;
use crate::fs::dev;
use crate::fs::vfs::{Mount, MountFlags, Path, SuperFlags};
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

fn flags_text(flags: MountFlags, read_only: bool, of_super: &str) -> String {
    let names = [
        (MountFlags::NOSUID, ",nosuid"),
        (MountFlags::NODEV, ",nodev"),
        (MountFlags::NOEXEC, ",noexec"),
        (MountFlags::NOATIME, ",noatime"),
        (MountFlags::NODIRATIME, ",nodiratime"),
        (MountFlags::RELATIME, ",relatime"),
        (MountFlags::NOSYMFOLLOW, ",nosymfollow"),
    ];
    let mut text = if read_only { "ro" } else { "rw" }.to_owned();
    text.push_str(of_super);
    for (flag, name) in names {
        if flags.contains(flag) {
            text.push_str(name);
        }
    }
    text
}

/// The mounts the task sees, by number, each with the place it hangs at in the task's view.
fn visible(t: &Task) -> Vec<(Arc<Mount>, Vec<u8>)> {
    let (fs, mut seen) = (t.fs(), Vec::new());
    let (root, Some(ns)) = (fs.root(), fs.mounts()) else {
        return seen;
    };
    for m in ns.list() {
        let (at, reached) = Path::root_of(&m).text_reachable(Some(&root));
        if reached {
            seen.push((m, at));
        }
    }
    seen.sort_by_key(|(m, _)| m.id);
    seen
}

/// Flags of the file system instance, each with a comma in front.
fn super_text(m: &Mount) -> String {
    let names = [
        (SuperFlags::SYNCHRONOUS, ",sync"),
        (SuperFlags::DIRSYNC, ",dirsync"),
        (SuperFlags::MANDLOCK, ",mand"),
        (SuperFlags::LAZYTIME, ",lazytime"),
    ];
    let flags = m.sb.flags();
    let set = names.iter().filter(|(flag, _)| flags.contains(*flag));
    set.map(|(_, name)| *name).collect()
}

/// Options of the file system instance, with a comma in front.
fn options(m: &Mount) -> String {
    let text = m.fs.options();
    if text.is_empty() {
        return text;
    }
    format!(",{text}")
}

/// `mounts`.
pub fn mounts(t: &Task) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for (m, at) in visible(t) {
        mangle(&m.source, &mut out);
        out.push(b' ');
        mangle(&at, &mut out);
        let flags = flags_text(m.flags(), m.read_only(), &super_text(&m));
        let line = format!(" {} {flags}{} 0 0\n", m.fs.name(), options(&m));
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

/// `mountinfo`.
pub fn mountinfo(t: &Task) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let root = t.fs().root();
    for (m, at) in visible(t) {
        let parent = m.point().map_or(m.id, |p| p.mount.id);
        let (major, minor) = (dev::major(m.fs.dev()), dev::minor(m.fs.dev()));
        out.extend(format!("{} {parent} {major}:{minor} ", m.id).bytes());
        mangle(&m.root_in_fs(), &mut out);
        out.push(b' ');
        mangle(&at, &mut out);
        let ro = m.flags().contains(MountFlags::RDONLY);
        let (flags, spread) = (flags_text(m.flags(), ro, ""), propagation(&m, &root));
        out.extend(format!(" {flags}{spread} - {} ", m.fs.name()).bytes());
        mangle(&m.source, &mut out);
        let ro = m.sb.flags().contains(SuperFlags::RDONLY);
        let super_rw = if ro { "ro" } else { "rw" };
        out.extend(format!(" {super_rw}{}{}\n", super_text(&m), options(&m)).bytes());
    }
    Ok(out)
}

/// The optional fields of `mountinfo`.
fn propagation(m: &Arc<Mount>, root: &Path) -> String {
    let mut text = String::new();
    let link = m.link();
    if let Some(group) = link.shared {
        text.push_str(&format!(" shared:{group}"));
    }
    if let Some((master, from)) = m.namespace().and_then(|ns| ns.masters(m, root)) {
        text.push_str(&format!(" master:{master}"));
        if let Some(from) = from.filter(|from| *from != master) {
            text.push_str(&format!(" propagate_from:{from}"));
        }
    }
    if link.unbindable {
        text.push_str(" unbindable");
    }
    text
}
