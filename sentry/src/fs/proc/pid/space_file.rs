//! Files of `/proc/PID` that read the process' address space by position (`mem`, `pagemap`).
//!
//! They keep the address space of the moment they were opened, so that what is read after an
//! `execve` is still the program that was opened (`proc_pid_mem(5)`).

use std::any::Any;
use std::sync::Arc;

use super::{Subject, may_look};
use crate::Result;
use crate::fs::file::{FileOps, OpenFlags};
use crate::fs::pseudo::Node;
use crate::fs::vfs::{Attr, FileType, Inode, InodeExtra};
use crate::task::Task;

/// Makes an open file of the task whose memory it shows.
type Opener = fn(&Arc<Task>) -> Arc<dyn FileOps>;

/// The inode of such a file; whoever opens it must be allowed to trace the process.
pub(super) struct SpaceFile {
    node: Node,
    subject: Subject,
    opener: Opener,
}

impl SpaceFile {
    /// The file `name` of the directory's process.
    pub(super) fn new(subject: &Subject, name: &str, mode: u32, opener: Opener) -> Arc<SpaceFile> {
        Arc::new(SpaceFile {
            node: subject.node(name, mode),
            subject: subject.clone(),
            opener,
        })
    }
}

impl Inode for SpaceFile {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn kind(&self) -> FileType {
        FileType::Regular
    }
    fn attr(&self) -> Result<Attr> {
        Ok(self.node.attr(FileType::Regular, 1, 0))
    }
    fn open(self: Arc<Self>, _flags: OpenFlags, t: Option<&Arc<Task>>) -> Result<Arc<dyn FileOps>> {
        let task = self.subject.task()?;
        may_look(t, &task)?;
        Ok((self.opener)(&task))
    }
    fn extra(&self) -> &InodeExtra {
        self.node.extra()
    }
    fn dev(&self) -> u64 {
        self.node.dev
    }
}
