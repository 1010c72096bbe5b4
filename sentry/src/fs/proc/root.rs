//! The root of `proc`: system-wide files and one directory a process.

use std::sync::Arc;

use abi::Errno;

use super::{Proc, cpu, memory, pid, sysctl};
use crate::Result;
use crate::fs::pseudo::{Dir, Link, Text, Tree};
use crate::fs::vfs::{FileType, Inode};
use crate::kernel::Kernel;
use crate::task::Task;

/// Makes the text of a system-wide file.
type Make = fn(&Kernel) -> Vec<u8>;

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
    ("swaps", |_| b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".to_vec()),
    ("uptime", cpu::uptime_text),
    ("version", version),
    ("vmstat", memory::vmstat),
];

/// Links of the root: name and text.
const LINKS: [(&str, &str); 2] = [("mounts", "self/mounts"), ("net", "self/net")];

fn cgroups(_: &Kernel) -> Vec<u8> {
    b"#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t0\t1\t1\nmemory\t0\t1\t1\npids\t0\t1\t1\n"
        .to_vec()
}

fn devices(_: &Kernel) -> Vec<u8> {
    b"Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n"
        .to_vec()
}

fn filesystems(_: &Kernel) -> Vec<u8> {
    let nodev = ["sysfs", "tmpfs", "proc", "cgroup2", "devpts", "mqueue", "overlay"];
    nodev.iter().map(|n| format!("nodev\t{n}\n")).collect::<String>().into_bytes()
}

fn loadavg(k: &Kernel) -> Vec<u8> {
    let (forks, running, _, _) = k.task_counts();
    let [one, five, fifteen] = k.load_average();
    let total = k.task_total();
    format!("{one:.2} {five:.2} {fifteen:.2} {}/{total} {forks}\n", running.max(1)).into_bytes()
}

fn version(k: &Kernel) -> Vec<u8> {
    let uts = k.uts();
    format!("{} version {} (runsc) {}\n", uts.sysname, uts.release, uts.version).into_bytes()
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
            return Ok(Text::new(self.proc.node(name, perm), move |_: Option<&Arc<Task>>| {
                Ok(make(&*proc.kernel()?))
            }));
        }
        if let Some((_, target)) = LINKS.iter().find(|(n, _)| *n == name) {
            return Ok(Link::new(self.proc.node(name, 0o777), move |_| Ok(target.as_bytes().to_vec())));
        }
        match name {
            "self" => Ok(Link::new(self.proc.node(name, 0o777), |t| {
                let t = t.ok_or(Errno::ENOENT)?;
                Ok(t.pid().to_string().into_bytes())
            })),
            "thread-self" => Ok(Link::new(self.proc.node(name, 0o777), |t| {
                let t = t.ok_or(Errno::ENOENT)?;
                Ok(format!("{}/task/{}", t.pid(), t.tid()).into_bytes())
            })),
            "sys" => Ok(Dir::new(self.proc.node(name, 0o555), sysctl::Sysctl::root(&self.proc))),
            _ => {
                let pid: i32 = name.parse().map_err(|_| Errno::ENOENT)?;
                // Only the canonical spelling names a process.
                if pid.to_string() != name {
                    return Err(Errno::ENOENT);
                }
                let task = self.proc.kernel()?.task(pid).ok_or(Errno::ENOENT)?;
                Ok(pid::process_dir(&self.proc, &task))
            }
        }
    }

    fn list(&self) -> Result<Vec<(Vec<u8>, FileType)>> {
        let kernel = self.proc.kernel()?;
        let mut all: Vec<(Vec<u8>, FileType)> = Vec::new();
        all.extend(FILES.iter().map(|(n, _)| (n.as_bytes().to_vec(), FileType::Regular)));
        all.extend(LINKS.iter().map(|(n, _)| (n.as_bytes().to_vec(), FileType::Symlink)));
        all.push((b"self".to_vec(), FileType::Symlink));
        all.push((b"thread-self".to_vec(), FileType::Symlink));
        all.push((b"sys".to_vec(), FileType::Directory));
        all.sort();
        for pid in kernel.pids() {
            all.push((pid.to_string().into_bytes(), FileType::Directory));
        }
        Ok(all)
    }
}
