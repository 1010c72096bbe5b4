//! Building `siginfo_t` values (`sigaction(2)`).

use abi::signal::{SigInfo, Signal};

/// `SI_USER`: `kill(2)`.
pub const SI_USER: i32 = 0;
/// `SI_KERNEL`.
pub const SI_KERNEL: i32 = 0x80;
/// `SI_QUEUE`: `sigqueue(3)`.
pub const SI_QUEUE: i32 = -1;
/// `SI_TIMER`: a POSIX timer.
pub const SI_TIMER: i32 = -2;
/// `SI_MESGQ`: `mq_notify(3)`.
pub const SI_MESGQ: i32 = -3;
/// `SI_TKILL`: `tkill(2)`, `tgkill(2)`.
pub const SI_TKILL: i32 = -6;
/// `SEGV_MAPERR`.
pub const SEGV_MAPERR: i32 = 1;
/// `SEGV_ACCERR`.
pub const SEGV_ACCERR: i32 = 2;
/// `BUS_ADRERR`.
pub const BUS_ADRERR: i32 = 2;
/// `ILL_ILLOPN`.
pub const ILL_ILLOPN: i32 = 2;
/// `FPE_INTDIV`.
pub const FPE_INTDIV: i32 = 1;
/// `TRAP_BRKPT`.
pub const TRAP_BRKPT: i32 = 1;

/// From the kernel itself.
pub fn kernel(signal: Signal) -> SigInfo {
    SigInfo::new(signal, SI_KERNEL)
}

/// `kill(2)`.
pub fn user(signal: Signal, pid: i32, uid: u32) -> SigInfo {
    SigInfo::new(signal, SI_USER).with_sender(pid, uid)
}

/// A fault at an address.
pub fn fault(signal: Signal, code: i32, addr: u64) -> SigInfo {
    SigInfo::new(signal, code).with_addr(addr)
}

/// `SIGCHLD` and other exit signals: pid, uid, status, CPU times in clock ticks.
pub fn child(
    signal: Signal,
    code: i32,
    pid: i32,
    uid: u32,
    status: i32,
    times: (i64, i64),
) -> SigInfo {
    let mut info = SigInfo::new(signal, code).with_sender(pid, uid);
    info.put(8, &status.to_ne_bytes());
    info.put(16, &times.0.to_ne_bytes());
    info.put(24, &times.1.to_ne_bytes());
    info
}

/// Expiry of a POSIX timer: id, overrun count, value.
pub fn timer(signal: Signal, id: i32, overrun: i32, value: u64) -> SigInfo {
    let mut info = SigInfo::new(signal, SI_TIMER);
    info.put(0, &id.to_ne_bytes());
    info.put(4, &overrun.to_ne_bytes());
    info.put(8, &value.to_ne_bytes());
    info
}

/// Signal-driven I/O: what happened (`POLL_IN` …), its band, the descriptor.
pub fn io(signal: Signal, code: i32, band: i64, fd: i32) -> SigInfo {
    let mut info = SigInfo::new(signal, code);
    info.put(0, &band.to_ne_bytes());
    info.put(8, &fd.to_ne_bytes());
    info
}

/// The sender's pid in the union.
pub fn sender_pid(info: &SigInfo) -> i32 {
    word(info, 0)
}

/// A 32-bit word of the union.
pub fn word(info: &SigInfo, offset: usize) -> i32 {
    let bytes = info.fields.get(offset..).and_then(|f| f.first_chunk());
    bytes.map_or(0, |b| i32::from_ne_bytes(*b))
}
