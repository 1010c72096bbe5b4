//! Calls on the system as a whole.
