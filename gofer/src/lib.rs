//! Placeholder.
pub mod client;
