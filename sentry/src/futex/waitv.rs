//! Waiting on several futexes at once (`futex_waitv(2)`).

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;

use super::table::{Key, Scope, Waiter};
use crate::Result;
use crate::task::Task;
use crate::time::timers::Timer;
use crate::wait::{OnSignal, Operation, Stop, SysResult};

/// Most futexes of one wait (`FUTEX_WAITV_MAX`).
pub const MAX: usize = 128;

/// One futex to wait on: address, expected value, scope.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Address of the word.
    pub addr: u64,
    /// What it has to be.
    pub value: u32,
    /// Whether it is private.
    pub scope: Scope,
}

/// A parked wait on several futexes.
#[derive(Debug)]
struct WaitV {
    waiters: Vec<Arc<Waiter>>,
    deadline: Option<Duration>,
    _timer: Option<Timer>,
    kernel: Arc<crate::Kernel>,
}

impl WaitV {
    /// Leaves all queues; the index of the last one woken, if any was.
    fn leave(&self) -> Option<usize> {
        for w in self.waiters.iter().filter(|w| !w.is_woken()) {
            self.kernel.futexes.leave(w);
        }
        self.waiters.iter().rposition(|w| w.is_woken())
    }
}

impl Drop for WaitV {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Waits until one of `entries` is woken, or `deadline` (monotonic); its index. `EAGAIN`
/// when a word is not what it should be.
pub fn wait(t: &Arc<Task>, entries: &[Entry], deadline: Option<Duration>) -> SysResult<i64> {
    let keys: Vec<Key> = entries
        .iter()
        .map(|e| Key::of(t, e.addr, e.scope))
        .collect::<Result<_>>()?;
    let mut op = Box::new(WaitV {
        waiters: Vec::with_capacity(entries.len()),
        deadline,
        _timer: deadline.map(|d| t.kernel.timers.arm(d, t.waker())),
        kernel: t.kernel.clone(),
    });
    let mm = t.mm();
    for (e, key) in entries.iter().zip(&keys) {
        mm.load_u32(e.addr)?;
        let waiter = Waiter::new(t, *key, u32::MAX, false);
        let mut bucket = t.kernel.futexes.lock(key);
        if mm.load_u32(e.addr)? != e.value {
            drop(bucket);
            return match op.leave() {
                Some(i) => Ok(i64::try_from(i).unwrap_or(0)),
                None => Err(Errno::EAGAIN.into()),
            };
        }
        bucket.push(waiter.clone());
        drop(bucket);
        op.waiters.push(waiter);
    }
    op.step(t)
}

impl Operation for WaitV {
    fn step(self: Box<Self>, t: &Arc<Task>) -> SysResult<i64> {
        let over = self
            .deadline
            .is_some_and(|d| d <= t.kernel.clock.monotonic());
        if !over && !self.waiters.iter().any(|w| w.is_woken()) {
            return Err(Stop::Wait(self));
        }
        match self.leave() {
            Some(i) => Ok(i64::try_from(i).unwrap_or(0)),
            None => Err(Errno::ETIMEDOUT.into()),
        }
    }

    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        match self.leave() {
            Some(i) => OnSignal::Finish(i64::try_from(i).unwrap_or(0)),
            None => OnSignal::Restart,
        }
    }

    fn name(&self) -> &'static str {
        "futex_waitv"
    }
}
