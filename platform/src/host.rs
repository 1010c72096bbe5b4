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
    /// As monotonic, not slewed.
    MonotonicRaw,
    /// Wall clock at the last tick.
    RealtimeCoarse,
    /// Monotonic at the last tick.
    MonotonicCoarse,
}

/// Reads a host clock.
pub fn now(clock: HostClock) -> Duration {
    let id = match clock {
        HostClock::Realtime => ClockId::CLOCK_REALTIME,
        HostClock::Monotonic => ClockId::CLOCK_MONOTONIC,
        HostClock::Boottime => ClockId::CLOCK_BOOTTIME,
        HostClock::MonotonicRaw => ClockId::CLOCK_MONOTONIC_RAW,
        HostClock::RealtimeCoarse => ClockId::CLOCK_REALTIME_COARSE,
        HostClock::MonotonicCoarse => ClockId::CLOCK_MONOTONIC_COARSE,
    };
    clock_gettime(id).map_or(Duration::ZERO, Duration::from)
}

/// CPU time the Sentry's own process has used.
pub fn process_cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// The CPU time of one thread, read by others.
#[derive(Clone, Copy, Debug)]
pub struct ThreadClock(libc::clockid_t);

impl ThreadClock {
    /// That of the calling thread.
    #[must_use]
    pub fn mine() -> Option<Self> {
        crate::raw::thread_clock().map(Self)
    }

    /// The CPU time so far; `None` once the thread has ended.
    #[must_use]
    pub fn read(self) -> Option<Duration> {
        let time = clock_gettime(ClockId::from_raw(self.0)).ok()?;
        Some(Duration::from(time))
    }
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

/// Kind of a host descriptor, as `fstat(2)` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in inode(7)")]
pub enum FdKind {
    Regular,
    Directory,
    Pipe,
    Socket,
    CharDevice,
    BlockDevice,
    Other,
}

/// What the kernel wants to know of a descriptor it was given.
#[derive(Clone, Copy, Debug)]
pub struct FdInfo {
    /// Kind.
    pub kind: FdKind,
    /// Status flags and access mode (`F_GETFL`).
    pub flags: u32,
    /// Size in bytes.
    pub size: u64,
    /// Device number, for device nodes.
    pub rdev: u64,
}

/// Kind, flags and size of a descriptor.
pub fn describe(fd: BorrowedFd<'_>) -> io::Result<FdInfo> {
    use nix::sys::stat::{SFlag, fstat};
    let st = fstat(fd)?;
    let flags = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETFL)?;
    let kind = match SFlag::from_bits_truncate(st.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFREG => FdKind::Regular,
        SFlag::S_IFDIR => FdKind::Directory,
        SFlag::S_IFIFO => FdKind::Pipe,
        SFlag::S_IFSOCK => FdKind::Socket,
        SFlag::S_IFCHR => FdKind::CharDevice,
        SFlag::S_IFBLK => FdKind::BlockDevice,
        _ => FdKind::Other,
    };
    Ok(FdInfo {
        kind,
        flags: u32::try_from(flags).unwrap_or(0),
        size: u64::try_from(st.st_size).unwrap_or(0),
        rdev: st.st_rdev,
    })
}

/// A descriptor that is readable while `fd` has input (`input`) or room (`output`); an
/// error when `fd` is of a kind that is always ready.
pub fn readiness_set(
    fd: BorrowedFd<'_>,
    input: bool,
    output: bool,
) -> io::Result<std::os::fd::OwnedFd> {
    use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
    let set = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut events = EpollFlags::empty();
    events.set(EpollFlags::EPOLLIN, input);
    events.set(EpollFlags::EPOLLOUT, output);
    set.add(fd, EpollEvent::new(events, 0))?;
    Ok(set.0)
}

/// `lseek(2)`; the new position.
pub fn seek(fd: BorrowedFd<'_>, offset: i64, whence: i32) -> io::Result<u64> {
    use nix::unistd::{Whence, lseek};
    let whence = match whence {
        0 => Whence::SeekSet,
        1 => Whence::SeekCur,
        2 => Whence::SeekEnd,
        3 => Whence::SeekData,
        _ => Whence::SeekHole,
    };
    Ok(u64::try_from(lseek(fd, offset, whence)?).unwrap_or(0))
}

/// `ftruncate(2)`.
pub fn truncate(fd: BorrowedFd<'_>, len: u64) -> io::Result<()> {
    let len = i64::try_from(len).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    Ok(nix::unistd::ftruncate(fd, len)?)
}

/// Bytes of input waiting (`FIONREAD`).
pub fn input_bytes(fd: BorrowedFd<'_>) -> io::Result<i32> {
    crate::raw::fionread(fd)
}
