//! Posted calls: calls that a guest thread leaves in its stub's scratch page for a worker
//! that looks there all the time.
//!
//! Only in a stub with one guest thread, whose page it then is. A thread that a worker has
//! resumed many times in short order *visits* a worker that sleeps on another CPU, which
//! opens a [`Session`]: it tells patched sites by a word where to post, and looks at the page
//! for a bounded time after each call instead of sleeping. The guest stays on the CPU it had.
//! The session ends when nothing comes, when calls come by notification, when one waits, or
//! when there are no longer more CPUs than threads that run; the thread then goes home. A
//! guest that finds nobody withdraws its call and makes it as ever.
//!
//! Everything in the page is guest data, read once. Neighbours: `stub` (the guest's side).

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Entrusted, INTERRUPT, Phase, State, Thread, X32_BIT, held_call};
use crate::systrap::layout::{AREA_BIRTH, POST, POST_WORD, WAITBELL, WORDS, post};
use crate::systrap::owed::Help;
use crate::systrap::raw::{self, Notif};
use crate::{Event, Exit, PlatformError, Resume, WorkerId};

/// Calls in short order before a session is opened.
const STREAK: u32 = 48;
/// The most that a run of bad sessions makes of it.
const MAX_STREAK: u32 = 1024;
/// What a stop after a longer while takes from the count.
const GAP: u32 = 16;
/// What is short order.
const SHORT: Duration = Duration::from_micros(40);
/// Posted calls that make a session worth it.
const WORTH: u32 = 64;
/// How long a worker looks for a call.
const PATIENCE: Duration = Duration::from_micros(40);
/// How often other events are looked for meanwhile.
const OTHERS: Duration = Duration::from_micros(5);
/// Looks at the page between looks at the clock.
const LOOKS: u32 = 24;

/// Places in `struct sigcontext`.
const R10: u64 = 2;
const R11: u64 = 3;
const RDI: u64 = 8;
const RSI: u64 = 9;
const RDX: u64 = 12;
const RAX: u64 = 13;
const RCX: u64 = 14;
const RSP: u64 = 15;
const RIP: u64 = 16;
const EFLAGS: u64 = 17;

/// What a thread knows of posting.
#[derive(Debug)]
pub struct Posting {
    /// The result of the posted call served last, while the guest may not have taken it.
    pub answer: Option<i64>,
    /// The result of the bell answered last, while the guest may not have taken it.
    heard: Option<i64>,
    /// Posting code may load the registers that it saved.
    loading: bool,
    /// The notification in which posting code waits to load them.
    waiting: Option<u64>,
    /// Stops by notification in short order.
    streak: u32,
    /// How many open a session.
    needed: u32,
    /// When it was resumed last.
    resumed: Option<Instant>,
    /// When it came by notification last.
    came: Option<Instant>,
    /// What a call by notification takes from one to the next, on average.
    cost: Duration,
    /// The worker it is away from while another looks for its calls.
    home: Option<WorkerId>,
    /// The CPU it is kept on meanwhile.
    pub cpu: Option<usize>,
}

impl Default for Posting {
    fn default() -> Self {
        Self {
            answer: None,
            heard: None,
            loading: false,
            waiting: None,
            streak: 0,
            needed: STREAK,
            resumed: None,
            came: None,
            cost: Duration::ZERO,
            home: None,
            cpu: None,
        }
    }
}

impl Posting {
    /// A call or a bell came by notification.
    pub fn notified(&mut self) {
        let now = Instant::now();
        let since = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
        let took = since(self.came.replace(now)).unwrap_or(SHORT);
        if since(self.resumed).is_none_or(|t| t >= SHORT) {
            self.streak = self.streak.saturating_sub(GAP);
            return;
        }
        self.streak = self.streak.saturating_add(1);
        self.cost = (self.cost * 15 + took) / 16;
    }

    /// It has stopped in its own program: nothing it was given is left to be taken.
    pub fn stopped(&mut self) {
        self.answer = None;
        self.heard = None;
        self.loading = false;
    }

    /// The guest goes on.
    pub fn resumed(&mut self) {
        self.resumed = Some(Instant::now());
    }
}

impl State {
    /// Whether the thread waits for the result of a posted call and for nothing else.
    pub(super) fn can_help(&self) -> bool {
        self.phase == Phase::Posted && !self.irq && !self.exiting
    }
}

/// A worker's look-out for the calls of one thread.
pub struct Session {
    thread: std::sync::Arc<Thread>,
    worker: WorkerId,
    served: u32,
    opened: Instant,
    /// Calls that came by notification.
    strays: u32,
    /// A call has been taken since the clock was looked at.
    fresh: bool,
    /// The thread goes home when the session ends, not only with its next reply.
    at_once: bool,
    until: Instant,
    others: Instant,
}

/// What a look at the page brought.
pub enum Look {
    /// A call.
    Call(Event),
    /// Nothing yet.
    Nothing,
    /// Other events are to be looked for.
    Others,
    /// The session is over.
    Over,
}

impl Session {
    /// Opens a session with `thread`, which came for it, or sends it home.
    pub fn open(thread: &std::sync::Arc<Thread>) -> Option<Self> {
        let session = Self::begin(thread);
        if session.is_none() {
            thread.send_home();
        }
        session
    }

    fn begin(thread: &std::sync::Arc<Thread>) -> Option<Self> {
        let core = &thread.core;
        let mut state = thread.state.lock();
        let cpu = core.worker(state.posting.home?).ok()?.cpu()?;
        let stands = state.phase == Phase::Run && !state.exiting && !state.irq;
        if !stands || !thread.stub.is_sole() || core.busy() >= core.cpu_count {
            return None;
        }
        let post = core.layout.base + core.entries.post;
        let word = thread.post_word();
        let window = core.control.window();
        window.set64(thread.post_at(post::AREA), thread.area.addr);
        window.set64(thread.post_at(post::FEATURES), core.xstate.features);
        // It stays where it was: what two CPUs have run costs both at each change of memory.
        raw::set_affinity(state.tid, &raw::cpu_set(&[cpu])).ok()?;
        window.set64(word, post);
        state.posting.cpu = Some(cpu);
        core.spinning.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        Some(Self {
            thread: thread.clone(),
            worker: state.worker,
            served: 0,
            opened: now,
            strays: 0,
            fresh: false,
            at_once: true,
            until: now + PATIENCE,
            others: now + OTHERS,
        })
    }

    /// Looks for a call.
    pub fn look(&mut self) -> Look {
        let window = self.thread.core.control.window();
        for _ in 0..LOOKS {
            let is = |offset, value| window.get32(self.thread.post_at(offset)) == value;
            let taken = if is(post::STATE, post::POSTED) {
                Some(self.thread.take_post(self.worker))
            } else if is(post::FRAME, post::RUNG) {
                Some(self.thread.take_saved(self.worker))
            } else if is(post::BELL, post::RUNG) {
                Some(self.thread.take_bell(self.worker))
            } else {
                None
            };
            if let Some(taken) = taken {
                return match taken {
                    Some(exit) => {
                        self.served = self.served.saturating_add(1);
                        self.fresh = true;
                        Look::Call(Event::Guest {
                            cookie: self.thread.cookie,
                            exit,
                        })
                    }
                    None => Look::Over,
                };
            }
            std::hint::spin_loop();
        }
        let now = Instant::now();
        let sole = self.thread.stub.is_sole();
        if now >= self.until || !sole || !self.thread.can_post(self.worker) {
            return Look::Over;
        }
        if now >= self.others {
            self.others = now + OTHERS;
            return Look::Others;
        }
        Look::Nothing
    }

    /// Looking goes on: after a call that was served, with new patience.
    pub fn renew(&mut self) {
        if !std::mem::take(&mut self.fresh) {
            return;
        }
        let now = Instant::now();
        self.until = now + PATIENCE;
        self.others = self.others.max(now);
    }

    /// The thread came by notification. Whether the session is to end: a few times it may,
    /// before it has seen that calls are looked for and at sites that are not patched.
    pub fn is_spoiled(&mut self) -> bool {
        self.strays = self.strays.saturating_add(1);
        self.fresh = true;
        self.strays > 2 + self.served / 16
    }

    /// The thread, whose notification is being received, goes home when that is answered.
    pub fn leave_later(&mut self) {
        self.at_once = false;
    }

    /// Whether it is with this thread.
    pub fn is_with(&self, thread: &Thread) -> bool {
        std::ptr::eq(&*self.thread, thread)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let thread = &self.thread;
        thread.core.spinning.fetch_sub(1, Ordering::Relaxed);
        let mut state = thread.state.lock();
        if state.phase == Phase::Gone {
            return;
        }
        let window = thread.core.control.window();
        window.set64(thread.post_word(), 0);
        if state.phase == Phase::Posted {
            // It waits on, but not by looking.
            let _ = window.cas32(thread.post_at(post::STATE), post::TAKEN, post::WAIT);
        }
        let _ = raw::set_affinity(state.tid, &thread.core.cpus);
        thread.go_home(&mut state, self.at_once);
        let posting = &mut state.posting;
        posting.cpu = None;
        posting.streak = 0;
        // The end is waited for in vain, which is no cost of the calls.
        let took = self.opened.elapsed().saturating_sub(PATIENCE);
        let good = self.served >= WORTH && took / self.served < posting.cost;
        posting.needed = match good {
            true => STREAK,
            false => posting.needed.saturating_mul(2).min(MAX_STREAK),
        };
    }
}

impl Thread {
    /// Moves the thread, which has just been resumed, to a worker that sleeps on another CPU
    /// and will look for its calls from there, if it is worth it.
    pub fn visit(&self) {
        let core = &self.core;
        let mut state = self.state.lock();
        let hot = state.posting.streak >= state.posting.needed;
        if !hot || state.phase != Phase::Run || state.exiting || state.irq {
            return;
        }
        if !self.stub.is_sole() || core.busy() >= core.cpu_count {
            return;
        }
        let Some(host) = core.idle_beside(state.worker) else {
            return;
        };
        state.posting.home = Some(state.worker);
        state.next_worker = Some(host);
        self.move_worker(&mut state);
        drop(state);
        if let Ok(host) = core.worker(host) {
            host.invite(self.key);
        }
    }

    /// Moves a visiting thread back.
    pub fn send_home(&self) {
        self.go_home(&mut self.state.lock(), true);
    }

    /// Moves it back, at once unless a stop of its own is in hand or on its way.
    fn go_home(&self, state: &mut State, at_once: bool) {
        let Some(home) = state.posting.home.take() else {
            return;
        };
        // Elsewhere if it was dealt another worker meanwhile.
        let _ = state.next_worker.get_or_insert(home);
        if at_once && state.phase == Phase::Run {
            self.move_worker(state);
        }
    }

    fn post_at(&self, offset: u64) -> u64 {
        self.stub.page() + POST + offset
    }

    fn post_word(&self) -> u64 {
        self.stub.page() + WORDS + 8 * POST_WORD
    }

    /// Whether calls of this thread may go on being posted to `worker`.
    fn can_post(&self, worker: WorkerId) -> bool {
        let state = self.state.lock();
        state.phase == Phase::Run
            && state.worker == worker
            && !state.exiting
            && self.core.busy() <= self.core.cpu_count
    }

    /// Takes what the guest has put at `offset`, if it still runs and is `worker`'s to serve.
    fn claim(&self, worker: WorkerId, offset: u64, from: u32, to: u32) -> Option<Claimed<'_>> {
        let state = self.state.lock();
        let runs = state.phase == Phase::Run && !state.exiting && state.worker == worker;
        let window = self.core.control.window();
        (runs && window.cas32(self.post_at(offset), from, to)).then_some(state)
    }

    /// Six words of the page.
    fn six(&self, offset: u64) -> [u64; 6] {
        let window = self.core.control.window();
        [0, 8, 16, 24, 32, 40].map(|n| window.get64(self.post_at(offset + n)))
    }

    /// Takes the call that the guest has posted.
    fn take_post(&self, worker: WorkerId) -> Option<Exit> {
        let mut state = self.claim(worker, post::STATE, post::POSTED, post::TAKEN)?;
        let window = self.core.control.window();
        let at = |offset| self.post_at(offset);
        let nr = window.get64(at(post::NR)) & 0xffff_ffff;
        let refused = self.core.unposted.iter().any(|&n| u64::from(n) == nr);
        if refused || nr >= u64::from(X32_BIT) {
            window.set32(at(post::STATE), post::REFUSED);
            return None;
        }
        let args = self.six(post::ARGS);
        state.irq = false;
        state.entrusted = Entrusted::No;
        state.posting.stopped();
        self.set_phase(&mut state, Phase::Posted);
        Some(Exit::Syscall {
            nr,
            args,
            ip: window.get64(at(post::RET)),
        })
    }

    /// Hears the bell that the guest's signal handler has rung.
    fn take_bell(&self, worker: WorkerId) -> Option<Exit> {
        let mut state = self.claim(worker, post::BELL, post::RUNG, post::HEARD)?;
        let args = self.six(post::BELL_ARGS);
        let Some(at) = self.area.frame_at(args[0]) else {
            self.stub.kill();
            return None;
        };
        state.irq = false;
        state.entrusted = Entrusted::No;
        self.framed(&mut state, Phase::HeldBell { at }, &args, at)
    }

    /// Takes the registers that posting code has saved because they were wanted.
    fn take_saved(&self, worker: WorkerId) -> Option<Exit> {
        let mut state = self.claim(worker, post::FRAME, post::RUNG, post::HEARD)?;
        let window = self.core.control.window();
        let flags = window.get64(self.post_at(post::FLAG_WORD));
        let ret = window.get64(self.post_at(post::RET));
        self.area.set_reg(window, AREA_BIRTH, EFLAGS, flags);
        self.returns_to(AREA_BIRTH, ret);
        let flags = self.area.reg(window, AREA_BIRTH, EFLAGS);
        self.area.set_reg(window, AREA_BIRTH, R11, flags);
        self.area.set_reg(window, AREA_BIRTH, RCX, ret);
        self.area.complete(window, &self.core.xstate);
        window.set32(self.post_at(post::STATE), post::FREE);
        state.irq = false;
        state.entrusted = Entrusted::No;
        state.posting.stopped();
        self.set_phase(&mut state, Phase::HeldSaved);
        Some(Exit::Interrupted)
    }

    /// Answers the bell in hand, or lets saved registers be loaded; the guest runs.
    pub(super) fn answer_bell(&self, state: &mut State, value: i64) {
        let window = self.core.control.window();
        let (at, result) = if state.phase == Phase::HeldSaved {
            self.area.default_state(window);
            state.posting.loading = true;
            (post::FRAME, post::FRAME_RESULT)
        } else {
            (post::BELL, post::BELL_RESULT)
        };
        self.before_reply(state);
        state.posting.heard = Some(value);
        window.set32(self.post_at(result), (value & 0xffff_ffff) as u32);
        window.set32(self.post_at(at), post::ANSWERED);
        if let Some(id) = state.posting.waiting.take() {
            state.posting.heard = None;
            // A thread that died meanwhile hangs up.
            let _ = raw::notif_return(self.listener.as_fd(), id, value);
        }
    }

    /// Deals with a notification that is no stop of its own: of a thread that waits for what
    /// it has posted, or whose posted call is in hand. Whether it was one.
    pub(super) fn notified_posting(&self, state: &mut State, notif: &Notif) -> bool {
        let e = &self.core.entries;
        let offset = notif.ip.wrapping_sub(self.core.layout.base);
        if notif.nr == WAITBELL.cast_signed() && [e.bellwait_ip, e.framewait_ip].contains(&offset) {
            self.bell_waits(state, notif);
            return true;
        }
        match state.phase {
            Phase::Posted => self.notified_posted(state, notif),
            Phase::HeldSaved => self.notified_saved(state, notif),
            _ => return false,
        }
        true
    }

    /// The guest waits in the kernel for the answer of a bell that was heard: its frame is
    /// held by the notification from now on, unless the answer is there.
    fn bell_waits(&self, state: &mut State, notif: &Notif) {
        match (state.phase, state.posting.heard) {
            (Phase::HeldBell { at }, _) => {
                self.set_phase(state, Phase::HeldFrame { id: notif.id, at });
            }
            (Phase::HeldSaved, _) => state.posting.waiting = Some(notif.id),
            (Phase::Run, Some(value)) => {
                state.posting.heard = None;
                // A thread that died meanwhile hangs up.
                let _ = raw::notif_return(self.listener.as_fd(), notif.id, value);
            }
            _ => self.stub.kill(),
        }
    }

    /// Our signal came to posting code whose registers are in hand: they are now those of the
    /// signal's frame.
    fn notified_saved(&self, state: &mut State, notif: &Notif) {
        let frame = self.doorbell_frame(notif);
        let (Some(at), true) = (frame, notif.arg(1) == INTERRUPT as u64) else {
            self.stub.kill();
            return;
        };
        let window = self.core.control.window();
        self.area
            .move_frame(window, AREA_BIRTH, at, &self.core.xstate);
        window.set32(self.post_at(post::FRAME), post::FREE);
        self.set_phase(state, Phase::HeldFrame { id: notif.id, at });
        // The interruption is still to be reported.
        state.irq = true;
        if state.exiting {
            self.end(state);
        }
    }

    /// Gives the result of the posted call in hand; the guest runs, or, where it is to be
    /// interrupted, stops with its registers by itself.
    pub(super) fn answer(&self, state: &mut State, value: i64, help: Option<Help>) {
        self.leave_hold(state);
        state.posting.answer = Some(value);
        let window = self.core.control.window();
        window.set64(self.post_at(post::RESULT), value.cast_unsigned());
        let how = match help {
            _ if state.irq => post::FETCH,
            None => post::DONE,
            Some(Help::Relay) => post::RELAY,
            Some(Help::Own(op)) => {
                let [nr, args @ ..] = op.words;
                window.set64(self.post_at(post::OWN_NR), nr);
                for (word, at) in args.iter().zip((post::OWN_ARGS..).step_by(8)).take(3) {
                    window.set64(self.post_at(at), *word);
                }
                post::OWN
            }
        };
        window.set32(self.post_at(post::STATE), how);
    }

    /// The state, in which the thread is to be resumed, and what it is to help with.
    pub(super) fn lock_to_resume(&self, how: Resume) -> (Claimed<'_>, Option<Help>) {
        if !self.stub.owes() {
            return (self.state.lock(), None);
        }
        let help = self.stub.arrange(self);
        let state = self.state.lock();
        if help.is_none() || state.can_help() && matches!(how, Resume::Return(_)) {
            return (state, help);
        }
        // It stopped otherwise meanwhile.
        drop(state);
        self.stub.make_up();
        (self.state.lock(), None)
    }

    /// The CPU on which the thread waits for the result of a call that it has posted, if it
    /// can help to make a change of its memory before it goes on.
    pub fn posted_on(&self) -> Option<usize> {
        let state = self.state.lock();
        state.posting.cpu.filter(|_| state.can_help())
    }

    /// Has the guest make the posted call in hand itself.
    pub(super) fn refuse(&self, state: &mut State) {
        self.before_reply(state);
        let window = self.core.control.window();
        window.set32(self.post_at(post::STATE), post::REFUSED);
    }

    /// Refuses a call whose result the guest waits for in the kernel.
    pub(super) fn refuse_waiting(&self, state: &mut State) -> Result<(), PlatformError> {
        let window = self.core.control.window();
        window.set32(self.post_at(post::STATE), post::REFUSED);
        self.reply(state, 0)
    }

    /// Notes that a call that is waited for in the kernel gets this result, for a signal that
    /// comes before the guest has taken it.
    pub(super) fn note_waited(&self, state: &mut State, value: i64) {
        state.posting.answer = Some(value);
        let window = self.core.control.window();
        window.set32(self.post_at(post::STATE), post::DONE);
    }

    fn is_waitbell(&self, notif: &Notif) -> bool {
        notif.nr == WAITBELL.cast_signed()
            && notif.ip == self.core.layout.base + self.core.entries.wait_ip
    }

    /// A notification while a posted call is in hand: the guest has come into the kernel, to
    /// wait or by our signal. Nothing is reported: the call goes on.
    pub(super) fn notified_posted(&self, state: &mut State, notif: &Notif) {
        let window = self.core.control.window();
        if self.is_waitbell(notif) {
            self.set_phase(state, held_call(notif));
        } else if let Some(at) = self.doorbell_frame(notif)
            && notif.arg(1) == INTERRUPT as u64
        {
            let ret = window.get64(self.post_at(post::RET));
            self.returns_to(at, ret);
            window.set32(self.post_at(post::STATE), post::FREE);
            self.set_phase(state, Phase::HeldFrame { id: notif.id, at });
            // The interruption is still to be reported.
            state.irq = true;
        } else {
            self.stub.kill();
            return;
        }
        if state.exiting {
            self.end(state);
        }
    }

    /// The guest waits in the kernel for a result that it has been given meanwhile. Whether
    /// that was it.
    pub(super) fn late_waiter(&self, state: &mut State, notif: &Notif) -> bool {
        if !self.is_waitbell(notif) {
            return false;
        }
        let Some(value) = state.posting.answer else {
            return false;
        };
        self.set_phase(state, held_call(notif));
        if state.exiting {
            self.end(state);
        } else {
            // A thread that died meanwhile hangs up.
            let _ = self.reply(state, value);
        }
        true
    }

    /// Makes the frame at `at` one of the guest after the instruction that ends at `ret`.
    fn returns_to(&self, at: u64, ret: u64) {
        let window = self.core.control.window();
        self.area.set_reg(window, at, RIP, ret);
        // SF, ZF, AF, PF, CF, then OF.
        const LOW: u64 = 0xd5;
        const OVERFLOW: u64 = 1 << 11;
        let saved = u64::from(window.get32(self.post_at(post::FLAGS)));
        let mut flags = self.area.reg(window, at, EFLAGS) & !(LOW | OVERFLOW);
        flags |= saved >> 8 & LOW;
        if saved & 1 != 0 {
            flags |= OVERFLOW;
        }
        self.area.set_reg(window, at, EFLAGS, flags);
    }

    /// Moves a thread whose frame at `at` stands in the posting code to where it stands in
    /// its own program.
    pub(super) fn leave_posting(&self, state: &mut State, at: u64) -> Stood {
        let (core, window) = (&self.core, self.core.control.window());
        let ip = self.area.reg(window, at, RIP);
        let e = &core.entries;
        let offset = ip.wrapping_sub(core.layout.base);
        let loading = std::mem::take(&mut state.posting.loading);
        if offset < e.post || offset >= e.post_end {
            return Stood::Elsewhere;
        }
        let fetching = offset >= e.fetch;
        if loading && fetching || (e.load..e.load_end).contains(&offset) {
            self.area.move_frame(window, AREA_BIRTH, at, &core.xstate);
            window.set32(self.post_at(post::FRAME), post::FREE);
            return Stood::Loading;
        }
        let r11 = self.area.reg(window, at, R11);
        if offset == e.post_out || offset == e.post_back {
            self.area.set_reg(window, at, RIP, r11);
            return Stood::Elsewhere;
        }
        if offset < e.posting {
            self.area.set_reg(window, at, RIP, r11.wrapping_sub(2));
            return Stood::Elsewhere;
        }
        let page = |offset| window.get64(self.post_at(offset));
        if (e.fetch_stack..e.fetch_stacked).contains(&offset) {
            let rsp = self.area.reg(window, AREA_BIRTH, RSP);
            self.area.set_reg(window, at, RSP, rsp);
        }
        if fetching {
            self.area.set_reg(window, at, RDX, page(post::ARGS + 16));
            window.set32(self.post_at(post::FRAME), post::FREE);
        }
        let ret = page(post::RET);
        if (e.help..e.fetch).contains(&offset) {
            for (reg, arg) in [(RDI, 0), (RSI, 8), (RDX, 16), (R10, 24)] {
                self.area.set_reg(window, at, reg, page(post::ARGS + arg));
            }
        }
        let stands = window.get32(self.post_at(post::STATE));
        let helps = [post::RELAY, post::OWN].contains(&stands);
        if helps {
            // It has not helped, as far as is known.
            self.stub.owe();
        }
        let done = helps || [post::DONE, post::FETCH].contains(&stands);
        let answer = state.posting.answer.filter(|_| done);
        let (ip, rax) = match answer {
            Some(value) => (ret, value.cast_unsigned()),
            None => (ret.wrapping_sub(2), page(post::NR)),
        };
        self.returns_to(at, ip);
        self.area.set_reg(window, at, RAX, rax);
        window.set32(self.post_at(post::STATE), post::FREE);
        state.posting.answer = None;
        match fetching {
            true => Stood::Fetching,
            false => Stood::Elsewhere,
        }
    }
}

/// The state of a thread that a worker has taken something from.
type Claimed<'a> = parking_lot::MutexGuard<'a, State>;

/// Where a thread stood that was stopped by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stood {
    /// In its own program, or where nothing is to be known of.
    Elsewhere,
    /// In posting code that was saving its registers.
    Fetching,
    /// In posting code that was loading registers.
    Loading,
}
