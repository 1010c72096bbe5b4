//! `poll(2)`, `ppoll(2)`.

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;
use abi::fs::PollEvents;
use abi::signal::SigSet;
use abi::time::Timespec;
use sentry::fs::{FdTable, File, OpenFlags};
use sentry::retry::{Attempt, Registrations, retry};
use sentry::task::limits::Resource;
use sentry::wait::{Share, Waker};
use sentry::{OnSignal, SysResult, Task};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::mask;
use crate::arg::{In, InOut, UserPtr};

/// `struct pollfd`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PollFd {
    fd: i32,
    events: u16,
    revents: u16,
}

/// Where the remaining time goes when the call ends.
#[derive(Clone, Copy)]
struct TimeLeft {
    addr: u64,
    deadline: Duration,
}

/// One entry. The description found first is waited on; each look goes by the number
/// again, as on Linux, so that one closed meanwhile is seen.
struct Entry {
    fd: i32,
    file: Option<Arc<File>>,
    events: PollEvents,
}

struct Poll {
    entries: Vec<Entry>,
    /// Address of the array.
    addr: u64,
    left: Option<TimeLeft>,
}

impl Poll {
    /// Writes the results back; only `revents` is touched.
    fn finish(&self, t: &Arc<Task>, found: &[PollEvents]) -> SysResult<i64> {
        self.write_left(t);
        let mm = t.mm();
        let mut count = 0;
        for (i, revents) in found.iter().enumerate() {
            count += i64::from(!revents.is_empty());
            let at = self.addr.wrapping_add(8 * i as u64 + 6);
            let bits = u16::try_from(revents.bits()).unwrap_or(0);
            mm.copy_out(at, &bits.to_ne_bytes()).map_err(Errno::from)?;
        }
        Ok(count)
    }

    /// Failure to write the remaining time is no failure of the call, as on Linux.
    fn write_left(&self, t: &Arc<Task>) {
        if let Some(l) = self.left {
            let left = Timespec::from(mask::left(t, l.deadline));
            let _ = t.mm().copy_out(l.addr, left.as_bytes());
        }
    }

    fn look(&self, t: &Arc<Task>) -> Vec<PollEvents> {
        let files = t.files();
        let one = |e: &Entry| match pollable(&files, e.fd) {
            _ if e.fd < 0 => PollEvents::empty(),
            Some(f) => f.ops.poll(&f.cx(Some(t))) & e.events,
            None => PollEvents::NVAL,
        };
        self.entries.iter().map(one).collect()
    }
}

impl Attempt for Poll {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        let found = self.look(t);
        if found.iter().all(|r| r.is_empty()) {
            return Err(Errno::EAGAIN.into());
        }
        self.finish(t, &found)
    }

    fn watch(&self, waker: Waker) -> Registrations {
        let files = self
            .entries
            .iter()
            .filter_map(|e| Some((e.file.as_ref()?, e.events)));
        files
            .filter_map(|(f, events)| {
                Some(f.ops.pollee()?.register(events, waker.clone(), Share::All))
            })
            .collect()
    }

    fn on_signal(&mut self, t: &Arc<Task>) -> OnSignal {
        self.write_left(t);
        OnSignal::Eintr
    }

    fn timed_out(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        let none = vec![PollEvents::empty(); self.entries.len()];
        self.finish(t, &none)
    }

    fn name(&self) -> &'static str {
        "do_sys_poll"
    }
}

/// What a number stands for, unless it only names a place.
fn pollable(files: &FdTable, fd: i32) -> Option<Arc<File>> {
    let file = files.get(fd).ok()?;
    (!file.flags().contains(OpenFlags::PATH)).then_some(file)
}

fn entries(t: &Arc<Task>, fds: UserPtr<PollFd, InOut>, n: u32) -> SysResult<Vec<Entry>> {
    if u64::from(n) > t.limit(Resource::Nofile).min(1 << 20) {
        return Err(Errno::EINVAL.into());
    }
    let raw = fds.read_array(t, usize::try_from(n).unwrap_or(0))?;
    let files = t.files();
    let entry = |p: &PollFd| Entry {
        fd: p.fd,
        file: pollable(&files, p.fd),
        events: PollEvents::from_bits_truncate(u32::from(p.events))
            | PollEvents::ERR
            | PollEvents::HUP,
    };
    Ok(raw.iter().map(entry).collect())
}

/// `poll(2)`.
pub fn poll(t: &Arc<Task>, fds: UserPtr<PollFd, InOut>, n: u32, timeout: i32) -> SysResult<i64> {
    let deadline = mask::after_ms(t, timeout);
    let addr = fds.addr();
    let poll = Poll {
        entries: entries(t, fds, n)?,
        addr,
        left: None,
    };
    retry(t, poll, deadline)
}

/// `ppoll(2)`.
pub fn ppoll(
    t: &Arc<Task>,
    fds: UserPtr<PollFd, InOut>,
    n: u32,
    timeout: UserPtr<Timespec, InOut>,
    sigmask: UserPtr<SigSet, In>,
    size: usize,
) -> SysResult<i64> {
    let left_addr = timeout.addr();
    let deadline = mask::deadline(t, timeout)?;
    mask::apply(t, sigmask, size)?;
    let addr = fds.addr();
    let poll = Poll {
        entries: entries(t, fds, n)?,
        addr,
        left: deadline.map(|deadline| TimeLeft {
            addr: left_addr,
            deadline,
        }),
    };
    retry(t, poll, deadline)
}
