//! Semaphore sets (`semget(2)`, `semop(2)`, `semctl(2)`).
//!
//! The operations of one `semop` are done all or not at all under the set's lock. Waiters
//! try again at each change of the set.

use std::collections::HashMap;
use std::sync::Arc;

use abi::Errno;
use abi::fs::PollEvents;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::table::{IPC_NOWAIT, Object, Perm, READ, WRITE};
use crate::Result;
use crate::retry::{Attempt, Registrations, watch_one};
use crate::sync::Mutex;
use crate::task::{Pid, Task, ThreadGroup};
use crate::wait::{OnSignal, Pollee, SysResult, Waker};

/// Largest value of a semaphore.
pub const SEMVMX: i32 = 32_767;
/// Most semaphores of a set.
pub const SEMMSL: usize = 32_000;
/// Most operations of a call.
pub const SEMOPM: usize = 500;
/// Most sets.
pub const SEMMNI: usize = 32_000;
/// `SEM_UNDO`.
const SEM_UNDO: u16 = 0x1000;

/// `struct semid64_ds`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
#[expect(missing_docs, reason = "named as in semctl(2)")]
pub struct SemDs {
    pub perm: Perm,
    pub otime: i64,
    unused1: u64,
    pub ctime: i64,
    unused2: u64,
    pub nsems: u64,
    unused3: [u64; 2],
}

/// `struct sembuf`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
#[expect(missing_docs, reason = "named as in semop(2)")]
pub struct SemBuf {
    pub num: u16,
    pub op: i16,
    pub flags: u16,
}

#[derive(Clone, Copy, Default)]
struct Sem {
    value: i32,
    /// Waiting for it to grow, and to become zero.
    ncnt: u32,
    zcnt: u32,
}

struct State {
    ds: SemDs,
    sems: Vec<Sem>,
    /// Who last changed each.
    changers: Vec<Option<Arc<Pid>>>,
    /// Adjustments at exit, by process ([`name_of`]).
    undo: HashMap<usize, Vec<i32>>,
    removed: bool,
}

impl State {
    /// Notes who changed some semaphores.
    fn changed(&mut self, t: &Task, which: impl Iterator<Item = usize>) {
        for at in which {
            if let Some(changer) = self.changers.get_mut(at) {
                *changer = Some(t.thread_group().id.clone());
            }
        }
    }
}

/// Names a process while it lives, whatever numbers it has.
fn name_of(group: &ThreadGroup) -> usize {
    std::ptr::from_ref(group).addr()
}

/// A set. Lock rank: leaf.
pub struct Set {
    state: Mutex<State>,
    pollee: Pollee,
}

impl Object for Set {
    const NEXT_ID: &'static str = "kernel/sem_next_id";
    fn perm(&self) -> Perm {
        self.state.lock().ds.perm
    }
}

fn now(t: &Arc<Task>) -> i64 {
    i64::try_from(t.kernel.clock.realtime().as_secs()).unwrap_or(i64::MAX)
}

/// `semget(2)`.
pub fn get(t: &Arc<Task>, key: i32, n: i32, flags: u32) -> Result<i32> {
    let n = usize::try_from(n).map_err(|_| Errno::EINVAL)?;
    if n > SEMMSL {
        return Err(Errno::EINVAL);
    }
    let check = |s: &Set| {
        if n > s.state.lock().sems.len() {
            Err(Errno::EINVAL)
        } else {
            Ok(())
        }
    };
    let make = |_id: i32, perm: Perm| {
        if n == 0 {
            return Err(Errno::EINVAL);
        }
        Ok(Set {
            state: Mutex::new(State {
                ds: SemDs {
                    perm,
                    ctime: now(t),
                    nsems: n as u64,
                    ..SemDs::default()
                },
                sems: vec![Sem::default(); n],
                changers: vec![None; n],
                undo: HashMap::new(),
                removed: false,
            }),
            pollee: Pollee::new(),
        })
    };
    t.ipc().sem.get(t, key, flags, SEMMNI, check, make)
}

/// A `semop(2)` under way.
pub struct SemOp {
    set: Arc<Set>,
    ops: Vec<SemBuf>,
    /// On which semaphore it is counted as waiting, and whether for zero.
    counted: Option<(usize, bool)>,
}

impl SemOp {
    /// Checks rights and numbers; `EINVAL`, `EFBIG`, `EACCES`.
    pub fn new(t: &Arc<Task>, id: i32, ops: Vec<SemBuf>) -> Result<SemOp> {
        let set = t.ipc().sem.find(id)?;
        let n = set.state.lock().sems.len();
        if ops.iter().any(|o| usize::from(o.num) >= n) {
            return Err(Errno::EFBIG);
        }
        let alters = ops.iter().any(|o| o.op != 0);
        set.perm()
            .check(&t.creds(), if alters { WRITE } else { READ })?;
        Ok(SemOp {
            set,
            ops,
            counted: None,
        })
    }

    fn uncount(&mut self, s: &mut State) {
        let Some((at, zero)) = self.counted.take() else {
            return;
        };
        if let Some(sem) = s.sems.get_mut(at) {
            let count = if zero { &mut sem.zcnt } else { &mut sem.ncnt };
            *count = count.saturating_sub(1);
        }
    }

    fn count(&mut self, s: &mut State, blocked: SemBuf) {
        let at = usize::from(blocked.num);
        let zero = blocked.op == 0;
        if let Some(sem) = s.sems.get_mut(at) {
            let count = if zero { &mut sem.zcnt } else { &mut sem.ncnt };
            *count += 1;
            self.counted = Some((at, zero));
        }
    }
}

/// Outcome of trying all operations on a copy.
enum Tried {
    Done(Vec<Sem>),
    Blocked(SemBuf),
}

fn try_all(s: &State, ops: &[SemBuf]) -> Result<Tried> {
    let mut sems = s.sems.clone();
    for op in ops {
        let sem = sems.get_mut(usize::from(op.num)).ok_or(Errno::EFBIG)?;
        let next = sem.value + i32::from(op.op);
        if (op.op == 0 && sem.value != 0) || next < 0 {
            if u32::from(op.flags) & IPC_NOWAIT != 0 {
                return Err(Errno::EAGAIN);
            }
            return Ok(Tried::Blocked(*op));
        }
        if next > SEMVMX {
            return Err(Errno::ERANGE);
        }
        sem.value = next;
    }
    Ok(Tried::Done(sems))
}

impl SemOp {
    /// Tries once. `Ok(false)`: it has to wait. An `EAGAIN` is final (`IPC_NOWAIT`).
    fn once(&mut self, t: &Arc<Task>) -> Result<bool> {
        let set = self.set.clone();
        let mut s = set.state.lock();
        self.uncount(&mut s);
        if s.removed {
            return Err(Errno::EIDRM);
        }
        match try_all(&s, &self.ops)? {
            Tried::Blocked(op) => {
                self.count(&mut s, op);
                Ok(false)
            }
            Tried::Done(sems) => {
                s.sems = sems;
                s.changed(t, self.ops.iter().map(|o| usize::from(o.num)));
                s.ds.otime = now(t);
                let n = s.sems.len();
                let with_undo = self.ops.iter().filter(|o| o.flags & SEM_UNDO != 0);
                let name = name_of(t.thread_group());
                for op in with_undo {
                    let undo = s.undo.entry(name).or_insert_with(|| vec![0; n]);
                    if let Some(u) = undo.get_mut(usize::from(op.num)) {
                        *u = u.saturating_sub(i32::from(op.op));
                    }
                }
                drop(s);
                set.pollee.notify(PollEvents::IN);
                Ok(true)
            }
        }
    }
}

impl Drop for SemOp {
    fn drop(&mut self) {
        let set = self.set.clone();
        let mut s = set.state.lock();
        self.uncount(&mut s);
    }
}

/// The waiting form: `EAGAIN` of the attempt means "not yet", so a final one is kept apart.
pub struct SemWait(pub SemOp);

impl Attempt for SemWait {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        match self.0.once(t) {
            Ok(true) => Ok(0),
            Ok(false) => Err(Errno::EAGAIN.into()),
            // Above the operation it is the errno of the call, not a reason to wait.
            Err(Errno::EAGAIN) => Ok(-i64::from(Errno::EAGAIN.raw())),
            Err(e) => Err(e.into()),
        }
    }
    fn watch(&self, waker: Waker) -> Registrations {
        watch_one(&self.0.set.pollee, PollEvents::IN, waker)
    }
    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        OnSignal::Eintr
    }
    fn name(&self) -> &'static str {
        "do_semtimedop"
    }
}

impl Set {
    /// `IPC_STAT`; `EACCES`.
    pub fn stat(&self) -> SemDs {
        self.state.lock().ds
    }

    /// `IPC_SET`; `EPERM`.
    pub fn change(&self, t: &Arc<Task>, new: &SemDs) -> Result<()> {
        let mut s = self.state.lock();
        s.ds.perm.check_owner(&t.creds())?;
        s.ds.perm.change(&new.perm);
        s.ds.ctime = now(t);
        Ok(())
    }

    /// Marks it removed and wakes all waiters; `EPERM`.
    pub fn remove(&self, t: &Arc<Task>) -> Result<()> {
        {
            let mut s = self.state.lock();
            s.ds.perm.check_owner(&t.creds())?;
            s.removed = true;
        }
        self.pollee.notify_all();
        Ok(())
    }

    /// Number of semaphores.
    pub fn len(&self) -> usize {
        self.state.lock().sems.len()
    }

    /// Whether it has none; never, but `len` wants it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Value, last process as `t` knows it, waiters to grow, waiters for zero of one; `EINVAL`.
    pub fn one(&self, t: &Task, num: i32) -> Result<(i32, i32, u32, u32)> {
        let at = usize::try_from(num).map_err(|_| Errno::EINVAL)?;
        let s = self.state.lock();
        let sem = s.sems.get(at).ok_or(Errno::EINVAL)?;
        let changer = s.changers.get(at).and_then(Option::as_ref);
        let pid = changer.map_or(0, |id| id.nr_in(t.pid_ns()));
        Ok((sem.value, pid, sem.ncnt, sem.zcnt))
    }

    /// `GETALL`.
    pub fn values(&self) -> Vec<u16> {
        let s = self.state.lock();
        let values = s.sems.iter().map(|v| u16::try_from(v.value).unwrap_or(0));
        values.collect()
    }

    /// `SETVAL` (one) and `SETALL` (from the first on); `ERANGE`, `EINVAL`. Adjustments of
    /// the semaphores set are forgotten.
    pub fn set_values(&self, t: &Arc<Task>, first: usize, values: &[i32]) -> Result<()> {
        if values.iter().any(|v| !(0..=SEMVMX).contains(v)) {
            return Err(Errno::ERANGE);
        }
        {
            let mut s = self.state.lock();
            let end = first.saturating_add(values.len());
            if end > s.sems.len() {
                return Err(Errno::EINVAL);
            }
            for (sem, v) in s.sems.iter_mut().skip(first).zip(values) {
                sem.value = *v;
            }
            s.changed(t, first..end);
            for undo in s.undo.values_mut() {
                undo.iter_mut()
                    .skip(first)
                    .take(values.len())
                    .for_each(|u| *u = 0);
            }
            s.ds.ctime = now(t);
        }
        self.pollee.notify(PollEvents::IN);
        Ok(())
    }

    /// Whether a process has adjustments to be made at its end.
    pub fn has_undo(&self, group: &ThreadGroup) -> bool {
        self.state.lock().undo.contains_key(&name_of(group))
    }

    /// A process ended: its adjustments are made.
    pub fn exit(&self, group: &ThreadGroup) {
        let changed = {
            let mut s = self.state.lock();
            match s.undo.remove(&name_of(group)) {
                Some(undo) => {
                    for (sem, u) in s.sems.iter_mut().zip(undo) {
                        sem.value = sem.value.saturating_add(u).clamp(0, SEMVMX);
                    }
                    true
                }
                None => false,
            }
        };
        if changed {
            self.pollee.notify(PollEvents::IN);
        }
    }
}
