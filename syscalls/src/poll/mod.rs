//! Calls that wait for several files.
