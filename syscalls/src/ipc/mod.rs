//! Calls on pipes, System V IPC and message queues.

pub mod pipe;
