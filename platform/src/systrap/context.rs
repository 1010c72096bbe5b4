//! A guest thread: a host thread in a stub, its listener, and its state.
//!
//! The state says who may act: `Run` (the guest), `Held` (whoever took the event), `Born`
//! (a new host thread that has not rung yet), `Gone`. Rules: an interrupt sets `irq` before
//! it signals, one signal for each time `irq` becomes set, and only while the guest runs; the
//! holder looks at `irq` before each reply. A call is finished by exactly one reply. With
//! `WAIT_KILLABLE_RECV` a signal for a thread whose call was received waits for the reply.
//! Neighbours: `frame` (the register file), `space` (the stub), `core` (wait sets).

mod post;
mod rest;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::core::{Core, Key, Source};
use super::frame::Area;
use super::layout::{AREA_BIRTH, Op, WAITBELL};
use super::raw::{self, Notif};
use super::space::{Born, Stub};
use crate::{
    Access, Context, Cookie, Event, Exit, FaultKind, MapOp, PlatformError, Registers, Resume,
    RseqArea, WorkerId,
};

use post::Stood;
pub use post::{Look, Session};

/// How long the next event of a thread is waited for that was interrupted.
const SETTLE_LIMIT: Duration = Duration::from_secs(2);
/// How often it is looked whether somebody else has taken that event.
const SETTLE_STEP: Duration = Duration::from_millis(1);

/// What came of a change that was entrusted to a thread.
#[derive(Clone, Copy, Debug)]
pub enum Settled {
    /// It is made.
    Done,
    /// It is for the caller to make.
    Redo(Op),
    /// Nobody knows: the thread does not answer.
    Lost,
}

/// The signal that makes a running guest thread ring the doorbell.
pub const INTERRUPT: i32 = libc::SIGURG;
/// Doorbell result that ends the host thread.
const DIE: i64 = 1;
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
const X32_BIT: u32 = 0x4000_0000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The host thread has not rung yet; `go` says that it was resumed already.
    Born { go: bool },
    /// Stopped in a call that was notified: number and arguments only.
    HeldCall { id: u64, nr: i32, args: [u64; 6] },
    /// Stopped in a call that it posted; the host thread runs and waits for the result.
    Posted,
    /// Stopped in the doorbell: a whole frame at this offset of the area.
    HeldFrame { id: u64, at: u64 },
    /// The same, with a bell that was heard without the host.
    HeldBell { at: u64 },
    /// Stopped in posting code, which has saved its registers.
    HeldSaved,
    /// Guest code runs.
    Run,
    /// The host thread is gone, or its stub.
    Gone,
}

impl Phase {
    /// Where the frame is, at a stop that has one.
    fn frame(self) -> Option<u64> {
        match self {
            Self::HeldFrame { at, .. } | Self::HeldBell { at } => Some(at),
            Self::Born { go: false } | Self::HeldSaved => Some(AREA_BIRTH),
            Self::Born { go: true }
            | Self::HeldCall { .. }
            | Self::Posted
            | Self::Run
            | Self::Gone => None,
        }
    }
}

struct State {
    phase: Phase,
    tid: i32,
    worker: WorkerId,
    next_worker: Option<WorkerId>,
    irq: bool,
    /// How many interrupts were signalled.
    signals: u64,
    /// It is on the watchdog's list.
    watched: bool,
    exiting: bool,
    reported: bool,
    posting: post::Posting,
    /// The CPUs it is to be kept on, before it has a thread id.
    cpus: Option<libc::cpu_set_t>,
    /// A change of the space that the host is to make by the call in hand.
    entrusted: Entrusted,
    /// Stopped in `exit(2)`: the host writes to no memory of the guest for it any more.
    leaves: bool,
}

/// See [`Context::entrust`].
#[derive(Clone, Copy, Debug)]
enum Entrusted {
    /// None, or it is done.
    No,
    /// The call is still in hand.
    Held(Op),
    /// Somebody else has made the change; the call is only to return.
    Revoked,
    /// The host executes the call now, or has: the next event tells.
    Sent,
}

/// A guest thread.
pub struct Thread {
    core: Arc<Core>,
    stub: Arc<Stub>,
    key: Key,
    cookie: Cookie,
    area_index: u32,
    area: Area,
    listener: Arc<OwnedFd>,
    /// What the host thread had used before.
    cpu_base: Duration,
    state: Mutex<State>,
}

/// What a new thread is made of.
pub struct Parts {
    /// Its stub.
    pub stub: Arc<Stub>,
    /// The kernel's number for it.
    pub cookie: Cookie,
    /// Its place and its host thread.
    pub born: Born,
    /// Its first worker.
    pub worker: WorkerId,
}

impl Thread {
    /// A thread that has just been cloned.
    pub fn new(core: Arc<Core>, key: Key, parts: Parts) -> Arc<Self> {
        let born = parts.born;
        let at = born.at;
        let state = State {
            phase: born
                .rung
                .map_or(Phase::Born { go: false }, |(_, id)| Phase::HeldFrame {
                    id,
                    at,
                }),
            tid: born.rung.map_or(0, |(tid, _)| tid),
            worker: parts.worker,
            next_worker: None,
            irq: false,
            signals: 0,
            watched: false,
            exiting: false,
            reported: false,
            posting: post::Posting::default(),
            cpus: None,
            entrusted: Entrusted::No,
            leaves: false,
        };
        Arc::new(Self {
            core,
            stub: parts.stub,
            key,
            cookie: parts.cookie,
            area_index: born.area_index,
            area: born.area,
            listener: born.listener,
            cpu_base: born.cpu_base,
            state: Mutex::new(state),
        })
    }

    /// Its key in the table of threads.
    pub fn key(&self) -> Key {
        self.key
    }

    /// Its stub.
    pub fn stub(&self) -> &Stub {
        &self.stub
    }

    /// The number of the interrupt that was signalled last, if it has not been answered;
    /// otherwise the thread is off the watchdog's list.
    pub fn unanswered(&self) -> Option<u64> {
        let mut state = self.state.lock();
        let waiting = state.irq && state.phase == Phase::Run;
        state.watched = waiting;
        waiting.then_some(state.signals)
    }

    /// Adds its listener to its worker's wait set.
    pub fn enlist(&self) -> Result<(), i32> {
        raw::notif_sync(self.listener.as_fd())?;
        let worker = self.state.lock().worker;
        let worker = self.core.worker(worker).map_err(|_| libc::EINVAL)?;
        worker.add(self.listener.as_fd(), Source::Thread(self.key))
    }

    /// Handles an epoll event of its listener.
    pub fn ready(&self, events: u32) -> Option<Event> {
        if events & libc::EPOLLIN as u32 != 0 {
            match raw::notif_recv(self.listener.as_fd()) {
                Ok(notif) => {
                    let exit = self.notified(&notif)?;
                    return Some(Event::Guest {
                        cookie: self.cookie,
                        exit,
                    });
                }
                Err(libc::EINTR) => return None,
                // Revoked, or the thread is gone: the next poll tells.
                Err(libc::ENOENT) if events & libc::EPOLLHUP as u32 == 0 => return None,
                Err(_) => {}
            }
        }
        self.hung_up()
    }

    /// The last task with the filter is gone.
    fn hung_up(&self) -> Option<Event> {
        let exiting = self.state.lock().exiting;
        if exiting || self.stub.is_killed() {
            let event = self.finish(if exiting { 0 } else { 9 });
            self.stub.free_area(self.area_index);
            return event;
        }
        // The whole stub dies of something else: its pidfd brings the signal.
        self.leave_set();
        None
    }

    fn leave_set(&self) {
        let worker = self.state.lock().worker;
        if let Ok(worker) = self.core.worker(worker) {
            worker.remove(self.listener.as_fd());
        }
    }

    /// Makes it `Gone`; the event, the first time.
    fn finish(&self, signo: u8) -> Option<Event> {
        self.leave_set();
        let mut state = self.state.lock();
        self.set_phase(&mut state, Phase::Gone);
        let first = !std::mem::replace(&mut state.reported, true);
        drop(state);
        self.core.threads.write().remove(self.key);
        self.stub.forget(self.key);
        let exit = Exit::Gone { signo };
        first.then_some(Event::Guest {
            cookie: self.cookie,
            exit,
        })
    }

    /// Its stub was reaped.
    pub fn stub_ended(&self, signo: u8) {
        let worker = self.state.lock().worker;
        if let Some(event) = self.finish(signo) {
            self.core.post(worker, event);
        }
    }

    /// A notification was received: what to report, if anything.
    fn notified(&self, notif: &Notif) -> Option<Exit> {
        let mut state = self.state.lock();
        let base = self.core.layout.base;
        let born = notif.ip == base + self.core.entries.born_ip;
        if let Phase::Born { go } = state.phase {
            if !born || self.area.frame_at(notif.arg(0)) != Some(AREA_BIRTH) {
                self.stub.kill();
                return None;
            }
            self.born(&mut state, notif, go);
            return None;
        }
        let own = notif.pid == state.tid.cast_unsigned();
        if own && self.notified_posting(&mut state, notif) {
            return None;
        }
        if state.phase != Phase::Run || !own {
            self.stub.kill();
            return None;
        }
        if self.late_waiter(&mut state, notif) {
            return None;
        }
        state.irq = false;
        state.entrusted = Entrusted::No;
        state.posting.notified();
        if let Some(at) = self.doorbell_frame(notif) {
            let phase = Phase::HeldFrame { id: notif.id, at };
            return self.framed(&mut state, phase, &notif.args, at);
        }
        self.set_phase(&mut state, held_call(notif));
        state.posting.stopped();
        if state.exiting {
            self.end(&mut state);
            return None;
        }
        let nr = notif.nr.cast_unsigned();
        if nr & X32_BIT != 0 && notif.nr > 0 {
            return Some(Exit::ForeignSyscall { nr: u64::from(nr) });
        }
        Some(Exit::Syscall {
            nr: u64::from(nr),
            args: notif.args,
            ip: notif.ip,
        })
    }

    /// The thread has rung, and its frame is at `at`: what to report, if anything.
    fn framed(&self, state: &mut State, phase: Phase, args: &[u64; 6], at: u64) -> Option<Exit> {
        self.set_phase(state, phase);
        state.leaves = self.is_exit(args[1], at);
        let stood = self.leave_posting(state, at);
        state.posting.stopped();
        if state.exiting {
            self.end(state);
            return None;
        }
        match stood {
            Stood::Fetching if args[1] == libc::SIGILL as u64 => Some(Exit::Interrupted),
            // Flags or protection keys of the guest stopped the loading: the host does it.
            Stood::Loading if args[1] != INTERRUPT as u64 => {
                // A thread that died meanwhile hangs up.
                let _ = self.reply_frame(state, 0);
                None
            }
            _ => Some(self.frame_exit(args, at)),
        }
    }

    /// The frame with which the handler rang the doorbell, if that is what it is.
    fn doorbell_frame(&self, notif: &Notif) -> Option<u64> {
        let doorbell = notif.ip == self.core.layout.base + self.core.entries.doorbell_ip;
        self.area.frame_at(notif.arg(0)).filter(|_| doorbell)
    }

    /// Enters a phase, and counts the threads that run.
    fn set_phase(&self, state: &mut State, phase: Phase) {
        let (was, is) = (state.phase == Phase::Run, phase == Phase::Run);
        state.phase = phase;
        match (was, is) {
            (false, true) => self.core.running.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.core.running.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
    }

    /// A new thread rang for the first time.
    fn born(&self, state: &mut State, notif: &Notif, go: bool) {
        state.tid = notif.pid.cast_signed();
        // The mapper's binding to one CPU was inherited.
        let cpus = state.cpus.take();
        let _ = raw::set_affinity(state.tid, cpus.as_ref().unwrap_or(&self.core.cpus));
        let (id, at) = (notif.id, AREA_BIRTH);
        self.set_phase(state, Phase::HeldFrame { id, at });
        if state.exiting {
            self.end(state);
        } else if go {
            // A thread that died meanwhile hangs up.
            let _ = self.reply(state, 0);
        }
    }

    /// Replies where a frame is in hand, however it came.
    fn reply_frame(&self, state: &mut State, value: i64) -> Result<(), PlatformError> {
        match state.phase {
            Phase::HeldBell { .. } | Phase::HeldSaved => {
                self.answer_bell(state, value);
                Ok(())
            }
            _ => self.reply(state, value),
        }
    }

    /// Decodes a doorbell. Everything here is guest data.
    fn frame_exit(&self, args: &[u64; 6], at: u64) -> Exit {
        let [_, signo, cr2, error, trap, code] = *args;
        let signo = i32::try_from(signo).unwrap_or(0);
        let code = (code & 0xffff_ffff) as u32;
        let window = self.core.control.window();
        const PAGE_FAULT: u64 = 14;
        match signo {
            INTERRUPT => Exit::Interrupted,
            libc::SIGSYS => {
                let info = self.area.siginfo(window, at);
                if info.arch != AUDIT_ARCH_X86_64 || info.nr & X32_BIT != 0 {
                    return Exit::ForeignSyscall {
                        nr: u64::from(info.nr),
                    };
                }
                let g = self.area.gp(window, at);
                let args = [g.rdi, g.rsi, g.rdx, g.r10, g.r8, g.r9];
                Exit::Syscall {
                    nr: g.rax & 0xffff_ffff,
                    args,
                    ip: g.rip,
                }
            }
            libc::SIGSEGV | libc::SIGBUS if trap == PAGE_FAULT => {
                let access = match error {
                    e if e & 0x10 != 0 => Access::Exec,
                    e if e & 2 != 0 => Access::Write,
                    _ => Access::Read,
                };
                let bus = signo == libc::SIGBUS;
                let kind = if bus { FaultKind::Bus } else { FaultKind::Page };
                Exit::Fault {
                    addr: cr2,
                    access,
                    kind,
                }
            }
            _ => Exit::Exception {
                vector: u8::try_from(trap).unwrap_or(u8::MAX),
                error,
                addr: self.area.siginfo(window, at).addr,
                signo: u8::try_from(signo).unwrap_or(0),
                code: code.cast_signed(),
            },
        }
    }

    /// Moves to another worker's wait set, if that was asked for and nothing is in hand.
    fn move_worker(&self, state: &mut State) {
        let Some(to) = state.next_worker.take() else {
            return;
        };
        if let (Ok(old), Ok(new)) = (self.core.worker(state.worker), self.core.worker(to)) {
            old.remove(self.listener.as_fd());
            if new
                .add(self.listener.as_fd(), Source::Thread(self.key))
                .is_ok()
            {
                state.worker = to;
            } else {
                let _ = old.add(self.listener.as_fd(), Source::Thread(self.key));
            }
        }
    }

    /// Replies to the notification in hand; the guest runs.
    fn reply(&self, state: &mut State, value: i64) -> Result<(), PlatformError> {
        let (Phase::HeldCall { id, .. } | Phase::HeldFrame { id, .. }) = state.phase else {
            return Err(PlatformError::Gone);
        };
        self.before_reply(state);
        raw::notif_return(self.listener.as_fd(), id, value).map_err(|_| PlatformError::Gone)
    }

    fn pass_through(&self, state: &mut State, id: u64) -> Result<(), PlatformError> {
        self.before_reply(state);
        raw::notif_continue(self.listener.as_fd(), id).map_err(|_| PlatformError::Gone)
    }

    fn before_reply(&self, state: &mut State) {
        if state.irq {
            self.signal(state);
        }
        self.leave_hold(state);
    }

    fn leave_hold(&self, state: &mut State) {
        self.move_worker(state);
        self.set_phase(state, Phase::Run);
        state.leaves = false;
        state.posting.resumed();
    }

    fn signal(&self, state: &mut State) {
        state.signals = state.signals.wrapping_add(1);
        // A thread that is gone needs none.
        let _ = raw::tgkill(self.stub.pid(), state.tid, INTERRUPT);
    }

    /// Interrupts it where it runs, under the watchdog's eyes.
    fn signal_running(self: &Arc<Self>, state: &mut State) {
        state.irq = true;
        self.signal(state);
        if !std::mem::replace(&mut state.watched, true) {
            self.core.watchdog.add(self.clone());
        }
    }

    /// See [`Context::interrupt`].
    fn interrupt(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.phase == Phase::Run && !state.irq {
            self.signal_running(&mut state);
        }
        state.irq = true;
    }

    /// Notes that the call in hand, if it has this number and passes `same`, is to make the
    /// change `op`; whether it is so.
    pub fn take_over(&self, op: &Op, same: impl FnOnce(&[u64; 6]) -> bool) -> bool {
        let mut state = self.state.lock();
        let Phase::HeldCall { nr, args, .. } = state.phase else {
            return false;
        };
        let fits = i64::from(nr).cast_unsigned() == op.words[0] && !state.exiting && same(&args);
        if fits {
            state.entrusted = Entrusted::Held(*op);
        }
        fits
    }

    /// Makes sure that what was entrusted to it is done: an operation to be carried out now
    /// when its call is still in hand. Otherwise its next event is waited for, which an
    /// interruption brings; none comes from a thread that dies with its whole stub.
    pub fn settle(self: &Arc<Self>) -> Settled {
        let until = Instant::now() + SETTLE_LIMIT;
        let mut pause = Duration::ZERO;
        loop {
            {
                let mut state = self.state.lock();
                match state.entrusted {
                    Entrusted::No | Entrusted::Revoked => return Settled::Done,
                    Entrusted::Held(op) => {
                        state.entrusted = Entrusted::Revoked;
                        return Settled::Redo(op);
                    }
                    Entrusted::Sent if state.phase == Phase::Gone => return Settled::Done,
                    Entrusted::Sent => {}
                }
            }
            // A readable listener has the next event, a hung up one has none any more.
            match raw::poll(self.listener.as_fd(), libc::POLLIN, pause) {
                Ok(0) if Instant::now() >= until => return Settled::Lost,
                Ok(0) | Err(_) => {}
                Ok(_) => return Settled::Done,
            }
            if pause.is_zero() {
                self.interrupt();
            }
            pause = SETTLE_STEP;
        }
    }

    /// Drives a held thread that is to end towards its exit.
    fn end(&self, state: &mut State) {
        let _ = match state.phase {
            Phase::HeldFrame { .. } | Phase::HeldBell { .. } | Phase::HeldSaved => {
                self.reply_frame(state, DIE)
            }
            Phase::HeldCall { id, nr, .. } if i64::from(nr) == libc::SYS_exit => {
                self.pass_through(state, id)
            }
            Phase::HeldCall { .. } => {
                state.irq = true;
                self.reply(state, 0)
            }
            Phase::Posted => {
                state.irq = true;
                self.answer(state, 0, None);
                Ok(())
            }
            Phase::Born { .. } | Phase::Run | Phase::Gone => Ok(()),
        };
    }
}

/// Stopped in the call that was notified.
fn held_call(notif: &Notif) -> Phase {
    Phase::HeldCall {
        id: notif.id,
        nr: notif.nr,
        args: notif.args,
    }
}

/// The kernel's handle to a [`Thread`]; dropping it ends the thread.
pub struct Handle(pub Arc<Thread>);

impl Context for Handle {
    fn regs(&self) -> Option<Registers> {
        let thread = &self.0;
        // The area is the thread's only as long as the state says so.
        let state = thread.state.lock();
        let at = state.phase.frame()?;
        Some(
            thread
                .area
                .read(thread.core.control.window(), at, &thread.core.xstate),
        )
    }

    fn set_regs(&self, regs: &Registers) -> Result<(), PlatformError> {
        let thread = &self.0;
        let state = thread.state.lock();
        if state.phase == Phase::Gone {
            return Err(PlatformError::Gone);
        }
        let unsupported = || PlatformError::Unsupported("registers are not available here".into());
        let at = state.phase.frame().ok_or_else(unsupported)?;
        thread
            .area
            .write(thread.core.control.window(), at, regs, &thread.core.xstate);
        Ok(())
    }

    fn resume(&self, how: Resume) -> Result<(), PlatformError> {
        let thread = &self.0;
        let (mut state, help) = thread.lock_to_resume(how);
        if state.exiting {
            return Err(PlatformError::Gone);
        }
        match (state.phase, how) {
            (Phase::Gone, _) => Err(PlatformError::Gone),
            (Phase::Born { .. }, Resume::Regs) => {
                state.phase = Phase::Born { go: true };
                Ok(())
            }
            (
                phase @ (Phase::HeldFrame { .. } | Phase::HeldBell { .. } | Phase::HeldSaved),
                Resume::Return(_) | Resume::Regs,
            ) => {
                if let (Some(at), Resume::Return(value)) = (phase.frame(), how) {
                    let window = thread.core.control.window();
                    thread.area.set_rax(window, at, value.cast_unsigned());
                }
                thread.reply_frame(&mut state, 0)
            }
            (Phase::Posted, Resume::Return(value)) => {
                thread.answer(&mut state, value, help);
                Ok(())
            }
            (Phase::Posted, Resume::Passthrough) => {
                thread.refuse(&mut state);
                Ok(())
            }
            (Phase::HeldCall { nr, .. }, how) if nr == WAITBELL.cast_signed() => match how {
                Resume::Return(value) => {
                    thread.note_waited(&mut state, value);
                    thread.reply(&mut state, value)
                }
                Resume::Passthrough | Resume::Regs => thread.refuse_waiting(&mut state),
            },
            (Phase::HeldCall { .. }, Resume::Return(value)) => thread.reply(&mut state, value),
            (Phase::HeldCall { id, nr, args }, Resume::Passthrough) => {
                thread.note_rseq(nr, &args);
                match std::mem::replace(&mut state.entrusted, Entrusted::No) {
                    Entrusted::Revoked => return thread.reply(&mut state, 0),
                    Entrusted::Held(_) => state.entrusted = Entrusted::Sent,
                    Entrusted::No | Entrusted::Sent => {}
                }
                thread.pass_through(&mut state, id)
            }
            (phase, how) => Err(PlatformError::Unsupported(format!(
                "resume by {how:?} in {phase:?}"
            ))),
        }
    }

    fn interrupt(&self) {
        self.0.interrupt();
    }

    fn inherit_rseq(&self, area: &RseqArea) -> bool {
        let thread = &self.0;
        let state = thread.state.lock();
        if state.phase.frame() != Some(AREA_BIRTH) {
            return false;
        }
        thread.show_rseq(Some(area));
        true
    }

    fn leaves(&self) -> bool {
        self.0.state.lock().leaves
    }

    fn entrust(&self, op: &MapOp) -> bool {
        self.0.stub.entrust(&self.0, op)
    }

    fn kill(&self) {
        let thread = &self.0;
        let mut state = thread.state.lock();
        if std::mem::replace(&mut state.exiting, true) || thread.stub.is_killed() {
            return;
        }
        if let Some(place) = thread.restful(&state)
            && thread.stub.has_room()
        {
            let tid = state.tid;
            drop(state);
            thread.rest(place, tid);
            return;
        }
        match state.phase {
            Phase::Gone | Phase::Born { .. } => {}
            Phase::Run => thread.signal_running(&mut state),
            Phase::HeldCall { .. }
            | Phase::HeldFrame { .. }
            | Phase::HeldBell { .. }
            | Phase::HeldSaved
            | Phase::Posted => thread.end(&mut state),
        }
    }

    fn kill_now(&self) {
        self.kill();
        // The last reference to its filter is gone with it.
        let until = Instant::now() + SETTLE_LIMIT;
        let gone = || self.0.state.lock().phase == Phase::Gone;
        while !self.0.stub.is_killed() && !gone() && Instant::now() < until {
            match raw::poll(self.0.listener.as_fd(), 0, SETTLE_STEP) {
                Ok(events) if events & libc::POLLHUP == 0 => {}
                _ => return,
            }
        }
    }

    fn cpu_time(&self) -> Duration {
        let thread = &self.0;
        let (tid, leaves) = {
            let state = thread.state.lock();
            (state.tid, state.leaves)
        };
        let noted = leaves.then(|| thread.noted_cpu_time());
        let used = thread.stub.cpu_time(tid, noted);
        used.saturating_sub(thread.cpu_base)
    }

    fn set_affinity(&self, cpus: u64) {
        let core = &self.0.core;
        let known = raw::cpus_of(&core.cpus).into_iter();
        let wanted = known
            .filter(|n| *n < 64 && cpus >> n & 1 == 1)
            .collect::<Vec<_>>();
        if wanted.is_empty() {
            return;
        }
        let set = raw::cpu_set(&wanted);
        let mut state = self.0.state.lock();
        if state.tid == 0 {
            state.cpus = Some(set);
        } else {
            // One that is gone needs none.
            let _ = raw::set_affinity(state.tid, &set);
        }
    }

    fn set_worker(&self, worker: WorkerId) {
        let mut state = self.0.state.lock();
        state.next_worker = (state.worker != worker).then_some(worker);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.kill();
    }
}
