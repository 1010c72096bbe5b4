//! Calls that move bytes through descriptors.
