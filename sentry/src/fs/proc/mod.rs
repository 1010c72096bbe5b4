//! The `proc` file system.
