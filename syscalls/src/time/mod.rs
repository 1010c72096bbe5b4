//! Calls on time.
