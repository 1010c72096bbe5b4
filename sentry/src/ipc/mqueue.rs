//! POSIX message queues (`mq_overview(7)`).

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use abi::Errno;
use abi::fs::PollEvents;
use abi::signal::{SigInfo, Signal};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::table::Perm;
use crate::creds::Cap;
use crate::fs::proc::sysctl_number;
use crate::fs::vfs::{Attr, FileType};
use crate::fs::{File, FileOps, IoCx, OpenFlags};
use crate::io::IoDst;
use crate::retry::{Attempt, Registrations, watch_one};
use crate::signal::info::SI_MESGQ;
use crate::sync::Mutex;
use crate::task::Task;
use crate::task::limits::Resource;
use crate::wait::{Pollee, SysResult, Waker};
use crate::{Kernel, Result};

/// Limits with `CAP_SYS_RESOURCE`.
const HARD_MSG_MAX: i64 = 65_536;
const HARD_MSGSIZE_MAX: i64 = 16 << 20;
/// Bytes a message costs besides its text, and a priority in use.
const MSG_COST: i64 = 48;
const NODE_COST: i64 = 48;
/// Highest priority plus one.
const PRIO_MAX: u32 = 32_768;

/// `struct mq_attr`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
#[expect(missing_docs, reason = "named as in mq_getattr(3)")]
pub struct MqAttr {
    pub flags: i64,
    pub maxmsg: i64,
    pub msgsize: i64,
    pub curmsgs: i64,
    reserved: [i64; 4],
}

/// How an arrival in the empty queue is told.
pub struct Notify {
    /// Whom.
    pub task: Arc<Task>,
    /// By which signal; `None` for nothing at all (`SIGEV_NONE`).
    pub signal: Option<(Signal, u64)>,
}

struct State {
    /// By priority, each in order of arrival.
    queue: BTreeMap<u32, VecDeque<Vec<u8>>>,
    count: i64,
    bytes: usize,
    notify: Option<Notify>,
    receivers: usize,
    perm: Perm,
}

/// A queue. Lock rank: leaf.
pub struct MQueue {
    maxmsg: i64,
    msgsize: i64,
    _charge: Charge,
    ino: u64,
    state: Mutex<State>,
    pollee: Pollee,
}

/// Bytes that each user's queues could hold (`RLIMIT_MSGQUEUE`). Lock rank: leaf.
type Charged = Arc<Mutex<BTreeMap<u32, u64>>>;

/// What one queue counts for, until it is gone.
struct Charge {
    all: Charged,
    uid: u32,
    bytes: u64,
}

impl Charge {
    /// Counts `bytes` for the task's user; `EMFILE` when that is more than its limit.
    fn new(t: &Arc<Task>, all: &Charged, bytes: u64) -> Result<Charge> {
        let uid = t.creds().uid;
        let limit = t.limit(Resource::Msgqueue);
        let mut sums = all.lock();
        let sum = sums.get(&uid).copied().unwrap_or(0).checked_add(bytes);
        let sum = sum.filter(|s| *s <= limit).ok_or(Errno::EMFILE)?;
        sums.insert(uid, sum);
        let all = all.clone();
        Ok(Charge { all, uid, bytes })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut sums = self.all.lock();
        let left = sums
            .get(&self.uid)
            .map_or(0, |s| s.saturating_sub(self.bytes));
        match left {
            0 => drop(sums.remove(&self.uid)),
            n => drop(sums.insert(self.uid, n)),
        }
    }
}

/// Queues by name.
#[derive(Default)]
pub struct Names {
    queues: Mutex<BTreeMap<Vec<u8>, Arc<MQueue>>>,
    charged: Charged,
}

/// A queue as an open description.
pub struct MqFile(pub Arc<MQueue>);

/// The queue behind a descriptor that may be used for `want` (`EBADF`).
pub fn of_file(file: &Arc<File>) -> Result<Arc<MQueue>> {
    let q = file.downcast::<MqFile>().ok_or(Errno::EBADF)?;
    Ok(q.0.clone())
}

/// A setting under `/proc/sys/fs/mqueue`.
fn setting(t: &Arc<Task>, name: &str) -> i64 {
    sysctl_number(&t.kernel, &format!("fs/mqueue/{name}")).unwrap_or(0)
}

/// Capacity of a new queue, and the bytes it counts for; `EINVAL`.
fn size_up(t: &Arc<Task>, asked: Option<MqAttr>) -> Result<(i64, i64, u64)> {
    let (max, size) = (setting(t, "msg_max"), setting(t, "msgsize_max"));
    let (maxmsg, msgsize) = match asked {
        None => (
            setting(t, "msg_default").min(max),
            setting(t, "msgsize_default").min(size),
        ),
        Some(a) => {
            let big = t.creds().capable(Cap::SysResource);
            let (max, size) = match big {
                true => (HARD_MSG_MAX, HARD_MSGSIZE_MAX),
                false => (max, size),
            };
            if !(1..=max).contains(&a.maxmsg) || !(1..=size).contains(&a.msgsize) {
                return Err(Errno::EINVAL);
            }
            (a.maxmsg, a.msgsize)
        }
    };
    let nodes = maxmsg.min(i64::from(PRIO_MAX)).saturating_mul(NODE_COST);
    let each = msgsize.saturating_add(MSG_COST);
    let bytes = maxmsg.saturating_mul(each).saturating_add(nodes);
    Ok((maxmsg, msgsize, bytes.unsigned_abs()))
}

impl Names {
    /// `mq_open(2)`: the description. `ENOENT`, `EEXIST`, `EACCES`, `EINVAL`, `ENOSPC`.
    pub fn open(
        &self,
        t: &Arc<Task>,
        name: &[u8],
        flags: OpenFlags,
        mode: u32,
        attr: Option<MqAttr>,
    ) -> Result<Arc<File>> {
        let mut names = self.queues.lock();
        let queue = match names.get(name) {
            Some(_) if flags.contains(OpenFlags::CREAT | OpenFlags::EXCL) => {
                return Err(Errno::EEXIST);
            }
            Some(q) => {
                let mut want = 0;
                want |= if flags.readable() { 4 } else { 0 };
                want |= if flags.writable() { 2 } else { 0 };
                let perm = q.state.lock().perm;
                let creds = t.creds();
                if !creds.capable(Cap::DacOverride) {
                    perm.check(&creds, want)?;
                }
                q.clone()
            }
            None if !flags.contains(OpenFlags::CREAT) => return Err(Errno::ENOENT),
            None => {
                let (maxmsg, msgsize, bytes) = size_up(t, attr)?;
                let room = i64::try_from(names.len()).is_ok_and(|n| n < setting(t, "queues_max"));
                if !room && !t.creds().capable(Cap::SysResource) {
                    return Err(Errno::ENOSPC);
                }
                let charge = Charge::new(t, &self.charged, bytes)?;
                let kernel: &Kernel = &t.kernel;
                let queue = Arc::new(MQueue {
                    maxmsg,
                    msgsize,
                    _charge: charge,
                    ino: kernel.next_anon_ino(),
                    state: Mutex::new(State {
                        queue: BTreeMap::new(),
                        count: 0,
                        bytes: 0,
                        notify: None,
                        receivers: 0,
                        perm: Perm::new(t, 0, mode & !t.fs().umask()),
                    }),
                    pollee: Pollee::new(),
                });
                names.insert(name.to_vec(), queue.clone());
                queue
            }
        };
        drop(names);
        Ok(File::anonymous(Arc::new(MqFile(queue)), flags))
    }

    /// A queue by name.
    pub fn find(&self, name: &[u8]) -> Option<Arc<MQueue>> {
        self.queues.lock().get(name).cloned()
    }

    /// All names.
    pub fn list(&self) -> Vec<Vec<u8>> {
        self.queues.lock().keys().cloned().collect()
    }

    /// `mq_unlink(2)`.
    pub fn unlink(&self, t: &Arc<Task>, name: &[u8]) -> Result<()> {
        let mut names = self.queues.lock();
        let queue = names.get(name).ok_or(Errno::ENOENT)?;
        let perm = queue.state.lock().perm;
        let creds = t.creds();
        let own = creds.fsuid == perm.uid || creds.capable(Cap::Fowner);
        if !own {
            return Err(Errno::EACCES);
        }
        let gone = names.remove(name);
        drop(names);
        drop(gone);
        Ok(())
    }
}

impl MQueue {
    /// `mq_getattr(3)` but for the flags.
    pub fn attr(&self) -> MqAttr {
        MqAttr {
            maxmsg: self.maxmsg,
            msgsize: self.msgsize,
            curmsgs: self.state.lock().count,
            ..MqAttr::default()
        }
    }

    /// Longest message in bytes.
    pub fn msgsize(&self) -> usize {
        usize::try_from(self.msgsize).unwrap_or(0)
    }

    /// `mq_notify(2)`: registers, or removes the caller's own; `EBUSY`.
    pub fn set_notify(&self, t: &Task, notify: Option<Notify>) -> Result<()> {
        let mut s = self.state.lock();
        let held = s.notify.as_ref().map(|n| n.task.thread_group());
        let old = match (&notify, held) {
            (Some(_), Some(_)) => return Err(Errno::EBUSY),
            (None, Some(p)) if !Arc::ptr_eq(p, t.thread_group()) => return Ok(()),
            _ => std::mem::replace(&mut s.notify, notify),
        };
        drop(s);
        drop(old);
        Ok(())
    }

    /// Appends a message; `EAGAIN` when full.
    fn push(&self, t: &Arc<Task>, data: &[u8], priority: u32) -> Result<()> {
        let told = {
            let mut s = self.state.lock();
            if s.count >= self.maxmsg {
                return Err(Errno::EAGAIN);
            }
            s.queue
                .entry(priority)
                .or_default()
                .push_back(data.to_vec());
            s.count += 1;
            s.bytes += data.len();
            let first = s.count == 1 && s.receivers == 0;
            if first { s.notify.take() } else { None }
        };
        self.pollee.notify(PollEvents::IN | PollEvents::RDNORM);
        if let Some(n) = told
            && let Some((signal, value)) = n.signal
        {
            let uid = n.task.creds().user_ns.shown_uid(t.creds().uid);
            let mut info =
                SigInfo::new(signal, SI_MESGQ).with_sender(t.pid_in(n.task.pid_ns()), uid);
            info.put(8, &value.to_ne_bytes());
            n.task.post_group_signal(info);
        }
        Ok(())
    }

    /// Takes the oldest message of the highest priority; `EAGAIN` when empty.
    fn pop(&self) -> Result<(Vec<u8>, u32)> {
        let taken = {
            let mut s = self.state.lock();
            let mut entry = s.queue.last_entry().ok_or(Errno::EAGAIN)?;
            let priority = *entry.key();
            let data = entry.get_mut().pop_front();
            if entry.get().is_empty() {
                entry.remove();
            }
            let data = data.ok_or(Errno::EAGAIN)?;
            s.count -= 1;
            s.bytes = s.bytes.saturating_sub(data.len());
            (data, priority)
        };
        self.pollee.notify(PollEvents::OUT | PollEvents::WRNORM);
        Ok(taken)
    }
}

/// A `mq_timedsend(2)` under way.
pub struct MqSend {
    /// Keeps the queue open.
    pub file: Arc<File>,
    /// The queue.
    pub queue: Arc<MQueue>,
    /// The message.
    pub data: Vec<u8>,
    /// Its priority, below the limit.
    pub priority: u32,
}

/// Whether a priority may be used.
pub fn valid_priority(priority: u32) -> bool {
    priority < PRIO_MAX
}

impl Attempt for MqSend {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        self.queue.push(t, &self.data, self.priority)?;
        Ok(0)
    }
    fn watch(&self, waker: Waker) -> Registrations {
        watch_one(&self.queue.pollee, PollEvents::OUT, waker)
    }
    fn timed_out(&mut self, _t: &Arc<Task>) -> SysResult<i64> {
        Err(timeout_errno(&self.file).into())
    }
    fn name(&self) -> &'static str {
        "mq_timedsend"
    }
}

/// What a deadline that has passed means: `O_NONBLOCK` is one that passes at once.
fn timeout_errno(file: &File) -> Errno {
    if file.flags().contains(OpenFlags::NONBLOCK) {
        Errno::EAGAIN
    } else {
        Errno::ETIMEDOUT
    }
}

/// A `mq_timedreceive(2)` under way.
pub struct MqReceive {
    /// Keeps the queue open.
    pub file: Arc<File>,
    /// The queue.
    pub queue: Arc<MQueue>,
    /// Guest buffer, which has room for any message of the queue.
    pub buf: u64,
    /// Where the priority goes; 0 for nowhere.
    pub priority: u64,
}

impl Attempt for MqReceive {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        let (data, priority) = self.queue.pop()?;
        let mm = t.mm();
        if self.priority != 0 {
            mm.copy_out(self.priority, &priority.to_ne_bytes())
                .map_err(Errno::from)?;
        }
        mm.copy_out(self.buf, &data).map_err(Errno::from)?;
        Ok(i64::try_from(data.len()).unwrap_or(0))
    }
    fn watch(&self, waker: Waker) -> Registrations {
        watch_one(&self.queue.pollee, PollEvents::IN, waker)
    }
    fn timed_out(&mut self, _t: &Arc<Task>) -> SysResult<i64> {
        Err(timeout_errno(&self.file).into())
    }
    fn name(&self) -> &'static str {
        "mq_timedreceive"
    }
}

impl FileOps for MqFile {
    fn as_any(&self) -> &dyn Any {
        self
    }

    /// Reading tells the state of the queue, as the files of `mqueue` do.
    fn read(&self, cx: &IoCx<'_>, dst: &mut dyn IoDst, pos: u64) -> Result<usize> {
        let text = {
            let s = self.0.state.lock();
            let notify = s.notify.as_ref();
            let signal = notify.and_then(|n| n.signal).map_or(0, |(s, _)| s.raw());
            let pid = notify
                .zip(cx.task)
                .map_or(0, |(n, t)| n.task.pid_in(t.pid_ns()));
            let bytes = s.bytes;
            format!("QSIZE:{bytes:<10} NOTIFY:0     SIGNO:{signal:<5} NOTIFY_PID:{pid:<6}\n")
        };
        let from = usize::try_from(pos).unwrap_or(usize::MAX);
        dst.put(text.as_bytes().get(from..).unwrap_or_default())
    }

    fn seekable(&self) -> bool {
        true
    }

    fn poll(&self, _cx: &IoCx<'_>) -> PollEvents {
        let s = self.0.state.lock();
        let mut ready = PollEvents::empty();
        if s.count > 0 {
            ready |= PollEvents::IN | PollEvents::RDNORM;
        }
        if s.count < self.0.maxmsg {
            ready |= PollEvents::OUT | PollEvents::WRNORM;
        }
        ready
    }

    fn pollee(&self) -> Option<&Pollee> {
        Some(&self.0.pollee)
    }

    fn attr(&self) -> Result<Attr> {
        let perm = self.0.state.lock().perm;
        Ok(Attr {
            dev: 18,
            ino: self.0.ino,
            kind: FileType::Regular,
            perm: perm.mode,
            uid: perm.uid,
            gid: perm.gid,
            size: 80,
            ..Attr::anonymous()
        })
    }

    fn description(&self) -> String {
        format!("mqueue:[{}]", self.0.ino)
    }
}
