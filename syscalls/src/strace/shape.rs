//! How an argument is printed where its type alone does not tell: by the call it belongs to,
//! with the lengths in other arguments and the result at hand.

use std::sync::Arc;

use abi::nr;
use sentry::Task;

use super::names::{self, Names};
use super::show;

/// Longest text printed of a buffer, as strace's `-s`.
pub const MAX_TEXT: usize = 32;

/// A way to print an argument.
#[derive(Clone, Copy)]
enum Shape {
    /// One of these.
    One(Names),
    /// Any of these.
    Any(Names),
    /// The modes of `access(2)`.
    Access,
    /// The type of a socket, with its flags.
    SocketType,
    /// The operation of `futex(2)`, with its flags.
    FutexOp,
    Hex,
    Octal,
    /// A mode that counts only where the flags in that argument create.
    CreateMode(usize),
    Signal,
    /// Bytes for the kernel, as many as that argument says.
    Sent(usize),
    /// Bytes from the kernel, as many as the result says.
    Received,
    /// Text from the kernel with its NUL.
    Text,
    /// `struct iovec`s, as many as that argument says.
    IoVec(usize, bool),
    /// A `NULL`-terminated array of strings.
    Strings,
    /// The same, only counted.
    Environment,
    /// Two descriptors from the kernel.
    Pair,
    /// An address of a socket, as long as that argument says.
    Address(usize),
    SigSet,
    SigAction,
    /// `struct timespec`, from the kernel if so.
    Time(bool),
    WaitStatus,
    Stat,
    Limit(bool),
    EpollEvent,
    EpollReady,
    Poll(usize),
    CloneFlags,
    Uname,
}

use Shape::{
    Access, Address, Any, CloneFlags, CreateMode, Environment, EpollEvent, EpollReady, FutexOp,
    Hex, IoVec, Limit, Octal, One, Pair, Poll, Received, Sent, SigAction, SigSet, Signal,
    SocketType, Stat, Strings, Text, Time, Uname, WaitStatus,
};

const OPEN_FEW: Shape = Any(names::OPEN_FEW);

fn of_files(nr: u32) -> &'static [(usize, Shape)] {
    match nr {
        nr::read | nr::pread64 => &[(1, Received)],
        nr::write | nr::pwrite64 => &[(1, Sent(2))],
        nr::readv | nr::preadv => &[(1, IoVec(2, true))],
        nr::writev | nr::pwritev => &[(1, IoVec(2, false))],
        nr::open => &[(2, CreateMode(1))],
        nr::openat => &[(3, CreateMode(2))],
        nr::access => &[(1, Access)],
        nr::faccessat | nr::faccessat2 => &[(2, Access), (3, Any(names::AT))],
        nr::stat | nr::lstat | nr::fstat => &[(1, Stat)],
        nr::newfstatat => &[(2, Stat), (3, Any(names::AT))],
        nr::statx => &[(2, Any(names::AT)), (3, Hex)],
        nr::unlinkat => &[(2, Any(names::AT))],
        nr::fchownat => &[(4, Any(names::AT))],
        nr::linkat => &[(4, Any(names::AT))],
        nr::lseek => &[(2, One(names::SEEK))],
        nr::ioctl => &[(1, One(names::IOCTL)), (2, Hex)],
        nr::fcntl => &[(1, One(names::FCNTL)), (2, Hex)],
        nr::getcwd => &[(0, Text)],
        nr::readlink => &[(1, Received)],
        nr::readlinkat => &[(2, Received)],
        nr::pipe => &[(0, Pair)],
        nr::pipe2 => &[(0, Pair), (1, OPEN_FEW)],
        nr::dup3 => &[(2, OPEN_FEW)],
        nr::umask => &[(0, Octal)],
        nr::fadvise64 => &[(3, One(names::FADVISE))],
        _ => &[],
    }
}

fn of_sockets(nr: u32) -> &'static [(usize, Shape)] {
    const FAMILY: Shape = One(names::FAMILY);
    match nr {
        nr::socket => &[(0, FAMILY), (1, SocketType), (2, One(names::PROTOCOL))],
        nr::socketpair => &[(0, FAMILY), (1, SocketType), (3, Pair)],
        nr::connect | nr::bind => &[(1, Address(2))],
        nr::sendto => &[(1, Sent(2)), (3, Any(names::MSG)), (4, Address(5))],
        nr::recvfrom => &[(1, Received), (3, Any(names::MSG))],
        nr::sendmsg | nr::recvmsg => &[(1, Hex), (2, Any(names::MSG))],
        nr::accept | nr::getsockname | nr::getpeername => &[(1, Hex), (2, Hex)],
        nr::accept4 => &[(1, Hex), (2, Hex), (3, Any(names::SOCK_FLAGS))],
        nr::setsockopt | nr::getsockopt => &[(1, One(names::LEVEL)), (3, Hex)],
        nr::shutdown => &[(1, One(names::SHUT))],
        nr::epoll_create1 => &[(0, Any(names::EPOLL_CREATE))],
        nr::epoll_ctl => &[(1, One(names::EPOLL_CTL)), (3, EpollEvent)],
        nr::epoll_wait | nr::epoll_pwait => &[(1, EpollReady)],
        nr::poll => &[(0, Poll(1))],
        nr::ppoll => &[(0, Poll(1)), (2, Time(false)), (3, SigSet)],
        _ => &[],
    }
}

fn of_processes(nr: u32) -> &'static [(usize, Shape)] {
    match nr {
        nr::execve => &[(1, Strings), (2, Environment)],
        nr::execveat => &[(2, Strings), (3, Environment), (4, Any(names::AT))],
        nr::clone => &[(0, CloneFlags)],
        nr::unshare | nr::setns => &[(0, Any(names::CLONE))],
        nr::wait4 => &[(1, WaitStatus), (2, Any(names::WAIT))],
        nr::waitid => &[(3, Any(names::WAIT))],
        nr::kill => &[(1, Signal)],
        nr::tkill => &[(1, Signal)],
        nr::tgkill => &[(2, Signal)],
        nr::rt_sigaction => &[(0, Signal), (1, SigAction), (2, SigAction)],
        nr::rt_sigprocmask => &[(0, One(names::MASK)), (1, SigSet), (2, SigSet)],
        nr::rt_sigsuspend | nr::rt_sigpending => &[(0, SigSet)],
        nr::rt_sigtimedwait => &[(0, SigSet), (2, Time(false))],
        nr::futex => &[(1, FutexOp), (4, Hex)],
        nr::arch_prctl => &[(0, One(names::ARCH)), (1, Hex)],
        nr::prctl => &[
            (0, One(names::PRCTL)),
            (1, Hex),
            (2, Hex),
            (3, Hex),
            (4, Hex),
        ],
        nr::prlimit64 => &[(1, One(names::RLIMIT)), (2, Limit(false)), (3, Limit(true))],
        nr::getrlimit => &[(0, One(names::RLIMIT)), (1, Limit(true))],
        nr::setrlimit => &[(0, One(names::RLIMIT)), (1, Limit(false))],
        nr::getrandom => &[(0, Received), (2, Any(names::GRND))],
        nr::nanosleep => &[(0, Time(false))],
        nr::clock_nanosleep => &[
            (0, One(names::CLOCK)),
            (1, Any(names::TIMER)),
            (2, Time(false)),
        ],
        nr::clock_gettime | nr::clock_getres => &[(0, One(names::CLOCK)), (1, Time(true))],
        nr::uname => &[(0, Uname)],
        _ => &[],
    }
}

/// What is known of a call when its arguments are printed.
pub struct Call<'a> {
    /// Who makes it.
    pub task: &'a Arc<Task>,
    /// Its registers.
    pub regs: &'a [u64; 6],
    /// Its value, once it has returned without an error.
    pub result: Option<i64>,
}

/// Replaces the arguments that have a better text than their type gives.
pub fn apply(nr: u64, call: &Call<'_>, args: &mut Vec<String>) {
    let Ok(nr) = u32::try_from(nr) else { return };
    for list in [of_files(nr), of_sockets(nr), of_processes(nr)] {
        for (at, shape) in list.iter().rev() {
            let value = call.regs.get(*at).copied().unwrap_or(0);
            if let CreateMode(flags) = *shape {
                // strace leaves a mode out that does not count.
                let flags = call.regs.get(flags).copied().unwrap_or(0);
                if flags & 0o20_000_100 == 0 {
                    args.truncate(*at);
                }
            } else if let Some(text) = text(*shape, value, call)
                && let Some(arg) = args.get_mut(*at)
            {
                *arg = text;
            }
        }
    }
}

/// `None` where the plain text of the argument is the best there is.
fn text(shape: Shape, value: u64, call: &Call<'_>) -> Option<String> {
    let t = call.task;
    let arg = |at: usize| call.regs.get(at).copied().unwrap_or(0);
    let count = call.result.and_then(|n| u64::try_from(n).ok());
    match shape {
        One(names) => show::one(names, value),
        Any(names) => Some(show::any(names, value & 0xffff_ffff)),
        Access if value & 0xffff_ffff == 0 => Some("F_OK".to_owned()),
        Access => Some(show::any(names::ACCESS, value & 0xffff_ffff)),
        SocketType => show::marked(names::SOCK, 0xf, names::SOCK_FLAGS, value),
        FutexOp => show::futex_op(value),
        Hex => Some(show::address(value)),
        Octal => Some(format!("{value:03o}")),
        CreateMode(_) => None,
        Signal => show::signal(value),
        Sent(len) => show::bytes(t, value, arg(len)),
        Received => show::bytes(t, value, count?),
        Text => show::bytes(t, value, count?.saturating_sub(1)),
        IoVec(len, received) => {
            let limit = if received { count? } else { u64::MAX };
            show::vector(t, value, arg(len), limit)
        }
        Strings => show::strings(t, value),
        Environment => show::environment(t, value),
        Pair => count.and_then(|_| show::pair(t, value)),
        Address(len) => show::socket_address(t, value, arg(len)),
        SigSet => show::signal_set(t, value),
        SigAction => show::signal_action(t, value),
        Time(false) => show::time(t, value),
        Time(true) => count.and_then(|_| show::time(t, value)),
        WaitStatus => count
            .filter(|n| *n > 0)
            .and_then(|_| show::wait_status(t, value)),
        Stat => count.and_then(|_| show::stat(t, value)),
        Limit(false) => show::limit(t, value),
        Limit(true) => count.and_then(|_| show::limit(t, value)),
        EpollEvent => show::epoll_events(t, value, 1).map(|list| list.concat()),
        EpollReady => show::epoll_events(t, value, count?).map(|l| format!("[{}]", l.join(", "))),
        Poll(n) => show::poll(t, value, arg(n)),
        CloneFlags => Some(show::clone_flags(value)),
        Uname => count.and_then(|_| show::uname(t, value)),
    }
}
