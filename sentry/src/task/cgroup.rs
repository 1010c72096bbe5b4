//! The control group of a container's processes: how many threads they may be (`pids.max`),
//! and whether they are held (`cgroup.freeze`).
//!
//! Memory and CPU time are the host's to limit: what runs guest code of a container that joined
//! another's sandbox is moved into that container's own groups of the host.
//!
//! A process is born into its parent's group and stays there. Several containers of one
//! sandbox may share a pid namespace; the group is what tells their processes apart.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use abi::Errno;
use platform::AddressSpace;

use super::Task;
use super::device_rules::DeviceRules;
use super::group::ThreadGroup;
use crate::Result;
use crate::kernel::Kernel;

/// One container's group.
#[derive(Default)]
pub struct Cgroup {
    /// Threads in it.
    count: AtomicU64,
    /// Most threads that may be in it; 0 for no limit.
    max: AtomicU64,
    /// No guest code of it runs.
    frozen: AtomicBool,
    /// Which devices may be used.
    devices: DeviceRules,
    /// `cgroup.procs` of the host's groups, where they are not those of the Sentry.
    host: Vec<OwnedFd>,
    /// The container is shown trees of version 1.
    v1: bool,
    /// Limit of the host's groups on memory, as files show it.
    memory_limit: Option<u64>,
}

/// What a group is made from.
#[derive(Default)]
pub struct NewCgroup {
    /// Which devices may be used.
    pub devices: DeviceRules,
    /// `cgroup.procs` of the host's groups, where they are not those of the Sentry.
    pub host: Vec<OwnedFd>,
    /// Whether the container is shown trees of version 1.
    pub v1: bool,
    /// Limit on memory, as files show it.
    pub memory_limit: Option<u64>,
}

impl fmt::Debug for Cgroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cgroup({} threads)", self.count())
    }
}

impl Cgroup {
    /// An empty one without a limit on threads.
    pub fn new(new: NewCgroup) -> Arc<Cgroup> {
        Arc::new(Cgroup {
            devices: new.devices,
            host: new.host,
            v1: new.v1,
            memory_limit: new.memory_limit,
            ..Cgroup::default()
        })
    }

    /// Puts what runs the space's guest code into the host's groups; `EAGAIN` when it cannot
    /// be.
    pub(crate) fn adopt(&self, space: &dyn AddressSpace) -> Result<()> {
        space.enter_groups(&self.host).map_err(|_| Errno::EAGAIN)
    }

    /// Whether the container is shown trees of version 1.
    pub fn is_v1(&self) -> bool {
        self.v1
    }

    /// The limit on memory.
    pub fn memory_limit(&self) -> Option<u64> {
        self.memory_limit
    }

    /// Which devices may be used in it.
    pub fn devices(&self) -> &DeviceRules {
        &self.devices
    }

    /// Limits the number of threads; `None` for no limit. Those there are stay.
    pub fn set_max(&self, max: Option<u64>) {
        self.max.store(max.unwrap_or(0), Ordering::Relaxed);
    }

    /// The limit.
    pub fn max(&self) -> Option<u64> {
        Some(self.max.load(Ordering::Relaxed)).filter(|&n| n != 0)
    }

    /// Threads in it now.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Makes room for a thread that is forked here; `EAGAIN` at the limit.
    pub(crate) fn charge(&self) -> Result<()> {
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        if self.max().is_some_and(|max| before >= max) {
            self.uncharge();
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }

    /// Counts a thread that enters from outside, which no limit stops.
    pub(crate) fn enter(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// A thread has left, or was not made after all.
    pub(crate) fn uncharge(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Stops all guest code in it until [`Cgroup::thaw`]; it can still be killed.
    pub fn freeze(self: &Arc<Cgroup>, kernel: &Kernel) {
        self.frozen.store(true, Ordering::SeqCst);
        self.tasks(kernel).iter().for_each(|t| t.kick());
    }

    /// Lets it run on.
    pub fn thaw(self: &Arc<Cgroup>, kernel: &Kernel) {
        self.frozen.store(false, Ordering::SeqCst);
        self.tasks(kernel).iter().for_each(|t| t.kick());
    }

    /// Whether it is frozen.
    pub fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::SeqCst)
    }

    fn tasks(self: &Arc<Cgroup>, kernel: &Kernel) -> Vec<Arc<Task>> {
        let mut tasks = kernel.all_tasks();
        tasks.retain(|t| Arc::ptr_eq(&t.thread_group().cgroup, self));
        tasks
    }

    /// Its processes that have a thread left, in order of their numbers.
    pub fn groups(self: &Arc<Cgroup>, kernel: &Kernel) -> Vec<Arc<ThreadGroup>> {
        let tasks = self.tasks(kernel);
        let mut groups: Vec<_> = tasks.iter().map(|t| t.thread_group().clone()).collect();
        groups.retain(|g| !g.is_zombie());
        groups.sort_by_key(|g| g.id.outermost());
        groups.dedup_by(|a, b| Arc::ptr_eq(a, b));
        groups
    }
}
