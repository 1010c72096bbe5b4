//! Processes as files (`pidfd_open(2)`).

use std::any::Any;
use std::sync::Arc;

use abi::Errno;
use abi::fs::PollEvents;

use super::PidNamespace;
use super::group::ThreadGroup;
use crate::Result;
use crate::fs::file::{File, FileOps, IoCx, OpenFlags};
use crate::wait::Pollee;

/// A pidfd.
pub struct PidFd {
    group: Arc<ThreadGroup>,
}

impl PidFd {
    /// A description of a process.
    pub fn file(group: &Arc<ThreadGroup>, flags: OpenFlags) -> Arc<File> {
        let ops = Arc::new(PidFd {
            group: group.clone(),
        });
        File::anonymous(ops, flags | OpenFlags::RDWR)
    }

    /// The process a description stands for; `EBADF` when it is no pidfd.
    pub fn group_of(file: &File) -> Result<Arc<ThreadGroup>> {
        let fd = file.downcast::<PidFd>().ok_or(Errno::EBADF)?;
        Ok(fd.group.clone())
    }
}

impl FileOps for PidFd {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn poll(&self, _cx: &IoCx<'_>) -> PollEvents {
        let (zombie, reaped) = {
            let life = self.group.life.lock();
            (life.zombie, life.reaped)
        };
        if reaped {
            PollEvents::IN | PollEvents::RDNORM | PollEvents::HUP
        } else if zombie {
            PollEvents::IN | PollEvents::RDNORM
        } else {
            PollEvents::empty()
        }
    }
    fn pollee(&self) -> Option<&Pollee> {
        Some(&self.group.exit_event)
    }
    fn description(&self) -> String {
        "anon_inode:[pidfd]".to_owned()
    }
    fn fdinfo(&self, pids: &PidNamespace) -> String {
        if self.group.life.lock().reaped {
            return "Pid:\t-1\nNSpid:\t-1\n".to_owned();
        }
        let pid = self.group.pid_in(pids);
        let levels = self.group.id.numbers_from(pids).iter();
        let levels: String = levels.map(|nr| format!("\t{nr}")).collect();
        // One that is not seen has the number 0 alone.
        let levels = if pid == 0 { "\t0" } else { &levels };
        format!("Pid:\t{pid}\nNSpid:{levels}\n")
    }
}
