//! Output side of the line discipline: `OPOST` processing and the column it leaves.

use std::collections::VecDeque;

use super::termios::{OCRNL, OLCUC, ONLCR, ONLRET, ONOCR, OPOST, Termios, XTABS};

/// Bytes of output that may wait for the far end.
pub const OUT_MAX: usize = 64 * 1024;

/// Output on its way to the far end.
#[derive(Debug, Default)]
pub struct Output {
    /// Bytes ready for the far end.
    pub queue: VecDeque<u8>,
    /// Cursor column, as far as output tells.
    pub column: usize,
    /// Length of the queue before the current input: what a signal character does not
    /// take back, because it is as good as delivered.
    pub mark: usize,
    /// Stopped by `^S` or `TCOOFF`.
    pub stopped: bool,
}

impl Output {
    /// Bytes a write may still give: the worst case of a byte is a tab of eight blanks.
    pub fn room(&self, t: &Termios) -> usize {
        if self.stopped {
            return 0;
        }
        let free = OUT_MAX.saturating_sub(self.queue.len());
        match t.output(OPOST) {
            true if t.oflag & XTABS == XTABS => free / 8,
            true => free / 2,
            false => free,
        }
    }

    /// Appends one byte of the guest's output or of an echo.
    pub fn put(&mut self, t: &Termios, c: u8) {
        if !t.output(OPOST) {
            self.queue.push_back(c);
            return;
        }
        match c {
            b'\n' => {
                if t.output(ONLRET) {
                    self.column = 0;
                }
                if t.output(ONLCR) {
                    self.queue.push_back(b'\r');
                    self.column = 0;
                }
                self.queue.push_back(b'\n');
            }
            b'\r' if t.output(ONOCR) && self.column == 0 => {}
            b'\r' if t.output(OCRNL) => self.queue.push_back(b'\n'),
            b'\r' => {
                self.column = 0;
                self.queue.push_back(b'\r');
            }
            b'\t' => {
                let blanks = 8 - self.column % 8;
                self.column += blanks;
                if t.oflag & XTABS == XTABS {
                    self.queue.extend(std::iter::repeat_n(b' ', blanks));
                } else {
                    self.queue.push_back(b'\t');
                }
            }
            8 => {
                self.column = self.column.saturating_sub(1);
                self.queue.push_back(8);
            }
            _ => {
                let c = if t.output(OLCUC) {
                    c.to_ascii_uppercase()
                } else {
                    c
                };
                // Continuation bytes of UTF-8 take no column of their own.
                if c >= 32 && c & 0xc0 != 0x80 {
                    self.column += 1;
                }
                self.queue.push_back(c);
            }
        }
    }

    /// Appends bytes that were processed already, or are to go raw.
    pub fn put_raw(&mut self, bytes: &[u8]) {
        self.queue.extend(bytes);
    }
}
