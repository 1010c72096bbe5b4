//! A scripted, deterministic platform for tests.
//!
//! No guest code runs: a test pushes the [`Exit`]s a context shall report
//! ([`MockContext::push`]) and looks at what the kernel did with it ([`MockContext::resumes`],
//! [`MockSpace::ops`], [`MockSpace::lookup`]). A context delivers its next scripted exit when it
//! runs and is held until it is resumed, exactly as the real platforms do; an interrupt is
//! delivered before the script. Neighbours: the traits in the crate root.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::{
    AddressSpace, Context, Cookie, Event, Exit, MapOp, Platform, PlatformError, Prot, Registers,
    Resume, WorkerId,
};

/// The guest address range the mock offers.
const RANGE: (u64, u64) = (0x1000, 0x7fff_0000_0000);

/// What a worker's `next` looks at.
#[derive(Default)]
struct Queues {
    /// Events ready to be delivered, one queue per worker.
    ready: Vec<VecDeque<Event>>,
    /// `kick` was called since the last delivery.
    kicked: Vec<bool>,
    /// Watched descriptors: (worker, raw fd, token).
    watched: Vec<(usize, i32, u64)>,
}

/// What shall fail next, and with which errno.
#[derive(Default)]
struct Failures {
    commit: Option<(usize, i32)>,
    fork: Option<i32>,
    context: Option<i32>,
    space: Option<i32>,
}

struct Shared {
    queues: Mutex<Queues>,
    wake: Condvar,
    failures: Mutex<Failures>,
    contexts: Mutex<BTreeMap<Cookie, Arc<MockContext>>>,
    spaces: Mutex<Vec<Weak<MockSpace>>>,
    full_register_calls: Vec<u32>,
    workers: usize,
}

impl Shared {
    fn post(&self, worker: usize, event: Event) {
        let mut queues = self.queues.lock();
        let last = queues.ready.len().saturating_sub(1);
        if let Some(queue) = queues.ready.get_mut(worker.min(last)) {
            queue.push_back(event);
        }
        self.wake.notify_all();
    }
}

/// The mock platform.
pub struct MockPlatform {
    shared: Arc<Shared>,
}

impl MockPlatform {
    /// A mock for `workers` workers. The numbers in `full_register_calls` are the system calls
    /// at which `regs` is available, as with a real platform's trapped calls.
    #[must_use]
    pub fn new(workers: usize, full_register_calls: &[u32]) -> Arc<Self> {
        let workers = workers.max(1);
        let queues = Queues {
            ready: (0..workers).map(|_| VecDeque::new()).collect(),
            kicked: vec![false; workers],
            watched: Vec::new(),
        };
        Arc::new(Self {
            shared: Arc::new(Shared {
                queues: Mutex::new(queues),
                wake: Condvar::new(),
                failures: Mutex::default(),
                contexts: Mutex::default(),
                spaces: Mutex::default(),
                full_register_calls: full_register_calls.to_vec(),
                workers,
            }),
        })
    }

    /// The newest context made with this cookie.
    #[must_use]
    pub fn context(&self, cookie: Cookie) -> Option<Arc<MockContext>> {
        self.shared.contexts.lock().get(&cookie).cloned()
    }

    /// All address spaces alive, oldest first.
    #[must_use]
    pub fn spaces(&self) -> Vec<Arc<MockSpace>> {
        let spaces = self.shared.spaces.lock();
        spaces.iter().filter_map(Weak::upgrade).collect()
    }

    /// Makes a watched descriptor's token ready; false when nobody watches it.
    pub fn fire(&self, token: u64) -> bool {
        let found = {
            let mut queues = self.shared.queues.lock();
            let at = queues.watched.iter().position(|w| w.2 == token);
            at.map(|at| queues.watched.remove(at))
        };
        if let Some((worker, _, token)) = found {
            self.shared.post(worker, Event::Ready(token));
            return true;
        }
        false
    }

    /// The next `commit` applies `done` operations and then fails with `errno`.
    pub fn fail_commit(&self, done: usize, errno: i32) {
        self.shared.failures.lock().commit = Some((done, errno));
    }

    /// The next `AddressSpace::fork` fails with `errno`.
    pub fn fail_fork(&self, errno: i32) {
        self.shared.failures.lock().fork = Some(errno);
    }

    /// The next `new_context` fails with `errno`.
    pub fn fail_new_context(&self, errno: i32) {
        self.shared.failures.lock().context = Some(errno);
    }

    /// The next `new_address_space` fails with `errno`.
    pub fn fail_new_address_space(&self, errno: i32) {
        self.shared.failures.lock().space = Some(errno);
    }
}

impl Platform for MockPlatform {
    fn name(&self) -> &'static str {
        "mock"
    }

    fn new_address_space(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        if let Some(errno) = self.shared.failures.lock().space.take() {
            return Err(PlatformError::Exhausted {
                what: "making an address space",
                errno,
            });
        }
        Ok(MockSpace::register(&self.shared, BTreeMap::new()))
    }

    fn guest_range(&self) -> (u64, u64) {
        RANGE
    }

    fn next(&self, worker: WorkerId, timeout: Option<Duration>) -> Event {
        let until = timeout.and_then(|t| Instant::now().checked_add(t));
        let mut queues = self.shared.queues.lock();
        loop {
            if let Some(event) = queues.ready.get_mut(worker.0).and_then(VecDeque::pop_front) {
                return event;
            }
            if let Some(kicked) = queues.kicked.get_mut(worker.0)
                && std::mem::take(kicked)
            {
                return Event::Kick;
            }
            match until {
                None if timeout.is_some() => return Event::Timeout,
                None => self.shared.wake.wait(&mut queues),
                Some(until) => {
                    if self.shared.wake.wait_until(&mut queues, until).timed_out() {
                        return Event::Timeout;
                    }
                }
            }
        }
    }

    fn kick(&self, worker: WorkerId) {
        if let Some(kicked) = self.shared.queues.lock().kicked.get_mut(worker.0) {
            *kicked = true;
        }
        self.shared.wake.notify_all();
    }

    fn watch(&self, worker: WorkerId, fd: BorrowedFd<'_>, token: u64) -> Result<(), PlatformError> {
        let raw = fd.as_raw_fd();
        let mut queues = self.shared.queues.lock();
        queues.watched.retain(|w| w.0 != worker.0 || w.1 != raw);
        queues.watched.push((worker.0, raw, token));
        Ok(())
    }

    fn unwatch(&self, worker: WorkerId, fd: BorrowedFd<'_>) {
        let raw = fd.as_raw_fd();
        let mut queues = self.shared.queues.lock();
        queues.watched.retain(|w| w.0 != worker.0 || w.1 != raw);
    }

    fn workers(&self) -> usize {
        self.shared.workers
    }
}

/// What a page of a mock address space shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// The memory file at this offset.
    Memory(u64),
    /// A host file (its raw descriptor) at this offset.
    File(i32, u64),
}

impl Backing {
    fn advanced(self, by: u64) -> Self {
        match self {
            Self::Memory(at) => Self::Memory(at.wrapping_add(by)),
            Self::File(fd, at) => Self::File(fd, at.wrapping_add(by)),
        }
    }
}

/// A run of mapped pages.
#[derive(Clone, Copy, Debug)]
struct Run {
    end: u64,
    backing: Backing,
    prot: Prot,
}

/// A mock address space: a record of its operations and of the mappings they led to.
pub struct MockSpace {
    shared: Arc<Shared>,
    this: Weak<MockSpace>,
    state: Mutex<SpaceState>,
}

#[derive(Default)]
struct SpaceState {
    ops: Vec<MapOp>,
    runs: BTreeMap<u64, Run>,
    contexts: Vec<Weak<MockContext>>,
    dead: bool,
}

impl SpaceState {
    /// Makes `at` a boundary between runs.
    fn split(&mut self, at: u64) {
        let Some((&start, &run)) = self.runs.range(..at).next_back() else {
            return;
        };
        if run.end <= at {
            return;
        }
        self.runs.insert(start, Run { end: at, ..run });
        let backing = run.backing.advanced(at.wrapping_sub(start));
        self.runs.insert(at, Run { backing, ..run });
    }

    fn remove(&mut self, addr: u64, end: u64) {
        self.split(addr);
        self.split(end);
        self.runs.retain(|&start, _| start < addr || start >= end);
    }

    fn apply(&mut self, op: &MapOp) {
        match op {
            MapOp::MapMemory {
                addr,
                len,
                offset,
                prot,
            } => {
                self.map(*addr, *len, Backing::Memory(*offset), *prot);
            }
            MapOp::MapFile {
                addr,
                len,
                file,
                offset,
                prot,
            } => {
                self.map(*addr, *len, Backing::File(file.as_raw_fd(), *offset), *prot);
            }
            MapOp::Unmap { addr, len } => self.remove(*addr, addr.saturating_add(*len)),
            MapOp::Protect { addr, len, prot } => {
                let end = addr.saturating_add(*len);
                self.split(*addr);
                self.split(end);
                for (_, run) in self.runs.range_mut(*addr..end) {
                    run.prot = *prot;
                }
            }
        }
    }

    fn map(&mut self, addr: u64, len: u64, backing: Backing, prot: Prot) {
        let end = addr.saturating_add(len);
        self.remove(addr, end);
        self.runs.insert(addr, Run { end, backing, prot });
    }
}

impl MockSpace {
    fn register(shared: &Arc<Shared>, runs: BTreeMap<u64, Run>) -> Arc<Self> {
        let state = SpaceState {
            runs,
            ..SpaceState::default()
        };
        let space = Arc::new_cyclic(|this| Self {
            shared: shared.clone(),
            this: this.clone(),
            state: Mutex::new(state),
        });
        shared.spaces.lock().push(Arc::downgrade(&space));
        space
    }

    /// Every operation committed so far, in order.
    #[must_use]
    pub fn ops(&self) -> Vec<MapOp> {
        self.state.lock().ops.clone()
    }

    /// Forgets the recorded operations (not the mappings).
    pub fn clear_ops(&self) {
        self.state.lock().ops.clear();
    }

    /// What stands at a guest address, and with which protection.
    #[must_use]
    pub fn lookup(&self, addr: u64) -> Option<(Backing, Prot)> {
        let state = self.state.lock();
        let (&start, run) = state.runs.range(..=addr).next_back()?;
        let by = addr.checked_sub(start)?;
        (addr < run.end).then(|| (run.backing.advanced(by), run.prot))
    }

    /// How many separate mappings there are.
    #[must_use]
    pub fn mapping_count(&self) -> usize {
        self.state.lock().runs.len()
    }
}

impl AddressSpace for MockSpace {
    fn commit(&self, ops: &[MapOp]) -> Result<(), PlatformError> {
        let failure = self.shared.failures.lock().commit.take();
        let mut state = self.state.lock();
        if state.dead {
            return Err(PlatformError::Gone);
        }
        for (index, op) in ops.iter().enumerate() {
            if let Some((done, errno)) = failure
                && index >= done
            {
                return Err(PlatformError::MapRefused(errno));
            }
            state.apply(op);
            state.ops.push(op.clone());
        }
        match failure {
            Some((_, errno)) => Err(PlatformError::MapRefused(errno)),
            None => Ok(()),
        }
    }

    fn fork(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        if let Some(errno) = self.shared.failures.lock().fork.take() {
            return Err(PlatformError::Exhausted {
                what: "forking an address space",
                errno,
            });
        }
        let runs = {
            let state = self.state.lock();
            if state.dead {
                return Err(PlatformError::Gone);
            }
            state.runs.clone()
        };
        Ok(Self::register(&self.shared, runs))
    }

    fn new_context(
        &self,
        regs: &Registers,
        cookie: Cookie,
        worker: WorkerId,
    ) -> Result<Arc<dyn Context>, PlatformError> {
        if let Some(errno) = self.shared.failures.lock().context.take() {
            return Err(PlatformError::Exhausted {
                what: "making a guest thread",
                errno,
            });
        }
        let mut state = self.state.lock();
        if state.dead {
            return Err(PlatformError::Gone);
        }
        let context = Arc::new(MockContext {
            shared: self.shared.clone(),
            space: self.this.clone(),
            cookie,
            state: Mutex::new(ContextState {
                phase: Phase::Held,
                at: Stop::Full,
                regs: regs.clone(),
                worker: worker.0,
                script: VecDeque::new(),
                resumes: Vec::new(),
                interrupts: 0,
                irq: false,
                cpu_time: Duration::ZERO,
            }),
        });
        state.contexts.push(Arc::downgrade(&context));
        self.shared.contexts.lock().insert(cookie, context.clone());
        Ok(context)
    }

    fn kill(&self) {
        let contexts = {
            let mut state = self.state.lock();
            state.dead = true;
            std::mem::take(&mut state.contexts)
        };
        for context in contexts.iter().filter_map(Weak::upgrade) {
            context.kill();
        }
    }

    fn vdso(&self) -> Option<(u64, u64)> {
        None
    }
}

/// Whether the context runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waits for a resume.
    Held,
    /// Runs; the next scripted exit stops it.
    Running,
    /// Killed.
    Gone,
}

/// What is known at the present stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The full register file.
    Full,
    /// Number and arguments of a call only.
    Call,
}

struct ContextState {
    phase: Phase,
    at: Stop,
    regs: Registers,
    worker: usize,
    script: VecDeque<Exit>,
    resumes: Vec<Resume>,
    interrupts: usize,
    irq: bool,
    cpu_time: Duration,
}

/// A scripted guest thread.
pub struct MockContext {
    shared: Arc<Shared>,
    space: Weak<MockSpace>,
    cookie: Cookie,
    state: Mutex<ContextState>,
}

impl MockContext {
    /// Adds an exit to the script; delivered at once when the context runs.
    pub fn push(&self, exit: Exit) {
        let mut state = self.state.lock();
        state.script.push_back(exit);
        self.advance(&mut state);
    }

    /// Adds a system call to the script.
    pub fn push_syscall(&self, nr: u64, args: [u64; 6]) {
        let ip = self.state.lock().regs.gp.rip;
        self.push(Exit::Syscall { nr, args, ip });
    }

    /// Every resume so far, in order.
    #[must_use]
    pub fn resumes(&self) -> Vec<Resume> {
        self.state.lock().resumes.clone()
    }

    /// The last value the kernel returned from a call.
    #[must_use]
    pub fn last_return(&self) -> Option<i64> {
        let state = self.state.lock();
        state.resumes.iter().rev().find_map(|r| match r {
            Resume::Return(value) => Some(*value),
            Resume::Regs | Resume::Passthrough => None,
        })
    }

    /// Whether it runs (neither held nor gone).
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state.lock().phase == Phase::Running
    }

    /// Whether it was killed.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.state.lock().phase == Phase::Gone
    }

    /// How often `interrupt` was called.
    #[must_use]
    pub fn interrupts(&self) -> usize {
        self.state.lock().interrupts
    }

    /// The registers, whatever the stop (the test's view; the kernel uses `regs`).
    #[must_use]
    pub fn peek_regs(&self) -> Registers {
        self.state.lock().regs.clone()
    }

    /// Sets the registers of the scripted guest.
    pub fn poke_regs(&self, regs: Registers) {
        self.state.lock().regs = regs;
    }

    /// Sets what `cpu_time` says.
    pub fn set_cpu_time(&self, time: Duration) {
        self.state.lock().cpu_time = time;
    }

    /// The space it lives in, while that is alive.
    #[must_use]
    pub fn space(&self) -> Option<Arc<MockSpace>> {
        self.space.upgrade()
    }

    /// Delivers the next exit if the context runs and there is one.
    fn advance(&self, state: &mut ContextState) {
        if state.phase != Phase::Running {
            return;
        }
        let exit = if std::mem::take(&mut state.irq) {
            Exit::Interrupted
        } else if let Some(exit) = state.script.pop_front() {
            exit
        } else {
            return;
        };
        state.phase = Phase::Held;
        state.at = Stop::Full;
        match exit {
            Exit::Syscall { nr, args, .. } => self.enter_call(state, nr, args),
            Exit::Gone { .. } => state.phase = Phase::Gone,
            Exit::ForeignSyscall { .. } => state.at = Stop::Call,
            Exit::Fault { .. } | Exit::Exception { .. } | Exit::Interrupted => {}
        }
        self.shared.post(
            state.worker,
            Event::Guest {
                cookie: self.cookie,
                exit,
            },
        );
    }

    fn enter_call(&self, state: &mut ContextState, nr: u64, args: [u64; 6]) {
        let full = self
            .shared
            .full_register_calls
            .iter()
            .any(|&n| u64::from(n) == nr);
        state.at = if full { Stop::Full } else { Stop::Call };
        let gp = &mut state.regs.gp;
        gp.rax = nr;
        gp.orig_rax = nr;
        [gp.rdi, gp.rsi, gp.rdx, gp.r10, gp.r8, gp.r9] = args;
    }
}

impl Context for MockContext {
    fn regs(&self) -> Option<Registers> {
        let state = self.state.lock();
        (state.phase == Phase::Held && state.at == Stop::Full).then(|| state.regs.clone())
    }

    fn set_regs(&self, regs: &Registers) -> Result<(), PlatformError> {
        let mut state = self.state.lock();
        match (state.phase, state.at) {
            (Phase::Gone, _) => Err(PlatformError::Gone),
            (Phase::Held, Stop::Full) => {
                state.regs = regs.clone();
                Ok(())
            }
            _ => Err(PlatformError::Unsupported(
                "registers are not available here".into(),
            )),
        }
    }

    fn resume(&self, how: Resume) -> Result<(), PlatformError> {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Gone => return Err(PlatformError::Gone),
            Phase::Running => {
                return Err(PlatformError::Unsupported(
                    "resume of a running context".into(),
                ));
            }
            Phase::Held => {}
        }
        if let Resume::Return(value) = how {
            state.regs.gp.rax = value.cast_unsigned();
        }
        state.resumes.push(how);
        state.phase = Phase::Running;
        self.advance(&mut state);
        Ok(())
    }

    fn interrupt(&self) {
        let mut state = self.state.lock();
        state.interrupts = state.interrupts.saturating_add(1);
        state.irq = true;
        self.advance(&mut state);
    }

    fn kill(&self) {
        let mut state = self.state.lock();
        if state.phase != Phase::Gone {
            state.phase = Phase::Gone;
            let exit = Exit::Gone { signo: 9 };
            self.shared.post(
                state.worker,
                Event::Guest {
                    cookie: self.cookie,
                    exit,
                },
            );
        }
    }

    fn cpu_time(&self) -> Duration {
        self.state.lock().cpu_time
    }

    fn set_worker(&self, worker: WorkerId) {
        self.state.lock().worker = worker.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_holds_and_resumes() {
        let platform = MockPlatform::new(1, &[59]);
        let space = platform.new_address_space().unwrap();
        let context = space
            .new_context(&Registers::default(), 7, WorkerId(0))
            .unwrap();
        let mock = platform.context(7).unwrap();
        mock.push_syscall(39, [0; 6]);
        mock.push_syscall(59, [1; 6]);
        let soon = Some(Duration::from_millis(1));
        assert_eq!(platform.next(WorkerId(0), soon), Event::Timeout);
        context.resume(Resume::Regs).unwrap();
        assert!(matches!(
            platform.next(WorkerId(0), soon),
            Event::Guest {
                cookie: 7,
                exit: Exit::Syscall { nr: 39, .. }
            }
        ));
        assert!(context.regs().is_none());
        context.interrupt();
        context.resume(Resume::Return(5)).unwrap();
        let event = platform.next(WorkerId(0), soon);
        assert_eq!(
            event,
            Event::Guest {
                cookie: 7,
                exit: Exit::Interrupted
            }
        );
        assert_eq!(context.regs().unwrap().gp.rax, 5);
        context.resume(Resume::Regs).unwrap();
        assert!(matches!(
            platform.next(WorkerId(0), soon),
            Event::Guest {
                exit: Exit::Syscall { nr: 59, .. },
                ..
            }
        ));
        assert_eq!(context.regs().unwrap().gp.rsi, 1);
        assert_eq!(mock.last_return(), Some(5));
    }

    #[test]
    fn mappings_follow_operations() {
        let platform = MockPlatform::new(1, &[]);
        let space = platform.new_address_space().unwrap();
        let rw = Prot {
            read: true,
            write: true,
            exec: false,
        };
        let map = MapOp::MapMemory {
            addr: 0x10000,
            len: 0x4000,
            offset: 0x8000,
            prot: rw,
        };
        space
            .commit(&[
                map,
                MapOp::Unmap {
                    addr: 0x11000,
                    len: 0x1000,
                },
            ])
            .unwrap();
        let mock = &platform.spaces()[0];
        assert_eq!(mock.lookup(0x11000), None);
        assert_eq!(mock.lookup(0x12010), Some((Backing::Memory(0xa010), rw)));
        platform.fail_commit(0, 12);
        assert!(space.commit(&[]).is_err());
        assert!(space.commit(&[]).is_ok());
    }
}
