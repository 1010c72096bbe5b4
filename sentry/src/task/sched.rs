//! Scheduling attributes as the guest sets and reads them (`sched(7)`). The host schedules;
//! these are remembered and reported.

use crate::mm::policy::MemPolicy;

/// Policy, priorities and affinity of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sched {
    /// `SCHED_*`, without the reset-on-fork bit.
    pub policy: i32,
    /// Real-time priority, 0 for the others.
    pub priority: i32,
    /// -20 to 19.
    pub nice: i32,
    /// `SCHED_RESET_ON_FORK`.
    pub reset_on_fork: bool,
    /// CPUs it may run on; bit n stands for CPU n.
    pub affinity: u64,
    /// `ioprio_set(2)`.
    pub ioprio: u16,
    /// `set_mempolicy(2)`.
    pub mempolicy: MemPolicy,
}

impl Sched {
    /// An ordinary thread on `cpus` CPUs.
    pub fn normal(cpus: usize) -> Sched {
        Sched {
            policy: 0,
            priority: 0,
            nice: 0,
            reset_on_fork: false,
            affinity: all(cpus),
            ioprio: 0,
            mempolicy: MemPolicy::default(),
        }
    }

    /// What a child gets.
    #[must_use]
    pub fn for_child(self) -> Sched {
        if !self.reset_on_fork {
            return self;
        }
        Sched {
            policy: 0,
            priority: 0,
            nice: self.nice.max(0),
            reset_on_fork: false,
            ..self
        }
    }
}

/// The mask of CPUs 0 to `cpus - 1`.
pub fn all(cpus: usize) -> u64 {
    match u32::try_from(cpus) {
        Ok(n) if n < 64 => (1u64 << n) - 1,
        _ => u64::MAX,
    }
}

impl super::Task {
    /// Whether the CPUs the guest is told of are the host's, by number.
    pub fn cpus_are_real(&self) -> bool {
        let told = all(usize::try_from(self.kernel.host.cpus.max(1)).unwrap_or(1));
        self.kernel.platform.cpus() == told
    }

    /// Keeps the thread on the CPUs of its affinity, where the host can.
    pub fn bind_cpus(&self) {
        let mask = self.sched.lock().affinity;
        if let Ok(ctx) = self.context()
            && self.cpus_are_real()
        {
            ctx.set_affinity(mask);
        }
    }

    /// The same for a new guest thread, which may run anywhere so far.
    pub(super) fn bind_new(&self) {
        if self.sched.lock().affinity != self.kernel.platform.cpus() {
            self.bind_cpus();
        }
    }
}
