//! `/proc/PID` and `/proc/PID/task/TID`.
//!
//! A directory holds the process weakly: once it is reaped, its files and
//! look-ups answer `ESRCH`, listings `ENOENT`. Who may look into another process is [`may_look`].

mod fds;
mod links;
mod map_files;
mod maps;
mod mem;
mod mounts;
mod pagemap;
mod space_file;
mod stat;
mod status;
mod timens;
mod user_ns;

use std::sync::{Arc, Weak};

use abi::Errno;

use self::space_file::SpaceFile;
use super::{Proc, net};
use crate::Result;
use crate::fs::pseudo::{Dir, Node, Text, Tree, Write};
use crate::fs::sys::cgroup;
use crate::fs::vfs::{FileType, Inode, Owner};
use crate::ptrace::access::{Ids, may_access};
use crate::task::Task;
use crate::task::group::ThreadGroup;

/// One thread of one process, as a directory shows it.
#[derive(Clone)]
pub(super) struct Subject {
    pub(super) proc: Proc,
    group: Weak<ThreadGroup>,
    /// `None` for the process' own directory: its main thread.
    tid: Option<i32>,
    pub(super) pid: i32,
}

impl Subject {
    fn group(&self) -> Result<Arc<ThreadGroup>> {
        self.group.upgrade().ok_or(Errno::ESRCH)
    }

    /// The thread; `ESRCH` for one that has ended.
    pub(super) fn task(&self) -> Result<Arc<Task>> {
        let group = self.group()?;
        match self.tid {
            None => group.main_task().ok_or(Errno::ESRCH),
            Some(tid) => {
                let task = group
                    .tasks()
                    .into_iter()
                    .find(|t| t.tid_in(&self.proc.pids) == tid);
                task.ok_or(Errno::ESRCH)
            }
        }
    }

    /// A node for the file `name` of this directory, owned as the process is.
    fn node(&self, name: &str, perm: u32) -> Node {
        let owner = self.group.upgrade().map_or((0, 0), |g| g.owner());
        let owner = Owner {
            uid: owner.0,
            gid: owner.1,
        };
        let place = (self.pid, self.tid, name);
        Node::new(self.proc.dev, &place, perm, owner)
            .since(self.proc.since)
            .of_process()
    }
}

/// Whether `reader` may see the memory, descriptors and links of `subject`
/// (`ptrace(2)`, "Ptrace access mode checking"): the same user and no more privilege, or
/// `CAP_SYS_PTRACE`.
fn may_look(reader: Option<&Arc<Task>>, subject: &Task) -> Result<()> {
    let Some(reader) = reader else { return Ok(()) };
    may_access(reader, subject, Ids::Fs).map_err(|_| Errno::EACCES)
}

type Make = fn(&Task) -> Result<Vec<u8>>;

/// A text file of a process.
struct Entry {
    name: &'static str,
    perm: u32,
    make: Make,
    /// Whether only those who may look get the text.
    guarded: bool,
}

const fn open(name: &'static str, make: Make) -> Entry {
    Entry {
        name,
        perm: 0o444,
        make,
        guarded: false,
    }
}

const fn guarded(name: &'static str, perm: u32, make: Make) -> Entry {
    Entry {
        name,
        perm,
        make,
        guarded: true,
    }
}

/// Text files every process and thread has.
const ENTRIES: [Entry; 23] = [
    guarded("auxv", 0o400, maps::auxv),
    open("cgroup", |t| {
        Ok(cgroup::lines(&t.thread_group().cgroup).into_bytes())
    }),
    open("cmdline", maps::cmdline),
    guarded("environ", 0o400, maps::environ),
    guarded("io", 0o400, stat::io),
    open("limits", status::limits),
    open("loginuid", |_| Ok(b"4294967295".to_vec())),
    guarded("maps", 0o444, maps::maps),
    open("mountinfo", mounts::mountinfo),
    open("mounts", mounts::mounts),
    open("mountstats", mounts::mountstats),
    open("oom_score", stat::oom_score),
    guarded("personality", 0o400, status::personality),
    open("schedstat", stat::schedstat),
    open("sessionid", |_| Ok(b"4294967295".to_vec())),
    guarded("smaps", 0o444, maps::smaps),
    guarded("smaps_rollup", 0o444, maps::smaps_rollup),
    guarded("stack", 0o400, |_| Ok(Vec::new())),
    open("stat", |t| stat::stat(t, t.pid_ns(), 0)),
    open("statm", stat::statm),
    open("status", |t| {
        status::status(t, &t.creds().user_ns, t.pid_ns())
    }),
    guarded("syscall", 0o400, stat::syscall),
    open("wchan", stat::wchan),
];

/// Writable text files.
const WRITABLE: [&str; 4] = ["comm", "coredump_filter", "oom_score_adj", "timerslack_ns"];

/// Sub-directories of a process; a thread has all but `map_files` and `task`.
const DIRS: [&str; 6] = ["fd", "fdinfo", "map_files", "net", "ns", "task"];

/// The directory of a process.
pub fn process_dir(proc: &Proc, group: &Arc<ThreadGroup>) -> Arc<dyn Inode> {
    let subject = Subject {
        proc: proc.clone(),
        group: Arc::downgrade(group),
        tid: None,
        pid: group.pid_in(&proc.pids),
    };
    Dir::new(subject.node("", 0o555), Process { subject })
}

struct Process {
    subject: Subject,
}

impl Process {
    fn text(&self, entry: &'static Entry) -> Arc<dyn Inode> {
        let subject = self.subject.clone();
        Text::new(
            self.subject.node(entry.name, entry.perm),
            move |reader: Option<&Arc<Task>>| {
                let task = match subject.task() {
                    // A zombie has no thread left, but its stat and status live on.
                    Err(_) if matches!(entry.name, "stat" | "status" | "cmdline") => {
                        return status::zombie(&*subject.group()?, &subject.proc.pids, entry.name);
                    }
                    task => task?,
                };
                if entry.guarded {
                    may_look(reader, &task)?;
                }
                let own = reader.is_some_and(|r| std::ptr::eq(&**r, &*task));
                if own && entry.name == "syscall" {
                    return stat::own_syscall(&task);
                }
                // Numbers are those of this instance's namespace.
                let pids = &subject.proc.pids;
                match (entry.name, reader) {
                    ("stat", by) => {
                        let ahead = by.map_or(0, |by| by.boot_offset());
                        stat::stat(&task, pids, ahead)
                    }
                    ("status", Some(by)) => status::status(&task, &by.creds().user_ns, pids),
                    _ => (entry.make)(&task),
                }
            },
        )
    }

    fn writable(&self, name: &'static str) -> Arc<dyn Inode> {
        let (reader, writer) = (self.subject.clone(), self.subject.clone());
        let read = move |_: Option<&Arc<Task>>| status::read_setting(&*reader.task()?, name);
        let write = move |by: Option<&Arc<Task>>, text: &[u8]| {
            let task = writer.task()?;
            may_look(by, &task)?;
            status::write_setting(&task, name, text)
        };
        Text::new(self.subject.node(name, 0o644), Write(read, write))
    }
}

impl Tree for Process {
    fn child(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        self.subject.group()?;
        let name = std::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
        if let Some(entry) = ENTRIES.iter().find(|e| e.name == name) {
            return Ok(self.text(entry));
        }
        if let Some(name) = WRITABLE.iter().find(|n| **n == name) {
            return Ok(self.writable(name));
        }
        let s = &self.subject;
        if let Some(name) = user_ns::NAMES.iter().find(|n| **n == name) {
            return Ok(user_ns::file(s, name));
        }
        match name {
            "fd" => Ok(fds::fd_dir(s)),
            "mem" => Ok(SpaceFile::new(s, "mem", 0o600, mem::open)),
            "pagemap" => Ok(SpaceFile::new(s, "pagemap", 0o400, pagemap::open)),
            "fdinfo" => Ok(fds::fdinfo_dir(s)),
            "map_files" if s.tid.is_none() => Ok(map_files::dir(s)),
            "net" => Ok(net::dir(s, s.node("net", 0o555))),
            "ns" => Ok(links::ns_dir(s)),
            timens::NAME if s.tid.is_none() => Ok(timens::file(s)),
            "task" if s.tid.is_none() => Ok(Dir::new(s.node("task", 0o555), Tasks(s.clone()))),
            "cwd" | "exe" | "root" => Ok(links::link(s, name)),
            _ => Err(Errno::ENOENT),
        }
    }

    fn list(&self) -> Result<Vec<(Vec<u8>, FileType)>> {
        self.subject.group().map_err(|_| Errno::ENOENT)?;
        let texts = ENTRIES.iter().map(|e| e.name).chain(WRITABLE);
        let texts = texts.chain(user_ns::NAMES);
        let mut all: Vec<_> = texts
            .map(|n| (n.as_bytes().to_vec(), FileType::Regular))
            .collect();
        let dirs = DIRS
            .iter()
            .filter(|d| self.subject.tid.is_none() || !matches!(**d, "map_files" | "task"));
        all.extend(dirs.map(|d| (d.as_bytes().to_vec(), FileType::Directory)));
        all.push((b"mem".to_vec(), FileType::Regular));
        all.push((b"pagemap".to_vec(), FileType::Regular));
        if self.subject.tid.is_none() {
            all.push((timens::NAME.as_bytes().to_vec(), FileType::Regular));
        }
        all.extend(["cwd", "exe", "root"].map(|l| (l.as_bytes().to_vec(), FileType::Symlink)));
        all.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(all)
    }
}

/// The process whose `/proc/PID` this is, which stands for it as a pidfd does; `EBADF` for
/// any other inode, `ESRCH` when it is gone.
pub fn process_of(inode: &dyn Inode) -> Result<Arc<ThreadGroup>> {
    let dir = inode.as_any().downcast_ref::<Dir<Process>>();
    let subject = &dir.ok_or(Errno::EBADF)?.tree().subject;
    if subject.tid.is_some() {
        return Err(Errno::EBADF);
    }
    subject.group()
}

/// `/proc/PID/task`.
struct Tasks(Subject);

impl Tree for Tasks {
    fn child(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let group = self.0.group()?;
        let name = std::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
        let tid: i32 = name.parse().map_err(|_| Errno::ENOENT)?;
        let pids = &self.0.proc.pids;
        if !group.tasks().iter().any(|t| t.tid_in(pids) == tid) {
            return Err(Errno::ENOENT);
        }
        let subject = Subject {
            tid: Some(tid),
            ..self.0.clone()
        };
        Ok(Dir::new(subject.node("", 0o555), Process { subject }))
    }

    fn list(&self) -> Result<Vec<(Vec<u8>, FileType)>> {
        let group = self.0.group().map_err(|_| Errno::ENOENT)?;
        let pids = &self.0.proc.pids;
        let mut tids: Vec<i32> = group.tasks().iter().map(|t| t.tid_in(pids)).collect();
        tids.sort_unstable();
        Ok(tids
            .iter()
            .map(|t| (t.to_string().into_bytes(), FileType::Directory))
            .collect())
    }
}
