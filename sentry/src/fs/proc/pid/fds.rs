//! `/proc/PID/fd` and `/proc/PID/fdinfo`.

use std::sync::Arc;

use abi::Errno;

use super::{Subject, may_look};
use crate::Result;
use crate::fs::File;
use crate::fs::file::OpenFlags;
use crate::fs::pseudo::{Dir, Jump, Text, Tree};
use crate::fs::vfs::{FileType, Inode, Symlink, anon};
use crate::task::Task;

/// The descriptor a name means: only its canonical spelling does.
fn parse(name: &[u8]) -> Result<i32> {
    let name = std::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
    let fd = name.parse::<i32>().map_err(|_| Errno::ENOENT)?;
    if fd < 0 || fd.to_string() != name {
        return Err(Errno::ENOENT);
    }
    Ok(fd)
}

/// The file behind descriptor `fd` of the subject; `ENOENT`.
fn file_of(subject: &Subject, fd: i32) -> Result<Arc<File>> {
    let task = subject.task().map_err(|_| Errno::ENOENT)?;
    task.files().get(fd).map_err(|_| Errno::ENOENT)
}

fn list(subject: &Subject, kind: FileType) -> Result<Vec<(Vec<u8>, FileType)>> {
    let task = subject.task().map_err(|_| Errno::ENOENT)?;
    Ok(task
        .files()
        .list()
        .iter()
        .map(|fd| (fd.to_string().into_bytes(), kind))
        .collect())
}

struct Fd(Subject);
struct FdInfo(Subject);

/// `/proc/PID/fd`.
pub fn fd_dir(subject: &Subject) -> Arc<dyn Inode> {
    Dir::new(subject.node("fd", 0o500), Fd(subject.clone()))
}

/// `/proc/PID/fdinfo`.
pub fn fdinfo_dir(subject: &Subject) -> Arc<dyn Inode> {
    Dir::new(subject.node("fdinfo", 0o555), FdInfo(subject.clone()))
}

impl Tree for Fd {
    fn child(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let fd = parse(name)?;
        let flags = file_of(&self.0, fd)?.flags();
        let mut perm = 0o100;
        perm |= if flags.readable() || flags.contains(OpenFlags::PATH) {
            0o400
        } else {
            0
        };
        perm |= if flags.writable() { 0o200 } else { 0 };
        let subject = self.0.clone();
        let node = self.0.node(&format!("fd/{fd}"), perm);
        Ok(Jump::new(node, move || {
            let file = file_of(&subject, fd)?;
            // A file without a path still can be reached, by a place nothing else names.
            let path = file.path.clone().map_or_else(|| anon::of_file(&file), Ok)?;
            Ok(Symlink::Jump(path))
        }))
    }

    fn list(&self) -> Result<Vec<(Vec<u8>, FileType)>> {
        list(&self.0, FileType::Symlink)
    }
}

impl Tree for FdInfo {
    fn child(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let fd = parse(name)?;
        file_of(&self.0, fd)?;
        let subject = self.0.clone();
        let node = self.0.node(&format!("fdinfo/{fd}"), 0o444);
        Ok(Text::new(node, move |reader: Option<&Arc<Task>>| {
            let task = subject.task()?;
            may_look(reader, &task)?;
            let file = file_of(&subject, fd)?;
            let cloexec = task.files().cloexec(fd).unwrap_or(false);
            let mut flags = file.flags();
            flags.set(OpenFlags::CLOEXEC, cloexec);
            let mount = file.path.as_ref().map_or(15, |p| p.mount.id);
            let ino = file
                .inode()
                .map_or_else(|| file.ops.attr(), |i| i.attr())
                .map_or(0, |a| a.ino);
            let pos = *file.offset.lock();
            let mut text = format!(
                "pos:\t{pos}\nflags:\t0{:o}\nmnt_id:\t{mount}\nino:\t{ino}\n",
                flags.bits()
            );
            text.push_str(&file.ops.fdinfo(&subject.proc.pids));
            Ok(text.into_bytes())
        }))
    }

    fn list(&self) -> Result<Vec<(Vec<u8>, FileType)>> {
        list(&self.0, FileType::Regular)
    }
}
