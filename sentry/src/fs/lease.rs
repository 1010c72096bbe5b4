//! Leases (`fcntl(2)`, "Leases"): a holder is told by a signal, and given time, before
//! somebody opens or cuts the file.
//!
//! [`Leases`] hang on an inode's [`OpenCounts`]; [`wait`] parks whoever has to wait for a
//! holder. Lock rank: leaf; holders are told after it is dropped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use abi::Errno;
use abi::fs::PollEvents;

use super::async_io::Teller;
use super::file::{File, Owner, SignalOwner};
use super::vfs::FileType;
use super::write_access::{self, OpenCounts};
use crate::Result;
use crate::creds::Cap;
use crate::retry::{Attempt, Registrations, retry, watch_one};
use crate::sync::Mutex;
use crate::task::Task;
use crate::wait::{OnSignal, Pollee, SysResult, Waker};

/// `F_RDLCK`, `F_WRLCK`, `F_UNLCK`.
const READ: u64 = 0;
const WRITE: u64 = 1;
const NONE: u64 = 2;

/// The end of the time a holder has to give way; `None`: no end.
type Until = Option<Duration>;

struct Lease {
    file: Weak<File>,
    teller: Teller,
    exclusive: bool,
    /// Asked to go.
    goes: Option<Until>,
    /// Asked to become a read lease.
    yields: Option<Until>,
}

impl Lease {
    fn is_of(&self, file: &File) -> bool {
        std::ptr::eq(self.file.as_ptr(), file)
    }
}

/// The leases of an inode.
#[derive(Default)]
pub struct Leases {
    /// Whether there ever was one, so that an open takes no lock without.
    any: AtomicBool,
    list: Mutex<Vec<Lease>>,
    /// Told when a lease goes or becomes weaker.
    pollee: Pollee,
}

fn past(until: Option<Until>, now: Duration) -> bool {
    matches!(until, Some(Some(end)) if end <= now)
}

impl Leases {
    /// Ends leases whose holders had their time.
    fn expire(&self, now: Duration) {
        let mut list = self.list.lock();
        for lease in list.iter_mut().filter(|l| past(l.yields, now)) {
            lease.exclusive = false;
            lease.yields = None;
        }
        list.retain(|l| {
            let gone = past(l.goes, now);
            if gone && let Some(file) = l.file.upgrade() {
                *file.signal_owner.lock() = SignalOwner::default();
            }
            !gone
        });
    }

    /// Whether one stands in the way of an open.
    pub(super) fn conflict(&self, writes: bool) -> bool {
        self.any.load(Ordering::SeqCst) && self.list.lock().iter().any(|l| l.exclusive || writes)
    }

    /// Asks those in the way to go: `Err` with the time until which to wait.
    fn ask(&self, t: &Task, writes: bool) -> std::result::Result<(), Until> {
        if !self.any.load(Ordering::SeqCst) {
            return Ok(());
        }
        let now = t.kernel.clock.monotonic();
        self.expire(now);
        let seconds = super::proc::sysctl_number(&t.kernel, "fs/lease-break-time").unwrap_or(45);
        let seconds = u64::try_from(seconds).unwrap_or(0);
        let until = (seconds > 0).then(|| now + Duration::from_secs(seconds));
        let mut tell = Vec::new();
        let mut first: Option<Until> = None;
        for lease in self.list.lock().iter_mut() {
            if !lease.exclusive && !writes {
                continue;
            }
            let asked = lease.goes.is_some() || (!writes && lease.yields.is_some());
            let slot = if writes {
                &mut lease.goes
            } else {
                &mut lease.yields
            };
            if !asked {
                *slot = Some(until);
                tell.push((lease.file.clone(), lease.teller.clone()));
            }
            let end = lease.goes.or(lease.yields).flatten();
            first = Some(match first.flatten() {
                Some(before) => Some(end.map_or(before, |e| before.min(e))),
                None => end,
            });
        }
        for (file, teller) in tell {
            if let Some(file) = file.upgrade() {
                teller.tell_message(&file);
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// The description goes away.
    pub(super) fn release(&self, file: &File) {
        if !self.any.load(Ordering::SeqCst) {
            return;
        }
        self.list.lock().retain(|l| !l.is_of(file));
        self.pollee.notify(PollEvents::IN);
    }

    fn set(&self, t: &Arc<Task>, fd: i32, file: &Arc<File>, exclusive: bool) -> Result<()> {
        let mut list = self.list.lock();
        let own = list.iter().position(|l| l.is_of(file));
        if list.len() > usize::from(own.is_some()) && exclusive {
            return Err(Errno::EAGAIN);
        }
        if list.iter().any(|l| !l.is_of(file) && l.goes.is_some()) {
            return Err(Errno::EAGAIN);
        }
        if let Some(own) = own.and_then(|i| list.get_mut(i)) {
            own.exclusive = exclusive;
            if !exclusive {
                own.yields = None;
            }
        } else {
            self.any.store(true, Ordering::SeqCst);
            list.push(Lease {
                file: Arc::downgrade(file),
                teller: Teller::new(file, fd),
                exclusive,
                goes: None,
                yields: None,
            });
        }
        drop(list);
        own_by_default(t, file);
        self.pollee.notify(PollEvents::IN);
        Ok(())
    }
}

/// The caller is told unless somebody else was chosen.
pub(super) fn own_by_default(t: &Arc<Task>, file: &File) {
    let creds = t.creds();
    let mut owner = file.signal_owner.lock();
    if matches!(owner.who, Owner::Nobody) {
        owner.kind = 1;
        owner.who = Owner::Process(Arc::downgrade(t.thread_group()));
        owner.set_by = (creds.uid, creds.euid);
    }
}

/// `EAGAIN` while others have the file open in a way that the lease excludes.
fn check_open(counts: &OpenCounts, file: &File, exclusive: bool) -> Result<()> {
    let writers = counts.writers.load(Ordering::SeqCst);
    let free = if exclusive {
        let own_writes = i64::from(file.flags().writable());
        let own_reads = i64::from(file.flags().readable()) & !own_writes;
        writers == own_writes && counts.readers.load(Ordering::SeqCst) == own_reads
    } else {
        writers <= 0
    };
    if free { Ok(()) } else { Err(Errno::EAGAIN) }
}

/// `F_SETLEASE`: `EINVAL` for what is no regular file or lease, `EACCES` for others than the
/// owner without `CAP_LEASE`, `EAGAIN`.
pub fn set(t: &Arc<Task>, fd: i32, file: &Arc<File>, kind: u64) -> Result<()> {
    let kind = kind & 0xffff_ffff;
    if !matches!(kind, READ | WRITE | NONE) {
        return Err(Errno::EINVAL);
    }
    let inode = file.inode().ok_or(Errno::EINVAL)?;
    let creds = t.creds();
    let owner = inode.attr()?.uid;
    if creds.fsuid != owner && !creds.capable(Cap::Lease) {
        return Err(Errno::EACCES);
    }
    if inode.kind() != FileType::Regular {
        return Err(Errno::EINVAL);
    }
    let counts = write_access::of_inode(&inode);
    let leases = &counts.leases;
    leases.expire(t.kernel.clock.monotonic());
    if kind == NONE {
        let mut list = leases.list.lock();
        let before = list.len();
        list.retain(|l| !l.is_of(file));
        if list.len() == before {
            return Err(Errno::EAGAIN);
        }
        drop(list);
        *file.signal_owner.lock() = SignalOwner::default();
        leases.pollee.notify(PollEvents::IN);
        return Ok(());
    }
    check_open(&counts, file, kind == WRITE)?;
    leases.set(t, fd, file, kind == WRITE)
}

/// `F_GETLEASE`: what the description has, or is to have once it has given way.
pub fn get(t: &Task, file: &File) -> i64 {
    let Some(inode) = file.inode() else {
        return NONE as i64;
    };
    let Some(counts) = inode.extra().get::<OpenCounts>() else {
        return NONE as i64;
    };
    counts.leases.expire(t.kernel.clock.monotonic());
    let list = counts.leases.list.lock();
    let kind = list.iter().find(|l| l.is_of(file)).map_or(NONE, |l| {
        if l.goes.is_some() {
            NONE
        } else if l.yields.is_some() || !l.exclusive {
            READ
        } else {
            WRITE
        }
    });
    kind as i64
}

/// What is done once no lease is in the way.
pub type Then = Box<dyn FnOnce(&Arc<Task>) -> SysResult<i64> + Send>;

struct Break {
    counts: Arc<OpenCounts>,
    writes: bool,
    then: Option<Then>,
}

impl Attempt for Break {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        if self.counts.leases.ask(t, self.writes).is_err() {
            return Err(Errno::EAGAIN.into());
        }
        match self.then.take() {
            Some(then) => then(t),
            None => Err(Errno::EBADF.into()),
        }
    }
    fn watch(&self, waker: Waker) -> Registrations {
        watch_one(&self.counts.leases.pollee, PollEvents::IN, waker)
    }
    fn timed_out(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        let then = self.then.take();
        begin(t, self.counts.clone(), self.writes, then)
    }
    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        OnSignal::Restart
    }
    fn name(&self) -> &'static str {
        "break_lease"
    }
}

fn begin(
    t: &Arc<Task>,
    counts: Arc<OpenCounts>,
    writes: bool,
    then: Option<Then>,
) -> SysResult<i64> {
    let until = counts.leases.ask(t, writes).err().flatten();
    let wait = Break {
        counts,
        writes,
        then,
    };
    retry(t, wait, until)
}

/// Asks the holders of leases that are in the way to go, waits for them, then does `then`.
/// `EWOULDBLOCK` if it must not wait.
pub fn wait(
    t: &Arc<Task>,
    counts: Arc<OpenCounts>,
    writes: bool,
    nonblock: bool,
    then: Then,
) -> SysResult<i64> {
    if nonblock && counts.leases.ask(t, writes).is_err() {
        return Err(Errno::EAGAIN.into());
    }
    begin(t, counts, writes, Some(then))
}
