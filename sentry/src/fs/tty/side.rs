//! An open terminal: reading by lines or by `VMIN` and `VTIME`, writing, readiness.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use abi::Errno;
use abi::fs::PollEvents;

use super::termios::{Cc, TOSTOP};
use super::{READABLE, State, Tty, WRITABLE};
use crate::fs::vfs::Attr;
use crate::fs::{FileOps, IoCx, OpenFlags};
use crate::io::{IoDst, IoSrc};
use crate::task::Task;
use crate::wait::{Pollee, Waker};
use crate::{Result, SysResult};

/// Bytes processed at a time by a write.
const CHUNK: usize = 2048;

/// Operations of a description of a terminal.
pub struct OpenTty(pub(super) Arc<Tty>);

impl OpenTty {
    /// Opens a terminal: it becomes the controlling one of a session leader that has none,
    /// unless `O_NOCTTY` is given. `EBUSY` when opened exclusively, `EIO` when hung up.
    pub fn open(
        tty: &Arc<Tty>,
        flags: OpenFlags,
        t: Option<&Arc<Task>>,
    ) -> Result<Arc<dyn FileOps>> {
        {
            let mut s = tty.state.lock();
            if s.hung_up {
                return Err(Errno::EIO);
            }
            if s.exclusive && t.is_some_and(|t| !t.creds().capable(crate::creds::Cap::SysAdmin)) {
                return Err(Errno::EBUSY);
            }
            s.opens += 1;
            s.ever_opened = true;
        }
        if let Some(t) = t.filter(|_| !flags.contains(OpenFlags::NOCTTY)) {
            tty.acquire_if_free(t);
        }
        tty.tell_far();
        Ok(Arc::new(OpenTty(tty.clone())))
    }

    /// The terminal.
    pub fn tty(&self) -> &Arc<Tty> {
        &self.0
    }
}

/// Opens the controlling terminal (`/dev/tty`); `ENXIO` without one.
pub fn open_controlling(t: Option<&Arc<Task>>) -> Result<Arc<dyn FileOps>> {
    let tty = t.and_then(Tty::controlling).ok_or(Errno::ENXIO)?;
    OpenTty::open(&tty, OpenFlags::NOCTTY, t)
}

impl Drop for OpenTty {
    fn drop(&mut self) {
        let last = {
            let mut s = self.0.state.lock();
            s.opens = s.opens.saturating_sub(1);
            s.exclusive &= s.opens > 0;
            s.opens == 0
        };
        if last {
            self.0.tell_far();
        }
    }
}

/// Whether a raw read is satisfied, or when to look again.
enum Enough {
    Yes,
    No(Option<Duration>),
}

impl State {
    /// `VMIN` and `VTIME` (`termios(3)`, "Canonical and noncanonical mode").
    fn enough(&mut self, now: Duration, want: usize, nonblock: bool) -> Enough {
        let have = self.input.ready.len();
        let min = usize::from(self.termios.value(Cc::Min));
        let time = Duration::from_millis(u64::from(self.termios.value(Cc::Time)) * 100);
        if nonblock {
            return if have > 0 || (min == 0 && time.is_zero()) {
                Enough::Yes
            } else {
                Enough::No(None)
            };
        }
        let deadline = match (min, time.is_zero()) {
            (0, true) => return Enough::Yes,
            (0, false) if have > 0 => return Enough::Yes,
            (0, false) => *self.read_since.get_or_insert(now) + time,
            _ if have >= min.min(want) => return Enough::Yes,
            (_, false) if have > 0 => self.last_input + time,
            _ => return Enough::No(None),
        };
        if now >= deadline {
            Enough::Yes
        } else {
            Enough::No(Some(deadline))
        }
    }

    fn read_line(&mut self, dst: &mut dyn IoDst) -> Result<usize> {
        let Some((len, eof)) = self.input.lines.front().copied() else {
            return Err(Errno::EAGAIN);
        };
        let want = len.min(dst.remaining());
        let line: Vec<u8> = self.input.ready.iter().take(want).copied().collect();
        let n = dst.put(&line)?;
        self.input.ready.drain(..n);
        // An EOF right behind what was read goes with it.
        if n == len {
            self.input.lines.pop_front();
        } else if let Some(front) = self.input.lines.front_mut() {
            *front = (len - n, eof);
        }
        Ok(n)
    }

    fn read_raw(&mut self, dst: &mut dyn IoDst) -> Result<usize> {
        let want = self.input.ready.len().min(dst.remaining());
        let bytes: Vec<u8> = self.input.ready.iter().take(want).copied().collect();
        let n = dst.put(&bytes)?;
        self.input.ready.drain(..n);
        Ok(n)
    }
}

impl Tty {
    fn read(&self, cx: &IoCx<'_>, dst: &mut dyn IoDst) -> Result<usize> {
        let now = self.now();
        let mut s = self.state.lock();
        if s.hung_up {
            return Ok(0);
        }
        let got = if s.termios.canonical() {
            s.read_line(dst)
        } else {
            match s.enough(now, dst.remaining(), cx.nonblock) {
                Enough::Yes => {
                    s.read_since = None;
                    s.timer = None;
                    s.read_raw(dst)
                }
                Enough::No(deadline) => {
                    let old = s.timer.take();
                    s.timer = deadline.zip(cx.task).map(|(at, t)| {
                        let waker = Waker::Other(Arc::new(Again(self.pollee.clone())));
                        t.kernel.timers.arm(at, waker)
                    });
                    drop(s);
                    drop(old);
                    return Err(Errno::EAGAIN);
                }
            }
        };
        drop(s);
        if got.is_ok_and(|n| n > 0) {
            self.tell_far();
        }
        got
    }

    fn write(&self, src: &mut dyn IoSrc) -> Result<usize> {
        let mut done = 0;
        while src.remaining() > 0 {
            let mut s = self.state.lock();
            if s.hung_up {
                return Err(Errno::EIO);
            }
            let room = s.output.room(&s.termios).min(CHUNK);
            if room == 0 {
                break;
            }
            let mut chunk = vec![0; room.min(src.remaining())];
            let got = match src.take(&mut chunk) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            };
            let s = &mut *s;
            for c in chunk.iter().take(got) {
                s.output.put(&s.termios, *c);
            }
            done += got;
        }
        if done > 0 {
            self.tell_far();
        } else if src.remaining() > 0 {
            return Err(Errno::EAGAIN);
        }
        Ok(done)
    }
}

/// Wakes readers when `VTIME` has passed.
struct Again(Pollee);

impl crate::wait::Wake for Again {
    fn wake(&self, _events: PollEvents) -> bool {
        self.0.notify(READABLE);
        true
    }
}

impl FileOps for OpenTty {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn signals_io(&self) -> bool {
        true
    }

    fn read(&self, cx: &IoCx<'_>, dst: &mut dyn IoDst, _pos: u64) -> Result<usize> {
        if let Some(t) = cx.task {
            self.0.check_read(t)?;
        }
        self.0.read(cx, dst)
    }

    fn write(&self, cx: &IoCx<'_>, src: &mut dyn IoSrc, _pos: u64) -> Result<usize> {
        let tostop = self.0.state.lock().termios.local(TOSTOP);
        if let Some(t) = cx.task.filter(|_| tostop) {
            self.0.check_change(t)?;
        }
        self.0.write(src)
    }

    fn poll(&self, _cx: &IoCx<'_>) -> PollEvents {
        let s = self.0.state.lock();
        if s.hung_up {
            return READABLE | WRITABLE | PollEvents::ERR | PollEvents::HUP;
        }
        let mut ready = PollEvents::empty();
        if s.poll_ready() {
            ready |= READABLE;
        }
        if s.output.room(&s.termios) > 0 {
            ready |= WRITABLE;
        }
        ready
    }

    fn pollee(&self) -> Option<&Pollee> {
        Some(&self.0.pollee)
    }

    fn ioctl(&self, cx: &IoCx<'_>, request: u32, arg: u64) -> SysResult<i64> {
        super::ioctl::terminal(&self.0, cx, request, arg, false)
    }

    fn attr(&self) -> Result<Attr> {
        Ok(self.0.node_attr())
    }

    fn description(&self) -> String {
        self.0.name.clone()
    }
}
