//! Where the bytes of a read go and those of a write come from.
//!
//! File objects see only [`IoDst`] and [`IoSrc`]: guest memory ([`UserIo`]), or a kernel
//! buffer ([`KernelDst`], [`KernelSrc`]). Data that already stands in guest memory frames or
//! in a host file moves in one copy, without a bounce buffer.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use abi::Errno;
use guestmem::Slice;
use smallvec::SmallVec;

use crate::Result;
use crate::mm::Mm;

/// Destination of a read. All methods return how many bytes were taken, which is less than
/// given when it is full or when guest memory faults after some bytes; `EFAULT` only when it
/// faults before the first.
pub trait IoDst {
    /// Bytes it can still take.
    fn remaining(&self) -> usize;
    /// Takes bytes.
    fn put(&mut self, src: &[u8]) -> Result<usize>;
    /// Takes bytes from guest memory frames.
    fn put_slice(&mut self, src: Slice<'_>) -> Result<usize>;
    /// Takes up to `len` bytes straight from a host file: `pread(2)` at `offset`, or
    /// `read(2)` for `None`.
    fn put_host(&mut self, fd: BorrowedFd<'_>, offset: Option<u64>, len: usize) -> Result<usize>;
}

/// Source of a write; the mirror image of [`IoDst`].
pub trait IoSrc {
    /// Bytes it still has.
    fn remaining(&self) -> usize;
    /// Gives bytes.
    fn take(&mut self, dst: &mut [u8]) -> Result<usize>;
    /// Gives bytes into guest memory frames.
    fn take_slice(&mut self, dst: Slice<'_>) -> Result<usize>;
    /// Gives up to `len` bytes straight to a host file.
    fn take_host(&mut self, fd: BorrowedFd<'_>, offset: Option<u64>, len: usize) -> Result<usize>;
}

/// One piece of a guest buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoVec {
    /// Guest address.
    pub addr: u64,
    /// Bytes.
    pub len: usize,
}

/// A guest buffer, scattered or not, with a position. The vector was copied in once; only
/// the bytes it names are touched later, each where the position stands.
#[derive(Clone, Debug)]
pub struct UserIo {
    mm: Arc<Mm>,
    vec: SmallVec<[IoVec; 2]>,
    /// Index of the current piece and bytes done in it.
    at: (usize, usize),
    remaining: usize,
}

impl UserIo {
    /// One contiguous buffer; the length is cut to `MAX_RW_COUNT`.
    pub fn single(mm: Arc<Mm>, addr: u64, len: usize) -> UserIo {
        UserIo::vector(mm, SmallVec::from_slice(&[IoVec { addr, len }]))
    }

    /// A scattered buffer; the total is cut to `MAX_RW_COUNT`.
    pub fn vector(mm: Arc<Mm>, vec: SmallVec<[IoVec; 2]>) -> UserIo {
        let total = vec.iter().fold(0usize, |sum, v| sum.saturating_add(v.len));
        UserIo {
            mm,
            vec,
            at: (0, 0),
            remaining: total.min(abi::MAX_RW_COUNT),
        }
    }

    /// Cuts what is left to `max` bytes.
    pub fn limit(&mut self, max: usize) {
        self.remaining = self.remaining.min(max);
    }

    /// The current contiguous piece: address and length.
    fn piece(&mut self) -> Option<(u64, usize)> {
        while self.remaining > 0 {
            let v = self.vec.get(self.at.0)?;
            let left = v.len.saturating_sub(self.at.1);
            if left > 0 {
                return Some((
                    v.addr.wrapping_add(self.at.1 as u64),
                    left.min(self.remaining),
                ));
            }
            self.at = (self.at.0 + 1, 0);
        }
        None
    }

    fn advance(&mut self, n: usize) {
        self.at.1 += n;
        self.remaining -= n.min(self.remaining);
    }

    /// Runs `f` on successive pieces of at most `max` bytes in all, until it makes no
    /// progress. Faults after progress end it quietly.
    fn each(
        &mut self,
        max: usize,
        mut f: impl FnMut(&Mm, u64, usize, usize) -> Result<usize>,
    ) -> Result<usize> {
        let mut done = 0;
        while done < max {
            let Some((addr, len)) = self.piece() else {
                break;
            };
            let len = len.min(max - done);
            match f(&self.mm, addr, len, done) {
                Ok(0) => break,
                Ok(n) => {
                    self.advance(n);
                    done += n;
                    if n < len {
                        break;
                    }
                }
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(done)
    }
}

/// A partial copy counts as its bytes; a fault before the first byte is an error.
fn partial(r: std::result::Result<(), crate::mm::UserFault>, len: usize) -> Result<usize> {
    match r {
        Ok(()) => Ok(len),
        Err(f) if f.done > 0 => Ok(f.done),
        Err(f) => Err(f.errno),
    }
}

impl IoDst for UserIo {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn put(&mut self, src: &[u8]) -> Result<usize> {
        self.each(src.len(), |mm, addr, len, done| {
            let chunk = src.get(done..done + len).ok_or(Errno::EFAULT)?;
            partial(mm.copy_out(addr, chunk), len)
        })
    }

    fn put_slice(&mut self, src: Slice<'_>) -> Result<usize> {
        self.each(src.len(), |mm, addr, len, done| {
            let chunk = src.sub(done, len).ok_or(Errno::EFAULT)?;
            partial(mm.copy_out_slice(addr, chunk), len)
        })
    }

    fn put_host(&mut self, fd: BorrowedFd<'_>, offset: Option<u64>, len: usize) -> Result<usize> {
        self.each(len, |mm, addr, len, done| {
            mm.read_host(addr, len, fd, offset.map(|o| o.saturating_add(done as u64)))
        })
    }
}

impl IoSrc for UserIo {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn take(&mut self, dst: &mut [u8]) -> Result<usize> {
        self.each(dst.len(), |mm, addr, len, done| {
            let chunk = dst.get_mut(done..done + len).ok_or(Errno::EFAULT)?;
            partial(mm.copy_in(addr, chunk), len)
        })
    }

    fn take_slice(&mut self, dst: Slice<'_>) -> Result<usize> {
        self.each(dst.len(), |mm, addr, len, done| {
            let chunk = dst.sub(done, len).ok_or(Errno::EFAULT)?;
            partial(mm.copy_in_slice(addr, chunk), len)
        })
    }

    fn take_host(&mut self, fd: BorrowedFd<'_>, offset: Option<u64>, len: usize) -> Result<usize> {
        self.each(len, |mm, addr, len, done| {
            mm.write_host(addr, len, fd, offset.map(|o| o.saturating_add(done as u64)))
        })
    }
}

/// A kernel buffer as destination.
#[derive(Debug)]
pub struct KernelDst<'a> {
    buf: &'a mut [u8],
    done: usize,
}

impl<'a> KernelDst<'a> {
    /// Fills `buf` from its start.
    pub fn new(buf: &'a mut [u8]) -> KernelDst<'a> {
        KernelDst { buf, done: 0 }
    }

    /// Bytes filled so far.
    pub fn done(&self) -> usize {
        self.done
    }
}

impl IoDst for KernelDst<'_> {
    fn remaining(&self) -> usize {
        self.buf.len() - self.done
    }

    fn put(&mut self, src: &[u8]) -> Result<usize> {
        let n = src.len().min(self.remaining());
        self.buf[self.done..self.done + n].copy_from_slice(&src[..n]);
        self.done += n;
        Ok(n)
    }

    fn put_slice(&mut self, src: Slice<'_>) -> Result<usize> {
        let n = src.len().min(self.remaining());
        let src = src.sub(0, n).ok_or(Errno::EFAULT)?;
        src.copy_to(&mut self.buf[self.done..self.done + n])
            .map_err(|_| Errno::EIO)?;
        self.done += n;
        Ok(n)
    }

    fn put_host(&mut self, fd: BorrowedFd<'_>, offset: Option<u64>, len: usize) -> Result<usize> {
        let n = len.min(self.remaining());
        let got = platform::host::read_at(fd, offset, &mut self.buf[self.done..self.done + n])
            .map_err(Errno::from)?;
        self.done += got;
        Ok(got)
    }
}

/// A kernel buffer as source.
#[derive(Debug)]
pub struct KernelSrc<'a> {
    buf: &'a [u8],
}

impl<'a> KernelSrc<'a> {
    /// Gives the bytes of `buf`.
    pub fn new(buf: &'a [u8]) -> KernelSrc<'a> {
        KernelSrc { buf }
    }
}

impl IoSrc for KernelSrc<'_> {
    fn remaining(&self) -> usize {
        self.buf.len()
    }

    fn take(&mut self, dst: &mut [u8]) -> Result<usize> {
        let n = dst.len().min(self.buf.len());
        let (head, tail) = self.buf.split_at(n);
        dst[..n].copy_from_slice(head);
        self.buf = tail;
        Ok(n)
    }

    fn take_slice(&mut self, dst: Slice<'_>) -> Result<usize> {
        let n = dst.len().min(self.buf.len());
        let (head, tail) = self.buf.split_at(n);
        dst.sub(0, n)
            .ok_or(Errno::EFAULT)?
            .copy_from(head)
            .map_err(|_| Errno::EIO)?;
        self.buf = tail;
        Ok(n)
    }

    fn take_host(&mut self, fd: BorrowedFd<'_>, offset: Option<u64>, len: usize) -> Result<usize> {
        let n = len.min(self.buf.len());
        let sent = platform::host::write_at(fd, offset, &self.buf[..n]).map_err(Errno::from)?;
        self.buf = &self.buf[sent..];
        Ok(sent)
    }
}
