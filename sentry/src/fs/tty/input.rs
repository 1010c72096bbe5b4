//! Input side of the line discipline (`termios(3)`): canonical lines and their editing,
//! echo, signal characters, flow control.

use std::collections::VecDeque;

use abi::signal::Signal;

use super::output::{OUT_MAX, Output};
use super::termios::{
    Cc, ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, ECHONL, ICRNL, IEXTEN, IGNCR, IMAXBEL, INLCR, ISIG,
    ISTRIP, IUCLC, IUTF8, IXANY, IXON, NOFLSH, Termios,
};

/// Bytes of input that may wait to be read (`N_TTY_BUF_SIZE`).
pub const IN_MAX: usize = 4096;

/// What a piece of input caused besides changing the queues.
#[derive(Debug, Default)]
pub struct Caused {
    /// Signals for the foreground process group.
    pub signals: Vec<Signal>,
    /// Input was flushed by one.
    pub flushed: bool,
    /// Output was stopped or started.
    pub flow: bool,
}

/// Input waiting for the reader.
#[derive(Debug, Default)]
pub struct Input {
    /// Bytes a read may take: whole lines in canonical mode.
    pub ready: VecDeque<u8>,
    /// Lengths of the lines in `ready`, and whether each ends in a character that is not
    /// given to the reader (EOF).
    pub lines: VecDeque<(usize, bool)>,
    /// The line being edited, and per character whether it was quoted by LNEXT.
    edit: Vec<u8>,
    /// Column at which the edited line began.
    start_column: usize,
    /// The next character is taken literally.
    literal: bool,
}

impl Input {
    /// Bytes it still takes.
    pub fn room(&self, t: &Termios) -> usize {
        let used = self.ready.len() + self.edit.len();
        if t.canonical() && self.lines.is_empty() {
            // Characters beyond the line limit are dropped, so that its end can come.
            return IN_MAX;
        }
        IN_MAX.saturating_sub(used)
    }

    /// Drops everything.
    pub fn flush(&mut self) {
        self.ready.clear();
        self.lines.clear();
        self.edit.clear();
        self.literal = false;
    }

    /// The mode changed: what was edited becomes readable, or the reverse.
    pub fn mode_changed(&mut self, canonical: bool) {
        if canonical {
            let n = self.ready.len();
            self.lines.clear();
            if n > 0 {
                self.lines.push_back((n, false));
            }
        } else {
            self.lines.clear();
            self.ready.extend(self.edit.drain(..));
        }
    }

    /// Takes one byte from the far end.
    pub fn put(&mut self, t: &Termios, out: &mut Output, mut c: u8, caused: &mut Caused) {
        if t.input(ISTRIP) {
            c &= 0x7f;
        }
        if t.input(IUCLC) && t.local(IEXTEN) {
            c = c.to_ascii_lowercase();
        }
        if std::mem::take(&mut self.literal) {
            self.echo(t, out, c);
            self.store(t, out, c);
            return;
        }
        if self.flow(t, out, c, caused) || self.signal(t, out, c, caused) {
            return;
        }
        match c {
            b'\r' if t.input(IGNCR) => return,
            b'\r' if t.input(ICRNL) => c = b'\n',
            b'\n' if t.input(INLCR) => c = b'\r',
            _ => {}
        }
        if t.canonical() {
            self.put_canonical(t, out, c);
        } else {
            self.echo(t, out, c);
            if self.ready.len() < IN_MAX {
                self.ready.push_back(c);
            }
        }
    }

    /// `^S` and `^Q`.
    fn flow(&mut self, t: &Termios, out: &mut Output, c: u8, caused: &mut Caused) -> bool {
        if !t.input(IXON) {
            return false;
        }
        if t.is(Cc::Start, c) {
            caused.flow |= std::mem::take(&mut out.stopped);
            return true;
        }
        if t.is(Cc::Stop, c) {
            caused.flow |= !std::mem::replace(&mut out.stopped, true);
            return true;
        }
        let signals = t.local(ISIG) && [Cc::Intr, Cc::Quit, Cc::Susp].iter().any(|s| t.is(*s, c));
        if out.stopped && (t.input(IXANY) || signals) {
            out.stopped = false;
            caused.flow = true;
        }
        false
    }

    /// `^C`, `^\`, `^Z`.
    fn signal(&mut self, t: &Termios, out: &mut Output, c: u8, caused: &mut Caused) -> bool {
        if !t.local(ISIG) {
            return false;
        }
        let signal = if t.is(Cc::Intr, c) {
            Signal::SIGINT
        } else if t.is(Cc::Quit, c) {
            Signal::SIGQUIT
        } else if t.is(Cc::Susp, c) {
            Signal::SIGTSTP
        } else {
            return false;
        };
        if !t.local(NOFLSH) {
            self.flush();
            out.queue.truncate(out.mark);
            caused.flushed = true;
        }
        if t.local(ECHO) {
            echo_char(t, out, c);
        }
        caused.signals.push(signal);
        true
    }

    fn put_canonical(&mut self, t: &Termios, out: &mut Output, c: u8) {
        let extended = t.local(IEXTEN);
        if t.is(Cc::Erase, c) {
            return self.erase(t, out);
        }
        if extended && t.is(Cc::Werase, c) {
            return self.erase_word(t, out);
        }
        if t.is(Cc::Kill, c) {
            return self.kill(t, out, c);
        }
        if extended && t.is(Cc::Lnext, c) {
            self.literal = true;
            if t.local(ECHO) && t.local(ECHOCTL) {
                out.put_raw(b"^\x08");
            }
            return;
        }
        if extended && t.local(ECHO) && t.is(Cc::Reprint, c) {
            echo_char(t, out, c);
            out.put(t, b'\n');
            for b in self.edit.clone() {
                self.echo(t, out, b);
            }
            return;
        }
        if c == b'\n' {
            if t.local(ECHO) || t.local(ECHONL) {
                out.put(t, b'\n');
            }
            return self.end_line(Some(c));
        }
        if t.is(Cc::Eof, c) {
            return self.end_line(None);
        }
        if t.is(Cc::Eol, c) || (extended && t.is(Cc::Eol2, c)) {
            self.echo(t, out, c);
            return self.end_line(Some(c));
        }
        if self.edit.len() + self.ready.len() >= IN_MAX - 1 {
            if t.input(IMAXBEL) {
                out.put_raw(b"\x07");
            }
            return;
        }
        if self.edit.is_empty() {
            self.start_column = out.column;
        }
        self.echo(t, out, c);
        self.edit.push(c);
    }

    fn store(&mut self, t: &Termios, out: &mut Output, c: u8) {
        if !t.canonical() {
            if self.ready.len() < IN_MAX {
                self.ready.push_back(c);
            }
        } else if self.edit.len() + self.ready.len() < IN_MAX - 1 {
            if self.edit.is_empty() {
                self.start_column = out.column;
            }
            self.edit.push(c);
        }
    }

    /// The edited line becomes readable, with `end` unless it is an EOF.
    fn end_line(&mut self, end: Option<u8>) {
        self.edit.extend(end);
        self.lines.push_back((self.edit.len(), end.is_none()));
        self.ready.extend(self.edit.drain(..));
    }

    /// Drops the last character of the edited line; its bytes.
    fn pop_char(&mut self, t: &Termios) -> Option<u8> {
        let mut c = self.edit.pop()?;
        while t.input(IUTF8) && c & 0xc0 == 0x80 {
            match self.edit.pop() {
                Some(before) => c = before,
                None => break,
            }
        }
        Some(c)
    }

    fn erase(&mut self, t: &Termios, out: &mut Output) {
        let Some(c) = self.pop_char(t) else {
            return;
        };
        if !t.local(ECHO) {
            return;
        }
        if t.local(ECHOE) {
            self.rub_out(t, out, c);
        } else {
            echo_char(t, out, t.value(Cc::Erase));
        }
    }

    fn erase_word(&mut self, t: &Termios, out: &mut Output) {
        let mut seen_word = false;
        while let Some(&last) = self.edit.last() {
            let word = last.is_ascii_alphanumeric() || last == b'_' || last >= 0x80;
            if seen_word && !word {
                break;
            }
            seen_word |= word;
            if let Some(c) = self.pop_char(t)
                && t.local(ECHO)
            {
                self.rub_out(t, out, c);
            }
        }
    }

    fn kill(&mut self, t: &Termios, out: &mut Output, c: u8) {
        if t.local(ECHO) && t.local(ECHOK) && t.local(ECHOKE) && t.local(ECHOE) {
            while let Some(c) = self.pop_char(t) {
                self.rub_out(t, out, c);
            }
            return;
        }
        self.edit.clear();
        if t.local(ECHO) {
            echo_char(t, out, c);
            if t.local(ECHOK) {
                out.put(t, b'\n');
            }
        }
    }

    /// Takes the columns of an erased character off the screen.
    fn rub_out(&self, t: &Termios, out: &mut Output, c: u8) {
        let width = match c {
            b'\t' => {
                let before = self.edit.iter().fold(self.start_column, |col, b| match b {
                    b'\t' => col + 8 - col % 8,
                    b if *b & 0xc0 == 0x80 && t.input(IUTF8) => col,
                    b if b.is_ascii_control() && t.local(ECHOCTL) => col + 2,
                    b if b.is_ascii_control() => col,
                    _ => col + 1,
                });
                out.put_raw(&vec![8; 8 - before % 8]);
                out.column = before;
                return;
            }
            c if c.is_ascii_control() && t.local(ECHOCTL) => 2,
            c if c.is_ascii_control() => 0,
            _ => 1,
        };
        for _ in 0..width {
            out.put_raw(b"\x08 \x08");
        }
        out.column = out.column.saturating_sub(width);
    }

    fn echo(&self, t: &Termios, out: &mut Output, c: u8) {
        // Echo never makes more wait than output itself may.
        if t.local(ECHO) && out.queue.len() < OUT_MAX {
            echo_char(t, out, c);
        }
    }
}

/// Echoes a character, control characters as `^X` if asked for.
fn echo_char(t: &Termios, out: &mut Output, c: u8) {
    if t.local(ECHOCTL) && c.is_ascii_control() && c != b'\t' && c != b'\n' {
        out.put(t, b'^');
        out.put(t, c ^ 0x40);
    } else {
        out.put(t, c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(t: &Termios, text: &[u8]) -> (Input, Vec<u8>, Caused) {
        let (mut input, mut out, mut caused) =
            (Input::default(), Output::default(), Caused::default());
        for c in text {
            input.put(t, &mut out, *c, &mut caused);
        }
        (input, out.queue.into_iter().collect(), caused)
    }

    #[test]
    fn a_line_is_edited_before_it_is_ready() {
        let (input, echo, _) = typed(&Termios::default(), b"abX\x7fc\r");
        assert_eq!(input.ready.into_iter().collect::<Vec<_>>(), b"abc\n");
        assert_eq!(echo, b"abX\x08 \x08c\r\n");
    }

    #[test]
    fn an_eof_ends_a_line_without_being_in_it() {
        let (input, _, _) = typed(&Termios::default(), b"part\x04\x04");
        assert_eq!(input.lines, [(4, true), (0, true)]);
    }

    #[test]
    fn the_interrupt_character_signals_and_flushes() {
        let (input, echo, caused) = typed(&Termios::default(), b"x\x03");
        assert_eq!(caused.signals, [Signal::SIGINT]);
        assert!(input.edit.is_empty());
        assert_eq!(echo, b"^C");
    }
}
