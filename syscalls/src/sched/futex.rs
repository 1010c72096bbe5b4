//! `futex(2)`, `set_robust_list(2)`, `get_robust_list(2)`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use abi::Errno;
use abi::time::Timespec;
use sentry::creds::Cap;
use sentry::futex::{ALL, Key, Locked, Waiter, WakeOp};
use sentry::time::timers::Timer;
use sentry::{OnSignal, Operation, Result, Stop, SysResult, Task};

use crate::arg::{In, Out, UserAddr, UserPtr};

const CMD_MASK: u32 = 0x7f;
const PRIVATE: u32 = 128;
const CLOCK_REALTIME: u32 = 256;

const WAIT: u32 = 0;
const WAKE: u32 = 1;
const REQUEUE: u32 = 3;
const CMP_REQUEUE: u32 = 4;
const WAKE_OP: u32 = 5;
const LOCK_PI: u32 = 6;
const UNLOCK_PI: u32 = 7;
const TRYLOCK_PI: u32 = 8;
const WAIT_BITSET: u32 = 9;
const WAKE_BITSET: u32 = 10;
const LOCK_PI2: u32 = 13;

/// `futex(2)`.
pub fn futex(
    t: &Arc<Task>,
    addr: UserAddr,
    op: u32,
    val: u32,
    timeout: UserAddr,
    addr2: UserAddr,
    val3: u32,
) -> SysResult<i64> {
    let call = Call { t, addr: addr.0, private: op & PRIVATE != 0, realtime: op & CLOCK_REALTIME != 0 };
    let cmd = op & CMD_MASK;
    let known_clock = matches!(cmd, WAIT | WAIT_BITSET | LOCK_PI2);
    if call.realtime && !known_clock {
        return Err(Errno::ENOSYS.into());
    }
    // For the waking commands the timeout argument is a second count.
    let val2 = u32::try_from(timeout.0 & 0xffff_ffff).unwrap_or(0);
    match cmd {
        WAIT => call.wait(val, u32::MAX, timeout, true),
        WAIT_BITSET => call.wait(val, val3, timeout, false),
        WAKE => call.wake(val, u32::MAX),
        WAKE_BITSET => call.wake(val, val3),
        REQUEUE => call.requeue(val, val2, addr2.0, None),
        CMP_REQUEUE => call.requeue(val, val2, addr2.0, Some(val3)),
        WAKE_OP => call.wake_op(val, val2, addr2.0, WakeOp(val3)),
        LOCK_PI => Call { realtime: true, ..call }.lock_pi(timeout),
        LOCK_PI2 => call.lock_pi(timeout),
        TRYLOCK_PI => call.trylock_pi(),
        UNLOCK_PI => call.unlock_pi(),
        _ => Err(Errno::ENOSYS.into()),
    }
}

struct Call<'a> {
    t: &'a Arc<Task>,
    addr: u64,
    private: bool,
    realtime: bool,
}

/// A count argument as Linux takes it: an `int`, of which the negative ones mean all.
fn count(val: u32) -> u32 {
    if val.cast_signed() < 0 { ALL } else { val }
}

impl Call<'_> {
    fn key(&self, addr: u64) -> Result<Key> {
        Key::of(&self.t.mm(), addr, self.private)
    }

    /// The deadline on the monotonic clock; `None` for no timeout.
    fn deadline(&self, at: UserAddr, relative: bool) -> Result<Option<Duration>> {
        if at.0 == 0 {
            return Ok(None);
        }
        let time = UserPtr::<Timespec, In>::at(at.0).read(self.t)?.to_duration()?;
        let clock = &self.t.kernel.clock;
        Ok(Some(match (relative, self.realtime) {
            (true, _) => clock.monotonic().saturating_add(time),
            (false, false) => time,
            (false, true) => {
                clock.monotonic().saturating_add(time.saturating_sub(clock.realtime()))
            }
        }))
    }

    fn wait(&self, val: u32, bitset: u32, timeout: UserAddr, relative: bool) -> SysResult<i64> {
        if bitset == 0 {
            return Err(Errno::EINVAL.into());
        }
        let deadline = self.deadline(timeout, relative)?;
        let (t, mm) = (self.t, self.t.mm());
        let key = self.key(self.addr)?;
        let table = &t.kernel.futexes;
        let waiter = table.wait(&mm, self.addr, key, val, bitset, t.waker(), t.tid())?;
        Err(Stop::Wait(Box::new(Waiting {
            waiter: Some(waiter),
            timer: deadline.map(|d| t.kernel.timers.arm(d, t.waker())),
            deadline,
            pi: false,
            task: Arc::downgrade(t),
        })))
    }

    fn wake(&self, val: u32, bitset: u32) -> SysResult<i64> {
        if bitset == 0 {
            return Err(Errno::EINVAL.into());
        }
        let n = count(val).max(1);
        Ok(i64::from(self.t.kernel.futexes.wake(self.key(self.addr)?, bitset, n)))
    }

    fn requeue(&self, val: u32, val2: u32, addr2: u64, expected: Option<u32>) -> SysResult<i64> {
        if val.cast_signed() < 0 || val2.cast_signed() < 0 {
            return Err(Errno::EINVAL.into());
        }
        let keys = (self.key(self.addr)?, self.key(addr2)?);
        let table = &self.t.kernel.futexes;
        let (woken, moved) =
            table.requeue(&self.t.mm(), self.addr, expected, keys, (val, val2))?;
        Ok(i64::from(woken) + i64::from(moved))
    }

    fn wake_op(&self, val: u32, val2: u32, addr2: u64, op: WakeOp) -> SysResult<i64> {
        let keys = (self.key(self.addr)?, self.key(addr2)?);
        let n = (count(val).max(1), count(val2).max(1));
        Ok(i64::from(self.t.kernel.futexes.wake_op(&self.t.mm(), addr2, keys, n, op)?))
    }

    fn lock_pi(&self, timeout: UserAddr) -> SysResult<i64> {
        let deadline = self.deadline(timeout, false)?;
        let (t, key) = (self.t, self.key(self.addr)?);
        let alive = |tid| t.pid_ns().task(tid).is_some();
        let table = &t.kernel.futexes;
        match table.lock_pi(&t.mm(), self.addr, key, t.tid(), Some(t.waker()), alive)? {
            Locked::Yes => Ok(0),
            Locked::Queued(waiter) => Err(Stop::Wait(Box::new(Waiting {
                waiter: Some(waiter),
                timer: deadline.map(|d| t.kernel.timers.arm(d, t.waker())),
                deadline,
                pi: true,
                task: Arc::downgrade(t),
            }))),
        }
    }

    fn trylock_pi(&self) -> SysResult<i64> {
        let (t, key) = (self.t, self.key(self.addr)?);
        t.kernel.futexes.lock_pi(&t.mm(), self.addr, key, t.tid(), None, |_| true)?;
        Ok(0)
    }

    fn unlock_pi(&self) -> SysResult<i64> {
        let (t, key) = (self.t, self.key(self.addr)?);
        t.kernel.futexes.unlock_pi(&t.mm(), self.addr, key, t.tid())?;
        Ok(0)
    }
}

/// A parked wait. What the waker gives is in the waiter: the word is not read again.
struct Waiting {
    waiter: Option<Arc<Waiter>>,
    timer: Option<Timer>,
    deadline: Option<Duration>,
    pi: bool,
    task: std::sync::Weak<Task>,
}

impl Operation for Waiting {
    fn step(mut self: Box<Self>, t: &Arc<Task>) -> SysResult<i64> {
        if self.waiter.as_ref().is_none_or(|w| w.woken()) {
            self.waiter = None;
            return Ok(0);
        }
        if self.deadline.is_some_and(|d| t.kernel.clock.monotonic() >= d) {
            self.timer = None;
            let Some(waiter) = self.waiter.take() else { return Ok(0) };
            // A wake-up that came first wins over the timeout.
            let waiting = t.kernel.futexes.cancel(&waiter);
            return if waiting { Err(Errno::ETIMEDOUT.into()) } else { Ok(0) };
        }
        Err(Stop::Wait(self))
    }

    fn on_signal(&mut self, t: &Arc<Task>) -> OnSignal {
        if let Some(waiter) = self.waiter.take()
            && !t.kernel.futexes.cancel(&waiter)
        {
            return OnSignal::Finish(0);
        }
        match (self.pi, self.deadline) {
            (true, _) => OnSignal::RestartAlways,
            (false, None) => OnSignal::Restart,
            (false, Some(_)) => OnSignal::Eintr,
        }
    }

    fn name(&self) -> &'static str {
        "futex"
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let (Some(waiter), Some(t)) = (self.waiter.take(), self.task.upgrade()) {
            t.kernel.futexes.cancel(&waiter);
        }
    }
}

/// Size of `struct robust_list_head`.
const ROBUST_HEAD: u64 = 24;

/// `set_robust_list(2)`.
pub fn set_robust_list(t: &Arc<Task>, head: UserAddr, len: u64) -> SysResult<()> {
    if len != ROBUST_HEAD {
        return Err(Errno::EINVAL.into());
    }
    t.robust_list.store(head.0, Ordering::Relaxed);
    Ok(())
}

/// `get_robust_list(2)`.
pub fn get_robust_list(
    t: &Arc<Task>,
    pid: i32,
    head: UserPtr<u64, Out>,
    len: UserPtr<u64, Out>,
) -> SysResult<()> {
    let of = if pid == 0 { t.clone() } else { t.pid_ns().task(pid).ok_or(Errno::ESRCH)? };
    let foreign = of.pid() != t.pid() && of.creds().euid != t.creds().euid;
    if foreign && !t.creds().capable(Cap::SysPtrace) {
        return Err(Errno::EPERM.into());
    }
    len.write(t, &ROBUST_HEAD)?;
    head.write(t, &of.robust_list.load(Ordering::Relaxed))?;
    Ok(())
}
