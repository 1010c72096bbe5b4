//! Calls on the system as a whole.

pub mod getrandom;
pub mod keyctl;
pub mod landlock;
pub mod privileged;
pub mod sysinfo;
pub mod syslog;
pub mod uname;
