//! `ioctl(2)`: what every file knows; the rest is the object's.

use std::sync::Arc;

use abi::Errno;
use sentry::fs::vfs::FileType;
use sentry::fs::{File, OpenFlags};
use sentry::landlock::FsRights;
use sentry::net::SocketFile;
use sentry::{Result, SysResult, Task};

use super::file;
use crate::arg::{Fd, In, Out, UserPtr};

const FIONCLEX: u32 = 0x5450;
const FIOCLEX: u32 = 0x5451;
const FIONBIO: u32 = 0x5421;
const FIOASYNC: u32 = 0x5452;
const FIONREAD: u32 = 0x541b;
const FIOQSIZE: u32 = 0x5460;
const FIBMAP: u32 = 1;
const FIGETBSZ: u32 = 2;
const FIOSETOWN: u32 = 0x8901;
const SIOCSPGRP: u32 = 0x8902;
const FIOGETOWN: u32 = 0x8903;
const SIOCGPGRP: u32 = 0x8904;

/// `ioctl(2)`.
pub fn ioctl(t: &Arc<Task>, fd: Fd, request: u32, arg: u64) -> SysResult<i64> {
    let file = file(t, fd)?;
    match request {
        FIOCLEX | FIONCLEX => {
            t.files().set_cloexec(fd.0, request == FIOCLEX)?;
            return Ok(0);
        }
        FIONBIO => {
            let on = UserPtr::<i32, In>::at(arg).read(t)? != 0;
            set(&file, on, OpenFlags::NONBLOCK)?;
            return Ok(0);
        }
        FIOASYNC => {
            let on = UserPtr::<i32, In>::at(arg).read(t)? != 0;
            let changes = on != file.flags().contains(OpenFlags::ASYNC);
            if changes && !file.set_async(fd.0, on) {
                return Err(Errno::ENOTTY.into());
            }
            set(&file, on, OpenFlags::ASYNC)?;
            return Ok(0);
        }
        FIOSETOWN | SIOCSPGRP if file.downcast::<SocketFile>().is_some() => {
            let who = UserPtr::<i32, In>::at(arg).read(t)?;
            let who = u64::from(who.cast_unsigned());
            return super::fcntl::signal_owner(t, &file, super::fcntl::F_SETOWN, who);
        }
        FIOGETOWN | SIOCGPGRP if file.downcast::<SocketFile>().is_some() => {
            let who = super::fcntl::signal_owner(t, &file, super::fcntl::F_GETOWN, 0)?;
            let who = i32::try_from(who).unwrap_or(0);
            UserPtr::<i32, Out>::at(arg).write(t, &who)?;
            return Ok(0);
        }
        _ => {}
    }
    if let Some(inode) = file.inode() {
        let attr = inode.attr()?;
        match (request, attr.kind) {
            (FIONREAD, FileType::Regular) => {
                let pos = *file.offset.lock();
                let left = attr.size.saturating_sub(pos) & 0xffff_ffff;
                UserPtr::<u32, Out>::at(arg).write(t, &(left as u32))?;
                return Ok(0);
            }
            (FIOQSIZE, FileType::Regular | FileType::Directory | FileType::Symlink) => {
                UserPtr::<u64, Out>::at(arg).write(t, &attr.size)?;
                return Ok(0);
            }
            (FIBMAP, FileType::Regular) => return Err(Errno::EPERM.into()),
            (FIGETBSZ, _) => {
                UserPtr::<u32, Out>::at(arg).write(t, &attr.blksize)?;
                return Ok(0);
            }
            (_, FileType::CharDevice | FileType::BlockDevice) => {
                file.check_right(FsRights::IOCTL_DEV)?;
            }
            _ => {}
        }
    }
    file.ops.ioctl(&file.cx(Some(t)), request, arg)
}

/// Sets or clears one status flag.
fn set(file: &Arc<File>, on: bool, flag: OpenFlags) -> Result<()> {
    let value = if on { flag } else { OpenFlags::empty() };
    file.ops.set_flags((file.flags() - flag) | value)?;
    file.set_status(flag, value);
    Ok(())
}
