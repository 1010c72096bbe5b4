//! Requests of terminals (`ioctl_tty(2)`).

use std::sync::Arc;

use abi::Errno;
use zerocopy::IntoBytes;

use super::modes::Form;
use super::termios::WinSize;
use super::{PKT_FLUSHREAD, PKT_FLUSHWRITE, PKT_START, PKT_STOP, READABLE, Tty, WRITABLE};
use crate::creds::Cap;
use crate::fs::{File, IoCx};
use crate::retry::{Attempt, Registrations, retry, watch_one};
use crate::task::Task;
use crate::wait::{OnSignal, SysResult, Waker};

const TCGETS: u32 = 0x5401;
const TCSETS: u32 = 0x5402;
const TCSETSF: u32 = 0x5404;
const TCGETA: u32 = 0x5405;
const TCSETA: u32 = 0x5406;
const TCSETAF: u32 = 0x5408;
const TCSBRK: u32 = 0x5409;
const TCXONC: u32 = 0x540a;
const TCFLSH: u32 = 0x540b;
const TIOCEXCL: u32 = 0x540c;
const TIOCNXCL: u32 = 0x540d;
const TIOCSCTTY: u32 = 0x540e;
const TIOCGPGRP: u32 = 0x540f;
const TIOCSPGRP: u32 = 0x5410;
const TIOCOUTQ: u32 = 0x5411;
const TIOCSTI: u32 = 0x5412;
const TIOCGWINSZ: u32 = 0x5413;
const TIOCSWINSZ: u32 = 0x5414;
const FIONREAD: u32 = 0x541b;
const TIOCGSOFTCAR: u32 = 0x5419;
const TIOCSSOFTCAR: u32 = 0x541a;
const TIOCNOTTY: u32 = 0x5422;
const TIOCSETD: u32 = 0x5423;
const TIOCGETD: u32 = 0x5424;
const TCSBRKP: u32 = 0x5425;
const TIOCSBRK: u32 = 0x5427;
const TIOCCBRK: u32 = 0x5428;
const TIOCGSID: u32 = 0x5429;
const TCGETS2: u32 = 0x802c_542a;
const TCSETS2: u32 = 0x402c_542b;
const TCSETSF2: u32 = 0x402c_542d;
const TIOCGDEV: u32 = 0x8004_5432;
const TIOCVHANGUP: u32 = 0x5437;
const TIOCGEXCL: u32 = 0x8004_5440;
const TIOCGPTPEER: u32 = 0x5441;
const TIOCGLCKTRMIOS: u32 = 0x5456;
const TIOCSLCKTRMIOS: u32 = 0x5457;

/// Requests that change the terminal, which stop a background process.
const CHANGES: &[u32] = &[
    TCSETS,
    0x5403,
    TCSETSF,
    TCSETA,
    0x5407,
    TCSETAF,
    TIOCSSOFTCAR,
    TIOCSLCKTRMIOS,
    TIOCSBRK,
    TIOCCBRK,
    TCSBRK,
    TCXONC,
    TCFLSH,
    TIOCSPGRP,
    TIOCSTI,
    TIOCSETD,
    TCSBRKP,
    TCSETS2,
    0x402c_542c,
    TCSETSF2,
];

/// A change by a background process, which waits for the foreground.
struct Change {
    tty: Arc<Tty>,
    _file: Arc<File>,
    request: u32,
    arg: u64,
}

impl Attempt for Change {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        self.tty.check_change(t)?;
        self.tty.request(t, self.request, self.arg, false)
    }
    fn watch(&self, waker: Waker) -> Registrations {
        watch_one(&self.tty.pollee, READABLE | WRITABLE, waker)
    }
    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        OnSignal::Restart
    }
    fn name(&self) -> &'static str {
        "tty_ioctl"
    }
}

/// Serves a request made on the terminal, or through its master.
pub(super) fn terminal(
    tty: &Arc<Tty>,
    cx: &IoCx<'_>,
    request: u32,
    arg: u64,
    master: bool,
) -> SysResult<i64> {
    let t = cx.task.ok_or(Errno::ENOTTY)?;
    if tty.state.lock().hung_up && !master {
        return Err(if request == TIOCSPGRP {
            Errno::ENOTTY.into()
        } else {
            Errno::EIO.into()
        });
    }
    if CHANGES.contains(&request) && !master {
        let change = Change {
            tty: tty.clone(),
            _file: cx.file.clone(),
            request,
            arg,
        };
        return retry(t, change, None);
    }
    tty.request(t, request, arg, master)
}

fn put_int(t: &Arc<Task>, arg: u64, n: i32) -> SysResult<i64> {
    t.mm()
        .copy_out(arg, &n.to_ne_bytes())
        .map_err(Errno::from)?;
    Ok(0)
}

fn get_int(t: &Arc<Task>, arg: u64) -> SysResult<i32> {
    let mut raw = [0; 4];
    t.mm().copy_in(arg, &mut raw).map_err(Errno::from)?;
    Ok(i32::from_ne_bytes(raw))
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

impl Tty {
    fn request(&self, t: &Arc<Task>, request: u32, arg: u64, master: bool) -> SysResult<i64> {
        match request {
            // Output is with the far end at once, and a break is nothing to a pty.
            TCSBRK | TCSBRKP | TIOCSBRK | TIOCCBRK => Ok(0),
            TIOCVHANGUP if !t.creds().capable(Cap::SysAdmin) => Err(Errno::EPERM.into()),
            TIOCVHANGUP if !master => {
                self.hang_up();
                Ok(0)
            }
            TIOCGPTPEER => Err(Errno::EIO.into()),
            TCXONC => self.flow_control(arg),
            TCFLSH => self.flush(arg),
            TIOCEXCL | TIOCNXCL => {
                self.state.lock().exclusive = request == TIOCEXCL;
                Ok(0)
            }
            TIOCGEXCL => put_int(t, arg, i32::from(self.state.lock().exclusive)),
            TIOCSCTTY => Ok(self.acquire(t, arg == 1).map(|()| 0)?),
            TIOCNOTTY => Ok(self.give_up(t).map(|()| 0)?),
            TIOCGPGRP => put_int(t, arg, self.foreground_of(t, master)?),
            TIOCSPGRP => {
                self.set_foreground(t, get_int(t, arg)?)?;
                self.pollee.notify(READABLE | WRITABLE);
                Ok(0)
            }
            TIOCGSID => put_int(t, arg, self.session_of(t, master)?),
            TIOCOUTQ => put_int(t, arg, 0),
            FIONREAD => {
                let n = {
                    let s = self.state.lock();
                    if s.termios.canonical() && s.input.lines.is_empty() {
                        0
                    } else {
                        s.input.ready.len()
                    }
                };
                put_int(t, arg, count(n))
            }
            TIOCSTI => self.simulate_input(t, arg),
            TIOCGWINSZ => {
                let size = self.state.lock().winsize;
                t.mm().copy_out(arg, size.as_bytes()).map_err(Errno::from)?;
                Ok(0)
            }
            TIOCSWINSZ => {
                let mut size = WinSize::default();
                t.mm()
                    .copy_in(arg, size.as_mut_bytes())
                    .map_err(Errno::from)?;
                self.resize(size);
                Ok(0)
            }
            TIOCGETD => put_int(t, arg, 0),
            TIOCSETD if get_int(t, arg)? == 0 => Ok(0),
            TIOCSETD => Err(Errno::EINVAL.into()),
            TIOCGDEV => put_int(t, arg, i32::try_from(self.dev).unwrap_or(0)),
            _ => self.mode_request(t, request, arg),
        }
    }

    /// Requests about modes; `ENOTTY` for any other.
    fn mode_request(&self, t: &Arc<Task>, request: u32, arg: u64) -> SysResult<i64> {
        match request {
            TCGETS => self.put_termios(t, arg, Form::Termios),
            TCGETS2 => self.put_termios(t, arg, Form::Termios2),
            TCGETA => self.put_termios(t, arg, Form::Termio),
            TCSETS..=TCSETSF => self.set_termios(t, arg, Form::Termios, request == TCSETSF),
            TCSETS2..=TCSETSF2 => self.set_termios(t, arg, Form::Termios2, request == TCSETSF2),
            TCSETA..=TCSETAF => self.set_termios(t, arg, Form::Termio, request == TCSETAF),
            TIOCGLCKTRMIOS => self.put_locked(t, arg),
            TIOCSLCKTRMIOS => self.set_locked(t, arg),
            TIOCGSOFTCAR => put_int(t, arg, i32::from(self.soft_carrier())),
            TIOCSSOFTCAR => self.set_soft_carrier(t, arg),
            _ => Err(Errno::ENOTTY.into()),
        }
    }

    /// `TCXONC`: stops and starts output; `TCIOFF` and `TCION` send the characters.
    fn flow_control(&self, arg: u64) -> SysResult<i64> {
        use super::termios::Cc;
        {
            let mut s = self.state.lock();
            match arg {
                0 | 1 => {
                    s.output.stopped = arg == 0;
                    if s.packet {
                        s.status |= if arg == 0 { PKT_STOP } else { PKT_START };
                    }
                }
                2 | 3 => {
                    let which = if arg == 2 { Cc::Stop } else { Cc::Start };
                    let c = s.termios.value(which);
                    if c != 0 {
                        s.output.put_raw(&[c]);
                    }
                }
                _ => return Err(Errno::EINVAL.into()),
            }
        }
        self.pollee.notify(WRITABLE);
        self.tell_far();
        Ok(0)
    }

    /// `TCFLSH`.
    fn flush(&self, arg: u64) -> SysResult<i64> {
        if arg > 2 {
            return Err(Errno::EINVAL.into());
        }
        {
            let mut s = self.state.lock();
            let mut status = 0;
            if arg != 1 {
                s.input.flush();
                status |= PKT_FLUSHREAD;
            }
            if arg != 0 {
                s.output.queue.clear();
                status |= PKT_FLUSHWRITE;
            }
            if s.packet {
                s.status |= status;
            }
        }
        self.pollee.notify(WRITABLE);
        self.tell_far();
        Ok(0)
    }

    /// `TIOCSTI`: one byte as if typed; `EPERM` unless it is the caller's own terminal.
    fn simulate_input(&self, t: &Arc<Task>, arg: u64) -> SysResult<i64> {
        let own = Tty::controlling(t).is_some_and(|c| std::ptr::eq(&*c, self));
        if !own && !t.creds().capable(Cap::SysAdmin) {
            return Err(Errno::EPERM.into());
        }
        let mut c = [0];
        t.mm().copy_in(arg, &mut c).map_err(Errno::from)?;
        self.receive(&c);
        Ok(0)
    }
}
