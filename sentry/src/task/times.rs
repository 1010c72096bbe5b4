//! CPU time of tasks and processes (`times(2)`, `getrusage(2)`).

use std::time::Duration;

use super::Task;
use super::account::Counts;

/// Clock ticks a second towards the guest (`sysconf(_SC_CLK_TCK)`).
pub const CLOCK_TICKS: u64 = 100;

/// CPU time spent in guest code and in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTimes {
    /// Guest code.
    pub user: Duration,
    /// Kernel.
    pub system: Duration,
    /// What else was used meanwhile.
    pub counts: Counts,
}

impl CpuTimes {
    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: CpuTimes) -> CpuTimes {
        CpuTimes {
            user: self.user.saturating_add(other.user),
            system: self.system.saturating_add(other.system),
            counts: self.counts.plus(other.counts),
        }
    }
    /// User and system time together.
    pub fn total(self) -> Duration {
        self.user.saturating_add(self.system)
    }
    /// User and system time in clock ticks.
    pub fn ticks(self) -> (i64, i64) {
        (ticks(self.user), ticks(self.system))
    }
}

/// A duration in clock ticks.
pub fn ticks(d: Duration) -> i64 {
    let per_tick = u128::from(1_000_000_000 / CLOCK_TICKS);
    i64::try_from(d.as_nanos() / per_tick).unwrap_or(i64::MAX)
}

impl Task {
    /// CPU time of this thread.
    pub fn cpu_times(&self) -> CpuTimes {
        let user = self
            .context()
            .map_or(Duration::ZERO, |c| c.cpu_time())
            .saturating_add(self.earlier_cpu());
        CpuTimes {
            user,
            system: Duration::ZERO,
            counts: self.account.counts(),
        }
    }
}
