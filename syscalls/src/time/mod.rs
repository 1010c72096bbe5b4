//! Calls on time.

pub mod clock;
pub mod itimer;
pub mod posix_timer;
pub mod sleep;
pub mod timerfd;

use std::time::Duration;

use abi::Errno;
use abi::time::{Timespec, Timeval};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `struct itimerspec`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ITimerSpec {
    interval: Timespec,
    value: Timespec,
}

impl ITimerSpec {
    fn new((value, interval): (Duration, Duration)) -> ITimerSpec {
        ITimerSpec {
            interval: interval.into(),
            value: value.into(),
        }
    }
    /// Value and interval; `EINVAL`.
    fn decode(self) -> Result<(Duration, Duration), Errno> {
        Ok((self.value.to_duration()?, self.interval.to_duration()?))
    }
}

/// `struct itimerval`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ITimerVal {
    interval: Timeval,
    value: Timeval,
}

impl ITimerVal {
    fn new((value, interval): (Duration, Duration)) -> ITimerVal {
        ITimerVal {
            interval: interval.into(),
            value: value.into(),
        }
    }
    fn decode(self) -> Result<(Duration, Duration), Errno> {
        Ok((self.value.to_duration()?, self.interval.to_duration()?))
    }
}
