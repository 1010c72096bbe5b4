//! The few host services the kernel uses besides running guests: clocks, random bytes and
//! reads and writes on descriptors it was given.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::sys::uio;
use nix::time::{ClockId, clock_gettime};

/// Which host clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostClock {
    /// Wall clock since the epoch.
    Realtime,
    /// Since some start, never set back, stops in suspend.
    Monotonic,
    /// As monotonic, counts suspend.
    Boottime,
}

/// Reads a host clock.
pub fn now(clock: HostClock) -> Duration {
    let id = match clock {
        HostClock::Realtime => ClockId::CLOCK_REALTIME,
        HostClock::Monotonic => ClockId::CLOCK_MONOTONIC,
        HostClock::Boottime => ClockId::CLOCK_BOOTTIME,
    };
    clock_gettime(id).map_or(Duration::ZERO, Duration::from)
}

/// CPU time the Sentry's own process has used.
pub fn process_cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// `pread(2)`, or `read(2)` without an offset.
pub fn read_at(fd: BorrowedFd<'_>, offset: Option<u64>, buf: &mut [u8]) -> io::Result<usize> {
    Ok(match offset {
        Some(o) => uio::pread(fd, buf, i64::try_from(o).unwrap_or(i64::MAX))?,
        None => nix::unistd::read(fd, buf)?,
    })
}

/// `pwrite(2)`, or `write(2)` without an offset.
pub fn write_at(fd: BorrowedFd<'_>, offset: Option<u64>, buf: &[u8]) -> io::Result<usize> {
    Ok(match offset {
        Some(o) => uio::pwrite(fd, buf, i64::try_from(o).unwrap_or(i64::MAX))?,
        None => nix::unistd::write(fd, buf)?,
    })
}

/// Whether the host descriptor has input (or hang-up) and takes output just now.
pub fn poll_now(fd: BorrowedFd<'_>) -> (bool, bool, bool) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN | PollFlags::POLLOUT)];
    if poll(&mut fds, PollTimeout::ZERO).is_err() {
        return (false, false, false);
    }
    let got = fds[0].revents().unwrap_or(PollFlags::empty());
    (
        got.intersects(PollFlags::POLLIN),
        got.intersects(PollFlags::POLLOUT),
        got.intersects(PollFlags::POLLHUP | PollFlags::POLLERR),
    )
}

/// The raw number of a descriptor, for logs.
pub fn number(fd: BorrowedFd<'_>) -> i32 {
    fd.as_raw_fd()
}

/// Fills `buf` with random bytes from the host (`getrandom(2)`).
pub fn random(buf: &mut [u8]) -> io::Result<()> {
    crate::raw::getrandom(buf)
}
