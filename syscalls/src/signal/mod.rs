//! Calls on signals.
