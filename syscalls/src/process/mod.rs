//! Calls on tasks, processes and credentials.

pub mod getpid;
