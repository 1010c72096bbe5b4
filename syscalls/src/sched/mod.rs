//! Calls on scheduling.

