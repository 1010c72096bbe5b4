//! A scripted, deterministic platform for tests.
