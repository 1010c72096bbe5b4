//! Time structures (`clock_gettime(2)`, `setitimer(2)`).

use std::time::Duration;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Errno;

/// `struct timespec`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Timespec {
    /// Seconds.
    pub sec: i64,
    /// Nanoseconds, 0 to 999,999,999 when valid.
    pub nsec: i64,
}

impl Timespec {
    /// As a duration; `EINVAL` for negative or out of range fields.
    pub fn to_duration(self) -> Result<Duration, Errno> {
        match (u64::try_from(self.sec), u32::try_from(self.nsec)) {
            (Ok(s), Ok(n)) if n < 1_000_000_000 => Ok(Duration::new(s, n)),
            _ => Err(Errno::EINVAL),
        }
    }
}

impl From<Duration> for Timespec {
    fn from(d: Duration) -> Timespec {
        Timespec {
            sec: i64::try_from(d.as_secs()).unwrap_or(i64::MAX),
            nsec: i64::from(d.subsec_nanos()),
        }
    }
}

/// `struct timeval`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Timeval {
    /// Seconds.
    pub sec: i64,
    /// Microseconds, 0 to 999,999 when valid.
    pub usec: i64,
}

impl Timeval {
    /// As a duration; `EINVAL` for negative or out of range fields.
    pub fn to_duration(self) -> Result<Duration, Errno> {
        match (u64::try_from(self.sec), u32::try_from(self.usec)) {
            (Ok(s), Ok(u)) if u < 1_000_000 => Ok(Duration::new(s, u * 1000)),
            _ => Err(Errno::EINVAL),
        }
    }
}

impl From<Duration> for Timeval {
    fn from(d: Duration) -> Timeval {
        Timeval {
            sec: i64::try_from(d.as_secs()).unwrap_or(i64::MAX),
            usec: i64::from(d.subsec_micros()),
        }
    }
}
