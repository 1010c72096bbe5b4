//! Terminals (`tty(4)`, `termios(3)`, `ioctl_tty(2)`).
//!
//! A [`Tty`] is a terminal as its users see it: modes, line discipline ([`input`],
//! [`output`]), window size, session and foreground group ([`job`]). Its far end is either
//! the master of a pseudoterminal ([`pty`]) or a host terminal ([`console`]). [`side`] is
//! what an open terminal does, [`ioctl`] its requests.
//!
//! Lock rank: `state` is a leaf; notifications, signals and the far end come after it is
//! released. User memory is copied under it.

pub mod console;
mod input;
mod ioctl;
mod job;
mod modes;
mod output;
pub mod pty;
mod side;
pub mod termios;

use std::sync::{Arc, Weak};
use std::time::Duration;

use abi::fs::PollEvents;
use abi::signal::Signal;
use zerocopy::FromZeros;

pub use side::{OpenTty, open_controlling};
use termios::{Cc, Termios, WinSize};

use self::input::{Caused, Input};
use self::output::Output;
use crate::Kernel;
use crate::fs::vfs::{Attr, FileType};
use crate::sync::Mutex;
use crate::time::timers::Timer;
use crate::wait::Pollee;

const READABLE: PollEvents = PollEvents::IN.union(PollEvents::RDNORM);
const WRITABLE: PollEvents = PollEvents::OUT.union(PollEvents::WRNORM);

/// Packet mode status bits (`TIOCPKT`).
const PKT_FLUSHREAD: u8 = 1;
const PKT_FLUSHWRITE: u8 = 2;
const PKT_STOP: u8 = 4;
const PKT_START: u8 = 8;
const PKT_NOSTOP: u8 = 16;
const PKT_DOSTOP: u8 = 32;
const PKT_IOCTL: u8 = 64;

/// What is at the other end of a terminal.
pub trait FarEnd: Send + Sync {
    /// There is output, or room for input again.
    fn moved(&self);
}

/// A terminal.
pub struct Tty {
    me: Weak<Tty>,
    kernel: Weak<Kernel>,
    /// Device number.
    pub dev: u64,
    /// Name as in `/proc/PID/fd`.
    pub name: String,
    state: Mutex<State>,
    /// Who waits on the terminal itself.
    pollee: Pollee,
    far: Mutex<Option<Weak<dyn FarEnd>>>,
    /// Attributes of its node, which descriptions without a path show too.
    attr: Mutex<Option<Arc<Mutex<Attr>>>>,
}

struct State {
    termios: Termios,
    /// Bits of the modes that may not change (`TIOCSLCKTRMIOS`).
    termios_locked: Termios,
    input: Input,
    output: Output,
    winsize: WinSize,
    /// The far end is gone: reads end, writes fail.
    hung_up: bool,
    /// Open descriptions, and whether there ever was one.
    opens: usize,
    ever_opened: bool,
    /// `TIOCEXCL`.
    exclusive: bool,
    /// Packet mode of the master, and the status it has yet to read.
    packet: bool,
    status: u8,
    job: job::Job,
    /// When the last byte came, and the timer of a `VTIME` read.
    last_input: Duration,
    read_since: Option<Duration>,
    timer: Option<Timer>,
}

impl Tty {
    /// A terminal with default modes and no far end yet.
    pub fn new(kernel: &Arc<Kernel>, dev: u64, name: String) -> Arc<Tty> {
        Arc::new_cyclic(|me| Tty {
            me: me.clone(),
            kernel: Arc::downgrade(kernel),
            dev,
            name,
            state: Mutex::new(State {
                termios: Termios::default(),
                termios_locked: Termios::new_zeroed(),
                input: Input::default(),
                output: Output::default(),
                winsize: WinSize::default(),
                hung_up: false,
                opens: 0,
                ever_opened: false,
                exclusive: false,
                packet: false,
                status: 0,
                job: job::Job::default(),
                last_input: Duration::ZERO,
                read_since: None,
                timer: None,
            }),
            pollee: Pollee::new(),
            far: Mutex::new(None),
            attr: Mutex::new(None),
        })
    }

    /// Connects the far end.
    pub fn set_far(&self, far: Weak<dyn FarEnd>) {
        *self.far.lock() = Some(far);
    }

    /// Shares the attributes of its node.
    pub fn set_attr_cell(&self, attr: Arc<Mutex<Attr>>) {
        *self.attr.lock() = Some(attr);
    }

    /// Attributes of its node.
    fn node_attr(&self) -> Attr {
        let cell = self.attr.lock().clone();
        cell.map_or_else(
            || Attr {
                kind: FileType::CharDevice,
                perm: 0o620,
                rdev: self.dev,
                ..Attr::anonymous()
            },
            |cell| *cell.lock(),
        )
    }

    /// Sets the window size without telling anybody (at start).
    pub fn set_winsize(&self, size: WinSize) {
        self.state.lock().winsize = size;
    }

    /// The window changed: `SIGWINCH` for the foreground if it really did.
    pub fn resize(&self, size: WinSize) {
        let changed = {
            let mut s = self.state.lock();
            std::mem::replace(&mut s.winsize, size) != size
        };
        if changed {
            self.signal_foreground(Signal::SIGWINCH);
        }
    }

    /// Tells the far end that there is output or room.
    fn tell_far(&self) {
        let far = self.far.lock().clone();
        if let Some(far) = far.and_then(|f| f.upgrade()) {
            far.moved();
        }
    }

    /// Input from the far end; how many bytes were taken.
    pub fn receive(&self, bytes: &[u8]) -> usize {
        let now = self.now();
        let mut caused = Caused::default();
        let (taken, echoed) = {
            let mut s = self.state.lock();
            let s = &mut *s;
            let before = s.output.queue.len();
            s.output.mark = before;
            let mut taken = 0;
            for c in bytes {
                if s.input.room(&s.termios) == 0 {
                    break;
                }
                s.input.put(&s.termios, &mut s.output, *c, &mut caused);
                taken += 1;
            }
            s.last_input = now;
            if caused.flow && s.packet {
                s.status |= if s.output.stopped {
                    PKT_STOP
                } else {
                    PKT_START
                };
            }
            if caused.flushed && s.packet {
                s.status |= PKT_FLUSHREAD | PKT_FLUSHWRITE;
            }
            (taken, s.output.queue.len() != before || s.status != 0)
        };
        for signal in &caused.signals {
            self.signal_foreground(*signal);
        }
        self.pollee.notify(if caused.flow || caused.flushed {
            READABLE | WRITABLE
        } else {
            READABLE
        });
        if echoed || caused.flow {
            self.tell_far();
        }
        taken
    }

    /// Whether it takes input from the far end now.
    pub fn takes_input(&self) -> bool {
        let s = self.state.lock();
        s.input.room(&s.termios) > 0
    }

    /// Takes up to `max` bytes of output for the far end.
    pub fn take_output(&self, max: usize) -> Vec<u8> {
        let mut s = self.state.lock();
        if s.output.stopped {
            return Vec::new();
        }
        let n = s.output.queue.len().min(max);
        let bytes = s.output.queue.drain(..n).collect();
        drop(s);
        if n > 0 {
            self.pollee.notify(WRITABLE);
        }
        bytes
    }

    /// Puts output back that the far end could not take.
    fn untake_output(&self, bytes: &[u8]) {
        let mut s = self.state.lock();
        for b in bytes.iter().rev() {
            s.output.queue.push_front(*b);
        }
    }

    fn now(&self) -> Duration {
        let kernel = self.kernel.upgrade();
        kernel.map_or(Duration::ZERO, |k| k.clock.monotonic())
    }

    /// The far end is gone: `SIGHUP` and `SIGCONT` for the session, end of file for
    /// readers, `EIO` for everybody else.
    pub fn hang_up(&self) {
        {
            let mut s = self.state.lock();
            if std::mem::replace(&mut s.hung_up, true) {
                return;
            }
            s.input.flush();
        }
        self.hang_up_session();
        self.pollee.notify(PollEvents::all());
    }
}

impl State {
    /// Bytes a read may take now, by the current mode.
    fn available(&self) -> bool {
        if self.termios.canonical() {
            return !self.input.lines.is_empty();
        }
        !self.input.ready.is_empty()
    }

    /// What `poll` and `FIONREAD` count as input.
    fn poll_ready(&self) -> bool {
        let (min, time) = (self.termios.value(Cc::Min), self.termios.value(Cc::Time));
        if self.termios.canonical() || time != 0 || min == 0 {
            return self.available();
        }
        self.input.ready.len() >= usize::from(min)
    }
}
