//! The Sentry: a Linux kernel in user space, written as a reactor.
//!
//! Guest threads are sources of events ([`platform`]); a *worker* ([`worker`]) takes an
//! event, lets the task ([`task`]) act on it, and goes on to the next. A system call that
//! cannot finish becomes an owned value, an [`wait::Operation`], parked in its task; whoever
//! makes it possible to go on wakes it. No thread of the Sentry ever waits for a guest.
//!
//! Everything hangs off one [`kernel::Kernel`] value; there is no global state. Host access
//! goes through the `platform`, `guestmem` and `gofer` crates only.
#![forbid(unsafe_code)]

pub mod aio;
pub mod boot;
pub mod coredump;
pub mod creds;
pub mod filecap;
pub mod fs;
pub mod futex;
pub mod io;
pub mod ipc;
pub mod kernel;
pub mod kernel_log;
pub mod keys;
pub mod landlock;
pub mod load;
pub mod mm;
pub mod net;
pub mod profile;
pub mod ptrace;
pub mod retry;
pub mod seccomp;
pub mod signal;
pub mod sync;
pub mod task;
pub mod time;
pub mod trace;
pub mod userns;
pub mod wait;
pub mod worker;

pub use abi::Errno;
pub use kernel::Kernel;
pub use task::Task;
pub use wait::{OnSignal, Operation, Stop, SysResult};

/// Result of everything inside the kernel that cannot wait.
pub type Result<T, E = Errno> = std::result::Result<T, E>;
