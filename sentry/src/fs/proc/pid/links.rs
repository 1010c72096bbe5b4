//! `/proc/PID/{exe,cwd,root}` and `/proc/PID/ns`.

use std::sync::Arc;

use abi::Errno;

use super::Subject;
use crate::Result;
use crate::fs::pseudo::{Dir, Jump, Tree};
use crate::fs::vfs::{FileType, Inode, anon};
use crate::task::namespace::{Namespace, NsFile, NsKind};

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

/// Names under `/proc/PID/ns`.
const NAMESPACES: [(&str, NsKind); 10] = [
    ("cgroup", NsKind::Cgroup),
    ("ipc", NsKind::Ipc),
    ("mnt", NsKind::Mnt),
    ("net", NsKind::Net),
    ("pid", NsKind::Pid),
    ("pid_for_children", NsKind::Pid),
    ("time", NsKind::Time),
    ("time_for_children", NsKind::Time),
    ("user", NsKind::User),
    ("uts", NsKind::Uts),
];

struct Namespaces(Subject);

/// `/proc/PID/ns`.
pub fn ns_dir(subject: &Subject) -> Arc<dyn Inode> {
    Dir::new(subject.node("ns", 0o511), Namespaces(subject.clone()))
}

impl Tree for Namespaces {
    fn child(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let found = NAMESPACES.iter().find(|(n, _)| n.as_bytes() == name);
        let (name, kind) = found.ok_or(Errno::ENOENT)?;
        let subject = self.0.clone();
        let node = self.0.node(&format!("ns/{name}"), 0o777);
        Ok(Jump::to_path(node, move || {
            let task = subject.task()?;
            let ns = match *name {
                "pid_for_children" => Namespace::of_children(&task)?,
                "time_for_children" => Namespace::Time(task.namespaces().time_for_children),
                _ => Namespace::of(&task, *kind)?,
            };
            anon::of_file(&NsFile::file(ns))
        }))
    }

    fn list(&self) -> Result<Vec<(Vec<u8>, FileType)>> {
        Ok(NAMESPACES
            .iter()
            .map(|(n, _)| (n.as_bytes().to_vec(), FileType::Symlink))
            .collect())
    }
}
