//! Bytes on their way to the reader of a connection.

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

    /// Copies to `dst` from the front, consuming unless `peek`.
    pub(super) fn read(&mut self, dst: &mut dyn IoDst, peek: bool) -> Result<usize> {
        let mut done = 0;
        let mut at = 0;
        while let Some((chunk, start)) = self.chunks.get_mut(at) {
            let rest = chunk.get(*start..).unwrap_or_default();
            let want = rest.len().min(dst.remaining());
            if want == 0 {
                break;
            }
            let n = match dst.put(rest.get(..want).unwrap_or_default()) {
                Ok(n) => n,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            };
            done += n;
            if peek {
                at += 1;
            } else {
                *start += n;
                self.bytes -= n;
                if *start == chunk.len() {
                    self.chunks.pop_front();
                }
            }
            if n < want {
                break;
            }
        }
        Ok(done)
    }
}
