//! The seccomp platform: guest code in stub processes, its calls by user notification.
//!
//! Each guest address space is a *stub* process, each guest thread a host thread in it with
//! a seccomp filter and a listener of its own. An ordinary call is a notification on that
//! listener; calls that need the register file, faults, exceptions and interruptions arrive
//! through a signal handler that rings a *doorbell*, a reserved call number whose argument is
//! the signal frame. Each worker waits on its own epoll set.
//!
//! [`Systrap::new`] makes the first stub (the *zygote*) and must be called early: on a thread
//! that lives as long as the process, in the pid namespace and with the user id that will
//! stay, with few mappings, before seccomp filters are installed. Later stubs are host forks
//! of stubs. After it only [`HOST_SYSCALLS`] are used.
//!
//! Files: `layout` (addresses), `stub` (code), `filter` (seccomp programs), `setup` (the
//! zygote), `control` (shared pages), `mapper` (changes of a stub), `owed` (those that a thread helps with), `space`, `context`,
//! `frame` (registers), `watchdog`, `core` (shared tables), `coverage`, `pool` (spare
//! stubs), `raw` (host calls).

mod context;
mod control;
pub(crate) mod core;
mod coverage;
mod filter;
pub(crate) mod frame;
pub(crate) mod layout;
mod mapper;
mod owed;
mod pool;
pub(crate) mod raw;
pub(crate) mod setup;
pub(crate) mod space;
mod stub;
mod watchdog;

use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::core::{Core, Source};
use crate::{AddressSpace, Event, Platform, PlatformError, WorkerId};

/// What a systrap platform is made from.
pub struct Config {
    /// The file behind guest memory; offsets of `MapOp::MapMemory` are in it.
    pub memory_file: OwnedFd,
    /// How many workers will call `next`.
    pub workers: usize,
    /// System call numbers that are to arrive with full registers.
    pub trap: &'static [u32],
    /// Further numbers that are to arrive from the host thread, not from a page it shares.
    pub enter: &'static [u32],
    /// `/proc/self/maps` opened earlier, where there is no `/proc` any more: says where the
    /// host's vDSO is. `None`: looked up by path.
    pub maps: Option<File>,
    /// Whether a thread will call `keep`; otherwise the workers do its work.
    pub keeper: bool,
}

/// The host system calls the platform makes after [`Systrap::new`], each with its reason.
pub const HOST_SYSCALLS: &[(i64, &str)] = &[
    (
        libc::SYS_ioctl,
        "seccomp notifications: receive, send, set flags",
    ),
    (libc::SYS_epoll_wait, "wait for guest events"),
    (
        libc::SYS_epoll_pwait2,
        "wait for guest events with a timeout",
    ),
    (
        libc::SYS_epoll_ctl,
        "listeners, pidfds and watched descriptors of a worker",
    ),
    (
        libc::SYS_futex,
        "wake a mapper; wait for a new thread's listener",
    ),
    (libc::SYS_read, "a mapper's reply; a worker's event counter"),
    (libc::SYS_write, "wake a worker by its event counter"),
    (libc::SYS_close, "listeners, pidfds, pipes, sockets"),
    (libc::SYS_ppoll, "whether a stub has ended"),
    (libc::SYS_tgkill, "interrupt a guest thread"),
    (libc::SYS_kill, "kill a stub that could not be entered"),
    (libc::SYS_wait4, "reap a stub that could not be entered"),
    (libc::SYS_pidfd_send_signal, "kill a stub"),
    (libc::SYS_pidfd_open, "a stub's pidfd"),
    (libc::SYS_pidfd_getfd, "a guest thread's listener"),
    (libc::SYS_waitid, "reap stubs"),
    (
        libc::SYS_sched_setaffinity,
        "bind mappers and workers; unbind new guest threads",
    ),
    (libc::SYS_pipe2, "a new stub's reply pipe"),
    (libc::SYS_socketpair, "a new stub's socket for descriptors"),
    (libc::SYS_sendmsg, "give descriptors to a stub"),
    (
        libc::SYS_recvmsg,
        "take a listener where it cannot be fetched",
    ),
    (libc::SYS_clock_gettime, "CPU time of stubs"),
    (libc::SYS_rseq, "whether the host has it"),
    (libc::SYS_fallocate, "zero a control chunk"),
    (
        libc::SYS_getcpu,
        "the caller's CPU where rseq and vDSO cannot tell",
    ),
];

/// How long the end of a stub is waited for when the platform is dropped.
const END_LIMIT: Duration = Duration::from_secs(2);

/// The seccomp platform.
pub struct Systrap {
    core: Arc<Core>,
    pool: Arc<pool::Pool>,
}

/// Whether systrap can work here, and why not.
pub fn probe() -> Result<(), String> {
    setup::probe()
}

impl Systrap {
    /// Makes the platform and its first stub; see the module's text for when to call it.
    pub fn new(config: Config) -> Result<Arc<Self>, PlatformError> {
        probe().map_err(PlatformError::Unsupported)?;
        raw::raise_nofile();
        let (core, zygote) = setup::start(&config)?;
        let pool = Arc::new(pool::Pool::new(zygote));
        // Set only here.
        let _ = core.pool.set(Arc::downgrade(&pool));
        Ok(Arc::new(Self { core, pool }))
    }

    /// Binds the calling thread to a worker's CPU. `next` does it for the first thread that
    /// calls it for a worker; a thread that takes a worker over later calls this.
    pub fn pin_worker(&self, worker: WorkerId) {
        if let Ok(worker) = self.core.worker(worker) {
            worker.pin();
        }
    }

    /// Has listeners travel over sockets even where they could be fetched (for tests).
    pub fn listeners_by_socket(&self) {
        self.core
            .by_socket
            .store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Looks for posted calls as long as it is worth it; an event, if one came meanwhile.
    fn look_out(&self, worker: &core::Worker, until: Option<Instant>) -> Option<Event> {
        let last = worker.last.lock().take();
        let visitor = worker.visitor.lock().take();
        let find = |key| self.core.threads.read().get(key);
        let mut slot = worker.session.lock();
        match (&mut *slot, visitor.and_then(find)) {
            (Some(session), None) => session.renew(),
            (None, Some(thread)) => *slot = context::Session::open(&thread),
            (Some(_), Some(thread)) => thread.send_home(),
            (None, None) => {
                drop(slot);
                find(last?)?.visit();
                return None;
            }
        }
        loop {
            match slot.as_mut()?.look() {
                context::Look::Call(event) => return Some(event),
                context::Look::Nothing => {}
                context::Look::Others => {
                    drop(slot);
                    if let Some(event) = worker.take_queued() {
                        return Some(event);
                    }
                    if until.is_some_and(|until| Instant::now() >= until) {
                        return None;
                    }
                    let polled = raw::epoll_wait(worker.epoll(), Some(Duration::ZERO));
                    if let Ok(Some((flags, data))) = polled
                        && let Some(event) = self.dispatch(worker, flags, data)
                    {
                        return Some(event);
                    }
                    slot = worker.session.lock();
                }
                context::Look::Over => {
                    *slot = None;
                    return None;
                }
            }
        }
    }

    /// Turns an epoll event into one to report, if there is anything to.
    fn dispatch(&self, worker: &core::Worker, flags: u32, data: u64) -> Option<Event> {
        match Source::from_data(data) {
            Source::Thread(key) => {
                let thread = self.core.threads.read().get(key)?;
                worker.came_otherwise(&thread);
                let event = thread.ready(flags)?;
                *worker.last.lock() = Some(key);
                Some(event)
            }
            Source::Stub(key) => {
                let stub = self.core.stubs.read().get(key)?;
                stub.reap();
                None
            }
            Source::Kick => worker.take_kick().then_some(Event::Kick),
            Source::Watch(number) => worker.watched(number).map(Event::Ready),
        }
    }
}

impl Platform for Systrap {
    fn name(&self) -> &'static str {
        "systrap"
    }

    fn new_address_space(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        Ok(Arc::new(space::Space(self.pool.take()?)))
    }

    fn cpus(&self) -> u64 {
        self.core.cpu_mask
    }

    fn passes_rseq(&self) -> bool {
        self.core.rseq
    }

    fn guest_range(&self) -> (u64, u64) {
        (self.core.min_addr, self.core.layout.base)
    }

    fn next(&self, worker: WorkerId, timeout: Option<Duration>) -> Event {
        let Ok(worker) = self.core.worker(worker) else {
            return Event::Timeout;
        };
        worker.pin_once();
        let until = timeout.and_then(|time| Instant::now().checked_add(time));
        loop {
            if let Some(event) = worker.take_queued() {
                return event;
            }
            let mut left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if self.core.watchdog.is_armed() {
                self.core.watchdog.look();
                left = Some(left.map_or(watchdog::PERIOD, |left| left.min(watchdog::PERIOD)));
            }
            if let Some(event) = self.look_out(worker, until) {
                return event;
            }
            // A worker with nothing to do forks the stub that the next exec will want.
            let spare = self.core.keeper.is_none() && self.pool.is_low();
            let wait = if spare { Some(Duration::ZERO) } else { left };
            worker
                .idle
                .store(true, std::sync::atomic::Ordering::Relaxed);
            let polled = raw::epoll_wait(worker.epoll(), wait);
            worker
                .idle
                .store(false, std::sync::atomic::Ordering::Relaxed);
            match polled {
                Ok(Some((flags, data))) => {
                    if let Some(event) = self.dispatch(worker, flags, data) {
                        return event;
                    }
                }
                Ok(None) if spare => self.pool.fill_one(),
                Ok(None) if until.is_some_and(|until| Instant::now() >= until) => {
                    return Event::Timeout;
                }
                Ok(None) => {}
                Err(_) => {}
            }
        }
    }

    fn take_over(&self, worker: WorkerId) {
        if let Ok(worker) = self.core.worker(worker) {
            worker.pin();
        }
    }

    fn kick(&self, worker: WorkerId) {
        if let Ok(worker) = self.core.worker(worker) {
            worker.kick();
        }
    }

    fn watch(&self, worker: WorkerId, fd: BorrowedFd<'_>, token: u64) -> Result<(), PlatformError> {
        self.core
            .worker(worker)?
            .watch(fd, token)
            .map_err(|errno| PlatformError::Exhausted {
                what: "watching a descriptor",
                errno,
            })
    }

    fn unwatch(&self, worker: WorkerId, fd: BorrowedFd<'_>) {
        if let Ok(worker) = self.core.worker(worker) {
            worker.unwatch(fd);
        }
    }

    fn keep(&self) {
        self.core.keep(|| {
            while self.pool.is_low() {
                self.pool.fill_one();
            }
        });
    }

    fn workers(&self) -> usize {
        self.core.workers.len()
    }
}

impl Drop for Systrap {
    fn drop(&mut self) {
        for worker in &self.core.workers {
            *worker.session.lock() = None;
        }
        // The stubs and threads in the tables refer to the core, which holds the tables.
        let stubs = self.core.stubs.read().all();
        for stub in &stubs {
            stub.kill();
        }
        for stub in &stubs {
            stub.reap_within(END_LIMIT);
        }
    }
}
