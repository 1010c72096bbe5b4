//! Calls on pipes, System V IPC and message queues.

pub mod mq;
pub mod msg;
pub mod pipe;
pub mod sem;
pub mod shm;
