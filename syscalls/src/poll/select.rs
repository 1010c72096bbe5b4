//! `select(2)`, `pselect6(2)`.

use std::sync::Arc;
use std::time::Duration;

use abi::Errno;
use abi::fs::PollEvents;
use abi::signal::SigSet;
use abi::time::{Timespec, Timeval};
use sentry::fs::File;
use sentry::retry::{Attempt, Registrations, retry};
use sentry::wait::{Share, Waker};
use sentry::{OnSignal, SysResult, Task};
use zerocopy::IntoBytes;

use super::mask;
use crate::arg::{In, InOut, UserPtr};

/// What makes a descriptor count in each of the three sets.
const IN_SET: PollEvents = PollEvents::RDNORM
    .union(PollEvents::RDBAND)
    .union(PollEvents::IN)
    .union(PollEvents::HUP)
    .union(PollEvents::ERR);
const OUT_SET: PollEvents = PollEvents::WRBAND
    .union(PollEvents::WRNORM)
    .union(PollEvents::OUT)
    .union(PollEvents::ERR);
const EXCEPT_SET: PollEvents = PollEvents::PRI;
const SETS: [PollEvents; 3] = [IN_SET, OUT_SET, EXCEPT_SET];

/// Where and how the remaining time goes when the call ends.
#[derive(Clone, Copy)]
enum Left {
    Nowhere,
    Timeval(u64, Duration),
    Timespec(u64, Duration),
}

struct Entry {
    file: Arc<File>,
    fd: usize,
    /// In which of the three sets it is.
    sets: [bool; 3],
}

struct Select {
    entries: Vec<Entry>,
    /// Addresses of the three sets and their length in bytes.
    addrs: [u64; 3],
    len: usize,
    left: Left,
}

impl Entry {
    fn events(&self) -> PollEvents {
        let wanted = SETS.iter().zip(self.sets).filter(|(_, on)| *on);
        wanted.fold(PollEvents::empty(), |all, (set, _)| all | *set)
    }
}

impl Select {
    fn finish(&self, t: &Arc<Task>, found: &[Vec<u8>; 3]) -> SysResult<i64> {
        self.write_left(t);
        let mut count = 0;
        for (addr, bits) in self.addrs.iter().zip(found) {
            count += bits.iter().map(|b| i64::from(b.count_ones())).sum::<i64>();
            if *addr != 0 {
                t.mm().copy_out(*addr, bits).map_err(Errno::from)?;
            }
        }
        Ok(count)
    }

    /// Failure to write the remaining time is no failure of the call, as on Linux.
    fn write_left(&self, t: &Arc<Task>) {
        let mm = t.mm();
        let _ = match self.left {
            Left::Nowhere => Ok(()),
            Left::Timespec(addr, deadline) => {
                mm.copy_out(addr, Timespec::from(mask::left(t, deadline)).as_bytes())
            }
            Left::Timeval(addr, deadline) => {
                mm.copy_out(addr, Timeval::from(mask::left(t, deadline)).as_bytes())
            }
        };
    }

    fn empty(&self) -> [Vec<u8>; 3] {
        std::array::from_fn(|_| vec![0; self.len])
    }
}

impl Attempt for Select {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        let mut found = self.empty();
        let mut any = false;
        let files = t.files();
        for e in &self.entries {
            // By the number again; one closed meanwhile counts as ready in each set.
            let now = match i32::try_from(e.fd).map(|fd| files.get(fd)) {
                Ok(Ok(f)) => f.ops.poll(&f.cx(Some(t))),
                _ => PollEvents::all(),
            };
            for ((set, on), bits) in SETS.iter().zip(e.sets).zip(&mut found) {
                if on && now.intersects(*set) {
                    any = true;
                    if let Some(byte) = bits.get_mut(e.fd / 8) {
                        *byte |= 1 << (e.fd % 8);
                    }
                }
            }
        }
        if !any {
            return Err(Errno::EAGAIN.into());
        }
        self.finish(t, &found)
    }

    fn watch(&self, waker: Waker) -> Registrations {
        let place = |e: &Entry| {
            let pollee = e.file.ops.pollee()?;
            Some(pollee.register(e.events(), waker.clone(), Share::All))
        };
        self.entries.iter().filter_map(place).collect()
    }

    fn on_signal(&mut self, t: &Arc<Task>) -> OnSignal {
        self.write_left(t);
        OnSignal::Eintr
    }

    fn timed_out(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        self.finish(t, &self.empty())
    }

    fn name(&self) -> &'static str {
        "do_select"
    }
}

/// Copies the sets in and takes the descriptions they name; `EBADF` for one not open.
fn prepare(t: &Arc<Task>, n: i32, addrs: [u64; 3], left: Left) -> SysResult<Select> {
    let n = usize::try_from(n).map_err(|_| Errno::EINVAL)?;
    let files = t.files();
    // Like Linux, bits beyond the table are not looked at.
    let n = n.min(files.room());
    let len = n.div_ceil(64) * 8;
    let mut sets: [Vec<u8>; 3] = std::array::from_fn(|_| vec![0; len]);
    for (addr, bits) in addrs.iter().zip(&mut sets) {
        if *addr != 0 {
            t.mm().copy_in(*addr, bits).map_err(Errno::from)?;
        }
    }
    let mut entries = Vec::new();
    for fd in 0..n {
        let on = |bits: &Vec<u8>| bits.get(fd / 8).is_some_and(|b| b & (1 << (fd % 8)) != 0);
        let sets = [on(&sets[0]), on(&sets[1]), on(&sets[2])];
        if sets.contains(&true) {
            let file = files.get(i32::try_from(fd).map_err(|_| Errno::EBADF)?)?;
            entries.push(Entry { file, fd, sets });
        }
    }
    Ok(Select {
        entries,
        addrs,
        len,
        left,
    })
}

/// `select(2)`.
pub fn select(
    t: &Arc<Task>,
    n: i32,
    readfds: u64,
    writefds: u64,
    exceptfds: u64,
    timeout: UserPtr<Timeval, InOut>,
) -> SysResult<i64> {
    let addr = timeout.addr();
    let deadline = match timeout.non_null() {
        Some(p) => {
            let tv = p.read(t)?;
            // Microseconds of a second and more are carried over, as Linux does here.
            let (sec, usec) = (u64::try_from(tv.sec), u64::try_from(tv.usec));
            let (Ok(sec), Ok(usec)) = (sec, usec) else {
                return Err(Errno::EINVAL.into());
            };
            let span = Duration::from_secs(sec).saturating_add(Duration::from_micros(usec));
            Some(mask::after(t, span))
        }
        None => None,
    };
    let left = deadline.map_or(Left::Nowhere, |d| Left::Timeval(addr, d));
    let select = prepare(t, n, [readfds, writefds, exceptfds], left)?;
    retry(t, select, deadline)
}

/// `pselect6(2)`: the sixth argument points to the address and size of the mask.
pub fn pselect6(
    t: &Arc<Task>,
    n: i32,
    readfds: u64,
    writefds: u64,
    exceptfds: u64,
    timeout: UserPtr<Timespec, InOut>,
    sigmask: UserPtr<[u64; 2], In>,
) -> SysResult<i64> {
    let [mask_addr, size] = match sigmask.non_null() {
        Some(p) => p.read(t)?,
        None => [0, 0],
    };
    let addr = timeout.addr();
    let deadline = mask::deadline(t, timeout)?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    mask::apply(t, UserPtr::<SigSet, In>::at(mask_addr), size)?;
    let left = deadline.map_or(Left::Nowhere, |d| Left::Timespec(addr, d));
    let select = prepare(t, n, [readfds, writefds, exceptfds], left)?;
    retry(t, select, deadline)
}
