//! A socket as an open file.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use abi::Errno;
use abi::fs::PollEvents;

use super::{AF_NETLINK, Control, MsgFlags, SendArgs, SockType, Socket};
use crate::fs::vfs::{Attr, Changed, FileType, SetAttr};
use crate::fs::{File, FileOps, IoCx, OpenFlags};
use crate::io::{IoDst, IoSrc};
use crate::sync::Mutex;
use crate::task::Task;
use crate::task::limits::Resource;
use crate::wait::Pollee;
use crate::{Result, SysResult};

/// `FIONREAD`, the same number as `SIOCINQ`.
const FIONREAD: u32 = 0x541b;
/// `SIOCOUTQ`, the same number as `TIOCOUTQ`.
const SIOCOUTQ: u32 = 0x5411;
/// `SIOCOUTQNSD`.
const SIOCOUTQNSD: u32 = 0x894b;
/// `SIOCATMARK`.
const SIOCATMARK: u32 = 0x8905;

/// Operations of a description that is a socket.
pub struct SocketFile(pub Arc<dyn Socket>, Mutex<Changed>);

impl SocketFile {
    /// A description of `socket`; `flags`: `O_NONBLOCK` or nothing.
    pub fn open(socket: Arc<dyn Socket>, flags: OpenFlags) -> Arc<File> {
        let status = (flags & OpenFlags::NONBLOCK) | OpenFlags::RDWR;
        File::anonymous(Arc::new(SocketFile(socket, Mutex::default())), status)
    }

    /// The socket behind a descriptor, with its description; `EBADF`, `ENOTSOCK`.
    pub fn of(t: &Arc<Task>, fd: i32) -> Result<(Arc<File>, Arc<dyn Socket>)> {
        let file = t.files().get(fd)?;
        if file.flags().contains(OpenFlags::PATH) {
            return Err(Errno::EBADF);
        }
        let socket = file.downcast::<SocketFile>().ok_or(Errno::ENOTSOCK)?;
        let socket = socket.0.clone();
        Ok((file, socket))
    }

    /// Installs a description of `socket`; `EMFILE`.
    pub fn install(t: &Arc<Task>, socket: Arc<dyn Socket>, flags: OpenFlags) -> Result<i32> {
        let file = SocketFile::open(socket, flags);
        let cloexec = flags.contains(OpenFlags::CLOEXEC);
        t.files()
            .install(file, 0, cloexec, t.limit(Resource::Nofile))
    }
}

impl FileOps for SocketFile {
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
        Ok(self.0.recv(dst, MsgFlags::empty())?.bytes)
    }

    fn write(&self, cx: &IoCx<'_>, src: &mut dyn IoSrc, _pos: u64) -> Result<usize> {
        let args = SendArgs {
            task: cx.task.ok_or(Errno::EINVAL)?,
            to: None,
            control: &mut Control::default(),
            flags: MsgFlags::empty(),
        };
        self.0.send(src, args)
    }

    fn poll(&self, _cx: &IoCx<'_>) -> PollEvents {
        self.0.poll()
    }

    fn pollee(&self) -> Option<&Pollee> {
        Some(&self.0.common().pollee)
    }

    fn signals_urgent(&self) -> bool {
        true
    }

    fn io_timeout(&self, write: bool) -> Option<Duration> {
        let o = self.0.common().options.lock();
        if write { o.sndtimeo } else { o.rcvtimeo }
    }

    fn ioctl(&self, cx: &IoCx<'_>, request: u32, arg: u64) -> SysResult<i64> {
        let common = self.0.common();
        let n = match request {
            FIONREAD | SIOCOUTQ if common.domain == AF_NETLINK => return Err(Errno::ENOTTY.into()),
            FIONREAD => self.0.queued()?.0,
            SIOCOUTQ => self.0.queued()?.1,
            // What the stack has not sent yet: a loopback sends at once.
            SIOCOUTQNSD if common.is_tcp() => 0,
            SIOCATMARK if common.is_unix() && common.kind != SockType::Stream => {
                return Err(Errno::EOPNOTSUPP.into());
            }
            SIOCATMARK if common.kind == SockType::Stream => usize::from(self.0.at_mark()),
            _ => return super::inet::device_ioctl(&self.0.common().net, cx, request, arg),
        };
        let n = i32::try_from(n).unwrap_or(i32::MAX);
        let t = cx.task.ok_or(Errno::ENOTTY)?;
        t.mm()
            .copy_out(arg, &n.to_ne_bytes())
            .map_err(Errno::from)?;
        Ok(0)
    }

    fn attr(&self) -> Result<Attr> {
        let attr = Attr {
            dev: 8,
            ino: self.0.common().ino,
            kind: FileType::Socket,
            perm: 0o777,
            ..Attr::anonymous()
        };
        Ok(self.1.lock().on(attr))
    }

    fn set_attr(&self, set: &SetAttr) -> Result<()> {
        self.1.lock().note(set)
    }

    fn description(&self) -> String {
        format!("socket:[{}]", self.0.common().ino)
    }
}
