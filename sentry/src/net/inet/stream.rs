//! Bytes on their way to the reader of a connection.
//!
//! One of them may be *urgent* (`tcp(7)`, "Urgent data"): unless it is to be read inline, it
//! is taken by itself, and reading stops in front of the place where it was.

use std::collections::VecDeque;

use crate::Result;
use crate::io::IoDst;

/// A chunk is filled up to this size by later sends.
const MERGE_MAX: usize = 16 * 1024;

/// A queue of chunks.
#[derive(Default)]
pub(super) struct Stream {
    chunks: VecDeque<(Vec<u8>, usize)>,
    bytes: usize,
    /// Bytes that have left at the front.
    left: u64,
    urgent: Option<Urgent>,
}

/// The urgent byte that came last.
#[derive(Clone, Copy, Debug)]
struct Urgent {
    /// Its place, counted from the first byte of the connection.
    at: u64,
    /// It has been taken by itself.
    taken: bool,
}

impl Stream {
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Appends.
    pub(super) fn push(&mut self, data: Vec<u8>) {
        self.bytes += data.len();
        if let Some((last, _)) = self.chunks.back_mut()
            && last.len() + data.len() <= MERGE_MAX
        {
            last.extend_from_slice(&data);
            return;
        }
        self.chunks.push_back((data, 0));
    }

    /// Appends data whose last byte is urgent. An earlier one that is next to be read is
    /// lost then, unless it is read inline.
    pub(super) fn push_urgent(&mut self, data: Vec<u8>, inline: bool) {
        self.pass_mark(inline);
        self.push(data);
        let last = (self.bytes as u64).saturating_sub(1);
        self.urgent = Some(Urgent {
            at: self.left.saturating_add(last),
            taken: false,
        });
    }

    /// Loses an urgent byte that is next, unless it is read inline.
    pub(super) fn pass_mark(&mut self, inline: bool) {
        if !inline && self.is_at_mark() && !self.is_empty() {
            self.consume(1);
        }
    }

    /// How many bytes there are before the urgent one; `None` without one.
    fn before_urgent(&self) -> Option<usize> {
        let at = self.urgent?.at.checked_sub(self.left)?;
        usize::try_from(at).ok()
    }

    /// Whether the urgent byte is next (`SIOCATMARK`).
    pub(super) fn is_at_mark(&self) -> bool {
        self.before_urgent() == Some(0)
    }

    /// Whether there is an urgent byte to be taken.
    pub(super) fn has_urgent(&self) -> bool {
        self.urgent.is_some_and(|u| !u.taken)
    }

    /// Whether a read would get something.
    pub(super) fn is_readable(&self, inline: bool) -> bool {
        let hole = usize::from(!inline && self.is_at_mark());
        self.bytes > hole
    }

    /// What a reader is told there is to be read (`SIOCINQ`).
    pub(super) fn queued(&self, inline: bool) -> usize {
        let until = self.before_urgent().filter(|_| !inline);
        until.map_or(self.bytes, |n| n.min(self.bytes))
    }

    /// The urgent byte, taken unless `peek`.
    pub(super) fn take_urgent(&mut self, peek: bool) -> Option<u8> {
        if !self.has_urgent() {
            return None;
        }
        let mut at = self.before_urgent()?;
        let mut found = None;
        for (chunk, start) in &self.chunks {
            let rest = chunk.get(*start..).unwrap_or_default();
            if let Some(byte) = rest.get(at) {
                found = Some(*byte);
                break;
            }
            at -= rest.len();
        }
        if let Some(urgent) = self.urgent.as_mut().filter(|_| !peek) {
            urgent.taken = true;
        }
        found
    }

    /// Takes bytes away at the front.
    fn consume(&mut self, mut count: usize) {
        self.bytes = self.bytes.saturating_sub(count);
        self.left = self.left.saturating_add(count as u64);
        while count > 0 {
            let Some((chunk, start)) = self.chunks.front_mut() else {
                break;
            };
            let here = chunk.len().saturating_sub(*start).min(count);
            *start += here;
            count -= here;
            if *start == chunk.len() {
                self.chunks.pop_front();
            }
        }
        if self.urgent.is_some_and(|u| u.at < self.left) {
            self.urgent = None;
        }
    }

    /// Copies to `dst` from `from` bytes on, consuming unless `peek`; only a peek starts further
    /// on than at the front.
    pub(super) fn read_at(
        &mut self,
        dst: &mut dyn IoDst,
        from: usize,
        peek: bool,
        inline: bool,
    ) -> Result<usize> {
        // Over the hole where the urgent byte is, or up to it.
        let mark = self.before_urgent();
        let skip = usize::from(mark == Some(0) && !inline);
        let limit = mark.filter(|n| *n > 0).unwrap_or(usize::MAX);
        let mut done = 0;
        let mut over = skip + from;
        for (chunk, start) in &self.chunks {
            let rest = chunk.get(*start..).unwrap_or_default();
            let rest = rest.get(over..).unwrap_or_default();
            over = over.saturating_sub(chunk.len().saturating_sub(*start));
            let want = rest.len().min(dst.remaining()).min(limit - done);
            if want == 0 {
                if rest.is_empty() {
                    continue;
                }
                break;
            }
            let n = match dst.put(rest.get(..want).unwrap_or_default()) {
                Ok(n) => n,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            };
            done += n;
            if n < want {
                break;
            }
        }
        if !peek && done > 0 {
            self.consume(done + skip);
        }
        Ok(done)
    }
}
