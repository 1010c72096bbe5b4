//! The ring of page buffers of a pipe.

use std::collections::VecDeque;

use abi::Errno;

use super::PIPE_BUF;
use crate::Result;
use crate::io::{IoDst, IoSrc};

type Page = Box<[u8; PIPE_BUF]>;

/// A page with data.
pub(super) struct Buf {
    page: Page,
    start: usize,
    len: usize,
    /// Written in packet mode: a read takes at most this one and drops what it leaves.
    packet: bool,
}

impl Buf {
    /// A buffer that holds the first `len` bytes of `page`.
    pub(super) fn whole(page: Page, len: usize) -> Buf {
        Buf {
            page,
            start: 0,
            len: len.min(PIPE_BUF),
            packet: false,
        }
    }

    /// The bytes not yet consumed.
    pub(super) fn data(&self) -> &[u8] {
        self.page
            .get(self.start..self.start + self.len)
            .unwrap_or_default()
    }

    /// Drops `n` bytes from the front.
    pub(super) fn consume(&mut self, n: usize) {
        let n = n.min(self.len);
        self.start += n;
        self.len -= n;
    }

    fn end(&self) -> usize {
        self.start + self.len
    }
}

/// Page buffers in order, at most `slots` of them.
pub(super) struct Ring {
    bufs: VecDeque<Buf>,
    slots: usize,
    /// One emptied page kept, so that ping-pong allocates nothing.
    spare: Option<Page>,
}

impl Ring {
    pub(super) fn new(slots: usize) -> Ring {
        Ring {
            bufs: VecDeque::new(),
            slots,
            spare: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bufs.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.bufs.len() >= self.slots
    }

    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// Unread bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bufs.iter().map(|b| b.len).sum()
    }

    pub(super) fn clear(&mut self) {
        self.bufs.clear();
        self.spare = None;
    }

    /// Changes the number of slots; `EBUSY` when more are in use.
    pub(super) fn resize(&mut self, slots: usize) -> Result<()> {
        if slots < self.bufs.len() {
            return Err(Errno::EBUSY);
        }
        self.slots = slots;
        Ok(())
    }

    /// A page to fill.
    pub(super) fn page(&mut self) -> Page {
        self.spare.take().unwrap_or_else(|| Box::new([0; PIPE_BUF]))
    }

    /// Appends a filled page.
    pub(super) fn push(&mut self, buf: Buf) {
        self.bufs.push_back(buf);
    }

    /// Puts a buffer back in front.
    pub(super) fn unpop(&mut self, buf: Buf) {
        self.bufs.push_front(buf);
    }

    /// Takes up to `max` bytes out as buffers; the last is split if need be.
    pub(super) fn pop(&mut self, max: usize) -> Option<Buf> {
        let front = self.bufs.front_mut()?;
        if front.len <= max {
            return self.bufs.pop_front();
        }
        let mut page: Page = Box::new([0; PIPE_BUF]);
        let head = front.data().get(..max)?;
        page.get_mut(..max)?.copy_from_slice(head);
        let packet = front.packet;
        front.consume(max);
        Some(Buf {
            page,
            start: 0,
            len: max,
            packet,
        })
    }

    /// Buffers for `tee(2)`.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Buf> {
        self.bufs.iter()
    }

    fn retire(&mut self) {
        if let Some(old) = self.bufs.pop_front() {
            self.spare = Some(old.page);
        }
    }

    /// Copies to `dst` until it is full or the ring empty; a packet ends the read.
    pub(super) fn read(&mut self, dst: &mut dyn IoDst) -> Result<usize> {
        let mut done = 0;
        while let Some(front) = self.bufs.front_mut() {
            let want = front.len.min(dst.remaining());
            if want == 0 {
                break;
            }
            let chunk = front.data().get(..want).unwrap_or_default();
            match dst.put(chunk) {
                Ok(n) if n == want => {}
                // A page of which not all could be given stays whole in the pipe.
                _ if done > 0 => break,
                r => return Err(r.err().unwrap_or(Errno::EFAULT)),
            }
            front.consume(want);
            done += want;
            let (packet, empty) = (front.packet, front.len == 0);
            if empty || packet {
                self.retire();
            }
            if packet {
                break;
            }
        }
        Ok(done)
    }

    /// Copies from `src`. The odd part of a page is merged into the last page if it fits
    /// there whole, which is what makes writes up to `PIPE_BUF` atomic. 0: no room.
    pub(super) fn write(&mut self, src: &mut dyn IoSrc, packets: bool) -> Result<usize> {
        let mut done = 0;
        let odd = src.remaining() % PIPE_BUF;
        if !packets && odd > 0 {
            match self.merge(src, odd) {
                Ok(n) => done = n,
                Err(e) => return Err(e),
            }
            if done > 0 && done < odd {
                return Ok(done);
            }
        }
        while !self.is_full() && src.remaining() > 0 {
            let mut page = self.page();
            let want = src.remaining().min(PIPE_BUF);
            let got = page.get_mut(..want).map_or(Ok(0), |room| src.take(room));
            match got {
                Ok(0) => break,
                Ok(len) => {
                    self.bufs.push_back(Buf {
                        page,
                        start: 0,
                        len,
                        packet: packets,
                    });
                    done += len;
                    if len < want {
                        break;
                    }
                }
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Appends `odd` bytes to the last page if they fit whole; how many were copied.
    fn merge(&mut self, src: &mut dyn IoSrc, odd: usize) -> Result<usize> {
        let Some(last) = self.bufs.back_mut() else {
            return Ok(0);
        };
        let end = last.end();
        if last.packet || end + odd > PIPE_BUF {
            return Ok(0);
        }
        let Some(room) = last.page.get_mut(end..end + odd) else {
            return Ok(0);
        };
        let got = src.take(room)?;
        last.len += got;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{KernelDst, KernelSrc};

    fn put(ring: &mut Ring, bytes: &[u8], packets: bool) -> usize {
        ring.write(&mut KernelSrc::new(bytes), packets).unwrap_or(0)
    }

    fn get(ring: &mut Ring, len: usize) -> Vec<u8> {
        let mut buf = vec![0; len];
        let n = ring.read(&mut KernelDst::new(&mut buf)).unwrap_or(0);
        buf.truncate(n);
        buf
    }

    #[test]
    fn small_writes_share_a_page_and_come_back_in_order() {
        let mut ring = Ring::new(1);
        assert_eq!(put(&mut ring, b"one", false), 3);
        assert_eq!(put(&mut ring, b"two", false), 3);
        assert_eq!(get(&mut ring, 4), b"onet");
        assert_eq!(get(&mut ring, 4), b"wo");
        assert!(ring.is_empty());
    }

    #[test]
    fn a_write_up_to_a_page_is_whole_or_not_at_all() {
        let mut ring = Ring::new(1);
        assert_eq!(put(&mut ring, &[1; 4000], false), 4000);
        assert_eq!(put(&mut ring, &[2; 200], false), 0);
        assert_eq!(put(&mut ring, &[3; 96], false), 96);
        assert_eq!(ring.bytes(), PIPE_BUF);
    }

    #[test]
    fn packets_are_not_glued_and_lose_what_a_read_leaves() {
        let mut ring = Ring::new(4);
        put(&mut ring, b"first", true);
        put(&mut ring, b"second", true);
        assert_eq!(get(&mut ring, 3), b"fir");
        assert_eq!(get(&mut ring, 64), b"second");
    }

    #[test]
    fn a_ring_does_not_shrink_below_what_is_in_use() {
        let mut ring = Ring::new(4);
        put(&mut ring, &[0; 3 * PIPE_BUF], false);
        assert_eq!(ring.resize(2), Err(Errno::EBUSY));
        assert_eq!(ring.resize(3), Ok(()));
        assert!(ring.is_full());
    }
}
