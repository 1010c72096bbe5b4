//! The Sentry's side.

/// A connection to a gofer.
#[derive(Debug)]
pub struct Client;
