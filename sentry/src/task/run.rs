//! The task loop: from an event of the guest to its resumption.

use std::sync::Arc;

use abi::Errno;
use platform::{Exit, Resume};

use super::Task;
use crate::wait::{Operation, Stop, SysResult};

/// The system call a task is in.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallState {
    /// Number.
    pub nr: u64,
    /// Arguments as trapped.
    pub args: [u64; 6],
}

/// The table of system calls, given to the kernel by the crate above.
pub trait Dispatcher: Send + Sync {
    /// Serves a call: decodes, runs the handler.
    fn dispatch(&self, t: &Arc<Task>, nr: u64, args: &[u64; 6]) -> SysResult<i64>;
}

impl Task {
    /// Acts on an event of this task's guest thread.
    pub fn on_event(self: &Arc<Task>, exit: Exit) {
        self.park.enter();
        match exit {
            Exit::Syscall { nr, args, .. } => {
                *self.call.lock() = CallState { nr, args };
                let result = self.kernel.dispatcher.dispatch(self, nr, &args);
                self.finish(result);
            }
            _ => self.resume(Resume::Regs),
        }
    }

    /// Steps the parked operation; called by the worker that claimed the task.
    pub fn run_claimed(self: &Arc<Task>) {
        match self.park.take() {
            Some(op) => {
                let result = op.step(self);
                self.finish(result);
            }
            None => self.resume(Resume::Regs),
        }
    }

    /// Ends, parks or resumes after a handler or a step.
    fn finish(self: &Arc<Task>, mut result: SysResult<i64>) {
        loop {
            match result {
                Ok(v) => return self.resume(Resume::Return(v)),
                Err(Stop::Errno(e)) => return self.resume(Resume::Return(-i64::from(e.raw()))),
                Err(Stop::Regs) => return self.resume(Resume::Regs),
                Err(Stop::Passthrough) => return self.resume(Resume::Passthrough),
                Err(Stop::Gone) => return,
                Err(Stop::Wait(op)) => match self.park(op) {
                    Some(again) => result = again.step(self),
                    None => return,
                },
            }
        }
    }

    fn park(&self, op: Box<dyn Operation>) -> Option<Box<dyn Operation>> {
        self.park.park(op)
    }

    fn resume(self: &Arc<Task>, how: Resume) {
        self.park.leave();
        if let Ok(ctx) = self.context() {
            let _: Result<(), Errno> = ctx.resume(how).map_err(|_| Errno::ESRCH);
        }
    }
}
