//! The thread that traces all guest threads.
//!
//! A ptrace stop can be acted on by the thread that attached only, so that one thread does
//! it for all: it sleeps in sigwait(3), woken by SIGCHLD when a tracee stops or ends and by
//! a signal of its own for requests; both stay pending, so that neither is lost. Both are
//! blocked in every thread made after the platform. A stop becomes an event in its worker's
//! queue.
//!
//! The host tells of a fault its address but not whether it was a store. It is reported as a
//! load first; the same instruction that faults again at the same address with nothing
//! reported in between has tried to store. Neighbours: `thread`, `raw`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use nix::sys::signal::{SigSet, Signal};
use parking_lot::Mutex;

use super::raw::{self, Go, Status};
use super::thread::{Phase, State, Thread};
use crate::systrap::core::Core;
use crate::systrap::raw::tgkill;
use crate::{Access, Event, Exit, FaultKind};

/// The signal that tells the tracer of requests.
const WAKE: Signal = Signal::SIGUSR2;
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
const X32_BIT: u64 = 0x4000_0000;
/// Bit of protection keys in a header of extended state.
const PKRU: u8 = 2;
const SI_KERNEL: i32 = 0x80;
const FPE_INTDIV: i32 = 1;

/// What the tracer is to do.
pub enum Request {
    /// Attach to a new thread.
    Attach(Arc<Thread>),
    /// Let a held thread go on.
    Go(Arc<Thread>),
    /// Interrupt a thread.
    Interrupt(Arc<Thread>),
    /// Have a thread exit.
    End(Arc<Thread>),
    /// Return.
    Stop,
}

/// The tracer, as others see it.
pub struct Tracer {
    /// What it shares with the stubs.
    pub core: Arc<Core>,
    trap: &'static [u32],
    queue: Mutex<VecDeque<Request>>,
    asleep: AtomicBool,
    pid: i32,
    tid: AtomicI32,
}

fn signals() -> SigSet {
    [Signal::SIGCHLD, WAKE].into_iter().collect()
}

impl Tracer {
    /// Starts the thread; `trap` are the calls that come with full registers.
    pub fn start(core: Arc<Core>, trap: &'static [u32]) -> std::io::Result<Arc<Self>> {
        signals().thread_block()?;
        let tracer = Arc::new(Self {
            core,
            trap,
            queue: Mutex::default(),
            asleep: AtomicBool::new(false),
            pid: i32::try_from(std::process::id()).unwrap_or(0),
            tid: AtomicI32::new(0),
        });
        let own = tracer.clone();
        let thread = std::thread::Builder::new().name("tracer".into());
        thread.spawn(move || own.run())?;
        Ok(tracer)
    }

    /// Leaves a request.
    pub fn push(&self, request: Request) {
        self.queue.lock().push_back(request);
        if self.asleep.swap(false, Ordering::SeqCst) {
            // It lives as long as the platform.
            let _ = tgkill(self.pid, self.tid.load(Ordering::Relaxed), WAKE as i32);
        }
    }

    fn run(&self) {
        self.tid.store(raw::own_tid(), Ordering::Relaxed);
        let mut threads = HashMap::new();
        loop {
            loop {
                let request = self.queue.lock().pop_front();
                match request {
                    Some(Request::Stop) => return,
                    Some(request) => self.serve(request, &mut threads),
                    None => break,
                }
            }
            if let Some((tid, status)) = raw::changed() {
                self.changed(tid, status, &mut threads);
                continue;
            }
            self.asleep.store(true, Ordering::SeqCst);
            if self.queue.lock().is_empty() {
                // Whatever it says, what there is to do is looked for.
                let _ = signals().wait();
            }
            self.asleep.store(false, Ordering::SeqCst);
        }
    }

    fn serve(&self, request: Request, threads: &mut HashMap<i32, Arc<Thread>>) {
        match request {
            Request::Attach(thread) => self.attach(thread, threads),
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
            Request::Stop => {}
        }
    }

    fn attach(&self, thread: Arc<Thread>, threads: &mut HashMap<i32, Arc<Thread>>) {
        let tid = thread.tid;
        let stopped = raw::seize(tid)
            .and_then(|()| raw::interrupt(tid))
            .map(|()| raw::wait_for(tid));
        let initial = match stopped {
            Ok(Some(Status::Ended(_)) | None) | Err(_) => Err(libc::ESRCH),
            Ok(Some(_)) => raw::xstate(tid),
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
                thread.state().initial = state;
                threads.insert(tid, thread);
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
            state.xstate = raw::xstate(thread.tid).unwrap_or_default();
        }
        if !matches!(exit, Exit::Fault { .. }) {
            state.fault = None;
        }
        state.irq = false;
        state.phase = Phase::Held { full };
        let cookie = thread.cookie;
        self.core.post(state.worker, Event::Guest { cookie, exit });
    }

    fn gone(&self, thread: &Thread, signo: u8) {
        let mut state = thread.state();
        if state.phase != Phase::Gone {
            state.phase = Phase::Gone;
            let signo = if state.exiting { 0 } else { signo };
            let (cookie, exit) = (thread.cookie, Exit::Gone { signo });
            self.core.post(state.worker, Event::Guest { cookie, exit });
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
        let _ = raw::go(tid, Go::Sysemu);
    }

    fn changed(&self, tid: i32, status: Status, threads: &mut HashMap<i32, Arc<Thread>>) {
        if let Status::Ended(signo) = status {
            if let Some(thread) = threads.remove(&tid) {
                self.gone(&thread, signo);
            }
            return;
        }
        let Some(thread) = threads.get(&tid) else {
            return;
        };
        let mut state = thread.state();
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
            return raw::go(thread.tid, Go::Sysemu);
        }
        state.gp = raw::regs(thread.tid)?;
        self.report(thread, state, Exit::Interrupted, true);
        Ok(())
    }

    fn signalled(&self, thread: &Thread, state: &mut State, signo: i32) -> Result<(), i32> {
        let info = raw::siginfo(thread.tid)?;
        if info.code <= 0 {
            // Sent by somebody on the host.
            return raw::go(thread.tid, Go::Sysemu);
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
            let x87 = floating && x87_raises(&raw::xstate(thread.tid)?);
            let Some(vector) = vector(signo, info.code, x87) else {
                return raw::go(thread.tid, Go::Sysemu);
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
