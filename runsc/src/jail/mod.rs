//! The walls of the Sentry: what is left to a process whose guest has taken it over.
//!
//! Namespaces and an empty root ([`namespaces`]), an own user without capabilities
//! ([`identity`]), and a short list of host calls ([`filter`], the list itself in
//! [`calls`]). Neighbour: [`crate::boot`] enters them in this order; the Gofer's own walls
//! are in the `gofer` crate.

pub mod calls;
pub mod filter;
pub mod identity;
pub mod namespaces;
