//! Calls on time.

pub mod clock;
pub mod nanosleep;
