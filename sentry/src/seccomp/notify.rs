//! User notification: another process decides on a call (`seccomp_unotify(2)`).
//!
//! A [`Listener`] is shared by the filter that notifies and the descriptor of the
//! supervisor. A call waits as an [`Asked`] operation. Lock rank: leaf.

use std::any::Any;
use std::sync::Arc;
use std::sync::Weak;

use abi::Errno;
use abi::fs::PollEvents;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::bpf::Data;
use crate::Result;
use crate::fs::file::{File, FileOps, IoCx, OpenFlags};
use crate::retry::{Attempt, Registrations, retry, watch_one};
use crate::sync::Mutex;
use crate::task::limits::Resource;
use crate::task::run::CallState;
use crate::task::{Pid, Task};
use crate::wait::{OnSignal, Operation, Pollee, Stop, SysResult, Waker};

const RECV: u32 = 0xc050_2100;
const SEND: u32 = 0xc018_2101;
const ID_VALID: u32 = 0x4008_2102;
/// The same request with the direction it was first published with.
const ID_VALID_OLD: u32 = 0x8008_2102;
const ADDFD: u32 = 0x4018_2103;
/// Number and type of a request, without size and direction.
const KIND: u32 = 0xffff;
/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`.
const CONTINUE: u32 = 1;
const ADDFD_SETFD: u32 = 1;
const ADDFD_SEND: u32 = 2;

/// `struct seccomp_notif`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Notif {
    id: u64,
    pid: u32,
    flags: u32,
    data: Data,
}

/// `struct seccomp_notif_resp`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Response {
    id: u64,
    val: i64,
    error: i32,
    flags: u32,
}

/// `struct seccomp_notif_addfd`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct AddFd {
    id: u64,
    flags: u32,
    srcfd: i32,
    newfd: i32,
    newfd_flags: u32,
}

/// Sizes for `SECCOMP_GET_NOTIF_SIZES`.
pub const SIZES: [u16; 3] = [
    size_of::<Notif>() as u16,
    size_of::<Response>() as u16,
    size_of::<Data>() as u16,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody has received it.
    New,
    /// Received, not answered.
    Sent,
    /// Answered: value, error, whether the call goes on.
    Replied(i64, i32, bool),
}

struct Entry {
    id: u64,
    state: State,
    subject: Arc<Pid>,
    data: Data,
    task: Weak<Task>,
}

#[derive(Default)]
struct Queue {
    entries: Vec<Entry>,
    next_id: u64,
    /// The descriptor was closed.
    closed: bool,
    /// No task has the filter any more.
    unused: bool,
}

impl Queue {
    fn find(&mut self, id: u64) -> Result<&mut Entry> {
        let found = self.entries.iter_mut().find(|e| e.id == id);
        found.ok_or(Errno::ENOENT)
    }
}

/// Between a filter and its supervisor.
pub struct Listener {
    queue: Mutex<Queue>,
    /// For the supervisor: something to receive, or to answer.
    supervisor: Pollee,
    /// For the calls: something was answered.
    answered: Pollee,
    /// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`.
    killable: bool,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listener")
    }
}

impl Listener {
    /// One that nobody listens to yet.
    pub fn new(killable: bool) -> Arc<Listener> {
        Arc::new(Listener {
            queue: Mutex::default(),
            supervisor: Pollee::new(),
            answered: Pollee::new(),
            killable,
        })
    }

    /// The supervisor's end.
    pub fn file(self: &Arc<Listener>) -> Arc<File> {
        let ops = ListenerFile(self.clone());
        File::anonymous(Arc::new(ops), OpenFlags::RDWR)
    }

    /// No task has the filter any more.
    pub(super) fn unused(&self) {
        self.queue.lock().unused = true;
        self.supervisor.notify(PollEvents::HUP);
    }

    /// Asks the supervisor about a call.
    pub(crate) fn ask(self: &Arc<Listener>, t: &Arc<Task>, call: CallState) -> SysResult<i64> {
        let id = {
            let mut q = self.queue.lock();
            if q.closed {
                return Err(Errno::ENOSYS.into());
            }
            q.next_id = q.next_id.wrapping_add(1);
            let id = q.next_id;
            q.entries.push(Entry {
                id,
                state: State::New,
                subject: t.id(),
                data: super::data_of(&call),
                task: t.weak(),
            });
            id
        };
        self.supervisor.notify(PollEvents::IN | PollEvents::RDNORM);
        let wait = watch_one(&self.answered, PollEvents::IN, t.waker());
        Box::new(Asked {
            listener: self.clone(),
            id,
            call,
            _wait: wait,
        })
        .step(t)
    }
}

/// A call that waits for its supervisor.
struct Asked {
    listener: Arc<Listener>,
    id: u64,
    call: CallState,
    _wait: Registrations,
}

impl Drop for Asked {
    fn drop(&mut self) {
        let id = self.id;
        self.listener.queue.lock().entries.retain(|e| e.id != id);
    }
}

impl Operation for Asked {
    fn step(self: Box<Self>, t: &Arc<Task>) -> SysResult<i64> {
        let (state, closed) = {
            let mut q = self.listener.queue.lock();
            let closed = q.closed;
            (q.find(self.id)?.state, closed)
        };
        match state {
            State::Replied(_, _, true) => {
                let (nr, args) = (self.call.nr, self.call.args);
                drop(self);
                t.kernel.dispatcher.dispatch(t, nr, &args)
            }
            State::Replied(value, 0, _) => Ok(value),
            State::Replied(_, error, _) => Ok(i64::from(error)),
            _ if closed => Err(Errno::ENOSYS.into()),
            _ => Err(Stop::Wait(self)),
        }
    }

    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        let state = self.listener.queue.lock().find(self.id).map(|e| e.state);
        if self.listener.killable && state == Ok(State::Sent) {
            return OnSignal::Hold;
        }
        OnSignal::Restart
    }

    fn name(&self) -> &'static str {
        "seccomp_do_user_notification"
    }
}

/// The supervisor's descriptor.
struct ListenerFile(Arc<Listener>);

impl Drop for ListenerFile {
    fn drop(&mut self) {
        self.0.queue.lock().closed = true;
        self.0.answered.notify_all();
    }
}

/// A supervisor waiting for a call.
struct Receive {
    listener: Arc<Listener>,
    at: u64,
}

impl Attempt for Receive {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        let notif = {
            let mut q = self.listener.queue.lock();
            let new = q.entries.iter_mut().find(|e| e.state == State::New);
            let Some(entry) = new else {
                return Err(Errno::EAGAIN.into());
            };
            entry.state = State::Sent;
            Notif {
                id: entry.id,
                pid: entry.subject.nr_in(t.pid_ns()).cast_unsigned(),
                flags: 0,
                data: entry.data,
            }
        };
        if t.mm().copy_out(self.at, notif.as_bytes()).is_err() {
            if let Ok(entry) = self.listener.queue.lock().find(notif.id) {
                entry.state = State::New;
            }
            return Err(Errno::EFAULT.into());
        }
        self.listener
            .supervisor
            .notify(PollEvents::OUT | PollEvents::WRNORM);
        Ok(0)
    }
    fn watch(&self, waker: Waker) -> Registrations {
        watch_one(&self.listener.supervisor, PollEvents::IN, waker)
    }
    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        OnSignal::Eintr
    }
    fn name(&self) -> &'static str {
        "seccomp_notify_recv"
    }
}

fn read<T: FromBytes + IntoBytes>(t: &Arc<Task>, at: u64) -> Result<T> {
    let mut value = T::new_zeroed();
    t.mm().copy_in(at, value.as_mut_bytes())?;
    Ok(value)
}

impl ListenerFile {
    fn receive(&self, t: &Arc<Task>, at: u64) -> SysResult<i64> {
        let mut bytes = [0u8; size_of::<Notif>()];
        t.mm().copy_in(at, &mut bytes).map_err(|f| f.errno)?;
        if bytes.iter().any(|b| *b != 0) {
            return Err(Errno::EINVAL.into());
        }
        let what = Receive {
            listener: self.0.clone(),
            at,
        };
        retry(t, what, None)
    }

    fn send(&self, r: &Response) -> Result<()> {
        let goes_on = r.flags & CONTINUE != 0;
        if r.flags & !CONTINUE != 0 || goes_on && (r.error != 0 || r.val != 0) {
            return Err(Errno::EINVAL);
        }
        self.reply(r.id, State::Replied(r.val, r.error, goes_on))
    }

    fn reply(&self, id: u64, state: State) -> Result<()> {
        {
            let mut q = self.0.queue.lock();
            let entry = q.find(id)?;
            if entry.state != State::Sent {
                return Err(Errno::EINPROGRESS);
            }
            entry.state = state;
        }
        self.0.answered.notify(PollEvents::IN);
        Ok(())
    }

    fn is_valid(&self, id: u64) -> Result<()> {
        match self.0.queue.lock().find(id)?.state {
            State::Sent => Ok(()),
            _ => Err(Errno::ENOENT),
        }
    }

    /// Gives the asking task a descriptor; its number there.
    fn add_fd(&self, t: &Arc<Task>, a: &AddFd) -> Result<i32> {
        let cloexec = OpenFlags::CLOEXEC.bits();
        let bad = a.newfd_flags & !cloexec != 0
            || a.flags & !(ADDFD_SETFD | ADDFD_SEND) != 0
            || a.newfd != 0 && a.flags & ADDFD_SETFD == 0;
        if bad {
            return Err(Errno::EINVAL);
        }
        let file = t.files().get(a.srcfd)?;
        let target = {
            let mut q = self.0.queue.lock();
            let entry = q.find(a.id)?;
            if entry.state != State::Sent {
                return Err(Errno::EINPROGRESS);
            }
            entry.task.upgrade().ok_or(Errno::ENOENT)?
        };
        let limit = target.limit(Resource::Nofile);
        let cloexec = a.newfd_flags & cloexec != 0;
        let fd = if a.flags & ADDFD_SETFD != 0 {
            let old = target.files().install_at(file, a.newfd, cloexec, limit)?;
            drop(old);
            a.newfd
        } else {
            target.files().install(file, 0, cloexec, limit)?
        };
        if a.flags & ADDFD_SEND != 0 {
            self.reply(a.id, State::Replied(i64::from(fd), 0, false))?;
        }
        Ok(fd)
    }

    fn add_fd_of_size(&self, t: &Arc<Task>, at: u64, size: u32) -> Result<i32> {
        let own = size_of::<AddFd>() as u32;
        if size < own || u64::from(size) > abi::PAGE_SIZE {
            return Err(Errno::EINVAL);
        }
        // What is beyond the known fields must be zero.
        let mut rest = vec![0u8; usize::try_from(size - own).unwrap_or(0)];
        let value = read(t, at)?;
        t.mm().copy_in(at.wrapping_add(own.into()), &mut rest)?;
        if rest.iter().any(|b| *b != 0) {
            return Err(Errno::E2BIG);
        }
        self.add_fd(t, &value)
    }
}

impl FileOps for ListenerFile {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn ioctl(&self, cx: &IoCx<'_>, request: u32, arg: u64) -> SysResult<i64> {
        let t = cx.task.ok_or(Errno::ENOTTY)?;
        match request {
            RECV => self.receive(t, arg),
            SEND => {
                self.send(&read(t, arg)?)?;
                Ok(0)
            }
            ID_VALID | ID_VALID_OLD => {
                self.is_valid(read(t, arg)?)?;
                Ok(0)
            }
            r if r & KIND == ADDFD & KIND && r >> 30 & 1 != 0 => {
                let fd = self.add_fd_of_size(t, arg, r >> 16 & 0x3fff)?;
                Ok(i64::from(fd))
            }
            _ => Err(Errno::EINVAL.into()),
        }
    }

    fn poll(&self, _cx: &IoCx<'_>) -> PollEvents {
        let q = self.0.queue.lock();
        let mut ready = PollEvents::empty();
        for e in &q.entries {
            match e.state {
                State::New => ready |= PollEvents::IN | PollEvents::RDNORM,
                State::Sent => ready |= PollEvents::OUT | PollEvents::WRNORM,
                State::Replied(..) => {}
            }
        }
        if q.unused {
            ready |= PollEvents::HUP;
        }
        ready
    }

    fn pollee(&self) -> Option<&Pollee> {
        Some(&self.0.supervisor)
    }

    fn description(&self) -> String {
        "anon_inode:seccomp notify".to_owned()
    }
}
