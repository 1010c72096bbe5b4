//! `/dev/null`, `/dev/zero`, `/dev/full`, `/dev/random`, `/dev/urandom`.

use std::any::Any;
use std::sync::Arc;

use abi::Errno;

use crate::fs::file::{FileOps, IoCx, Whence};
use crate::io::{IoDst, IoSrc};
use crate::mm::{Mappable, Zeroes};
use crate::{Result, SysResult};

/// Bytes made at a time.
const CHUNK: usize = 4096;

/// A memory device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mem {
    /// Empty, swallows.
    Null,
    /// Endless zeros, swallows.
    Zero,
    /// Endless zeros, always full.
    Full,
    /// Endless random bytes, swallows (Linux mixes what is written into its pool).
    Random,
}

impl FileOps for Mem {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read(&self, _cx: &IoCx<'_>, dst: &mut dyn IoDst, _pos: u64) -> Result<usize> {
        if *self == Mem::Null {
            return Ok(0);
        }
        let mut done = 0;
        let mut chunk = [0u8; CHUNK];
        while dst.remaining() > 0 {
            let want = dst.remaining().min(CHUNK);
            let part = chunk.get_mut(..want).ok_or(Errno::EIO)?;
            if *self == Mem::Random {
                platform::host::random(part)?;
            }
            match dst.put(part) {
                Ok(n) => {
                    done += n;
                    if n < want {
                        break;
                    }
                }
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    fn write(&self, _cx: &IoCx<'_>, src: &mut dyn IoSrc, _pos: u64) -> Result<usize> {
        if *self == Mem::Full {
            Err(Errno::ENOSPC)
        } else {
            Ok(src.remaining())
        }
    }

    fn mappable(&self) -> Result<Arc<dyn Mappable>> {
        match self {
            Mem::Zero => Ok(Arc::new(Zeroes)),
            _ => Err(Errno::ENODEV),
        }
    }

    fn seekable(&self) -> bool {
        true
    }

    fn seek(&self, _cx: &IoCx<'_>, _cur: u64, _offset: i64, _whence: Whence) -> Result<u64> {
        Ok(0)
    }

    fn ioctl(&self, _cx: &IoCx<'_>, request: u32, _arg: u64) -> SysResult<i64> {
        /// `RNDGETENTCNT` and its kin are the only ioctls of memory devices.
        const RND_MAGIC: u32 = b'R' as u32;
        let known = *self == Mem::Random && (request >> 8) & 0xff == RND_MAGIC;
        Err(if known { Errno::EPERM } else { Errno::ENOTTY }.into())
    }

    fn description(&self) -> String {
        let name = match self {
            Mem::Null => "null",
            Mem::Zero => "zero",
            Mem::Full => "full",
            Mem::Random => "random",
        };
        format!("/dev/{name}")
    }
}
