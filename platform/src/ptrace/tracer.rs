//! The threads that trace: one for each worker, which is the worker's own.
//!
//! A ptrace stop can be acted on by the thread that attached only. So the guest threads dealt
//! to a worker belong to the first thread that serves it: it acts on their stops itself, and
//! is the one to serve the worker whenever it can (`wait`). Others leave requests.
//!
//! A tracer and what it traces run on one CPU, since handing over there costs a fraction of
//! what another costs; guest threads that run at the same time may use all CPUs.
//!
//! The host tells of a fault its address but not whether it was a store. It is reported as a
//! load first; the same instruction that faults again at the same address with nothing
//! reported in between has tried to store. Neighbours: `wait`, `thread`, `raw`.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};
use std::time::Instant;

use parking_lot::Mutex;

use super::raw::{self, Go, Status};
use super::thread::{Phase, State, Thread};
use crate::systrap::core::Core;
use crate::systrap::raw::{cpu_set, cpus_of, set_affinity, tgkill};
use crate::{Access, Event, Exit, FaultKind, WorkerId};

const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
const X32_BIT: u64 = 0x4000_0000;
/// Bit of protection keys in a header of extended state.
const PKRU: u8 = 2;
const SI_KERNEL: i32 = 0x80;
const FPE_INTDIV: i32 = 1;
/// How often a thread must have gone on alone to be bound to the tracer's CPU again.
const ALONE: u32 = 64;

/// What a tracer is to do.
pub enum Request {
    /// Attach to a new thread.
    Attach(Arc<Thread>),
    /// Let a held thread go on.
    Go(Arc<Thread>),
    /// Interrupt a thread.
    Interrupt(Arc<Thread>),
    /// Have a thread exit.
    End(Arc<Thread>),
}

/// A tracer, as others see it.
pub struct Tracer {
    /// What it shares with the stubs.
    pub core: Arc<Core>,
    /// The worker it is.
    pub worker: WorkerId,
    /// Calls that come with full registers.
    pub trap: &'static [u32],
    /// The thread, once there is one.
    owner: OnceLock<ThreadId>,
    /// Its id on the host.
    tid: AtomicI32,
    /// It waits, or is about to.
    pub asleep: AtomicU32,
    /// Another thread serves the worker.
    pub away: AtomicBool,
    /// There is something to find in the worker's wait set.
    pub rang: AtomicBool,
    /// In that set: ends a wait in time.
    pub timer: OwnedFd,
    /// When it will.
    pub armed: Mutex<Option<Instant>>,
    /// Events to report.
    pub ready: Mutex<VecDeque<Event>>,
    /// What it traces; its own alone.
    pub threads: Mutex<HashMap<i32, Arc<Thread>>>,
    queue: Mutex<VecDeque<Request>>,
    running: AtomicUsize,
    pid: i32,
}

impl Tracer {
    /// The tracer of a worker, that no thread is yet.
    pub fn new(core: Arc<Core>, worker: WorkerId, trap: &'static [u32]) -> std::io::Result<Self> {
        Ok(Self {
            core,
            worker,
            trap,
            owner: OnceLock::new(),
            tid: AtomicI32::new(0),
            asleep: AtomicU32::new(0),
            away: AtomicBool::new(true),
            rang: AtomicBool::new(true),
            timer: raw::timer()?,
            armed: Mutex::default(),
            ready: Mutex::default(),
            threads: Mutex::default(),
            queue: Mutex::default(),
            running: AtomicUsize::new(0),
            pid: i32::try_from(std::process::id()).unwrap_or(0),
        })
    }

    /// Whether it is the calling thread.
    pub fn is_mine(&self) -> bool {
        self.owner.get() == Some(&thread::current().id())
    }

    /// The calling thread serves the worker; whether it is the tracer, as the first is.
    pub fn serves(&self) -> bool {
        let own = thread::current().id();
        let owner = self.owner.get_or_init(|| {
            self.tid.store(raw::own_tid(), Ordering::Relaxed);
            own
        });
        *owner == own
    }

    /// Leaves a request.
    pub fn push(&self, request: Request) {
        self.queue.lock().push_back(request);
        self.wake();
    }

    /// Ends its wait, or that of whoever serves the worker in its place.
    pub fn wake(&self) {
        if self.away.load(Ordering::SeqCst)
            && let Ok(worker) = self.core.worker(self.worker)
        {
            worker.wake();
        }
        if self.asleep.load(Ordering::SeqCst) != 0 && self.asleep.swap(0, Ordering::SeqCst) != 0 {
            // It lives as long as the platform.
            let _ = tgkill(self.pid, self.tid.load(Ordering::Relaxed), raw::WAKE);
        }
    }

    /// Whether there are requests.
    pub fn is_asked(&self) -> bool {
        !self.queue.lock().is_empty()
    }

    /// Does what was requested.
    pub fn serve(&self) {
        loop {
            let request = self.queue.lock().pop_front();
            match request {
                Some(request) => self.act(request),
                None => return,
            }
        }
    }

    fn act(&self, request: Request) {
        match request {
            Request::Attach(thread) => self.attach(thread),
            Request::Go(thread) => {
                let mut state = thread.state();
                if state.phase == Phase::Run {
                    self.go_on(&thread, &mut state);
                }
            }
            Request::Interrupt(thread) => {
                let state = thread.state();
                if state.irq && state.phase == Phase::Run {
                    // One that dies is waited for.
                    let _ = raw::interrupt(thread.tid);
                }
            }
            Request::End(thread) => {
                let mut state = thread.state();
                match state.phase {
                    Phase::Held { .. } => self.leave(&thread, &mut state),
                    Phase::Run => drop(raw::interrupt(thread.tid)),
                    Phase::Leaving | Phase::Gone => {}
                }
            }
        }
    }

    /// Binds a thread to the tracer's CPU, or to all it may use.
    pub fn bind(&self, thread: &Thread, state: &mut State, wide: bool) {
        state.wide = wide;
        state.alone = 0;
        let may = |n: &usize| *n >= 64 || state.cpus >> n & 1 == 1;
        let mut cpus: Vec<usize> = cpus_of(&self.core.cpus).into_iter().filter(may).collect();
        let worker = self.core.worker(self.worker).ok();
        if let Some(own) = worker.and_then(|w| w.cpu())
            && !wide
            && cpus.contains(&own)
        {
            cpus = vec![own];
        }
        // One that has died needs none.
        let _ = set_affinity(thread.tid, &cpu_set(&cpus));
    }

    /// Binds a thread that goes on as the others that run make it best.
    fn settle(&self, thread: &Thread, state: &mut State) {
        let alone = self.running.fetch_add(1, Ordering::Relaxed) == 0;
        state.runs = true;
        state.alone = if alone {
            state.alone.saturating_add(1)
        } else {
            0
        };
        if !alone && !state.wide {
            self.bind(thread, state, true);
        } else if state.wide && state.alone > ALONE {
            self.bind(thread, state, false);
        }
    }

    /// A thread has stopped or ended.
    fn unsettle(&self, state: &mut State) {
        if std::mem::take(&mut state.runs) {
            self.running.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn attach(&self, thread: Arc<Thread>) {
        let tid = thread.tid;
        let stopped = raw::seize(tid)
            .and_then(|()| raw::interrupt(tid))
            .map(|()| raw::wait_for(tid));
        let initial = match stopped {
            Ok(Some(Status::Ended(_)) | None) | Err(_) => Err(libc::ESRCH),
            Ok(Some(_)) => raw::xstate(tid, self.core.xstate.size),
        };
        match initial {
            Ok(mut state) => {
                // Registers of the process it was forked from are not the guest's to see.
                let keys = state.get(513).map_or(0, |byte| byte & PKRU);
                if let Some(legacy) = state.get_mut(..512) {
                    legacy.fill(0);
                    legacy[..2].copy_from_slice(&[0x7f, 3]);
                    legacy[24..28].copy_from_slice(&0x1f80u32.to_le_bytes());
                }
                if let Some(header) = state.get_mut(512..576) {
                    header.fill(0);
                    header[1] = keys;
                }
                let mut held = thread.state();
                held.initial = state;
                self.bind(&thread, &mut held, false);
                drop(held);
                self.threads.lock().insert(tid, thread);
            }
            Err(_) => {
                thread.stub.kill();
                self.gone(&thread, libc::SIGKILL as u8);
            }
        }
    }

    /// Reports an event of a thread.
    fn report(&self, thread: &Thread, state: &mut State, exit: Exit, full: bool) {
        if full && !state.xstate_changed {
            state.xstate = raw::xstate(thread.tid, self.core.xstate.size).unwrap_or_default();
        }
        if !matches!(exit, Exit::Fault { .. }) {
            state.fault = None;
        }
        state.irq = false;
        state.phase = Phase::Held { full };
        let cookie = thread.cookie;
        self.ready.lock().push_back(Event::Guest { cookie, exit });
    }

    fn gone(&self, thread: &Thread, signo: u8) {
        let mut state = thread.state();
        self.unsettle(&mut state);
        if state.phase != Phase::Gone {
            state.phase = Phase::Gone;
            let signo = if state.exiting { 0 } else { signo };
            let (cookie, exit) = (thread.cookie, Exit::Gone { signo });
            self.ready.lock().push_back(Event::Guest { cookie, exit });
        }
    }

    /// Has a stopped thread leave by the stub's own `exit(2)`.
    fn leave(&self, thread: &Thread, state: &mut State) {
        state.phase = Phase::Leaving;
        let mut regs = state.gp;
        self.at_syscall(&mut regs);
        (regs.rax, regs.rdi) = (libc::SYS_exit.cast_unsigned(), 0);
        // What fails has died.
        let _ = raw::set_regs(thread.tid, &regs);
        let _ = raw::go(thread.tid, Go::Cont);
    }

    /// Puts a thread before a system call instruction of the stub, which is not the guest's
    /// to change.
    fn at_syscall(&self, regs: &mut crate::GpRegs) {
        const LEN: u64 = 2;
        regs.rip = self.core.layout.base + self.core.entries.exit_ip - LEN;
        regs.orig_rax = u64::MAX;
        regs.cs = 0x33;
        regs.ss = 0x2b;
        // No single steps.
        regs.eflags &= !0x100;
    }

    /// Lets a stopped thread go on as its state says.
    fn go_on(&self, thread: &Thread, state: &mut State) {
        let tid = thread.tid;
        if state.exiting {
            return self.leave(thread, state);
        }
        if state.passes {
            let mut regs = state.gp;
            regs.rax = regs.orig_rax;
            self.at_syscall(&mut regs);
            let _ = raw::set_regs(tid, &regs);
            let _ = raw::go(tid, Go::Syscall);
            return;
        }
        if state.irq {
            return self.report(thread, state, Exit::Interrupted, true);
        }
        if std::mem::take(&mut state.xstate_changed) {
            let mut whole = state.initial.clone();
            let given = state.xstate.len().saturating_sub(4).min(whole.len());
            if let (Some(to), Some(from)) = (whole.get_mut(..given), state.xstate.get(..given)) {
                to.copy_from_slice(from);
            }
            if raw::set_xstate(tid, &whole).is_err() {
                // The host has refused what should have been harmless.
                let _ = raw::set_xstate(tid, &state.initial);
            }
        }
        if std::mem::take(&mut state.gp_changed) {
            let _ = raw::set_regs(tid, &state.gp);
        }
        self.settle(thread, state);
        let _ = raw::go(tid, Go::Sysemu);
    }

    /// A thread has stopped or ended.
    pub fn changed(&self, tid: i32, status: Status) {
        let mut threads = self.threads.lock();
        if let Status::Ended(signo) = status {
            let ended = threads.remove(&tid);
            drop(threads);
            if let Some(thread) = ended {
                self.gone(&thread, signo);
            }
            return;
        }
        let Some(thread) = threads.get(&tid).cloned() else {
            return;
        };
        drop(threads);
        let thread = &*thread;
        let mut state = thread.state();
        self.unsettle(&mut state);
        if state.exiting {
            return self.leave(thread, &mut state);
        }
        if state.passes {
            return self.passing(thread, &mut state, status);
        }
        // One that has died meanwhile is told of by the next wait.
        let _ = match status {
            Status::Call => self.called(thread, &mut state),
            Status::Event => self.stopped(thread, &mut state),
            Status::Signal(signo) => self.signalled(thread, &mut state, signo),
            Status::Ended(_) => Ok(()),
        };
    }

    /// The host makes a call for a thread.
    fn passing(&self, thread: &Thread, state: &mut State, status: Status) {
        const ENTRY: u8 = 1;
        // The exit of the call that was not made comes first.
        let called = status == Status::Call && {
            let entry = raw::call(thread.tid).is_ok_and(|call| call.is(ENTRY));
            let entered = state.entered;
            state.entered |= entry;
            entered && !entry
        };
        if !called {
            let _ = raw::go(thread.tid, Go::Syscall);
            return;
        }
        state.entered = false;
        if let Ok(regs) = raw::regs(thread.tid) {
            state.gp.rax = regs.rax;
            state.gp.orig_rax = u64::MAX;
        }
        state.gp_changed = true;
        state.passes = false;
        self.go_on(thread, state);
    }

    /// Lets a thread go on whose stop is nobody's business.
    fn again(&self, thread: &Thread, state: &mut State) -> Result<(), i32> {
        self.settle(thread, state);
        raw::go(thread.tid, Go::Sysemu)
    }

    fn called(&self, thread: &Thread, state: &mut State) -> Result<(), i32> {
        let call = raw::call(thread.tid)?;
        state.gp = raw::regs(thread.tid)?;
        let g = &state.gp;
        if call.arch != AUDIT_ARCH_X86_64 || call.nr & X32_BIT != 0 {
            let nr = call.nr;
            self.report(thread, state, Exit::ForeignSyscall { nr }, true);
            return Ok(());
        }
        let nr = g.orig_rax & 0xffff_ffff;
        let exit = Exit::Syscall {
            nr,
            args: [g.rdi, g.rsi, g.rdx, g.r10, g.r8, g.r9],
            ip: g.rip,
        };
        let full = u32::try_from(nr).is_ok_and(|nr| self.trap.contains(&nr));
        if full {
            // As a signal's frame shows a call.
            state.gp.rax = nr;
        }
        self.report(thread, state, exit, full);
        Ok(())
    }

    fn stopped(&self, thread: &Thread, state: &mut State) -> Result<(), i32> {
        if !state.irq {
            return self.again(thread, state);
        }
        state.gp = raw::regs(thread.tid)?;
        self.report(thread, state, Exit::Interrupted, true);
        Ok(())
    }

    fn signalled(&self, thread: &Thread, state: &mut State, signo: i32) -> Result<(), i32> {
        let info = raw::siginfo(thread.tid)?;
        if info.code <= 0 {
            // Sent by somebody on the host.
            return self.again(thread, state);
        }
        state.gp = raw::regs(thread.tid)?;
        let page_fault = match signo {
            libc::SIGSEGV => info.code != SI_KERNEL,
            libc::SIGBUS => info.code != libc::BUS_ADRALN && info.code != SI_KERNEL,
            _ => false,
        };
        let exit = if page_fault {
            let place = (state.gp.rip, info.addr);
            let again = state.fault == Some(place);
            state.fault = if again { None } else { Some(place) };
            let access = match again {
                _ if place.0 == place.1 => Access::Exec,
                true => Access::Write,
                false => Access::Read,
            };
            let bus = signo == libc::SIGBUS;
            let kind = if bus { FaultKind::Bus } else { FaultKind::Page };
            Exit::Fault {
                addr: info.addr,
                access,
                kind,
            }
        } else {
            let floating = signo == libc::SIGFPE && info.code != FPE_INTDIV;
            let x87 = floating && x87_raises(&raw::xstate(thread.tid, self.core.xstate.size)?);
            let Some(vector) = vector(signo, info.code, x87) else {
                return self.again(thread, state);
            };
            Exit::Exception {
                vector,
                error: 0,
                addr: info.addr,
                signo: u8::try_from(signo).unwrap_or(0),
                code: info.code,
            }
        };
        self.report(thread, state, exit, true);
        Ok(())
    }
}

/// Whether extended state has an x87 exception that is not masked.
fn x87_raises(xstate: &[u8]) -> bool {
    const EXCEPTIONS: u8 = 0x3f;
    match *xstate {
        [control, _, status, ..] => status & !control & EXCEPTIONS != 0,
        _ => false,
    }
}

/// The exception that the host raises this signal for.
fn vector(signo: i32, code: i32, x87: bool) -> Option<u8> {
    const X87: u8 = 16;
    const SSE: u8 = 19;
    Some(match signo {
        libc::SIGFPE if code == FPE_INTDIV => 0,
        libc::SIGFPE if x87 => X87,
        libc::SIGFPE => SSE,
        libc::SIGTRAP if code == SI_KERNEL => 3,
        libc::SIGTRAP => 1,
        libc::SIGILL => 6,
        libc::SIGSEGV => 13,
        libc::SIGBUS => 17,
        _ => return None,
    })
}
