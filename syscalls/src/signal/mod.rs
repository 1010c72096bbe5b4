//! Calls on signals.

pub mod kill;
pub mod sigaction;
pub mod sigaltstack;
pub mod signalfd;
pub mod sigprocmask;
pub mod sigwait;
