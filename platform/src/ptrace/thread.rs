//! A guest thread: a traced thread in a stub, and its state.
//!
//! Only its tracer acts on the host thread; others change the state and leave a request. An
//! interrupt sets `irq` before it is requested; every event that is reported answers it.
//! Lock rank: the state's lock is taken before the tracer's queue, which is a leaf.
//! Neighbours: `tracer`, `systrap::space` (the stub).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::tracer::{Request, Tracer};
use crate::regs::{GpRegs, XState};
use crate::systrap::frame::{dress, sanitize, user_base};
use crate::systrap::raw::XLayout;
use crate::systrap::space::Stub;
use crate::{Context, Cookie, PlatformError, Registers, Resume, WorkerId};

/// Who may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Whoever took the event; `full` says whether the register file is at hand.
    Held {
        /// See there.
        full: bool,
    },
    /// The guest runs, or is about to.
    Run,
    /// It executes the stub's `exit(2)`.
    Leaving,
    /// It has ended.
    Gone,
}

/// What changes of a thread.
pub struct State {
    /// Who may act.
    pub phase: Phase,
    /// It runs, for all that the tracer knows.
    pub runs: bool,
    /// It is not bound to the tracer's CPU.
    pub wide: bool,
    /// How often it has gone on since another ran at the same time.
    pub alone: u32,
    /// Those of [`crate::Platform::cpus`] that it may use.
    pub cpus: u64,
    /// General registers as the guest has them.
    pub gp: GpRegs,
    /// Extended state, as the host takes it.
    pub xstate: Vec<u8>,
    /// General registers are to be set before the thread goes on.
    pub gp_changed: bool,
    /// Extended state is.
    pub xstate_changed: bool,
    /// An interrupt is not answered yet.
    pub irq: bool,
    /// It is to end.
    pub exiting: bool,
    /// The host is to make the call in hand, or makes it.
    pub passes: bool,
    /// It has begun to.
    pub entered: bool,
    /// Instruction and address of the fault reported last, until something else is.
    pub fault: Option<(u64, u64)>,
    /// What a thread's extended state is at first.
    pub initial: Vec<u8>,
}

/// A guest thread.
pub struct Thread {
    /// Its stub.
    pub stub: Arc<Stub>,
    /// Its id on the host.
    pub tid: i32,
    /// The kernel's number for it.
    pub cookie: Cookie,
    tracer: Arc<Tracer>,
    state: Mutex<State>,
}

/// Registers that the host accepts and that are no danger to the stub.
fn harmless(gp: &GpRegs) -> GpRegs {
    GpRegs {
        orig_rax: u64::MAX,
        cs: 0x33,
        ss: 0x2b,
        ds: 0,
        es: 0,
        fs: 0,
        gs: 0,
        fs_base: user_base(gp.fs_base),
        gs_base: user_base(gp.gs_base),
        ..*gp
    }
}

impl Thread {
    /// A thread that has just been cloned, to start with these registers.
    pub fn new(
        stub: Arc<Stub>,
        tracer: Arc<Tracer>,
        regs: &Registers,
        (tid, cookie): (i32, Cookie),
    ) -> Arc<Self> {
        let mut state = State {
            phase: Phase::Held { full: true },
            runs: false,
            wide: true,
            alone: 0,
            cpus: u64::MAX,
            gp: GpRegs::default(),
            xstate: Vec::new(),
            gp_changed: false,
            xstate_changed: false,
            irq: false,
            exiting: false,
            passes: false,
            entered: false,
            fault: None,
            initial: Vec::new(),
        };
        state.set(regs, &tracer.core.xstate);
        Arc::new(Self {
            stub,
            tid,
            cookie,
            tracer,
            state: Mutex::new(state),
        })
    }

    /// Its state.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    /// Takes over a register file; an empty extended state is the initial one.
    fn set(&mut self, regs: &Registers, x: &XLayout) {
        self.gp = harmless(&regs.gp);
        self.xstate = sanitize(&regs.xstate.0, x).unwrap_or_default();
        self.gp_changed = true;
        self.xstate_changed = true;
    }
}

/// The kernel's handle to a [`Thread`].
pub struct Handle(pub Arc<Thread>);

impl Context for Handle {
    fn regs(&self) -> Option<Registers> {
        let state = self.0.state();
        if state.phase != (Phase::Held { full: true }) {
            return None;
        }
        Some(Registers {
            gp: harmless(&state.gp),
            xstate: XState(dress(&state.xstate, &self.0.tracer.core.xstate)),
        })
    }

    fn set_regs(&self, regs: &Registers) -> Result<(), PlatformError> {
        let mut state = self.0.state();
        match state.phase {
            Phase::Held { full: true } => {
                state.set(regs, &self.0.tracer.core.xstate);
                Ok(())
            }
            Phase::Gone | Phase::Leaving => Err(PlatformError::Gone),
            Phase::Held { .. } | Phase::Run => {
                let why = "registers are not available here";
                Err(PlatformError::Unsupported(why.into()))
            }
        }
    }

    fn resume(&self, how: Resume) -> Result<(), PlatformError> {
        let mut state = self.0.state();
        match state.phase {
            _ if state.exiting => return Err(PlatformError::Gone),
            Phase::Held { .. } => {}
            Phase::Gone | Phase::Leaving => return Err(PlatformError::Gone),
            Phase::Run => {
                let why = "resumed while it runs";
                return Err(PlatformError::Unsupported(why.into()));
            }
        }
        match how {
            Resume::Return(value) => {
                state.gp.rax = value.cast_unsigned();
                state.gp.orig_rax = u64::MAX;
                state.gp_changed = true;
            }
            Resume::Regs => {}
            Resume::Passthrough => state.passes = true,
        }
        state.phase = Phase::Run;
        self.0.tracer.push(Request::Go(self.0.clone()));
        Ok(())
    }

    fn interrupt(&self) {
        let mut state = self.0.state();
        let first = !std::mem::replace(&mut state.irq, true);
        if first && state.phase == Phase::Run {
            self.0.tracer.push(Request::Interrupt(self.0.clone()));
        }
    }

    fn kill(&self) {
        let mut state = self.0.state();
        if !std::mem::replace(&mut state.exiting, true) {
            self.0.tracer.push(Request::End(self.0.clone()));
        }
    }

    fn cpu_time(&self) -> Duration {
        let gone = self.0.state().phase == Phase::Gone;
        self.0
            .stub
            .cpu_time(if gone { 0 } else { self.0.tid }, None)
    }

    fn set_affinity(&self, cpus: u64) {
        let mut state = self.0.state();
        state.cpus = cpus;
        if state.phase != Phase::Gone {
            let wide = state.wide;
            self.0.tracer.bind(&self.0, &mut state, wide);
        }
    }

    fn set_worker(&self, _worker: WorkerId) {
        // Its tracer cannot be changed.
    }
}
