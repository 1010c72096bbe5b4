//! Waiting for a signal handler (`pause(2)`, `sigsuspend(2)`).

use std::sync::Arc;

use abi::Errno;

use crate::task::Task;
use crate::wait::{OnSignal, Operation, Stop, SysResult};

/// Waits until a handler has run; `EINTR` then.
#[derive(Debug)]
pub struct Suspend {
    name: &'static str,
}

impl Suspend {
    /// Parks the calling task.
    pub fn begin(name: &'static str) -> SysResult<i64> {
        Err(Stop::Wait(Box::new(Suspend { name })))
    }
}

impl Operation for Suspend {
    fn step(self: Box<Self>, _t: &Arc<Task>) -> SysResult<i64> {
        Err(Stop::Wait(self))
    }
    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        OnSignal::Finish(-i64::from(Errno::EINTR.raw()))
    }
    fn name(&self) -> &'static str {
        self.name
    }
}
