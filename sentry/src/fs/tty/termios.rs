//! Terminal modes (`termios(3)`), in the kernel's layout.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Number of control characters.
pub const NCCS: usize = 19;

/// `struct termios2` of the kernel; `struct termios` is it without the speeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[expect(missing_docs, reason = "named as in termios(3)")]
pub struct Termios {
    pub iflag: u32,
    pub oflag: u32,
    pub cflag: u32,
    pub lflag: u32,
    pub line: u8,
    pub cc: [u8; NCCS],
    pub ispeed: u32,
    pub ospeed: u32,
}

/// Bytes of `struct termios`.
pub const TERMIOS_LEN: usize = 36;

/// A mode flag word and its bits, named as in `termios(3)`.
macro_rules! bits {
    ($($name:ident = $value:expr;)*) => {
        $(#[doc = stringify!($name)] pub const $name: u32 = $value;)*
    };
}

bits! {
    ISTRIP = 0o40; INLCR = 0o100; IGNCR = 0o200; ICRNL = 0o400; IUCLC = 0o1000;
    IXON = 0o2000; IXANY = 0o4000; IMAXBEL = 0o20000; IUTF8 = 0o40000;
    OPOST = 0o1; OLCUC = 0o2; ONLCR = 0o4; OCRNL = 0o10; ONOCR = 0o20; ONLRET = 0o40;
    XTABS = 0o14000; CLOCAL = 0o4000; EXTPROC = 0o200000;
    ISIG = 0o1; ICANON = 0o2; ECHO = 0o10; ECHOE = 0o20; ECHOK = 0o40; ECHONL = 0o100;
    NOFLSH = 0o200; TOSTOP = 0o400; ECHOCTL = 0o1000; ECHOKE = 0o4000; IEXTEN = 0o100000;
}

/// Indices of control characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in termios(3)")]
#[repr(usize)]
pub enum Cc {
    Intr = 0,
    Quit = 1,
    Erase = 2,
    Kill = 3,
    Eof = 4,
    Time = 5,
    Min = 6,
    Start = 8,
    Stop = 9,
    Susp = 10,
    Eol = 11,
    Reprint = 12,
    Werase = 14,
    Lnext = 15,
    Eol2 = 16,
}

impl Default for Termios {
    /// The modes of a new terminal.
    fn default() -> Termios {
        let mut cc = [0; NCCS];
        let chars = [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22];
        for (to, from) in cc.iter_mut().zip(chars) {
            *to = from;
        }
        Termios {
            iflag: ICRNL | IXON,
            oflag: OPOST | ONLCR,
            // B38400, CS8, CREAD.
            cflag: 0o17 | 0o60 | 0o200,
            lflag: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
            line: 0,
            cc,
            ispeed: 38_400,
            ospeed: 38_400,
        }
    }
}

impl Termios {
    /// Whether `c` is control character `which`; 0 disables one.
    pub fn is(&self, which: Cc, c: u8) -> bool {
        let set = self.value(which);
        set != 0 && set == c
    }

    /// The value of a control character slot.
    pub fn value(&self, which: Cc) -> u8 {
        self.cc.get(which as usize).copied().unwrap_or(0)
    }

    /// Whether local mode `bit` is on.
    pub fn local(&self, bit: u32) -> bool {
        self.lflag & bit != 0
    }

    /// Whether input mode `bit` is on.
    pub fn input(&self, bit: u32) -> bool {
        self.iflag & bit != 0
    }

    /// Whether output mode `bit` is on.
    pub fn output(&self, bit: u32) -> bool {
        self.oflag & bit != 0
    }

    /// Whether input comes by lines.
    pub fn canonical(&self) -> bool {
        self.local(ICANON)
    }
}

/// `struct winsize`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
#[expect(missing_docs, reason = "named as in ioctl_tty(2)")]
pub struct WinSize {
    pub rows: u16,
    pub cols: u16,
    pub xpixel: u16,
    pub ypixel: u16,
}
