//! The clock the kernel is given. All times are durations since the clock's origin.

use std::time::Duration;

/// A source of time.
pub trait Clock: Send + Sync {
    /// `CLOCK_MONOTONIC`.
    fn monotonic(&self) -> Duration;
    /// `CLOCK_REALTIME`, since the epoch.
    fn realtime(&self) -> Duration;
    /// `CLOCK_BOOTTIME`.
    fn boottime(&self) -> Duration;
    /// `CLOCK_MONOTONIC_RAW`.
    fn monotonic_raw(&self) -> Duration {
        self.monotonic()
    }
    /// `CLOCK_REALTIME_COARSE`.
    fn realtime_coarse(&self) -> Duration {
        self.realtime()
    }
    /// `CLOCK_MONOTONIC_COARSE`.
    fn monotonic_coarse(&self) -> Duration {
        self.monotonic()
    }
}

/// The host's clocks, so that a guest's vDSO and the kernel agree.
#[derive(Debug, Default)]
pub struct HostClock;

impl Clock for HostClock {
    fn monotonic(&self) -> Duration {
        platform::host::now(platform::host::HostClock::Monotonic)
    }
    fn realtime(&self) -> Duration {
        platform::host::now(platform::host::HostClock::Realtime)
    }
    fn boottime(&self) -> Duration {
        platform::host::now(platform::host::HostClock::Boottime)
    }
    fn monotonic_raw(&self) -> Duration {
        platform::host::now(platform::host::HostClock::MonotonicRaw)
    }
    fn realtime_coarse(&self) -> Duration {
        platform::host::now(platform::host::HostClock::RealtimeCoarse)
    }
    fn monotonic_coarse(&self) -> Duration {
        platform::host::now(platform::host::HostClock::MonotonicCoarse)
    }
}
