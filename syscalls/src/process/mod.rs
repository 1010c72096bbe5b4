//! Calls on tasks, processes and credentials.

pub mod getpid;
pub mod capget;
pub mod ids;
