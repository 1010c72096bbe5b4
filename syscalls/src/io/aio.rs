//! Asynchronous I/O: `io_setup(2)`, `io_submit(2)`, `io_getevents(2)`, `io_pgetevents(2)`,
//! `io_cancel(2)`, `io_destroy(2)`.

use std::sync::Arc;

use abi::fs::PollEvents;
use abi::signal::SigSet;
use abi::time::Timespec;
use abi::{Errno, PAGE_SIZE};
use sentry::aio::{AIO_MAX_NR, AioContext, IoEvent};
use sentry::creds::Cap;
use sentry::fs::File;
use sentry::fs::eventfd::EventFd;
use sentry::mm::MapProt;
use sentry::mm::map::{MapRequest, Placement};
use sentry::retry::{Attempt, Registrations, retry, watch_one};
use sentry::wait::Waker;
use sentry::{OnSignal, Result, Stop, SysResult, Task};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::transfer::{self, How};
use super::{check_readable, check_writable, rw};
use crate::arg::{Fd, In, InOut, Out, UserAddr, UserBuf, UserIoVec, UserPtr};
use crate::mm::limits;

/// `struct iocb`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Iocb {
    data: u64,
    key: u32,
    rw_flags: u32,
    opcode: u16,
    priority: i16,
    fd: u32,
    buf: u64,
    nbytes: u64,
    offset: i64,
    reserved2: u64,
    flags: u32,
    resfd: u32,
}

const PREAD: u16 = 0;
const PWRITE: u16 = 1;
const FSYNC: u16 = 2;
const FDSYNC: u16 = 3;
const POLL: u16 = 5;
const PREADV: u16 = 7;
const PWRITEV: u16 = 8;
const FLAG_RESFD: u32 = 1;
const FLAG_IOPRIO: u32 = 2;

/// Bytes of an event, and of the head of a ring.
const EVENT: usize = size_of::<IoEvent>();
/// Offset of the key in a control block.
const KEY_AT: u64 = 8;

/// How many requests a context has room for: Linux rounds up to pages of its ring.
fn room(asked: usize, cpus: usize) -> (usize, usize) {
    let wanted = asked.max(cpus.saturating_mul(4)).saturating_mul(2) + 2;
    let page = PAGE_SIZE as usize;
    let pages = (wanted.saturating_add(1))
        .saturating_mul(EVENT)
        .div_ceil(page);
    let slots = pages.saturating_mul(page) / EVENT;
    (slots.saturating_sub(2), pages.saturating_mul(page))
}

/// `io_setup(2)`.
pub fn io_setup(t: &Arc<Task>, events: u32, out: UserPtr<u64, InOut>) -> SysResult<()> {
    let at = out.addr();
    let old = out.read(t)?;
    let asked = usize::try_from(events).unwrap_or(usize::MAX);
    if old != 0 || events == 0 || asked > 0x1000_0000 / EVENT {
        return Err(Errno::EINVAL.into());
    }
    let mm = t.mm();
    if mm.aio.asked().saturating_add(asked) > AIO_MAX_NR {
        return Err(Errno::EAGAIN.into());
    }
    let cpus = usize::try_from(t.kernel.host.cpus).unwrap_or(1);
    let (room, bytes) = room(asked, cpus);
    // The ring that libraries look into: one without the magic of a ring they may read.
    let prot = MapProt::READ | MapProt::WRITE;
    let request = MapRequest::anon(Placement::Hint(0), bytes as u64, prot);
    let id = mm.map(request, &limits::of(t))?;
    mm.aio.insert(AioContext::new(id, asked, room));
    if let Err(e) = UserPtr::<u64, Out>::at(at).write(t, &id) {
        destroy(t, id)?;
        return Err(e.into());
    }
    Ok(())
}

fn destroy(t: &Arc<Task>, id: u64) -> Result<()> {
    let mm = t.mm();
    let context = mm.aio.remove(id)?;
    context.destroy();
    let cpus = usize::try_from(t.kernel.host.cpus).unwrap_or(1);
    let (_, bytes) = room(context.asked, cpus);
    mm.unmap(id, bytes as u64)
}

/// `io_destroy(2)`.
pub fn io_destroy(t: &Arc<Task>, id: u64) -> SysResult<()> {
    Ok(destroy(t, id)?)
}

/// `io_submit(2)`: how many requests were taken; an error only for the first.
pub fn io_submit(t: &Arc<Task>, id: u64, count: i64, list: UserAddr) -> SysResult<i64> {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let context = t.mm().aio.get(id)?;
    let count = count.min(context.room());
    for i in 0..count {
        let at = list.0.wrapping_add(8u64.wrapping_mul(i as u64));
        let one = UserPtr::<u64, In>::at(at)
            .read(t)
            .and_then(|iocb| submit(t, &context, iocb));
        match one {
            Ok(()) => {}
            Err(e) if i == 0 => return Err(e.into()),
            Err(_) => return Ok(i as i64),
        }
    }
    Ok(count as i64)
}

/// The event counter that is told of completion: `EBADF`, `EINVAL`.
fn counter(t: &Arc<Task>, iocb: &Iocb) -> Result<Option<Arc<File>>> {
    if iocb.flags & FLAG_RESFD == 0 {
        return Ok(None);
    }
    let file = super::file(t, Fd(iocb.resfd.cast_signed()))?;
    if file.downcast::<EventFd>().is_none() {
        return Err(Errno::EINVAL);
    }
    Ok(Some(file))
}

fn submit(t: &Arc<Task>, context: &Arc<AioContext>, at: u64) -> Result<()> {
    let iocb: Iocb = UserPtr::<Iocb, In>::at(at).read(t)?;
    if iocb.reserved2 != 0 || i64::try_from(iocb.nbytes).is_err() {
        return Err(Errno::EINVAL);
    }
    context.check_room()?;
    let file = super::file(t, Fd(iocb.fd.cast_signed()))?;
    let notify = counter(t, &iocb)?;
    UserPtr::<u32, Out>::at(at.wrapping_add(KEY_AT)).write(t, &0)?;
    let res = match iocb.opcode {
        PREAD | PWRITE | PREADV | PWRITEV => transfer(t, &file, &iocb)?,
        FSYNC | FDSYNC => sync(t, &file, &iocb)?,
        POLL => return poll(t, context, at, &file, &iocb, notify),
        _ => return Err(Errno::EINVAL),
    };
    let event = IoEvent {
        data: iocb.data,
        obj: at,
        res,
        res2: 0,
    };
    context.complete(event, notify.as_ref());
    Ok(())
}

/// A priority for one request is checked and has no effect.
fn check_priority(t: &Arc<Task>, iocb: &Iocb) -> Result<()> {
    if iocb.flags & FLAG_IOPRIO == 0 {
        return Ok(());
    }
    let class = (i32::from(iocb.priority) >> 13) & 7;
    match class {
        1 if !t.creds().capable(Cap::SysNice) => Err(Errno::EPERM),
        0..=3 => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

fn transfer(t: &Arc<Task>, file: &Arc<File>, iocb: &Iocb) -> Result<i64> {
    let how = rw::with_flags(How::default(), iocb.rw_flags)?;
    check_priority(t, iocb)?;
    let write = matches!(iocb.opcode, PWRITE | PWRITEV);
    if write {
        check_writable(file)?;
    } else {
        check_readable(file)?;
    }
    let io = if matches!(iocb.opcode, PREADV | PWRITEV) {
        UserIoVec(iocb.buf).read(t, iocb.nbytes)?
    } else {
        let len = usize::try_from(iocb.nbytes).map_err(|_| Errno::EINVAL)?;
        UserBuf(iocb.buf).io(t, len)?
    };
    let pos = u64::try_from(iocb.offset).map_err(|_| Errno::EINVAL)?;
    let how = How {
        pos: file.ops.seekable().then_some(pos),
        nowait: true,
        ..how
    };
    let done = if write {
        transfer::write(t, file.clone(), io, how)
    } else {
        transfer::read(t, file.clone(), io, how)
    };
    match done {
        Ok(n) => Ok(n),
        Err(Stop::Errno(e)) => Ok(-i64::from(e.raw())),
        Err(_) => Err(Errno::EINVAL),
    }
}

fn sync(t: &Arc<Task>, file: &Arc<File>, iocb: &Iocb) -> Result<i64> {
    let unused = iocb.buf == 0 && iocb.offset == 0 && iocb.nbytes == 0 && iocb.rw_flags == 0;
    if !unused {
        return Err(Errno::EINVAL);
    }
    match file.ops.sync(&file.cx(Some(t)), iocb.opcode == FDSYNC) {
        Ok(()) => Ok(0),
        // No such operation: refused at once.
        Err(Errno::EINVAL) => Err(Errno::EINVAL),
        Err(e) => Ok(-i64::from(e.raw())),
    }
}

fn poll(
    t: &Arc<Task>,
    context: &Arc<AioContext>,
    at: u64,
    file: &Arc<File>,
    iocb: &Iocb,
    notify: Option<Arc<File>>,
) -> Result<()> {
    let mask = u16::try_from(iocb.buf).map_err(|_| Errno::EINVAL)?;
    if iocb.offset != 0 || iocb.nbytes != 0 || iocb.rw_flags != 0 {
        return Err(Errno::EINVAL);
    }
    let wanted = PollEvents::from_bits_retain(mask.into()) | PollEvents::ERR | PollEvents::HUP;
    let number = context.start_poll((iocb.data, at), file, wanted, notify);
    let now = file.ops.poll(&file.cx(Some(t))) & wanted;
    if !now.is_empty() {
        context.poll_done(number, now);
    }
    Ok(())
}

/// `io_cancel(2)`: `EINPROGRESS` says that an event tells of the end.
pub fn io_cancel(t: &Arc<Task>, id: u64, iocb: UserAddr, _result: UserAddr) -> SysResult<()> {
    let key = UserPtr::<u32, In>::at(iocb.0.wrapping_add(KEY_AT)).read(t)?;
    if key != 0 {
        return Err(Errno::EINVAL.into());
    }
    let found = t.mm().aio.get(id)?.cancel(iocb.0);
    Err(if found {
        Errno::EINPROGRESS
    } else {
        Errno::EINVAL
    }
    .into())
}

/// A wait for events.
struct Fetch {
    context: Arc<AioContext>,
    min: usize,
    max: usize,
    events: u64,
    got: usize,
}

impl Attempt for Fetch {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        let found = self.context.peek(self.max.saturating_sub(self.got));
        let found = match found {
            Err(_) if self.got > 0 => return Ok(self.got as i64),
            r => r?,
        };
        let at = (EVENT as u64).wrapping_mul(self.got as u64);
        UserPtr::<IoEvent, Out>::at(self.events.wrapping_add(at)).write_array(t, &found)?;
        self.context.consume(found.len());
        self.got += found.len();
        if self.got >= self.min {
            Ok(self.got as i64)
        } else {
            Err(Errno::EAGAIN.into())
        }
    }
    fn watch(&self, waker: Waker) -> Registrations {
        watch_one(&self.context.pollee, PollEvents::IN, waker)
    }
    fn timed_out(&mut self, _t: &Arc<Task>) -> SysResult<i64> {
        Ok(self.got as i64)
    }
    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        if self.got > 0 {
            OnSignal::Finish(self.got as i64)
        } else {
            OnSignal::Eintr
        }
    }
    fn name(&self) -> &'static str {
        "read_events"
    }
}

fn fetch(
    t: &Arc<Task>,
    id: u64,
    (min, max): (i64, i64),
    events: u64,
    timeout: Option<Timespec>,
) -> SysResult<i64> {
    let context = t.mm().aio.get(id)?;
    let (min, max) = match (usize::try_from(min), usize::try_from(max)) {
        (Ok(min), Ok(max)) if min <= max => (min, max),
        _ => return Err(Errno::EINVAL.into()),
    };
    let now = t.kernel.clock.monotonic();
    // A timeout that makes no sense is over at once.
    let span = timeout.map(|ts| ts.to_duration().unwrap_or_default());
    let deadline = span.map(|s| now.saturating_add(s));
    let fetch = Fetch {
        context,
        min,
        max,
        events,
        got: 0,
    };
    retry(t, fetch, deadline)
}

/// `io_getevents(2)`.
pub fn io_getevents(
    t: &Arc<Task>,
    id: u64,
    min: i64,
    max: i64,
    events: UserAddr,
    timeout: UserPtr<Timespec, In>,
) -> SysResult<i64> {
    let timeout = timeout.non_null().map(|p| p.read(t)).transpose()?;
    fetch(t, id, (min, max), events.0, timeout)
}

/// `struct __aio_sigset`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AioSigset {
    mask: u64,
    size: u64,
}

/// `io_pgetevents(2)`.
pub fn io_pgetevents(
    t: &Arc<Task>,
    id: u64,
    min: i64,
    max: i64,
    events: UserAddr,
    timeout: UserPtr<Timespec, In>,
    sigmask: UserPtr<AioSigset, In>,
) -> SysResult<i64> {
    let timeout = timeout.non_null().map(|p| p.read(t)).transpose()?;
    if let Some(p) = sigmask.non_null() {
        let set = p.read(t)?;
        if let Some(mask) = UserPtr::<SigSet, In>::at(set.mask).non_null() {
            if set.size != size_of::<SigSet>() as u64 {
                return Err(Errno::EINVAL.into());
            }
            t.swap_sigmask_until_return(mask.read(t)?);
        }
    }
    fetch(t, id, (min, max), events.0, timeout)
}
