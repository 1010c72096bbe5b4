//! Calls on guest memory.
