//! Host system calls of systrap, and the window onto the control file.
//!
//! Thin: each function is one call with its errno. Neighbours: everything in `systrap`.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// `struct seccomp_notif` (linux/seccomp.h).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Notif {
    /// Cookie of the notification.
    pub id: u64,
    /// Thread id in our pid namespace.
    pub pid: u32,
    /// Unused.
    pub flags: u32,
    /// System call number.
    pub nr: i32,
    /// AUDIT_ARCH value.
    pub arch: u32,
    /// Address after the instruction.
    pub ip: u64,
    /// Arguments.
    pub args: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct Resp {
    id: u64,
    val: i64,
    error: i32,
    flags: u32,
}

const NOTIF_RECV: libc::c_ulong = 0xc050_2100;
const NOTIF_SEND: libc::c_ulong = 0xc018_2101;
const NOTIF_SET_FLAGS: libc::c_ulong = 0x4008_2104;
const SYNC_WAKE_UP: u64 = 1;
const RESP_CONTINUE: u32 = 1;

/// The calling thread's errno.
fn errno() -> i32 {
    std::io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO)
}

fn check(result: i64) -> Result<i64, i32> {
    if result < 0 { Err(errno()) } else { Ok(result) }
}

fn owned(result: i64) -> Result<OwnedFd, i32> {
    let fd = i32::try_from(check(result)?).map_err(|_| libc::EBADF)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Owns a descriptor that has just been received with a message.
#[must_use]
pub fn adopt(fd: i32) -> OwnedFd {
    // SAFETY: the caller took it out of a message; nothing else knows its number.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Takes the next notification of a listener.
pub fn notif_recv(listener: BorrowedFd<'_>) -> Result<Notif, i32> {
    let mut notif = Notif::default();
    // SAFETY: the request writes one `struct seccomp_notif`.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_RECV, &raw mut notif) };
    check(i64::from(result)).map(|_| notif)
}

fn send(listener: BorrowedFd<'_>, mut resp: Resp) -> Result<(), i32> {
    // SAFETY: the request reads one `struct seccomp_notif_resp`.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_SEND, &raw mut resp) };
    check(i64::from(result)).map(drop)
}

/// Finishes a notified call with a value.
pub fn notif_return(listener: BorrowedFd<'_>, id: u64, val: i64) -> Result<(), i32> {
    send(
        listener,
        Resp {
            id,
            val,
            error: 0,
            flags: 0,
        },
    )
}

/// Lets the host execute a notified call.
pub fn notif_continue(listener: BorrowedFd<'_>, id: u64) -> Result<(), i32> {
    send(
        listener,
        Resp {
            id,
            val: 0,
            error: 0,
            flags: RESP_CONTINUE,
        },
    )
}

/// Makes a listener's wake-ups synchronous; fails with ENOTTY when it is no listener.
pub fn notif_sync(listener: BorrowedFd<'_>) -> Result<(), i32> {
    // SAFETY: the request takes its value in the argument itself.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_SET_FLAGS, SYNC_WAKE_UP) };
    check(i64::from(result)).map(drop)
}

/// Whether the host's seccomp knows an action.
pub fn seccomp_action(action: u32) -> Result<(), i32> {
    const GET_ACTION_AVAIL: i64 = 2;
    // SAFETY: the operation reads one word.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, GET_ACTION_AVAIL, 0, &raw const action) };
    check(result).map(drop)
}

/// A new epoll set.
pub fn epoll_create() -> Result<OwnedFd, i32> {
    // SAFETY: no memory is passed.
    owned(i64::from(unsafe {
        libc::epoll_create1(libc::EPOLL_CLOEXEC)
    }))
}

/// Changes an epoll set.
pub fn epoll_ctl(
    set: BorrowedFd<'_>,
    op: i32,
    fd: BorrowedFd<'_>,
    events: u32,
    data: u64,
) -> Result<(), i32> {
    let mut event = libc::epoll_event { events, u64: data };
    // SAFETY: the call reads one event.
    let result = unsafe { libc::epoll_ctl(set.as_raw_fd(), op, fd.as_raw_fd(), &raw mut event) };
    check(i64::from(result)).map(drop)
}

/// Waits for one event of a set: its flags and data; `None` when the time passed.
pub fn epoll_wait(
    set: BorrowedFd<'_>,
    timeout: Option<Duration>,
) -> Result<Option<(u32, u64)>, i32> {
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    let result = match timeout {
        // SAFETY: room for one event is passed.
        None => unsafe { libc::epoll_wait(set.as_raw_fd(), &raw mut event, 1, -1) }.into(),
        Some(time) => {
            let time = timespec(time);
            // SAFETY: room for one event and a valid time are passed, and no signal mask.
            unsafe {
                libc::syscall(
                    libc::SYS_epoll_pwait2,
                    set.as_raw_fd(),
                    &raw mut event,
                    1,
                    &raw const time,
                    std::ptr::null::<libc::sigset_t>(),
                    0,
                )
            }
        }
    };
    let count = check(result)?;
    Ok((count > 0).then_some((event.events, event.u64)))
}

fn timespec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    }
}

/// Waits until `fd` shows one of `events` (or an error); the flags it shows, 0 for none.
pub fn poll(fd: BorrowedFd<'_>, events: i16, timeout: Duration) -> Result<i16, i32> {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    };
    let time = timespec(timeout);
    // SAFETY: one pollfd and a valid time are passed, and no signal mask.
    let result = unsafe { libc::ppoll(&raw mut poll, 1, &raw const time, std::ptr::null()) };
    check(i64::from(result)).map(|_| poll.revents)
}

/// A new event counter that does not block.
pub fn eventfd() -> Result<OwnedFd, i32> {
    // SAFETY: no memory is passed.
    owned(i64::from(unsafe {
        libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK)
    }))
}

/// Reads into `buf`.
pub fn read(fd: BorrowedFd<'_>, buf: &mut [u8]) -> Result<usize, i32> {
    // SAFETY: the buffer and its length are passed.
    let result = unsafe { libc::read(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) };
    check(result as i64).map(|n| usize::try_from(n).unwrap_or(0))
}

/// Writes `buf`.
pub fn write(fd: BorrowedFd<'_>, buf: &[u8]) -> Result<usize, i32> {
    // SAFETY: the buffer and its length are passed.
    let result = unsafe { libc::write(fd.as_raw_fd(), buf.as_ptr().cast(), buf.len()) };
    check(result as i64).map(|n| usize::try_from(n).unwrap_or(0))
}

/// A descriptor for a process.
pub fn pidfd_open(pid: i32) -> Result<OwnedFd, i32> {
    // SAFETY: no memory is passed.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// A copy of another process's descriptor.
pub fn pidfd_getfd(pidfd: BorrowedFd<'_>, fd: u64) -> Result<OwnedFd, i32> {
    // SAFETY: no memory is passed.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) })
}

/// Sends a signal to a process.
pub fn pidfd_kill(pidfd: BorrowedFd<'_>, signo: i32) -> Result<(), i32> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signo,
            no_info,
            0,
        )
    };
    check(result).map(drop)
}

/// Sends a signal to a thread.
pub fn tgkill(tgid: i32, tid: i32, signo: i32) -> Result<(), i32> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_tgkill, tgid, tid, signo) }).map(drop)
}

/// Reaps a process of ours if it has ended: the signal that ended it, 0 for an exit.
pub fn reap(pidfd: BorrowedFd<'_>) -> Result<Option<u8>, i32> {
    // SAFETY: an all-zero siginfo is valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let id = pidfd.as_raw_fd().cast_unsigned();
    // SAFETY: room for one siginfo is passed.
    let result = unsafe {
        libc::waitid(
            libc::P_PIDFD,
            id,
            &raw mut info,
            libc::WEXITED | libc::WNOHANG,
        )
    };
    check(i64::from(result))?;
    // SAFETY: waitid fills these fields; zero means that nothing has ended.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    let killed = info.si_code == libc::CLD_KILLED || info.si_code == libc::CLD_DUMPED;
    Ok(Some(if killed {
        u8::try_from(status).unwrap_or(0)
    } else {
        0
    }))
}

/// Waits for a child by its id.
pub fn wait_pid(pid: i32) -> Result<(), i32> {
    // SAFETY: a null status is allowed.
    check(i64::from(unsafe {
        libc::waitpid(pid, std::ptr::null_mut(), 0)
    }))
    .map(drop)
}

/// Binds a thread (0: the caller) to a set of CPUs.
pub fn set_affinity(tid: i32, cpus: &libc::cpu_set_t) -> Result<(), i32> {
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: the set and its size are passed.
    check(i64::from(unsafe {
        libc::sched_setaffinity(tid, size, cpus)
    }))
    .map(drop)
}

/// The CPUs the caller may use.
pub fn affinity() -> Result<libc::cpu_set_t, i32> {
    let mut cpus = cpu_set(&[]);
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: room for one set is passed.
    check(i64::from(unsafe {
        libc::sched_getaffinity(0, size, &raw mut cpus)
    }))
    .map(|_| cpus)
}

/// A set of these CPUs.
#[must_use]
pub fn cpu_set(cpus: &[usize]) -> libc::cpu_set_t {
    // SAFETY: all-zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &cpu in cpus.iter().filter(|&&cpu| cpu < 1024) {
        // SAFETY: the number is within the set.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    set
}

/// The CPUs in a set.
#[must_use]
pub fn cpus_of(set: &libc::cpu_set_t) -> Vec<usize> {
    // SAFETY: the numbers are within the set.
    (0..1024)
        .filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, set) })
        .collect()
}

/// The CPU the caller is on (a vDSO or rseq read).
#[must_use]
pub fn current_cpu() -> usize {
    // SAFETY: no memory is passed.
    usize::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(0)
}

/// Whether the host has `rseq(2)`: it finds fault with these arguments.
#[must_use]
pub fn has_rseq() -> bool {
    // SAFETY: no memory is passed, and nothing is registered under such a flag.
    let result = unsafe { libc::syscall(libc::SYS_rseq, 0, 0, !0u32, 0) };
    check(result) == Err(libc::EINVAL)
}

/// The CPU time of a whole process.
pub fn process_cpu_time(pid: i32) -> Result<Duration, i32> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // The clock id of a process's CPU time, as clock_getcpuclockid(3) builds it.
    let clock = (!pid << 3) | 2;
    // SAFETY: room for one time is passed.
    check(i64::from(unsafe {
        libc::clock_gettime(clock, &raw mut time)
    }))?;
    Ok(duration(time.tv_sec, time.tv_nsec))
}

/// A non-negative `timespec` as a duration.
#[must_use]
pub fn duration(sec: i64, nsec: i64) -> Duration {
    let nanos = u32::try_from(nsec.clamp(0, 999_999_999)).unwrap_or(0);
    Duration::new(u64::try_from(sec).unwrap_or(0), nanos)
}

/// Raises the soft limit of open files to the hard one.
pub fn raise_nofile() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the calls read or write one limit; failure leaves the old limit.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// A copy of `fd` numbered 100 or higher, closed on exec.
pub fn dup_high(fd: BorrowedFd<'_>) -> Result<OwnedFd, i32> {
    // SAFETY: no memory is passed.
    owned(i64::from(unsafe {
        libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 100)
    }))
}

/// An entry of the auxiliary vector, 0 when absent.
#[must_use]
pub fn auxv(kind: u64) -> u64 {
    // SAFETY: no memory is passed.
    unsafe { libc::getauxval(kind) }
}

/// The running kernel's release, as (major, minor).
#[must_use]
pub fn kernel_version() -> (u32, u32) {
    let Ok(name) = nix::sys::utsname::uname() else {
        return (0, 0);
    };
    let release = name.release().to_string_lossy().into_owned();
    let mut parts = release
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    let mut part = || parts.next().and_then(Result::ok).unwrap_or(0);
    (part(), part())
}

/// A shared mapping in this process, unmapped on drop. It is shared with untrusted code, so
/// it is only read and written by value, never borrowed.
pub struct Window {
    base: *mut u8,
    len: usize,
}

// SAFETY: the mapping is plain shared memory that is accessed by volatile and atomic
// operations only.
unsafe impl Send for Window {}
// SAFETY: as above.
unsafe impl Sync for Window {}

/// Where a [`Window`] is mapped.
#[derive(Clone, Copy)]
pub enum Place {
    /// Anywhere.
    Any,
    /// Exactly there, where nothing else may be.
    At(u64),
}

/// Maps memory.
///
/// # Safety
/// With `MAP_FIXED` in `flags` the caller must own what is at `addr`.
unsafe fn map(
    addr: u64,
    len: usize,
    prot: i32,
    flags: i32,
    file: Option<(BorrowedFd<'_>, u64)>,
) -> Result<*mut u8, i32> {
    let (fd, offset, kind) = match file {
        Some((fd, offset)) => (fd.as_raw_fd(), offset, libc::MAP_SHARED),
        None => (-1, 0, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS),
    };
    let flags = kind | flags | libc::MAP_NORESERVE;
    let offset = i64::try_from(offset).map_err(|_| libc::EINVAL)?;
    // SAFETY: the caller vouches for a fixed address; otherwise nothing is replaced.
    let base = unsafe { libc::mmap(addr as *mut libc::c_void, len, prot, flags, fd, offset) };
    if base == libc::MAP_FAILED {
        Err(errno())
    } else {
        Ok(base.cast())
    }
}

impl Window {
    /// Maps `len` bytes of a file, or of private memory when there is none.
    pub fn map(
        place: Place,
        len: u64,
        prot: i32,
        file: Option<(BorrowedFd<'_>, u64)>,
    ) -> Result<Self, i32> {
        let len = usize::try_from(len).map_err(|_| libc::EINVAL)?;
        let (addr, fixed) = match place {
            Place::Any => (0, 0),
            Place::At(addr) => (addr, libc::MAP_FIXED_NOREPLACE),
        };
        // SAFETY: a new mapping that replaces nothing.
        let base = unsafe { map(addr, len, prot, fixed, file) }?;
        let window = Self { base, len };
        // A kernel that does not know the flag takes the address as a hint.
        match place {
            Place::At(addr) if base as u64 != addr => Err(libc::EEXIST),
            _ => Ok(window),
        }
    }

    /// Replaces a part of the window's mapping.
    pub fn replace(
        &self,
        offset: u64,
        len: u64,
        prot: i32,
        file: Option<(BorrowedFd<'_>, u64)>,
    ) -> Result<(), i32> {
        let len = usize::try_from(len).map_err(|_| libc::EINVAL)?;
        let at = self.at(offset, len).ok_or(libc::EINVAL)?;
        // SAFETY: the range is this mapping's, which is never borrowed.
        unsafe { map(at as u64, len, prot, libc::MAP_FIXED, file) }.map(drop)
    }

    /// Changes the protection of a part of the window.
    pub fn protect(&self, offset: u64, len: u64, prot: i32) -> Result<(), i32> {
        let len = usize::try_from(len).map_err(|_| libc::EINVAL)?;
        let at = self.at(offset, len).ok_or(libc::EINVAL)?;
        // SAFETY: the range is this mapping's.
        check(i64::from(unsafe { libc::mprotect(at.cast(), len, prot) })).map(drop)
    }

    /// Whether it is mapped at this address.
    #[must_use]
    pub fn is_at(&self, addr: u64) -> bool {
        self.base as u64 == addr
    }

    fn at(&self, offset: u64, len: usize) -> Option<*mut u8> {
        let offset = usize::try_from(offset).ok()?;
        if offset.checked_add(len)? > self.len {
            return None;
        }
        // SAFETY: the offset lies inside the mapping.
        Some(unsafe { self.base.add(offset) })
    }

    fn atomic64(&self, offset: u64) -> Option<&AtomicU64> {
        let at = self
            .at(offset, 8)
            .filter(|at| at.cast::<u64>().is_aligned())?;
        // SAFETY: aligned, inside the mapping, and accessed atomically only.
        Some(unsafe { AtomicU64::from_ptr(at.cast()) })
    }

    fn atomic32(&self, offset: u64) -> Option<&AtomicU32> {
        let at = self
            .at(offset, 4)
            .filter(|at| at.cast::<u32>().is_aligned())?;
        // SAFETY: aligned, inside the mapping, and accessed atomically only.
        Some(unsafe { AtomicU32::from_ptr(at.cast()) })
    }

    /// The word at an aligned offset; 0 outside.
    #[must_use]
    pub fn get64(&self, offset: u64) -> u64 {
        self.atomic64(offset)
            .map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Stores a word at an aligned offset; nothing outside.
    pub fn set64(&self, offset: u64, value: u64) {
        if let Some(word) = self.atomic64(offset) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// The half word at an aligned offset, acquired; 0 outside.
    #[must_use]
    pub fn get32(&self, offset: u64) -> u32 {
        self.atomic32(offset)
            .map_or(0, |word| word.load(Ordering::Acquire))
    }

    /// Stores a half word at an aligned offset, released; nothing outside.
    pub fn set32(&self, offset: u64, value: u32) {
        if let Some(word) = self.atomic32(offset) {
            word.store(value, Ordering::Release);
        }
    }

    /// Compares and swaps the half word at an aligned offset; whether it was `old`.
    #[must_use]
    pub fn cas32(&self, offset: u64, old: u32, new: u32) -> bool {
        self.atomic32(offset).is_some_and(|word| {
            word.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        })
    }

    /// Copies bytes out; false when they are not inside.
    #[must_use]
    pub fn copy_out(&self, offset: u64, to: &mut [u8]) -> bool {
        let Some(from) = self.at(offset, to.len()) else {
            return false;
        };
        // SAFETY: inside the mapping. Another process may write meanwhile, which gives any
        // mixture of bytes; the caller checks what it got.
        unsafe { std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) };
        true
    }

    /// Copies bytes in; false when they do not fit.
    pub fn copy_in(&self, offset: u64, from: &[u8]) -> bool {
        let Some(to) = self.at(offset, from.len()) else {
            return false;
        };
        // SAFETY: inside the mapping, which is never borrowed.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
        true
    }

    /// Zeroes a range.
    pub fn clear(&self, offset: u64, len: usize) {
        if let Some(to) = self.at(offset, len) {
            // SAFETY: inside the mapping, which is never borrowed.
            unsafe { std::ptr::write_bytes(to, 0, len) };
        }
    }

    /// Wakes one waiter of the futex word at an offset.
    pub fn futex_wake(&self, offset: u64) {
        if let Some(word) = self.atomic32(offset) {
            // SAFETY: a valid word is passed; failure means that nobody waits.
            unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
        }
    }

    /// Waits while the futex word at an offset is `value`, at most `timeout`.
    pub fn futex_wait(&self, offset: u64, value: u32, timeout: Duration) {
        if let Some(word) = self.atomic32(offset) {
            let time = timespec(timeout);
            // SAFETY: a valid word and time are passed; the caller looks at the word again.
            unsafe {
                libc::syscall(
                    libc::SYS_futex,
                    word.as_ptr(),
                    libc::FUTEX_WAIT,
                    value,
                    &raw const time,
                );
            }
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing refers to it any more.
        unsafe { libc::munmap(self.base.cast(), self.len) };
    }
}

/// What the host's signal frames hold of extended state.
#[derive(Clone, Copy, Debug)]
pub struct XLayout {
    /// Components (bits as in XCR0) of a signal frame.
    pub features: u64,
    /// Bytes of the state, legacy part and header included.
    pub size: usize,
    /// Bits of MXCSR that may be set.
    pub mxcsr_mask: u32,
}

/// A legacy state image.
#[repr(C, align(64))]
struct Legacy([u8; 512]);

/// Asks the CPU for the layout of its extended state.
#[must_use]
pub fn xstate_layout() -> XLayout {
    use std::arch::x86_64::{__cpuid_count, _fxsave64, _xgetbv};
    /// Components Linux gives out only on request (AMX tile data).
    const ON_REQUEST: u64 = 1 << 18;
    /// Components the kernel puts in a signal frame: x87, SSE, AVX, MPX, AVX-512, PKRU, AMX
    /// configuration. Supervisor components are in no frame.
    const USER: u64 = 0x2ff | 1 << 17;
    let mut legacy = Legacy([0; 512]);
    // SAFETY: every x86-64 CPU has FXSAVE; the image is big enough and aligned.
    unsafe { _fxsave64(legacy.0.as_mut_ptr()) };
    let mask = legacy
        .0
        .get(28..32)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u32::from_le_bytes);
    let mxcsr_mask = if mask == 0 { 0xffbf } else { mask };
    if !std::arch::is_x86_feature_detected!("xsave") {
        return XLayout {
            features: 3,
            size: 576,
            mxcsr_mask,
        };
    }
    #[target_feature(enable = "xsave")]
    fn xcr0() -> u64 {
        // SAFETY: XCR0 exists where XSAVE does.
        unsafe { _xgetbv(0) }
    }
    // SAFETY: the feature was detected.
    let features = unsafe { xcr0() } & USER & !ON_REQUEST;
    let mut size = 576u32;
    for component in (2..63u32).filter(|c| features & (1 << c) != 0) {
        let leaf = __cpuid_count(0xd, component);
        size = size.max(leaf.ebx.saturating_add(leaf.eax));
    }
    XLayout {
        features,
        size: size as usize,
        mxcsr_mask,
    }
}

impl Notif {
    /// An argument by its number.
    #[must_use]
    pub fn arg(&self, n: usize) -> u64 {
        self.args.get(n).copied().unwrap_or(0)
    }
}

/// Kills a child of ours that nothing else knows, and reaps it.
pub fn kill_and_wait(pid: i32) {
    // SAFETY: no memory is passed; an unreaped child keeps its id.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    let _ = wait_pid(pid);
}
