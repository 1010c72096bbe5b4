//! System V message queues (`msgget(2)`, `msgop(2)`, `msgctl(2)`).

use std::collections::VecDeque;
use std::sync::Arc;

use abi::Errno;
use abi::fs::PollEvents;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::table::{IPC_NOWAIT, Object, Perm, READ, WRITE};
use crate::Result;
use crate::creds::Cap;
use crate::retry::{Attempt, Registrations, watch_one};
use crate::sync::Mutex;
use crate::task::{Pid, Task};
use crate::wait::{OnSignal, Pollee, SysResult, Waker};

/// Most queues.
pub const MSGMNI: usize = 32_000;
/// Longest message.
pub const MSGMAX: usize = 8192;
/// Bytes a queue takes.
const MSGMNB: u64 = 16_384;
/// `MSG_NOERROR`.
const MSG_NOERROR: u32 = 0o10000;
/// `MSG_EXCEPT`.
pub const MSG_EXCEPT: u32 = 0o20000;
/// `MSG_COPY`: the message at a place is copied and stays.
pub const MSG_COPY: u32 = 0o40000;

/// `struct msqid64_ds`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
#[expect(missing_docs, reason = "named as in msgctl(2)")]
pub struct MsgDs {
    pub perm: Perm,
    pub stime: i64,
    pub rtime: i64,
    pub ctime: i64,
    pub cbytes: u64,
    pub qnum: u64,
    pub qbytes: u64,
    pub lspid: i32,
    pub lrpid: i32,
    unused: [u64; 2],
}

#[derive(Clone)]
struct Message {
    kind: i64,
    data: Vec<u8>,
}

struct State {
    /// Without the processes.
    ds: MsgDs,
    /// Who sent and who received last.
    sender: Option<Arc<Pid>>,
    receiver: Option<Arc<Pid>>,
    queue: VecDeque<Message>,
    removed: bool,
}

/// A queue. Lock rank: leaf.
pub struct Queue {
    state: Mutex<State>,
    pollee: Pollee,
}

impl Object for Queue {
    const NEXT_ID: &'static str = "kernel/msg_next_id";
    fn perm(&self) -> Perm {
        self.state.lock().ds.perm
    }
}

fn now(t: &Arc<Task>) -> i64 {
    i64::try_from(t.kernel.clock.realtime().as_secs()).unwrap_or(i64::MAX)
}

/// `msgget(2)`.
pub fn get(t: &Arc<Task>, key: i32, flags: u32) -> Result<i32> {
    let make = |_id: i32, perm: Perm| {
        Ok(Queue {
            state: Mutex::new(State {
                ds: MsgDs {
                    perm,
                    ctime: now(t),
                    qbytes: MSGMNB,
                    ..MsgDs::default()
                },
                sender: None,
                receiver: None,
                queue: VecDeque::new(),
                removed: false,
            }),
            pollee: Pollee::new(),
        })
    };
    let table = &t.ipc().msg;
    table.get(t, key, flags, MSGMNI, |_| Ok(()), make)
}

/// A `msgsnd(2)` under way.
pub struct MsgSend {
    queue: Arc<Queue>,
    message: Option<Message>,
}

impl MsgSend {
    /// Checks rights; `EACCES`, `EINVAL` for a type below 1.
    pub fn new(t: &Arc<Task>, id: i32, kind: i64, data: Vec<u8>) -> Result<MsgSend> {
        if kind < 1 {
            return Err(Errno::EINVAL);
        }
        let queue = t.ipc().msg.find(id)?;
        queue.perm().check(&t.creds(), WRITE)?;
        Ok(MsgSend {
            queue,
            message: Some(Message { kind, data }),
        })
    }
}

impl Attempt for MsgSend {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        let mut s = self.queue.state.lock();
        if s.removed {
            return Err(Errno::EIDRM.into());
        }
        let len = self.message.as_ref().map_or(0, |m| m.data.len() as u64);
        let fits = s.ds.cbytes.saturating_add(len) <= s.ds.qbytes && s.ds.qnum < s.ds.qbytes;
        if !fits {
            return Err(Errno::EAGAIN.into());
        }
        if let Some(message) = self.message.take() {
            s.ds.cbytes += len;
            s.ds.qnum += 1;
            s.ds.stime = now(t);
            s.sender = Some(t.thread_group().id.clone());
            s.queue.push_back(message);
        }
        drop(s);
        self.queue.pollee.notify(PollEvents::IN);
        Ok(0)
    }
    fn watch(&self, waker: Waker) -> Registrations {
        watch_one(&self.queue.pollee, PollEvents::OUT, waker)
    }
    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        OnSignal::Eintr
    }
    fn name(&self) -> &'static str {
        "do_msgsnd"
    }
}

/// A `msgrcv(2)` under way.
pub struct MsgReceive {
    queue: Arc<Queue>,
    /// Guest buffer (`struct msgbuf`) and its room.
    buf: u64,
    room: usize,
    kind: i64,
    flags: u32,
}

impl MsgReceive {
    /// Checks rights; `EACCES`.
    pub fn new(
        t: &Arc<Task>,
        id: i32,
        buf: u64,
        room: usize,
        kind: i64,
        flags: u32,
    ) -> Result<MsgReceive> {
        let queue = t.ipc().msg.find(id)?;
        queue.perm().check(&t.creds(), READ)?;
        Ok(MsgReceive {
            queue,
            buf,
            room,
            kind,
            flags,
        })
    }

    /// Where the message to take stands.
    fn select(&self, queue: &VecDeque<Message>) -> Option<usize> {
        match self.kind {
            k if self.flags & MSG_COPY != 0 => {
                let at = usize::try_from(k).ok()?;
                (at < queue.len()).then_some(at)
            }
            0 => (!queue.is_empty()).then_some(0),
            k if k < 0 => {
                let limit = k.saturating_neg();
                let low = queue.iter().map(|m| m.kind).filter(|m| *m <= limit).min()?;
                queue.iter().position(|m| m.kind == low)
            }
            k if self.flags & MSG_EXCEPT != 0 => queue.iter().position(|m| m.kind != k),
            k => queue.iter().position(|m| m.kind == k),
        }
    }

    /// Gives a message to the guest; its length there.
    fn put(&self, t: &Arc<Task>, message: &Message) -> Result<i64> {
        let n = message.data.len().min(self.room);
        let mm = t.mm();
        mm.copy_out(self.buf, &message.kind.to_ne_bytes())
            .map_err(Errno::from)?;
        let body = message.data.get(..n).unwrap_or_default();
        mm.copy_out(self.buf.wrapping_add(8), body)
            .map_err(Errno::from)?;
        Ok(i64::try_from(n).unwrap_or(0))
    }

    /// Whether it fails rather than waits.
    pub fn nowait(&self) -> bool {
        self.flags & IPC_NOWAIT != 0
    }
}

impl Attempt for MsgReceive {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        let mut s = self.queue.state.lock();
        if s.removed {
            return Err(Errno::EIDRM.into());
        }
        let Some(at) = self.select(&s.queue) else {
            return Err(Errno::EAGAIN.into());
        };
        let too_long = s.queue.get(at).is_some_and(|m| m.data.len() > self.room);
        if too_long && self.flags & MSG_NOERROR == 0 {
            return Err(Errno::E2BIG.into());
        }
        if self.flags & MSG_COPY != 0 {
            let copy = s.queue.get(at).cloned().ok_or(Errno::EAGAIN)?;
            drop(s);
            return Ok(self.put(t, &copy)?);
        }
        let message = s.queue.remove(at).ok_or(Errno::EAGAIN)?;
        s.ds.cbytes = s.ds.cbytes.saturating_sub(message.data.len() as u64);
        s.ds.qnum = s.ds.qnum.saturating_sub(1);
        s.ds.rtime = now(t);
        s.receiver = Some(t.thread_group().id.clone());
        drop(s);
        self.queue.pollee.notify(PollEvents::OUT);
        Ok(self.put(t, &message)?)
    }
    fn watch(&self, waker: Waker) -> Registrations {
        watch_one(&self.queue.pollee, PollEvents::IN, waker)
    }
    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        OnSignal::Eintr
    }
    fn timed_out(&mut self, _t: &Arc<Task>) -> SysResult<i64> {
        Err(Errno::ENOMSG.into())
    }
    fn name(&self) -> &'static str {
        "do_msgrcv"
    }
}

impl Queue {
    /// `IPC_STAT`, with processes as `t` knows them.
    pub fn stat(&self, t: &Task) -> MsgDs {
        let s = self.state.lock();
        let shown = |id: &Option<Arc<Pid>>| id.as_ref().map_or(0, |id| id.nr_in(t.pid_ns()));
        MsgDs {
            lspid: shown(&s.sender),
            lrpid: shown(&s.receiver),
            ..s.ds
        }
    }

    /// `IPC_SET`; `EPERM`, also for more room than the system limit without
    /// `CAP_SYS_RESOURCE`.
    pub fn change(&self, t: &Arc<Task>, new: &MsgDs) -> Result<()> {
        {
            let mut s = self.state.lock();
            s.ds.perm.check_owner(&t.creds())?;
            if new.qbytes > MSGMNB && !t.creds().capable(Cap::SysResource) {
                return Err(Errno::EPERM);
            }
            s.ds.perm.change(&new.perm);
            s.ds.qbytes = new.qbytes.min(1 << 24);
            s.ds.ctime = now(t);
        }
        self.pollee.notify(PollEvents::OUT);
        Ok(())
    }

    /// Marks it removed and wakes all waiters; `EPERM`.
    pub fn remove(&self, t: &Arc<Task>) -> Result<()> {
        {
            let mut s = self.state.lock();
            s.ds.perm.check_owner(&t.creds())?;
            s.removed = true;
            s.queue.clear();
        }
        self.pollee.notify_all();
        Ok(())
    }
}
