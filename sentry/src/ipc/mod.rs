//! System V IPC (`sysvipc(7)`) and POSIX message queues (`mq_overview(7)`).
//!
//! [`table`] keeps objects by identifier and key with their permissions; [`shm`], [`sem`]
//! and [`msg`] are the three kinds, [`mqueue`] the POSIX queues, [`mqueue_fs`] their
//! file system. An [`IpcNs`] is a namespace of them.

pub mod mqueue;
pub mod mqueue_fs;
pub mod msg;
pub mod sem;
pub mod shm;
pub mod table;

use std::fmt;

use crate::task::ThreadGroup;
use crate::userns::UserNs;

/// An IPC namespace (`ipc_namespaces(7)`).
#[derive(Default)]
pub struct IpcNs {
    /// Inode number under `/proc/PID/ns/ipc`; `None` for the first.
    pub ino: Option<u64>,
    /// The user namespace it belongs to.
    pub owner: UserNs,
    /// Shared memory segments.
    pub shm: table::Table<shm::Segment>,
    /// Semaphore sets.
    pub sem: table::Table<sem::Set>,
    /// Message queues.
    pub msg: table::Table<msg::Queue>,

    /// POSIX message queues by name.
    pub mqueue: mqueue::Names,
}

impl fmt::Debug for IpcNs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IpcNs({:?})", self.ino)
    }
}

impl IpcNs {
    /// An empty one.
    pub fn new(ino: u64, owner: UserNs) -> IpcNs {
        IpcNs {
            ino: Some(ino),
            owner,
            ..IpcNs::default()
        }
    }

    /// Whether a process has semaphore adjustments to be made at its end.
    pub fn has_undo(&self, group: &ThreadGroup) -> bool {
        self.sem.all().iter().any(|(_, set)| set.has_undo(group))
    }

    /// A process ended.
    pub fn exit(&self, group: &ThreadGroup) {
        for (_, set) in self.sem.all() {
            set.exit(group);
        }
    }
}
