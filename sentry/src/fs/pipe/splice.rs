//! Moving pages in and out of a pipe for `splice(2)`, `tee(2)` and `vmsplice(2)`.

use std::sync::Arc;

use abi::Errno;

use super::ring::Buf;
use super::{PIPE_BUF, Pipe, PipeEnd, READABLE, WRITABLE};
use crate::Result;

impl PipeEnd {
    /// Moves up to `len` bytes out of the pipe into `sink`, which returns how many bytes it
    /// took. No lock is held while it runs; what it leaves goes back to the front. `EAGAIN`
    /// when the pipe is empty and has writers, 0 at its end.
    pub fn splice_out(
        &self,
        len: usize,
        sink: &mut dyn FnMut(&[u8]) -> Result<usize>,
    ) -> Result<usize> {
        let mut done = 0;
        while done < len {
            let (buf, was_full) = {
                let mut s = self.pipe.state.lock();
                let full = s.ring.is_full();
                match s.ring.pop(len - done) {
                    Some(buf) => (buf, full),
                    None if done > 0 || s.writers == 0 => break,
                    None => return Err(Errno::EAGAIN),
                }
            };
            let step = self.drain(buf, sink);
            if was_full {
                self.pipe.pollee.notify(WRITABLE);
            }
            match step {
                Ok((n, whole)) => {
                    done += n;
                    if !whole {
                        break;
                    }
                }
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Gives one buffer to `sink`; bytes taken and whether that was all of it.
    fn drain(
        &self,
        mut buf: Buf,
        sink: &mut dyn FnMut(&[u8]) -> Result<usize>,
    ) -> Result<(usize, bool)> {
        let total = buf.data().len();
        let taken = sink(buf.data());
        let n = taken.unwrap_or(0).min(total);
        buf.consume(n);
        if n < total {
            self.pipe.state.lock().ring.unpop(buf);
        }
        taken.map(|_| (n, n == total))
    }

    /// Fills the pipe with up to `len` bytes that `source` writes into each page it is
    /// given (it returns how many; 0 ends). No lock is held while it runs. `EAGAIN` when
    /// the pipe is full, `EPIPE` without a reader.
    pub fn splice_in(
        &self,
        len: usize,
        source: &mut dyn FnMut(&mut [u8]) -> Result<usize>,
    ) -> Result<usize> {
        let mut done = 0;
        while done < len {
            let mut page = {
                let mut s = self.pipe.state.lock();
                match (s.readers == 0, s.ring.is_full()) {
                    (true, _) if done == 0 => return Err(Errno::EPIPE),
                    (false, true) if done == 0 => return Err(Errno::EAGAIN),
                    (false, false) => s.ring.page(),
                    _ => break,
                }
            };
            let want = (len - done).min(PIPE_BUF);
            let got = page.get_mut(..want).map_or(Ok(0), &mut *source);
            let n = match got {
                Ok(0) => break,
                Ok(n) => n.min(want),
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            };
            self.pipe.state.lock().ring.push(Buf::whole(page, n));
            done += n;
            if n < want {
                break;
            }
        }
        if done > 0 {
            self.pipe.pollee.notify(READABLE);
        }
        Ok(done)
    }

    /// `tee(2)`: copies up to `len` bytes to `to` without consuming them. `EAGAIN` when
    /// nothing can be moved yet, `EINVAL` for twice the same pipe.
    pub fn tee(&self, to: &PipeEnd, len: usize) -> Result<usize> {
        if Arc::ptr_eq(&self.pipe, &to.pipe) {
            return Err(Errno::EINVAL);
        }
        let (copies, ended) = self.pipe.peek(len);
        if copies.is_empty() {
            return if ended { Ok(0) } else { Err(Errno::EAGAIN) };
        }
        let mut done = 0;
        let mut s = to.pipe.state.lock();
        if s.readers == 0 {
            return Err(Errno::EPIPE);
        }
        for buf in copies {
            if s.ring.is_full() {
                break;
            }
            done += buf.data().len();
            s.ring.push(buf);
        }
        drop(s);
        if done == 0 {
            return Err(Errno::EAGAIN);
        }
        to.pipe.pollee.notify(READABLE);
        Ok(done)
    }
}

impl Pipe {
    /// Copies of the first `len` bytes, and whether the pipe has no writer.
    fn peek(&self, len: usize) -> (Vec<Buf>, bool) {
        let s = self.state.lock();
        let mut left = len;
        let mut copies = Vec::new();
        for buf in s.ring.iter() {
            let n = buf.data().len().min(left);
            let mut page = Box::new([0; PIPE_BUF]);
            match (page.get_mut(..n), buf.data().get(..n)) {
                (Some(dst), Some(src)) if n > 0 => dst.copy_from_slice(src),
                _ => break,
            }
            copies.push(Buf::whole(page, n));
            left -= n;
        }
        (copies, s.writers == 0)
    }
}
