//! The master side of a pseudoterminal (`pty(7)`).

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use abi::Errno;
use abi::fs::PollEvents;
use abi::signal::Signal;

use super::{FarEnd, OpenTty, READABLE, Tty, WRITABLE};
use crate::Result;
use crate::SysResult;
use crate::fs::devpts::DevPts;
use crate::fs::{File, FileOps, IoCx, OpenFlags};
use crate::io::{IoDst, IoSrc};
use crate::task::limits::Resource;
use crate::wait::Pollee;

const TIOCPKT: u32 = 0x5420;
const TIOCGPKT: u32 = 0x8004_5438;
const TIOCGPTN: u32 = 0x8004_5430;
const TIOCSPTLCK: u32 = 0x4004_5431;
const TIOCGPTLCK: u32 = 0x8004_5439;
const TIOCGPTPEER: u32 = 0x5441;
const TIOCSIG: u32 = 0x4004_5436;
const TIOCOUTQ: u32 = 0x5411;
const FIONREAD: u32 = 0x541b;

/// A pseudoterminal pair: what the master and `devpts` share.
pub struct Pty {
    /// Number in `/dev/pts`.
    pub index: u32,
    /// The terminal side.
    pub tty: Arc<Tty>,
    /// A locked terminal side cannot be opened (`TIOCSPTLCK`).
    pub locked: AtomicBool,
    /// The master's queue.
    pollee: Pollee,
}

impl Pty {
    /// A locked pair.
    pub fn new(index: u32, tty: Arc<Tty>) -> Arc<Pty> {
        let pty = Arc::new(Pty {
            index,
            tty: tty.clone(),
            locked: AtomicBool::new(true),
            pollee: Pollee::new(),
        });
        let far: Weak<dyn FarEnd> = Arc::downgrade(&(pty.clone() as Arc<dyn FarEnd>));
        tty.set_far(far);
        pty
    }

    /// A terminal whose far end is something else (a host terminal); not locked.
    pub fn without_master(index: u32, tty: Arc<Tty>) -> Arc<Pty> {
        Arc::new(Pty {
            index,
            tty,
            locked: AtomicBool::new(false),
            pollee: Pollee::new(),
        })
    }

    /// Opens the terminal side; `EIO` while it is locked.
    pub fn open_slave(
        &self,
        flags: OpenFlags,
        t: Option<&Arc<crate::Task>>,
    ) -> Result<Arc<dyn FileOps>> {
        if self.locked.load(Ordering::SeqCst) {
            return Err(Errno::EIO);
        }
        OpenTty::open(&self.tty, flags, t)
    }
}

impl FarEnd for Pty {
    fn moved(&self) {
        self.pollee.notify(READABLE | WRITABLE | PollEvents::HUP);
    }
}

/// Operations of a description of a master.
pub struct Master {
    pty: Arc<Pty>,
    fs: Weak<DevPts>,
}

impl Master {
    /// The master of a new pair of `fs`.
    pub fn new(pty: Arc<Pty>, fs: &Arc<DevPts>) -> Master {
        Master {
            pty,
            fs: Arc::downgrade(fs),
        }
    }

    /// Every description of the terminal side was closed.
    fn other_closed(&self) -> bool {
        let s = self.pty.tty.state.lock();
        s.opens == 0 && s.ever_opened
    }

    /// A packet mode status byte, if one is due.
    fn status(&self) -> Option<u8> {
        let mut s = self.pty.tty.state.lock();
        let status = std::mem::take(&mut s.status);
        (s.packet && status != 0).then_some(status)
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        if let Some(fs) = self.fs.upgrade() {
            fs.forget(self.pty.index);
        }
        self.pty.tty.hang_up();
    }
}

impl FileOps for Master {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn signals_io(&self) -> bool {
        true
    }

    fn read(&self, _cx: &IoCx<'_>, dst: &mut dyn IoDst, _pos: u64) -> Result<usize> {
        if dst.remaining() == 0 {
            return Ok(0);
        }
        if let Some(status) = self.status() {
            return dst.put(&[status]);
        }
        let packet = self.pty.tty.state.lock().packet;
        let room = dst.remaining() - usize::from(packet);
        let bytes = self.pty.tty.take_output(room);
        if bytes.is_empty() && room > 0 {
            return Err(if self.other_closed() {
                Errno::EIO
            } else {
                Errno::EAGAIN
            });
        }
        let mut head = 0;
        if packet {
            head = dst.put(&[0])?;
        }
        let n = match dst.put(&bytes) {
            Ok(n) => n,
            Err(e) => {
                self.pty.tty.untake_output(&bytes);
                return Err(e);
            }
        };
        self.pty
            .tty
            .untake_output(bytes.get(n..).unwrap_or_default());
        Ok(head + n)
    }

    fn write(&self, _cx: &IoCx<'_>, src: &mut dyn IoSrc, _pos: u64) -> Result<usize> {
        let mut done = 0;
        while src.remaining() > 0 {
            let tty = &self.pty.tty;
            let room = {
                let s = tty.state.lock();
                s.input.room(&s.termios).min(1024)
            };
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
            let taken = tty.receive(chunk.get(..got).unwrap_or_default());
            done += got;
            if taken < got {
                break;
            }
        }
        if done == 0 && src.remaining() > 0 {
            return Err(Errno::EAGAIN);
        }
        Ok(done)
    }

    fn poll(&self, _cx: &IoCx<'_>) -> PollEvents {
        let s = self.pty.tty.state.lock();
        let mut ready = PollEvents::empty();
        if s.packet && s.status != 0 {
            ready |= READABLE | PollEvents::PRI;
        }
        if !s.output.queue.is_empty() && !s.output.stopped {
            ready |= READABLE;
        }
        if s.input.room(&s.termios) > 0 {
            ready |= WRITABLE;
        }
        if s.opens == 0 && s.ever_opened {
            ready |= PollEvents::HUP;
        }
        ready
    }

    fn pollee(&self) -> Option<&Pollee> {
        Some(&self.pty.pollee)
    }

    fn ioctl(&self, cx: &IoCx<'_>, request: u32, arg: u64) -> SysResult<i64> {
        let t = cx.task.ok_or(Errno::ENOTTY)?;
        let put = |n: i32| -> SysResult<i64> {
            t.mm()
                .copy_out(arg, &n.to_ne_bytes())
                .map_err(Errno::from)?;
            Ok(0)
        };
        let get = || -> SysResult<i32> {
            let mut raw = [0; 4];
            t.mm().copy_in(arg, &mut raw).map_err(Errno::from)?;
            Ok(i32::from_ne_bytes(raw))
        };
        let tty = &self.pty.tty;
        match request {
            TIOCGPTN => put(i32::try_from(self.pty.index).unwrap_or(0)),
            TIOCSPTLCK => {
                self.pty.locked.store(get()? != 0, Ordering::SeqCst);
                Ok(0)
            }
            TIOCGPTLCK => put(i32::from(self.pty.locked.load(Ordering::SeqCst))),
            TIOCPKT => {
                let on = get()? != 0;
                let mut s = tty.state.lock();
                s.packet = on;
                s.status = 0;
                Ok(0)
            }
            TIOCGPKT => put(i32::from(tty.state.lock().packet)),
            TIOCGPTPEER => {
                let flags = OpenFlags::from_bits_retain(u32::try_from(arg).unwrap_or(0));
                let ops = OpenTty::open(tty, flags, Some(t))?;
                let file = File::anonymous(ops, flags);
                let cloexec = flags.contains(OpenFlags::CLOEXEC);
                let limit = t.limit(Resource::Nofile);
                Ok(i64::from(t.files().install(file, 0, cloexec, limit)?))
            }
            TIOCSIG => {
                let signal = Signal::new(arg).ok_or(Errno::EINVAL)?;
                if ![Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP].contains(&signal) {
                    return Err(Errno::EINVAL.into());
                }
                tty.signal_foreground(signal);
                Ok(0)
            }
            FIONREAD => put(i32::try_from(tty.state.lock().output.queue.len()).unwrap_or(0)),
            TIOCOUTQ => put(0),
            _ => super::ioctl::terminal(tty, cx, request, arg, true),
        }
    }

    fn description(&self) -> String {
        "/dev/ptmx".to_owned()
    }
}
