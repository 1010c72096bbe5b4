//! Calls on scheduling.
