//! The namespaces a task is in that are no part of its credentials, files or numbers
//! (`struct nsproxy`): host names, System V IPC and message queues, networks, control
//! groups, the process numbers of children, clocks.

use std::sync::Arc;

use abi::Errno;
use abi::raw::general as raw;

use super::pid::PidNamespace;
use super::uts::UtsNamespace;
use crate::ipc::IpcNs;
use crate::net::NetNs;
use crate::time::ns::TimeNs;
use crate::userns::UserNs;
use crate::{Kernel, Result, Task};

/// A control group namespace (`cgroup_namespaces(7)`). The kernel shows one group, which is
/// the root of each of them: they are told apart, and owned.
#[derive(Debug)]
pub struct CgroupNs {
    /// Inode number under `/proc/PID/ns/cgroup`; `None` for the first.
    pub ino: Option<u64>,
    /// The user namespace it belongs to.
    pub owner: UserNs,
}

impl CgroupNs {
    /// The first one.
    pub fn initial() -> Arc<CgroupNs> {
        Arc::new(CgroupNs {
            ino: None,
            owner: UserNs::INITIAL,
        })
    }
}

/// One namespace of each of these kinds.
#[derive(Clone)]
#[expect(missing_docs, reason = "named as in namespaces(7)")]
pub struct NsProxy {
    pub uts: Arc<UtsNamespace>,
    pub ipc: Arc<IpcNs>,
    pub net: Arc<NetNs>,
    pub cgroup: Arc<CgroupNs>,
    /// Whose numbers children get (`/proc/PID/ns/pid_for_children`).
    pub pid_for_children: Arc<PidNamespace>,
    /// Its clocks.
    pub time: Arc<TimeNs>,
    /// Those of children, and of itself once it executes a program.
    pub time_for_children: Arc<TimeNs>,
}

impl NsProxy {
    /// Those of `t`, with new namespaces of the kinds that `flags` (`CLONE_NEW*`) name, which
    /// belong to `owner`: `EINVAL` for numbers where children have others than `t`,
    /// `ENOSPC` for numbers nested too deep.
    pub fn unshared(t: &Task, flags: u64, owner: &UserNs) -> Result<NsProxy> {
        let has = |flag: u32| flags & u64::from(flag) != 0;
        let kernel: &Kernel = &t.kernel;
        let mut new = t.namespaces();
        if has(raw::CLONE_NEWUTS) {
            let (host, domain) = (new.uts.hostname(), new.uts.domainname());
            let ino = kernel.next_ns_ino();
            new.uts = Arc::new(UtsNamespace::new(ino, owner.clone(), &host, &domain));
        }
        if has(raw::CLONE_NEWIPC) {
            new.ipc = Arc::new(IpcNs::new(kernel.next_ns_ino(), owner.clone()));
        }
        if has(raw::CLONE_NEWNET) {
            new.net = NetNs::new(kernel, owner.clone());
        }
        if has(raw::CLONE_NEWCGROUP) {
            new.cgroup = Arc::new(CgroupNs {
                ino: Some(kernel.next_ns_ino()),
                owner: owner.clone(),
            });
        }
        if has(raw::CLONE_NEWPID) {
            if !Arc::ptr_eq(&new.pid_for_children, t.pid_ns()) {
                return Err(Errno::EINVAL);
            }
            new.pid_for_children = t.pid_ns().child(kernel.next_ns_ino(), owner)?;
        }
        if has(raw::CLONE_NEWTIME) {
            let now = &new.time_for_children;
            new.time_for_children = now.child(kernel.next_ns_ino(), owner);
        }
        Ok(new)
    }
}
