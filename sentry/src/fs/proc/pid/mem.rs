//! `/proc/PID/mem` (`proc_pid_mem(5)`): another's memory as a file; positions are addresses.

use std::any::Any;
use std::sync::Arc;

use abi::Errno;

use crate::Result;
use crate::fs::file::{FileOps, IoCx, Whence};
use crate::io::{IoDst, IoSrc};
use crate::kernel::Kernel;
use crate::mm::Mm;
use crate::ptrace::access::peek;
use crate::task::Task;

/// Bytes moved at a time.
const CHUNK: usize = 4096;

/// Opens the memory of `task`.
pub(super) fn open(task: &Arc<Task>) -> Arc<dyn FileOps> {
    Arc::new(OpenMem(task.mm(), task.kernel.clone()))
}

/// An open one.
struct OpenMem(Arc<Mm>, Arc<Kernel>);

impl FileOps for OpenMem {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read(&self, _cx: &IoCx<'_>, dst: &mut dyn IoDst, pos: u64) -> Result<usize> {
        let mut done = 0;
        while dst.remaining() > 0 {
            let mut chunk = [0; CHUNK];
            let part = chunk
                .get_mut(..dst.remaining().min(CHUNK))
                .ok_or(Errno::EIO)?;
            let at = pos.wrapping_add(done as u64);
            let got = match peek(&self.1, &self.0, at, part) {
                Ok(()) => part.len(),
                Err(fault) => fault.done,
            };
            if got == 0 {
                break;
            }
            done += dst.put(part.get(..got).unwrap_or_default())?;
        }
        if done == 0 && dst.remaining() > 0 {
            Err(Errno::EIO)
        } else {
            Ok(done)
        }
    }

    fn write(&self, _cx: &IoCx<'_>, src: &mut dyn IoSrc, pos: u64) -> Result<usize> {
        let mut done = 0;
        let wanted = src.remaining() > 0;
        while src.remaining() > 0 {
            let mut chunk = [0; CHUNK];
            let want = src.remaining().min(CHUNK);
            let got = src.take(chunk.get_mut(..want).ok_or(Errno::EIO)?)?;
            let part = chunk.get(..got).unwrap_or_default();
            let put = match self.0.poke(pos.wrapping_add(done as u64), part) {
                Ok(()) => got,
                Err(fault) => fault.done,
            };
            done += put;
            if put < want {
                break;
            }
        }
        if done == 0 && wanted {
            Err(Errno::EIO)
        } else {
            Ok(done)
        }
    }

    fn seekable(&self) -> bool {
        true
    }

    fn seek(&self, _cx: &IoCx<'_>, cur: u64, offset: i64, whence: Whence) -> Result<u64> {
        match whence {
            Whence::Set => Ok(offset.cast_unsigned()),
            Whence::Cur => Ok(cur.wrapping_add_signed(offset)),
            _ => Err(Errno::EINVAL),
        }
    }
}
