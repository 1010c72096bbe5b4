//! Reading and setting terminal modes: the three forms of `termios`, locked bits, and what a
//! pseudoterminal makes of them (`tty_mode_ioctl` and `pty_set_termios` of Linux, TCSETS(2const)).

use std::sync::Arc;

use abi::Errno;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::termios::{CLOCAL, Cc, EXTPROC, IXON, TERMIOS_LEN, Termios};
use super::{PKT_DOSTOP, PKT_IOCTL, PKT_NOSTOP, READABLE, State, Tty, WRITABLE};
use crate::creds::Cap;
use crate::task::Task;
use crate::wait::SysResult;

/// How a caller gives modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `struct termio`, of System V: 16 bits of each word, eight characters.
    Termio,
    /// `struct termios` of the kernel.
    Termios,
    /// `struct termios2`, with speeds.
    Termios2,
}

/// `struct termio`: four words of 16 bits, the line discipline, eight characters, a pad.
const TERMIO_LEN: usize = 18;
/// Control characters of a `struct termio`.
const NCC: usize = 8;

impl Form {
    fn len(self) -> usize {
        match self {
            Form::Termio => TERMIO_LEN,
            Form::Termios => TERMIOS_LEN,
            Form::Termios2 => size_of::<Termios>(),
        }
    }

    /// `modes` in this form.
    fn write(self, modes: &Termios) -> Vec<u8> {
        if self != Form::Termio {
            return modes
                .as_bytes()
                .get(..self.len())
                .unwrap_or_default()
                .to_vec();
        }
        let words = [modes.iflag, modes.oflag, modes.cflag, modes.lflag];
        let low = |w: u32| u16::try_from(w & 0xffff).unwrap_or(0).to_ne_bytes();
        let mut out: Vec<u8> = words.into_iter().flat_map(low).collect();
        out.push(modes.line);
        out.extend(modes.cc.iter().take(NCC));
        out.resize(TERMIO_LEN, 0);
        out
    }

    /// `old` with what `raw`, in this form, says.
    fn read(self, old: &Termios, raw: &[u8]) -> Termios {
        if self != Form::Termio {
            let mut all = old.as_bytes().to_vec();
            for (to, from) in all.iter_mut().zip(raw) {
                *to = *from;
            }
            return Termios::read_from_bytes(&all).unwrap_or_else(|_| Termios::new_zeroed());
        }
        let mut new = *old;
        let words = [
            &mut new.iflag,
            &mut new.oflag,
            &mut new.cflag,
            &mut new.lflag,
        ];
        for (word, low) in words.into_iter().zip(raw.as_chunks::<2>().0) {
            *word = *word & !0xffff | u32::from(u16::from_ne_bytes(*low));
        }
        new.line = raw.get(8).copied().unwrap_or(0);
        for (to, from) in new.cc.iter_mut().zip(raw.iter().skip(9).take(NCC)) {
            *to = *from;
        }
        new
    }
}

impl Tty {
    pub(super) fn put_termios(&self, t: &Arc<Task>, arg: u64, form: Form) -> SysResult<i64> {
        let raw = form.write(&self.state.lock().termios);
        t.mm().copy_out(arg, &raw).map_err(Errno::from)?;
        Ok(0)
    }

    pub(super) fn set_termios(
        &self,
        t: &Arc<Task>,
        arg: u64,
        form: Form,
        flush: bool,
    ) -> SysResult<i64> {
        let mut raw = vec![0; form.len()];
        t.mm().copy_in(arg, &mut raw).map_err(Errno::from)?;
        self.change_termios(flush, |old| form.read(old, &raw).with_speeds());
        Ok(0)
    }

    /// Replaces the modes by what `change` makes of them, as far as they are not locked.
    fn change_termios(&self, flush: bool, change: impl FnOnce(&Termios) -> Termios) {
        {
            let mut s = self.state.lock();
            let old = s.termios;
            let new = change(&old).except(&old, &s.termios_locked).of_pty();
            if flush {
                s.input.flush();
            }
            if old.canonical() != new.canonical() {
                s.input.mode_changed(new.canonical());
            }
            s.termios = new;
            s.tell_flow(&old);
            // Without IXON nothing could start it again.
            if !new.input(IXON) {
                s.output.stopped = false;
            }
        }
        self.pollee.notify(READABLE | WRITABLE);
        self.tell_far();
    }

    /// `TIOCGLCKTRMIOS`.
    pub(super) fn put_locked(&self, t: &Arc<Task>, arg: u64) -> SysResult<i64> {
        let raw = Form::Termios.write(&self.state.lock().termios_locked);
        t.mm().copy_out(arg, &raw).map_err(Errno::from)?;
        Ok(0)
    }

    /// `TIOCSLCKTRMIOS`: bits set here are not changed by later requests.
    pub(super) fn set_locked(&self, t: &Arc<Task>, arg: u64) -> SysResult<i64> {
        if !t.creds().capable(Cap::SysAdmin) {
            return Err(Errno::EPERM.into());
        }
        let mut raw = [0; TERMIOS_LEN];
        t.mm().copy_in(arg, &mut raw).map_err(Errno::from)?;
        let mut s = self.state.lock();
        s.termios_locked = Form::Termios.read(&s.termios_locked, &raw);
        Ok(0)
    }

    /// `TIOCGSOFTCAR`: whether `CLOCAL` is set.
    pub(super) fn soft_carrier(&self) -> bool {
        self.state.lock().termios.cflag & CLOCAL != 0
    }

    /// `TIOCSSOFTCAR`.
    pub(super) fn set_soft_carrier(&self, t: &Arc<Task>, arg: u64) -> SysResult<i64> {
        let mut raw = [0; 4];
        t.mm().copy_in(arg, &mut raw).map_err(Errno::from)?;
        let on = raw != [0; 4];
        self.change_termios(false, |old| Termios {
            cflag: old.cflag & !CLOCAL | if on { CLOCAL } else { 0 },
            ..*old
        });
        Ok(0)
    }
}

impl State {
    /// Tells a master in packet mode that stopping by `^S` became possible or impossible, or of
    /// any change under `EXTPROC`.
    fn tell_flow(&mut self, old: &Termios) {
        if !self.packet {
            return;
        }
        let flow =
            |m: &Termios| m.input(IXON) && m.value(Cc::Stop) == 0o23 && m.value(Cc::Start) == 0o21;
        let (was, is) = (flow(old), flow(&self.termios));
        if was != is {
            self.status &= !(PKT_DOSTOP | PKT_NOSTOP);
            self.status |= if is { PKT_DOSTOP } else { PKT_NOSTOP };
        }
        if (old.lflag | self.termios.lflag) & EXTPROC != 0 {
            self.status |= PKT_IOCTL;
        }
    }
}

/// Speeds of the `B...` numbers, in bits a second.
const BAUD: [u32; 31] = [
    0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400, 57600,
    115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000,
    2_000_000, 2_500_000, 3_000_000, 3_500_000, 4_000_000,
];
const CBAUD: u32 = 0o10017;
const CBAUDEX: u32 = 0o10000;
/// The speed is given as a number.
const BOTHER: u32 = CBAUDEX;
/// Where the input speed's number begins.
const IBSHIFT: u32 = 16;
const CSIZE: u32 = 0o60;
const CS8: u32 = 0o60;
const CREAD: u32 = 0o200;
const PARENB: u32 = 0o400;

impl Termios {
    /// With the speeds that the `B...` numbers of the control modes mean.
    fn with_speeds(self) -> Termios {
        let speed = |number: u32, given: u32| match number {
            BOTHER => given,
            n if n & CBAUDEX != 0 => baud((n & !CBAUDEX) + 15),
            n => baud(n),
        };
        let ospeed = speed(self.cflag & CBAUD, self.ospeed);
        let ispeed = match self.cflag >> IBSHIFT & CBAUD {
            0 => ospeed,
            number => speed(number, self.ispeed),
        };
        Termios {
            ispeed,
            ospeed,
            ..self
        }
    }

    /// With the bits that are set in `locked` as in `old`.
    fn except(self, old: &Termios, locked: &Termios) -> Termios {
        let keep = |new: u32, old: u32, locked: u32| new & !locked | old & locked;
        let mut out = Termios {
            iflag: keep(self.iflag, old.iflag, locked.iflag),
            oflag: keep(self.oflag, old.oflag, locked.oflag),
            cflag: keep(self.cflag, old.cflag, locked.cflag),
            lflag: keep(self.lflag, old.lflag, locked.lflag),
            line: if locked.line == 0 {
                self.line
            } else {
                old.line
            },
            ..self
        };
        for ((to, old), locked) in out.cc.iter_mut().zip(old.cc).zip(locked.cc) {
            if locked != 0 {
                *to = old;
            }
        }
        out
    }

    /// What a pseudoterminal makes of it: eight bits, no parity, a receiver.
    fn of_pty(self) -> Termios {
        Termios {
            cflag: self.cflag & !(CSIZE | PARENB) | CS8 | CREAD,
            ..self
        }
    }
}

fn baud(number: u32) -> u32 {
    let at = usize::try_from(number).unwrap_or(usize::MAX);
    BAUD.get(at).copied().unwrap_or(0)
}
