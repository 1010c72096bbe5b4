//! Calls on scheduling.

pub mod futex;
