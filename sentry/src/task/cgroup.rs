//! The control group of a container's processes: how many threads they may be (`pids.max`),
//! and whether they are held (`cgroup.freeze`).
//!
//! A process is born into its parent's group and stays there. Several containers of one
//! sandbox may share a pid namespace; the group is what tells their processes apart.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use abi::Errno;

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
}

impl fmt::Debug for Cgroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cgroup({} threads)", self.count())
    }
}

impl Cgroup {
    /// An empty one without limits, but for the devices that may be used.
    pub fn new(devices: DeviceRules) -> Arc<Cgroup> {
        Arc::new(Cgroup {
            devices,
            ..Cgroup::default()
        })
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
