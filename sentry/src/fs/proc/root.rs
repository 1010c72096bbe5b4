//! The root of `proc`: system-wide files and one directory a process.

use std::sync::Arc;

use abi::Errno;

use super::{Proc, View, cpu, memory, pid, sysctl};
use crate::Result;
use crate::fs::pseudo::{Dir, Link, Text, Tree};
use crate::fs::vfs::{FileType, Inode};
use crate::task::Task;

/// Makes the text of a system-wide file.
type Make = fn(&View) -> Vec<u8>;

/// System-wide text files.
const FILES: [(&str, Make); 16] = [
    ("cgroups", cgroups),
    ("cmdline", |_| b"\n".to_vec()),
    ("cpuinfo", cpu::cpuinfo),
    ("devices", devices),
    ("diskstats", |_| Vec::new()),
    ("filesystems", filesystems),
    ("interrupts", |_| Vec::new()),
    ("loadavg", loadavg),
    ("meminfo", memory::meminfo),
    ("modules", |_| Vec::new()),
    ("partitions", |_| b"major minor  #blocks  name\n\n".to_vec()),
    ("stat", cpu::stat),
    ("swaps", |_| {
        b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".to_vec()
    }),
    ("uptime", cpu::uptime_text),
    ("version", version),
    ("vmstat", memory::vmstat),
];

/// Links of the root: name and text.
const LINKS: [(&str, &str); 2] = [("mounts", "self/mounts"), ("net", "self/net")];

fn cgroups(_: &View) -> Vec<u8> {
    b"#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t0\t1\t1\nmemory\t0\t1\t1\npids\t0\t1\t1\n"
        .to_vec()
}

fn devices(_: &View) -> Vec<u8> {
    b"Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n"
        .to_vec()
}

fn filesystems(_: &View) -> Vec<u8> {
    let nodev = [
        "sysfs", "tmpfs", "proc", "cgroup2", "devpts", "mqueue", "overlay",
    ];
    nodev
        .iter()
        .map(|n| format!("nodev\t{n}\n"))
        .collect::<String>()
        .into_bytes()
}

pub(super) fn averages(k: &View) -> [f64; 3] {
    let (now, used) = (k.kernel.since_boot(), cpu::busy(k).total());
    k.kernel.load.lock().look(now, used)
}

fn loadavg(k: &View) -> Vec<u8> {
    let (running, _) = cpu::running(k);
    let [a, b, c] = averages(k);
    let (total, last) = (k.pids.first().count(), k.pids.last_pid());
    format!("{a:.2} {b:.2} {c:.2} {}/{total} {last}\n", running.max(1)).into_bytes()
}

fn version(k: &View) -> Vec<u8> {
    let v = &k.kernel;
    format!("Linux version {} (runsc) {}\n", v.release, v.version).into_bytes()
}

/// The root directory.
pub struct Root {
    proc: Proc,
}

impl Root {
    /// Of this instance.
    pub fn new(proc: Proc) -> Root {
        Root { proc }
    }
}

impl Tree for Root {
    fn child(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let name = std::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
        if let Some((_, make)) = FILES.iter().find(|(n, _)| *n == name) {
            let (proc, make) = (self.proc.clone(), *make);
            let perm = 0o444;
            return Ok(Text::new(
                self.proc.node(name, perm),
                move |reader: Option<&Arc<Task>>| Ok(make(&proc.view(reader)?)),
            ));
        }
        if let Some((_, target)) = LINKS.iter().find(|(n, _)| *n == name) {
            return Ok(Link::new(self.proc.node(name, 0o777), move |_| {
                Ok(target.as_bytes().to_vec())
            }));
        }
        match name {
            "self" | "thread-self" => {
                let (pids, of_thread) = (self.proc.pids.clone(), name != "self");
                Ok(Link::new(self.proc.node(name, 0o777), move |t| {
                    // Who is not of the namespace has no entry.
                    let seen = t.filter(|t| t.pid_in(&pids) != 0);
                    let t = seen.ok_or(Errno::ENOENT)?;
                    let (pid, tid) = (t.pid_in(&pids), t.tid_in(&pids));
                    let text = match of_thread {
                        true => format!("{pid}/task/{tid}"),
                        false => pid.to_string(),
                    };
                    Ok(text.into_bytes())
                }))
            }
            "sys" => Ok(Dir::new(
                self.proc.node(name, 0o555),
                sysctl::Sysctl::root(&self.proc),
            )),
            _ => {
                let pid: i32 = name.parse().map_err(|_| Errno::ENOENT)?;
                // Only the canonical spelling names a process.
                if pid.to_string() != name {
                    return Err(Errno::ENOENT);
                }
                let group = self.proc.pids.group(pid).ok_or(Errno::ENOENT)?;
                Ok(pid::process_dir(&self.proc, &group))
            }
        }
    }

    fn list(&self) -> Result<Vec<(Vec<u8>, FileType)>> {
        let mut all: Vec<(Vec<u8>, FileType)> = Vec::new();
        all.extend(
            FILES
                .iter()
                .map(|(n, _)| (n.as_bytes().to_vec(), FileType::Regular)),
        );
        all.extend(
            LINKS
                .iter()
                .map(|(n, _)| (n.as_bytes().to_vec(), FileType::Symlink)),
        );
        all.push((b"self".to_vec(), FileType::Symlink));
        all.push((b"thread-self".to_vec(), FileType::Symlink));
        all.push((b"sys".to_vec(), FileType::Directory));
        all.sort_by(|a, b| a.0.cmp(&b.0));
        for group in self.proc.pids.groups() {
            let pid = group.pid_in(&self.proc.pids);
            all.push((pid.to_string().into_bytes(), FileType::Directory));
        }
        Ok(all)
    }
}
