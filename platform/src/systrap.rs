//! The seccomp platform.
