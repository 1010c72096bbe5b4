//! The portable platform: guest code in stub processes, traced.
//!
//! Address spaces are the stubs of [`crate::systrap`] with their mappers; a guest thread is a
//! thread of a stub that runs by `PTRACE_SYSEMU`, so that the host makes none of its calls.
//! Faults, exceptions and interruptions are ptrace stops. It needs neither seccomp
//! notifications nor signal frames, and is slower. Calls are not posted, `rseq(2)` is not
//! passed.
//!
//! Files: `tracer` (who acts on stops), `wait` (how it waits), `thread` (guest threads), `raw`
//! (host calls). Make it where [`crate::systrap::Systrap::new`] says.

mod raw;
mod thread;
mod tracer;
mod wait;

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};

use self::thread::{Handle, Thread};
use self::tracer::{Request, Tracer};
use self::wait::Bell;
use crate::systrap::core::Core;
use crate::systrap::space::{Space as StubSpace, Stub};
use crate::systrap::{Config, raw as host, setup};
use crate::{
    AddressSpace, Context, Cookie, Event, MapOp, Platform, PlatformError, Registers, WorkerId,
};

/// The host system calls the platform makes besides [`crate::systrap::HOST_SYSCALLS`].
pub const HOST_SYSCALLS: &[(i64, &str)] = &[
    (libc::SYS_ptrace, "run guest threads"),
    (
        libc::SYS_timerfd_settime,
        "end a wait for guest threads in time",
    ),
    (libc::SYS_rt_sigreturn, "be woken from one"),
    (libc::SYS_wait4, "wait for guest threads"),
];

/// How long the end of a stub is waited for when the platform is dropped.
const END_LIMIT: Duration = Duration::from_secs(2);

/// The ptrace platform.
pub struct Ptrace {
    core: Arc<Core>,
    zygote: Arc<Stub>,
    tracers: Arc<[Arc<Tracer>]>,
    bell: Arc<Bell>,
}

/// Whether it can work here, and why not.
pub fn probe() -> Result<(), String> {
    let version = host::kernel_version();
    if version < (5, 9) {
        let (major, minor) = version;
        return Err(format!("Linux {major}.{minor} is too old, 5.9 is needed"));
    }
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    if scope.is_ok_and(|scope| scope.trim() == "3") {
        return Err("the host forbids ptrace (kernel.yama.ptrace_scope)".into());
    }
    Ok(())
}

impl Ptrace {
    /// Makes the platform, its first stub and its tracers, which its workers will be.
    pub fn new(config: Config) -> Result<Arc<Self>, PlatformError> {
        probe().map_err(PlatformError::Unsupported)?;
        host::raise_nofile();
        let failed = |error: std::io::Error| PlatformError::Exhausted {
            what: "making a tracer",
            errno: error.raw_os_error().unwrap_or(libc::EAGAIN),
        };
        // Before any thread is made: all receive it.
        raw::catch_wake().map_err(failed)?;
        let wake: SigSet = [Signal::SIGUSR2].into_iter().collect();
        wake.thread_unblock()
            .map_err(|errno| failed(errno.into()))?;
        let (core, zygote) = setup::start(&config)?;
        let tracer = |n| Tracer::new(core.clone(), WorkerId(n), config.trap).map(Arc::new);
        let tracers = (0..core.workers.len()).map(tracer);
        let tracers = tracers.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let bell = Bell::start(tracers.clone())?;
        Ok(Arc::new(Self {
            core,
            zygote,
            tracers: tracers.into(),
            bell,
        }))
    }

    fn space(&self, stub: Arc<Stub>) -> Arc<dyn AddressSpace> {
        Arc::new(Space {
            stub: StubSpace(stub),
            tracers: self.tracers.clone(),
        })
    }

    fn tracer(&self, worker: WorkerId) -> Option<&Arc<Tracer>> {
        tracer(&self.tracers, worker)
    }
}

/// That of a worker; those out of range share the last.
fn tracer(tracers: &[Arc<Tracer>], worker: WorkerId) -> Option<&Arc<Tracer>> {
    tracers.get(worker.0).or_else(|| tracers.last())
}

impl Platform for Ptrace {
    fn name(&self) -> &'static str {
        "ptrace"
    }

    fn new_address_space(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        Ok(self.space(self.zygote.fork()?))
    }

    fn cpus(&self) -> u64 {
        self.core.cpu_mask
    }

    fn guest_range(&self) -> (u64, u64) {
        (self.core.min_addr, self.core.layout.base)
    }

    fn next(&self, worker: WorkerId, timeout: Option<Duration>) -> Event {
        let (Ok(state), Some(tracer)) = (self.core.worker(worker), self.tracer(worker)) else {
            return Event::Timeout;
        };
        state.pin_once();
        tracer.next(timeout.and_then(|time| Instant::now().checked_add(time)))
    }

    fn take_over(&self, worker: WorkerId) {
        if let Ok(worker) = self.core.worker(worker) {
            worker.pin();
        }
    }

    fn is_bound(&self, worker: WorkerId) -> bool {
        self.tracer(worker).is_some_and(|tracer| tracer.is_mine())
    }

    fn kick(&self, worker: WorkerId) {
        if let Some(tracer) = self.tracer(worker) {
            tracer.kick();
        }
    }

    fn watch(&self, worker: WorkerId, fd: BorrowedFd<'_>, token: u64) -> Result<(), PlatformError> {
        let watched = self.core.worker(worker)?.watch(fd, token);
        watched.map_err(|errno| PlatformError::Exhausted {
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
        self.core.keep(|| ());
    }

    fn workers(&self) -> usize {
        self.core.workers.len()
    }
}

impl Drop for Ptrace {
    fn drop(&mut self) {
        // The stubs in the table refer to the core, which holds the table.
        let stubs = self.core.stubs.read().all();
        for stub in &stubs {
            stub.kill();
        }
        // Those of the calling thread end when it looks.
        let until = Instant::now() + END_LIMIT;
        let mine = |t: &Arc<Tracer>| t.is_mine() && !t.threads.lock().is_empty();
        while self.tracers.iter().any(mine) && Instant::now() < until {
            match raw::changed() {
                Some((tid, status)) => self.tracers.iter().for_each(|t| t.changed(tid, status)),
                None => std::thread::yield_now(),
            }
        }
        for stub in &stubs {
            stub.reap_within(END_LIMIT);
        }
        self.bell.stop();
    }
}

/// A stub whose guest threads are traced.
struct Space {
    stub: StubSpace,
    tracers: Arc<[Arc<Tracer>]>,
}

impl AddressSpace for Space {
    fn commit(&self, ops: &[MapOp]) -> Result<(), PlatformError> {
        self.stub.commit(ops)
    }

    fn fork(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        Ok(Arc::new(Self {
            stub: StubSpace(self.stub.0.fork()?),
            tracers: self.tracers.clone(),
        }))
    }

    fn new_context(
        &self,
        regs: &Registers,
        cookie: Cookie,
        worker: WorkerId,
    ) -> Result<Arc<dyn Context>, PlatformError> {
        let stub = self.stub.0.clone();
        let tid = stub.birth_traced()?;
        let none = || PlatformError::Unsupported("no such worker".into());
        let tracer = tracer(&self.tracers, worker).ok_or_else(none)?;
        let thread = Thread::new(stub, tracer.clone(), regs, (tid, cookie));
        tracer.push(Request::Attach(thread.clone()));
        Ok(Arc::new(Handle(thread)))
    }

    fn kill(&self) {
        self.stub.kill();
    }

    fn keep_end(&self) -> bool {
        self.stub.keep_end()
    }

    fn ended(&self) -> bool {
        self.stub.ended()
    }

    fn vdso(&self) -> Option<(u64, u64)> {
        self.stub.vdso()
    }

    fn replace_vdso(&self, offset: u64) -> Result<(), PlatformError> {
        self.stub.replace_vdso(offset)
    }
}
