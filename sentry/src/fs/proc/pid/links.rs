//! `/proc/PID/{exe,cwd,root}` and `/proc/PID/ns`.

use std::sync::Arc;

use abi::Errno;

use super::Subject;
use crate::Result;
use crate::fs::pseudo::{Dir, Jump, Link, Tree};
use crate::fs::vfs::{FileType, Inode};

/// One of the three links that lead to a place.
pub fn link(subject: &Subject, name: &str) -> Arc<dyn Inode> {
    let node = subject.node(name, 0o777);
    let s = subject.clone();
    match name {
        "cwd" => Jump::to_path(node, move || Ok(s.task()?.fs().cwd())),
        "root" => Jump::to_path(node, move || Ok(s.task()?.fs().root())),
        _ => Jump::to_path(node, move || {
            s.task()?
                .exe()
                .and_then(|e| e.path().cloned())
                .ok_or(Errno::ENOENT)
        }),
    }
}

/// Namespaces and the numbers of the first one of each kind, as in Linux.
const NAMESPACES: [(&str, &str, u64); 10] = [
    ("cgroup", "cgroup", 4_026_531_835),
    ("ipc", "ipc", 4_026_531_839),
    ("mnt", "mnt", 4_026_531_841),
    ("net", "net", 4_026_531_840),
    ("pid", "pid", 4_026_531_836),
    ("pid_for_children", "pid", 4_026_531_836),
    ("time", "time", 4_026_531_834),
    ("time_for_children", "time", 4_026_531_834),
    ("user", "user", 4_026_531_837),
    ("uts", "uts", 4_026_531_838),
];

struct Namespaces(Subject);

/// `/proc/PID/ns`.
pub fn ns_dir(subject: &Subject) -> Arc<dyn Inode> {
    Dir::new(subject.node("ns", 0o511), Namespaces(subject.clone()))
}

impl Tree for Namespaces {
    fn child(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let found = NAMESPACES.iter().find(|(n, _, _)| n.as_bytes() == name);
        let (name, kind, number) = found.ok_or(Errno::ENOENT)?;
        let text = format!("{kind}:[{number}]").into_bytes();
        Ok(Link::new(
            self.0.node(&format!("ns/{name}"), 0o777),
            move |_| Ok(text.clone()),
        ))
    }

    fn list(&self) -> Result<Vec<(Vec<u8>, FileType)>> {
        Ok(NAMESPACES
            .iter()
            .map(|(n, _, _)| (n.as_bytes().to_vec(), FileType::Symlink))
            .collect())
    }
}
