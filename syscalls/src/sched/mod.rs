//! Calls on scheduling.

pub mod affinity;
pub mod membarrier;
pub mod policy;
pub mod priority;
pub mod rseq;

use std::sync::Arc;

use abi::Errno;
use sentry::creds::Cap;
use sentry::{Result, Task};

/// A thread by number; 0 is the caller.
fn find(t: &Arc<Task>, tid: i32) -> Result<Arc<Task>> {
    match tid {
        0 => Ok(t.clone()),
        n if n < 0 => Err(Errno::EINVAL),
        n => t.pid_ns().task(n).ok_or(Errno::ESRCH),
    }
}

/// Whether the caller may change the scheduling of `other`.
fn may_change(t: &Arc<Task>, other: &Arc<Task>) -> bool {
    let (me, them) = (t.creds(), other.creds());
    me.euid == them.uid || me.euid == them.euid || me.ns_capable(&them.user_ns, Cap::SysNice)
}
