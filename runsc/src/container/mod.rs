//! A container as the host sees it: an id, a locked folder with its state, a process.
//!
//! [`store`] finds, locks and removes state folders, [`state`] is what they hold,
//! [`status`] says whether the process still lives, [`hooks`] runs the specification's
//! hooks, [`join`] finds the sandbox that a container belongs to, [`signal`] reads signal names, [`lifecycle`] creates and deletes. Neighbours:
//! [`crate::boot`] starts the sandbox, [`crate::cli`] is the caller.

pub mod hooks;
mod join;
pub mod lifecycle;
pub mod signal;
pub mod state;
pub mod status;
pub mod store;
